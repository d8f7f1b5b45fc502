"""Synthetic ground truth that resembles fluorescence microscopy, in 2D and 3D.

All lengths are in pixels and independent of the image's size: a larger image shows more cells. The
same shape and seed give the same image.
"""

import itertools

import numpy as np
import scipy  # which loads scipy.spatial when it is first used
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom
from scipy.special import expit

from siamdecon.expect import expect


def filaments(shape, seed=0):
    """Draw a network of thin curved tubes that cross, such as microtubules.

    Each is a random walk about a direction of its own. Its points are distributed to the surrounding
    pixels with linear weights and smoothed by 0.7 pixels, which makes thin, antialiased curves.

    Parameters
    ----------
    shape : tuple of int
        (y, x) or (z, y, x) in pixels; y and x at least 16.
    seed : int
        Another seed draws another network.

    Returns
    -------
    ndarray, float32, of that shape
        Brightness in [0, 1]; tubes add up where they cross.

    Raises
    ------
    ValueError
        If `shape` is not two or three positive whole numbers, or y or x are too small.

    Examples
    --------
    >>> image = filaments((64, 64))
    >>> image.shape, float(image.max())
    ((64, 64), 1.0)
    """
    size, rng = _check(shape), np.random.default_rng(seed)
    number = int(4 + _share(0.2, size))
    image = _tubes(rng, size, number, 0.7)
    image *= (0.7 * np.sqrt(2 * np.pi)) ** (size.size - 2)  # as bright in 3D as in 2D
    return _scaled(np.tanh(image / 2))  # compresses the brightest crossings


def microtubules(shape, seed=0):
    """Draw a sparse network of curved tubes about 3.5 pixels wide: the volume of the 3D experiments.

    The paper's volume can't be passed on. Width and number of the tubes were fitted such that on
    128 x 256 x 512 voxels, at the paper's noise, the measurement and Lucy-Richardson gain as much over
    a flat estimate as in the paper's Table S2; no other score was looked at. Tubes are drawn as in
    `filaments`.

    Parameters
    ----------
    shape : tuple of int
        (y, x) or (z, y, x) in pixels; y and x at least 16.
    seed : int
        Another seed draws another network.

    Returns
    -------
    ndarray, float32, of that shape
        Brightness in [0, 1]; tubes add up where they cross.

    Raises
    ------
    ValueError
        If `shape` is not two or three positive whole numbers, or y or x are too small.

    Examples
    --------
    >>> microtubules((16, 64, 64)).shape
    (16, 64, 64)
    """
    size, rng = _check(shape), np.random.default_rng(seed)
    number = round(1 + _share(0.05, size))
    return _scaled(np.tanh(1.5**2 * np.pi / 3 * _tubes(rng, size, number, 1.5)))


def nuclei(shape, seed=0):
    """Draw nuclei: blobs of irregular outline with mottled chromatin and dark nucleoli.

    Parameters
    ----------
    shape : tuple of int
        (y, x) or (z, y, x) in pixels; y and x at least 16.
    seed : int
        Another seed draws other nuclei.

    Returns
    -------
    ndarray, float32, of that shape
        Brightness in [0, 1] on a faint background.

    Raises
    ------
    ValueError
        If `shape` is not two or three positive whole numbers, or y or x are too small.

    Examples
    --------
    >>> nuclei((8, 32, 32)).shape
    (8, 32, 32)
    """
    size, rng = _check(shape), np.random.default_rng(seed)
    radii = np.array([9, 16, 16])[-size.size :]
    chromatin, nucleoli = _noise(rng, size, 1.2), _noise(rng, size, 3)
    texture = (1 + 0.22 * chromatin) * (0.3 + 0.7 * expit(4 * nucleoli + 5))
    outline = 0.15 * _noise(rng, size, 9)
    image = np.full(size, 0.02, np.float32)
    for centre in _scattered(rng, size, 2.3 * radii):
        window, offset = _window(size, centre, 2 * radii)
        # A ball, stretched along random directions, then flattened as cells on glass are.
        rotation = np.linalg.qr(rng.standard_normal((size.size, size.size)))[0]
        to_ball = (rotation / rng.uniform(0.75, 1.2, size.size)).T / radii
        distance = np.linalg.norm(np.einsum("ij,j...", to_ball, offset), axis=-1)
        inside = expit(radii.max() * (1 - distance + outline[window]) / 0.6)
        nucleus = rng.uniform(0.4, 1) * inside * texture[window]
        image[window] = np.maximum(image[window], nucleus)
    return _scaled(image)


