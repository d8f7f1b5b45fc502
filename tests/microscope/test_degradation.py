"""Blur and noise against a transcription of the experiment's protocol, and their statistics."""

import numpy as np
import pytest
from scipy import signal, stats

from siamdecon.files.phantoms import filaments
from siamdecon.microscope import PAPER_2D, PAPER_3D, Noise, blur, degrade, residual
from siamdecon.microscope.psf import paper_psf

QUANTUM = 1 / 1024
SPOT = np.ones((1, 1))  # the kernel that changes nothing


def rounding(shape):
    """What a blur in float32 may be off by, for values up to 1.

    Each stage of a transform rounds by half an eps; one of n pixels has log2(n) stages, and there are two.
    """
    return np.finfo(np.float32).eps * np.log2(np.prod(shape))


def protocol(clean, psf, p=0.01):
    """Section 3 of the paper as its code has it, up to rounding and clipping."""
    blurred = signal.convolve(clean.astype(np.float64), psf, mode="same", method="direct")
    rng = np.random.RandomState(0)
    rnd = rng.normal(size=clean.shape)
    hit = rng.uniform(size=clean.shape) < p
    noisy = blurred + np.sqrt(0.001 * blurred + 0.01) * rnd
    return np.where(hit, rng.uniform(size=clean.shape), noisy)


@pytest.fixture(params=["2D", "3D"])
def experiment(request):
    """A clean image, the paper's kernel and noise, and what the protocol makes of them."""
    if request.param == "2D":
        clean, psf, noise, p = filaments((96, 70), 3), paper_psf(2), PAPER_2D, 0.01
    else:
        clean, psf, noise, p = filaments((9, 24, 20), 3), paper_psf(3), PAPER_3D, 0
    return clean, psf, noise, protocol(clean, psf, p)


def test_degrade_follows_the_protocol(experiment):
    clean, psf, noise, expected = experiment
    noisy = degrade(clean, psf, noise)
    assert noisy.dtype == np.float32 and noisy.shape == clean.shape
    assert noisy.min() >= 0 and noisy.max() <= 1
    np.testing.assert_array_equal(noisy / QUANTUM, np.round(noisy / QUANTUM))
    # the nearest quantum: rounded after the noise, and clipped last
    np.testing.assert_allclose(
        noisy, expected.clip(0, 1), rtol=0, atol=0.5 * QUANTUM + rounding(clean.shape)
    )


def test_degrade_is_exact_where_nothing_is_rounded(experiment):
    clean, psf, noise, expected = experiment
    raw = Noise(noise.poisson, noise.gaussian, noise.salt_and_pepper, bits=None, clip=False)
    noisy = degrade(clean, psf, raw)
    np.testing.assert_allclose(noisy, expected, rtol=0, atol=rounding(clean.shape))


def test_the_papers_noise_is_the_papers():
    assert PAPER_2D == Noise(0.001, 0.1, 0.01, bits=10, clip=True)
    assert PAPER_3D == Noise(0.001, 0.1, 0.0, bits=10, clip=True)


def test_blur_is_a_convolution_with_darkness_around():
    rng = np.random.default_rng(0)
    clean, psf = rng.uniform(size=(20, 17)), rng.uniform(size=(3, 4))
    psf /= psf.sum()
    full = signal.convolve2d(clean, psf)
    expected = full[1 : 1 + 20, 2 : 2 + 17]  # the centre of an even side is n // 2
    np.testing.assert_allclose(blur(clean, psf), expected, rtol=0, atol=rounding(clean.shape))


# Statistics of each kind of noise, in 10^6 pixels


def measurements(mu, **noise):
    clean = np.full((1000, 1000), mu)
    return degrade(clean, SPOT, Noise(**noise), seed=5).astype(np.float64)


@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0])
def test_gaussian_noise_is_normal_with_the_given_deviation(mu):
    values = measurements(mu, gaussian=0.05, clip=False).ravel()
    assert values.std() == pytest.approx(0.05, rel=4 / np.sqrt(2 * values.size))
    assert stats.kstest((values - np.float32(mu)) / 0.05, "norm").pvalue > 0.01


