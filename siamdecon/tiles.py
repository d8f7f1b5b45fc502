"""How a method restores an image: as a whole, in tiles, or window by window."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, TypeVar

import torch
from torch import Tensor

from siamdecon.expect import expect, is_whole, warn
from siamdecon.files.on_disk import Window
from siamdecon.hardware import SIDE_BY_SIDE, is_full, side_by_side

#: Side of a tile by number of dimensions; in 3D the paper's.
TILE = {2: 1024, 3: 128}
STITCHES = ("blend", "exact")
#: Side of the smallest tiles tried where memory is short.
SMALLEST = 32
Result = TypeVar("Result")
#: Maps a tensor (n, c, [z,] y, x) to one of the same spatial shape.
Restore = Callable[[Tensor], Tensor]


@dataclass
class Estimator:
    """What a method returns when it has been fitted to an image: a function that restores any window of it.

    Parameters
    ----------
    restore : callable
        Maps (1, 1, [z,] y, x) in [0, 1] to the same shape.
    halo : int, optional
        How many pixels beyond a window influence its estimate; None if the whole image does.
    stride : int
        Windows begin at multiples of this many pixels.
    tile : int, optional
        Side of the tiles for an image in memory; None restores it as a whole, unless memory does not suffice.
    core : int, optional
        Side of what a window contributes to an image on disk.
    stitch : str
        How tiles in memory are combined: "blend" or "exact".
    contrast : callable, optional
        Takes an estimate (1, 1, [z,] y, x) of `Problem.sample`; returns the scale and the offset with
        which it explains the measurement best.
    used : dict
        The settings used, for the record.
    noise, history, run
        See `siamdecon.Restoration`.

    Examples
    --------
    >>> Estimator(lambda x: 2 * x).whole(torch.ones(1, 1, 1, 2))
    tensor([[[[2., 2.]]]])
    """

    restore: Restore
    halo: int | None = None
    stride: int = 1
    tile: int | None = None
    core: int | None = None
    stitch: str = "exact"
    contrast: Callable[[Tensor], tuple[float, float]] | None = None
    used: dict = field(default_factory=dict)
    noise: Any = None
    history: Any = None
    run: Any = None

    def whole(self, x: Tensor) -> Tensor:
        """Restore an image in memory, shape (1, 1, [z,] y, x), in tiles if it is large."""
        estimate = self._tiled(x, self.tile)
        if self.contrast is None:
            return estimate
        scale, offset = self.contrast(estimate)
        return scale * estimate + offset

    def calibrated(self, x: Tensor) -> Restore:
        """Return the function that restores a window, its contrast fitted on `x`, (1, 1, [z,] y, x)."""
        if self.contrast is None:
            return self.restore
        scale, offset = self.contrast(self._tiled(x, None))
        restore = self.restore  # alone, since what restores a window may go to another process
        return lambda window: scale * restore(window) + offset

    def _tiled(self, x: Tensor, tile: int | None) -> Tensor:
        """Restore (1, 1, [z,] y, x) in tiles of a side, or smaller ones if memory does not suffice."""
        side = min(tile or math.inf, max(x.shape[2:]))
        # a window is no smaller than its halos; without a halo, the image can't be cut
        least = side if self.halo is None else 2 * self.halo + self.stride
        least = SMALLEST if self.stitch == "blend" else least
        return with_room(partial(self._in_tiles, x), side, least)

    def _in_tiles(self, x: Tensor, tile: int) -> Tensor:
        if max(x.shape[2:]) <= tile:
            return self.restore(x)
        self.used["tile"] = tile  # for the record
        if self.stitch == "blend":
            return blend(self.restore, x, tile, min(32, tile // 2))
        core = max(self.stride, tile - 2 * self.halo)
        return exact(self.restore, x, core, self.halo, self.stride)


def check_tile(tile: int | None) -> None:
    """Raise ValueError unless tiles can have this side; None leaves it to the method.

    Examples
    --------
    >>> check_tile(8)
    Traceback (most recent call last):
    ...
    ValueError: tile: expected 16 or more pixels, or None, got 8
    """
    good = tile is None or (is_whole(tile) and tile >= 16)
    expect(good, "tile", "16 or more pixels, or None", tile)


def with_room(work: Callable[[int], Result], tile: int, smallest: int, multiple: int = 1) -> Result:
    """Return the result of `work(tile)`; halve the tile for as long as memory does not suffice.

    Parameters
    ----------
    work : callable
        Takes the side of a tile.
    tile : int
        The side to begin with.
    smallest, multiple : int
        The smallest side to try, and a divisor of all sides but the first.

    Raises
    ------
    OutOfMemory
        If it does not suffice for the smallest either; RuntimeError outside of `one_thread_each`.

    Examples
    --------
    >>> with_room(lambda tile: tile, 128, 32)
    128
    """
    while True:
        try:
            return work(tile)
        except (MemoryError, RuntimeError) as error:
            smaller = max(tile // 2 // multiple * multiple, smallest)
            if smaller >= tile or not is_full(error):
                raise
        torch.cuda.empty_cache()
        warn(f"not enough memory: tiles of {smaller} in place of {tile}")
        tile = smaller


def blended(f: Restore, x: Tensor, used: dict) -> Tensor:
    """Apply `f` to overlapping tiles of the usual side, or smaller ones if memory does not suffice.

    If the image is cut, their side goes into `used`, for the record.

    Examples
    --------
    >>> used = {}
    >>> blended(lambda tile: 2 * tile, torch.ones(1, 1, 40, 1040), used).unique(), used
    (tensor([2.]), {'tile': 1024})
    """
    return Estimator(f, tile=TILE[x.ndim - 2], stitch="blend", used=used).whole(x)


def pyramid_weights(shape: Sequence[int]) -> Tensor:
    """Return the weights of a tile's pixels in the blend: highest in the middle, lowest at the border.

    Along each axis a pixel's distance to the nearer border, counted from 1, is divided by the largest
    such distance; the weight is the minimum over the axes, which makes a pyramid.

    Parameters
    ----------
    shape : tuple
        Spatial shape of the tile, ([z,] y, x).

    Returns
    -------
    weights : Tensor of float32, of that shape, in (0, 1]

    Examples
    --------
    >>> pyramid_weights((3, 5))
    tensor([[0.3333, 0.5000, 0.5000, 0.5000, 0.3333],
            [0.3333, 0.6667, 1.0000, 0.6667, 0.3333],
            [0.3333, 0.5000, 0.5000, 0.5000, 0.3333]])
    """
    counts = [torch.arange(1, size + 1, dtype=torch.float32) for size in shape]
    ramps = [torch.minimum(count, count.flip(0)) for count in counts]
    grids = torch.meshgrid(*(ramp / ramp.max() for ramp in ramps), indexing="ij")
    return reduce(torch.minimum, grids)


def blend(f: Restore, x: Tensor, tile: int, overlap: int = 32) -> Tensor:
    """Apply `f` to overlapping tiles and average the results with pyramid weights.

    This is the paper's inference for images that do not fit into memory (Section 2, "Inference"; 3D:
    tiles of 128 with an overlap of 32).

    Parameters
    ----------
    f : callable
        Maps (n, c, [z,] y, x) to a tensor of the same spatial shape, with one channel or c of them.
    x : Tensor, shape (n, c, [z,] y, x)
    tile : int
        Side of a tile; an axis shorter than that is covered by one shorter tile.
    overlap : int
        Smallest number of pixels that neighbouring tiles share, below `tile`.

    Returns
    -------
    Tensor, shape of f(x)
        On the device of `x`, in float32, or in float64 if `x` is.

    Raises
    ------
    ValueError
        If the overlap is negative, or not smaller than the tile.

    References
    ----------
    Khvedchenya, "PyTorch Toolbelt" (2019), for the idea of pyramid weights.

    Examples
    --------
    >>> x = torch.rand(1, 1, 50, 70)
    >>> bool(torch.allclose(blend(lambda t: 2 * t, x, tile=32, overlap=8), 2 * x))
    True
    """
    expect(0 <= overlap < tile, "overlap", f"0 or more and less than the tile's {tile}", overlap)
    size, dtype = x.shape[2:], torch.promote_types(x.dtype, torch.float32)
    if max(size) <= tile:
        return f(x)
    total, weight = None, x.new_zeros(size, dtype=dtype)
    sides = ([slice(a, a + tile) for a in tile_starts(n, tile, overlap)] for n in size)
    tiles = [(..., *window) for window in itertools.product(*sides)]
    for some in (tiles[i : i + SIDE_BY_SIDE] for i in range(0, len(tiles), SIDE_BY_SIDE)):
        estimates = side_by_side(lambda where: f(x[where]), some, device=x.device)
        for where, restored in zip(some, estimates, strict=True):
            # restored: (n, c, [z,] y, x) of a tile
            pyramid = pyramid_weights(x[where].shape[2:]).to(x.device)
            if total is None:
                total = x.new_zeros((*restored.shape[:2], *size), dtype=dtype)
            total[where] += restored * pyramid
            weight[where] += pyramid
    return total / weight


def exact(
    f: Restore, x: Tensor, tile: int, halo: int, stride: int = 1, inside: Window | None = None
) -> Tensor:
    """Apply `f` to tiles with a halo and keep the part of each that equals f(x).

    An improvement on the paper's blend: no pixel depends on where the tiles lie, and none is averaged.

    Parameters
    ----------
    f : callable
        Maps (n, c, [z,] y, x) to a tensor of the same shape; no output may depend on inputs further
        than `halo` away.
    x : Tensor, shape (n, c, [z,] y, x)
    tile : int
        Side of what a tile contributes; the tile that is read is larger by its halo.
    halo : int
        Pixels around a tile that are computed and discarded; for a network, its
        `siamdecon.network.unet.receptive_field`.
    stride : int
        Tiles are read from multiples of this many pixels, so that a network that downsamples does so at
        the same places in each tile.
    inside : tuple of slice, optional
        The part to restore, see `windows`; beyond it, the result means nothing.

    Returns
    -------
    Tensor, shape as `x`

    Raises
    ------
    ValueError
        If tile or stride is below 1, or halo below 0.

    Examples
    --------
    >>> x = torch.rand(1, 1, 50, 70)
    >>> box = torch.nn.AvgPool2d(5, stride=1, padding=2)
    >>> torch.equal(exact(box, x, tile=32, halo=2), box(x))
    True
    """
    good, got = tile >= 1 and halo >= 0 and stride >= 1, (tile, halo, stride)
    expect(good, "tile, halo, stride", "1 or more, 0 or more, 1 or more", got)
    out = None
    for core, window in windows(x.shape[2:], tile, halo, stride, inside):
        part = f(x[(..., *window)])  # (n, c, [z,] y, x) of a window
        if out is None:
            out = torch.empty(x.shape, dtype=part.dtype, device=part.device)
        out[(..., *core)] = part[(..., *within(core, window))]
    return out


def windows(
    shape, tile: int, halo: int, stride: int = 1, inside: Window | None = None
) -> Iterator[tuple[Window, Window]]:
    """Yield what each tile contributes, and the window to read for it, as slices of an image.

    Windows begin and end at multiples of `stride`, or at the border of the image, whose shape is given. Those
    of a part of it, which begins and ends at borders of tiles, can be had alone: `inside` it.

    Examples
    --------
    >>> for core, window in windows((100,), tile=40, halo=3, stride=4):
    ...     print(core[0], window[0])
    slice(0, 40, None) slice(0, 44, None)
    slice(40, 80, None) slice(36, 84, None)
    slice(80, 100, None) slice(76, 100, None)
    """

    def side(start: int, size: int) -> tuple[slice, slice]:
        stop = min(start + tile, size)
        first = max(0, start - halo) // stride * stride
        last = min(size, -(-(stop + halo) // stride) * stride)
        return slice(start, stop), slice(first, last)

    part = inside or [slice(0, size) for size in shape]
    axes = (
        [side(start, size) for start in range(p.start, min(p.stop, size), tile)]
        for p, size in zip(part, shape, strict=True)
    )
    for sides in itertools.product(*axes):
        yield tuple(zip(*sides, strict=True))


def bands(shape: Sequence[int], halos: Sequence[int]) -> list[tuple[Window, Window]]:
    """Cut an image into bands to be computed side by side, the same on every machine, as `windows` does.

    Parameters
    ----------
    shape : tuple of int
        ([z,] y, x)
    halos : sequence of int
        Pixels beyond its border that a band depends on, along each axis.

    Examples
    --------
    >>> for core, window in bands((100, 512), (8, 8)):
    ...     print(core[1], window[1])
    slice(0, 256, None) slice(0, 264, None)
    slice(256, 512, None) slice(248, 512, None)
    """
    # a band's halo adds less than half to it; starting what computes few pixels takes longer than they do
    counts = [m // max(16, 4 * halo) for m, halo in zip(shape, halos, strict=True)]
    axis, most = counts.index(max(counts)), 2 if math.prod(shape) < 2**19 else SIDE_BY_SIDE
    count = max(1, min(most, counts[axis]))
    rest = [slice(0, m) for m in shape]
    cuts = windows(shape[axis : axis + 1], -(-shape[axis] // count), halos[axis])
    return [tuple((*rest[:axis], *cut, *rest[axis + 1 :]) for cut in pair) for pair in cuts]


def within(core: Window, window: Window) -> Window:
    """Return the place of a tile's contribution in the window that was read for it.

    Examples
    --------
    >>> within((slice(40, 80),), (slice(36, 84),))
    (slice(4, 44, None),)
    """
    sides = zip(core, window, strict=True)
    return tuple(slice(c.start - w.start, c.stop - w.start) for c, w in sides)


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Return where the tiles of one axis start: evenly spaced, sharing at least `overlap` pixels.

    Examples
    --------
    >>> tile_starts(100, 40, 10)
    [0, 30, 60]
    >>> tile_starts(30, 40, 10)
    [0]
    """
    if size <= tile:
        return [0]
    count = -(-(size - overlap) // (tile - overlap))
    return [round(i * (size - tile) / (count - 1)) for i in range(count)]
