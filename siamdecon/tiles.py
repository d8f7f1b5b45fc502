"""What restores a window of an image, and how windows are put together without a seam."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, TypeVar

import torch
from torch import Tensor

from siamdecon.expect import expect

#: Side of a tile by number of dimensions; in 3D the paper's.
TILE = {2: 1024, 3: 128}
STITCHES = ("blend", "exact")
#: Side of the smallest tiles that a GPU short of memory is asked to restore.
SMALLEST = 32
Result = TypeVar("Result")


@dataclass
class Estimator:
    """What a method gives when it has looked at an image: the function that restores any window of it.

    Parameters
    ----------
    restore : callable
        Maps (1, 1, [z,] y, x) in [0, 1] to the same shape.
    halo : int, optional
        How many pixels beyond a window it looks; None if it needs the whole image.
    stride : int
        Windows begin at multiples of this many pixels.
    tile : int, optional
        Side of the tiles for an image in memory; None restores it as a whole.
    core : int, optional
        Side of what a window contributes to an image on disk.
    stitch : str
        How tiles in memory are put together: "blend" or "exact".
    contrast : callable, optional
        Takes an estimate (1, 1, [z,] y, x) of `Problem.sample`; returns the scale and the offset that
        make it explain the measurement best.
    used : dict
        The settings used, for the record.
    noise, history, run
        See `siamdecon.Restoration`.

    Examples
    --------
    >>> Estimator(lambda x: 2 * x).whole(torch.ones(1, 1, 1, 2))
    tensor([[[[2., 2.]]]])
    """

    restore: Callable[[Tensor], Tensor]
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
        """Restore an image in memory, shape (1, 1, [z,] y, x), in tiles where it is large."""
        if self.tile is None:
            estimate = self.restore(x)
        else:
            estimate = with_room(lambda tile: self._in_tiles(x, tile), self.tile, SMALLEST)
        if self.contrast is None:
            return estimate
        scale, offset = self.contrast(estimate)
        return scale * estimate + offset

    def calibrated(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Return what restores a window; its contrast is found on `x`, (1, 1, [z,] y, x)."""
        if self.contrast is None:
            return self.restore
        scale, offset = self.contrast(self.restore(x))
        return lambda window: scale * self.restore(window) + offset

    def _in_tiles(self, x: Tensor, tile: int) -> Tensor:
        if self.stitch == "blend":
            return blend(self.restore, x, tile, min(32, tile // 2))
        if max(x.shape[2:]) <= tile:
            return self.restore(x)
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
    good = tile is None or (isinstance(tile, Integral) and tile >= 16)
    expect(good, "tile", "16 or more pixels, or None", tile)


def with_room(work: Callable[[int], Result], tile: int, smallest: int, multiple: int = 1) -> Result:
    """Return what `work` gives for tiles of a side that a GPU's memory has room for: `tile`, or halved.

    Parameters
    ----------
    work : callable
        Takes the side of a tile.
    tile : int
        The side to begin with.
    smallest, multiple : int
        The smallest side, and what all sides but the first are multiples of.

    Examples
    --------
    >>> with_room(lambda tile: tile, 128, 32)
    128
    """
    while True:
        try:
            return work(tile)
        except torch.cuda.OutOfMemoryError:
            smaller = tile // 2 // multiple * multiple
            if smaller < smallest:
                raise
        torch.cuda.empty_cache()
        warnings.warn(f"not enough GPU memory: tiles of {smaller} in place of {tile}", stacklevel=3)
        tile = smaller


def pyramid_weights(shape: tuple[int, ...]) -> Tensor:
    """Weights of a tile's pixels in the blend: highest in its middle, falling towards every border.

    Each axis contributes its distance to the nearer border, counted from 1 and divided by its
    largest; the pixel's weight is the smallest of them, which makes a pyramid.

    Parameters
    ----------
    shape : tuple
        Spatial shape of the tile, ([z,] y, x).

    Returns
    -------
    weights : Tensor of float32, shape as asked, in (0, 1]

    Examples
    --------
    >>> pyramid_weights((3, 5))
    tensor([[0.3333, 0.5000, 0.5000, 0.5000, 0.3333],
            [0.3333, 0.6667, 1.0000, 0.6667, 0.3333],
            [0.3333, 0.5000, 0.5000, 0.5000, 0.3333]])
    """
    ramps = []
    for axis, size in enumerate(shape):
        ramp = torch.minimum(torch.arange(size), torch.arange(size).flip(0)) + 1.0
        ramps.append((ramp / ramp.max()).view([-1 if a == axis else 1 for a in range(len(shape))]))
    weights = ramps[0].expand(shape)
    for ramp in ramps[1:]:
        weights = torch.minimum(weights, ramp)
    return weights


def blend(f: Callable[[Tensor], Tensor], x: Tensor, tile: int, overlap: int = 32) -> Tensor:
    """Apply `f` to overlapping tiles and average the results with pyramid weights.

    This is the paper's inference for images that do not fit the memory (Section 2, "Inference"; 3D:
    tiles of 128 with an overlap of 32).

    Parameters
    ----------
    f : callable
        Maps (n, c, [z,] y, x) to a tensor of the same size, with one channel or as many.
    x : Tensor, shape (n, c, [z,] y, x)
    tile : int
        Side of a tile; an axis shorter than that is covered by one shorter tile.
    overlap : int
        Pixels that neighbours share at least, below `tile`.

    Returns
    -------
    Tensor, shape of f(x)
        On the device of `x`, in float32, or in float64 if `x` is.

    Raises
    ------
    ValueError
        If the overlap does not leave a tile anything of its own.

    References
    ----------
    Khvedchenya, "PyTorch Toolbelt" (2019), for the idea of pyramid weights.

    Examples
    --------
    >>> x = torch.rand(1, 1, 50, 70)
    >>> bool(torch.allclose(blend(lambda t: 2 * t, x, tile=32, overlap=8), 2 * x))
    True
    """
    good = 0 <= overlap < tile
    expect(good, "overlap", f"0 or more and less than the tile's {tile}", overlap)
    if all(size <= tile for size in x.shape[2:]):
        return f(x)
    dtype = torch.promote_types(x.dtype, torch.float32)
    total = None
    weight = torch.zeros(x.shape[2:], dtype=dtype, device=x.device)
    for corner in itertools.product(*(tile_starts(size, tile, overlap) for size in x.shape[2:])):
        where = tuple(slice(c, c + tile) for c in corner)
        part = x[(..., *where)]  # (n, c, [z,] y, x) of a tile
        pyramid = pyramid_weights(tuple(part.shape[2:])).to(x.device)
        restored = f(part)
        if total is None:
            shape = (*restored.shape[:2], *x.shape[2:])
            total = torch.zeros(shape, dtype=dtype, device=x.device)
        total[(..., *where)] += restored * pyramid
        weight[where] += pyramid
    return total / weight


def exact(
    f: Callable[[Tensor], Tensor], x: Tensor, tile: int, halo: int, stride: int = 1
) -> Tensor:
    """Apply `f` to tiles with a halo, and keep of each what the halo shields: equal to f(x).

    An improvement on the paper's blend: no pixel depends on where the tiles lie, and none is averaged.

    Parameters
    ----------
    f : callable
        Maps (n, c, [z,] y, x) to a tensor of the same shape; in no part of it may an output depend on
        inputs further than `halo` away.
    x : Tensor, shape (n, c, [z,] y, x)
    tile : int
        Side of what a tile contributes; with its halo it is read larger.
    halo : int
        Pixels around a tile that are computed and thrown away; `siamdecon.network.unet.receptive_field` for a
        network.
    stride : int
        Tiles are read from multiples of this many pixels, so that a network that halves the image
        halves each tile at the same places.

    Returns
    -------
    Tensor, shape as `x`

    Raises
    ------
    ValueError
        If tile, halo or stride is not a whole number that can be.

    Examples
    --------
    >>> x = torch.rand(1, 1, 50, 70)
    >>> box = torch.nn.AvgPool2d(5, stride=1, padding=2)
    >>> torch.equal(exact(box, x, tile=32, halo=2), box(x))
    True
    """
    if tile < 1 or halo < 0 or stride < 1:
        raise ValueError(
            f"expected a tile and a stride of 1 or more and a halo of 0 or more, got {tile}, {stride} "
            f"and {halo}"
        )
    out = None
    for core, window in windows(tuple(x.shape[2:]), tile, halo, stride):
        part = f(x[(..., *window)])  # (n, c, [z,] y, x) of a window
        if out is None:
            out = torch.empty(x.shape, dtype=part.dtype, device=part.device)
        out[(..., *core)] = part[(..., *within(core, window))]
    return out


def windows(
    shape: tuple[int, ...], tile: int, halo: int, stride: int = 1
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield what each tile contributes, and the window to read for it, as slices of the image.

    Windows begin and end at multiples of `stride`, or at the image's border.

    Examples
    --------
    >>> for core, window in windows((100,), tile=40, halo=3, stride=4):
    ...     print(core[0], window[0])
    slice(0, 40, None) slice(0, 44, None)
    slice(40, 80, None) slice(36, 84, None)
    slice(80, 100, None) slice(76, 100, None)
    """
    axes = []
    for size in shape:
        axis = []
        for start in range(0, size, tile):
            stop = min(start + tile, size)
            first = max(0, start - halo) // stride * stride
            last = min(size, -(-(stop + halo) // stride) * stride)
            axis.append((slice(start, stop), slice(first, last)))
        axes.append(axis)
    for combination in itertools.product(*axes):
        yield tuple(zip(*combination, strict=True))


def within(core: tuple[slice, ...], window: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return where a tile's contribution lies in the window that was read for it.

    Examples
    --------
    >>> within((slice(40, 80),), (slice(36, 84),))
    (slice(4, 44, None),)
    """
    return tuple(
        slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True)
    )


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """Return where the tiles of one axis start: evenly spread, sharing `overlap` pixels or more.

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
