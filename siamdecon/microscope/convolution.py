"""The forward operator g: convolution with a known point-spread function, by FFT."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from siamdecon.arrays import to_tensor
from siamdecon.microscope.kernel import check_psf
from siamdecon.microscope.spectral_filter import SpectralFilter, Workspace, around_origin, in_parts

#: What lies beyond the border of an image, by the name that `PSFConvolution` uses for it and the
#: mode of `numpy.pad` that means the same ("reflect" leaves the edge pixel out, "symmetric" does not).
PADDINGS = {
    "replicate": "edge",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "zero": "constant",
    "circular": "wrap",
    "valid": None,
}


class PSFConvolution(nn.Module):
    r"""Convolve with a fixed kernel: the g of the paper's Figure 1.

    .. math:: g(x) = x * k = \mathcal F^{-1}(\mathcal F(x) \odot \mathcal F(k))

    (Section 2, "Fast Fourier Transform Convolution"). This is a true convolution: the kernel is
    flipped, as `scipy.signal.convolve` does and as light does, and `torch.nn.functional.conv2d` does
    not. The transfer function F(k) is computed once for each shape, dtype and device. Under autocast
    the transforms stay in float32.

    Parameters
    ----------
    psf : array, shape ([z,] y, x)
        The kernel; checked and normalised by `check_psf`. Its centre is at index (size - 1) // 2 of
        each axis, which for an even size is the choice of `scipy.signal`.
    n_dim : int, optional
        2 or 3; the kernel's number of axes unless given.
    padding : str
        What lies beyond the border: "replicate" (the edge pixel), "reflect" or "symmetric" (a mirror
        in the edge pixel or beside it), "zero", "circular"; or "valid", which keeps only the pixels
        that need nothing beyond the border and so returns a smaller image.
    workspace : Workspace, optional
        Memory for the volumes of a loop without gradients. A result lies in it, and the next
        one overwrites it.

    Raises
    ------
    ValueError
        If the kernel or the padding is none that can be used.

    Examples
    --------
    Introduced in notebook 03.

    >>> g = PSFConvolution(np.ones((1, 3)) / 3, padding="zero")
    >>> g(torch.tensor([[[[0.0, 3.0, 0.0, 3.0]]]])).round(decimals=3)
    tensor([[[[1., 1., 2., 1.]]]])
    """

    def __init__(
        self,
        psf,
        n_dim: int | None = None,
        padding: str = "replicate",
        workspace: Workspace | None = None,
    ):
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(f"padding: expected one of {', '.join(PADDINGS)}, got {padding!r}")
        psf = check_psf(psf, n_dim)
        if psf.ndim not in (2, 3):
            raise ValueError(f"psf: expected 2 or 3 axes, got shape {psf.shape}")
        self.padding, self.n_dim, self.workspace = padding, psf.ndim, workspace
        # neither a buffer nor a parameter: .half() must not round it, and checkpoints need not hold it
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

        This is the step that Lucy-Richardson takes for the adjoint; it differs from the exact one
        (`adjoint`) only within a kernel's width of the border.
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
        # g pads, filters, and cuts the middle out; its transpose does so in reverse
        before, after = self._reach()
        sizes = [m + n - 1 for m, n in zip(y.shape[2:], self.psf.shape, strict=True)]
        x = self._filter(y, sizes, place=before, first=[0] * self.n_dim, out=sizes, conjugate=True)
        for axis, width in enumerate(zip(before, after, strict=True), start=2):
            x = self._fold(x, axis, width)
        return x

    def interior(self, x: Tensor) -> Tensor:
        """Cut from `x`, shape (n, c, [z,] y, x), the pixels that g(x) has; all but for "valid"."""
        if self.padding != "valid":
            return x
        return x[
            (
                ...,
                *(
                    slice(n // 2, m - (n - 1) // 2)
                    for n, m in zip(self.psf.shape, x.shape[2:], strict=True)
                ),
            )
        ]

    def transfer_function(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return F(k) on a grid of `shape`, the kernel's centre at its origin, from a cache.

        It has the precision and the device of `like`.
        """
        key = (shape, like.dtype, like.device)
        if key not in self._transfer:
            if len(self._transfer) >= 8:  # images of many sizes must not fill the memory
                self._transfer.pop(next(iter(self._transfer)))
            dtype = torch.complex64 if like.dtype == torch.float32 else torch.complex128
            with torch.inference_mode(False):  # else a later training pass could not use it
                k = self.psf.to(like.device)  # float64: rounded once, after the transform
                for axis in range(1, k.ndim):
                    k = around_origin(k, axis, shape[axis])
                self._transfer[key] = in_parts(
                    lambda k: torch.fft.fft(around_origin(k, 0, shape[0]), dim=0).to(dtype),
                    math.prod(shape),
                    1,
                    torch.fft.rfftn(k, dim=tuple(range(1, k.ndim))),
                )
        return self._transfer[key]

    def _reach(self) -> tuple[list[int], list[int]]:
        """Return how far a pixel of g(x) looks back along each axis, and how far ahead."""
        return [n // 2 for n in self.psf.shape], [(n - 1) // 2 for n in self.psf.shape]

    def _full_precision(self, x: Tensor) -> Tensor:
        if x.ndim != self.n_dim + 2:
            axes = "(n, c, y, x)" if self.n_dim == 2 else "(n, c, z, y, x)"
            raise ValueError(f"expected a tensor of shape {axes}, got {tuple(x.shape)}")
        return x if x.dtype in (torch.float32, torch.float64) else x.float()

    def _pad(self, x: Tensor, before: list[int], after: list[int]) -> Tensor:
        """Extend each axis, by any width, also beyond the image's own size; zeros come with the grid."""
        mode, widths = PADDINGS[self.padding], list(zip(before, after, strict=True))
        if mode in (None, "constant"):
            return x
        if mode == "edge":  # of any width by torch itself, and faster there
            return nn.functional.pad(x, [w for p in reversed(widths) for w in p], mode="replicate")
        sizes = x.shape[2:]
        shape = [*x.shape[:2], *(m + sum(w) for m, w in zip(sizes, widths, strict=True))]
        out = (self.workspace or Workspace()).take("padded", shape, x.dtype, x.device)
        out[(..., *(slice(w[0], w[0] + m) for m, w in zip(sizes, widths, strict=True)))] = x
        # an axis copies what it finds, corners that are still empty among it: the last one fills them
        for axis, (size, width) in enumerate(zip(sizes, widths, strict=True), start=2):
            source = width[0] + np.pad(np.arange(size), width, mode=mode)
            for place in (slice(0, width[0]), slice(width[0] + size, None)):
                margin = _gathered(out, axis, source[place])
                out.narrow(axis, place.start, margin.shape[axis]).copy_(margin)
        return out

    def _fold(self, x: Tensor, axis: int, width: tuple[int, int]) -> Tensor:
        """Transpose `_pad` along one axis: add what was copied beyond the border to its source."""
        mode, size = PADDINGS[self.padding], x.shape[axis] - sum(width)
        if mode is None:
            return x
        shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        return x.new_zeros(shape).index_add(axis, self._source(size, width, x.device), x)

    def _source(self, size: int, width: tuple[int, int], device: torch.device) -> Tensor:
        """Return which pixel stands at each place of an extended axis."""
        index = np.pad(np.arange(size), width, mode=PADDINGS[self.padding])
        return torch.from_numpy(index).to(device)

    def _blur(self, padded: Tensor, first: list[int], conjugate: bool) -> Tensor:
        """Filter, and cut out what needs nothing beyond the border, the pixels from `first` on."""
        sizes, zeros = list(zip(padded.shape[2:], self.psf.shape, strict=True)), [0] * self.n_dim
        if self.padding == "zero":  # half a kernel of them serves both sides: the grid is periodic
            grid, out = [max(m + n // 2, n) for m, n in sizes], list(padded.shape[2:])
            return self._filter(padded, grid, zeros, zeros, out, conjugate)
        out = [m - n + 1 for m, n in sizes]
        if min(out) < 1:
            raise ValueError(
                f"padding 'valid' needs an image at least as large as the kernel "
                f"{tuple(self.psf.shape)}, got {tuple(padded.shape[2:])}"
            )
        return self._filter(padded, padded.shape[2:], zeros, first, out, conjugate)

    def _filter(
        self,
        x: Tensor,
        sizes: Sequence[int],
        place: list[int],
        first: list[int],
        out: list[int],
        conjugate: bool,
    ) -> Tensor:
        """Multiply by the transfer function on a periodic grid of `sizes` or a little more."""
        shape = tuple(next_fast_len(m, real=True) for m in sizes)
        with torch.autocast(x.device.type, enabled=False):
            transfer = self.transfer_function(shape, x)  # ([z,] y, x // 2 + 1)
            transfer = transfer.conj() if conjugate else transfer
            return SpectralFilter.apply(x, transfer, shape, place, first, out, self.workspace)


def reconvolve(estimate: np.ndarray, psf: np.ndarray, device="cpu") -> Tensor:
    """Blur an estimate, shape ([z,] y, x), mirrored beyond its border, to a tensor (1, 1, [z,] y, x).

    Examples
    --------
    >>> reconvolve(np.full((3, 3), 0.5), np.ones((3, 3)) / 9)[0, 0, 0].round(decimals=3).tolist()
    [0.5, 0.5, 0.5]
    """
    return PSFConvolution(psf, padding="symmetric")(to_tensor(estimate, device))


def _gathered(x: Tensor, axis: int, index: np.ndarray) -> Tensor:
    """Return a copy of some places of an axis; of a run of them, forwards or backwards, a quick one."""
    if len(index) and (np.diff(index) == 1).all():
        return x.narrow(axis, int(index[0]), len(index)).clone()
    if len(index) and (np.diff(index) == -1).all():
        return x.narrow(axis, int(index[-1]), len(index)).flip(axis)
    return x.index_select(axis, torch.from_numpy(index).to(x.device))
