"""Exercises of notebook 06: Eq. 4, and the average over rotations and flips."""

import numpy as np

from siamdecon.lab.checks.engine import Exercise


def _outputs():
    rng = np.random.default_rng(3)
    x, f, f_masked, g_f = rng.normal(size=(4, 2, 1, 8, 8))
    mask = rng.uniform(size=x.shape) < 0.15
    return x, mask, f, f_masked, g_f, 2.0


def _eq4(x, mask, f, f_masked, g_f, lambda_inv_d):
    rec, inv, count = 0.0, 0.0, 0
    for place in np.ndindex(x.shape):
        rec += (g_f[place] - x[place]) ** 2 / x.size
        if mask[place]:
            inv += (f[place] - f_masked[place]) ** 2
            count += 1
    return rec + lambda_inv_d * (inv / count) ** 0.5


def _mean(square, mask):
    return square[mask].mean()


#: L_rec + lambda_inv_d L_inv(d): Eq. 4 without its boundary loss.
noise2same_d_loss = Exercise(
    "Eq. 4",
    _eq4,
    (_outputs(), (*_outputs()[:-1], 0.5)),
    {
        "the invariance is the root of the mean square; the root is missing.": (
            lambda x, m, f, fm, gf, w: np.mean((gf - x) ** 2) + w * _mean((f - fm) ** 2, m)
        ),
        "the mask is ignored: the two estimates are compared at the pixels of J only.": (
            lambda x, m, f, fm, gf, w: np.mean((gf - x) ** 2) + w * np.mean((f - fm) ** 2) ** 0.5
        ),
        "the sum over J is divided by all pixels; the mean is over |J|.": (
            lambda x, m, f, fm, gf, w: (
                np.mean((gf - x) ** 2) + w * np.mean(((f - fm) * m) ** 2) ** 0.5
            )
        ),
        "lambda_inv_d is an argument; a fixed number is used in its place.": (
            lambda x, m, f, fm, gf, w: np.mean((gf - x) ** 2) + 2 * _mean((f - fm) ** 2, m) ** 0.5
        ),
        "lambda_inv_d is missing.": (
            lambda x, m, f, fm, gf, w: np.mean((gf - x) ** 2) + _mean((f - fm) ** 2, m) ** 0.5
        ),
        "the reconstruction compares f(x) with x; blur comes first: g(f(x)).": (
            lambda x, m, f, fm, gf, w: np.mean((f - x) ** 2) + w * _mean((f - fm) ** 2, m) ** 0.5
        ),
        "that is the invariance after the PSF; here f(x) itself is compared.": (
            lambda x, m, f, fm, gf, w: np.mean((gf - x) ** 2) + w * _mean((gf - fm) ** 2, m) ** 0.5
        ),
        "the reconstruction uses J only; it is a mean over all pixels.": (
            lambda x, m, f, fm, gf, w: _mean((gf - x) ** 2, m) + w * _mean((f - fm) ** 2, m) ** 0.5
        ),
        "the reconstruction is a mean square, without a root.": (
            lambda x, m, f, fm, gf, w: (
                np.mean((gf - x) ** 2) ** 0.5 + w * _mean((f - fm) ** 2, m) ** 0.5
            )
        ),
    },
)


def _uneven(image):
    """Replace a network: treat the eight orientations differently, as a trained one does."""
    return np.tanh(image) + 0.1 * np.random.default_rng(5).normal(size=image.shape)


def _turned(restore, image):
    total = np.zeros(image.shape)
    for turn in range(4):
        for mirror in (False, True):
            seen = np.rot90(image.T if mirror else image, turn)
            back = np.rot90(restore(seen), -turn)
            total += (back.T if mirror else back) / 8
    return total


def _eight(restore, image, undo, axis=0, count=8):
    results = []
    for flip in (False, True):
        for turn in range(4):
            seen = np.rot90(np.flip(image, axis) if flip else image, turn)
            results.append(undo(restore(seen), turn, flip))
    return np.mean(results[:count], axis=0)


def _back(result, turn, flip):
    result = np.rot90(result, -turn)
    return np.flip(result, 0) if flip else result


#: The mean over the four rotations and their mirror images, each rotated back.
average_turns = Exercise(
    "the average over rotations and mirror images",
    _turned,
    ((_uneven, np.random.default_rng(4).random((12, 12))),),
    {
        "the results are not rotated back before they are averaged.": lambda f, x: _eight(
            f, x, lambda y, turn, flip: y
        ),
        "that rotates further in the same direction; np.rot90(y, -turn) rotates back.": lambda f, x: (
            _eight(f, x, lambda y, turn, flip: _back(y, -turn, flip))
        ),
        "the rotation is undone, the flip is not.": lambda f, x: _eight(
            f, x, lambda y, turn, flip: np.rot90(y, -turn)
        ),
        "undo in reverse order: rotate back first, then flip.": lambda f, x: _eight(
            f, x, lambda y, turn, flip: np.rot90(np.flip(y, 0) if flip else y, -turn)
        ),
        "those are the four rotations; their mirror images are missing.": lambda f, x: _eight(
            f, x, _back, count=4
        ),
        "that is the sum; divide by the number of orientations.": lambda f, x: 8 * _turned(f, x),
        "only the image itself was restored.": lambda f, x: f(x),
    },
)
