"""The forward operator g: convolution with a known point-spread function, by FFT."""

import math
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from siamdecon.expect import expect, expect_one_of
from siamdecon.hardware import to_tensor
from siamdecon.microscope.kernel import check_psf

#: How an image is continued beyond its border: the name in `PSFConvolution` and the equivalent mode of
#: `numpy.pad` ("reflect" does not repeat the edge pixel, "symmetric" does).
PADDINGS = {
    "replicate": "edge",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "zero": "constant",
    "circular": "wrap",
    "valid": None,
}
#: Pixels per chunk of a transform on a CPU, about what fits in its cache; 128 times as many on a GPU.
AT_ONCE = 2**19


class Workspace(threading.local):
    """Named buffers that a loop without gradients reuses, so that memory is allocated only once.

    Allocating new volumes would take a third of the time of a Lucy-Richardson iteration. Each thread has
    its own.

    Examples
    --------
    >>> workspace, x = Workspace(), torch.zeros(3)
    >>> first = workspace.take("ratio", x.shape, x.dtype, x.device)
    >>> workspace.take("ratio", (2, 1), x.dtype, x.device).data_ptr() == first.data_ptr()
    True
    """

    def __init__(self):
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype, device: torch.device) -> Tensor:
        """Return the buffer of that name, to be overwritten; a former result in it is lost."""
        kept, n = self._kept.get(name), math.prod(shape)
        if kept is None or len(kept) < n or (kept.dtype, kept.device) != (dtype, device):
            self._kept.pop(name, None)  # frees the old buffer first
            self._kept[name] = kept = torch.empty(n, dtype=dtype, device=device)
        return kept[:n].view(shape)


