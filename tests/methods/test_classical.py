"""Lucy-Richardson and Wiener against scikit-image, total variation against another minimiser."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage, optimize, signal
from skimage import restoration

from siamdecon import (
    PAPER_2D,
    PAPER_3D,
    Noise,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    richardson_lucy,
    score,
    total_variation,
    wiener,
)
from siamdecon.files.phantoms import filaments, nuclei
from siamdecon.methods.total_variation import TV_WEIGHT, _variation_gradient
from siamdecon.microscope import Microscope, blur, gibson_lanni
from siamdecon.microscope.noise import noise_level
from siamdecon.tiles import bands

METHODS = {
    "richardson_lucy": lambda *a, **kw: richardson_lucy(*a, **{"iterations": 3, **kw}),
    "wiener": wiener,
    "total_variation": lambda *a, **kw: total_variation(*a, **{"iterations": 10, **kw}),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def asymmetric(shape):
    k = np.random.default_rng(0).uniform(size=shape) ** 3
    return k / k.sum()


@pytest.fixture(params=["2D", "3D"])
def problem(request):
    """A noisy image or volume and an asymmetric kernel."""
    if request.param == "2D":
        psf = asymmetric((5, 3))
        return degrade(nuclei((40, 33), 1), psf, PAPER_2D), psf
    psf = asymmetric((3, 5, 3))
    return degrade(filaments((10, 20, 17), 1), psf, PAPER_3D), psf


# Lucy-Richardson


def test_richardson_lucy_is_that_of_scikit_image_with_dark_borders(problem):
    image, psf = problem
    start = np.full(image.shape, 0.5)
    ours = richardson_lucy(image, psf, 8, start=start, padding="zero", clip=False)
    theirs = restoration.richardson_lucy(image.astype(float), psf, num_iter=8, clip=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_richardson_lucy_is_its_equation_with_mirrored_borders(problem):
    image, psf = 2 * problem[0], problem[1]  # bright enough to be clipped
    x = np.full(image.shape, image.mean(dtype=float))
    for _ in range(4):  # "reflect" is ndimage's name for symmetric padding
        ratio = image / ndimage.convolve(x, psf, mode="reflect")
        x = x * ndimage.correlate(ratio, psf, mode="reflect")
    assert x.max() > 1
    np.testing.assert_allclose(richardson_lucy(image, psf, 4), x.clip(0, 1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(richardson_lucy(image, psf, 4, clip=False), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("padding", ["symmetric", "zero", "replicate", "circular"])
@pytest.mark.parametrize("start", ["mean", "image"])
def test_richardson_lucy_of_a_large_image_overwrites_only_its_own(
    padding, start, problem, monkeypatch
):
    image, psf = problem
    how = {"start": start, "padding": padding, "clip": False}
    expected = [richardson_lucy(image, psf, n, **how) for n in (1, 2, 3)]
    monkeypatch.setattr("siamdecon.microscope.convolution.AT_ONCE", 100)
    before, seen = image.copy(), []
    richardson_lucy(image, psf, 3, callback=lambda _, x: seen.append(x), **how)
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(image, before)


def convolved(clean, psf):
    """Convolve by SciPy, with the kernel's centre at n // 2 of each axis."""
    full = signal.convolve(clean, psf)
    pairs = zip(psf.shape, clean.shape, strict=True)
    return full[tuple(slice(n // 2, n // 2 + m) for n, m in pairs)]


def test_richardson_lucy_does_not_shift_with_an_even_kernel():
    clean = np.zeros((21, 21))
    clean[10, 12] = 1
    blurred = convolved(clean, asymmetric((4, 2)))
    estimate = richardson_lucy(blurred, asymmetric((4, 2)), 50)
    assert np.unravel_index(estimate.argmax(), estimate.shape) == (10, 12)
    assert estimate.max() > 2 * blurred.max()


@pytest.mark.parametrize(
    ("padding", "psf"),
    [("circular", asymmetric((4, 3))), ("symmetric", paper_psf(2))],
    ids=["any kernel", "a symmetric kernel"],
)
def test_richardson_lucy_keeps_the_light(padding, psf):
    # exactly so where the flipped kernel is the true adjoint
    image = degrade(nuclei((40, 33), 1), psf)
    estimate = richardson_lucy(image, psf, 6, padding=padding, clip=False)
    assert estimate.sum(dtype=float) == pytest.approx(image.sum(dtype=float), rel=1e-5)


def test_richardson_lucy_climbs_the_poisson_likelihood():
    psf = asymmetric((3, 5))
    image = degrade(nuclei((40, 33), 1), psf).astype(float)
    likelihood = []

    def watch(_, x):
        k_x = ndimage.convolve(x.astype(float), psf, mode="wrap")
        likelihood.append(np.sum(image * np.log(k_x) - k_x))

    richardson_lucy(image, psf, 10, padding="circular", clip=False, callback=watch)
    assert np.all(np.diff(likelihood) > 0)


def test_richardson_lucy_stays_where_the_truth_is():
    psf, clean = asymmetric((5, 3)), nuclei((30, 30), 0) + 0.1
    image = ndimage.convolve(clean, psf, mode="reflect")
    estimate = richardson_lucy(image, psf, 5, start=clean, clip=False)
    np.testing.assert_allclose(estimate, clean, rtol=0, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float32, (7, 6), elements=st.floats(-1, 1, width=16)).filter(np.ptp),
    st.sampled_from(["symmetric", "zero", "circular"]),
)
def test_richardson_lucy_stays_finite_and_positive(image, padding):
    estimate = richardson_lucy(image, asymmetric((3, 5)), 5, padding=padding, clip=False)
    assert np.isfinite(estimate).all() and estimate.min() > -1e-6  # a rounded transform


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-60])
def test_richardson_lucy_has_no_unit(problem, unit):
    """A power of two changes no digit."""
    image, psf = problem
    expected = richardson_lucy(image, psf, 5, clip=False)
    found = richardson_lucy(image * unit, psf, 5, clip=False)
    np.testing.assert_array_equal(found, expected * np.float32(unit))


