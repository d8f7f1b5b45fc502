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


def blurred_twice(noisy, estimate, g):
    return noisy - g(g(estimate))


def arguments_exchanged(estimate, noisy, g):
    return noisy - g(estimate)


def relative(noisy, estimate, g):
    return (noisy - g(estimate)) / g(estimate)


def added_up(noisy, estimate, g):
    return noisy + g(estimate)


def ratio(noisy, estimate, g):
    return noisy / g(estimate)


def centred(noisy, estimate, g):
    rest = noisy - g(estimate)
    return rest - rest.mean()


def not_called(noisy, estimate, g):
    return noisy - g


def negative_cut(noisy, estimate, g):
    return np.maximum(noisy - g(estimate), 0)


def still_a_stub(noisy, estimate, g):
    return ...


def half_of_it(noisy, estimate, g):
    return (noisy - g(estimate)) / 2


def inside_alone(noisy, estimate, g):
    rest = noisy - g(estimate)
    rest[0] = rest[-1] = rest[:, 0] = rest[:, -1] = 0
    return rest


def from_one(clean, candidates):
    errors = [((estimate - clean) ** 2).mean() for estimate in candidates]
    return int(np.argmin(errors)) + 1


def errors_unwritten(clean, candidates):
    errors = ...
    return np.argmin(errors)


def result_unwritten(clean, candidates):
    errors = [((estimate - clean) ** 2).mean() for estimate in candidates]  # noqa: F841
    return ...


def the_estimate(clean, candidates):
    errors = [((estimate - clean) ** 2).mean() for estimate in candidates]
    return candidates[int(np.argmin(errors))]


def all_at_once(clean, candidates):
    return np.argmin([(estimate - clean) ** 2 for estimate in candidates])


BANK = {
    "residual": [
        (not_blurred, "must be blurred before"),
        (turned_round, "difference is the wrong way round"),
        (measurement_blurred, "which is blurred already"),
        (both_blurred, "already has its blur"),
        (squared, "no square"),
        (absolute, "no absolute value"),
        (its_mean, "Wrong shape: of the right result, that is its mean"),
        (blurred_twice, "blurred twice"),
        (arguments_exchanged, "`estimate` and `noisy` are exchanged"),
        (relative, "divided by"),
        (added_up, "there is + where - belongs"),
        (ratio, "a ratio"),
        (centred, "its mean is subtracted"),
        (negative_cut, "negative values are cut"),
        (still_a_stub, "`return ...` is still"),
        (half_of_it, "your result is 0.5 times"),
        (inside_alone, "within 1 pixel of the border"),
    ],
    "best_estimate": [
        (the_worst, "not the largest"),
        (signs_cancel, "errors of both signs cancel"),
        (absolute_error, "about squares"),
        (largest_error, "one pixel alone"),
        (darkest, "too dark"),
        (the_error, "return the index"),
        (all_errors, "all the errors"),
        (from_one, "counts from 0"),
        (errors_unwritten, "`errors = ...` is still"),
        (result_unwritten, "`return ...` is still"),
        (the_estimate, "the estimate itself"),
        (all_at_once, "`mean` is missing"),
    ],
}
