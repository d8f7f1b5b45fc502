"""Plausible wrong answers to the exercises of notebook 03, and what each must be told."""

import numpy as np


def blurred_back(x, y, blur, correlate):
    ratio = y / blur(x)
    return x * blur(ratio)


def upside_down(x, y, blur, correlate):
    ratio = blur(x) / y
    return x * correlate(ratio)


def added(x, y, blur, correlate):
    ratio = y / blur(x)
    return x + correlate(ratio)


def factor_alone(x, y, blur, correlate):
    ratio = y / blur(x)
    return correlate(ratio)


def not_blurred(x, y, blur, correlate):
    ratio = y / x
    return x * correlate(ratio)


def not_sent_back(x, y, blur, correlate):
    ratio = y / blur(x)
    return x * ratio


def sent_back_apart(x, y, blur, correlate):
    return x * (correlate(y) / correlate(blur(x)))


def measurement_corrected(x, y, blur, correlate):
    ratio = y / blur(x)
    return y * correlate(ratio)


def gradient_step(x, y, blur, correlate):
    return x + correlate(y - blur(x))


def mean_factor(x, y, blur, correlate):
    ratio = y / blur(x)
    return (x * correlate(ratio)).mean(axis=0)


def overwritten(x, y, blur, correlate):
    x *= correlate(y / blur(x))
    return x


def blur_and_correlate_exchanged(x, y, blur, correlate):
    ratio = y / correlate(x)
    return x * blur(ratio)


def correlated_forth_and_back(x, y, blur, correlate):
    ratio = y / correlate(x)
    return x * correlate(ratio)


def derivative_for_factor(x, y, blur, correlate):
    ratio = y / blur(x)
    return x * (correlate(ratio) - 1)


def derivative_added(x, y, blur, correlate):
    ratio = y / blur(x)
    return x + correlate(ratio) - 1


def all_sent_back(x, y, blur, correlate):
    ratio = y / blur(x)
    return correlate(x * ratio)


def arguments_exchanged(y, x, blur, correlate):
    ratio = y / blur(x)
    return x * correlate(ratio)


def squared_factor(x, y, blur, correlate):
    ratio = y / blur(x)
    return x * correlate(ratio) ** 2


def half_written(x, y, blur, correlate):
    ratio = y / blur(x)  # noqa: F841
    return ...


def ratio_missing(x, y, blur, correlate):
    ratio = ...
    return x * correlate(ratio)


def half_way(x, y, blur, correlate):
    return (x + x * correlate(y / blur(x))) / 2


def from_one(x, y, blur, correlate):
    return x * (1 - correlate(y / blur(x)))


def divided(x, y, blur, correlate):
    ratio = y / blur(x)
    return x / correlate(ratio)


def tuple_of_factors(x, y, blur, correlate):
    ratio = (y / blur(x),)
    return x, correlate(ratio[0])


def downhill(estimate, measured, blur, correlate):
    step = correlate(blur(estimate) - measured)
    return np.maximum(estimate + step, 0)


def by_blur(estimate, measured, blur, correlate):
    step = blur(measured - blur(estimate))
    return np.maximum(estimate + step, 0)


def negative_left(estimate, measured, blur, correlate):
    return estimate + correlate(measured - blur(estimate))


def not_back(estimate, measured, blur, correlate):
    return np.maximum(estimate + (measured - blur(estimate)), 0)


def unblurred(estimate, measured, blur, correlate):
    return np.maximum(estimate + correlate(measured - estimate), 0)


def step_alone(estimate, measured, blur, correlate):
    step = correlate(measured - blur(estimate))
    return np.maximum(step, 0)


def grows_only(estimate, measured, blur, correlate):
    step = correlate(measured - blur(estimate))
    return estimate + np.maximum(step, 0)


def folded(estimate, measured, blur, correlate):
    return abs(estimate + correlate(measured - blur(estimate)))


def richardson(estimate, measured, blur, correlate):
    return np.maximum(estimate * correlate(measured / blur(estimate)), 0)


