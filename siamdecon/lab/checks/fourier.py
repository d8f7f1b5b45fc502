"""Exercises of notebook 02: a transfer function, convolution by Fourier transform, its transpose."""

import numpy as np
from scipy.signal import convolve

from siamdecon.lab.checks.engine import Exercise


def _kernel(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 1, shape)  # asymmetric, and its sum is not 1


def _dft(kernel, shape):
    """Add up the waves from each pixel of the kernel, with positions counted from its centre."""
    transfer = np.zeros(shape, dtype=complex)
    for (u, v), _ in np.ndenumerate(transfer):
        for (i, j), weight in np.ndenumerate(kernel):
            y, x = i - kernel.shape[0] // 2, j - kernel.shape[1] // 2
            transfer[u, v] += weight * np.exp(-2j * np.pi * (u * y / shape[0] + v * x / shape[1]))
    return transfer


def _grid(kernel, shape, shift):
    """Put the kernel on a grid of zeros, shifted by `shift` pixels along each axis."""
    grid = np.zeros(shape)
    grid[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.roll(grid, shift, axis=(0, 1))


def _in_the_middle(kernel, shape):
    rest = np.subtract(shape, kernel.shape)
    return np.pad(kernel, [(n // 2, n - n // 2) for n in rest])


def _half(kernel):
    return tuple(n // 2 for n in kernel.shape)


def _right(kernel, shape):
    return np.fft.fft2(_grid(kernel, shape, tuple(-n for n in _half(kernel))))


def _transfer_solved(kernel, shape):
    rows, columns = kernel.shape
    grid = np.zeros(shape)
    grid[:rows, :columns] = kernel
    grid = np.roll(grid, (-(rows // 2), -(columns // 2)), axis=(0, 1))
    return np.fft.fft2(grid)


#: F(k) of a kernel whose centre lies at index 0 of a grid.
transfer_function = Exercise(
    "the transfer function of a kernel",
    _dft,
    ((_kernel((3, 5)), (8, 10)), (_kernel((5, 3), 1), (9, 7))),
    {
        "the kernel's corner lies at index 0, its centre does not: images are shifted.": (
            lambda k, shape: np.fft.fft2(k, shape)
        ),
        "the kernel was moved the wrong way; its centre must be at index 0.": lambda k, shape: (
            np.fft.fft2(_grid(k, shape, _half(k)))
        ),
        "the kernel lies in the middle of the grid; its centre belongs at index 0.": lambda k, shape: (
            np.fft.fft2(
                _grid(k, shape, tuple(m // 2 - n // 2 for m, n in zip(shape, k.shape, strict=True)))
            )
        ),
        "the two axes were moved by each other's amount: shift rows by half the rows.": (
            lambda k, shape: np.fft.fft2(_grid(k, shape, tuple(-n for n in _half(k)[::-1])))
        ),
        "only one axis was moved; the centre has two coordinates.": lambda k, shape: np.fft.fft2(
            _grid(k, shape, (-(k.shape[0] // 2), 0))
        ),
        "the kernel was moved within itself; put it on the grid first, so that it wraps around the grid.": (
            lambda k, shape: np.fft.fft2(
                np.roll(k, tuple(-n for n in _half(k)), axis=(0, 1)), shape
            )
        ),
        "it was moved by half the grid, as fftshift does; move it by half the kernel.": lambda k, shape: (
            np.fft.fft2(np.fft.fftshift(_grid(k, shape, (0, 0))))
        ),
        "`axis` is missing: without it, roll counts through all rows as if they were one.": (
            lambda k, shape: np.fft.fft2(np.roll(_grid(k, shape, (0, 0)), -(k.shape[0] // 2)))
        ),
        "only the columns were moved; the centre has two coordinates.": lambda k, shape: (
            np.fft.fft2(_grid(k, shape, (0, -(k.shape[1] // 2))))
        ),
        "the kernel was moved by its whole size; its centre is at half of it.": lambda k, shape: (
            np.fft.fft2(_grid(k, shape, tuple(-n for n in k.shape)))
        ),
        "the centre is off by one: for an odd size it is at size // 2.": lambda k, shape: (
            np.fft.fft2(_grid(k, shape, tuple(-(n // 2) - 1 for n in k.shape)))
        ),
        "the centre is off by one the other way: for an odd size it is at size // 2.": lambda k, shape: (
            np.fft.fft2(_grid(k, shape, tuple(1 - n // 2 for n in k.shape)))
        ),
        "that is the half of the spectrum that rfft2 keeps; take fft2.": lambda k, shape: (
            np.fft.rfft2(_grid(k, shape, tuple(-n for n in _half(k))))
        ),
        "that is the conjugate, the transfer function of the flipped kernel: a correlation.": (
            lambda k, shape: np.conj(_right(k, shape))
        ),
        "that is |F(k)|; an asymmetric kernel also changes phases, so F(k) is complex.": lambda k, shape: (
            np.abs(_right(k, shape))
        ),
        "that is the real part; F(k) of an asymmetric kernel has an imaginary part too.": lambda k, shape: (
            _right(k, shape).real
        ),
        "the spectrum was shifted, not the kernel: fft2 keeps frequency 0 at index 0.": (
            lambda k, shape: np.fft.fftshift(_right(k, shape))
        ),
        "the kernel lies in the middle of the grid before it is shifted. If one size is odd and the other "
        "even, its centre then misses index 0 by a pixel: roll by half the kernel.": (
            lambda k, shape: np.fft.fft2(np.fft.ifftshift(_in_the_middle(k, shape)))
        ),
        "the kernel was divided by its sum; take it as it is.": lambda k, shape: _right(
            k / k.sum(), shape
        ),
        "that is the inverse transform; fft2 goes from the kernel to its frequencies.": (
            lambda k, shape: np.conj(_right(k, shape)) / np.prod(shape)
        ),
    },
    solution=_transfer_solved,
)


def _same(x, k):
    return convolve(x, k, mode="same", method="direct")


def _full(x, k):
    return convolve(x, k, mode="full", method="direct")


def _cut(full, x, top, left):
    return full[top : top + x.shape[0], left : left + x.shape[1]]


def _circular(x, k, shape):
    transform = np.fft.fft2(x, shape) * np.fft.fft2(k, shape)
    return np.fft.ifft2(transform).real


def _convolve_solved(image, kernel):
    shape = np.add(image.shape, kernel.shape) - 1
    spectrum = np.fft.rfft2(image, shape) * np.fft.rfft2(kernel, shape)
    full = np.fft.irfft2(spectrum, shape)
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    return full[top : top + image.shape[0], left : left + image.shape[1]]


#: The image convolved with the kernel, same size, dark beyond the border.
fft_convolve = Exercise(
    "convolution by Fourier transform",
    _same,
    ((_kernel((8, 9), 2), _kernel((3, 5))), (_kernel((6, 11), 3), _kernel((5, 3), 1))),
    {
        "opposite borders meet: without padding the blur wraps around.": lambda x, k: np.roll(
            _circular(x, k, x.shape), tuple(-n for n in _half(k)), (0, 1)
        ),
        "the blur wraps around, and the image is shifted by half a kernel too.": lambda x, k: (
            _circular(x, k, x.shape)
        ),
        "that is a correlation: the kernel was flipped.": lambda x, k: _same(x, k[::-1, ::-1]),
        "that is the full result, larger than the image; crop the image's own pixels.": _full,
        "the first pixels were kept: the image is shifted by half a kernel.": lambda x, k: _cut(
            _full(x, k), x, 0, 0
        ),
        "the last pixels were kept: the image is shifted by half a kernel.": lambda x, k: _cut(
            _full(x, k), x, k.shape[0] - 1, k.shape[1] - 1
        ),
        "rows and columns are exchanged: crop half the kernel's rows at the top.": lambda x, k: (
            _cut(_full(x, k), x, k.shape[1] // 2, k.shape[0] // 2)
        ),
        "the crop is off by one pixel: an odd kernel of n pixels reaches (n - 1) // 2 to each side.": (
            lambda x, k: _cut(_full(x, k), x, (k.shape[0] + 1) // 2, (k.shape[1] + 1) // 2)
        ),
        "those are only the pixels that need nothing beyond the border.": lambda x, k: convolve(
            x, k, mode="valid", method="direct"
        ),
        "the spectra were added; a convolution multiplies them.": lambda x, k: _cut(
            np.pad(x, [(0, n - 1) for n in k.shape]) + np.pad(k, [(0, n - 1) for n in x.shape]),
            x,
            *_half(k),
        ),
        "the kernel was divided by its sum; take it as it is.": lambda x, k: _same(x, k / k.sum()),
        "the grid has as many pixels as the image; that of the full result has M + N - 1.": (
            lambda x, k: _circular(x, k, x.shape)[_half(k)[0] :, _half(k)[1] :]
        ),
        "the crop ends too early: it has the image's size, from the top and left on.": lambda x, k: (
            _full(x, k)[_half(k)[0] : x.shape[0], _half(k)[1] : x.shape[1]]
        ),
    },
    solution=_convolve_solved,
)


def _transpose(image, kernel, convolve):
    """Write the convolution as a matrix, and multiply by its transpose."""
    columns = [convolve(row.reshape(image.shape), kernel).ravel() for row in np.eye(image.size)]
    return np.reshape([column @ image.ravel() for column in columns], image.shape)


def _transpose_solved(image, kernel, convolve):
    return convolve(image, kernel[::-1, ::-1])


#: The transpose of the convolution with zeros beyond the border: that with the flipped kernel.
transpose = Exercise(
    "the transpose of a convolution",
    _transpose,
    ((_kernel((6, 7), 4), _kernel((3, 3)), _same), (_kernel((5, 8), 5), _kernel((5, 3), 6), _same)),
    {
        "that is the convolution itself, equal to its transpose only if the kernel is symmetric: what must "
        "change for a kernel that is not?": lambda x, k, convolve: convolve(x, k),
        "only the rows of the kernel are flipped; its columns must be, too.": lambda x, k, convolve: (
            convolve(x, k[::-1])
        ),
        "only the columns of the kernel are flipped; its rows must be, too.": lambda x, k, convolve: (
            convolve(x, k[:, ::-1])
        ),
        "rows and columns are exchanged; the transpose of the operator flips the kernel.": (
            lambda x, k, convolve: convolve(x, k.T)
        ),
        "the image is flipped instead of the kernel.": lambda x, k, convolve: convolve(
            x[::-1, ::-1], k
        ),
        "image and kernel are both flipped, which only turns the convolution round.": (
            lambda x, k, convolve: convolve(x[::-1, ::-1], k[::-1, ::-1])
        ),
        "it is applied twice: flip the kernel and convolve once.": lambda x, k, convolve: convolve(
            convolve(x, k[::-1, ::-1]), k[::-1, ::-1]
        ),
    },
    solution=_transpose_solved,
)
