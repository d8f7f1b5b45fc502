"""Exercises of notebook 09: a loss in three dimensions, and tiles put together."""

import numpy as np
from scipy.signal import convolve

from siamdecon.lab.checks.engine import Exercise


def _loss_inputs(shape, kernel, seed):
    rng = np.random.default_rng(seed)
    psf = rng.uniform(size=kernel)
    x, f, f_masked = (rng.normal(size=shape) for _ in range(3))
    return x, rng.uniform(size=shape) < 0.2, f, f_masked, psf / psf.sum()


def _blurred(volume, psf):
    """Convolve directly; beyond the border the outermost voxels are repeated."""
    padded = np.pad(volume, [(n // 2, n // 2) for n in psf.shape], mode="edge")
    return convolve(padded, psf, mode="valid", method="direct")


def _loss(x, mask, f, f_masked, psf):
    a, b = _blurred(f, psf), _blurred(f_masked, psf)
    squares = [(a[p] - b[p]) ** 2 for p in zip(*mask.nonzero(), strict=True)]
    return np.mean((a - x) ** 2) + 2 * np.sqrt(np.mean(squares))


def _variant(blur=_blurred, weight=2, root=np.sqrt, pick=lambda d, mask: d[mask], mean=np.mean):
    """Return the loss with one part exchanged."""

    def loss(x, mask, f, f_masked, psf):
        a, b = blur(f, psf), blur(f_masked, psf)
        return mean((a - x) ** 2) + weight * root(mean(pick((a - b) ** 2, mask)))

    return loss


def _plane_by_plane(volume, psf):
    plane = psf[len(psf) // 2 : len(psf) // 2 + 1]
    return _blurred(volume, plane / plane.sum())


def _before_the_psf(x, mask, f, f_masked, psf):
    a = _blurred(f, psf)
    return np.mean((a - x) ** 2) + 2 * np.sqrt(np.mean((f - f_masked)[mask] ** 2))


def _against_x(x, mask, f, f_masked, psf):
    b = _blurred(f_masked, psf)
    return np.mean((_blurred(f, psf) - x) ** 2) + 2 * np.sqrt(np.mean((b - x)[mask] ** 2))


#: Eq. 3 for a volume: mean (g(f) - x)^2 + 2 sqrt(mean over J of (g(f) - g(f_J))^2).
noise2same_loss = Exercise(
    "the loss of Eq. 3 in three dimensions",
    _loss,
    (_loss_inputs((5, 6, 7), (3, 3, 3), 0), _loss_inputs((6, 8, 7), (5, 3, 3), 1)),
    {
        "the kernel is flipped, a correlation: along z that is a different kernel.": _variant(
            lambda v, psf: _blurred(v, psf[::-1, ::-1, ::-1])
        ),
        "the planes are blurred one by one; light also comes from the planes above and below.": _variant(
            _plane_by_plane
        ),
        "beyond the border it is dark; by default, PSFConvolution repeats the outermost voxel.": (
            _variant(lambda v, psf: convolve(v, psf, mode="same", method="direct"))
        ),
        "opposite borders meet; use PSFConvolution, which pads the volume.": _variant(
            lambda v, psf: convolve(
                np.pad(v, [(n // 2, n // 2) for n in psf.shape], mode="wrap"), psf, mode="valid"
            )
        ),
        "the invariance is measured before the PSF: that is Eq. 4; Eq. 3 blurs both first.": (
            _before_the_psf
        ),
        "the second term compares with x: that is the blind-spot loss, with a root.": _against_x,
        "the square root of the invariance is missing.": _variant(root=lambda v: v),
        "lambda_inv = 2 is missing.": _variant(weight=1),
        "the invariance compares all voxels; only the hidden ones, where the mask is True, count.": (
            _variant(pick=lambda d, mask: d)
        ),
        "the invariance divides by all voxels; divide by the number of the hidden ones.": _variant(
            pick=lambda d, mask: d * mask
        ),
        "the mask and its complement are exchanged.": _variant(pick=lambda d, mask: d[~mask]),
        "the squares are added up; Eq. 3 divides by m and |J|, for the means.": _variant(
            mean=np.sum
        ),
        "nothing is blurred: f is compared with x before g.": _variant(lambda v, psf: v),
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
        "that is the sum of the weights, without the tiles.": lambda p, c, w, s: _added(
            [w] * len(p), c, s
        ),
        "the tiles are added up as they are: neither weighted nor divided.": lambda p, c, w, s: (
            _added(p, c, s)
        ),
    },
)
