"""Exercises of notebook 02: a kernel's transfer function, and convolution by Fourier transform."""

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


def _half(kernel):
    return tuple(n // 2 for n in kernel.shape)


def _right(kernel, shape):
    return np.fft.fft2(_grid(kernel, shape, tuple(-n for n in _half(kernel))))


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
        "the centre is off by one: for an odd size it is at size // 2.": lambda k, shape: (
            np.fft.fft2(_grid(k, shape, tuple(-(n // 2) - 1 for n in k.shape)))
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
        "that is the grid, not its Fourier transform.": lambda k, shape: _grid(
            k, shape, tuple(-n for n in _half(k))
        ),
        "the kernel was divided by its sum; take it as it is.": lambda k, shape: _right(
            k / k.sum(), shape
        ),
    },
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
    },
)
