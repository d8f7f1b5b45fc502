"""Exercises of notebook 09: the turns that a kernel allows, and tiles put together."""

import numpy as np

from siamdecon.lab.checks.engine import Exercise


def _kernel(shape, seed):
    """Return a kernel of sum 1 that is symmetric in the plane, but not along z."""
    kernel = np.random.default_rng(seed).uniform(0.1, 1, shape)
    kernel = kernel + kernel[:, ::-1]
    kernel = kernel + kernel[:, :, ::-1]
    kernel = kernel + kernel.swapaxes(1, 2)
    return kernel / kernel.sum()


def _mirrored(axis):
    return lambda kernel: np.flip(kernel, axis)


def _rounded(kernel):
    """Mirror along y, with errors as of rounding."""
    return np.flip(kernel, 1) * (1 + 1e-12)


def _allowed(kernel, turn):
    turned = turn(kernel)
    if turned.shape != kernel.shape:
        return 0.0
    most = 1e-6 * kernel.max()
    return float(all(abs(a - b) <= most for a, b in zip(turned.flat, kernel.flat, strict=True)))


#: Whether a rotation or reflection leaves a kernel unchanged.
allowed = Exercise(
    "the turns that a kernel allows",
    _allowed,
    (
        (_kernel((3, 5, 5), 0), _mirrored(1)),
        (_kernel((3, 5, 5), 1), _mirrored(0)),
        (_kernel((5, 5, 5), 2), lambda kernel: kernel.transpose(2, 1, 0)),
        (_kernel((3, 5, 5), 3), lambda kernel: np.rot90(kernel, axes=(1, 2))),
        (_kernel((3, 5, 5), 4), _rounded),
        (_kernel((3, 5, 5), 5), lambda kernel: kernel.transpose(1, 0, 2)),
    ),
    {
        "a turn keeps all values and moves them: their sum, mean or largest is the same after every turn. "
        "Compare voxel by voxel.": lambda k, turn: np.isclose(turn(k).sum(), k.sum()),
        "only the shapes are compared, or the tolerance is as large as the values of the kernel.": (
            lambda k, turn: turn(k).shape == k.shape
        ),
        "numbers that are equal but for rounding count as equal: np.allclose, not == or array_equal.": (
            lambda k, turn: np.array_equal(turn(k), k)
        ),
        "that is True where the turn is not allowed: the answer is the wrong way round.": (
            lambda k, turn: not _allowed(k, turn)
        ),
        "only the middle plane is compared; the planes above and below belong to the kernel, too.": (
            lambda k, turn: (
                turn(k).shape == k.shape and np.allclose(turn(k)[len(k) // 2], k[len(k) // 2])
            )
        ),
        "that allows no turn at all.": lambda k, turn: False,
        "that is the turned kernel itself; say whether it is the same as the kernel.": lambda k, turn: (
            turn(k)
        ),
        "that is an answer for each voxel; all() or np.allclose makes one of them.": lambda k, turn: (
            np.isclose(turn(k), k) if turn(k).shape == k.shape else False
        ),
    },
)


def _tiles(shape, tile, starts, seed):
    """Return overlapping tiles of independent noise, so that they disagree."""
    rng = np.random.default_rng(seed)
    corners = [(z, y, x) for z in starts[0] for y in starts[1] for x in starts[2]]
    parts = [rng.normal(size=tile) for _ in corners]
    ramps = [np.minimum(np.arange(n), np.arange(n)[::-1]) + 1.0 for n in tile]
    weights = np.minimum.reduce(np.meshgrid(*ramps, indexing="ij"))
    return parts, corners, weights, shape


def _stitched(parts, corners, weights, shape):
    """Loop over the voxels: each is the weighted mean of the tiles there."""
    out = np.zeros(shape)
    for voxel in np.ndindex(shape):
        says = []
        for part, corner in zip(parts, corners, strict=True):
            place = tuple(v - c for v, c in zip(voxel, corner, strict=True))
            if all(0 <= p < n for p, n in zip(place, part.shape, strict=True)):
                says.append((part[place], weights[place]))
        out[voxel] = sum(value * weight for value, weight in says) / sum(w for _, w in says)
    return out


def _laid(parts, corners, shape, lay):
    """Loop over the tiles: `lay` puts each into the volume, at its slices."""
    out = np.zeros(shape)
    for part, corner in zip(parts, corners, strict=True):
        lay(out, tuple(slice(c, c + n) for c, n in zip(corner, part.shape, strict=True)), part)
    return out


def _added(parts, corners, shape):
    def add(out, at, part):
        out[at] += part

    return _laid(parts, corners, shape, add)


def _assigned(parts, corners, shape):
    def put(out, at, part):
        out[at] = part

    return _laid(parts, corners, shape, put)


def _brightest(parts, corners, shape):
    def put(out, at, part):
        out[at] = np.where(out[at] == 0, part, np.maximum(out[at], part))

    return _laid(parts, corners, shape, put)


def _weighted(parts, weights):
    return [part * weights for part in parts]


def _counts(parts, corners, shape):
    return _added([np.ones(part.shape) for part in parts], corners, shape)


#: Overlapping tiles as one volume: in each voxel the weighted mean of the tiles there.
stitch = Exercise(
    "a volume of overlapping tiles",
    _stitched,
    (
        _tiles((4, 9, 10), (4, 6, 6), ((0,), (0, 3), (0, 4)), 0),
        _tiles((7, 6, 9), (5, 6, 5), ((0, 2), (0,), (0, 2, 4)), 1),
    ),
    {
        "the weighted tiles are added, not divided by the sum of the weights there.": (
            lambda p, c, w, s: _added(_weighted(p, w), c, s)
        ),
        "each tile overwrites the one before: the weights are not used, and seams remain.": (
            lambda p, c, w, s: _assigned(p, c, s)
        ),
        "only the first tile of a voxel is used, the others are not.": lambda p, c, w, s: _assigned(
            p[::-1], c[::-1], s
        ),
        "a plain mean: every tile counts the same, however near its border.": lambda p, c, w, s: (
            _added(p, c, s) / _counts(p, c, s)
        ),
        "divided by the number of tiles; divide by the sum of their weights.": lambda p, c, w, s: (
            _added(_weighted(p, w), c, s) / _counts(p, c, s)
        ),
        "divided by the sum of the weights of one tile, not by the sum in each voxel.": (
            lambda p, c, w, s: _added(_weighted(p, w), c, s) / w.sum()
        ),
        "the tiles are added without weights, but divided by the sum of weights.": lambda p, c, w, s: (
            _added(p, c, s) / _added([w] * len(p), c, s)
        ),
        "the weights are set anew by each tile; add them up, as the tiles.": lambda p, c, w, s: (
            _added(_weighted(p, w), c, s) / _assigned([w] * len(p), c, s)
        ),
        "the brightest tile of each voxel is taken; take the weighted mean.": lambda p, c, w, s: (
            _brightest(p, c, s)
        ),
        "that is the sum of the weights, without the tiles.": lambda p, c, w, s: _added(
            [w] * len(p), c, s
        ),
        "the tiles are added up as they are: neither weighted nor divided.": lambda p, c, w, s: (
            _added(p, c, s)
        ),
    },
)
