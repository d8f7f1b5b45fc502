"""Which cameras cut, and which pixels are defective: a bank of simulated ones, with what each did."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, rotate

from siamdecon import PAPER_2D, Noise, deconvolve, degrade, inspect, load_sample, paper_psf
from siamdecon.files.images import Image
from siamdecon.files.on_disk import look_through
from siamdecon.methods.self_scale import find_noise
from siamdecon.microscope.camera import (
    cut_at,
    far_out,
    filled,
    standing_out,
    unmeasured,
    without_noise,
)
from siamdecon.microscope.degradation import blur
from siamdecon.microscope.noise import (
    add_noise,
    clipping,
    estimate_noise,
    fit_noise,
    noise_level,
)
from siamdecon.microscope.psf import Microscope, gibson_lanni
from siamdecon.problem import Problem

PSF = paper_psf(2)
SIGNALS = {
    name: blur(load_sample(name), PSF).clip(0) for name in ("cell", "histology", "filaments")
}
CELL = SIGNALS["cell"][:256, :256]
EACH = pytest.mark.parametrize("name", SIGNALS)


def offset_camera(signal, rng, peak=2000, offset=100, read=3):
    return (offset + rng.poisson(peak * signal) + rng.normal(0, read, signal.shape)).round()


def emccd(signal, rng, photons=5, gain=50):
    """Amplified photons: an exponential distribution for each (Basden, MNRAS 345, 2003)."""
    return rng.gamma(np.maximum(rng.poisson(photons * signal), 1e-9), gain).round()


def eight_bits(image, low, high):
    low, high = np.quantile(image, (low, high))
    return ((image - low) / (high - low) * 255).round().clip(0, 255)


#: What each camera does, and where it cuts.
CAMERAS = {
    "paper": (lambda s, rng: degrade(s.clip(0, 1), np.ones((1, 1)), PAPER_2D), True),
    "paper, nothing cut": (lambda s, rng: s + rng.normal(0, 0.1, s.shape), False),
    "offset": (offset_camera, False),
    "saturated": (
        lambda s, rng: offset_camera(s, rng).clip(0, 100 + 2000 * np.quantile(s, 0.97)),
        "white",
    ),
    "8 bits, whole range": (
        lambda s, rng: eight_bits(offset_camera(s, rng, 100, 100, 10), 0, 1),
        False,
    ),
    "8 bits, stretched": (
        lambda s, rng: eight_bits(offset_camera(s, rng, 100, 100, 10), 0.1, 0.99),
        True,
    ),
    "background taken off": (lambda s, rng: offset_camera(s, rng, 100, 0, 10), False),
    "and cut": (lambda s, rng: offset_camera(s, rng, 100, 0, 10).clip(0), "black"),
    "EMCCD": (lambda s, rng: emccd(s, rng) + rng.normal(200, 5, s.shape).round(), False),
    "EMCCD without offset": (emccd, False),
    "flat-fielded photons": (
        lambda s, rng: rng.poisson(10 * s) * np.linspace(0.9, 1.1, s.shape[1]),
        False,
    ),
}


@EACH
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_camera_cuts_where_it_does(name, camera):
    measure, expected = CAMERAS[camera]
    image = np.asarray(measure(SIGNALS[name], np.random.default_rng(0)), np.float64)
    assert clipping((image - image.min()) / np.ptp(image)) == expected


@EACH
@pytest.mark.parametrize("background", [0, 0.1, 1, 3, 5])
@pytest.mark.parametrize("peak", [2, 5, 10, 30, 100, 1000])
def test_a_pile_of_zeros_in_photon_counts_is_no_clipping(name, peak, background):
    """PPN2V#8, n2v#74: the default lost up to 28 % of the light."""
    counts = np.random.default_rng(0).poisson(peak * SIGNALS[name] + background)
    assert not cut_at(counts, counts.min())
    assert not cut_at(counts, counts.max())