@pytest.mark.parametrize(
    ("prefilter", "expected"),
    [
        (lambda y: y[::2], "the image's shape"),
        (lambda y: np.where(y > y.mean(), np.nan, y), "finite values"),
        (lambda y: None, "an array"),
    ],
)
def test_a_prefilter_gives_an_image_of_the_same_shape(prefilter, expected):
    with pytest.raises(ValueError, match=f"prefilter: expected {expected}"):
        richardson_lucy(np.eye(8), np.ones((3, 3)) / 9, prefilter=prefilter)


@pytest.mark.parametrize("balance", [1e-30, 1e30])
def test_wiener_is_finite_up_to_the_last_balance(problem, balance):
    image, psf = problem
    assert np.isfinite(wiener(image, psf, balance=balance, clip=False)).all()


def test_total_variation_of_the_largest_weight_is_flat():
    image = np.random.default_rng(0).random((16, 16))
    assert np.ptp(total_variation(image, np.ones((3, 3)) / 9, weight=1e10)) < 0.2 * np.ptp(image)


def test_values_below_0_count_as_0(problem):
    image, psf = problem
    assert np.any(image - 0.2 < 0)
    np.testing.assert_array_equal(
        richardson_lucy(image - 0.2, psf, 3), richardson_lucy((image - 0.2).clip(0), psf, 3)
    )


def test_the_callback_sees_every_iteration(problem):
    image, psf = problem
    seen = {}
    last = richardson_lucy(image, psf, 5, callback=lambda i, x: seen.update({i: x}))
    assert list(seen) == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(seen[5], last)
    np.testing.assert_array_equal(seen[2], richardson_lucy(image, psf, 2))


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener"])
@pytest.mark.parametrize("shape", [(4, 24, 24), (5, 24, 24), (6, 40)])
def test_a_kernel_wider_than_the_image_is_no_more_to_one_side(method, shape):
    """Cropped to an even number of planes it reached further down than up."""
    image = np.random.default_rng(0).random(shape)
    line = [np.exp(-0.5 * (np.arange(-8, 9) / 2.5) ** 2) for _ in shape]
    kernel = line[0]
    for other in line[1:]:
        kernel = np.multiply.outer(kernel, other)
    both = [image, image[::-1]]
    one, other = (deconvolve(x, kernel / kernel.sum(), method, progress=False).image for x in both)
    # float32, through transforms of up to 2^14 pixels, a few times each
    atol = 64 * np.finfo(np.float32).eps * np.abs(one).max()
    np.testing.assert_allclose(other[::-1], one, rtol=0, atol=atol)


