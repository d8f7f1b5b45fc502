"""Plausible wrong answers to the exercises of notebook 09, and what each must be told."""

import numpy as np
import torch

from siamdecon import PSFConvolution


def _t(volume):
    return torch.from_numpy(volume)[None, None]


def _loss(
    x, mask, f, f_masked, psf, *, turn=False, weight=2, root=True, masked=True, padding="replicate"
):
    g = PSFConvolution(psf[::-1, ::-1, ::-1].copy() if turn else psf, padding=padding)
    a, b = g(_t(f))[0, 0].numpy(), g(_t(f_masked))[0, 0].numpy()
    square = (a - b) ** 2
    invariance = square[mask].mean() if masked else square.mean()
    return ((a - x) ** 2).mean() + weight * (np.sqrt(invariance) if root else invariance)


def correlated(*arguments):
    return _loss(*arguments, turn=True)


def no_lambda(*arguments):
    return _loss(*arguments, weight=1)


def no_root(*arguments):
    return _loss(*arguments, root=False)


def all_voxels(*arguments):
    return _loss(*arguments, masked=False)


def dark_border(*arguments):
    return _loss(*arguments, padding="zero")


def wrapped_border(*arguments):
    return _loss(*arguments, padding="circular")


def equation_4(x, mask, f, f_masked, psf):
    a = PSFConvolution(psf)(_t(f))[0, 0].numpy()
    return ((a - x) ** 2).mean() + 2 * np.sqrt(((f - f_masked)[mask] ** 2).mean())


def planes(x, mask, f, f_masked, psf):
    middle = psf[len(psf) // 2]
    g = PSFConvolution(middle / middle.sum())
    a, b = (np.stack([g(_t(plane))[0, 0].numpy() for plane in v]) for v in (f, f_masked))
    return ((a - x) ** 2).mean() + 2 * np.sqrt(((a - b)[mask] ** 2).mean())


def added(x, mask, f, f_masked, psf):
    g = PSFConvolution(psf)
    a, b = g(_t(f))[0, 0].numpy(), g(_t(f_masked))[0, 0].numpy()
    return ((a - x) ** 2).sum() + 2 * np.sqrt(((a - b)[mask] ** 2).sum())


def _laid(parts, corners, shape, values):
    out = np.zeros(shape)
    for part, corner, value in zip(parts, corners, values, strict=True):
        z, y, x = corner
        out[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] += value
    return out


def undivided(parts, corners, weights, shape):
    return _laid(parts, corners, shape, [part * weights for part in parts])


def last_wins(parts, corners, weights, shape):
    out = np.zeros(shape)
    for part, (z, y, x) in zip(parts, corners, strict=True):
        out[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = part
    return out


def first_wins(parts, corners, weights, shape):
    return last_wins(parts[::-1], corners[::-1], weights, shape)


def plain_mean(parts, corners, weights, shape):
    count = _laid(parts, corners, shape, [1] * len(parts))
    return _laid(parts, corners, shape, parts) / count


def divided_by_the_count(parts, corners, weights, shape):
    count = _laid(parts, corners, shape, [1] * len(parts))
    return undivided(parts, corners, weights, shape) / count


def divided_by_one_sum(parts, corners, weights, shape):
    return undivided(parts, corners, weights, shape) / weights.sum()


def unweighted_sum(parts, corners, weights, shape):
    return _laid(parts, corners, shape, parts) / _laid(
        parts, corners, shape, [weights] * len(parts)
    )


def as_a_list(parts, corners, weights, shape):
    return [part * weights for part in parts]


BANK = {
    "noise2same_loss": [
        (correlated, "a correlation"),
        (planes, "one by one"),
        (dark_border, "it is dark"),
        (wrapped_border, "borders meet"),
        (equation_4, "that is Eq. 4"),
        (no_root, "square root"),
        (no_lambda, "lambda_inv = 2 is missing"),
        (all_voxels, "compares all voxels"),
        (added, "for the means"),
    ],
    "stitch": [
        (undivided, "not divided by the sum"),
        (last_wins, "overwrites"),
        (first_wins, "first tile of a voxel"),
        (plain_mean, "a plain mean"),
        (divided_by_the_count, "number of tiles"),
        (divided_by_one_sum, "weights of one tile"),
        (unweighted_sum, "without weights"),
        (as_a_list, "Wrong shape"),
    ],
}