@pytest.mark.parametrize("shape", [(256, 256), (16, 64, 64)])
@pytest.mark.parametrize("seed", range(6))
def test_noise_that_goes_on_beyond_white_is_not_cut_there(shape, seed):
    """Of 30 images with up to 240 pixels above 1 and none at it, 19 were taken for clipped."""
    light = gaussian_filter(np.random.default_rng(5).random(shape), 4 if len(shape) == 2 else 2)
    light = (light - light.min()) / np.ptp(light)
    noise = Noise(poisson=0.02, gaussian=0.02, clip=False)
    image = add_noise(light, noise, np.random.default_rng(seed))
    assert clipping(image) is False and estimate_noise(image) is None
    assert fit_noise(image, light).clip is False


@pytest.mark.parametrize("hot", [1, 100, slice(None, None, 256)], ids=["one", "many", "a line"])
def test_hot_pixels_beyond_white_leave_it_found(hot):
    light = gaussian_filter(np.random.default_rng(5).random((256, 256)), 4)
    light = 1.3 * (light - light.min()) / np.ptp(light)
    image = add_noise(light, Noise(gaussian=0.03), np.random.default_rng(0))
    before = clipping(image)
    assert before in ("white", True)
    places = hot if isinstance(hot, slice) else np.random.default_rng(1).permutation(65536)[:hot]
    image.flat[places] = 1.8
    assert clipping(image) == before


def test_a_border_of_zeros_in_noise_around_0_is_no_black():
    noise = np.random.default_rng(0).normal(0.05 * CELL, 0.1)
    assert clipping(np.pad(noise, ((0, 0), (0, 100)))) is False


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "f4", ">f8"])
@pytest.mark.parametrize("value", [0, 3, 20, 1e6])
def test_a_defective_pixel_is_found(value, dtype):
    """mantidimaging#914, ilastik#436: one hot pixel set the scale of the whole image."""
    image = 60 + 40 * CELL + np.random.default_rng(0).normal(0, 2, (256, 256))
    image = image.round().astype(dtype)
    top = np.iinfo(dtype).max if image.dtype.kind in "iu" else np.inf
    image[100, 20] = min(value * float(image.max()), top)
    with pytest.warns(UserWarning, match=r"1 of 65536 pixels stand out .* first at \(100, 20\)"):
        problem = Problem.look(image, PSF)
    assert problem.defects == 1
    assert float(problem.x[100, 20]) == pytest.approx(
        float(problem.x[98:103, 18:23].median()), abs=0.1
    )
    rest = np.delete(image, 20, axis=1).astype(np.float64)
    assert (problem.low, problem.high) == (rest.min(), rest.max())


@pytest.mark.parametrize("beyond", [1, 2, 4])
@pytest.mark.parametrize("photons", [10, 100])
@EACH
def test_a_warm_pixel_is_found_though_the_kernel_is_sharp(name, photons, beyond):
    """The paper's kernel falls to a quarter within a pixel, to as much on all sides; a defect, to nothing."""
    image = 100 + 2 * np.random.default_rng(0).poisson(photons * SIGNALS[name][:128, :128])
    low, high = image.min(), image.max()
    image[60, 60] = high + beyond * (high - low)
    with pytest.warns(UserWarning, match=r"1 of 16384 pixels stand out .* first at \(60, 60\)"):
        assert Problem.look(image, PSF).high == high


def test_a_defect_of_two_by_two_pixels_is_found():
    """As a cosmic ray leaves it."""
    image = np.random.default_rng(0).poisson(400.0, (64, 64))
    high = image.max()
    image[30:32, 40:42] = 60000
    with pytest.warns(UserWarning, match="4 of 4096 pixels stand out"):
        assert Problem.look(image, PSF).high == high


