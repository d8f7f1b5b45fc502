"""Plausible wrong answers to the exercises of notebook 01, and what each must be told."""

import math

import numpy as np


def no_root(rho, z, na, index, wavelength):
    k = 2 * np.pi / wavelength
    return np.exp(1j * k * z * (index**2 - (na * rho) ** 2))


def phase_only(rho, z, na, index, wavelength):
    return 2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2)


def no_imaginary_unit(rho, z, na, index, wavelength):
    return np.exp(2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def no_two_pi(rho, z, na, index, wavelength):
    return np.exp(1j * z / wavelength * np.sqrt(index**2 - (na * rho) ** 2))


def no_index(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi * z / wavelength * np.sqrt(np.abs(1 - (na * rho) ** 2)))


def summed_over_the_pupil(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi * z / wavelength * np.sqrt(index**2 - (na * rho) ** 2)).sum()


def unclipped(blurred, rnd, alpha, sigma):
    return np.rint((blurred + np.sqrt(alpha * blurred + sigma**2) * rnd) * 1024) / 1024


def unrounded(blurred, rnd, alpha, sigma):
    return np.clip(blurred + np.sqrt(alpha * blurred + sigma**2) * rnd, 0, 1)


def variance_for_deviation(blurred, rnd, alpha, sigma):
    noisy = blurred + (alpha * blurred + sigma**2) * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def sigma_for_variance(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma) * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def deviations_added(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred) * rnd + sigma * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def in_place(blurred, rnd, alpha, sigma):
    blurred += np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.rint(blurred * 1024) / 1024, 0, 1)


def na_not_squared(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi / wavelength * z * np.sqrt(index**2 - na * rho**2))


def index_not_squared(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi / wavelength * z * np.sqrt(index - (na * rho) ** 2))


