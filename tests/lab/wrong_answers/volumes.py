"""Plausible wrong answers to the exercises of notebook 09, and what each must be told."""

import numpy as np


def sums(kernel, turn):
    return np.isclose(turn(kernel).sum(), kernel.sum())


def shapes(kernel, turn):
    return kernel.shape == turn(kernel).shape


def exactly(kernel, turn):
    turned = turn(kernel)
    return turned.shape == kernel.shape and bool((turned == kernel).all())


def forbidden(kernel, turn):
    turned = turn(kernel)
    return turned.shape != kernel.shape or not np.allclose(turned, kernel)


def without_the_shape(kernel, turn):
    return np.allclose(turn(kernel), kernel)


def each_voxel(kernel, turn):
    turned = turn(kernel)
    return np.isclose(turned, kernel) if turned.shape == kernel.shape else False


def never(kernel, turn):
    return kernel is turn(kernel)


def turn_itself(kernel, turn):
    return turn(kernel)


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


def weighted_in_place(parts, corners, weights, shape):
    for part in parts:
        part *= weights
    total = _laid(parts, corners, shape, [weights] * len(parts))
    return _laid(parts, corners, shape, parts) / total


def as_a_list(parts, corners, weights, shape):
    return [part * weights for part in parts]


def weights_set_anew(parts, corners, weights, shape):
    total = np.zeros(shape)
    for part, (z, y, x) in zip(parts, corners, strict=True):
        total[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]] = weights
    return undivided(parts, corners, weights, shape) / total


def brightest(parts, corners, weights, shape):
    out = np.full(shape, -np.inf)
    for part, (z, y, x) in zip(parts, corners, strict=True):
        at = np.s_[z : z + part.shape[0], y : y + part.shape[1], x : x + part.shape[2]]
        out[at] = np.maximum(out[at], part)
    return out


BANK = {
    "allowed": [
        (sums, "Compare voxel by voxel"),
        (shapes, "only the shapes"),
        (exactly, "but for rounding"),
        (forbidden, "wrong way round"),
        (without_the_shape, "shapes of two arrays do not fit"),
        (each_voxel, "for each voxel"),
        (turn_itself, "turned kernel itself"),
        (never, "no turn at all"),
    ],
    "stitch": [
        (weights_set_anew, "set anew"),
        (brightest, "brightest tile"),
        (undivided, "not divided by the sum"),
        (last_wins, "overwrites"),
        (first_wins, "first tile of a voxel"),
        (plain_mean, "a plain mean"),
        (divided_by_the_count, "number of tiles"),
        (divided_by_one_sum, "weights of one tile"),
        (unweighted_sum, "without weights"),
        (weighted_in_place, "changes its input in place"),
        (as_a_list, "Wrong shape"),
    ],
}
