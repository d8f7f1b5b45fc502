"""Exercises of notebook 00: the residual, and the best of several estimates."""

import numpy as np
from scipy.ndimage import uniform_filter

from siamdecon.lab.checks.engine import Exercise

_RNG = np.random.default_rng(1)
_NOISY, _ESTIMATE = _RNG.random((2, 9, 9))


def _blur(image):
    return uniform_filter(image, 3, mode="nearest")


def _residual_solved(noisy, estimate, g):
    return noisy - g(estimate)


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
        "the difference is the wrong way round; it is the measurement minus the blurred estimate.": (
            lambda y, x, g: g(x) - y
        ),
        "the estimate is blurred twice; once is what the microscope does.": lambda y, x, g: (
            y - g(g(x))
        ),
        "it is divided by the blurred estimate; a residual is the plain difference.": lambda y, x, g: (
            (y - g(x)) / g(x)
        ),
        "that is a ratio; a residual is a difference.": lambda y, x, g: y / g(x),
        "that blurs the measurement, which is blurred already.": lambda y, x, g: g(y) - x,
        "both are blurred; the measurement already has its blur.": lambda y, x, g: g(y) - g(x),
        "a residual keeps its sign: no square.": lambda y, x, g: (y - g(x)) ** 2,
        "a residual keeps its sign: no absolute value.": lambda y, x, g: np.abs(y - g(x)),
    },
    solution=_residual_solved,
)

#: All candidates lie in [0, 1], so that `score`, which clips, agrees.
_CLEAN = 0.25 + 0.2 * _RNG.random((8, 8))
_SIGNS = np.where(np.indices((8, 8)).sum(axis=0) % 2, 1.0, -1.0)
_SPOT = np.zeros((8, 8))
_SPOT[3, 4] = 0.5  # one pixel very wrong: the smallest mean absolute error, the largest maximum
_GRID = np.zeros((8, 8))
_GRID[::2, ::2] = 0.12  # a quarter of them a little wrong: the smallest mean square
_CANDIDATES = (
    _CLEAN + 0.15 * _SIGNS,  # errors that cancel in a plain mean
    _CLEAN + 0.10 + 0.01 * _SIGNS,
    _CLEAN + _SPOT,
    _CLEAN - 0.20 + 0.01 * _SIGNS,
    _CLEAN + 0.40 + 0.01 * _SIGNS,
    _CLEAN + 0.25,  # the smallest variance, and the largest correlation
    _CLEAN + _GRID,
)


def _best_solved(clean, candidates):
    errors = [np.mean((estimate - clean) ** 2) for estimate in candidates]
    return np.argmin(errors)


#: Index of the estimate with the highest PSNR.
best_estimate = Exercise(
    "the best estimate",
    lambda clean, candidates: max(
        range(len(candidates)),
        key=lambda i: (
            -sum((a - b) ** 2 for a, b in zip(candidates[i].flat, clean.flat, strict=True))
        ),
    ),
    # in another order, so that no mistake is right by chance
    (
        (_CLEAN, _CANDIDATES),
        (_CLEAN, _CANDIDATES[::-1]),
        (_CLEAN, _CANDIDATES[2:] + _CANDIDATES[:2]),
    ),
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
        "a constant offset counts for nothing in a variance or a correlation; take the mean square.": (
            lambda clean, c: int(np.argmin([np.var(e - clean) for e in c]))
        ),
        "that is the error itself; return the index of the estimate.": (
            lambda clean, c: min(np.mean((e - clean) ** 2) for e in c)
        ),
        "those are all the errors; return the index of the smallest.": lambda clean, c: (
            [np.mean((e - clean) ** 2) for e in c]
        ),
        "that is one too many: Python counts from 0.": lambda clean, c: (
            int(np.argmin([np.mean((e - clean) ** 2) for e in c])) + 1
        ),
        "that is the estimate itself; return its index.": lambda clean, c: min(
            c, key=lambda e: np.mean((e - clean) ** 2)
        ),
    },
    solution=_best_solved,
)
