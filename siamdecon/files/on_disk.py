"""Images that stay on disk and are read and written window by window, in bounded memory."""

import hashlib
import itertools
import math
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import NO_ZEROS, Words, expect
from siamdecon.files.images import Image
from siamdecon.files.tiff import scratch
from siamdecon.files.units import cast

#: Number of pixels from which the command line leaves an image on disk: 1 GiB as float32.
LARGE = 2**28
_SLAB = 2**22  # pixels scanned at once
_CELL = 64  # side of the cells whose variances are compared
_LARGEST = 1e36  # of float32 with room to sum
_SPAN = 2**25  # bytes of a file that a part of a window may spread over

Window = tuple[slice, ...]


class Constant(ValueError):
    """An image of one value, in which there is nothing to restore."""


@dataclass(frozen=True, eq=False)
class LargeImage:
    """An image on disk, scaled to [0, 1], with the results of a scan of its pixels.

    Attributes
    ----------
    image : Image
        Its pixels are a memory map, or in chunks; see `read_image`.
    low, high : float
        The values that become 0 and 1.
    average, deviation : float
        Mean and standard deviation, on the scale of [0, 1].
    sha256 : str
        Checksum of the pixels.
    lively : tuple of slice
        A window of up to 128 pixels along each axis, around the highest variance.
    defects : ndarray of int, shape (n_dim, n)
        Places of pixels that are left out.
    instead : ndarray, shape (n,)
        The values that are read in their place.
    beyond : int
        Number of pixels outside of the limits that were given.
    """

    image: Image
    low: float
    high: float
    average: float
    deviation: float
    sha256: str
    lively: Window
    defects: np.ndarray
    instead: np.ndarray
    beyond: int

    shape = property(lambda self: self.image.shape)

    def mean(self) -> float:
        """Return the mean, as an array would."""
        return self.average

    def std(self) -> float:
        """Return the standard deviation, as an array would."""
        return self.deviation

    def __getitem__(self, window: Window) -> Tensor:
        """Read a window, as a float32 tensor of its shape ([z,] y, x), in [0, 1]."""
        starts = np.array([[side.start] for side in window])
        shape = [side.stop - side.start for side in window]
        pixels = np.empty(shape, np.float32)
        for place, planes in _parts(self.image.data, window):
            # float64: a large offset would swallow the detail
            pixels[planes] = self.scaled(self.image.data[place])
            release(self.image.data)
        places = self.defects - starts  # (n_dim, n)
        here = ((places >= 0) & (places < np.array(shape)[:, None])).all(axis=0)
        pixels[tuple(places[:, here])] = self.scaled(self.instead[here])
        return torch.from_numpy(pixels)

    def whole(self) -> Tensor:
        """Read all of it, as a float32 tensor ([z,] y, x), in [0, 1]."""
        return self[tuple(slice(0, n) for n in self.shape)]

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values of the image on the scale of [0, 1], in float64."""
        return (np.asarray(values, np.float64) - self.low) / (self.high - self.low)


def look_through(
    image: Image,
    limits: tuple[float | None, float | None] = (None, None),
    standing_out: Callable | None = None,
    far_out: Callable | None = None,
) -> LargeImage:
    """Scan an image once, slab by slab.

    Parameters
    ----------
    image : Image
        In memory, or on disk: see `read_image` with `memmap`.
    limits : tuple of (float or None)
        The values that become 0 and 1; None for the minimum or the maximum, and so is a level that lies two
        ranges of the image or more away from it: no pixel is cut there.
    standing_out, far_out : callable, optional
        What finds defective pixels; see `siamdecon.microscope.camera`.

    Returns
    -------
    LargeImage

    Raises
    ------
    ValueError
        If it is constant (`Constant`), has NaN or infinite values, or lies outside the limits.

    Examples
    --------
    >>> spot = np.zeros((4, 40, 40), np.uint8); spot[2, 20, 20] = 200
    >>> found = look_through(Image(spot, "ZYX"))
    >>> found.high, float(found[2:3, 20:21, 20:22].sum())
    (200.0, 1.0)
    """
    data, digest, beyond = image.data, hashlib.sha256(), 0
    least, most = (
        m if cut is None else cut for cut, m in zip(limits, (-np.inf, np.inf), strict=True)
    )
    extremes, cells, total, square, odd, base = [], [], 0.0, 0.0, [], None
    for first, slab in _slabs(data):
        digest.update(np.ascontiguousarray(slab, image.dtype))
        slab = np.array(slab, dtype=np.float64)
        if bad := slab.size - np.count_nonzero(np.isfinite(slab)):
            place = first + int(np.argwhere(~np.isfinite(slab))[0, 0])
            got = f"{bad} NaN or infinite pixels of {slab.size}, the first at index {place} of its first axis"
            expect(False, "image", "finite values", Words(got), NO_ZEROS)
        if max(-slab.min(), slab.max()) > _LARGEST:
            got, most = Words(f"{slab.min():g} to {slab.max():g}"), f"values within +-{_LARGEST:g}"
            expect(False, "image", most, got, "results are float32; scale it")
        if standing_out:
            where, instead = standing_out(slab)
            odd.append((np.array([where[0] + first, *where[1:]]), slab[where], instead))
            slab[where] = instead
        extremes += [slab.min(), slab.max()]
        beyond += np.count_nonzero((slab < least) | (slab > most))
        base = np.rint(slab.mean()) if base is None else base
        slab -= base  # in the squares, a large offset would swallow the detail
        total, square = total + slab.sum(), square + np.square(slab).sum()
        variance, corner = _liveliest(slab)
        cells.append((variance, (first + corner[0], *corner[1:])))
    low, high = float(min(extremes)), float(max(extremes))
    places, instead = np.zeros((data.ndim, 0), int), np.zeros(0)
    if odd:
        places, values, instead = (np.concatenate(p, axis=-1) for p in zip(*odd, strict=True))
        far = far_out(values, places, low, high, data.size)
        kept = values[~far]
        low, high = min([low, *kept.tolist()]), max([high, *kept.tolist()])
        total += (kept - instead[~far]).sum()
        square += ((kept - base) ** 2 - (instead[~far] - base) ** 2).sum()
        places, instead = places[:, far], instead[far]
    if low == high:
        raise Constant(f"image: every pixel is {low:g}; there is nothing to restore")
    around, own = f"levels around the image's {low:g} to {high:g}", high - low
    expect(own * _LARGEST > 1, "image", f"a contrast above {1 / _LARGEST:g}", own, "scale it")
    black, white = (m if cut is None else cut for cut, m in zip(limits, (low, high), strict=True))
    # float32 shows neither what is tiny on the scale of [0, 1] nor what is huge
    seen = 2**-16 * (white - black) < own < 1e6 * (white - black)
    expect(seen and black < high and white > low, "limits", around, limits)
    low = low if low - black > 2 * own else black
    high = high if white - high > 2 * own else white
    mean = total / data.size  # above the base
    average = float((base + mean - low) / (high - low))
    deviation = float(np.sqrt(max(square / data.size - mean**2, 0.0)) / (high - low))
    corner = max(cells, key=lambda cell: cell[0])[1]
    starts = [max(0, min(c - 32, m - 128)) for c, m in zip(corner, data.shape, strict=True)]
    lively = tuple(slice(s, min(m, s + 128)) for s, m in zip(starts, data.shape, strict=True))
    found = (average, deviation, digest.hexdigest(), lively, places, instead, beyond)
    return LargeImage(image, low, high, *found)


def sampled(data: np.ndarray) -> np.ndarray:
    """Return up to a million values from all over an image, of one in chunks from a few of them.

    Examples
    --------
    >>> sampled(np.arange(10**7)).shape
    (1000000,)
    """
    every = max(1, math.ceil((data.size / 1e6) ** (1 / data.ndim)))
    if every == 1 or not hasattr(data, "chunks"):
        return data[(slice(None, None, every),) * data.ndim].ravel()
    corners = (sorted({i * max(0, n - 32) // 3 for i in range(4)}) for n in data.shape)
    boxes = (tuple(slice(a, a + 32) for a in corner) for corner in itertools.product(*corners))
    return np.concatenate([data[box].ravel() for box in boxes])


def write_window(out: np.ndarray, window: Window, pixels: np.ndarray) -> None:
    """Write pixels ([z,] y, x) into a window of a memory map or a store, converted by `cast`.

    Examples
    --------
    >>> out = np.zeros((3, 3), np.uint8)
    >>> write_window(out, (slice(0, 1), slice(0, 2)), np.array([[2.6, -1.0]]))
    >>> out[0].tolist()
    [3, 0, 0]
    """
    for place, planes in _parts(out, window):
        out[place] = cast(pixels[planes], out.dtype)
        release(out)


def release(array: np.ndarray) -> None:
    """Free the memory that a memory map occupies; pixels written to it are kept in the file.

    Examples
    --------
    >>> release(np.zeros(3))  # has no effect on any other array
    """
    while isinstance(array, np.ndarray):
        array = array.base
    with suppress(AttributeError, OSError, ValueError):  # not a map, or unsupported
        array.madvise(mmap.MADV_DONTNEED)


def _parts(data: np.ndarray, window: Window) -> Iterator[tuple[Window, slice]]:
    """Split a window along its first axis; yield the parts, and their places in it.

    A part spans few planes of the file: the system may load all of a plane for a few of its pixels. Of a
    store, a window is read at once.
    """
    stride = abs(data.strides[0]) if hasattr(data, "strides") else 1
    first, step = window[0], max(1, _SPAN // (stride or 1))
    for start in range(first.start, first.stop, step):
        stop = min(start + step, first.stop)
        yield (slice(start, stop), *window[1:]), slice(start - first.start, stop - first.start)


def _slabs(data: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield an image in slabs of a few planes, and the first plane of each.

    Of a store, layers of whole chunks are read into a temporary file first, so that each is read once.
    """
    n, step = data.shape[0], max(1, _SLAB // (data.size // data.shape[0]))
    depth = getattr(data, "chunks", (1,))[0]
    layer = n if depth <= step else -(-depth // step) * step
    for top in range(0, n, layer):
        planes = data if depth <= step else _layer(data, slice(top, min(n, top + layer)))
        for first in range(0, planes.shape[0], step):
            yield top + first, planes[first : first + step]
            release(planes)


def _layer(data: np.ndarray, planes: slice) -> np.ndarray:
    """Read some planes of a store into a temporary file."""
    out = scratch((planes.stop - planes.start, *data.shape[1:]), data.dtype)
    for left in range(0, data.shape[1], data.chunks[1]):
        rows = slice(left, left + data.chunks[1])
        out[:, rows] = data[planes, rows]
        release(out)
    return out


def _liveliest(slab: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """Return the highest variance within a cell of a slab, and that cell's first corner."""
    sums, squares, sizes = slab, np.square(slab), np.broadcast_to(1.0, slab.shape)
    for axis, length in enumerate(slab.shape):
        starts = np.arange(0, length, _CELL)
        sums, squares, sizes = (np.add.reduceat(a, starts, axis) for a in (sums, squares, sizes))
    variance = squares / sizes - np.square(sums / sizes)
    cell = np.unravel_index(np.argmax(variance), variance.shape)
    return float(variance[cell]), tuple(_CELL * int(index) for index in cell)