@pytest.mark.parametrize("mu", [0.04, 0.5, 1.0])
def test_poisson_noise_has_a_variance_that_follows_the_signal(mu):
    values = measurements(mu, poisson=0.01, clip=False)
    assert values.var() == pytest.approx(0.01 * mu, rel=4 * np.sqrt(2 / values.size))
    assert values.mean() == pytest.approx(mu, abs=4 * np.sqrt(0.01 * mu / values.size))


def test_variances_of_poisson_and_gaussian_noise_add_up():
    values = measurements(0.5, poisson=0.02, gaussian=0.1, clip=False)
    assert values.var() == pytest.approx(0.02, rel=4 * np.sqrt(2 / values.size))


def test_impulses_are_uniform_and_hit_the_given_share_of_pixels():
    values = measurements(2.0**-4, salt_and_pepper=0.02)
    hit = values[np.abs(values - 2.0**-4) > 1e-6]
    assert hit.size / values.size == pytest.approx(0.02, abs=4 * np.sqrt(0.02 * 0.98 / values.size))
    assert stats.kstest(hit, "uniform").pvalue > 0.01


@pytest.mark.parametrize("bits", [1, 4, 16])
def test_bits_round_to_the_nearest_multiple(bits):
    clean = np.linspace(0, 1, 10000).reshape(100, 100).astype(np.float32)
    levels = degrade(clean, SPOT, Noise(bits=bits)) * 2.0**bits
    np.testing.assert_array_equal(levels, levels.round())
    off = 0.5 + 2.0**bits * rounding(clean.shape)
    np.testing.assert_allclose(levels, clean * 2.0**bits, rtol=0, atol=off)


def test_only_a_clipping_camera_stays_within_the_range():
    clipped, raw = (measurements(0.0, gaussian=0.1, clip=clip) for clip in (True, False))
    assert raw.min() < 0
    np.testing.assert_array_equal(clipped, raw.clip(0, 1))


def test_no_noise_is_the_blur_alone():
    clean = filaments((40, 30), 0)
    expected = blur(clean, paper_psf(2)).clip(0, 1)
    np.testing.assert_array_equal(degrade(clean, paper_psf(2), Noise()), expected)


# Its mean


