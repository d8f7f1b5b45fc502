"""Oracles: what the docstrings promise, measured with scipy.ndimage and Fourier transforms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from siamdecon import PAPER_3D, affine_score, degrade, paper_psf, richardson_lucy
from siamdecon.files import phantoms

DRAW = {
    name: getattr(phantoms, name)
    for name in ("filaments", "microtubules", "nuclei", "membranes", "vesicles")
}
sides = st.integers(16, 40)
shapes = st.tuples(sides, sides) | st.tuples(st.integers(1, 12), sides, sides)


@pytest.fixture(params=DRAW)
def draw(request):
    return DRAW[request.param]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(DRAW.values())), shapes, st.integers(0, 2**32))
def test_range_shape_and_seed(draw, shape, seed):
    image = draw(shape, seed)
    assert image.shape == shape and image.dtype == np.float32
    assert np.isfinite(image).all() and image.min() >= 0 and image.max() == 1
    assert image.std() > 0.01
    np.testing.assert_array_equal(image, draw(np.array(shape), seed))
    assert np.abs(image - draw(shape, seed + 1)).max() > 0.01


@pytest.mark.parametrize(
    "shape",
    [
        (64,),
        (4, 4, 64, 64),
        (64, 15),
        (15, 64),
        (8, 64, 8),
        (0, 64, 64),
        (-64, 64),
        (64.0, 64),
        64,
        "64",
        None,
        ("64", "64"),
    ],
)
def test_wrong_shapes_are_refused(draw, shape):
    with pytest.raises(ValueError, match=r"expected \(y, x\) or \(z, y, x\).*at least 16.*\(128"):
        draw(shape)


def test_the_global_random_state_is_left_alone(draw):
    before = np.random.get_state()[1].copy()  # noqa: NPY002  that very state
    draw((16, 16))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_content_fills_the_whole_image(draw):
    image = draw((24, 160, 160), 3)
    blocks = image.reshape(2, 12, 2, 80, 2, 80).std(axis=(1, 3, 5))
    assert blocks.min() > 0.25 * blocks.max()


def test_filaments_are_thin():
    image = phantoms.filaments((256, 256), 2)
    assert 0.02 < (image > 0.1).mean() < 0.5
    # An opening by a disc as wide as a tube leaves only bundles.
    disc = np.hypot(*np.mgrid[-3:4, -3:4]) <= 3
    assert (ndimage.grey_opening(image, footprint=disc) > 0.3).mean() < 0.02


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(1, 14)] * 3), min_size=1, max_size=5), st.integers(2, 3))
def test_points_are_drawn_where_they_lie_between_pixels(points, ndim):
    # Antialiasing: sum and centre of mass of what is drawn are those of the points themselves.
    points = np.array(points)[:, :ndim]
    weights = np.linspace(1, 2, len(points))
    image = phantoms._splat(np.full(ndim, 16), points, weights)
    assert image.sum() == pytest.approx(weights.sum(), rel=1e-5)
    centre = np.average(points, axis=0, weights=weights)
    np.testing.assert_allclose(ndimage.center_of_mass(image), centre, atol=1e-4)


def test_volumes_of_filaments_are_sparse():
    image = phantoms.filaments((32, 128, 128), 2)
    assert 0.001 < (image > 0.1).mean() < 0.1


def test_nuclei_are_separate_round_blobs():
    image = phantoms.nuclei((256, 256), 2)
    labels, n = ndimage.label(ndimage.gaussian_filter(image, 2) > 0.12)
    assert 15 < n < 60
    areas = ndimage.sum_labels(np.ones_like(image), labels, np.arange(1, n + 1))
    assert 0.3 * np.pi * 16**2 < np.median(areas) < 2 * np.pi * 16**2
    inside = image[ndimage.binary_erosion(labels > 0, iterations=6)]
    assert inside.std() / inside.mean() > 0.2  # mottled, not flat


def test_membranes_close_cells_with_thin_walls():
    image = phantoms.membranes((256, 256), 2)
    cells, n = ndimage.label(image < 0.12)
    areas = np.sort(ndimage.sum_labels(np.ones_like(image), cells, np.arange(1, n + 1)))
    assert 60 < n and areas[-1] < 0.05 * image.size  # no cell leaks into all others
    assert (image > 0.3).mean() < 0.25


def test_vesicles_are_dots_and_rings_on_a_dim_ground():
    image = phantoms.vesicles((256, 256), 2)
    assert 0.01 < np.median(image) < 0.2
    assert (image > 0.4).mean() < 0.1
    bright = image > 0.3
    hollow = ndimage.binary_fill_holes(bright) & ~bright
    _, rings = ndimage.label(hollow)
    _, spots = ndimage.label(bright)
    assert rings > 10 and spots > 2 * rings / 1.5


def test_classical_gains_on_the_volume_are_the_papers():
    """Table S2: PSNR up to contrast, over that of a flat estimate, which is near 21.05 dB."""
    clean, psf = phantoms.microtubules((128, 256, 512)), paper_psf(3)
    noisy, estimates = degrade(clean, psf, PAPER_3D), {}

    def keep(n, estimate):
        if n in (2, 5):
            estimates[n] = estimate.copy()

    richardson_lucy(noisy, psf, 5, callback=keep)
    found = {n: affine_score(clean, e) for n, e in {0: noisy, **estimates}.items()}
    assert abs(found[0]["floor"] - 21.05) < 0.3
    for n, gain in {0: 0.16, 2: 1.35, 5: 0.75}.items():
        assert abs(found[n]["psnr"] - found[n]["floor"] - gain) < 0.1, n
