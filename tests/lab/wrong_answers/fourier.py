"""Plausible wrong answers to the exercises of notebook 02, and what each must be told."""

import numpy as np


def corner_at_zero(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(grid)


def wrong_way(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(np.roll(grid, (k.shape[0] // 2, k.shape[1] // 2), axis=(0, 1)))


def in_the_middle(k, shape):
    grid = np.zeros(shape)
    top, left = shape[0] // 2 - k.shape[0] // 2, shape[1] // 2 - k.shape[1] // 2
    grid[top : top + k.shape[0], left : left + k.shape[1]] = k
    return np.fft.fft2(grid)


def axes_exchanged(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(np.roll(grid, (-(k.shape[1] // 2), -(k.shape[0] // 2)), axis=(0, 1)))


def modulus(k, shape):
    return np.abs(np.fft.fft2(k, shape))


def half_spectrum(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.rfft2(np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1)))


def of_the_flipped_kernel(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k[::-1, ::-1]
    return np.fft.fft2(np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1)))


def normalised(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k / k.sum()
    return np.fft.fft2(np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1)))


def spectrum_shifted(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    grid = np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1))
    return np.fft.fftshift(np.fft.fft2(grid))


def wrapped(x, k):
    grid = np.zeros(x.shape)
    grid[: k.shape[0], : k.shape[1]] = k
    grid = np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1))
    return np.fft.irfft2(np.fft.rfft2(x) * np.fft.rfft2(grid), x.shape)


def wrapped_and_moved(x, k):
    return np.fft.irfft2(np.fft.rfft2(x) * np.fft.rfft2(k, x.shape), x.shape)


def _full(x, k):
    shape = [m + n - 1 for m, n in zip(x.shape, k.shape, strict=True)]
    return np.fft.irfft2(np.fft.rfft2(x, shape) * np.fft.rfft2(k, shape), shape)


def correlated(x, k):
    top, left = k.shape[0] // 2, k.shape[1] // 2
    return _full(x, k[::-1, ::-1])[top : top + x.shape[0], left : left + x.shape[1]]


def not_cut(x, k):
    return _full(x, k)


def cut_from_zero(x, k):
    return _full(x, k)[: x.shape[0], : x.shape[1]]


def cut_from_the_end(x, k):
    return _full(x, k)[-x.shape[0] :, -x.shape[1] :]


def rows_for_columns(x, k):
    left, top = k.shape[0] // 2, k.shape[1] // 2
    return _full(x, k)[top : top + x.shape[0], left : left + x.shape[1]]


def added_spectra(x, k):
    shape = [m + n - 1 for m, n in zip(x.shape, k.shape, strict=True)]
    full = np.fft.irfft2(np.fft.rfft2(x, shape) + np.fft.rfft2(k, shape), shape)
    top, left = k.shape[0] // 2, k.shape[1] // 2
    return full[top : top + x.shape[0], left : left + x.shape[1]]


BANK = {
    "transfer_function": [
        (corner_at_zero, "corner lies at index 0"),
        (wrong_way, "moved the wrong way"),
        (in_the_middle, "middle of the grid"),
        (axes_exchanged, "each other's amount"),
        (of_the_flipped_kernel, "conjugate"),
        (modulus, "that is |F(k)|"),
        (spectrum_shifted, "spectrum was shifted"),
        (normalised, "divided by its sum"),
        (half_spectrum, "Wrong shape"),
    ],
    "fft_convolve": [
        (wrapped, "opposite borders meet"),
        (wrapped_and_moved, "half a kernel too"),
        (correlated, "that is a correlation"),
        (not_cut, "Wrong shape: that is the full result"),
        (cut_from_zero, "first pixels were kept"),
        (cut_from_the_end, "last pixels were kept"),
        (rows_for_columns, "rows and columns"),
        (added_spectra, "spectra were added"),
    ],
}
