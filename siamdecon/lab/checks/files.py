"""Exercises of notebook 08: back to the camera's units, and the weights of a tile."""

import math

import numpy as np

from siamdecon.lab.checks.engine import Exercise

_ESTIMATE = np.array([[-0.3, -0.001, 0.0, 0.2506, 0.4999], [0.5031, 0.7512, 1.0, 1.02, 1.9]])


def _to_counts(estimate, low, high):
    counts = np.empty(estimate.shape)
    for place, value in np.ndenumerate(estimate):
        exact = low + float(value) * (high - low)
        counts[place] = min(65535, max(0, math.floor(exact + 0.5)))
    return counts


def _units(estimate, low, high):
    return low + estimate * (high - low)


def _wrapped(values):
    return np.mod(values.astype(np.int64), 65536)


#: An estimate in [0, 1] as uint16 counts between `low` and `high`: rounded, and clipped to the dtype.
to_counts = Exercise(
    "from [0, 1] back to camera counts",
    _to_counts,
    ((_ESTIMATE, 107, 4013), (_ESTIMATE, 312, 60013)),
    {
        "cut off, not rounded: 3.9 becomes 3, and the image loses half a count on average.": (
            lambda e, low, high: np.clip(_units(e, low, high), 0, 65535).astype(np.uint16)
        ),
        "not clipped: a value outside 0 to 65535 wraps around, black turns into white.": (
            lambda e, low, high: _wrapped(np.rint(_units(e, low, high)))
        ),
        "neither rounded nor clipped: values outside 0 to 65535 wrap around.": lambda e, low, high: (
            _wrapped(_units(e, low, high))
        ),
        "clipped to [low, high], that is to [0, 1]: restored peaks may rise above it.": (
            lambda e, low, high: np.rint(np.clip(_units(e, low, high), low, high))
        ),
        "the offset low is missing: 0 must become low.": lambda e, low, high: np.clip(
            np.rint(e * (high - low)), 0, 65535
        ),
        "multiplied by high; the span is high - low.": lambda e, low, high: np.clip(
            np.rint(low + e * high), 0, 65535
        ),
        "spread over the whole range of the dtype: the units of the camera are lost.": (
            lambda e, low, high: np.clip(np.rint(e * 65535), 0, 65535)
        ),
        "not rounded to whole counts.": lambda e, low, high: np.clip(
            _units(e, low, high), 0, 65535
        ),
    },
    rtol=0,
    atol=1e-9,
)


def _pyramid(size):
    weights = np.empty((size, size))
    for y, x in np.ndindex(size, size):
        nearest = min(y, x, size - 1 - y, size - 1 - x) + 1
        weights[y, x] = nearest / ((size + 1) // 2)
    return weights


def _ramp(size):
    return np.minimum(np.arange(size), np.arange(size)[::-1]) + 1.0


def _square(ramp, combine):
    return combine(ramp[:, None], ramp[None])


#: Weights of a square tile's pixels: 1 in the middle, falling towards every border, never 0.
pyramid_weights = Exercise(
    "the weights of a tile",
    _pyramid,
    ((6,), (5,)),
    {
        "the distance starts at 0: a border pixel that only one tile covers would be divided by 0.": (
            lambda n: _square((_ramp(n) - 1) / max(1, (_ramp(n) - 1).max()), np.minimum)
        ),
        "not divided by the largest: the middle should be 1.": lambda n: _square(
            _ramp(n), np.minimum
        ),
        "the two ramps are multiplied; a pyramid takes the smaller of them.": lambda n: _square(
            _ramp(n) / _ramp(n).max(), np.multiply
        ),
        "the larger of the two ramps is taken: in the corners the weight must be smallest.": (
            lambda n: _square(_ramp(n) / _ramp(n).max(), np.maximum)
        ),
        "the two ramps are averaged; a pyramid takes the smaller of them.": lambda n: _square(
            _ramp(n) / _ramp(n).max(), lambda a, b: (a + b) / 2
        ),
        "the weight rises from one border to the other; take the distance to the NEARER border.": (
            lambda n: _square((np.arange(n) + 1.0) / n, np.minimum)
        ),
        "upside down: the weight is largest at the border.": lambda n: (
            1 + 1 / _ramp(n).max() - _square(_ramp(n) / _ramp(n).max(), np.minimum)
        ),
        "every pixel has the same weight; that leaves a step where a tile ends.": lambda n: np.ones(
            (n, n)
        ),
        "divided by the size; the largest distance is about half of it.": lambda n: _square(
            _ramp(n) / n, np.minimum
        ),
        "normalised to sum 1; the blend divides by the sum anyway. The middle should be 1.": (
            lambda n: _square(_ramp(n), np.minimum) / np.sum(_square(_ramp(n), np.minimum))
        ),
        "that is the ramp of one axis; the tile is square.": lambda n: _ramp(n) / _ramp(n).max(),
    },
)