def cosine(rho, z, na, index, wavelength):
    return np.cos(2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def imaginary_part(rho, z, na, index, wavelength):
    return np.sin(2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def plus_for_minus(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi / wavelength * z * np.sqrt(index**2 + (na * rho) ** 2))


def root_of_one_term(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi / wavelength * z * (np.sqrt(index**2) - (na * rho) ** 2))


def half_the_phase(rho, z, na, index, wavelength):
    return np.exp(1j * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def twice_the_field(rho, z, na, index, wavelength):
    return 2 * np.exp(2j * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def wavelength_multiplied(rho, z, na, index, wavelength):
    return np.exp(2j * np.pi * wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def one_line_missing(rho, z, na, index, wavelength):
    wavenumber = ...
    return np.exp(1j * wavenumber * z * np.sqrt(index**2 - (na * rho) ** 2))


def result_missing(rho, z, na, index, wavelength):
    wavenumber = 2 * np.pi / wavelength
    wavenumber * z
    return ...


def one_number(rho, z, na, index, wavelength):
    return math.exp(2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def mathematical(rho, z, na, index, wavelength):
    return np.exp(i * 2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))  # noqa: F821


def with_its_phase(rho, z, na, index, wavelength):
    phase = 2 * np.pi / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2)
    return phase, np.exp(1j * phase)


def period(wavelength, na):
    return wavelength / (2 * na)


def no_parentheses(wavelength, na):
    return wavelength / 4 * na


def rayleigh(wavelength, na):
    return 0.61 * wavelength / na


def frequency(wavelength, na):
    return 2 * na / wavelength


def of_the_waves(wavelength, na):
    return 1 / (na / wavelength)


def turned_over(wavelength, na):
    return 4 * na / wavelength


def three_samples(wavelength, na):
    return wavelength / (2 * na) / 3


def the_papers(wavelength, na):
    return 0.1875


def squared_aperture(wavelength, na):
    return wavelength / (4 * na**2)


def order_of_arguments(na, wavelength):
    return wavelength / (4 * na)


def root_of_a_part(blurred, rnd, alpha, sigma):
    noisy = blurred + (np.sqrt(alpha * blurred) + sigma**2) * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def not_random(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma**2)
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def clean_signal_lost(blurred, rnd, alpha, sigma):
    noisy = blurred * (1 + np.sqrt(alpha * blurred + sigma**2) * rnd)
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def grey_levels(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.rint(noisy * 1024), 0, 1024)


def divided_first(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.round(noisy * 1024 / 1024), 0, 1)


def alpha_for_sigma(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(sigma * blurred + alpha**2) * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def largest_grey_value(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.rint(noisy * 1023) / 1023, 0, 1)


def an_ideal_camera(blurred, rnd, alpha, sigma):
    return blurred + np.sqrt(alpha * blurred + sigma**2) * rnd


def hypotenuse(blurred, rnd, alpha, sigma):
    noisy = blurred + np.hypot(alpha * blurred, sigma) * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def subtracted(blurred, rnd, alpha, sigma):
    noisy = blurred - np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.rint(noisy * 1024) / 1024, 0, 1)


def in_degrees(rho, z, na, index, wavelength):
    return np.exp(1j * 360 / wavelength * z * np.sqrt(index**2 - (na * rho) ** 2))


def rayleighs_diameter(wavelength, na):
    return 1.22 * wavelength / na


BANK = {
    "defocus_phase": [
        (in_degrees, "takes radians"),
        (no_root, "root is missing"),
        (phase_only, "phase alone"),
        (no_imaginary_unit, "imaginary unit"),
        (no_two_pi, "2 pi is missing"),
        (no_index, "refractive index is missing"),
        (summed_over_the_pupil, "that is its sum"),
        (na_not_squared, "(na * rho) belongs together"),
        (index_not_squared, "index must be squared"),
        (cosine, "cosine of the phase"),
        (imaginary_part, "that is its imaginary part"),
        (plus_for_minus, "there is + where - belongs"),
        (root_of_one_term, "covers only a part"),
        (half_the_phase, "factor `2` is missing"),
        (twice_the_field, "your result is 2 times the right one"),
        (wavelength_multiplied, "divides by the wavelength"),
        (one_line_missing, "`wavenumber = ...` is still to be written"),
        (result_missing, "`return ...` is still to be written"),
        (one_number, "functions of `math` take one number"),
        (mathematical, "imaginary unit is 1j"),
        (with_its_phase, "a tuple of 2"),
    ],
    "largest_pixel": [
        (rayleighs_diameter, "4.88 times the right one"),
        (period, "for two samples"),
        (no_parentheses, "(4 * na) belongs together"),
        (rayleigh, "Rayleigh's distance between"),
        (frequency, "that is the highest frequency"),
        (of_the_waves, "twice those of the waves"),
        (turned_over, "that is a frequency"),
        (three_samples, "your result is 0.6667 times"),
        (the_papers, "does not depend on the arguments"),
        (squared_aperture, "`na` is squared"),
        (order_of_arguments, "`na` and `wavelength` are exchanged"),
    ],
    "camera": [
        (unclipped, "clipping is missing"),
        (unrounded, "rounding to steps"),
        (variance_for_deviation, "standard deviation, the root"),
        (sigma_for_variance, "sigma is a standard deviation"),
        (deviations_added, "two standard deviations are added"),
        (root_of_a_part, "`sqrt` covers only a part"),
        (in_place, "in place"),
        (not_random, "`rnd` is missing"),
        (clean_signal_lost, "noise is multiplied"),
        (divided_first, "rounded to whole numbers"),
        (alpha_for_sigma, "`alpha` and `sigma` are exchanged"),
        (grey_levels, "your result is 1024 times"),
        (largest_grey_value, "1023 stands where 1024 belongs"),
        (an_ideal_camera, "both missing"),
        (hypotenuse, "`alpha * blurred` is squared"),
        (subtracted, "there is - where + belongs"),
    ],
}