class PSFConvolution(nn.Module):
    r"""Convolve with a fixed kernel: the g of the paper's Figure 1.

    .. math:: g(\hat y) = \hat y * k = F^{-1}(F(\hat y) \odot F(k))

    (Section 2, "Fast Fourier Transform Convolution"). This is a true convolution: the kernel is
    flipped, as `scipy.signal.convolve` does and as light does, and `torch.nn.functional.conv2d` does
    not. The transfer function F(k) is computed once for each shape, dtype and device. Under autocast
    the transforms stay in float32.

    Parameters
    ----------
    psf : array, shape ([z,] y, x)
        The kernel; checked and normalised by `check_psf`. Its centre is at index size // 2 of each axis,
        where `numpy.fft.fftshift` puts it.
    n_dim : int, optional
        2 or 3; the kernel's number of axes unless given.
    padding : str
        How the image is continued beyond its border: "replicate" (the edge pixel), "reflect" or
        "symmetric" (mirrored, without or with the edge pixel), "zero", "circular"; or "valid", which
        returns only the pixels that do not depend on anything beyond the border, a smaller image.
    workspace : Workspace, optional
        Buffers for a loop without gradients. Results lie in them too: each call overwrites the
        result of the last one.

    Raises
    ------
    ValueError
        If the kernel is invalid or the padding unknown.

    Examples
    --------
    Introduced in notebook 02.

    >>> g = PSFConvolution(np.ones((1, 3)) / 3, padding="zero")
    >>> g(torch.tensor([[[[0.0, 3.0, 0.0, 3.0]]]])).round(decimals=3)
    tensor([[[[1., 1., 2., 1.]]]])
    """

    def __init__(self, psf, n_dim: int | None = None, padding="replicate", workspace=None):
        super().__init__()
        expect_one_of(PADDINGS, padding=padding)
        psf = check_psf(psf, n_dim)
        self.padding, self.n_dim, self.workspace = padding, psf.ndim, workspace
        # not a registered buffer: .half() must not round it, and it does not belong in checkpoints
        self.psf = torch.from_numpy(psf)
        self._transfer: dict[tuple, Tensor] = {}

    def extra_repr(self) -> str:
        """Show the kernel's shape and the padding when the module is printed."""
        return f"psf={tuple(self.psf.shape)}, padding={self.padding!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Blur `x`, shape (n, c, [z,] y, x), each channel by itself."""
        x = self._full_precision(x)
        # out[i] = sum_j k[centre + j] x[i - j]: the last pixel of the kernel reaches furthest back
        before, after = self._reach()
        return self._blur(self._pad(x, before, after), before, conjugate=False)

    def correlate(self, y: Tensor) -> Tensor:
        """Convolve `y`, shape (n, c, [z,] y, x), with the flipped kernel and the same padding.

        Lucy-Richardson uses this as the adjoint; it differs from the exact one (`adjoint`) only
        within a kernel's width of the border.
        """
        before, after = self._reach()
        return self._blur(self._pad(self._full_precision(y), after, before), after, conjugate=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the exact transpose, border included: <g(x), y> = <x, g.adjoint(y)>.

        Maps the shape of g(x) to the shape of x.
        """
        if self.padding == "zero":
            return self.correlate(y)
        y = self._full_precision(y)
        # g pads, filters and crops; its transpose does so in reverse
        before, after = self._reach()
        sizes = [m + n - 1 for m, n in zip(y.shape[2:], self.psf.shape, strict=True)]
        x = self._filter(y, sizes, place=before, first=[0] * self.n_dim, out=sizes, conjugate=True)
        if self.padding == "valid":
            return x
        return folded(x, PADDINGS[self.padding], list(zip(before, after, strict=True)))

    def interior(self, x: Tensor) -> Tensor:
        """Crop `x`, shape (n, c, [z,] y, x), to the pixels of g(x); only "valid" removes any."""
        if self.padding != "valid":
            return x
        before, after = self._reach()
        inside = [slice(b, m - a) for b, m, a in zip(before, x.shape[2:], after, strict=True)]
        return x[(..., *inside)]

    def transfer_function(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return F(k) on a grid of `shape`, with the kernel's centre at the origin; cached.

        It has the precision and the device of `like`.
        """
        key = (shape, like.dtype, like.device)
        if key not in self._transfer:
            if len(self._transfer) >= 8:  # bounds the memory for images of many sizes
                self._transfer.pop(next(iter(self._transfer)))
            dtype = torch.complex64 if like.dtype == torch.float32 else torch.complex128
            with torch.inference_mode(False):  # else a later training pass could not use it
                # float64, which Apple's GPUs lack: rounded once, after the transform
                k = self.psf.to("cpu" if like.device.type == "mps" else like.device)
                for axis in range(1, k.ndim):
                    k = around_origin(k, axis, shape[axis])
                rows = torch.fft.rfftn(k, dim=tuple(range(1, k.ndim)))

                def transformed(rows):
                    return torch.fft.fft(around_origin(rows, 0, shape[0]), dim=0).to(dtype)

                found = in_parts(transformed, math.prod(shape), 1, rows)
                self._transfer[key] = found.to(like.device)
        return self._transfer[key]

    def _reach(self) -> tuple[list[int], list[int]]:
        """Return how many pixels before and after it a pixel of g(x) depends on, along each axis."""
        return [(n - 1) // 2 for n in self.psf.shape], [n // 2 for n in self.psf.shape]

    def _full_precision(self, x: Tensor) -> Tensor:
        axes = "(n, c, y, x)" if self.n_dim == 2 else "(n, c, z, y, x)"
        expect(x.ndim == self.n_dim + 2, "x", f"a tensor of shape {axes}", tuple(x.shape))
        return x if x.dtype in (torch.float32, torch.float64) else x.float()

    def _pad(self, x: Tensor, before: list[int], after: list[int]) -> Tensor:
        """Pad each axis, by any width; zeros need no padding, as the grid contains them."""
        mode, widths = PADDINGS[self.padding], list(zip(before, after, strict=True))
        if mode in (None, "constant"):
            return x
        if mode == "edge":  # torch supports any width here, and is faster
            return nn.functional.pad(x, [w for p in reversed(widths) for w in p], mode="replicate")
        return Continued.apply(x, mode, widths, self.workspace)

    def _blur(self, padded: Tensor, first: list[int], conjugate: bool) -> Tensor:
        """Filter, and crop to the pixels that are free of wrap-around, from `first` on."""
        sizes, zeros = list(zip(padded.shape[2:], self.psf.shape, strict=True)), [0] * self.n_dim
        if self.padding == "zero":  # on a periodic grid, half a kernel of zeros serves both sides
            grid, out = [max(m + n // 2, n) for m, n in sizes], list(padded.shape[2:])
            return self._filter(padded, grid, zeros, zeros, out, conjugate)
        out = [m - n + 1 for m, n in sizes]
        least = f"for 'valid' an image at least as large as the kernel {tuple(self.psf.shape)}"
        expect(min(out) >= 1, "padding", least, tuple(padded.shape[2:]))
        return self._filter(padded, padded.shape[2:], zeros, first, out, conjugate)

    def _filter(self, x: Tensor, sizes, place, first, out, conjugate: bool) -> Tensor:
        """Multiply by the transfer function on a periodic grid of `sizes` or slightly larger."""
        shape = tuple(next_fast_len(m, real=True) for m in sizes)
        transfer = self.transfer_function(shape, x)  # ([z,] y, x // 2 + 1)
        transfer = transfer.conj() if conjugate else transfer
        return SpectralFilter.apply(x, transfer, shape, place, first, out, self.workspace)


def reconvolve(estimate: np.ndarray, psf: np.ndarray, device="cpu") -> Tensor:
    """Blur an estimate, shape ([z,] y, x), with symmetric padding; returns a tensor (1, 1, [z,] y, x).

    Examples
    --------
    >>> reconvolve(np.full((3, 3), 0.5), np.ones((3, 3)) / 9)[0, 0, 0].round(decimals=3).tolist()
    [0.5, 0.5, 0.5]
    """
    return PSFConvolution(psf, padding="symmetric")(to_tensor(estimate, device))


class Continued(torch.autograd.Function):
    """Continue `x`, shape (n, c, [z,] y, x), beyond its border by a mode of `numpy.pad`.

    Parameters
    ----------
    x : Tensor
    mode : str
    widths : list of (int, int)
        How many pixels to add before and after, along each axis.
    workspace : Workspace, optional
        Buffer for the result.

    Examples
    --------
    >>> Continued.apply(torch.tensor([[[1.0, 2, 3]]]), "reflect", [(2, 1)])
    tensor([[[3., 2., 1., 2., 3., 2.]]])
    """

    @staticmethod
    def forward(ctx, x, mode, widths, workspace=None):
        """Return shape (n, c, [before + z + after,] ...)."""
        ctx.how, sizes = (mode, widths), x.shape[2:]
        shape = [*x.shape[:2], *(m + sum(w) for m, w in zip(sizes, widths, strict=True))]
        out = (workspace or Workspace()).take("padded", shape, x.dtype, x.device)
        out[(..., *(slice(w[0], w[0] + m) for m, w in zip(sizes, widths, strict=True)))] = x
        # each axis copies whole margins, with corners that are still empty; the last axis fills them
        for axis, size, width in zip(range(2, x.ndim), sizes, widths, strict=True):
            for first, source in _margins(mode, size, *width, x.device):
                out.narrow(axis, first, len(source)).copy_(out.index_select(axis, source))
        return out

    @staticmethod
    def backward(ctx, gradient):
        """Apply the transpose."""
        return folded(gradient, *ctx.how), None, None, None


def folded(x: Tensor, mode: str, widths: list[tuple[int, int]]) -> Tensor:
    """Apply the transpose of `Continued`: add what was copied beyond the border to its source.

    Examples
    --------
    >>> folded(torch.ones(1, 1, 6), "reflect", [(2, 1)])
    tensor([[[1., 3., 2.]]])
    """
    sizes = [n - sum(width) for n, width in zip(x.shape[2:], widths, strict=True)]
    x = x.clone()
    for axis, size, width in list(zip(range(2, x.ndim), sizes, widths, strict=True))[::-1]:
        for first, source in _margins(mode, size, *width, x.device):
            x.index_add_(axis, source, x.narrow(axis, first, len(source)).clone())
        x = x.narrow(axis, width[0], size)
    return x


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # else it could not serve a gradient later
def _margins(mode: str, size: int, before: int, after: int, device: torch.device) -> tuple:
    """Return the first index of each margin of an axis, and from where its pixels are copied."""
    source = torch.from_numpy(before + np.pad(np.arange(size), (before, after), mode=mode))
    source = source.to(device)
    return (0, source[:before]), (before + size, source[before + size :])


class SpectralFilter(torch.autograd.Function):
    """Place x at `place` on a zero periodic grid, filter it, and crop `out` pixels from `first` on.

    The transpose is the same operation with `place` and `first` exchanged and the conjugate filter. As an
    explicit derivative it takes two real transforms; PyTorch's own uses complex ones.

    Parameters
    ----------
    x : Tensor, shape (n, c, [z,] y, x)
    transfer : Tensor, shape ([z,] y, x // 2 + 1)
        The filter, as `torch.fft.rfftn` gives it.
    shape, place, first, out : sequence of int
        The shape of the grid, the position of x on it, the start of the result, and its shape.
    workspace : Workspace, optional
        Buffers for intermediate results and the result, if they are large.

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

        # the other axes are transformed only for rows of the input or the output
        into = memory("rows", [*x.shape[:3], *transfer.shape[1:]], transfer.dtype)
        rows = in_parts(lambda x: torch.fft.rfftn(x, s=shape[1:], dim=rest), size, 2, x, into=into)
        into = rows[:, :, : out[0]] if out[0] <= rows.shape[2] else None
        rows = in_parts(filtered, size, 3, rows, transfer[None, None], into=into)
        into = memory("result", [*x.shape[:2], *out], x.dtype)
        return in_parts(pixels, size, 2, rows, into=into)

    @staticmethod
    def backward(ctx, gradient):
        """Apply the transpose to `gradient`, shape (n, c, out)."""
        transpose = (ctx.transfer.conj(), ctx.shape, ctx.first, ctx.place, ctx.size)
        return SpectralFilter.apply(gradient, *transpose), *[None] * 6


def around_origin(k: Tensor, axis: int, size: int) -> Tensor:
    """Zero-pad a kernel along an axis and shift its centre to index 0; what precedes it wraps to the end.

    Examples
    --------
    >>> around_origin(torch.tensor([1.0, 2.0, 3.0]), 0, 5)
    tensor([2., 3., 0., 0., 1.])
    """
    n, centre = k.shape[axis], k.shape[axis] // 2
    zeros = k.new_zeros([size - n if a == axis else m for a, m in enumerate(k.shape)])
    return torch.cat([k.narrow(axis, centre, n - centre), zeros, k.narrow(axis, 0, centre)], axis)


def in_parts(f: Callable, size: int, axis: int, *tensors: Tensor, into=None) -> Tensor:
    """Apply `f` chunk by chunk along an axis, which limits its working memory.

    Parameters
    ----------
    f : callable
        Maps chunks of the tensors to a chunk of the result; it must act independently along the axis.
    size : int
        Number of elements of the largest intermediate result.
    axis : int
    tensors : Tensor
        All of the same length along the axis.
    into : Tensor, optional
        Where the result is written; newly allocated unless given. Not used for a single chunk.

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
