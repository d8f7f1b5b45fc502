"""What a camera does to numbers: the levels that it cuts at, and its defective pixels."""

import itertools
import math

import numpy as np
from scipy.ndimage import maximum_filter, median_filter, minimum_filter, shift

#: Neighbours in the plane, eight or 24: a defect of the camera lies at the same place in every plane.
_NEAR, _AROUND = (
    [(y, x) for y in range(-r, r + 1) for x in range(-r, r + 1) if (y, x) != (0, 0)] for r in (1, 2)
)
#: So many of the 24 must be no part of a group of defects, to tell what lies around it.
_RING = 9
#: A cut distribution reaches further from its level than this many of its smallest steps. Photon counts
#: that pile up at 0 reach 3, as their mean is small; normal noise cut by a camera 30 (`cut_at`).
_STEPS = 8.0
#: The 80 % quantile of what lies beside the pile at black, in units of its median, is 1.90 where it is the
#: upper half of a normal distribution and 2.32 for an exponential one, as amplified photons have (EMCCD).
_TAIL = 2.05
#: Fewer neighbours than this prove nothing; fewer isolated pixels at the very end.
_ENOUGH, _FEW = 100, 15
_AT_MOST = 100_000  # pixels looked at
#: A pixel this many times further from its neighbours than they are from each other stands out.
_STANDS_OUT = 4.0
#: Two to four pixels further from an area that was filled up it is up to 1.04 times as bright, on average, as
#: beside it; from the dark around cells whose light was blurred by one pixel, 1.11 times or more.
_RISE = 1.1
#: So many pixels show what noise an image has.
_LEAST = 1000
#: A spot one pixel wide; what is sharper is a defect.
SHARPEST = np.outer([1, 4, 1], [1, 4, 1]) / 36


def cut_at(image: np.ndarray, level: float) -> bool:
    """Tell whether the noise of an image is cut at a level: its lowest value, or its highest.

    A pile of equal pixels proves nothing: photon counts have one at 0. Where noise is cut, the pixels of
    the pile lie beside others that are far from the level, in units of the smallest distance that occurs;
    counts with a pile at 0 have a mean of few photons, so what lies beside it is one to three photons away.
    Beyond a level that a camera cuts at lie no more than a few defective pixels.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
    level : float

    Returns
    -------
    bool

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> [cut_at(x, 0) for x in (rng.normal(0, 0.1, (99, 99)).clip(0), rng.poisson(1, (99, 99)))]
    [True, False]
    """
    below, above, at = (np.count_nonzero(x) for x in (image < level, image > level, image == level))
    if min(below, above) > max(_FEW, min(at, image.size / 100)):
        return False
    around = np.abs(_neighbours(image, _some(image == level)) - level)  # (8, n)
    count = np.count_nonzero(around == 0, axis=0)
    beside = around[:, (count >= 2) & (count < 8)]
    step, middle, upper = (
        np.quantile(beside[beside > 0], (0.01, 0.5, 0.8)) if beside.size else (0, 0, 0)
    )
    bright = level > np.median(image)
    if np.count_nonzero(beside) < _ENOUGH or middle < _STEPS * step:
        return bool(bright and _impulses_end_at(image, level))
    return bool(bright or upper < _TAIL * middle)


def _impulses_end_at(image: np.ndarray, level: float) -> bool:
    """Tell whether isolated bright pixels, such as the paper's impulses, end abruptly at a level."""
    near = 0.02 * float(np.ptp(image))
    where = _some(np.abs(image - level) < 2 * near)
    alone = np.sort(np.abs(_neighbours(image, where) - level), axis=0)[2] > 10 * near  # (n,)
    distance = np.abs(image[where][alone] - level)
    count, fine = np.count_nonzero(distance < near), len(np.unique(distance)) >= _STEPS
    return bool(fine and count >= _FEW and count > 0.7 * (len(distance) - count))


