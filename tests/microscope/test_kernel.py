"""Which kernels are accepted, which are refused, and that each message says how to mend it."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamdecon import Microscope, paper_psf
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import check_psf, check_psf_fits
from siamdecon.microscope.psf import gibson_lanni


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
        ([[-0.25, 1.25]], "a minimum of -0.25; subtract the background .* and clip it at 0"),
        (np.zeros((3, 3)), "expected a positive sum, got a kernel that is 0 everywhere"),
        (np.full((2, 2), 0.25 + 1j), "real"),
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
            check_psf_fits(kernel, (30, 30, 30))
    else:
        check_psf_fits(kernel, (30, 30, 30))


@pytest.mark.parametrize(
    "kernel",
    [
        paper_psf(3),
        np.ones((5, 9, 9)),
        np.eye(7)[None].repeat(5, axis=0),
        gibson_lanni(Microscope(defocus=3, size=9, planes=9), 3),
        gibson_lanni(Microscope(defocus=4.5, size=15, planes=7), 3),  # a ring as wide as the kernel
    ],
)
def test_kernels_that_are_where_they_should_be(kernel):
    check_psf_fits(kernel / kernel.sum(), (30, 30, 30))
