"""Plausible wrong answers to the exercises of notebook 06, and what each must be told."""

import numpy as np
import torch


def _rec(f, g, x):
    return ((g(f(x)) - x) ** 2).mean()


def _inv(f, x, x_hidden, mask):
    return ((f(x) - f(x_hidden))[mask] ** 2).mean().sqrt()


def no_root(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + lambda_inv_d * ((f(x) - f(x_hidden))[mask] ** 2).mean()


def no_mask(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + lambda_inv_d * ((f(x) - f(x_hidden)) ** 2).mean().sqrt()


def visible(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + lambda_inv_d * _inv(f, x, x_hidden, ~mask)


def divided_by_all(f, g, x, x_hidden, mask, lambda_inv_d):
    difference = torch.where(mask, f(x) - f(x_hidden), 0)
    return _rec(f, g, x) + lambda_inv_d * (difference.square().sum() / x.numel()).sqrt()


def norm(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + lambda_inv_d * (f(x) - f(x_hidden))[mask].norm()


def absolute(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + lambda_inv_d * torch.abs(f(x) - f(x_hidden))[mask].mean()


def no_lambda(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + _inv(f, x, x_hidden, mask)


def fixed_lambda(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + 2 * _inv(f, x, x_hidden, mask)


def as_in_05(f, g, x, x_hidden, mask, lambda_inv_d):
    inv = ((g(f(x)) - g(f(x_hidden)))[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv_d * inv


def moved_by_half(f, g, x, x_hidden, mask, lambda_inv_d):
    inv = ((g(f(x)) - f(x_hidden))[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv_d * inv


def moved_by_the_other_half(f, g, x, x_hidden, mask, lambda_inv_d):
    inv = ((f(x) - g(f(x_hidden)))[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv_d * inv


def no_blur(f, g, x, x_hidden, mask, lambda_inv_d):
    return ((f(x) - x) ** 2).mean() + lambda_inv_d * _inv(f, x, x_hidden, mask)


def from_the_masked(f, g, x, x_hidden, mask, lambda_inv_d):
    return ((g(f(x_hidden)) - x) ** 2).mean() + lambda_inv_d * _inv(f, x, x_hidden, mask)


def at_j(f, g, x, x_hidden, mask, lambda_inv_d):
    rec = ((g(f(x)) - x)[mask] ** 2).mean()
    return rec + lambda_inv_d * _inv(f, x, x_hidden, mask)


def rec_with_a_root(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) ** 0.5 + lambda_inv_d * _inv(f, x, x_hidden, mask)


def against_the_measurement(f, g, x, x_hidden, mask, lambda_inv_d):
    inv = ((f(x_hidden) - x)[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv_d * inv


def invariance_alone(f, g, x, x_hidden, mask, lambda_inv_d):
    return lambda_inv_d * _inv(f, x, x_hidden, mask)


def no_gradient(f, g, x, x_hidden, mask, lambda_inv_d):
    with torch.no_grad():
        return _rec(f, g, x) + lambda_inv_d * _inv(f, x, x_hidden, mask)


def squared_again(f, g, x, x_hidden, mask, lambda_inv_d):
    return _rec(f, g, x) + lambda_inv_d * ((f(x) - f(x_hidden))[mask] ** 2).mean() ** 2


def measurement_blurred(f, g, x, x_hidden, mask, lambda_inv_d):
    return ((f(x) - g(x)) ** 2).mean() + lambda_inv_d * _inv(f, x, x_hidden, mask)


def blind_spot_kept(f, g, x, x_hidden, mask, lambda_inv_d):
    rec = ((g(f(x_hidden)) - x)[mask] ** 2).mean()
    return rec + lambda_inv_d * _inv(f, x, x_hidden, mask)


def lambda_for_both(f, g, x, x_hidden, mask, lambda_inv_d):
    return lambda_inv_d * (_rec(f, g, x) + _inv(f, x, x_hidden, mask))


def a_map(f, g, x, x_hidden, mask, lambda_inv_d):
    return (g(f(x)) - x) ** 2 + lambda_inv_d * (f(x) - f(x_hidden)).abs() * mask


def one_run(a, b):
    return np.mean(a - b), np.std(a - b, ddof=1)


def over_n(a, b):
    return np.mean(a - b), (a - b).std(ddof=1) / len(a)


def no_ddof(a, b):
    return np.mean(a - b), np.std(a - b) / np.sqrt(len(a))


def plain_std(a, b):
    return (a - b).mean(), (a - b).std()


def variance(a, b):
    return np.mean(a - b), np.var(a - b, ddof=1) / len(a)


def unpaired(a, b):
    return np.mean(a) - np.mean(b), np.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / len(a))


def turned(a, b):
    d = b - a
    return d.mean(), d.std(ddof=1) / np.sqrt(len(d))


def each_run(a, b):
    return a - b


def mean_alone(a, b):
    return np.mean(a) - np.mean(b)


def error_first(a, b):
    d = a - b
    return d.std(ddof=1) / len(d) ** 0.5, d.mean()


def sizes(a, b):
    d = a - b
    return np.abs(d).mean(), d.std(ddof=1) / len(d) ** 0.5


def medians(a, b):
    return np.median(a - b), np.std(a - b, ddof=1) / np.sqrt(len(a))


def ratio(a, b):
    r = a / b
    return r.mean(), r.std(ddof=1) / len(r) ** 0.5


def summed(a, b):
    d = a - b
    return d.sum(), d.std(ddof=1) / np.sqrt(len(d))


def blurred_input(f, g, x, x_hidden, mask, lambda_inv_d):
    return ((f(g(x)) - x) ** 2).mean() + lambda_inv_d * _inv(f, x, x_hidden, mask)


def root_of_one_less(a, b):
    return np.mean(a - b), np.std(a - b, ddof=1) / np.sqrt(len(a) - 1)


BANK = {
    "noise2same_d_loss": [
        (blurred_input, "not the network's input"),
        (no_root, "root is missing"),
        (no_mask, "ignores the mask"),
        (visible, "visible pixels"),
        (divided_by_all, "not by |J|"),
        (norm, "lacks |J|"),
        (absolute, "mean absolute difference"),
        (no_lambda, "`lambda_inv_d` is missing"),
        (fixed_lambda, "a fixed 2"),
        (as_in_05, "that is Eq. 3"),
        (moved_by_half, "is blurred, the other is not"),
        (moved_by_the_other_half, "is not blurred, the other is"),
        (no_blur, "g comes first"),
        (from_the_masked, "not the masked one"),
        (at_j, "uses J only"),
        (rec_with_a_root, "without a root"),
        (against_the_measurement, "with the measurement"),
        (invariance_alone, "reconstruction is missing"),
        (no_gradient, "no gradient"),
        (squared_again, "takes its root"),
        (measurement_blurred, "blurred once more"),
        (blind_spot_kept, "is the blind-spot loss"),
        (lambda_for_both, "multiplies both"),
        (a_map, "Wrong shape"),
    ],
    "paired": [
        (root_of_one_less, "is done by ddof=1"),
        (one_run, "spread of single differences; that of their mean"),
        (over_n, "root of n only"),
        (no_ddof, "too small"),
        (plain_std, "np.std needs ddof=1"),
        (variance, "variance stands"),
        (unpaired, "subtract first"),
        (turned, "wrong sign"),
        (each_run, "difference for each run"),
        (mean_alone, "standard error is missing"),
        (error_first, "are exchanged"),
        (medians, "median stands"),
        (ratio, "are divided"),
        (summed, "`sum` stands"),
        (sizes, "absolute differences"),
    ],
}
