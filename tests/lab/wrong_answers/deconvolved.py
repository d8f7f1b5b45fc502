"""Plausible wrong answers to the exercises of notebook 06, and what each must be told."""

import numpy as np


def no_root(x, mask, f, f_masked, g_f, lambda_inv_d):
    return np.mean((g_f - x) ** 2) + lambda_inv_d * np.mean((f[mask] - f_masked[mask]) ** 2)


def no_mask(x, mask, f, f_masked, g_f, lambda_inv_d):
    return np.mean((g_f - x) ** 2) + lambda_inv_d * np.sqrt(np.mean((f - f_masked) ** 2))


def divided_by_all(x, mask, f, f_masked, g_f, lambda_inv_d):
    difference = np.where(mask, f - f_masked, 0)
    return np.mean((g_f - x) ** 2) + lambda_inv_d * np.sqrt(np.sum(difference**2) / difference.size)


def no_lambda(x, mask, f, f_masked, g_f, lambda_inv_d):
    return np.mean((g_f - x) ** 2) + np.sqrt(np.mean((f - f_masked)[mask] ** 2))


def fixed_lambda(x, mask, f, f_masked, g_f, lambda_inv_d):
    return np.mean((g_f - x) ** 2) + 2 * np.sqrt(np.mean((f - f_masked)[mask] ** 2))


def no_blur(x, mask, f, f_masked, g_f, lambda_inv_d):
    return np.mean((f - x) ** 2) + lambda_inv_d * np.sqrt(np.mean((f - f_masked)[mask] ** 2))


def after_the_psf(x, mask, f, f_masked, g_f, lambda_inv_d):
    return np.mean((g_f - x) ** 2) + lambda_inv_d * np.sqrt(np.mean((g_f - f_masked)[mask] ** 2))


def a_map(x, mask, f, f_masked, g_f, lambda_inv_d):
    return (g_f - x) ** 2 + lambda_inv_d * np.abs(f - f_masked) * mask


def not_turned_back(restore, image):
    results = []
    for flip in (False, True):
        for turn in range(4):
            results.append(restore(np.rot90(image[::-1] if flip else image, turn)))
    return np.mean(results, axis=0)


def turned_further(restore, image):
    results = []
    for flip in (False, True):
        for turn in range(4):
            y = np.rot90(restore(np.rot90(image[::-1] if flip else image, turn)), turn)
            results.append(y[::-1] if flip else y)
    return np.mean(results, axis=0)


def flip_left(restore, image):
    results = []
    for flip in (False, True):
        for turn in range(4):
            y = restore(np.rot90(image[::-1] if flip else image, turn))
            results.append(np.rot90(y, -turn))
    return np.mean(results, axis=0)


def flip_first(restore, image):
    results = []
    for flip in (False, True):
        for turn in range(4):
            y = restore(np.rot90(image[::-1] if flip else image, turn))
            results.append(np.rot90(y[::-1] if flip else y, -turn))
    return np.mean(results, axis=0)


def rotations_only(restore, image):
    return sum(np.rot90(restore(np.rot90(image, turn)), -turn) for turn in range(4)) / 4


def a_sum(restore, image):
    total = 0
    for flip in (False, True):
        for turn in range(4):
            y = np.rot90(restore(np.rot90(image[::-1] if flip else image, turn)), -turn)
            total = total + (y[::-1] if flip else y)
    return total


def stacked(restore, image):
    return np.stack([np.rot90(restore(np.rot90(image, turn)), -turn) for turn in range(4)])


BANK = {
    "noise2same_d_loss": [
        (no_root, "root is missing"),
        (no_mask, "mask is ignored"),
        (divided_by_all, "mean is over |J|"),
        (no_lambda, "lambda_inv_d is missing"),
        (fixed_lambda, "a fixed number"),
        (no_blur, "blur comes first"),
        (after_the_psf, "after the PSF"),
        (a_map, "Wrong shape"),
    ],
    "average_turns": [
        (not_turned_back, "not rotated back"),
        (turned_further, "same direction"),
        (flip_left, "the flip is not"),
        (flip_first, "reverse order"),
        (rotations_only, "mirror images are missing"),
        (a_sum, "divide by the number"),
        (stacked, "Wrong shape"),
    ],
}
