"""Plausible wrong answers to the exercises of notebook 01, and what each must be told."""

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


BANK = {
    "defocus_phase": [
        (no_root, "root is missing"),
        (phase_only, "phase alone"),
        (no_imaginary_unit, "imaginary unit"),
        (no_two_pi, "2 pi is missing"),
        (no_index, "refractive index n is missing"),
        (summed_over_the_pupil, "Wrong shape"),
    ],
    "camera": [
        (unclipped, "clipping is missing"),
        (unrounded, "rounding to 1024 levels"),
        (variance_for_deviation, "standard deviation, the root"),
        (sigma_for_variance, "sigma is a standard deviation"),
        (deviations_added, "variances add"),
        (in_place, "in place"),
    ],
}
