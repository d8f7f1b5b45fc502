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


def no_conjugate(transfer, prior, balance):
    return transfer / (np.abs(transfer) ** 2 + balance * np.abs(prior) ** 2)


def no_square(transfer, prior, balance):
    return np.conj(transfer) / (np.abs(transfer) + balance * np.abs(prior) ** 2)


def no_square_of_the_prior(transfer, prior, balance):
    return np.conj(transfer) / (np.abs(transfer) ** 2 + balance * np.abs(prior))


def complex_square(transfer, prior, balance):
    return np.conj(transfer) / (transfer**2 + balance * np.abs(prior) ** 2)


def no_balance(transfer, prior, balance):
    return np.conj(transfer) / (np.abs(transfer) ** 2 + np.abs(prior) ** 2)


def constant_prior(transfer, prior, balance):
    return np.conj(transfer) / (np.abs(transfer) ** 2 + balance)


def plain_inverse(transfer, prior, balance):
    return 1 / (np.abs(transfer) ** 2 + balance * np.abs(prior) ** 2)


def through_kernel_and_filter(transfer, prior, balance):
    gain = np.conj(transfer) / (np.abs(transfer) ** 2 + balance * np.abs(prior) ** 2)
    return gain * transfer


def one_row(transfer, prior, balance):
    return (np.conj(transfer) / (np.abs(transfer) ** 2 + balance * np.abs(prior) ** 2))[0]


BANK = {
    "lucy_richardson_update": [
        (blurred_back, "through the flipped kernel"),
        (upside_down, "upside down"),
        (added, "correction is added"),
        (factor_alone, "factor alone"),
        (not_blurred, "compared with x itself"),
        (not_sent_back, "not sent back"),
        (sent_back_apart, "sent back apart"),
        (measurement_corrected, "multiplies the measurement"),
        (gradient_step, "step along the gradient"),
        (mean_factor, "Wrong shape"),
        (overwritten, "in place"),
    ],
    "wiener_gain": [
        (no_conjugate, "conjugate is missing"),
        (no_square, "square of |F(k)| is missing"),
        (no_square_of_the_prior, "square of the prior"),
        (complex_square, "F(k)^2 is complex"),
        (no_balance, "balance is missing"),
        (constant_prior, "bare constant"),
        (plain_inverse, "numerator is 1"),
        (through_kernel_and_filter, "gain times F(k)"),
        (one_row, "Wrong shape"),
    ],
}