def membranes(shape, seed=0):
    """Draw the thin, slightly curved walls between close-packed cells, such as an epithelium.

    The cells are Voronoi cells, in slightly distorted coordinates: a wall lies where the two nearest
    seeds are equally distant.

    Parameters
    ----------
    shape : tuple of int
        (y, x) or (z, y, x) in pixels; y and x at least 16.
    seed : int
        Another seed draws other cells.

    Returns
    -------
    ndarray, float32, of that shape
        Brightness in [0, 1], low inside the cells.

    Raises
    ------
    ValueError
        If `shape` is not two or three positive whole numbers, or y or x are too small.

    Examples
    --------
    >>> membranes((32, 48)).shape
    (32, 48)
    """
    size, rng = _check(shape), np.random.default_rng(seed)
    seeds = _scattered(rng, size, np.full(size.size, 22), margin=40)
    bend = 2.2 * np.stack([_noise(rng, size, 10) for _ in size], axis=-1)
    strength, dim = rng.uniform(0.4, 0.9, len(seeds)), rng.uniform(0.01, 0.06, len(seeds))
    patchy = (1 + 0.2 * _noise(rng, size, 4)).clip(0.5, 1.4)
    tree, image = scipy.spatial.cKDTree(seeds), np.empty(size, np.float32)
    others = np.moveaxis(np.indices(size[1:]), 0, -1)
    for first in range(size[0]):  # plane by plane, or row by row, to save memory
        points = np.insert(others, 0, first, axis=-1) + bend[first]
        (near, far), (one, two) = (np.moveaxis(a, -1, 0) for a in tree.query(points, k=2))
        # Distance to the plane halfway between two seeds.
        wall = (far**2 - near**2) / (2 * np.linalg.norm(seeds[two] - seeds[one], axis=-1))
        walls = (strength[one] + strength[two]) / 2 * np.exp(-0.5 * (wall / 0.8) ** 2)
        image[first] = dim[one] + patchy[first] * walls
    return _scaled(image)


def vesicles(shape, seed=0):
    """Draw vesicles: bright dots and hollow rings, scattered in a dim cytoplasm.

    Parameters
    ----------
    shape : tuple of int
        (y, x) or (z, y, x) in pixels; y and x at least 16.
    seed : int
        Another seed draws other vesicles.

    Returns
    -------
    ndarray, float32, of that shape
        Brightness in [0, 1]; in 3D the rings are shells.

    Raises
    ------
    ValueError
        If `shape` is not two or three positive whole numbers, or y or x are too small.

    Examples
    --------
    >>> vesicles((32, 48)).shape
    (32, 48)
    """
    size, rng = _check(shape), np.random.default_rng(seed)
    cell = expit(6 * _noise(rng, size, 40) + 5)
    image = cell * (0.04 + 0.01 * _noise(rng, size, 3)).clip(0)
    n_vesicles = 4 + size.prod() // (130 if size.size == 2 else 2500)
    for centre in rng.uniform(0, size, (n_vesicles, size.size)):
        hollow = rng.uniform() < 0.3
        radius = rng.uniform(2, 4.5) if hollow else 0
        width = rng.uniform(0.6, 0.9) if hollow else rng.uniform(0.7, 1.8)
        brightness = min(1, rng.lognormal(-1.2, 0.7)) * cell[tuple(centre.astype(int))]
        window, offset = _window(size, centre, np.full(size.size, radius + 5 * width))
        shell = (np.linalg.norm(offset, axis=0) - radius) / width
        image[window] += brightness * np.exp(-0.5 * shell**2)
    return _scaled(np.tanh(2 * image))  # compresses the brightest overlaps


