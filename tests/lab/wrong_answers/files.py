"""Plausible wrong answers to the exercises of notebook 08, and what each must be told."""

import numpy as np


def _sound(own, agreement):
    return (own <= 1.05) & (agreement <= 1)


def held_out_near_one(own, held_out, agreement):
    return np.argmin(np.where(_sound(own, agreement), abs(held_out - 1), np.inf))


def lowest_of_all(own, held_out, agreement):
    return int(held_out.argmin())


def own_alone(own, held_out, agreement):
    return np.argmin(np.where(own <= 1.05, held_out, 99))


def agreement_alone(own, held_out, agreement):
    return np.argmin(np.where(agreement <= 1, held_out, 99))


def index_in_the_rest(own, held_out, agreement):
    return held_out[_sound(own, agreement)].argmin()


def least_own(own, held_out, agreement):
    return own.argmin()


def least_agreement(own, held_out, agreement):
    return agreement.argmin()


def residual_itself(own, held_out, agreement):
    return held_out[_sound(own, agreement)].min()


def mask_itself(own, held_out, agreement):
    return _sound(own, agreement)


def own_below_one(own, held_out, agreement):
    return np.argmin(np.where((own <= 1) & (agreement <= 1), held_out, 99))


def own_too_high(own, held_out, agreement):
    return np.argmin(np.where((own <= 1.15) & (agreement <= 1), held_out, 99))


def agreement_too_high(own, held_out, agreement):
    return np.argmin(np.where((own <= 1.05) & (agreement <= 1.5), held_out, 99))


def agreement_too_low(own, held_out, agreement):
    return np.argmin(np.where((own <= 1.05) & (agreement < 0.85), held_out, 99))


def own_near_one(own, held_out, agreement):
    return np.argmin(np.where((abs(own - 1) <= 0.05) & (agreement <= 1), held_out, 99))


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


def nearest_to_one(own, held_out, agreement):
    return np.abs(own - 1).argmin()


def zero_at_the_border(size):
    middle = (size - 1) / 2
    ramp = 1 - np.abs(np.arange(size) - middle) / middle
    return np.minimum.outer(ramp, ramp)


def one_too_far(size):
    p = np.arange(size)
    ramp = (np.minimum(p, size - p) + 1) / ((size + 1) // 2)
    return np.minimum.outer(ramp, ramp)


def half_rounded_down(size):
    return np.minimum.outer(_ramp(size), _ramp(size)) / (size // 2)


BANK = {
    "pick": [
        (nearest_to_one, "own residual nearest to 1"),
        (held_out_near_one, "held-out residual nearest to 1"),
        (lowest_of_all, "nothing was discarded"),
        (own_alone, "agreement above 1"),
        (agreement_alone, "own residual above 1.05"),
        (index_in_the_rest, "among all"),
        (least_own, "most noise"),
        (least_agreement, "smoothest"),
        (residual_itself, "the residual itself"),
        (own_below_one, "a little above 1"),
        (own_too_high, "with 1.07 is chosen"),
        (agreement_too_high, "with 1.1 is chosen"),
        (agreement_too_low, "0.97 is discarded"),
        (own_near_one, "no reason to discard"),
        (mask_itself, "which estimates are left"),
    ],
    "pyramid_weights": [
        (zero_at_the_border, "falls to 0"),
        (one_too_far, "size - 1 - p"),
        (half_rounded_down, "is rounded up"),
        (starts_at_zero, "starts at 0"),
        (not_divided, "not divided by the largest"),
        (product, "are multiplied"),
        (larger_of_the_two, "larger of the two"),
        (one_sided, "from one border to the other"),
        (divided_by_the_size, "divided by the size"),
        (one_axis, "Wrong shape"),
    ],
}
