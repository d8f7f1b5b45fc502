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


def unchanged(clean, estimate):
    data_range = estimate.max() - estimate.min()
    error = np.mean((clean - estimate) ** 2)
    return 10 * np.log10(data_range**2 / error)


def clipped_only(clean, estimate):
    data_range = estimate.max() - estimate.min()
    error = np.mean((clean - estimate.clip(0, 1)) ** 2)
    return 10 * np.log10(data_range**2 / error)


def range_after_clipping(clean, estimate):
    estimate = estimate.clip(0, 1)
    data_range = estimate.max() - estimate.min()
    return 20 * np.log10(data_range / np.sqrt(np.mean((clean - estimate) ** 2)))


def range_of_the_clean_image(clean, estimate):
    estimate = estimate.clip(0, 1)
    return 10 * np.log10((clean.max() - clean.min()) ** 2 / np.mean((clean - estimate) ** 2))


def one_end(clean, estimate):
    estimate = np.where(estimate < 0, 0, estimate)
    return -10 * np.log10(np.mean((clean - estimate) ** 2))


def stretched(clean, estimate):
    estimate = (estimate - estimate.min()) / (estimate.max() - estimate.min())
    return -10 * np.log10(np.mean((clean - estimate) ** 2))


def difference_clipped(clean, estimate):
    error = np.mean(np.clip(clean - estimate, 0, 1) ** 2)
    return 10 * np.log10(1 / error)


def absolute_error(clean, estimate):
    return 10 * np.log10(1 / np.mean(abs(clean - np.clip(estimate, 0, 1))))


def mean_squared(clean, estimate):
    return 10 * np.log10(1 / np.mean(clean - np.clip(estimate, 0, 1)) ** 2)


def twenty(clean, estimate):
    return 20 * np.log10(1 / np.mean((clean - np.clip(estimate, 0, 1)) ** 2))


def bel(clean, estimate):
    return -np.log10(np.mean((clean - np.clip(estimate, 0, 1)) ** 2))


def magnitudes(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual))
    return power[ring].mean() / (residual.size * sigma**2)


def every_frequency(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return power.mean() / (residual.size * sigma**2)


def zeros_counted(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return (power * ring).mean() / (residual.size * sigma**2)


def ring_summed(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.sum(power[ring]) / residual.size / sigma**2


def no_number_of_pixels(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring]) / sigma**2


def no_parentheses(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring]) / residual.size * sigma**2


def sigma_not_squared(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring]) / residual.size / sigma


def rows_for_pixels(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring]) / (residual.shape[0] * sigma**2)


def pixels_of_the_ring(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring]) / (np.count_nonzero(ring) * sigma**2)


def no_unit(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring])


def own_variance(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.mean(power[ring]) / (residual.size * np.var(residual))


def complex_square(residual, sigma, ring):
    power = np.fft.fft2(residual) ** 2
    return power[ring].mean() / (residual.size * sigma**2)


def real_square(residual, sigma, ring):
    power = np.fft.fft2(residual).real ** 2
    return power[ring].mean() / (residual.size * sigma**2)


def squared_before(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual**2))
    return power[ring].mean() / (residual.size * sigma**2)


def averaged_before(residual, sigma, ring):
    amplitude = np.abs(np.fft.fft2(residual)[ring]).mean()
    return amplitude**2 / (residual.size * sigma**2)


def shifted(residual, sigma, ring):
    power = np.fft.fftshift(np.abs(np.fft.fft2(residual)) ** 2)
    return power[ring].mean() / (residual.size * sigma**2)


def one_axis(residual, sigma, ring):
    power = np.abs(np.fft.fft(residual)) ** 2
    return power[ring].mean() / (residual.size * sigma**2)


def ring_of_pixels(residual, sigma, ring):
    return np.mean(residual[ring] ** 2) / sigma**2


