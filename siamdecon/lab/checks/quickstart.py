"""Exercises of notebook 00: the residual, and the best of several estimates."""

import numpy as np
from scipy.ndimage import uniform_filter

from siamdecon.lab.checks.engine import Exercise

_RNG = np.random.default_rng(1)
_NOISY, _ESTIMATE = _RNG.random((2, 9, 9))


def _blur(image):
    return uniform_filter(image, 3, mode="nearest")


#: measurement - g(estimate).
residual = Exercise(
    "the residual",
    lambda noisy, estimate, g: np.array(
        [
            [a - b for a, b in zip(*rows, strict=True)]
            for rows in zip(noisy, g(estimate), strict=True)
        ]
    ),
    ((_NOISY, _ESTIMATE, _blur),),
    {
        "the estimate must be blurred before it is compared: the measurement is blurred too.": (
            lambda y, x, g: y - x
        ),
        "the sign is reversed; it is the measurement minus the blurred estimate.": (
            lambda y, x, g: g(x) - y
        ),
        "that blurs the measurement, which is blurred already.": lambda y, x, g: g(y) - x,
        "both are blurred; the measurement already has its blur.": lambda y, x, g: g(y) - g(x),
        "a residual keeps its sign: no square.": lambda y, x, g: (y - g(x)) ** 2,
        "a residual keeps its sign: no absolute value.": lambda y, x, g: np.abs(y - g(x)),
    },
)

_CLEAN = _RNG.random((8, 8))
_SIGNS = np.where(np.indices((8, 8)).sum(axis=0) % 2, 1.0, -1.0)
_SPOT = np.zeros((8, 8))
_SPOT[3, 4] = 0.5  # one pixel very wrong: the smallest mean absolute error, the largest maximum
_GRID = np.zeros((8, 8))
_GRID[::2, ::2] = 0.12  # a quarter of them a little wrong: the smallest mean square
_CANDIDATES = (
    _CLEAN + 0.15 * _SIGNS,  # errors that cancel in a plain mean
    _CLEAN + 0.10,
    _CLEAN + _SPOT,
    _CLEAN - 0.20,
    _CLEAN + 0.40,
    _CLEAN + _GRID,
)

#: Index of the estimate with the highest PSNR.
best_estimate = Exercise(
    "the best estimate",
    lambda clean, candidates: max(
        range(len(candidates)),
        key=lambda i: (
            -sum((a - b) ** 2 for a, b in zip(candidates[i].flat, clean.flat, strict=True))
        ),
    ),
    ((_CLEAN, _CANDIDATES),),
    {
        "a high PSNR is a small mean square error: take the smallest error, not the largest.": (
            lambda clean, c: int(np.argmax([np.mean((e - clean) ** 2) for e in c]))
        ),
        "errors of both signs cancel in a plain mean; square them first.": (
            lambda clean, c: int(np.argmin([abs(np.mean(e - clean)) for e in c]))
        ),
        "the mean absolute error gives little weight to one very wrong pixel; PSNR is about squares.": (
            lambda clean, c: int(np.argmin([np.abs(e - clean).mean() for e in c]))
        ),
        "the largest error depends on one pixel alone; PSNR is about the mean square.": (
            lambda clean, c: int(np.argmin([np.abs(e - clean).max() for e in c]))
        ),
        "that is the smallest signed mean, from an estimate that is too dark; square the errors.": (
            lambda clean, c: int(np.argmin([np.mean(e - clean) for e in c]))
        ),
        "that is the error itself; return the index of the estimate.": (
            lambda clean, c: min(np.mean((e - clean) ** 2) for e in c)
        ),
    },
)
