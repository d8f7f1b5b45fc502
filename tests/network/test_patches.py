"""Masks, crops, and the symmetries that a kernel allows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamdecon import Microscope, paper_psf
from siamdecon.microscope.psf import gibson_lanni
from siamdecon.network.patches import Symmetry, random_patches, stratified_mask, symmetries


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("n_dim", "side"), [(2, 14), (3, 6)])
def test_the_papers_mask_has_one_pixel_in_each_whole_box(n_dim, side):
    mask = stratified_mask((2, 1, *[side * 3] * n_dim), 0.5, generator())
    for axis in range(2, 2 + n_dim):
        mask = mask.unflatten(axis + (axis - 2), (3, side))  # boxes, then places within a box
    places = tuple(range(3, 3 + 2 * n_dim, 2))
    assert torch.equal(mask.sum(dim=places), torch.ones(2, 1, *[3] * n_dim, dtype=torch.long))


def test_every_place_is_hidden_equally_often():
    mask = stratified_mask((4000, 1, 28, 28), 0.5, generator())
    share = mask.float().mean(dim=(0, 1))
    expected, n = 1 / 14**2, 4000
    # binomial: five standard errors over 784 pixels
    assert abs(share - expected).max() < 5 * (expected * (1 - expected) / n) ** 0.5


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=3), st.floats(0.05, 25), st.integers(0, 99)
)
def test_a_mask_never_has_two_pixels_in_a_box(shape, percent, seed):
    mask = stratified_mask((1, 1, *shape), percent, generator(seed))[0, 0]
    side = round((100 / percent) ** (1 / len(shape)))
    boxes = [tuple(p // side) for p in np.argwhere(mask.numpy())]
    assert mask.shape == tuple(shape)
    assert len(boxes) == len(set(boxes))


@pytest.mark.parametrize(
    "percent", [0, -1, 26, 45]
)  # of 45, boxes of 1 pixel would hide all of them
def test_a_share_out_of_range_is_an_error(percent):
    with pytest.raises(ValueError, match="percent: expected a share above 0 and up to 25"):
        stratified_mask((1, 1, 8, 8), percent, generator())


def test_patches_are_turned_crops_of_the_image():
    image = torch.arange(30 * 40.0).view(30, 40)
    turns = symmetries(np.ones((3, 3)))
    crops = {
        tuple(np.rot90(image[i : i + 28, j : j + 28].numpy(), k)[:: 1 - 2 * flip].ravel())
        for i in range(3)
        for j in range(13)
        for k in range(4)
        for flip in (0, 1)
    }
    patches = random_patches(image, 28, 64, generator(), turns)
    assert patches.shape == (64, 1, 28, 28)
    assert {tuple(p.ravel().tolist()) for p in patches} <= crops
    assert len({tuple(p.ravel().tolist()) for p in patches}) > 40  # of 312


@pytest.mark.parametrize(
    ("voxel_size", "count"),
    [
        ((0.5, 0.1, 0.1), 16),
        ((0.1, 0.1, 0.1), 48),
        ((None, 0.1, 0.1), 48),
        ((3, 2, 1), 8),
        (None, 48),
    ],
)
def test_no_turn_exchanges_axes_of_unequal_voxels(voxel_size, count):
    found = symmetries(np.ones((3, 3, 3)), voxel_size)
    assert len(found) == count
    sizes = voxel_size or (1, 1, 1)
    for turn in found:
        for new, old in enumerate(turn.order):
            assert None in sizes or sizes[new] == sizes[old]


def test_patches_reach_every_border():
    image = torch.zeros(20, 20)
    image[0, 0] = image[-1, -1] = 1
    patches = random_patches(image, 18, 200, generator())
    assert patches[:, 0, 0, 0].max() == 1
    assert patches[:, 0, -1, -1].max() == 1


def test_an_axis_shorter_than_a_patch_is_covered_whole_and_never_exchanged():
    volume = torch.arange(5.0)[:, None, None].expand(5, 40, 30)  # every voxel holds its plane
    turns = symmetries(np.ones((3, 3, 3)))
    patches = random_patches(volume, 20, 64, generator(), turns)
    assert patches.shape == (64, 1, 5, 20, 20)
    planes = patches[:, 0, :, 0, 0]  # (64, 5): upright or upside down, and never lying
    assert torch.equal(patches[:, 0], planes[:, :, None, None].expand(64, 5, 20, 20))
    assert {tuple(p.tolist()) for p in planes} == {(0, 1, 2, 3, 4), (4, 3, 2, 1, 0)}


def test_the_same_generator_gives_the_same_patches():
    image, turns = torch.rand(50, 50), symmetries(np.ones((3, 3)))
    first, second = (random_patches(image, 16, 8, generator(3), turns) for _ in range(2))
    assert torch.equal(first, second)


def test_symmetries_of_the_papers_kernels():
    assert len(symmetries(paper_psf(2))) == 8
    # no plane of the stack is its centre: z can't be mirrored nor exchanged with x or y
    assert len(symmetries(paper_psf(3))) == 8
    in_focus = Microscope(size=9, planes=9)
    assert len(symmetries(gibson_lanni(in_focus, 3))) == 16


def test_a_motion_blur_keeps_its_direction():
    kernel = np.zeros((5, 5))
    kernel[2, 2:] = 1 / 3
    assert symmetries(kernel) == [Symmetry((0, 1), ()), Symmetry((0, 1), (0,))]


def test_an_even_axis_is_never_flipped():
    assert all(not s.flips for s in symmetries(np.ones((2, 2))))


@settings(max_examples=30)
@given(st.permutations([0, 1, 2]), st.sets(st.integers(0, 2)))
def test_undo_undoes(order, flips):
    symmetry = Symmetry(tuple(order), tuple(sorted(flips)))
    x = torch.rand(2, 1, 3, 4, 5)
    assert torch.equal(symmetry.undo(symmetry(x)), x)


def test_blur_and_symmetry_commute():
    """What the list promises: turning the blurred image is blurring the turned image."""
    from scipy.signal import convolve

    rng = np.random.default_rng(0)
    kernel = np.array([[1.0, 2, 1], [0, 0, 0], [1, 2, 1]])
    image = rng.uniform(size=(9, 9))
    found = symmetries(kernel)
    assert len(found) == 4
    for turn in found:
        blurred = convolve(image, kernel, mode="same")
        turned = turn(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(
            turn(torch.from_numpy(blurred)), convolve(turned, kernel, mode="same"), atol=1e-12
        )
