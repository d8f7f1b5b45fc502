"""Plausible wrong answers to the exercises of notebook 08, and what each must be told."""

import numpy as np


def cut_off(estimate, low, high):
    return np.clip(low + estimate * (high - low), 0, 65535).astype(np.uint16)


def wraps_round(estimate, low, high):
    return np.rint(estimate * (high - low) + low).astype(np.int64).astype(np.uint16)


def cast_alone(estimate, low, high):
    return (estimate * (high - low) + low).astype(np.int64).astype(np.uint16)


def clipped_to_the_range(estimate, low, high):
    return np.rint((low + estimate * (high - low)).clip(low, high)).astype(np.uint16)


def no_offset(estimate, low, high):
    return np.clip(np.rint(estimate * (high - low)), 0, 65535).astype(np.uint16)


def span_is_high(estimate, low, high):
    return np.clip(np.rint(estimate * high + low), 0, 65535).astype(np.uint16)


def spread_over_the_dtype(estimate, low, high):
    return np.rint(np.clip(estimate * 65535, 0, 65535)).astype(np.uint16)


def fractions_kept(estimate, low, high):
    return np.clip(low + estimate * (high - low), 0, 65535)


def flattened(estimate, low, high):
    return np.clip(np.rint(low + estimate.ravel() * (high - low)), 0, 65535).astype(np.uint16)


def _ramp(size):
    return np.minimum(np.arange(size), np.arange(size)[::-1]) + 1


def starts_at_zero(size):
    ramp = _ramp(size) - 1
    return np.minimum.outer(ramp, ramp) / ramp.max()


def not_divided(size):
    return np.minimum.outer(_ramp(size), _ramp(size))


def product(size):
    ramp = _ramp(size) / _ramp(size).max()
    return np.outer(ramp, ramp)


def larger_of_the_two(size):
    return np.maximum.outer(_ramp(size), _ramp(size)) / _ramp(size).max()


def one_sided(size):
    ramp = np.arange(1, size + 1) / size
    return np.minimum.outer(ramp, ramp)


def divided_by_the_size(size):
    return np.minimum.outer(_ramp(size), _ramp(size)) / size


def one_axis(size):
    return _ramp(size) / _ramp(size).max()


BANK = {
    "to_counts": [
        (cut_off, "cut off, not rounded"),
        (wraps_round, "black turns into white"),
        (cast_alone, "neither rounded nor clipped"),
        (clipped_to_the_range, "that is to [0, 1]"),
        (no_offset, "offset low is missing"),
        (span_is_high, "multiplied by high"),
        (spread_over_the_dtype, "units of the camera are lost"),
        (fractions_kept, "whole counts"),
        (flattened, "Wrong shape"),
    ],
    "pyramid_weights": [
        (starts_at_zero, "starts at 0"),
        (not_divided, "not divided by the largest"),
        (product, "are multiplied"),
        (larger_of_the_two, "larger of the two"),
        (one_sided, "from one border to the other"),
        (divided_by_the_size, "divided by the size"),
        (one_axis, "Wrong shape"),
    ],
}
