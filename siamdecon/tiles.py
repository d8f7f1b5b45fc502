"""Restore an image tile by tile, and put the tiles together without a seam."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

#: Side of a tile by number of dimensions; in 3D the paper's.
TILE = {2: 1024, 3: 128}


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
    if not 0 <= overlap < tile:
        raise ValueError(
            f"overlap: expected 0 or more and less than the tile's {tile}, got {overlap}"
        )
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
