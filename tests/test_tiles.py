"""Tiles cover the image, and their blend leaves no seam."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamdecon.network.unet import UNet, receptive_field
from siamdecon.tiles import blend, exact, pyramid_weights, tile_starts, windows, with_room


@given(st.integers(1, 300), st.integers(2, 80), st.integers(0, 79))
def test_tiles_cover_an_axis_and_overlap_enough(size, tile, overlap):
    overlap = min(overlap, tile - 1)
    starts = tile_starts(size, tile, overlap)
    covered = np.zeros(size, int)
    for start in starts:
        covered[start : start + tile] += 1
    assert covered.min() >= 1
    assert starts[0] == 0
    assert starts[-1] == max(0, size - tile)
    assert all(b - a <= tile - overlap for a, b in itertools.pairwise(starts))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=3), st.integers(9, 40))
def test_a_pointwise_function_comes_back_unchanged(shape, tile):
    # in float64: up to 729 tiles of 9 share a voxel, whose rounding float32 would add up to 1e-5
    x = torch.rand(2, 1, *shape, dtype=torch.float64)
    torch.testing.assert_close(blend(torch.square, x, tile, overlap=8), x.square())


def test_pyramid_weights_are_the_distance_to_the_nearest_border():
    shape = (5, 8)
    expected = np.empty(shape)
    for y, x in np.ndindex(shape):
        expected[y, x] = min(min(y + 1, 5 - y) / 3, min(x + 1, 8 - x) / 4)
    np.testing.assert_allclose(pyramid_weights(shape), expected, rtol=1e-6)


def test_a_weighted_mean_of_two_tiles():
    """Two tiles that answer 0 and 1: in their overlap the blend rises from one to the other."""
    answers = iter([0.0, 1.0])
    x = torch.zeros(1, 1, 4, 12)
    out = blend(lambda t: torch.full_like(t, next(answers)), x, tile=8, overlap=4)[0, 0, 1]
    assert torch.equal(out[:4], torch.zeros(4))
    assert torch.equal(out[8:], torch.ones(4))
    assert (out[4:8].diff() >= 0).all()
    assert 0 < out[5] < out[6] < 1


def test_tiles_of_a_local_filter_match_the_whole_image_inside():
    x = torch.rand(1, 1, 70, 90)
    box = torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    whole, tiled = box(x), blend(box, x, tile=32, overlap=16)
    assert (whole - tiled).abs().mean() < 0.01


@pytest.mark.parametrize("overlap", [-1, 32, 40])
def test_an_overlap_that_leaves_nothing(overlap):
    with pytest.raises(ValueError, match="less than the tile's 32"):
        blend(torch.square, torch.zeros(1, 1, 64, 64), tile=32, overlap=overlap)


@pytest.mark.parametrize(("n_dim", "shape"), [(2, (77, 130)), (3, (18, 61, 44))])
def test_exact_tiles_of_a_network_are_the_whole_image(n_dim, shape):
    torch.manual_seed(0)
    model = UNet(n_dim, features=2).eval()
    halo = receptive_field(model, n_dim)
    x = torch.randn(1, 1, *shape)
    with torch.inference_mode():
        whole, tiled = model(x), exact(model, x, tile=24, halo=halo, stride=model.stride)
        short = exact(model, x, tile=24, halo=4, stride=model.stride)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    assert (short - whole).abs().max() > 1e-3


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 50), min_size=2, max_size=3),
    st.integers(1, 30),
    st.integers(0, 9),
    st.sampled_from((1, 2, 4)),
)
def test_windows_cover_each_pixel_once_and_hold_their_halo(shape, tile, halo, stride):
    count = np.zeros(shape, int)
    for core, window in windows(tuple(shape), tile, halo, stride):
        count[core] += 1
        for c, w, size in zip(core, window, shape, strict=True):
            assert w.start <= max(0, c.start - halo) and w.stop >= min(size, c.stop + halo)
            assert w.start % stride == 0
            assert w.stop == size or w.stop % stride == 0
    assert (count == 1).all()


@pytest.mark.parametrize("options", [{"tile": 0, "halo": 1}, {"tile": 8, "halo": -1}])
def test_impossible_tiles(options):
    with pytest.raises(ValueError, match="1 or more"):
        exact(torch.square, torch.zeros(1, 1, 8, 8), **options)


def test_the_smallest_tile_is_tried_before_memory_is_said_not_to_suffice():
    """Half of 96 is less than two halos and a stride, 52, of which there is room for a window."""
    sides = []

    def work(side):
        sides.append(side)
        if side > 52:
            raise MemoryError
        return "done"

    with pytest.warns(UserWarning, match="tiles of 52 in place of 96"):
        assert with_room(work, 96, 52) == "done"
    with pytest.raises(MemoryError):
        with_room(work, 53, 53)
    assert sides == [96, 52, 53]