def minus_twice(estimate, measured, blur, correlate):
    step = correlate(blur(estimate) - measured)
    return -np.maximum(estimate - step, 0)


def minimum(estimate, measured, blur, correlate):
    step = correlate(measured - blur(estimate))
    return np.minimum(estimate + step, 0)


def half_a_step(estimate, measured, blur, correlate):
    return np.maximum(estimate + 0.5 * correlate(measured - blur(estimate)), 0)


def clipped_to_white(estimate, measured, blur, correlate):
    return np.clip(estimate + correlate(measured - blur(estimate)), 0, 1)


def larger(sizes, noise):
    return int(np.argmax(np.array(sizes) > noise)) + 1


def as_a_mask(sizes, noise):
    return np.array(sizes) <= noise


def from_zero(sizes, noise):
    return int(np.argmax(np.array(sizes) <= noise))


def nearest(sizes, noise):
    return int(np.argmin(np.abs(np.array(sizes) - noise))) + 1


def nearest_from_zero(sizes, noise):
    return int(np.abs(np.array(sizes) - noise).argmin())


def how_many(sizes, noise):
    return len([s for s in sizes if s <= noise])


def the_last(sizes, noise):
    return int(np.argmin(sizes)) + 1


def the_residual(sizes, noise):
    return next(s for s in sizes if s <= noise)


def all_of_them(sizes, noise):
    return np.nonzero(np.array(sizes) <= noise)[0] + 1


def strictly(sizes, noise):
    return next(n for n, s in enumerate(sizes, 1) if s < noise)


def list_compared(sizes, noise):
    return np.argmax(sizes <= noise) + 1


BANK = {
    "lucy_richardson_update": [
        (blurred_back, "the ratio was passed to blur"),
        (upside_down, "upside down"),
        (added, "correction is added"),
        (factor_alone, "factor alone"),
        (not_blurred, "compared with the estimate itself"),
        (not_sent_back, "not sent back"),
        (sent_back_apart, "sent back apart"),
        (measurement_corrected, "multiplies the measurement"),
        (gradient_step, "step along the gradient"),
        (mean_factor, "Wrong shape"),
        (overwritten, "in place"),
        (blur_and_correlate_exchanged, "`blur` and `correlate` are exchanged"),
        (correlated_forth_and_back, "was blurred by correlate"),
        (derivative_for_factor, "without the - 1"),
        (derivative_added, "step along the derivative"),
        (all_sent_back, "only the ratio goes through"),
        (arguments_exchanged, "`y` and `x` are exchanged"),
        (squared_factor, "`correlate(ratio)` is squared"),
        (half_way, "that is the mean of `x` and the right result"),
        (from_one, "the right result is subtracted from `x`"),
        (half_written, "`return ...` is still to be written"),
        (ratio_missing, "`ratio = ...` is still to be written"),
        (divided, "there is / where * belongs"),
        (tuple_of_factors, "a tuple of 2"),
    ],
    "landweber_update": [
        (downhill, "goes downhill"),
        (by_blur, "sent back by blur"),
        (negative_left, "negative pixels are left"),
        (not_back, "`correlate` is missing"),
        (unblurred, "was not blurred before"),
        (step_alone, "step alone"),
        (grows_only, "only grows"),
        (folded, "absolute value"),
        (richardson, "which is Lucy-Richardson"),
        (minus_twice, "the sign is reversed"),
        (half_a_step, "is halved"),
        (clipped_to_white, "values outside [0, 1] are cut"),
        (minimum, "`minimum` stands where"),
    ],
    "stop": [
        (from_zero, "one too early"),
        (nearest, "iteration with the nearest residual"),
        (nearest_from_zero, "index of the nearest residual"),
        (how_many, "counts the residuals"),
        (the_last, "last iteration of all"),
        (the_residual, "the residual itself"),
        (all_of_them, "list of all such iterations"),
        (strictly, "<=, not <"),
        (larger, "wrong way round"),
        (as_a_mask, "expected one whole number"),
        (list_compared, "A list is no array"),
    ],
}