@pytest.mark.parametrize("offset", [-1000, 0, 1000])
def test_a_start_is_in_the_units_of_the_image(offset):
    """Taken on the scale of [0, 1], it was no start to go on from."""
    image = offset + np.random.default_rng(0).poisson(100, (32, 30)).astype(np.float32)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    how = {"method": "richardson_lucy", "progress": False, "clip": False}
    five = deconvolve(image, kernel, iterations=5, **how).image
    ten, on = (
        deconvolve(image, kernel, iterations=n, start=start, **how).image
        for n, start in ((10, "mean"), (5, five))
    )
    # the start is rounded to float32 once more, and each iteration amplifies that by less than two
    rounding = np.finfo(np.float32).eps * np.abs(image).max()
    np.testing.assert_allclose(on, ten, rtol=0, atol=2**5 * rounding)


def test_the_start_is_the_mean_the_image_or_an_array(problem):
    image, psf = problem
    restored = {start: richardson_lucy(image, psf, 2, start=start) for start in ("mean", "image")}
    assert np.abs(restored["mean"] - restored["image"]).max() > 0.1
    np.testing.assert_array_equal(restored["mean"], richardson_lucy(image, psf, 2))
    np.testing.assert_array_equal(restored["image"], richardson_lucy(image, psf, 2, start=image))
    constant = np.full(image.shape, image.mean(dtype=float))
    by_hand = richardson_lucy(image, psf, 2, start=constant)
    np.testing.assert_allclose(restored["mean"], by_hand, rtol=0, atol=1e-5)


def test_starting_from_the_noisy_image_costs_about_4_db():
    clean = load_sample("nuclei")
    noisy = degrade(clean, paper_psf(2), seed=0)
    psnr = {
        start: score(clean, richardson_lucy(noisy, paper_psf(2), 2, start=start))["psnr"]
        for start in ("mean", "image")
    }
    assert 3 < psnr["mean"] - psnr["image"] < 5


def test_the_median_prefilter_is_that_of_scipy(problem):
    image, psf = problem
    expected = richardson_lucy(ndimage.median_filter(image, size=3), psf, 3)
    np.testing.assert_array_equal(richardson_lucy(image, psf, 3, prefilter="median"), expected)
    by_hand = richardson_lucy(image, psf, 3, prefilter=lambda y: ndimage.median_filter(y, 3))
    np.testing.assert_array_equal(by_hand, expected)


# Wiener