def _check(shape):
    """Return `shape` as an integer array."""
    size = np.asarray(shape)
    valid = size.shape in ((2,), (3,)) and size.dtype.kind in "iu"
    valid = valid and size.min() >= 1 and size[-2:].min() >= 16
    expected = "(y, x) or (z, y, x) in whole pixels, with y and x at least 16"
    expect(valid, "shape", expected, shape, "for example (128, 128) or (32, 128, 128)")
    return size.astype(int)


def _share(density, size):
    """Return how many tubes there are: `density` for a pixel of a plane's side, in every 16 planes."""
    return density * np.sqrt(size[-2] * size[-1]) * max(1, size[:-2].sum() / 16)


def _tubes(rng, size, number, width):
    """Draw random walks, each about a direction of its own, smoothed by a Gaussian of `width` pixels."""
    n_steps = int(4 * size.max())
    flat = np.array([0.2, 1, 1])[-size.size :]  # cells are flat, so tubes rarely run along z
    wander = rng.standard_normal((n_steps, number, size.size), dtype=np.float32)
    heading = rng.standard_normal((number, size.size)) + 6 * gaussian_filter1d(wander, 90, axis=0)
    heading *= flat / np.linalg.norm(heading * flat, axis=-1, keepdims=True)
    path = size * rng.uniform(size=(number, size.size)) + np.cumsum(heading / 3, axis=0)
    brightness = np.broadcast_to(rng.uniform(0.3, 1, number), path.shape[:-1])
    return gaussian_filter(_splat(size, path.reshape(-1, size.size), brightness.ravel()), width)


def _scaled(image):
    return (image / image.max()).astype(np.float32)


def _noise(rng, size, scale):
    """Return noise of mean 0 and variance 1, smoothed by a Gaussian of `scale` pixels."""
    factor = max(1, scale / 2)  # drawn on a coarser grid, which is much faster for large scales
    coarse = rng.standard_normal(np.ceil(size / factor).astype(int) + 4, dtype=np.float32)
    smooth = zoom(gaussian_filter(coarse, scale / factor), factor, order=2)
    smooth = smooth[tuple(map(slice, size))]
    return (smooth - smooth.mean()) / smooth.std()


def _splat(size, points, weights):
    """Distribute each weight linearly to the 2^n pixels around its point; `points` are (k, n)."""
    image, low = np.zeros(size, np.float32), np.floor(points).astype(np.int32)
    for corner in itertools.product((0, 1), repeat=size.size):
        pixels = low + np.array(corner, np.int32)
        inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
        pixels = pixels[inside]
        shares = weights[inside] * (1 - np.abs(points[inside] - pixels)).prod(axis=1)
        np.add.at(image, tuple(pixels.T), shares.astype(np.float32))
    return image


def _scattered(rng, size, spacing, margin=0):
    """Return random points (k, n) in the image and `margin` around it, at least `spacing` apart."""
    extent = (size + 2 * margin) / spacing
    tries = rng.uniform(size=(int(30 * extent.prod()) + 30, size.size)) * extent
    tree, free, kept = scipy.spatial.cKDTree(tries), np.ones(len(tries), bool), []
    for i, point in enumerate(tries):
        if free[i]:
            kept.append(point)
            free[tree.query_ball_point(point, 1)] = False
    return np.array(kept) * spacing - margin


def _window(size, centre, reach):
    """Return the slices within `reach` of `centre`, and the offsets (n, ...) from it there."""
    low = np.floor(centre - reach).clip(0).astype(int)
    high = np.minimum(size, np.ceil(centre + reach).astype(int) + 1)
    offset = np.moveaxis(np.moveaxis(np.indices(high - low), 0, -1) + (low - centre), -1, 0)
    return tuple(map(slice, low, high)), offset
