"""Scores against their formulas, scikit-image or counted entropies; spectra against sums over rings."""

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from skimage.metrics import structural_similarity

from siamdecon.files.phantoms import filaments
from siamdecon.metrics import (
    affine_score,
    fourier_ring_correlation,
    mutual_information,
    radial_power,
    score,
)


def bin_numbers(a, bins=256):
    a = np.asarray(a, dtype=np.float64).ravel()
    return np.minimum(((a - a.min()) / np.ptp(a) * bins).astype(int), bins - 1).tolist()


def counted_information(a, b, bins=256):
    """I(a; b) / H(a, b) = sum p log(p / (p_a p_b)) / H, from pairs of bins counted one by one."""
    a, b = bin_numbers(a, bins), bin_numbers(b, bins)
    n, n_a, n_b, pairs = len(a), Counter(a), Counter(b), Counter(zip(a, b, strict=True))
    information = sum(c / n * np.log2(c * n / (n_a[i] * n_b[j])) for (i, j), c in pairs.items())
    return information / stats.entropy(list(pairs.values()), base=2)


def cosine_transform(image):
    """Type-II cosine transform along every axis, as a product with the matrix of its definition."""
    spectrum = image / np.sqrt(np.sum(image**2))
    for axis, n in enumerate(image.shape):
        k, i = np.indices((n, n))
        spectrum = np.moveaxis(
            np.tensordot(2 * np.cos(np.pi * k * (2 * i + 1) / (2 * n)), spectrum, (1, axis)),
            0,
            axis,
        )
    return spectrum


@pytest.fixture(params=[(64, 50), (8, 20, 17)], ids=["2D", "3D"])
def pair(request):
    """A clean image and an estimate that leaves [0, 1]."""
    clean = filaments(request.param, 2)
    noise = np.random.default_rng(0).normal(scale=0.2, size=clean.shape)
    estimate = (clean + noise).astype(np.float32)
    assert estimate.min() < 0 and estimate.max() > 1
    return clean, estimate


def test_psnr_and_rmse_are_their_formulas(pair):
    clean, estimate = pair
    mse = np.mean((clean.astype(float) - estimate.clip(0, 1)) ** 2)
    assert score(*pair)["psnr"] == pytest.approx(10 * np.log10(1 / mse), abs=1e-4)
    assert score(*pair)["rmse"] == pytest.approx(np.sqrt(mse), rel=1e-5)


def test_ssim_is_that_of_scikit_image_for_the_range_1(pair):
    clean, estimate = pair
    expected = structural_similarity(clean, estimate.clip(0, 1), data_range=1, win_size=7)
    assert score(*pair)["ssim"] == pytest.approx(expected, abs=1e-6)


def test_mi_is_counted_over_256_bins(pair):
    clean, estimate = pair
    expected = counted_information(clean, estimate.clip(0, 1))
    assert score(*pair)["mi"] == pytest.approx(expected, abs=1e-3)