@pytest.mark.parametrize("balance", [0.05, 2.0, 50.0])
def test_wiener_is_that_of_scikit_image_on_the_mirrored_image(problem, balance):
    image, psf = problem
    widths = [(n, n) for n in psf.shape]
    padded = np.pad(image.astype(float), widths, mode="symmetric")
    theirs = restoration.wiener(padded, psf, balance, clip=False)
    inside = tuple(slice(n, n + m) for n, m in zip(psf.shape, image.shape, strict=True))
    ours = wiener(image, psf, balance=balance, clip=False)
    np.testing.assert_allclose(ours, theirs[inside], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(wiener(image, psf, balance=balance), ours.clip(0, 1))


@pytest.mark.parametrize("size", [(5, 3), (4, 2), (2, 3, 4)])
def test_wiener_undoes_a_blur_without_noise(size):
    psf = 0.4 * asymmetric(size)
    psf[tuple(n // 2 for n in size)] += 0.6  # so that no frequency is lost
    clean = np.zeros([24] * len(size))
    clean[(slice(8, 16),) * len(size)] = 0.8  # away from the border
    blurred = convolved(clean, psf)
    np.testing.assert_allclose(wiener(blurred, psf, balance=1e-9), clean, rtol=0, atol=1e-4)


def test_wiener_is_smoother_where_the_balance_is_larger(problem):
    image, psf = problem
    rough = [np.std(ndimage.laplace(wiener(image, psf, balance=b))) for b in (0.1, 1, 10)]
    assert rough[0] > rough[1] > rough[2]


# Total variation


def objective(x, y, psf, weight, noise):
    """The docstring's equation in NumPy, for a flat x."""
    x = x.reshape(y.shape)
    error = ndimage.convolve(x, psf, mode="reflect")
    error = (error if noise is None else noise.mean(error)) - y
    huber = np.where(abs(error) <= 0.1, error**2 / 2, 0.1 * (abs(error) - 0.1 / 2))
    square = 0.01**2
    for axis in range(x.ndim):
        square = square + np.diff(x, axis=axis, append=x.take([-1], axis)) ** 2
    return huber.mean() + weight * np.sqrt(square).mean()


@pytest.mark.parametrize("weight", [0.002, 0.02])
@pytest.mark.parametrize("noise", [None, PAPER_2D], ids=["plain", "clipped noise"])
@pytest.mark.parametrize("shape", [(8, 7), (4, 4, 4)])
def test_total_variation_is_the_minimum_that_scipy_finds(shape, noise, weight):
    psf = asymmetric([3] * len(shape))
    clean = np.zeros(shape)
    clean[(slice(1, 3),) * len(shape)] = 0.8
    y = degrade(clean, psf, PAPER_2D, seed=3)
    x = np.full(y.size, 0.5)
    args = (y.astype(float), psf, weight, noise)
    best = optimize.minimize(
        objective,
        x,
        args,
        method="L-BFGS-B",
        bounds=[(0, 1)] * y.size,
        options={"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-14, "gtol": 1e-9},
    )
    estimate = total_variation(y, psf, weight=weight, noise=noise, iterations=400)
    np.testing.assert_allclose(estimate.ravel(), best.x, rtol=0, atol=1e-3)
    soon = total_variation(y, psf, weight=weight, noise=noise)  # 100 iterations
    assert objective(soon.ravel().astype(float), *args) < 1.001 * best.fun


def test_total_variation_descends(problem):
    image, psf = problem
    seen = []
    last = total_variation(
        image, psf, weight=0.01, iterations=30, callback=lambda i, x: seen.append((i, x))
    )
    assert [i for i, _ in seen] == list(range(1, 31))
    np.testing.assert_array_equal(seen[-1][1], last)
    start = ndimage.median_filter(image, size=3)
    values = [
        objective(x.astype(float), image.astype(float), psf, 0.01, None)
        for x in (start, seen[9][1], last)
    ]
    assert values[0] > values[1] > values[2]


def test_total_variation_stays_within_the_range(problem):
    estimate = total_variation(*problem, iterations=10)
    assert estimate.min() >= 0 and estimate.max() <= 1


def test_total_variation_is_flatter_where_the_weight_is_larger(problem):
    image, psf = problem
    steps = [
        np.abs(np.diff(total_variation(image, psf, weight=w, iterations=30))).mean()
        for w in (0.001, 0.01, 0.1)
    ]
    assert steps[0] > steps[1] > steps[2]


def test_the_weight_follows_the_noise_unless_given(problem):
    image, psf = problem
    expected = total_variation(image, psf, weight=TV_WEIGHT * noise_level(image), iterations=10)
    np.testing.assert_array_equal(total_variation(image, psf, iterations=10), expected)


def test_an_impulse_pulls_no_harder_than_any_outlier():
    clean = np.full((16, 16), 0.3)
    clean[:, 8:] = 0.4
    estimates = []
    for height in (0.2, 0.7):  # both beyond delta, where the Huber function is straight
        y = clean.copy()
        y[5, 4] += height
        estimates.append(total_variation(y, np.ones((1, 1)), weight=0.05, iterations=400))
    np.testing.assert_allclose(estimates[1], estimates[0], rtol=0, atol=1e-4)
    assert estimates[1][5, 4] < 0.4


def test_a_known_noise_takes_the_bias_of_clipping_out_of_the_dark():
    clean = np.zeros((64, 64))
    clean[20:44, 20:44] = 1
    y = degrade(clean, asymmetric((3, 3)), PAPER_2D, seed=2)
    dark, bright = ndimage.binary_erosion(clean < 0.5, iterations=4), clean > 0.5
    bias = {}
    for noise in (None, PAPER_2D):
        estimate = total_variation(y, asymmetric((3, 3)), noise=noise)
        bias[noise] = estimate[dark].mean(), (estimate - clean)[bright].mean()
    assert bias[None][0] > 0.03
    assert bias[PAPER_2D][0] < 0.01
    assert abs(bias[PAPER_2D][1]) < abs(bias[None][1])


def test_total_variation_accepts_an_image_without_noise():
    clean = np.repeat([[0.2] * 16 + [0.8] * 16], 32, axis=0)
    estimate = total_variation(clean, np.ones((1, 1)))
    np.testing.assert_allclose(estimate, clean, rtol=0, atol=0.05)


def test_total_variation_accepts_a_few_photons_on_black():
    photons = np.random.default_rng(0).poisson(0.02, size=(64, 64)) / 5
    assert np.isfinite(total_variation(photons, asymmetric((3, 3)))).all()


# The noise level


@pytest.mark.parametrize("shape", [(300, 200), (30, 50, 40), (4, 100, 100)])
@pytest.mark.parametrize("sigma", [0.01, 0.1, 7.0])
def test_noise_level_of_normal_noise_is_its_deviation(shape, sigma):
    noise = np.random.default_rng(0).normal(scale=sigma, size=shape)
    assert noise_level(noise) == pytest.approx(sigma, rel=0.03)


def test_noise_level_does_not_see_a_blurred_picture():
    noisy = degrade(load_sample("nuclei"), paper_psf(2), Noise(gaussian=0.05, clip=False))
    assert noise_level(noisy) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("shape", [(20, 30), (10, 12, 14)])
def test_noise_level_does_not_see_a_slope(shape):
    noise = np.random.default_rng(0).normal(size=shape)
    slope = sum(np.indices(shape) * np.arange(3, 3 + len(shape))[:, *[None] * len(shape)])
    inside = (slice(1, -1),) * len(shape)
    assert noise_level(slope + noise) == pytest.approx(noise_level(noise), rel=0.1)
    assert noise_level(slope.astype(float)[inside]) == pytest.approx(0, abs=1e-12)


# All three


@every_method
@pytest.mark.parametrize(
    "clean", [nuclei((40, 33), 1), filaments((16, 32, 32), 1)], ids=["2D", "3D"]
)
def test_restoring_improves_the_image(method, clean):
    psf = paper_psf(clean.ndim)
    image = degrade(clean, psf, PAPER_2D if clean.ndim == 2 else PAPER_3D)
    estimate = method(image, psf)
    assert estimate.shape == image.shape and estimate.dtype == np.float32
    assert score(clean, estimate)["rmse"] < score(clean, image)["rmse"]


@every_method
def test_twice_is_the_same_and_inputs_are_left_alone(method, problem):
    image, psf = problem
    before = image.copy(), psf.copy()
    np.testing.assert_array_equal(method(image, psf), method(image, psf))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(psf, before[1])


@every_method
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.astype(np.float64),
        lambda a: np.asfortranarray(a),
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.round(a * 1024).astype(np.float16) / np.float16(1024),
    ],
    ids=["float64", "fortran", "backwards", "float16"],
)
def test_other_dtypes_and_layouts_give_the_same(method, view, problem):
    image, psf = problem
    np.testing.assert_array_equal(method(view(image), psf), method(image, psf))


@every_method
def test_a_read_only_image_is_accepted(method, problem):
    image, psf = problem
    image.flags.writeable = psf.flags.writeable = False
    method(image, psf)


@every_method
def test_a_kernel_larger_than_the_image_is_accepted(method):
    estimate = method(nuclei((16, 16), 0), asymmetric((33, 21)))
    assert estimate.shape == (16, 16) and np.isfinite(estimate).all()


# Errors

IMAGE = np.random.default_rng(0).uniform(size=(9, 9))


@every_method
@pytest.mark.parametrize(
    ("image", "psf", "message"),
    [
        (IMAGE, np.ones((3, 3, 3)) / 27, "psf: expected 2 axes"),
        (np.ones((9, 9)), np.ones((3, 3)) / 9, "image: every pixel is 1"),
        (np.full((9, 9), np.nan), np.ones((3, 3)) / 9, "image: expected finite values"),
        (IMAGE, -np.ones((3, 3)), "psf: expected values of 0 or more"),
    ],
)
def test_unfit_images_and_kernels_are_refused(method, image, psf, message):
    with pytest.raises(ValueError, match=message):
        method(image, psf)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("richardson_lucy", {"iterations": 0}, "iterations: expected a whole number of 1 or more"),
        ("richardson_lucy", {"start": "noise"}, "start: expected 'mean', 'image' or an array"),
        ("richardson_lucy", {"start": np.ones((9, 8))}, r"start: .* shape \(9, 9\), got \(9, 8\)"),
        ("richardson_lucy", {"prefilter": "mean"}, "prefilter: expected 'median', a function"),
        ("richardson_lucy", {"padding": "same"}, "padding: expected one of"),
        ("richardson_lucy", {"padding": "valid"}, "padding: "),
        *(
            ("wiener", {"balance": balance}, "balance: expected a positive number")
            for balance in (0, -1, np.nan, np.inf, 1e-46, 1e39)
        ),
        *(
            ("total_variation", {"weight": weight}, "weight: expected a positive number")
            for weight in (0, -1, np.nan, np.inf, 1e39)
        ),
        ("total_variation", {"iterations": 0}, "iterations: expected a whole number of 1 or more"),
        ("total_variation", {"padding": "same"}, "padding: expected one of"),
        ("total_variation", {"padding": "valid"}, "padding: "),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_impossible_options_are_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method](IMAGE, np.ones((3, 3)) / 9, **options)


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("peak", [2, 5, 10, 30, 100, 1000])
@pytest.mark.parametrize(
    ("method", "share"), [("richardson_lucy", 0.001), ("wiener", 0.02), ("total_variation", 0.02)]
)
def test_the_light_of_photon_counts_is_kept(method, share, peak, background):
    """PPN2V#8, n2v#74: zeros were taken for clipping, and total variation lost a fifth of the light."""
    mean = blur(load_sample("cell")[:160, :160], paper_psf(2)).clip(0)
    counts = np.random.default_rng(0).poisson(peak * mean + background)
    restored = deconvolve(counts, paper_psf(2), method)
    assert restored.settings["clipping"] is False
    assert restored.image.sum(dtype=np.float64) == pytest.approx(counts.sum(), rel=share)


def test_a_point_rises_as_far_as_it_was_bright():
    """starfish#546: total variation stayed below the brightest value measured, 6934 of 60000."""
    psf = gibson_lanni(Microscope(na=0.8, wavelength=0.6, pixel_size=0.2, size=25, defocus=1.0))
    points = np.zeros((64, 64))
    points[20::24, 20::24] = 60000
    rng = np.random.default_rng(0)
    counts = 100 + rng.poisson(blur(points, psf).clip(0)) + rng.normal(0, 3, points.shape)
    counts = counts.round().astype(np.uint16)
    assert counts.max() < 8000
    for method, options in (("richardson_lucy", {"iterations": 50}), ("total_variation", {})):
        restored = deconvolve(counts, psf, method, **options).image
        assert restored[20::24, 20::24].min() > 40000


@pytest.mark.parametrize("padding", ["symmetric", "replicate", "zero", "circular"])
@pytest.mark.parametrize("shape", [(20, 150), (6, 40, 90)])
@pytest.mark.parametrize("method", [richardson_lucy, total_variation])
def test_bands_are_the_whole(monkeypatch, method, shape, padding):
    """An image is cut into bands to be computed side by side; one band is the plain computation."""
    rng = np.random.default_rng(0)
    image, psf = rng.random(shape), rng.random((4, 3, 6)[-len(shape) :])
    how = {"iterations": 4, "padding": padding}
    counts = []

    def cut(shape, halos):
        counts.append(len(bands(shape, halos)))
        return bands(shape, halos)

    modules = ("siamdecon.methods.classical.bands", "siamdecon.methods.total_variation.bands")
    for module in modules:
        monkeypatch.setattr(module, cut)
    cut_up = method(image, psf, **how)
    assert max(counts) > 1 or padding == "circular"
    for module in modules:
        monkeypatch.setattr(module, lambda shape, _: bands(shape, [10**6] * len(shape)))
    whole = method(image, psf, **how)
    # each iteration rounds anew: a transform's log2(n) sums, twice, to half an eps of the largest value;
    # Adam's first step is the sign of the gradient, which rounding may turn where it is almost 0
    eps = np.finfo(np.float32).eps
    if method is richardson_lucy:
        assert abs(cut_up - whole).max() < 4 * 2 * np.log2(image.size) * eps * 4
    else:
        assert np.mean(abs(cut_up - whole) > 1e-4) < 0.01


@pytest.mark.parametrize("shape", [(9, 7), (4, 6, 5)])
def test_the_variation_has_the_derivative_that_automatic_differentiation_finds(shape):
    x = torch.rand(1, 1, *shape, dtype=torch.float64, requires_grad=True)
    inside = (..., *(slice(1, n - i) for i, n in enumerate(shape)))
    square = torch.full_like(x, 1e-4)
    for axis in range(2, x.ndim):
        last = x.narrow(axis, x.shape[axis] - 1, 1)
        square = square + torch.diff(x, dim=axis, append=last).square()
    (expected,) = torch.autograd.grad(square.sqrt()[inside].sum(), x)
    found = _variation_gradient(x.detach(), inside)
    torch.testing.assert_close(found, expected)