def _some(mask: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the places where a mask is True; evenly some of them if they are very many."""
    where = np.nonzero(mask)
    every = max(1, len(where[0]) // _AT_MOST)
    return tuple(w[::every] for w in where)


def standing_out(
    image: np.ndarray, psf: np.ndarray, step: float = 0.0
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Find pixels that stand out from their neighbours in the plane further than the kernel can make them.

    Looked for among pixels far from the bulk of the image's values. Left out are the two most extreme of
    eight neighbours, as a defect may have a second beside it, or three of 24: from a kernel whose peak falls
    off alike on all sides a defect differs by what lies further out.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
    psf : ndarray, shape ([z,] y, x)
        What the image of a point looks like.
    step : float
        Smallest distance of two values: 1 for whole numbers.

    Returns
    -------
    where : tuple of ndarray
        Index of each such pixel.
    instead : ndarray
        The median of its neighbours.

    Examples
    --------
    >>> image = np.random.default_rng(0).poisson(100.0, (32, 32)); image[7, 9] = 65535
    >>> where, instead = standing_out(image, np.full((3, 3), 1 / 9))
    >>> [int(w[0]) for w in where], bool(80 < instead[0] < 120)
    ([7, 9], True)
    """
    every = math.ceil((image.size / _AT_MOST) ** (1 / image.ndim))
    sample = image[(slice(None, None, every),) * image.ndim].astype(np.float64)
    # a line of defects may be more than one pixel in a hundred of a small image
    flat = median_filter(sample, (1,) * (image.ndim - 2) + (3, 3))
    deviation = np.abs(sample - flat)
    noise = np.median(deviation) / 0.6745
    if not noise and deviation.any():  # most pixels hold no photon: a step is what the others hold
        least, upper = np.quantile(deviation[deviation > 0], (0.1, 0.75))
        # amplified ones differ by less than 14 times; with a line of defects they would by more
        step = max(step, min(upper, 25 * least))
    for values in (flat, sample):
        low, high = np.percentile(values, (1, 99))
        room = (high - low) / 2 + _STANDS_OUT * noise
        outside = (image < low - 2 * noise) | (image > high + room)
        if np.count_nonzero(outside) <= image.size / 40:  # more are no defects, but sharp detail
            break
    where = np.nonzero(outside)
    # a point is as sharp as the kernel's brightest plane
    k = psf.reshape(-1, *psf.shape[-2:])
    k = np.pad(k[k.max(axis=(1, 2)).argmax()], 2)
    # which may lie between pixels
    between = list(itertools.product((0, 0.25, 0.5), repeat=2))[1:]
    points = [k, *(shift(k, by) for by in between)]
    out, instead = np.zeros(len(where[0]), bool), np.zeros(len(where[0]))
    for ring, left_out in ((_AROUND, 3), (_NEAR, 2)):
        spread, middle, above, below = _compared(image, where, ring, left_out)
        sharp = 1.5 * max(_sharpness(point, ring, left_out) for point in points)
        found = above > max(_STANDS_OUT, sharp) * (spread + step)
        # a point of the specimen that takes up light is as sharp as the kernel, too
        steep = max(0, sharp - 1) * (spread - _STANDS_OUT * noise).clip(0)
        found |= below > spread + steep + step + _STANDS_OUT * noise
        out, instead = out | found, np.where(found, middle, instead)
    # of a point, too, some neighbours are far from the bulk: how much the others differ at least
    top = _top(k)
    faint = np.sort(_neighbours(k, top, _AROUND), axis=0)[:_RING]  # (9, 1)
    left = float((faint[-1] - faint[0])[0] / k[top][0])
    found, middle = _beside(image, outside, where, min(0.5 * left, 0.05), step + noise)
    out, instead = out | found, np.where(found, middle, instead)
    return tuple(w[out] for w in where), instead[out]


def _top(k: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the place of the highest value, as `_neighbours` takes places."""
    return tuple(np.array([i]) for i in np.unravel_index(k.argmax(), k.shape))


def _sharpness(k: np.ndarray, ring, left_out: int) -> float:
    """Return how far the top of a kernel lies above its neighbours, in units of their spread."""
    spread, _, above, _ = (float(v[0]) for v in _compared(k, _top(k), ring, left_out))
    return above / max(spread, 1e-9 * float(k.max()))


def far_out(
    values: np.ndarray, places: np.ndarray, low: float, high: float, size: int
) -> np.ndarray:
    """Return which pixels that stand out are defects: those far beyond all others, from `low` to `high`.

    If they are rare, one in 500, or lie along a line, half the range above, or a tenth of it below, as no
    light is missing from one pixel alone. As many as that may be noise of the image, as the impulses of the
    paper's protocol are. Two ranges beyond are no noise.

    Examples
    --------
    >>> places = np.array([[3, 5, 8], [1, 1, 2]])
    >>> far_out(np.array([900, 500, 65535]), places, 100, 600, 10_000).tolist()
    [True, False, True]
    """
    if high == low:
        return np.zeros(len(values), bool)
    above, below = (values - high) / (high - low), (low - values) / (high - low)
    far = (above > 0.5) | (below > 0.1)
    lines = min(len(np.unique(along)) for along in places[-2:, far])
    rare = far.sum() <= size / 500 or lines <= 2
    return far if rare else np.maximum(above, below) > 2


def filled(image: np.ndarray) -> np.ndarray | None:
    """Find where an image was filled up with its lowest value, as stitching, turning and deskewing do.

    Such an area is wide, and a few pixels beside it all is far brighter, in units of the noise, and no darker
    than further away. Light fades into darkness more slowly, and beside counts of no photon there are others.

    Returns
    -------
    ndarray of bool or None
        None if nothing was filled.

    Examples
    --------
    >>> image = np.random.default_rng(0).poisson(100, (64, 64)); image[:, 40:] = 0
    >>> int(filled(image).sum(axis=1).max()), filled(image[:, :40])
    (24, None)
    """
    lowest, flat = image == image.min(), (1,) * (image.ndim - 2)
    if np.mean(lowest) < 0.01:
        return None
    where = maximum_filter(minimum_filter(lowest, (*flat, 7, 7)), (*flat, 7, 7))
    near = maximum_filter(where, (*flat, 5, 5))  # interpolation blurs its edge
    beside = maximum_filter(where, (3,) * len(flat) + (11, 11)) & ~near
    if np.count_nonzero(beside) < _ENOUGH or _rises(image, where, near):
        return None
    some = _some(~near)
    value, around = image[some].astype(np.float64), _neighbours(image, some)  # (n,), (8, n)
    noise = np.median(np.abs(value - np.median([*around, value], axis=0))) / 0.6745
    step = np.quantile(image[beside], 0.1) - image.min()
    return where if 0 < _STANDS_OUT * noise < step else None


def _rises(image: np.ndarray, where: np.ndarray, near: np.ndarray) -> bool:
    """Tell whether it gets brighter for some pixels beside dark areas, as where a cell begins."""
    flat = (1,) * (image.ndim - 2)
    wide, wider = (maximum_filter(where, (*flat, n, n)) for n in (9, 15))
    further = wider & ~wide
    if not further.any():  # whole planes
        return False
    light, more = (np.mean(image[ring]) - image.min() for ring in (wide & ~near, further))
    return more > _RISE * light


def without_noise(image: np.ndarray) -> np.ndarray | None:
    """Find where an image holds no noise: filled up, with its lowest value or any other, or saturated.

    Returns
    -------
    ndarray of bool or None
        None if that is nowhere, or nearly everywhere.

    Examples
    --------
    >>> image = np.random.default_rng(0).poisson(100, (64, 64)); image[:, 40:] = np.median(image)
    >>> int(without_noise(image).sum(axis=1).max()), without_noise(image[:, :40])
    (24, None)
    """
    none, same = filled(image), _of_one_value(image)
    if none is None or same is None:
        return same if none is None else none
    return none | same


def _of_one_value(image: np.ndarray) -> np.ndarray | None:
    """Find wide areas of exactly one value, but the lowest: of that, `filled` tells what was measured."""
    if min(image.shape[-2:]) < 7:
        return None
    alike = image[..., 1:, 1:] == image[..., :-1, 1:]
    alike &= image[..., 1:, 1:] == image[..., 1:, :-1]
    alike &= image[..., 1:, 1:] == image[..., :-1, :-1]
    if np.count_nonzero(alike) < 36:  # the least that such an area has
        return None
    flat, none = (1,) * (image.ndim - 2), (0,) * (image.ndim - 2)
    alike = np.pad(alike, [(0, 0)] * len(flat) + [(1, 0)] * 2, "edge")
    where = minimum_filter(alike, (*flat, 6, 6), mode="constant") & (image != image.min())
    # 6 x 6 pixels are like those above and to the left of them: 7 x 7 are alike
    where = maximum_filter(where, (*flat, 7, 7), mode="constant", origin=(*none, -1, -1))
    # noise below a grey level leaves such areas, too: of many values, or with holes
    wide = where & (image < image.max())
    near = maximum_filter(wide, (*flat, 3, 3))
    beside = near & ~wide
    if beside.any():
        values, counts = np.unique(image[wide], return_counts=True)
        usual = minimum_filter(near, (*flat, 3, 3)) | (image == values[counts.argmax()])
        where &= ~wide | (usual[beside].mean() < 0.5 and counts.max() > 0.9 * counts.sum())
    left = np.count_nonzero(~where)
    return where if max(_LEAST, image.size / 20) <= left < image.size else None


def unmeasured(image: np.ndarray) -> list[str]:
    """Say what is part of an image and was not measured: filled areas, what was drawn, numbers that wrap.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(100, 1, (64, 64)); image[60:62, 9:20] = 65535
    >>> unmeasured(image)
    ['more than half of its range is empty, and 22 pixels lie beyond, as a drawn bar does, or what is ...']
    """
    if (where := filled(image)) is not None:
        mend = "cut it off, or put the median of the rest there"
        share = f"{np.mean(where):.0%} of its pixels have its lowest value, far below what lies beside them"
        return [f"{share}, as where a stack was filled up: the edge rings; {mend}"]
    counts = np.histogram(image, 64)[0]
    bins = np.flatnonzero(counts)
    gaps = np.diff(bins)
    if gaps.max(initial=0) > 32:
        beyond = counts[bins[gaps.argmax()] + 1 :].sum()
        few = min(beyond, image.size - beyond)
        if few >= 10 and len(np.unique(image)) >= 16:  # fewer are a mask, or photons
            found = f"more than half of its range is empty, and {few} pixels lie beyond"
            like = "as a drawn bar does, or what is below 0 in unsigned numbers"
            return [f"{found}, {like}: if it is one, mend that first"]
    return []


def _neighbours(image: np.ndarray, where: tuple[np.ndarray, ...], ring=_NEAR) -> np.ndarray:
    """Return the neighbours in the plane, mirrored at the border, of n pixels, shape (8, n) or (24, n)."""

    def at(i: np.ndarray, n: int) -> np.ndarray:
        return np.where(i < 0, -i, np.where(i >= n, 2 * n - 2 - i, i)).clip(0, n - 1)

    (*z, y, x), (h, w) = where, image.shape[-2:]
    return np.array(
        [image[(*z, at(y + dy, h), at(x + dx, w))] for dy, dx in ring], dtype=np.float64
    )


def _beside(image: np.ndarray, outside: np.ndarray, where, share, step: float) -> tuple:
    """Tell which pixels far from the bulk belong to a group of defects, and the median around it.

    Light falls off: what lies around the brightest part of a point differs by `share` of it or more, and what
    lies around a group of defects by less.
    """
    ring = _neighbours(image, where, _AROUND)  # (24, n)
    ring[_neighbours(outside, where, _AROUND) > 0] = np.nan
    count, ring, n = np.isfinite(ring).sum(axis=0), np.sort(ring, axis=0), np.arange(ring.shape[1])
    low, middle, high = ring[0], ring[count // 2, n], ring[count - 1, n]
    off = image[where] - middle
    return (count >= _RING) & (high - low + step < share * np.abs(off)), middle


def _compared(image: np.ndarray, where, ring=_NEAR, left_out: int = 2) -> tuple[np.ndarray, ...]:
    """Return spread and median of each pixel's neighbours, and how far it lies above and below them."""
    ring = np.sort(_neighbours(image, where, ring), axis=0)  # (8 or 24, n)
    value, n = image[where].astype(np.float64), len(ring)
    high, low = ring[n - 1 - left_out], ring[left_out]
    above, below = value - high, low - value
    spread = np.where(above > below, high - ring[0], ring[-1] - low)
    return spread, (ring[n // 2 - 1] + ring[n // 2]) / 2, above, below
