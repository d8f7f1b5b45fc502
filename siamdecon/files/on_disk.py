"""An image that stays on disk: read and written window by window, so that memory does not grow with it."""

import hashlib
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siamdecon.files.images import Image

#: Pixels from which the command line leaves an image on disk: 1 GiB of them as float32.
LARGE = 2**28
_SLAB = 2**24  # pixels looked at together
_CELL = 64  # side of the cells that are compared for their contrast
_SPAN = 2**25  # bytes of a file that a part of a window may spread over

Window = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class LargeImage:
    """An image on disk, on the scale of [0, 1], with what one look through it has found.

    Attributes
    ----------
    image : Image
        Its pixels are a memory map; see `read_image`.
    low, high : float
        The values that become 0 and 1.
    average, deviation : float
        Mean and standard deviation, on the scale of [0, 1].
    sha256 : str
        Checksum of the pixels.
    lively : tuple of slice
        A window of up to 128 pixels along each axis, around the highest contrast.
    """

    image: Image
    low: float
    high: float
    average: float
    deviation: float
    sha256: str
    lively: Window

    shape = property(lambda self: self.image.shape)
    dtype = torch.float32

    def mean(self) -> float:
        """Return the mean, as an array would."""
        return self.average

    def std(self) -> float:
        """Return the standard deviation, as an array would."""
        return self.deviation

    def __getitem__(self, window: Window) -> Tensor:
        """Read a window, as a float32 tensor of its shape ([z,] y, x), in [0, 1]."""
        pixels = np.empty([side.stop - side.start for side in window], np.float32)
        for place, planes in _parts(self.image.data, window):
            pixels[planes] = self.image.data[place]
            release(self.image.data)
        return torch.from_numpy(pixels).sub_(self.low).div_(self.high - self.low)


def look_through(
    image: Image, scale: Callable[[Image, float, float], tuple[float, float]]
) -> LargeImage:
    """Look through an image on disk once, slab by slab.

    Parameters
    ----------
    image : Image
        See `read_image` with `memmap`.
    scale : callable
        Takes the image, its minimum and its maximum; returns the values that become 0 and 1.

    Returns
    -------
    LargeImage

    Raises
    ------
    ValueError
        If it is constant or holds NaN or infinite values.

    Examples
    --------
    >>> spot = np.zeros((4, 40, 40), np.uint8); spot[2, 20, 20] = 200
    >>> found = look_through(Image(spot, "ZYX"), lambda image, low, high: (low, high))
    >>> found.high, float(found[2:3, 20:21, 20:22].sum())
    (200.0, 1.0)
    """
    digest, lows, highs, total, square, count = hashlib.sha256(), [], [], 0.0, 0.0, 0
    contrast, lively = -1.0, (0,) * image.ndim
    for first, slab in _slabs(image.data):
        digest.update(np.ascontiguousarray(slab, image.dtype))
        slab = np.asarray(slab, dtype=np.float64)
        lows.append(slab.min())
        highs.append(slab.max())
        total, square, count = total + slab.sum(), square + np.square(slab).sum(), count + slab.size
        if not np.isfinite(highs[-1] - lows[-1]):
            bad = first + int(np.argwhere(~np.isfinite(slab))[0, 0])
            raise ValueError(
                f"image: expected finite values, got NaN or infinite pixels, the first at index {bad} of "
                "its first axis; replace them, for example by a median of their neighbours"
            )
        spread, corner = _liveliest(slab)
        if spread > contrast:
            contrast, lively = spread, (first + corner[0], *corner[1:])
        release(image.data)
    if min(lows) == max(highs):
        raise ValueError(f"image: every pixel is {lows[0]:g}; there is nothing to restore")
    low, high = scale(image, float(min(lows)), float(max(highs)))
    mean = total / count
    deviation = np.sqrt(max(square / count - mean**2, 0.0)) / (high - low)
    window = tuple(
        slice(max(0, min(c - 32, m - 128)), min(m, max(0, min(c - 32, m - 128)) + 128))
        for c, m in zip(lively, image.shape, strict=True)
    )
    average = (mean - low) / (high - low)
    return LargeImage(
        image, low, high, float(average), float(deviation), digest.hexdigest(), window
    )


def write_window(out: np.ndarray, window: Window, pixels: np.ndarray) -> None:
    """Write pixels ([z,] y, x) into a window of a memory map; integers are rounded and cut to their range.

    Examples
    --------
    >>> out = np.zeros((3, 3), np.uint8)
    >>> write_window(out, (slice(0, 1), slice(0, 2)), np.array([[2.6, 300.0]]))
    >>> out[0].tolist()
    [3, 255, 0]
    """
    for place, planes in _parts(out, window):
        out[place] = cast(pixels[planes], out.dtype)
        release(out)


def cast(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return pixels in another dtype, rounded and cut to the range of integers.

    Examples
    --------
    >>> cast(np.array([-1.0, 2.6, 300.0]), np.dtype("uint8"))
    array([  0,   3, 255], dtype=uint8)
    """
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.clip(np.rint(pixels), info.min, info.max).astype(dtype)
    return pixels.astype(dtype)


def release(array: np.ndarray) -> None:
    """Give the memory back that a memory map has taken; what was written stays with the file.

    Examples
    --------
    >>> release(np.zeros(3))  # of any other array nothing happens
    """
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        with suppress(OSError, ValueError):
            array.madvise(mmap.MADV_DONTNEED)


def _parts(data: np.ndarray, window: Window) -> Iterator[tuple[Window, slice]]:
    """Split a window along its first axis; yield parts, and their places in it.

    The system may map whole planes of a file for a few of their pixels: a part spans few.
    """
    first, step = window[0], max(1, _SPAN // (abs(data.strides[0]) or 1))
    for start in range(first.start, first.stop, step):
        stop = min(start + step, first.stop)
        yield (slice(start, stop), *window[1:]), slice(start - first.start, stop - first.start)


def _slabs(data: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield planes (rows, in 2D) a few at a time, and the index of the first."""
    step = max(1, _SLAB // (data.size // len(data)))
    for first in range(0, len(data), step):
        yield first, data[first : first + step]


def _liveliest(slab: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """Return the highest variance of the cells of a slab, and the corner of that cell."""
    starts = [np.arange(0, m, _CELL) for m in slab.shape]
    sums, squares, sizes = slab, np.square(slab), np.ones((1,) * slab.ndim)
    for axis, start in enumerate(starts):
        sums, squares = (np.add.reduceat(a, start, axis=axis) for a in (sums, squares))
        lengths = np.diff(start, append=slab.shape[axis])
        sizes = sizes * lengths.reshape([-1 if a == axis else 1 for a in range(slab.ndim)])
    variance = squares / sizes - np.square(sums / sizes)
    cell = np.unravel_index(np.argmax(variance), variance.shape)
    return float(variance[cell]), tuple(int(s[c]) for s, c in zip(starts, cell, strict=True))