def upside_down(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return residual.size * sigma**2 / power[ring].mean()


def amplitude(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return np.sqrt(power[ring].mean() / residual.size) / sigma


def each_frequency(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return power[ring] / (residual.size * sigma**2)


def conditions_left(own, second, coarse):
    if ...:
        return "structure left"
    if ...:
        return "noise fitted"
    return "consistent"


def size_alone(own, second, coarse):
    if own > 1.05:
        return "structure left"
    if own < 0.9:
        return "noise fitted"
    return "consistent"


def structure_by_size(own, second, coarse):
    if own > 1.05:
        return "structure left"
    if second - own > 0.05:
        return "noise fitted"
    return "consistent"


def small_is_fitted(own, second, coarse):
    if coarse > 1.2:
        return "structure left"
    if own < 0.98:
        return "noise fitted"
    return "consistent"


def every_difference_counts(own, second, coarse):
    if coarse > 1:
        return "structure left"
    if second > own:
        return "noise fitted"
    return "consistent"


def exchanged_words(own, second, coarse):
    if second > own + 0.05:
        return "structure left"
    if coarse > 1.2:
        return "noise fitted"
    return "consistent"


def wrong_way_round(own, second, coarse):
    if coarse > 1.2:
        return "structure left"
    if own > second + 0.05:
        return "noise fitted"
    return "consistent"


def little_coarse_power_is_fitted(own, second, coarse):
    if coarse > 1.2:
        return "structure left"
    if coarse < 0.9:
        return "noise fitted"
    return "consistent"


def other_words(own, second, coarse):
    return "good" if coarse < 1.2 else "bad"


def a_number(own, second, coarse):
    return 0 if coarse > 1.2 else 2


def no_last_return(own, second, coarse):
    if coarse > 1.2:
        return "structure left"
    if second > own + 0.05:
        return "noise fitted"


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


def real_parts(u, v, ring):
    u, v = u[ring], v[ring]
    return np.sum(u.real * v.real) / np.sqrt(np.sum(np.abs(u) ** 2) * np.sum(np.abs(v) ** 2))


def sum_of_products(u, v, ring):
    u, v = u[ring], v[ring]
    return np.sum(u * v.conj()).real / np.sqrt(np.sum(np.abs(u) ** 2 * np.abs(v) ** 2))


def mean_of_powers(u, v, ring):
    u, v = u[ring], v[ring]
    return 2 * np.vdot(v, u).real / (np.vdot(u, u).real + np.vdot(v, v).real)


def half_a_root(u, v, ring):
    cross = np.sum((u * v.conj())[ring]).real
    power = np.sqrt(np.sum(np.abs(u[ring]) ** 2)) * np.sum(np.abs(v[ring]) ** 2)
    return cross / power


def one_power(u, v, ring):
    u, v = u[ring], v[ring]
    return np.vdot(v, u).real / np.vdot(u, u).real


def power_of_all(u, v, ring):
    cross = np.sum((u * v.conj())[ring]).real
    power = np.sqrt(np.sum(np.abs(u) ** 2) * np.sum(np.abs(v) ** 2))
    return cross / power


def cross_of_all(u, v, ring):
    cross = np.sum(u * v.conj()).real
    power = np.sqrt(np.sum(np.abs(u[ring]) ** 2) * np.sum(np.abs(v[ring]) ** 2))
    return cross / power


def ring_inverted(u, v, ring):
    u, v = u[~ring], v[~ring]
    return np.vdot(v, u).real / np.sqrt(np.vdot(u, u).real * np.vdot(v, v).real)


def cross_alone(u, v, ring):
    return np.sum((u * np.conj(v))[ring]).real


def mean_over_sum(u, v, ring):
    cross = np.mean((u * v.conj())[ring]).real
    power = np.sqrt(np.sum(np.abs(u[ring]) ** 2) * np.sum(np.abs(v[ring]) ** 2))
    return cross / power


def not_summed(u, v, ring):
    u, v = u[ring], v[ring]
    return (u * np.conj(v)).real / np.sqrt(np.abs(u) ** 2 * np.abs(v) ** 2)


def turned_positive(clean, estimate):
    return 10 * np.log10(1 / np.mean((clean - np.abs(estimate)) ** 2))


BANK = {
    "psnr": [
        (turned_positive, "turned positive"),
        (unclipped, "not clipped: values outside"),
        (own_maximum, "clean image's own maximum"),
        (maximum_of_the_estimate, "unclipped estimate's maximum"),
        (root_and_ten, "half the value"),
        (natural_logarithm, "to base 10"),
        (sign_turned, "sign is reversed"),
        (summed, "squares are summed"),
        (a_score_for_each_pixel, "score for each pixel"),
        (unchanged, "both faults are left"),
        (clipped_only, "data range is still the estimate's"),
        (range_after_clipping, "range is that of the clipped estimate"),
        (range_of_the_clean_image, "data range is the clean image's own"),
        (one_end, "values above 1 are left"),
        (stretched, "stretched to [0, 1]"),
        (difference_clipped, "difference is clipped"),
        (absolute_error, "absolute differences"),
        (mean_squared, "opposite sign cancel"),
        (twenty, "twice the value"),
        (bel, "the unit is the bel"),
    ],
    "relative_power": [
        (magnitudes, "that is the mean of |F(r)|"),
        (every_frequency, "over all frequencies"),
        (zeros_counted, "count as zeros"),
        (ring_summed, "summed over the ring"),
        (no_number_of_pixels, "number of pixels m is missing"),
        (no_parentheses, "parentheses are missing"),
        (sigma_not_squared, "divided by m sigma"),
        (rows_for_pixels, "one side of the image"),
        (pixels_of_the_ring, "not that of the ring's frequencies"),
        (no_unit, "not yet in units"),
        (own_variance, "residual's own variance"),
        (complex_square, "squares F(r) itself"),
        (real_square, "imaginary part has power"),
        (squared_before, "squared before the transform"),
        (averaged_before, "square first, then take the mean"),
        (shifted, "moved to the middle"),
        (one_axis, "`fft` stands where"),
        (ring_of_pixels, "mask of frequencies"),
        (upside_down, "upside down"),
        (amplitude, "ratio of amplitudes"),
        (each_frequency, "each frequency of the ring"),
    ],
    "judge": [
        (conditions_left, "a ... that is left counts as true"),
        (size_alone, "own 1.00, second 1.01 and coarse 1.45"),
        (structure_by_size, "structure is looked for in own alone"),
        (small_is_fitted, "a small residual alone"),
        (every_difference_counts, "own 0.99, second 1.02 and coarse 0.51"),
        (exchanged_words, "two conditions are exchanged"),
        (wrong_way_round, "compared the wrong way round"),
        (little_coarse_power_is_fitted, "every estimate fits the coarse noise"),
        (other_words, "Expected one of 'structure left'"),
        (a_number, "got 2"),
        (no_last_return, "nothing is returned"),
    ],
    "ring_correlation": [
        (all_frequencies, "mask of the ring is not used"),
        (conjugate_forgotten, "`conj` is missing"),
        (root_forgotten, "`sqrt` is missing"),
        (magnitude_of_the_sum, "keeps the sign"),
        (left_complex, "result is complex"),
        (magnitudes_only, "magnitudes alone"),
        (phases_only, "normalised separately"),
        (not_summed, "sums are missing"),
        (real_parts, "real parts alone"),
        (sum_of_products, "denominator sums products;"),
        (mean_of_powers, "mean of the two powers"),
        (half_a_root, "covers one of the two powers"),
        (one_power, "`fv` stands where"),
        (power_of_all, "the numerator is masked"),
        (cross_of_all, "the denominator is masked"),
        (ring_inverted, "mask is inverted"),
        (cross_alone, "denominator is missing"),
        (mean_over_sum, "the mean in the numerator"),
    ],
}
