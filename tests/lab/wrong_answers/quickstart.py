"""Plausible wrong answers to the exercises of notebook 00, and what each must be told."""

import numpy as np


def not_blurred(noisy, estimate, g):
    return noisy - estimate


def turned_round(noisy, estimate, g):
    return g(estimate) - noisy


def measurement_blurred(noisy, estimate, g):
    return g(noisy) - estimate


def both_blurred(noisy, estimate, g):
    return g(noisy) - g(estimate)


def squared(noisy, estimate, g):
    return np.square(noisy - g(estimate))


def absolute(noisy, estimate, g):
    return abs(noisy - g(estimate))


def its_mean(noisy, estimate, g):
    return np.mean(noisy - g(estimate))


def the_worst(clean, candidates):
    errors = [((estimate - clean) ** 2).mean() for estimate in candidates]
    return errors.index(max(errors))


def signs_cancel(clean, candidates):
    return np.argmin([abs((estimate - clean).sum()) for estimate in candidates])


def absolute_error(clean, candidates):
    return np.argmin([np.mean(np.abs(estimate - clean)) for estimate in candidates])


def largest_error(clean, candidates):
    return np.argmin([np.max(np.abs(estimate - clean)) for estimate in candidates])


def darkest(clean, candidates):
    return np.argmin([np.mean(estimate - clean) for estimate in candidates])


def the_error(clean, candidates):
    return min(((estimate - clean) ** 2).mean() for estimate in candidates)


def all_errors(clean, candidates):
    return [((estimate - clean) ** 2).mean() for estimate in candidates]


BANK = {
    "residual": [
        (not_blurred, "must be blurred before"),
        (turned_round, "sign is reversed"),
        (measurement_blurred, "which is blurred already"),
        (both_blurred, "already has its blur"),
        (squared, "no square"),
        (absolute, "no absolute value"),
        (its_mean, "Wrong shape"),
    ],
    "best_estimate": [
        (the_worst, "not the largest"),
        (signs_cancel, "errors of both signs cancel"),
        (absolute_error, "about squares"),
        (largest_error, "one pixel alone"),
        (darkest, "too dark"),
        (the_error, "return the index"),
        (all_errors, "Wrong shape"),
    ],
}