def test_smi_is_the_mi_of_the_cosine_transforms(pair):
    clean, estimate = pair
    spectra = [cosine_transform(a.astype(float)) for a in (clean, estimate.clip(0, 1))]
    assert score(*pair)["smi"] == pytest.approx(counted_information(*spectra), abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_perfect_estimate_has_perfect_scores(pair):
    clean, _ = pair
    assert score(clean, clean) == pytest.approx(
        {"psnr": np.inf, "ssim": 1, "rmse": 0, "mi": 1, "smi": 1}
    )


def test_the_estimate_is_clipped_and_the_clean_image_is_not(pair):
    clean, estimate = pair
    assert score(clean, estimate) == score(clean, estimate.clip(0, 1))
    assert score(2 * clean, clean)["rmse"] == pytest.approx(np.sqrt(np.mean(clean**2)), rel=1e-5)


def test_the_range_is_1_whatever_the_data():
    # an error of 0.1 everywhere is 20 dB, however little contrast the images have
    clean = np.random.default_rng(0).uniform(0.4, 0.5, size=(20, 20))
    assert score(clean, clean + 0.1)["psnr"] == pytest.approx(20, abs=1e-3)


def test_ordinary_scores_do_not_depend_on_which_image_comes_first(pair):
    clean, estimate = pair[0], pair[1].clip(0, 1)
    assert score(clean, estimate) == pytest.approx(score(estimate, clean), rel=1e-5)


def test_other_dtypes_and_layouts_are_scored_alike_and_left_alone(pair):
    clean, estimate = pair
    before = clean.copy(), estimate.copy()
    same = score(np.asfortranarray(clean), estimate.astype(np.float64)[::-1][::-1])
    assert same == pytest.approx(score(clean, estimate), rel=1e-5)
    np.testing.assert_array_equal(clean, before[0])
    np.testing.assert_array_equal(estimate, before[1])


def test_scores_are_plain_floats(pair):
    assert {type(value) for value in score(*pair).values()} == {float}


@pytest.mark.parametrize("flat", [0.0, 0.5])
def test_a_flat_estimate_is_scored_too(pair, flat):
    clean, _ = pair
    scores = score(clean, np.full_like(clean, flat))
    assert scores["mi"] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(list(scores.values())).all()


# Mutual information


def test_independent_images_share_nothing():
    a, b = np.random.default_rng(0).uniform(size=(2, 1000, 1000))
    # the estimate from n counts is biased by about (bins - 1)^2 / 2 n ln 2 bits of about 6
    assert mutual_information(a, b, bins=8) < 10 * 49 / (2e6 * np.log(2)) / 6


def test_an_image_shares_everything_with_a_relabelling_of_itself():
    a = np.random.default_rng(0).integers(0, 256, size=(50, 50))
    relabelled = np.random.default_rng(1).permutation(256)[a]
    for b in (a, -a, 3.0 * a + 1, relabelled):
        assert mutual_information(a, b) == pytest.approx(1, abs=1e-12)


def test_half_of_the_information():
    # a has two bits; b is one of them: I = 1, H(a, b) = 2
    a = np.array([0, 1, 2, 3])
    assert mutual_information(a, a // 2) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("bins", [2, 16, 256])
def test_mutual_information_is_the_counted_one(bins):
    a, noise = np.random.default_rng(2).normal(size=(2, 60, 60))
    expected = counted_information(a, a + noise, bins)
    assert mutual_information(a, a + noise, bins) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.just(2), st.integers(1, 8), st.integers(1, 8)),
        elements=st.integers(-3, 3) | st.floats(-100, 100, width=32),
    ),
    st.sampled_from([1, 2, 256]),
)
def test_mutual_information_is_symmetric_and_within_0_and_1(images, bins):
    a, b = images
    information = mutual_information(a, b, bins)
    assert -1e-12 <= information <= 1 + 1e-12  # differences of rounded entropies
    assert information == pytest.approx(mutual_information(b, a, bins), abs=1e-12)


# Errors


def test_images_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"clean image \(9, 9\), got \(9, 8\)"):
        score(np.zeros((9, 9)), np.zeros((9, 8)))


def test_an_estimate_on_another_scale_is_warned_of(pair):
    clean, estimate = pair
    with pytest.warns(UserWarning, match=r"estimate: \d+% of it lies far beyond \[0, 1\]") as seen:
        score(clean, (255 * estimate.clip(0, 1)).astype(np.uint8))
    assert seen[0].filename == __file__
    estimate[..., 3, 3] = 8  # a bright point that was sharpened too far is no other scale
    with warnings.catch_warnings(action="error"):
        score(clean, estimate)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_values_that_are_not_finite_are_refused(bad, which):
    images = [np.zeros((9, 9)), np.zeros((9, 9))]
    images[which][4, 4] = bad
    with pytest.raises(ValueError, match="expected finite values"):
        score(*images)


def test_the_affine_score_is_the_best_straight_line(pair):
    """Least squares with an offset fit the estimate as the score does, which takes the means away."""
    clean, estimate = pair
    low, high = np.percentile(clean, (0.1, 99.9))
    truth = ((clean - low) / (high - low)).astype(np.float64)
    slope, offset = np.polyfit(estimate.ravel().astype(np.float64), truth.ravel(), 1)
    fitted = slope * estimate.astype(np.float64) + offset
    got = affine_score(clean, estimate)
    assert got["rmse"] == pytest.approx(np.sqrt(np.mean((truth - fitted) ** 2)))
    assert got["psnr"] == pytest.approx(-20 * np.log10(got["rmse"]))
    mean = truth.mean()
    expected = structural_similarity(truth - mean, fitted - mean, data_range=1)
    assert got["ssim"] == pytest.approx(expected)
    assert got["psnr"] > got["floor"]


@pytest.mark.parametrize("nothing", [0.0, 0.3])
def test_an_estimate_that_shows_nothing_scores_the_floor(pair, nothing):
    clean, _ = pair
    got = affine_score(clean, np.full_like(clean, nothing))
    low, high = np.percentile(clean, (0.1, 99.9))
    assert got["psnr"] == pytest.approx(got["floor"])
    assert got["floor"] == pytest.approx(-20 * np.log10(clean.astype(float).std() / (high - low)))


@pytest.mark.parametrize(
    ("clean", "estimate", "message"),
    [
        (np.eye(9), np.eye(8), "expected the shape"),
        (np.eye(9), np.eye(9) * np.nan, "finite values"),
        (np.ones((9, 9)), np.eye(9), "got one that is flat"),
    ],
)
def test_what_has_no_affine_score(clean, estimate, message):
    with pytest.raises(ValueError, match=message):
        affine_score(clean, estimate)


# Spectra


