"""Plausible wrong answers to the exercises of notebook 07, and what each must be told."""

import numpy as np


def unclipped(clean, estimate):
    return 10 * np.log10(1 / np.mean((clean - estimate) ** 2))


def own_maximum(clean, estimate):
    estimate = np.clip(estimate, 0, 1)
    return 20 * np.log10(clean.max() / np.sqrt(np.mean((clean - estimate) ** 2)))


def maximum_of_the_estimate(clean, estimate):
    error = np.mean((clean - np.clip(estimate, 0, 1)) ** 2)
    return 10 * np.log10(estimate.max() ** 2 / error)


def root_and_ten(clean, estimate):
    rmse = np.sqrt(np.mean((clean - np.clip(estimate, 0, 1)) ** 2))
    return -10 * np.log10(rmse)


def natural_logarithm(clean, estimate):
    return -10 * np.log(np.mean((clean - np.clip(estimate, 0, 1)) ** 2))


def sign_turned(clean, estimate):
    return 10 * np.log10(np.mean((clean - np.clip(estimate, 0, 1)) ** 2))


def summed(clean, estimate):
    return -10 * np.log10(np.sum((clean - np.clip(estimate, 0, 1)) ** 2))


def a_score_for_each_pixel(clean, estimate):
    return -10 * np.log10((clean - np.clip(estimate, 0, 1)) ** 2)


def mean_kept(residual):
    power = np.abs(np.fft.fft2(residual)) ** 2
    shifts = np.fft.ifft2(power).real
    return shifts / shifts[0, 0]


def not_normalised(residual):
    return np.fft.ifft2(np.abs(np.fft.fft2(residual - np.mean(residual))) ** 2).real


def divided_by_the_variance(residual):
    rest = residual - residual.mean()
    return np.fft.ifft2(np.abs(np.fft.fft2(rest)) ** 2).real / np.mean(rest**2)


def magnitude_for_power(residual):
    shifts = np.fft.ifft2(np.abs(np.fft.fft2(residual - residual.mean()))).real
    return shifts / shifts[0, 0]


def no_conjugate(residual):
    spectrum = np.fft.fft2(residual - residual.mean())
    shifts = np.fft.ifft2(spectrum * spectrum).real
    return shifts / shifts[0, 0]


def in_the_middle(residual):
    rest = residual - residual.mean()
    shifts = np.fft.fftshift(np.fft.ifft2(np.abs(np.fft.fft2(rest)) ** 2).real)
    return shifts / shifts.max()


def spectrum_only(residual):
    return np.abs(np.fft.fft2(residual - residual.mean())) ** 2


def neighbour_only(residual):
    rest = residual - residual.mean()
    return np.sum(rest[:, 1:] * rest[:, :-1]) / np.sum(rest**2)


def all_frequencies(u, v, ring):
    power = np.sum(np.abs(u) ** 2) * np.sum(np.abs(v) ** 2)
    return np.sum(u * np.conj(v)).real / np.sqrt(power)


def conjugate_forgotten(u, v, ring):
    u, v = u[ring], v[ring]
    return np.sum(u * v).real / np.sqrt(np.sum(np.abs(u) ** 2) * np.sum(np.abs(v) ** 2))


def root_forgotten(u, v, ring):
    u, v = u[ring], v[ring]
    return np.vdot(v, u).real / (np.vdot(u, u).real * np.vdot(v, v).real)


def magnitude_of_the_sum(u, v, ring):
    u, v = u[ring], v[ring]
    return np.abs(np.vdot(v, u)) / np.sqrt(np.vdot(u, u).real * np.vdot(v, v).real)


def left_complex(u, v, ring):
    u, v = u[ring], v[ring]
    return np.sum(u * v.conj()) / np.sqrt(np.sum(np.abs(u) ** 2) * np.sum(np.abs(v) ** 2))


def magnitudes_only(u, v, ring):
    u, v = np.abs(u[ring]), np.abs(v[ring])
    return np.sum(u * v) / np.sqrt(np.sum(u**2) * np.sum(v**2))


def phases_only(u, v, ring):
    u, v = u[ring], v[ring]
    return np.mean((u / np.abs(u) * np.conj(v / np.abs(v))).real)


def not_summed(u, v, ring):
    u, v = u[ring], v[ring]
    return (u * np.conj(v)).real / np.sqrt(np.abs(u) ** 2 * np.abs(v) ** 2)


BANK = {
    "psnr": [
        (unclipped, "not clipped: values outside"),
        (own_maximum, "clean image's own maximum"),
        (maximum_of_the_estimate, "unclipped estimate's maximum"),
        (root_and_ten, "half the value"),
        (natural_logarithm, "to base 10"),
        (sign_turned, "sign is reversed"),
        (summed, "squares are summed"),
        (a_score_for_each_pixel, "Wrong shape"),
    ],
    "autocorrelation": [
        (mean_kept, "mean is not subtracted"),
        (not_normalised, "divide by the value at shift"),
        (divided_by_the_variance, "their number is left"),
        (magnitude_for_power, "transforms |F| back"),
        (no_conjugate, "squares F itself"),
        (in_the_middle, "moved to the middle"),
        (spectrum_only, "inverse transform is missing"),
        (neighbour_only, "Wrong shape"),
    ],
    "ring_correlation": [
        (all_frequencies, "mask of the ring is not used"),
        (conjugate_forgotten, "conjugate of one spectrum is missing"),
        (root_forgotten, "root in the denominator"),
        (magnitude_of_the_sum, "keeps the sign"),
        (left_complex, "result is complex"),
        (magnitudes_only, "magnitudes alone"),
        (phases_only, "normalised separately"),
        (not_summed, "Wrong shape"),
    ],
}
