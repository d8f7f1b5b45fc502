"""Which kernels are accepted, which are refused, and that each message says how to mend it."""

import itertools
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import center_of_mass, gaussian_filter, gaussian_filter1d

from siamdecon import Microscope, deconvolve, paper_psf
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import centered, check_psf, prepare_psf, without_background
from siamdecon.microscope.psf import gaussian, gibson_lanni, richards_wolf
from siamdecon.problem import Problem


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_kernels_become_float64_with_sum_1(dtype):
    kernel = np.array([[1, 0], [1, 1]], dtype=dtype)
    with pytest.warns(UserWarning, match=r"psf: normalised to sum 1, it was 3$"):
        checked = check_psf(kernel)
    assert checked.dtype == np.float64
    np.testing.assert_allclose(checked, np.array([[1, 0], [1, 1]]) / 3, rtol=1e-15)


def test_lists_are_kernels_too():
    np.testing.assert_array_equal(check_psf([[1.0, 0.0]]), [[1, 0]])


def test_tensors_are_kernels_too():
    kernel = torch.full((2, 2), 0.25, requires_grad=True)
    np.testing.assert_array_equal(check_psf(kernel), np.full((2, 2), 0.25))


@pytest.mark.parametrize("total", [1, 1.0009, 0.9991])
def test_a_sum_that_is_about_1_is_mended_in_silence(total):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_psf(np.full((2, 2), total / 4)).sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("total", [1.0011, 0.9989, 100])
def test_another_sum_is_mended_with_a_warning(total):
    with pytest.warns(UserWarning, match="psf: normalised to sum 1, it was"):
        assert check_psf(np.full((2, 2), total / 4)).sum() == pytest.approx(1, abs=1e-15)


def test_the_warning_points_at_the_line_that_made_the_convolution():
    with pytest.warns(UserWarning, match="psf: normalised") as record:
        PSFConvolution(np.ones((3, 3)))
    assert record[0].filename == __file__


@pytest.mark.parametrize("bad", [(3, 3, 3), (3,)])
def test_a_kernel_with_other_axes_than_the_image_is_refused(bad):
    with pytest.raises(ValueError, match=r"psf: expected 2 axes.*one plane of it$"):
        check_psf(np.full(bad, 1 / np.prod(bad)), n_dim=2)
    with pytest.raises(ValueError, match=r"psf: expected 3 axes.*a 3D image needs a 3D kernel"):
        check_psf(np.full((2, 2), 0.25), n_dim=3)


@pytest.mark.parametrize(
    ("kernel", "mend"),
    [
        ([[np.nan, 1.0]], r"expected finite values, got NaN, infinity or nothing in \(1, 2\)"),
        ([[np.inf, 1.0]], "expected finite values"),
        (np.ones((0, 3)), r"nothing in \(0, 3\)"),
        ([[-0.25, 1.25]], "a minimum of -0.25; take the background of a measured kernel off"),
        (np.zeros((3, 3)), "expected a positive sum, got a kernel that is 0 everywhere"),
        (np.full((2, 2), 0.25 + 1j), "real"),
        (
            np.full((3, 3), 1e308),
            "values that can be summed, got 1e[+]308; divide it by its maximum",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Casting complex")
def test_kernels_are_refused_with_the_way_to_mend_them(kernel, mend):
    with pytest.raises(ValueError, match=f"^psf: .*{mend}"):
        check_psf(kernel)


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=3, max_side=4),
        elements=st.floats(-1, 1e100) | st.sampled_from([np.nan, np.inf, 0, 0.25]),
    )
)
def test_a_kernel_is_a_distribution_or_refused_by_name(kernel):
    before = kernel.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            checked = check_psf(kernel)
        except ValueError as error:
            assert str(error).startswith("psf: ")
        else:
            assert checked.min() >= 0 and checked.sum() == pytest.approx(1)
            assert not np.shares_memory(checked, kernel)
    np.testing.assert_array_equal(kernel, before)


