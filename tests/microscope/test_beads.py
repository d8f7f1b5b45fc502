"""A kernel measured from beads, against the kernel that made them."""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import shift

from siamdecon import Microscope, deconvolve
from siamdecon.cli import main
from siamdecon.files import Image, read_image, write_image
from siamdecon.microscope import gaussian, gibson_lanni, psf_from_beads

KERNELS = {
    "in focus": gibson_lanni(Microscope(na=1.2, pixel_size=0.1, size=21)),
    "out of focus": gibson_lanni(Microscope(pixel_size=0.15, size=25, defocus=1.5)),
    "gaussian": gaussian(Microscope(pixel_size=0.15, size=17)),
    "stack": gibson_lanni(Microscope(na=1.2, pixel_size=0.1, size=15, planes=15, z_step=0.25), 3),
}


def beads(psf, count=9, snr=20, seed=0):
    """Beads at places between the pixels, on a camera's offset, with Poisson and read noise.

    The signal-to-noise ratio is that of a bead's brightest pixel: the root of its photons.
    """
    rng = np.random.default_rng(seed)
    apart = 2 * (max(psf.shape[-2:]) // 2) + 8
    side = int(np.ceil(np.sqrt(count)))
    shape = (apart * side, apart * side) if psf.ndim == 2 else (40, apart * side, apart * side)
    image, wide = np.zeros(shape), np.pad(psf, 2) / psf.max()
    for i in range(count):
        place = np.array([apart * (i // side) + apart // 2, apart * (i % side) + apart // 2])
        place = place if psf.ndim == 2 else np.array([20, *place])
        off = rng.uniform(-0.5, 0.5, psf.ndim)
        bead = shift(wide, off, order=3).clip(0) * snr**2 * rng.uniform(0.8, 1.2)
        where = tuple(
            slice(p - n // 2, p - n // 2 + n) for p, n in zip(place, wide.shape, strict=True)
        )
        image[where] += bead
    return 100 + rng.poisson(image + 5) + rng.normal(0, 2, shape)


def in_common(a, b):
    """Return two kernels on one grid, centre on centre."""
    shape = np.maximum(a.shape, b.shape)
    pads = ([((m - n) // 2,) * 2 for m, n in zip(shape, k.shape, strict=True)] for k in (a, b))
    return [np.pad(k, pad) for k, pad in zip((a, b), pads, strict=True)]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_is_that_of_the_beads(name, seed):
    measured = psf_from_beads(beads(KERNELS[name], seed=seed))
    assert measured.used >= 6
    assert measured.psf.sum() == pytest.approx(1)
    assert measured.psf.min() >= 0 and all(n % 2 for n in measured.psf.shape)
    found, truth = in_common(measured.psf, KERNELS[name])
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.99


def test_the_width_at_half_maximum_is_that_of_a_gaussian():
    sigma = 2.0
    axis = np.exp(-0.5 * ((np.arange(25) - 12) / sigma) ** 2)
    measured = psf_from_beads(beads(np.outer(axis, axis), snr=100))
    # 2 sqrt(2 ln 2) sigma; a per cent of noise at the peak moves the half by as much of a pixel
    assert measured.fwhm == pytest.approx([2.3548 * sigma] * 2, rel=0.03)
    assert measured.spread < 0.02


def test_only_beads_that_lie_alone_are_used():
    image = beads(KERNELS["in focus"], 9)
    clump = np.roll(image, (3, 3), (0, 1))[:29, :29] - 100
    image[:29, :29] += clump  # a second bead beside the first
    image[-3:, 40:43] += 400  # and one at the border
    measured = psf_from_beads(image, size=15)
    assert (measured.found, measured.used) == (11, 8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.random.default_rng(0).poisson(100, (64, 64)),
            "expected beads, got none that stands out",
        ),
        (np.ones((64, 64)), "expected beads, got none"),
        (np.ones((4, 4, 4, 4)), r"expected beads \(y, x\) or \(z, y, x\), got shape"),
        (
            np.pad(np.full((5, 5), 1000.0), ((1, 58), (1, 58))),
            "expected beads that lie apart from each other and from",
        ),
    ],
)
def test_what_is_no_image_of_beads(image, message):
    with pytest.raises(ValueError, match=f"image: {message}"):
        psf_from_beads(image, size=17)


@pytest.mark.parametrize(
    "wrong",
    [{"size": size} for size in (0, (9, -3), 9.5, "9", (9, 9, 9), True)]
    + [{"share": share} for share in (2, 0, None, "a")],
)
def test_what_is_no_size_of_a_kernel(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        psf_from_beads(beads(KERNELS["in focus"]), **wrong)


def test_the_beads_of_one_channel_are_chosen(tmp_path, monkeypatch, capsys):
    """The message named an option that the command line did not have."""
    monkeypatch.chdir(tmp_path)
    image = beads(KERNELS["in focus"]).clip(0).astype(np.float32)
    both = np.stack([np.zeros_like(image), image])
    tifffile.imwrite("two.tif", both, imagej=True, metadata={"axes": "CYX"})
    assert main(["psf", "two.tif", "-o", "psf.tif"]) == 2
    assert "--channel 0 takes the first" in capsys.readouterr().err
    assert main(["psf", "two.tif", "-o", "psf.tif", "--channel", "1"]) == 0
    expected = psf_from_beads(image).psf.astype(np.float32)
    np.testing.assert_array_equal(read_image("psf.tif").data, expected)


def test_the_command_line_makes_kernels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    stack = beads(KERNELS["stack"]).clip(0).astype(np.float32)
    write_image("beads.tif", Image(stack, "ZYX", (0.25, 0.1, 0.1)))
    assert main(["psf", "beads.tif", "-o", "psf.tif"]) == 0
    said = capsys.readouterr().out
    assert "beads, spread" in said and "um" in said
    kernel = read_image("psf.tif")
    assert kernel.voxel_size == pytest.approx((0.25, 0.1, 0.1))
    deconvolve(Image(stack, "ZYX", (0.25, 0.1, 0.1)), kernel, "richardson_lucy", iterations=1)
    optics = ["--na", "1.2", "--wavelength", "0.52", "--pixel", "0.1"]
    assert main(["psf", *optics, "-o", "plane.tif"]) == 0
    assert main(["psf", *optics, "--z-step", "0.3", "-o", "stack.tif"]) == 0
    assert (read_image("plane.tif").ndim, read_image("stack.tif").voxel_size) == (
        2,
        (0.3, 0.1, 0.1),
    )
    assert main(["psf", *optics, "-o", "plane.tif"]) == 2
    assert "plane.tif exists" in capsys.readouterr().err
    assert main(["psf", "-o", "none.tif"]) == 2
    assert "expected an image of beads, or the optics" in capsys.readouterr().err
    for unused in (["beads.tif", "--psf-size", "31"], [*optics, "--bead-size", "31"]):
        assert main(["psf", *unused, "-o", "none.tif"]) == 2
        assert "expected --bead-size for an image of beads, --psf-size" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [0, 12, 22, 39])
def test_a_bead_unlike_the_others_is_left_out(seed):
    """One with another in its window was aligned to that, and its light smeared across the kernel."""
    rng, psf = np.random.default_rng(seed), KERNELS["in focus"] / KERNELS["in focus"].max()
    image = np.zeros((200, 200))
    for y, x in rng.integers(12, 188, (12, 2)):
        image[y - 10 : y + 11, x - 10 : x + 11] += rng.uniform(100, 2000) * psf
    measured = psf_from_beads(100 + rng.poisson(image))
    found, truth = in_common(measured.psf, KERNELS["in focus"])
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("count", [2, 30])
def test_a_defective_pixel_is_no_bead_and_no_part_of_one(count):
    image, rng = beads(KERNELS["in focus"]), np.random.default_rng(3)
    image[2, 20], image[60, 41] = 65535, 40000
    image[tuple(rng.integers(0, 84, (2, count)))] = 65535
    measured = psf_from_beads(image)
    found, truth = in_common(measured.psf, KERNELS["in focus"])
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.99


def like(measured, psf):
    found, truth = in_common(measured.psf, psf)
    return np.corrcoef(found.ravel(), truth.ravel())[0, 1]


@pytest.mark.parametrize("level", [350, 250])
def test_saturated_beads_are_left_out_and_said(level):
    """Cut at their peaks, they made the kernel half as wide again."""
    psf = KERNELS["in focus"]
    image = beads(psf, 9, snr=12)
    bright = beads(psf, 9, snr=60, seed=1)
    image[:58, :58] = bright[:58, :58]  # four of nine
    with pytest.warns(UserWarning, match="image: 4 of 9 beads reach .* as saturated ones do: left"):
        measured = psf_from_beads(np.minimum(image, level))
    assert measured.used <= 5
    assert like(measured, psf) > 0.99
    with pytest.warns(UserWarning, match="the kernel is too wide; expose less"):
        psf_from_beads(np.minimum(bright, level))


@pytest.mark.parametrize("n_dim", [2, 3])
def test_beads_on_an_uneven_background_are_found(n_dim):
    """The background's own spread hid them."""
    psf = KERNELS["in focus" if n_dim == 2 else "stack"]
    image = beads(psf)
    measured = psf_from_beads(image + np.linspace(0, 300, image.shape[-1]))
    assert measured.used >= 6
    assert like(measured, psf) > 0.99


def test_pairs_of_beads_do_not_cut_the_kernel_short():
    """A few beads have another beside them; the window was made to lie between the two."""
    psf = KERNELS["in focus"]
    image = beads(psf, 12)
    pairs = image + np.roll(image - 105, (4, 3), (0, 1)) * (np.arange(image.shape[1]) > 87)
    measured = psf_from_beads(pairs)
    assert min(measured.psf.shape) > 9
    assert like(measured, psf) > 0.99


def test_a_bead_at_the_end_of_a_stack_is_left_out():
    psf = KERNELS["stack"]
    image = beads(psf, 4)
    cut = image.copy()
    cut[:, :, :22] = np.roll(image, -18, axis=0)[:, :, :22]  # two of four lie two planes deep
    measured = psf_from_beads(cut)
    assert measured.used == 2
    assert like(measured, psf) > 0.99


@pytest.mark.parametrize("border", [10, 60])
def test_beads_in_an_image_that_was_filled_up(border):
    """stitching-spark#22: the noise of the rest was taken for 253 beads, of half the width."""
    psf = KERNELS["in focus"]
    image = beads(psf)
    measured = psf_from_beads(np.pad(image, border))
    assert measured.found == psf_from_beads(image).found
    assert like(measured, psf) > 0.99


def test_pixels_that_are_none_are_no_beads():
    image = beads(KERNELS["in focus"])
    image[:3] = np.nan
    with pytest.raises(ValueError, match=r"^image: expected finite values, .*nanmedian"):
        psf_from_beads(image)


def test_beads_that_are_cut_too_small_are_said():
    """MetroloJ_QC#14: what lies at the border of a cut is no background; it took 15 % off the width."""
    image = beads(KERNELS["gaussian"])
    whole = psf_from_beads(image)
    with pytest.warns(UserWarning, match="image: beads are cut out where they have .* too narrow"):
        cut = psf_from_beads(image, size=5)
    assert cut.fwhm[0] < 0.9 * whole.fwhm[0]


@pytest.mark.parametrize("times", [5, 30])
def test_a_clump_far_brighter_than_the_beads_is_said(times):
    """Beads less than a tenth as bright are left out: it made the kernel three times too wide, in silence."""
    image = beads(KERNELS["in focus"])
    distance = np.hypot(*(np.indices(image.shape) - 72))
    with pytest.warns(UserWarning, match="only 1 of its peaks are used, as 8 others have less"):
        psf_from_beads(image + times * 400 * np.exp(-((distance / 4) ** 2) / 2))


@pytest.mark.parametrize("pixel_size", [0.3, 0.406])
def test_beads_as_sharp_as_a_defect_are_kept_and_said(pixel_size):
    """The median of their neighbours took the place of their peaks: 3 and 2 pixels wide in place of 1."""
    psf = gibson_lanni(Microscope(pixel_size=pixel_size, size=17, defocus=0.0))
    image = beads(psf, 16, snr=30)
    with pytest.warns(UserWarning, match="image: beads are as sharp as a defective pixel"):
        measured = psf_from_beads(image)
    assert measured.used >= 8
    # half a pixel off, a bead of one pixel is two pixels wide, on average one and a half
    assert max(measured.fwhm) < 1.5
    assert like(measured, psf) > 0.9


def spots(shape, places, sigmas, amplitudes, seed=0):
    """Gaussian beads on a camera's offset, with read noise."""
    grid = np.indices(shape)
    image = np.full(shape, 100.0)
    for place, amplitude in zip(places, amplitudes, strict=True):
        away = sum(((g - p) / s) ** 2 for g, p, s in zip(grid, place, sigmas, strict=True))
        image += amplitude * np.exp(-away / 2)
    return image + np.random.default_rng(seed).normal(0, 5, shape)


@pytest.mark.parametrize("apart", [12, 16, 20, 30])
@pytest.mark.parametrize("share", [1, 0.6, 0.4, 0.2])
def test_the_light_of_a_neighbour_is_no_part_of_the_kernel(apart, share):
    """Its flank at the window's end outshone the bead: a kernel four times as wide, in silence."""
    places = (48.3, 32.2), (48.3, 32.2 + apart)
    measured = psf_from_beads(spots((96, 96), places, (2, 2), (1000, 1000 * share)))
    assert measured.used == 2
    assert measured.fwhm == pytest.approx([2.3548 * 2] * 2, rel=0.05)


def test_a_bead_beside_saturated_ones_keeps_its_shape():
    """It was erased, and half of a neighbour took its place."""
    places = (48.3, 48.2), (48.3, 72.2), (24.3, 48.2)
    image = spots((96, 96), places, (2, 2), (1000, 20000, 20000)).clip(0, 4095)
    with pytest.warns(UserWarning, match="image: 2 of 3 beads reach 4095, .* left out"):
        measured = psf_from_beads(image)
    assert measured.used == 1
    assert measured.fwhm == pytest.approx([2.3548 * 2] * 2, rel=0.05)


@pytest.mark.parametrize(("planes", "at"), [(5, 2), (9, 2)])
def test_a_stack_that_ends_within_the_beads_is_said(planes, at):
    """5 planes of beads 7.1 wide gave 4.0, and 9 planes with the beads near one end 5.8, in silence."""
    places = [(at, y, x) for y in (20, 60) for x in (20, 60)]
    image = spots((planes, 80, 80), places, (3, 2, 2), [1000] * 4)
    with pytest.warns(UserWarning, match="end along z .* a lower bound; take more planes"):
        measured = psf_from_beads(image)
    assert measured.fwhm[1:] == pytest.approx([2.3548 * 2] * 2, rel=0.05)


def test_a_measured_kernel_is_taken_as_it_is():
    """It was refused: "read a file"."""
    stack = beads(KERNELS["stack"]).clip(0).astype(np.float32)
    measured = psf_from_beads(Image(stack, "ZYX", (0.25, 0.1, 0.1)))
    np.testing.assert_array_equal(measured, measured.psf)
    image, how = Image(stack, "ZYX", (0.25, 0.1, 0.1)), {"iterations": 1}
    one, other = (deconvolve(image, k, "richardson_lucy", **how) for k in (measured, measured.psf))
    np.testing.assert_array_equal(one.image, other.image)
    with pytest.raises(ValueError, match=r"psf: expected voxels of 0\.5 um along z"):
        deconvolve(Image(stack, "ZYX", (0.5, 0.1, 0.1)), measured, "richardson_lucy", **how)