def by_hand(a, b, bins):
    """Ring by ring, with a discrete Fourier transform written as a matrix."""
    n = a.shape[0]
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / (n - 1))
    u, v = (dft @ ((x - x.mean()) * np.outer(taper, taper)) @ dft for x in (a, b))
    power, correlation = [], []
    frequency = np.fft.fftfreq(n)
    for k in range(bins):
        ring = [
            (i, j)
            for i in range(n)
            for j in range(n)
            if k <= 2 * bins * np.hypot(frequency[i], frequency[j]) < k + 1
        ]
        pairs = [(u[p], v[p]) for p in ring]
        power.append(np.mean([abs(p) ** 2 for p, _ in pairs]))
        cross = sum((p * np.conj(q)).real for p, q in pairs)
        scale = sum(abs(p) ** 2 for p, _ in pairs) * sum(abs(q) ** 2 for _, q in pairs)
        correlation.append(cross / scale**0.5)
    return np.array(power), np.array(correlation)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 20, 20))


def test_power_and_correlation_are_sums_over_rings(images):
    power, correlation = by_hand(*images, bins=5)
    np.testing.assert_allclose(radial_power(images[0], 5)[1], power, rtol=1e-9)
    np.testing.assert_allclose(fourier_ring_correlation(*images, 5)[1], correlation, rtol=1e-9)


def test_correlation_ignores_brightness_and_contrast(images):
    a, b = images
    expected = fourier_ring_correlation(a, b, 5)[1]
    np.testing.assert_allclose(
        fourier_ring_correlation(3 * a + 1, 0.2 * b - 4, 5)[1], expected, rtol=1e-9
    )
    np.testing.assert_allclose(fourier_ring_correlation(a, -b, 5)[1], -expected, rtol=1e-9)


def test_independent_noise_is_uncorrelated():
    a, b = np.random.default_rng(1).normal(size=(2, 256, 256))
    assert np.abs(fourier_ring_correlation(a, b)[1][4:]).max() < 0.15


def test_white_noise_has_a_flat_spectrum():
    power = radial_power(np.random.default_rng(2).normal(size=(512, 512)))[1]
    assert power[4:].std() < 0.1 * power.mean()


@given(st.floats(1e-3, 1e5), st.integers(10, 70), st.integers(10, 70))
def test_a_flat_image_has_no_power_and_no_correlation(value, height, width):
    """Whatever rounding leaves of its mean: it correlated by +1 or -1 in every ring."""
    flat = np.full((height, width), value)
    textured = np.random.default_rng(0).random(flat.shape)
    assert not radial_power(flat, 5)[1].any()
    assert not fourier_ring_correlation(flat, textured, 5)[1].any()
    assert not fourier_ring_correlation(flat, flat / 3, 5)[1].any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_spectrum_needs_finite_values(images, wrong):
    a, b = images
    b[3, 3] = wrong
    for compute in (lambda: radial_power(b, 5), lambda: fourier_ring_correlation(a, b, 5)):
        with pytest.raises(ValueError, match="image: expected finite values"):
            compute()


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((20, 20), (20, 21)), r"b: expected the shape of the other, \(20, 20\)"),
        (((20, 20, 20),) * 2, r"an image \(y, x\)"),
        (((8, 20),) * 2, "pass fewer bins"),
    ],
)
def test_images_without_a_spectrum_are_refused(shapes, words):
    with pytest.raises(ValueError, match=words):
        fourier_ring_correlation(*map(np.zeros, shapes), 5)


@pytest.mark.parametrize("contrast", [1e-9, 1e-6, 1, 1e6])
def test_an_affine_score_does_not_see_the_contrast(contrast):
    clean = np.random.default_rng(0).uniform(size=(8, 16, 16))
    noisy = clean + 0.1 * np.random.default_rng(1).normal(size=clean.shape)
    expected = affine_score(clean, noisy)
    assert affine_score(clean, contrast * noisy) == pytest.approx(expected, rel=1e-9)
    assert affine_score(clean, contrast * noisy)["psnr"] > expected["floor"] + 1


def test_a_masked_estimate_is_refused():
    clean = np.random.default_rng(0).uniform(size=(16, 16))
    with pytest.raises(ValueError, match="estimate: expected pixels without a mask"):
        score(clean, np.ma.masked_less(clean, 0.1))


@pytest.mark.parametrize("small", [np.eye(5), np.ones((4, 9, 9))])
def test_images_smaller_than_the_window_of_ssim_are_refused(small):
    with pytest.raises(ValueError, match=r"clean: expected .* 7 or more pixels"):
        affine_score(small, small)


@pytest.mark.parametrize("clean", [None, "a.tif", [[1, 2], [3]]])
def test_what_is_no_image_is_refused(clean):
    with pytest.raises(ValueError, match="clean: expected"):
        score(clean, np.eye(9))