@EACH
@pytest.mark.parametrize("rows", [slice(60, 62), slice(0, 2), slice(60, 63)])
@pytest.mark.parametrize("columns", [slice(40, 42), slice(0, 2), slice(40, 43), slice(40, 46)])
def test_a_group_of_hot_pixels_is_found(name, rows, columns):
    """Six to nine, or four at the border, were the unit of the image, in silence."""
    image = 100 + np.random.default_rng(0).poisson(200 * SIGNALS[name][:128, :128])
    group = np.zeros(image.shape, bool)
    group[rows, columns] = True
    rest = image[~group]
    image[group] = 65535
    with pytest.warns(UserWarning, match=f"image: {group.sum()} of 16384 pixels stand out"):
        problem = Problem.look(image, PSF)
    assert (problem.low, problem.high) == (rest.min(), rest.max())


@pytest.mark.parametrize("name", SIGNALS)
def test_no_pixel_of_a_good_image_is_taken_for_a_defect(name, recwarn):
    rng, signal = np.random.default_rng(0), SIGNALS[name]
    images = [offset_camera(signal, rng), degrade(load_sample(name), PSF), load_sample(name)]
    images += [rng.poisson(peak * signal) for peak in (0.1, 1, 10, 1000)]
    for image in images:
        assert Problem.look(image, PSF).defects == 0
    assert not recwarn