@pytest.mark.parametrize("mu", [0.0, 0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(
    "noise",
    [
        PAPER_2D,
        PAPER_3D,
        Noise(gaussian=0.3),
        Noise(poisson=0.05),
        Noise(salt_and_pepper=0.3),
        Noise(poisson=0.02, gaussian=0.2, salt_and_pepper=0.1, clip=False),
        Noise(),
    ],
    ids=["2D", "3D", "gaussian", "poisson", "impulses", "unclipped", "none"],
)
def test_mean_is_the_mean_of_many_measurements(noise, mu):
    values = degrade(np.full((1000, 1000), mu), SPOT, noise, seed=7).astype(np.float64)
    error = 4 * values.std() / np.sqrt(values.size) + rounding(values.shape)
    assert noise.mean(np.array([mu]))[0] == pytest.approx(values.mean(), abs=error)


def test_clipping_lifts_the_dark_and_lowers_the_bright_as_the_protocol_says():
    dark, bright = PAPER_2D.mean(np.array([0.0, 1.0]))
    assert dark == pytest.approx(0.045, abs=1e-3)
    assert bright == pytest.approx(0.954, abs=1e-3)


def test_mean_keeps_the_shape_and_the_input():
    blurred = np.linspace(-0.2, 1.2, 24).reshape(2, 3, 4)
    before = blurred.copy()
    assert PAPER_3D.mean(blurred).shape == blurred.shape
    np.testing.assert_array_equal(blurred, before)


# Seeds


def test_a_seed_decides_the_noise():
    clean = filaments((40, 30), 0)
    first, again, other = (degrade(clean, paper_psf(2), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.5
    np.testing.assert_array_equal(first, degrade(clean, paper_psf(2)))


def test_the_global_random_state_and_the_inputs_are_left_alone():
    clean, psf = filaments((40, 30), 0), paper_psf(2)
    before = np.random.get_state()[1].copy(), clean.copy(), psf.copy()  # noqa: NPY002  that state
    degrade(clean, psf)
    after = np.random.get_state()[1], clean, psf  # noqa: NPY002
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def read_only(a):
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "view",
    [lambda a: a.T, lambda a: a[::2], lambda a: a[::-1], lambda a: a.astype(float), read_only],
    ids=["transposed", "every other row", "backwards", "float64", "read-only"],
)
@pytest.mark.filterwarnings("error")
def test_views_and_other_dtypes_give_the_same(view):
    clean = view(filaments((40, 30), 0))
    plain = np.array(clean, dtype=np.float32, order="C")
    # in float32, since a transform of other strides may add in another order
    noise, off = Noise(gaussian=0.1, clip=False), 2 * rounding(clean.shape)
    found, expected = (degrade(a, paper_psf(2), noise) for a in (clean, plain))
    np.testing.assert_allclose(found, expected, rtol=0, atol=off)


# Errors


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        (np.zeros(9), r"clean: expected an image .* got \(9,\)"),
        (np.zeros((1, 1, 9, 9)), "clean: expected an image"),
        (np.full((9, 9), np.nan), "clean: expected finite values"),
        (np.full((9, 9), np.inf), "clean: expected finite values"),
        (np.full((9, 9), 1.001), r"clean: expected values in \[0, 1\], .*scale the image first"),
        (np.full((9, 9), -0.001), r"clean: expected values in \[0, 1\]"),
        (np.zeros((3, 9, 9)), "psf: expected 3 axes"),
    ],
)
def test_unfit_images_are_refused(clean, message):
    with pytest.raises(ValueError, match=message):
        degrade(clean, SPOT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (field, value)
            for field in ("poisson", "gaussian", "salt_and_pepper")
            for value in (-0.1, np.nan, np.inf)
        ),
        ("salt_and_pepper", 1.01),
        *(("bits", value) for value in (0, -1, 17, 2.5, np.nan)),
    ],
)
def test_impossible_noise_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        Noise(**{field: value})


def test_bits_are_any_whole_number():
    clean = filaments((24, 20), 3)
    same = [degrade(clean, SPOT, Noise(bits=bits)) for bits in (10, np.int64(10))]
    np.testing.assert_array_equal(*same)


def test_a_mask_is_not_lost_on_the_way():
    masked = np.ma.masked_less(np.random.default_rng(0).random((9, 9)), 0.5)
    with pytest.raises(ValueError, match="clean: expected pixels without a mask"):
        degrade(masked, SPOT)
    with pytest.raises(ValueError, match="noisy: expected pixels without a mask"):
        residual(np.asarray(masked.data), masked, SPOT)


def test_a_residual_needs_one_shape():
    """NumPy would repeat a row for each one of the estimate."""
    with pytest.raises(ValueError, match=r"noisy: expected the shape of the estimate \(9, 9\)"):
        residual(np.ones((9, 9)), np.ones((1, 9)), SPOT)


def test_residual_is_the_measurement_minus_the_expected():
    """Against scipy's convolution, mirrored borders and the mean of the noise."""
    rng = np.random.default_rng(0)
    estimate, noisy, psf = rng.random((12, 13)), rng.random((12, 13)), rng.random((3, 5))
    psf /= psf.sum()
    padded = np.pad(estimate, ((1, 1), (2, 2)), mode="symmetric")
    blurred = signal.convolve(padded, psf, mode="valid")
    off = rounding(padded.shape)
    np.testing.assert_allclose(residual(estimate, noisy, psf), noisy - blurred, rtol=0, atol=off)
    known = Noise(gaussian=0.1)
    expected = noisy - known.mean(blurred)
    # the mean comes from a table of steps 1e-3, linear between them: step^2 / 8 times its curvature phi / s
    off += 1e-3**2 / 8 * stats.norm.pdf(0) / known.gaussian
    np.testing.assert_allclose(residual(estimate, noisy, psf, known), expected, rtol=0, atol=off)
