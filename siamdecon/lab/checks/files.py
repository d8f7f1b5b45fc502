"""Exercises of notebook 08: the choice by a table of residuals, and the weights of a tile."""

import numpy as np

from siamdecon.lab.checks.engine import Exercise

#: Own residual, held-out residual and agreement of ten estimates; each likely mistake picks another. The
#: right one is near both limits, and so are two wrong ones.
_TABLE = np.array(
    [
        (1.00, 1.50, 0.90),
        (1.20, 1.01, 0.30),
        (0.95, 1.04, 0.70),
        (1.04, 1.03, 0.97),
        (0.60, 1.005, 3.0),
        (1.07, 1.02, 0.50),
        (0.50, 1.20, 0.95),
        (1.30, 1.00, 2.00),
        (1.00, 1.02, 1.10),
        (1.00, 1.10, 0.05),
    ]
).T
_SECOND = _TABLE[:, ::-1].copy()
_SECOND[0, _SECOND[1] == 1.03] = 0.90  # noise was fitted, and yet it predicts best
_SECOND[1] -= 0.05  # some are below 1: the noise was estimated too high


def _lowest(values, *sieves):
    """Return the index of the lowest value where all sieves hold."""
    kept = [i for i in range(len(values)) if all(sieve[i] for sieve in sieves)]
    return min(kept, key=lambda i: values[i])


def _sieves(own, agreement, most_own=1.05, most_agreement=1.0):
    return [value <= most_own for value in own], [value <= most_agreement for value in agreement]


def _with_limits(*limits):
    return lambda own, held_out, agreement: _lowest(held_out, *_sieves(own, agreement, *limits))


#: Of the estimates without missing structure and without invented detail, the one that predicts best.
pick = Exercise(
    "the choice by the table",
    lambda own, held_out, agreement: _lowest(held_out, *_sieves(own, agreement)),
    (tuple(_TABLE), tuple(_SECOND)),
    {
        "nothing was discarded: an estimate without its structure, or with invented detail, is chosen.": (
            lambda own, held_out, agreement: _lowest(held_out)
        ),
        "an estimate with an agreement above 1 is chosen: its detail differs between exposures.": (
            lambda own, held_out, agreement: _lowest(held_out, _sieves(own, agreement)[0])
        ),
        "an estimate with an own residual above 1.05 is chosen: structure is missing from it.": (
            lambda own, held_out, agreement: _lowest(held_out, _sieves(own, agreement)[1])
        ),
        "the limit of the own residual is 1.05: a little above 1 is still noise.": _with_limits(
            1.0
        ),
        "the limit of the own residual is 1.05: an estimate with 1.07 is chosen.": _with_limits(
            1.15
        ),
        "the limit of the agreement is 1: an estimate with 1.1 is chosen.": _with_limits(1.05, 1.5),
        "the limit of the agreement is 1: an estimate with 0.97 is discarded.": _with_limits(
            1.05, 0.85
        ),
        "an own residual below 1 is no reason to discard: the held-out one tells whether noise was fitted.": (
            lambda own, held_out, agreement: _lowest(
                held_out, np.abs(own - 1) <= 0.05, _sieves(own, agreement)[1]
            )
        ),
        "the index is that among the estimates left; return the one among all.": (
            lambda own, held_out, agreement: np.argmin(
                held_out[np.logical_and(*_sieves(own, agreement))]
            )
        ),
        "the own residual nearest to 1 is chosen; it only says which estimates to discard. Of the others, "
        "take that with the lowest held-out residual.": lambda own, held_out, agreement: np.argmin(
            np.abs(own - 1)
        ),
        "the held-out residual nearest to 1 is chosen; the lowest predicts best, below 1, too.": (
            lambda own, held_out, agreement: _lowest(np.abs(held_out - 1), *_sieves(own, agreement))
        ),
        "the lowest own residual is chosen: it is lowest where most noise has been fitted.": (
            lambda own, held_out, agreement: np.argmin(own)
        ),
        "the lowest agreement is chosen: the smoothest estimate agrees best, whatever it lacks.": (
            lambda own, held_out, agreement: np.argmin(agreement)
        ),
        "the highest residual is chosen; the best prediction leaves the lowest.": (
            lambda own, held_out, agreement: np.argmax(
                np.where(np.logical_and(*_sieves(own, agreement)), held_out, 0)
            )
        ),
        "that is the residual itself; return the index of the estimate.": (
            lambda own, held_out, agreement: held_out[_lowest(held_out, *_sieves(own, agreement))]
        ),
        "that says which estimates are left; return the index of the best of them.": (
            lambda own, held_out, agreement: np.logical_and(*_sieves(own, agreement))
        ),
    },
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
        "the weight falls to 0 at the border, and a pixel that only one tile covers would be divided by 0.": (
            lambda n: _square(1 - np.abs(2 * np.arange(n) / (n - 1) - 1), np.minimum)
        ),
        "the last pixel is size - 1: its distance to the border behind it is size - 1 - p.": lambda n: (
            _square((np.minimum(np.arange(n), n - np.arange(n)) + 1) / ((n + 1) // 2), np.minimum)
        ),
        "for an odd size, half of it is rounded up, so that the middle is 1: (size + 1) // 2.": lambda n: (
            _square(_ramp(n) / (n // 2), np.minimum)
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