@given(
    n=st.integers(2, 12).map(lambda k: 2 * k + 1),
    shift=st.integers(-12, 12),
    axis=st.integers(0, 2),
)
def test_a_kernel_is_off_centre_beyond_half_of_its_half(n, shift, axis):
    """A spot anywhere on the kernel, counted on a periodic axis, as a corner is."""
    shift = (shift + n // 2) % n - n // 2
    kernel = np.zeros((n, n, n))
    kernel[(n // 2,) * 3] = 1
    kernel = np.roll(kernel, shift, axis=axis)
    if abs(shift) > n / 4:
        with pytest.raises(ValueError, match=f"off along {'zyx'[axis]} "):
            prepare_psf(kernel, (30, 30, 30))
    else:
        assert len(prepare_psf(kernel, (30, 30, 30))[1]) == (shift != 0)


@pytest.mark.parametrize(
    "kernel",
    [
        paper_psf(2),
        paper_psf(3),
        np.ones((5, 9, 9)),
        np.eye(7)[None].repeat(5, axis=0),
        gibson_lanni(Microscope(defocus=0, size=9, planes=9), 3),
        gibson_lanni(Microscope(na=1.2, pixel_size=0.1, size=33), 2),
        richards_wolf(Microscope(na=1.2, pixel_size=0.1, size=33), 2),
        gaussian(Microscope(na=0.4, size=9), 2),
    ],
)
def test_there_is_nothing_to_say_of_a_good_kernel(kernel):
    psf, findings = prepare_psf(kernel / kernel.sum(), (30, 40, 40)[-kernel.ndim :])
    assert findings == []
    np.testing.assert_allclose(psf, kernel / kernel.sum(), rtol=1e-15)


def spot(n, at, sigma=2.0):
    axis = np.exp(-0.5 * ((np.arange(n) - at) / sigma) ** 2)
    return np.outer(axis, axis) / np.outer(axis, axis).sum()


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "total_variation"])
@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("off", [0, 0.5, -1.3])
def test_a_bead_comes_back_where_it_was(method, n, off):
    """imagej-ops#550, ip_diffim#147: a kernel of even size shifted the result by a pixel."""
    bead = gaussian_filter(np.pad([[1000.0]], ((31, 32), (33, 30))), 1.5)
    image = 10 + gaussian_filter(bead, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        psf = spot(n, n // 2 + off)
        restored = deconvolve(image, psf, method, center_psf=bool(off)).image.astype(float)
    restored[restored < 0.3 * restored.max()] = 0
    assert center_of_mass(restored) == pytest.approx((31, 33), abs=0.1)


@pytest.mark.parametrize(("n", "at"), [(33, 20), (33, 23), (32, 15), (32, 15.5), (33, 11.3)])
def test_light_off_the_centre_is_said_and_moved(n, at):
    off = at - n // 2
    with pytest.warns(
        UserWarning,
        match=re.escape(f"psf: its light lies {off:+.1f} pixels off the centre along y"),
    ):
        Problem.look(np.eye(64), spot(n, at))
    psf, findings = prepare_psf(spot(n, at), (64, 64), center=True)
    assert findings == []
    # a cubic spline through a Gaussian of 2 pixels is that Gaussian to a thousandth of its peak
    np.testing.assert_allclose(psf, spot(n, n // 2), atol=2e-3 * psf.max())


@pytest.mark.parametrize("level", [0.02, 0.2, 1])
@pytest.mark.parametrize("at", [17, 20, 22.5])
def test_light_on_a_background_is_moved_as_far(at, level):
    """The centre of mass is the background's: of 4 pixels, with center_psf=True 3 to 4 were left."""
    measured, truth = (spot(33, n) / spot(33, 16).max() + level for n in (at, 16))
    psf, findings = prepare_psf(measured / measured.sum(), (64, 64), center=True)
    assert not any("off the centre" in finding for finding in findings)
    truth /= truth.sum()
    np.testing.assert_allclose(psf, truth, atol=2e-3 * truth.max())


def test_a_kernel_with_its_centre_in_the_corner_is_moved_on_request():
    corner = np.fft.ifftshift(spot(32, 16))
    with pytest.raises(ValueError, match=r"center_psf=True, or numpy.fft.fftshift"):
        prepare_psf(corner, (64, 64))
    np.testing.assert_allclose(centered(corner), np.fft.fftshift(corner), atol=1e-15)


@pytest.mark.parametrize("at", [-5, -1, 1, 2, 5])
@pytest.mark.parametrize("na", [0.8, 1.2])
def test_the_focus_of_a_widefield_kernel_is_found_along_z(na, at):
    """Every plane has the same light: its centre of mass stays where it is, the result moved in silence."""
    optics = Microscope(
        na=na, index=1.33, pixel_size=0.15, z_step=0.4, defocus=0, size=33, planes=31
    )
    psf = gibson_lanni(optics, 3)
    psf = np.roll(psf, 15 - psf.max(axis=(1, 2)).argmax(), axis=0)
    moved = np.roll(psf, at, axis=0)
    (finding,) = prepare_psf(moved, (31, 64, 64))[1]
    assert (
        f"its light lies {at:+.1f} pixels off the centre along z and shifts the result" in finding
    )
    back, findings = prepare_psf(moved, (31, 64, 64), center=True)
    assert findings == [] and back.max(axis=(1, 2)).argmax() == 15


def test_a_kernel_that_is_out_of_focus_is_none_to_refuse():
    optics = Microscope(na=0.8, pixel_size=0.1, z_step=0.3, defocus=3, size=65, planes=17)
    psf = gibson_lanni(optics, 3)
    kept, findings = prepare_psf(psf, (30, 90, 90))
    np.testing.assert_allclose(kept, psf, rtol=1e-15)
    assert "pixels off the centre along z" in findings[0]


@pytest.mark.parametrize("noise", [0, 3])
def test_the_background_of_a_measured_kernel_is_said_and_taken_off(noise):
    """stitching-spark#6: RMSE 54 in place of 14 (Lucy-Richardson), 457 in place of 7 (Wiener)."""
    truth = np.pad(paper_psf(2), 24)
    counts = (
        100 + 1000 * truth / truth.max() + np.random.default_rng(0).normal(0, noise, truth.shape)
    )
    with pytest.warns(UserWarning, match="a background with"):
        Problem.look(np.eye(80), counts)
    psf, findings = prepare_psf(counts, (80, 80), subtract_background=True)
    assert findings == []
    # what lies below three deviations of the noise can't be told from the background
    assert np.abs(psf - truth).sum() < 0.01 + 0.04 * noise
    assert without_background(counts).min() == 0


@pytest.mark.parametrize("photons", [None, 4000], ids=["exact", "counts"])
@pytest.mark.parametrize("level", [0.005, 0.1, 1, 3, 10])
@pytest.mark.parametrize(
    "kernel",
    [
        spot(33, 16),
        spot(32, 16),
        spot(17, 8, 1.5),
        spot(17, 8)[:, 8, None, None] * spot(33, 16),
        gibson_lanni(Microscope(na=1.2, pixel_size=0.1, size=33)),
    ],
    ids=["odd", "even", "small", "3D", "optics"],
)
def test_a_background_of_any_brightness_is_said_with_its_share(kernel, level, photons):
    peak = kernel / kernel.max()
    measured = peak + level
    if photons:
        measured = np.random.default_rng(1).poisson(photons * measured) / photons
    (finding,) = prepare_psf(measured / measured.sum(), (80,) * kernel.ndim)[1]
    share = float(re.search(r"a background with (\d+)% of all light", finding)[1]) / 100
    # rounded to a percent; counts: five deviations of the mean of n pixels, a fifth of them corners
    error = 5 * np.sqrt(level / photons / (0.2 * kernel.size)) / measured.mean() if photons else 0
    # the optics' own light in the corners can't be told from background
    own = np.quantile(peak, 0.2)
    assert abs(share - level / measured.mean()) < 0.006 + error + own / measured.mean()
    assert "subtract_psf_background=True takes it off" in finding
    if not photons:
        left = without_background(measured).sum() / peak.sum()
        assert left == pytest.approx(1, abs=0.01 + own / peak.mean())


@pytest.mark.parametrize("value", [1500, 65535])
@pytest.mark.parametrize("place", [(5, 7), (16, 20), (0, 0)])
@pytest.mark.parametrize("level", [0, 100])
def test_a_hot_pixel_in_a_measured_kernel_is_said_and_left_out(level, place, value):
    """Taken for light, it moved the kernel's centre by up to 11 pixels."""
    truth = gibson_lanni(Microscope(pixel_size=0.15, size=33))
    counts = np.random.default_rng(0).poisson(1000 * truth / truth.max() + level).astype(float)
    counts[place] = value
    psf, findings = prepare_psf(counts, (80, 80), subtract_background=bool(level))
    said = f"1 of 1089 pixels stand out as defects do, the first at {place}"
    assert any(said in finding for finding in findings)
    # photons of a peak of 1000 counts, 2 % of them; and 3 % a pixel of the rest
    assert np.abs(psf - truth).sum() < 0.2
    assert np.unravel_index(psf.argmax(), psf.shape) == pytest.approx((16, 16), abs=1)


@pytest.mark.parametrize("na", [0.5, 0.72, 0.8, 0.88, 1.0])
@pytest.mark.parametrize("moved", [(0, 0), (3, -2)])
def test_the_middle_of_a_kernels_rings_is_no_hot_pixel(na, moved):
    """Up to 3 % of the light of one computed kernel in twenty was taken for a defect."""
    for defocus in np.arange(-6, 6.1, 0.2):
        optics = Microscope(na=na, defocus=float(defocus), size=33)
        psf = np.roll(gibson_lanni(optics), moved, axis=(0, 1))
        found, findings = prepare_psf(psf, (80, 80))
        assert not any("defects" in finding for finding in findings)
        np.testing.assert_allclose(found, psf, rtol=1e-12)


def rough():
    """Kernels of motion, sharp and smoothed a little, and of two spots."""
    rng, n = np.random.default_rng(0), 31
    for _ in range(100):
        steps = gaussian_filter1d(rng.normal(size=(2, 400)), 40, axis=1)
        path = np.cumsum(steps, axis=1)
        path -= path.mean(axis=1, keepdims=True)
        path *= rng.uniform(1, 12) / np.abs(path).max()
        motion = np.histogram2d(*(15 + path), bins=n, range=[[0, n]] * 2)[0]
        yield from (motion, gaussian_filter(motion, 0.6))
        spots, angle, far = np.zeros((n, n)), rng.uniform(0, np.pi), rng.uniform(2, 8)
        for side, light in ((far, 1), (-far, rng.uniform(0.3, 1))):
            spots[int(15 + side * np.sin(angle)), int(15 + side * np.cos(angle))] = light
        yield gaussian_filter(spots, rng.uniform(0.5, 1.5))


def test_a_rough_kernel_keeps_its_light():
    """Of one in ten, pixels with up to 41 % of the light were taken for defects."""
    for psf in rough():
        found, findings = prepare_psf(psf, (80, 80))
        assert not any("defects" in finding for finding in findings)
        np.testing.assert_allclose(found, psf / psf.sum(), rtol=1e-12)


def computed():
    """2700 kernels: in focus and out of it, much larger than their light and much smaller."""
    for na, index in ((0.3, 1), (0.5, 1), (0.8, 1), (1.0, 1.33), (1.2, 1.33), (1.45, 1.518)):
        for pixel_size, wavelength in itertools.product((0.03, 0.065, 0.1, 0.2, 0.4), (0.45, 0.8)):
            for model, n_dim, defocus in (
                (gibson_lanni, 2, 0),
                (gibson_lanni, 2, 1),
                (gibson_lanni, 2, 3),
                (gaussian, 2, 0),
                (gibson_lanni, 3, 0.5),
            ):
                optics = Microscope(
                    na=na,
                    index=index,
                    pixel_size=pixel_size,
                    wavelength=wavelength,
                    defocus=defocus,
                    size=65,
                    planes=9,
                )
                whole = model(optics, n_dim)
                for n in (5, 7, 9, 11, 13, 17, 21, 33, 65):
                    psf = whole[..., 32 - n // 2 : 33 + n // 2, 32 - n // 2 : 33 + n // 2]
                    yield psf / psf.sum()


def test_a_kernel_cut_along_z_is_said_to_be():
    """With 5 of 31 planes, restored spots lost 37 % of their height, in silence."""
    z, y, x = np.ogrid[-15:16, -10:11, -10:11]
    whole = np.exp(-(z**2 / 50 + (y**2 + x**2) / 8))
    said = (
        "last plane has 92% of its peak: it has too few planes for its light; compute or cut more"
    )
    assert said in " ".join(prepare_psf(whole[13:18], (32, 64, 64))[1])
    for kernel, shape in (
        (whole, (64, 64, 64)),  # ends at 1 %
        (whole[13:18], (5, 64, 64)),  # as far as computed kernels go
        (whole[13:18], (6, 64, 64)),
        (np.ones((3, 3, 3)), (32, 64, 64)),  # a box ends where it does
        (paper_psf(3), (64, 64, 64)),
        (whole[15], (64, 64)),
    ):
        assert prepare_psf(kernel / kernel.sum(), shape)[1] == []


def test_no_computed_kernel_has_a_background_and_those_cut_too_small_are_said_to_be():
    kernels, cut = 0, 0
    for psf in computed():
        findings = " ".join(prepare_psf(psf, (80,) * psf.ndim)[1])
        assert "background" not in findings and "defects" not in findings
        rim = np.concatenate([psf[..., [0, -1], :].ravel(), psf[..., 1:-1, [0, -1]].ravel()])
        small = 0.05 <= np.median(rim) / psf.max() <= 0.999
        assert ("too small for its light" in findings) == small
        kernels, cut = kernels + 1, cut + small
    assert kernels == 2700 and cut > 500


@pytest.mark.parametrize("shape", [(64, 64), (12, 13), (5, 64)])
def test_a_kernel_larger_than_the_image_is_cropped_around_its_centre(shape):
    wide = spot(33, 16)
    psf, findings = prepare_psf(wide, shape)
    kept = tuple(min(33, 2 * m - 1) for m in shape)
    assert psf.shape == kept
    assert np.unravel_index(psf.argmax(), kept) == tuple(n // 2 for n in kept)
    assert psf.sum() == pytest.approx(1)
    assert len(findings) == (kept != (33, 33))
    lost = 1 - wide[tuple(slice(16 - k // 2, 16 - k // 2 + k) for k in kept)].sum()
    assert all(f"{lost:.1%} of its light is lost" in finding for finding in findings)


def test_what_a_transform_leaves_below_0_is_rounding():
    psf = paper_psf(2).astype(np.float32)
    transformed = np.fft.irfft2(np.fft.rfft2(psf), s=psf.shape).astype(np.float32)
    transformed[0, 0] = -1e-9
    assert check_psf(transformed).min() == 0
    with pytest.raises(ValueError, match="expected values of 0 or more"):
        check_psf(psf - 1e-2 * psf.max())
