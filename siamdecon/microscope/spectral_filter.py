"""Filtering on a periodic grid by FFT, with its derivative, part by part where the grid is large."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

#: Pixels that a CPU transforms at once, about as many as its cache holds; a GPU takes 128 times as many.
AT_ONCE = 2**19


class Workspace:
    """Memory for the large results of a loop without gradients, fetched from the system once.

    Fetching the pages of new volumes is a third of the time that an iteration of Lucy-Richardson takes.

    Examples
    --------
    >>> workspace, x = Workspace(), torch.zeros(3)
    >>> first = workspace.take("ratio", x.shape, x.dtype, x.device)
    >>> workspace.take("ratio", x.shape, x.dtype, x.device) is first
    True
    """

    def __init__(self):
        self._kept: dict[str, Tensor] = {}

    def take(
        self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Return the memory of that name, with whatever it holds; what had it before loses it."""
        kept = self._kept.get(name)
        if kept is None or (kept.shape, kept.dtype, kept.device) != (tuple(shape), dtype, device):
            self._kept.pop(name, None)  # the old goes before the new comes
            self._kept[name] = torch.empty(shape, dtype=dtype, device=device)
        return self._kept[name]


class SpectralFilter(torch.autograd.Function):
    """Put x at `place` on an empty periodic grid, filter it, and cut out `out` pixels from `first` on.

    The transpose is the same with `place` and `first` exchanged and the conjugate filter. Written down,
    it takes two real transforms; PyTorch's own derivative of a real transform takes a complex one.

    Parameters
    ----------
    x : Tensor, shape (n, c, [z,] y, x)
    transfer : Tensor, shape ([z,] y, x // 2 + 1)
        The filter, as `torch.fft.rfftn` gives it.
    shape, place, first, out : sequence of int
        Of the grid; where x lies on it; where the result begins, and its shape; for each axis.
    workspace : Workspace, optional
        Where intermediate results and the result lie, if they are large.

    Examples
    --------
    >>> delay = torch.fft.rfftn(torch.tensor([[0.0, 1, 0, 0]]))
    >>> x = torch.tensor([[[[1.0, 2.0]]]])
    >>> SpectralFilter.apply(x, delay, (1, 4), [0, 0], [0, 1], [1, 2]).round(decimals=3)
    tensor([[[[1., 2.]]]])
    """

    @staticmethod
    def forward(ctx, x, transfer, shape, place, first, out, workspace=None):
        """Filter `x`; returns shape (n, c, out)."""
        ctx.transfer, ctx.shape, ctx.place, ctx.first = transfer, shape, place, first
        ctx.size = list(x.shape[2:])
        if any(place):
            after = [m - p - n for m, p, n in zip(shape, place, ctx.size, strict=True)]
            widths = zip(reversed(place), reversed(after), strict=True)
            x = nn.functional.pad(x, [width for pair in widths for width in pair])
        rest, size = tuple(range(3, x.ndim)), x.shape[0] * x.shape[1] * math.prod(shape)
        crop = (..., *(slice(a, a + n) for a, n in zip(first[1:], out[1:], strict=True)))

        def filtered(columns, transfer):
            grid = torch.fft.fft(columns, n=shape[0], dim=2).mul_(transfer)
            return torch.fft.ifft(grid, dim=2).narrow(2, first[0], out[0])

        def pixels(rows):
            return torch.fft.irfftn(rows, s=shape[1:], dim=rest)[crop]

        def memory(name, shape, dtype):
            return workspace and workspace.take(name, shape, dtype, x.device)

        # the other axes only for the rows that are there, or wanted: (n, c, [z,] y, x // 2 + 1)
        into = memory("rows", [*x.shape[:3], *transfer.shape[1:]], transfer.dtype)
        rows = in_parts(lambda x: torch.fft.rfftn(x, s=shape[1:], dim=rest), size, 2, x, into=into)
        into = rows[:, :, : out[0]] if out[0] <= rows.shape[2] else None
        rows = in_parts(filtered, size, 3, rows, transfer[None, None], into=into)
        into = memory("result", [*x.shape[:2], *out], x.dtype)
        return in_parts(pixels, size, 2, rows, into=into)

    @staticmethod
    def backward(ctx, gradient):
        """Apply the transpose to `gradient`, shape (n, c, out)."""
        back = SpectralFilter.apply(
            gradient, ctx.transfer.conj(), ctx.shape, ctx.first, ctx.place, ctx.size
        )
        return back, *[None] * 6


def around_origin(k: Tensor, axis: int, size: int) -> Tensor:
    """Embed a kernel in zeros along an axis, its centre at index 0 and what lies before it at the far end.

    Examples
    --------
    >>> around_origin(torch.tensor([1.0, 2.0, 3.0]), 0, 5)
    tensor([2., 3., 0., 0., 1.])
    """
    n, centre = k.shape[axis], (k.shape[axis] - 1) // 2
    zeros = k.new_zeros([size - n if a == axis else m for a, m in enumerate(k.shape)])
    return torch.cat([k.narrow(axis, centre, n - centre), zeros, k.narrow(axis, 0, centre)], axis)


def in_parts(
    f: Callable[..., Tensor], size: int, axis: int, *tensors: Tensor, into: Tensor | None = None
) -> Tensor:
    """Apply `f` to parts along an axis, in turn: a grid of `size` numbers needs little working memory.

    Parameters
    ----------
    f : callable
        From parts of the tensors to a part of the result; nothing in it reaches across the axis.
    size : int
        How many numbers the largest intermediate result has.
    axis : int
    tensors : Tensor
        Of one length along the axis.
    into : Tensor, optional
        Where the result goes; new memory unless given. One part needs none.

    Examples
    --------
    >>> in_parts(lambda x: 2 * x, 2 * AT_ONCE, 0, torch.arange(4.0))
    tensor([0., 2., 4., 6.])
    """
    length, on_cpu = tensors[0].shape[axis], tensors[0].device.type == "cpu"
    parts = min(length, math.ceil(size / (AT_ONCE if on_cpu else 128 * AT_ONCE)))
    if parts == 1:
        return f(*tensors)
    whole, begin = into, 0
    for each in zip(*(t.tensor_split(parts, axis) for t in tensors), strict=True):
        part = f(*each)
        if whole is None:
            whole = part.new_empty([length if a == axis else n for a, n in enumerate(part.shape)])
        whole.narrow(axis, begin, part.shape[axis]).copy_(part)
        begin += part.shape[axis]
    return whole