def gauss(sigma, n):
    """A Gaussian kernel of n x n pixels."""
    line = np.exp(-0.5 * ((np.arange(n) - n // 2) / sigma) ** 2)
    return np.outer(line, line) / line.sum() ** 2


MOTION = np.zeros((9, 9))
MOTION[4] = 1 / 9
DEFOCUSED = gibson_lanni(Microscope(na=0.8, wavelength=0.6, pixel_size=0.2, size=25, defocus=1.0))


@pytest.mark.parametrize("psf", [MOTION, DEFOCUSED], ids=["motion", "defocused"])
def test_points_are_no_groups_of_defects(psf):
    """The light of a line ends beside it, and what lies around a defocused point is of one brightness."""
    points = np.zeros((96, 96))
    points[20::24, 20::24] = 7000 / psf.max()
    rng = np.random.default_rng(0)
    counts = 100 + rng.poisson(blur(points, psf).clip(0)) + rng.normal(0, 3, points.shape)
    where, _ = standing_out(counts.round(), psf, step=1.0)
    assert not len(where[0])


@EACH
@pytest.mark.parametrize(
    "recorded",
    [
        lambda counts: counts.astype(np.float32),
        lambda counts: (16 * counts).astype(np.uint16),
        lambda counts: counts * np.linspace(0.9, 1.1, 256),
    ],
    ids=["floats", "16 levels", "flat-fielded"],
)
def test_single_photons_are_no_defects_in_any_unit(name, recorded):
    """Beside pixels without a photon, those with two were taken for defects, and a hot one was not."""
    image = recorded(np.random.default_rng(0).poisson(0.1 * SIGNALS[name][:256, :256]))
    low, high = image.min(), image.max()
    assert Problem.look(image, PSF).defects == 0
    image[100, 20] = min(30 * high, 65535)
    with pytest.warns(UserWarning, match="1 of 65536 pixels stand out"):
        problem = Problem.look(image, PSF)
    assert (problem.low, problem.high) == (low, high)


def test_amplified_photons_are_no_defects():
    """The brightest of single ones, 35 with 6 % of all light, were taken for defects."""
    image = emccd(0.2 * CELL, np.random.default_rng(0), photons=1)
    assert Problem.look(image, PSF).defects <= 1


def test_beads_as_sharp_as_the_kernel_are_no_defects():
    """In focus the paper's kernel has 83 % of its light in one pixel."""
    from siamdecon import Microscope
    from siamdecon.microscope import gibson_lanni

    psf, points = gibson_lanni(Microscope(defocus=0.0)), np.zeros((64, 64))
    points[16::16, 16::16] = np.random.default_rng(0).uniform(100, 60000, (3, 3))
    image = np.random.default_rng(0).poisson(blur(points, psf).clip(0) + 100)
    assert Problem.look(image, psf).defects == 0


def test_points_on_nothing_are_no_defects():
    image = np.zeros((40, 40))
    image[20, 20] = 1
    assert Problem.look(image, np.full((3, 3), 1 / 9)).defects == 0


def test_many_are_noise_unless_far_beyond_all_else():
    values, places = np.full(300, 1.9), np.random.default_rng(0).integers(0, 100, (2, 300))
    assert not far_out(values, places, 0, 1, 10_000).any()
    assert far_out(values + 2, places, 0, 1, 10_000).all()
    assert far_out(values[:20], places[:, :20], 0, 1, 10_000).all()


def test_a_stack_is_looked_at_plane_by_plane():
    """A defect of the camera lies at the same place in every plane."""
    stack = np.random.default_rng(0).poisson(100, (9, 40, 40)).astype(np.uint16)
    stack[:, 7, 9] = 40000
    where, instead = standing_out(stack, np.ones((3, 3, 3)) / 27)
    assert [tuple(w) for w in zip(*where, strict=True)] == [(z, 7, 9) for z in range(9)]
    assert np.all(instead < 150)


def test_defects_are_found_whatever_the_slab(monkeypatch):
    stack = np.random.default_rng(0).poisson(100, (9, 40, 40)).astype(np.uint16)
    stack[4, 7, 9], stack[8, 0, 39], stack[0, 39, 0] = 40000, 50000, 0
    source, find = Image(stack, "ZYX"), lambda slab: standing_out(slab, np.ones((3, 3, 3)) / 27)
    whole = look_through(source, (None, None), find, far_out)
    monkeypatch.setattr("siamdecon.files.on_disk._SLAB", 1)
    planes = look_through(source, (None, None), find, far_out)
    assert sorted(map(tuple, planes.defects.T.tolist())) == [(0, 39, 0), (4, 7, 9), (8, 0, 39)]
    for found in (whole, planes):
        clean = found.whole().numpy().astype(np.float64)
        assert (clean.min(), clean.max()) == (0, 1)
        # sums of 14 400 values in float64, and a mean of float32 ones: eps / 2 of the range each
        assert found.mean() == pytest.approx(clean.mean(), abs=1e-7)
        assert found.std() == pytest.approx(clean.std(), abs=1e-7)
    window = (slice(3, 6), slice(5, 9), slice(8, 12))
    np.testing.assert_array_equal(planes[window], planes.whole()[window])


@pytest.mark.parametrize("limits", [(0, 1), (0, None), (None, 1), (None, None)])
def test_limits_are_what_the_user_says(limits):
    problem = Problem.look(SIGNALS["cell"] * 0.5 + 0.2, PSF, limits=limits)
    image = SIGNALS["cell"] * 0.5 + 0.2
    ends = [
        given if given is not None else found
        for given, found in zip(limits, (image.min(), image.max()), strict=True)
    ]
    assert [problem.low, problem.high] == pytest.approx(ends)
    assert problem.clipping == {2: True, 0: False}.get(
        sum(v is not None for v in limits), problem.clipping
    )
    assert problem.bounded == (None not in limits)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_limits_may_be_an_array(kind):
    problem = Problem.look(CELL, PSF, limits=kind([0.0, 0.5]))
    assert (problem.low, problem.high, problem.bounded) == (0, 0.5, True)


def test_a_level_that_no_pixel_is_near_does_not_count():
    """As the unit, the white of a 16-bit camera left a dim image in a hundredth of the range."""
    image = 100 + 1000 * CELL
    near, far, none = (
        Problem.look(image, PSF, limits=limits) for limits in ((0, 500), (0, 65535), (None, None))
    )
    assert (near.low, near.high, near.clipping) == (0, 500, True)
    assert (far.low, far.high, far.clipping) == (0, none.high, "black")


def test_levels_that_pixels_are_beyond_are_said():
    """The estimate was cut at 255 of an image up to 3000, in silence."""
    image = 100 + 1000 * CELL
    with pytest.warns(UserWarning, match=r"limits: \d+% of its pixels lie beyond \(0, 255\)"):
        Problem.look(image, PSF, limits=(0, 255))


@pytest.mark.parametrize("width", [1.2, 1.6])
@pytest.mark.parametrize("off", [0, 0.25, 0.5])
def test_spots_between_pixels_are_no_defects(width, off):
    """The kernel of a point between four pixels is sharper than that of one on a pixel."""
    y, x = np.mgrid[:64, :64]
    spots = sum(
        np.exp(-((y - a - off) ** 2 + (x - b - off) ** 2) / 2 / (width / 2.355) ** 2)
        for a in (16, 32, 48)
        for b in (16, 32, 48)
    )
    image = np.random.default_rng(0).poisson(100 + 3000 * spots)
    assert not len(standing_out(image, gauss(width / 2.355, 7), step=1.0)[0][0])


@pytest.mark.parametrize("seed", range(5))
def test_what_takes_up_light_is_no_defect(seed):
    """Of bright field: up to ten pixels of twelve dark spots as sharp as the kernel were left out."""
    rng, (y, x), sigma = np.random.default_rng(seed), np.mgrid[:128, :128], 2 / 2.355
    image = np.full((128, 128), 1000.0)
    for _ in range(12):
        a, b = rng.uniform(8, 120, 2)
        spot = np.exp(-((y - a) ** 2 + (x - b) ** 2) / 2 / sigma**2)
        image -= rng.uniform(250, 800) * spot
    image = (image + rng.normal(0, 10, image.shape)).round()
    assert not len(standing_out(image, gauss(sigma, 9), step=1.0)[0][0])


@pytest.mark.parametrize("limits", [(1, 0), 3, (0,), (0, np.nan), ("black", "white")])
def test_limits_that_are_none(limits):
    with pytest.raises(ValueError, match="limits: expected two numbers, black below white"):
        Problem.look(CELL, PSF, limits=limits)


@pytest.mark.parametrize("limits", [(5, 9), (None, -1), (-9, -5), (2, None)])
def test_limits_beyond_the_image_are_refused(limits):
    """Every pixel became black, or white."""
    with pytest.raises(ValueError, match=r"limits: expected levels around the image's 0\.\d+ to"):
        Problem.look(CELL, PSF, limits=limits)


def test_the_noise_of_a_camera_is_that_of_one_end():
    noise = Noise(gaussian=0.1, clip="black")
    np.testing.assert_allclose(
        noise.mean(np.array([0.0, 1.0])), [0.1 / np.sqrt(2 * np.pi), 1], atol=1e-12
    )
    with pytest.raises(ValueError, match="clip: expected True, False, 'black' or 'white'"):
        Noise(clip="grey")


def test_a_saturated_image_has_its_peaks_free():
    image = CAMERAS["saturated"][0](CELL, np.random.default_rng(0))
    restored = deconvolve(image, PSF, "richardson_lucy", iterations=20)
    assert restored.settings["clipping"] == "white"
    assert restored.image.max() > image.max()


@pytest.mark.parametrize("peak", [150, 1000])
@pytest.mark.parametrize("method", ["richardson_lucy", "total_variation"])
def test_a_dead_pixel_does_not_make_black(method, peak):
    """One of 0 on a background of 10 became the unit's 0: Lucy-Richardson changed by 2 % everywhere."""
    image = np.random.default_rng(1).poisson(peak * CELL[:96, :96] + peak / 15)
    dead = image.copy()
    dead[40, 40] = 0
    assert image[38:43, 38:43].min() > image.min() > 0
    with pytest.warns(UserWarning, match="1 of 9216 pixels stand out"):
        found = deconvolve(dead, PSF, method).image
    far = np.hypot(*(np.mgrid[:96, :96] - 40)) > 40
    difference = np.abs(found - deconvolve(image, PSF, method).image)[far]
    assert difference.max() < 0.01 * np.ptp(image)


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("shape", [(96, 96), (12, 48, 48)])
def test_a_line_of_defects_is_found_in_a_small_image(shape, value):
    """More than one pixel in a hundred: the bulk of the values took them in."""
    image = np.random.default_rng(0).poisson(200 + 100 * CELL[: shape[-2], : shape[-1]], shape)
    broken = image.copy()
    broken[..., 20] = value
    with pytest.warns(UserWarning, match=f"{image[..., 0].size} of {image.size} pixels stand out"):
        problem = Problem.look(broken, np.ones((3,) * len(shape)) / 3 ** len(shape))
    others = np.delete(image, 20, axis=-1)
    assert (problem.low, problem.high) == (others.min(), others.max())


def photons(shape=(96, 96), bright=400):
    """Points on a background of 100 counts."""
    light = np.random.default_rng(1).random(shape) ** 60
    return np.random.default_rng(2).poisson(100 + bright * gaussian_filter(light, 2.0)).astype("u2")


def cells(sigma, bright):
    """Cells with edges as sharp as light has them, on black."""
    inside = gaussian_filter(np.random.default_rng(2).normal(size=(128, 128)), 9.0) > 0.03
    return bright * gaussian_filter(inside.astype(float), sigma)


@pytest.mark.parametrize("border", [20, 60, 150])
def test_the_noise_is_not_that_of_what_was_filled_up(border):
    """stitching-spark#22, AstroPack#1199: 75 % of zeros took two fifths off the noise of the rest."""
    image = photons()
    padded = np.pad(image, border)
    assert filled(padded).mean() == pytest.approx(1 - image.size / padded.size, abs=0.01)
    assert noise_level(padded) == pytest.approx(noise_level(image), rel=1e-3)
    assert inspect(padded).noise == pytest.approx(inspect(image).noise, rel=1e-3)


FILLS = {"median": np.median, "mean": np.mean, "highest": np.max, "0 once subtracted": lambda _: 0}


def noisy_cell():
    """A cell blurred by a Gaussian, with noise of 20 on a signal of 500."""
    line = np.exp(-((np.arange(9) - 4) ** 2) / 4.5)
    psf = np.outer(line, line) / line.sum() ** 2
    x = load_sample("cell")[60:188, 60:188].astype(float)
    signal = 100 + 500 * blur((x - x.min()) / np.ptp(x), psf)
    return signal + np.random.default_rng(0).normal(0, 20, x.shape), psf


@pytest.mark.parametrize("columns", [64, 124])
@pytest.mark.parametrize("name", FILLS)
def test_the_noise_is_not_that_of_an_area_of_one_value(name, columns):
    """The median, which our own message advises, took half off the noise, or all of it."""
    image, psf = noisy_cell()
    image = image - np.median(image) * (name == "0 once subtracted")
    padded = np.pad(image, ((0, 0), (0, columns)), constant_values=FILLS[name](image))
    assert inspect(padded).noise == pytest.approx(20, rel=0.1)
    found, alone = (
        deconvolve(x, psf, "total_variation", limits=(None, None), progress=False).image
        for x in (padded, image)
    )
    inside = slice(0, 112)
    far = np.std(found[:, inside] - alone[:, inside]) / np.std(alone[:, inside])
    assert far < 0.05
    scaled = (padded - padded.min()) / np.ptp(padded)
    noise = find_noise(scaled, psf)
    assert noise.gaussian * np.ptp(padded) == pytest.approx(20, rel=0.1)
    assert noise.salt_and_pepper < 0.005


def test_clipped_noise_is_not_that_of_an_area_of_one_value():
    light = gaussian_filter(np.random.default_rng(1).random((128, 128)), 4)
    light = (light - light.min()) / np.ptp(light) * 1.1 - 0.1
    image = np.random.default_rng(2).normal(light, 0.1).clip(0, 1)
    padded = np.pad(image, ((0, 0), (0, 124)), constant_values=np.median(image))
    for x in (image, padded):
        assert estimate_noise(x).gaussian == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_the_noise_is_not_that_of_what_is_saturated(share):
    image, _ = noisy_cell()
    image = 3 * (gaussian_filter(image, 3) - 100) + image - gaussian_filter(image, 1)
    assert noise_level(np.minimum(image, np.quantile(image, 1 - share))) == pytest.approx(
        noise_level(image), rel=0.1
    )


def test_thin_lines_on_white_show_some_noise():
    image = np.full((128, 128), 255.0)
    image[:, ::12] = 0
    assert np.isfinite([noise_level(image), fit_noise(image / 255, image / 255).gaussian]).all()


@pytest.mark.parametrize("mean", [0.01, 0.2, 3])
def test_few_grey_levels_are_not_taken_for_what_was_filled_up(mean):
    counts = np.random.default_rng(0).poisson(mean, (128, 128)) + 100.0
    rounded = np.rint(100 + np.random.default_rng(0).normal(0, 0.2, (128, 128)))
    ramp = np.rint(rounded + np.linspace(0, 20, 128))
    half = np.where(np.arange(128) < 64, rounded, counts)
    assert all(without_noise(x) is None for x in (counts, rounded, ramp, half))


@pytest.mark.parametrize(
    "fill",
    [
        lambda stack: np.concatenate([stack, 0 * stack[:3]]),
        lambda stack: np.array(
            [np.pad(p, ((0, 0), (2 * z, 40 - 2 * z))) for z, p in enumerate(stack)]
        ),
        lambda stack: rotate(stack, 20, (1, 2), order=1),
    ],
    ids=["blank planes", "deskewed", "turned"],
)
def test_what_was_filled_up_is_said(fill):
    """LLSpy#10, biahub#118: the edge of such an area rings."""
    stack = fill(photons((9, 64, 64)))
    with pytest.warns(UserWarning, match="image: .* as where a stack was filled up") as said:
        Problem.look(stack, np.ones((3, 3, 3)) / 27)
    assert len(said) == 1


@pytest.mark.parametrize(
    "image",
    [
        photons(bright=6000),
        np.random.default_rng(0).poisson(0.01 + gaussian_filter(np.eye(96), 2.0)),
        np.random.default_rng(0).normal(photons() - 110.0, 9).clip(0),
        gaussian_filter(np.eye(96)[:, ::3] * 900, 1.5),
        np.random.default_rng(0).random((96, 96)) < 0.01,
        np.random.default_rng(0).poisson(cells(1.0, 200)),
        (np.random.default_rng(0).poisson(cells(2.0, 2000) + 10) - 18).clip(0),
    ],
    ids="bright_points few_photons clipped no_noise one_photon_or_none cells cells_clipped".split(),
)
def test_darkness_is_not_taken_for_what_was_filled_up(image, recwarn):
    assert filled(image) is None
    assert not unmeasured(image)


@pytest.mark.parametrize("subtracted", [110, 100])
def test_numbers_that_wrap_around_are_said(subtracted):
    """numpy#21237, scikit-image#4365: a background taken off unsigned numbers leaves 65535 in place of -1."""
    image = photons()
    with pytest.warns(
        UserWarning, match="image: more than half of its range is empty, and .* below 0"
    ):
        Problem.look(image - np.uint16(subtracted), np.ones((3, 3)) / 9)


def test_a_scale_bar_is_said():
    image = photons()
    image[80:83, 50:90] = 65535
    with pytest.warns(UserWarning, match="and 120 pixels lie beyond, as a drawn bar does"):
        Problem.look(image, np.ones((3, 3)) / 9)
