"""What is accepted, what is refused, and that each message says how to mend it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp

from siamdecon import compare, deconvolve, degrade, richardson_lucy, wiener
from siamdecon.expect import expect, warn
from siamdecon.files.images import Image
from siamdecon.problem import check_image, check_sampling

RAMP = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize("dtype", "bool uint8 uint16 int16 int64 float16 float32 float64".split())
def test_any_real_dtype_becomes_float32_with_the_same_values(dtype):
    image = RAMP.astype(dtype)
    checked = check_image(image)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, image.astype(np.float64))


@pytest.mark.parametrize("image", [RAMP.T, RAMP[::-1, ::2], np.stack([RAMP] * 6)[::2]])
def test_views_become_contiguous(image):
    checked = check_image(image)
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, image)


def test_lists_are_accepted():
    np.testing.assert_array_equal(check_image([[1, 2]]), [[1, 2]])


@given(
    hnp.arrays(
        hnp.scalar_dtypes().filter(lambda dtype: dtype.kind in "buif"),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6),
    )
)
def test_an_image_is_restorable_or_refused_by_name(image):
    before = image.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # float64 beyond float32 is counted as infinite
        try:
            checked = check_image(image, name="my image")
        except ValueError as error:
            assert str(error).startswith("my image: ")
        else:
            assert checked.shape == image.shape and checked.ndim in (2, 3)
            assert np.isfinite(checked).all() and checked.min() < checked.max()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "mend"),
    [
        (
            np.ones((9, 9, 3)),
            r"\(9, 9, 3\), which looks like colour; take one channel, image\[..., 0\]",
        ),
        (np.ones((9, 9, 4)), r"looks like colour; .* skimage.color.rgb2gray"),
        (np.ones(9), r"expected grey values \(y, x\) or \(z, y, x\), got shape \(9,\); pick one"),
        (np.ones((2, 2, 9, 9)), r"pick one channel and one time point, for example image\[0\]"),
        (np.ones((0, 9)), r"got shape \(0, 9\)"),
        (np.float64(3), r"got shape \(\)"),
        (RAMP * 1j, "expected real numbers, got dtype complex128"),
        (torch.eye(3) * 1j, "expected real numbers, got dtype complex64"),
        (np.array([["a", "b"]]), "expected real numbers, got dtype <U1"),
        (np.array([[None, 1]]), "expected real numbers, got dtype object"),
        (np.array([[np.nan, 1], [np.inf, 2]]), "got 2 NaN or infinite pixels of 4; .*nanmedian"),
        (np.array([[-np.inf, 1]]), "got 1 NaN or infinite pixels of 2"),
        (np.full((3, 3), 7), "every pixel is 7; there is nothing to restore"),
    ],
)
def test_images_are_refused_with_the_way_to_mend_them(image, mend):
    with pytest.raises(ValueError, match=f"^image: .*{mend}"):
        check_image(image)


@pytest.mark.parametrize("shape", [(3, 9, 4), (9, 3, 3), (4, 4, 4)])
def test_thin_volumes_are_not_taken_for_colour(shape):
    image = np.arange(np.prod(shape)).reshape(shape)
    assert check_image(image).shape == shape


HOT = np.random.default_rng(0).poisson(100, (30, 30))
HOT[14, 15] = 60000
WIDE = np.ones((3, 3))  # a sum of 9, which is said


@pytest.mark.parametrize(
    "call",
    [
        lambda: deconvolve(HOT, WIDE / 9, "wiener", progress=False),
        lambda: deconvolve(HOT, WIDE / 9, "wiener", progress=False, limits=(0, 100)),
        lambda: compare(HOT, WIDE / 9, ["wiener"], progress=False),
        lambda: wiener(np.eye(30), WIDE),
        lambda: richardson_lucy(np.eye(30), WIDE, 1),
        lambda: degrade(np.eye(30), WIDE),
    ],
)
def test_a_warning_is_of_the_line_that_called_the_package(call):
    """Of a line of the package, a notebook shows it in the first cell alone."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        call()
    assert {found.filename for found in caught} == {__file__}


def test_a_folder_beside_the_package_with_a_longer_name_is_outside_of_it():
    script = f"{Path(expect.__code__.co_filename).parent}_scripts/restore.py"
    with warnings.catch_warnings(record=True, action="always") as caught:
        exec(compile("warn('image: dark')", script, "exec"), {"warn": warn})
    assert caught[0].filename == script


def test_a_kernel_that_says_nothing_of_its_voxels_fits_any():
    stack = Image(np.zeros((30, 30, 30)), "ZYX", (0.5, 0.1, 0.1))
    assert check_sampling(np.ones((3, 3, 3)), stack) is None
