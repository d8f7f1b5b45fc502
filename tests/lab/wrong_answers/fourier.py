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


def squared_modulus(k, shape):
    return np.abs(np.fft.fft2(k, shape)) ** 2


def real_part(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1))).real


def rows_alone(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(np.roll(grid, -(k.shape[0] // 2), axis=0))


def columns_alone(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(np.roll(grid, -(k.shape[1] // 2), axis=1))


def one_axis(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft(np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1)))


def inverse(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.ifft2(np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1)))


def not_transformed(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1))


def rolled_once(k, shape):
    rows, columns = k.shape
    grid = np.zeros(shape)
    grid[:rows, :columns] = k
    return np.fft.fft2(np.roll(grid, -(rows // 2)))


def rolled_by_the_size(k, shape):
    rows, columns = k.shape
    grid = np.zeros(shape)
    grid[:rows, :columns] = k
    return np.fft.fft2(np.roll(grid, (-rows, -columns), axis=(0, 1)))


def rolled_before(k, shape):
    return np.fft.fft2(np.fft.ifftshift(k), shape)


def shifted_grid(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(np.fft.fftshift(grid))


def orthonormal(k, shape):
    grid = np.zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    grid = np.roll(grid, (-(k.shape[0] // 2), -(k.shape[1] // 2)), axis=(0, 1))
    return np.fft.fft2(grid, norm="ortho")


def roll_without_fft(k, shape):
    rows, columns = k.shape
    grid = np.zeros(shape)
    grid[:rows, :columns] = k
    grid = ...
    return np.fft.fft2(grid)


def for_torch(k, shape):
    grid = k.new_zeros(shape)
    grid[: k.shape[0], : k.shape[1]] = k
    return np.fft.fft2(grid)


def grid_too_small(x, k):
    half = k.shape[0] // 2, k.shape[1] // 2
    full = np.fft.irfft2(np.fft.rfft2(x) * np.fft.rfft2(k, x.shape), x.shape)
    return full[half[0] :, half[1] :]


def cropped_short(x, k):
    top, left = k.shape[0] // 2, k.shape[1] // 2
    return _full(x, k)[top : x.shape[0], left : x.shape[1]]


def grid_without_the_one(x, k):
    shape = (x.shape[0] + k.shape[0], x.shape[1] + k.shape[1])
    full = np.fft.irfft2(np.fft.rfft2(x, shape) * np.fft.rfft2(k, shape), shape)
    return full[(k.shape[0] + 1) // 2 :, (k.shape[1] + 1) // 2 :][: x.shape[0], : x.shape[1]]


def conjugated(x, k):
    shape = (x.shape[0] + k.shape[0] - 1, x.shape[1] + k.shape[1] - 1)
    full = np.fft.irfft2(np.fft.rfft2(x, shape) * np.conj(np.fft.rfft2(k, shape)), shape)
    return np.roll(full, (k.shape[0] // 2, k.shape[1] // 2), (0, 1))[: x.shape[0], : x.shape[1]]


def edge_repeated(x, k):
    top, left = k.shape[0] // 2, k.shape[1] // 2
    larger = np.pad(x, ((top, top), (left, left)), mode="edge")
    return _full(larger, k)[2 * top :, 2 * left :][: x.shape[0], : x.shape[1]]


def summed_kernel(x, k):
    top, left = k.shape[0] // 2, k.shape[1] // 2
    return (_full(x, k) / k.sum())[top : top + x.shape[0], left : left + x.shape[1]]


def complex_result(x, k):
    shape = [m + n - 1 for m, n in zip(x.shape, k.shape, strict=True)]
    full = np.fft.ifft2(np.fft.fft2(x, shape) * np.fft.fft2(k, shape)) * (1 + 1j)
    top, left = k.shape[0] // 2, k.shape[1] // 2
    return full[top : top + x.shape[0], left : left + x.shape[1]]


def divided_spectra(x, k):
    shape = [m + n - 1 for m, n in zip(x.shape, k.shape, strict=True)]
    full = np.fft.irfft2(np.fft.rfft2(x, shape) / np.fft.rfft2(k, shape), shape)
    top, left = k.shape[0] // 2, k.shape[1] // 2
    return full[top : top + x.shape[0], left : left + x.shape[1]]


def itself(image, kernel, convolve):
    return convolve(image, kernel)


def rows_flipped(image, kernel, convolve):
    return convolve(image, np.flip(kernel, 0))


def columns_flipped(image, kernel, convolve):
    return convolve(image, kernel[:, ::-1])


def transposed_kernel(image, kernel, convolve):
    return convolve(image, kernel.T)


def flipped_image(image, kernel, convolve):
    return convolve(np.flip(image), kernel)


def both_flipped(image, kernel, convolve):
    return convolve(image[::-1, ::-1], kernel[::-1, ::-1])


def twice(image, kernel, convolve):
    return convolve(convolve(image, kernel[::-1, ::-1]), kernel[::-1, ::-1])


def normalised_flip(image, kernel, convolve):
    return convolve(image, kernel[::-1, ::-1] / kernel.sum())


def reversed_in_place(image, kernel, convolve):
    kernel[:] = kernel[::-1, ::-1].copy()
    return convolve(image, kernel)


def from_the_middle(k, shape):
    grid = np.zeros(shape)
    top, left = (shape[0] - k.shape[0]) // 2, (shape[1] - k.shape[1]) // 2
    grid[top : top + k.shape[0], left : left + k.shape[1]] = k
    return np.fft.fft2(np.fft.ifftshift(grid))


BANK = {
    "transfer_function": [
        (from_the_middle, "misses index 0 by a pixel"),
        (corner_at_zero, "corner lies at index 0"),
        (wrong_way, "moved the wrong way"),
        (in_the_middle, "middle of the grid"),
        (axes_exchanged, "each other's amount"),
        (of_the_flipped_kernel, "conjugate"),
        (modulus, "that is |F(k)|;"),
        (spectrum_shifted, "spectrum was shifted"),
        (normalised, "divided by its sum"),
        (half_spectrum, "half of the spectrum"),
        (squared_modulus, "square of its modulus"),
        (real_part, "that is the real part"),
        (rows_alone, "only one axis was moved"),
        (columns_alone, "only the columns were moved"),
        (one_axis, "`fft` stands where"),
        (inverse, "inverse transform"),
        (not_transformed, "`fft2` is missing"),
        (rolled_once, "`axis` is missing"),
        (rolled_by_the_size, "moved by its whole size"),
        (rolled_before, "moved within itself"),
        (shifted_grid, "as fftshift does; move"),
        (orthonormal, "a number that depends on the input"),
        (roll_without_fft, "`grid = ...` is still to be written"),
        (for_torch, "The arguments are NumPy arrays"),
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
        (grid_too_small, "as many pixels as the image"),
        (cropped_short, "crop ends too early"),
        (grid_without_the_one, "off by one pixel"),
        (edge_repeated, "right inside, wrong within"),
        (summed_kernel, "divided by its sum"),
        (complex_result, "its real part is right"),
        (divided_spectra, "there is / where * belongs"),
    ],
    "transpose": [
        (itself, "only if the kernel is symmetric"),
        (rows_flipped, "only the rows of the kernel"),
        (columns_flipped, "only the columns of the kernel"),
        (transposed_kernel, "rows and columns are exchanged"),
        (flipped_image, "instead of the kernel"),
        (both_flipped, "image and kernel are both flipped"),
        (twice, "applied twice"),
        (reversed_in_place, "in place"),
    ],
}
