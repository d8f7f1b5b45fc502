"""Restoration without learning: Lucy-Richardson and Wiener, two of the classical baselines."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from scipy.ndimage import generate_binary_structure, median_filter
from torch import Tensor

from siamdecon.expect import Words, expect, expect_counts, is_number
from siamdecon.files.on_disk import Window
from siamdecon.hardware import as_array, keep_freed_memory, side_by_side, to_array, to_tensor
from siamdecon.methods.base import Method
from siamdecon.microscope.convolution import PSFConvolution, Workspace, around_origin
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator, bands, within

Callback = Callable[[int, np.ndarray], None]
_PREFILTERS = {None: lambda y: y, "median": partial(median_filter, size=3)}
_EPS, _TINY = (float(getattr(np.finfo(np.float32), name)) for name in ("eps", "tiny"))


@dataclass(frozen=True)
class RichardsonLucy(Method):
    """Lucy-Richardson; the options are the arguments of `richardson_lucy`.

    `clip` None cuts to [0, 1] where the measurement is cut at both ends.
    """

    name: ClassVar = "richardson_lucy"
    in_windows: ClassVar = True

    iterations: int = 5
    start: str | np.ndarray = "mean"
    padding: str = "symmetric"
    prefilter: str | Callable[[np.ndarray], np.ndarray] | None = None
    clip: bool | None = None

    def __post_init__(self):
        known = self.prefilter is None or callable(self.prefilter)
        known |= isinstance(self.prefilter, str) and self.prefilter in _PREFILTERS
        expect(known, "prefilter", "'median', a function or None", self.prefilter)
        named = not isinstance(self.start, str) or self.start in ("mean", "image")
        expect(named, "start", "'mean', 'image' or an array", self.start)
        check_iterations(self.iterations, self.padding)

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Return the iterations; there is nothing to train."""
        method = self
        if not isinstance(self.start, str):
            right = np.shape(self.start) == problem.shape
            expect(right, "start", f"the image's shape {problem.shape}", np.shape(self.start))
            expect(np.isfinite(self.start).all(), "start", "finite values", "NaN or infinity")
            start = np.asarray(self.start, np.float64) - problem.low
            method = replace(self, start=(start / (problem.high - problem.low)).clip(0))
        clip = self.clips(problem)
        # not the watch with its bar, since what restores a window may go to another process
        restore = partial(method.restored, psf=problem.psf, clip=clip, callback=watch.callback)
        # light may come from half a kernel away, twice in each iteration; what comes from further than
        # three kernels weighs nothing: 2e-6 of the range after 20 iterations
        reach = 2 * max(n // 2 for n in problem.psf.shape) * self.iterations
        halo = min(reach, 3 * max(problem.psf.shape)) + (self.prefilter == "median")
        # a function, an array or the opposite border means something else in every window
        named = not callable(self.prefilter) and isinstance(self.start, str)
        same = named and self.padding != "circular"
        return Estimator(restore, halo if same else None, core=160, used=self.record(clip=clip))

    def restored(self, x: Tensor, psf: np.ndarray, clip: bool, callback=None) -> Tensor:
        """Restore a window, shape (1, 1, [z,] y, x)."""
        keep_freed_memory()
        image = to_array(x)  # ([z,] y, x)
        prefilter = self.prefilter if callable(self.prefilter) else _PREFILTERS[self.prefilter]
        y = as_array(prefilter(image), "prefilter")
        expect(y.shape == image.shape, "prefilter", f"the image's shape {image.shape}", y.shape)
        y = to_tensor(y, x.device).clamp_(min=0)  # (1, 1, [z,] y, x)
        expect(bool(y.isfinite().all()), "prefilter", "finite values", Words("NaN or infinity"))
        if isinstance(self.start, str):
            x = torch.full_like(y, y.mean().item()) if self.start == "mean" else y.clone()
        else:
            x = to_tensor(self.start, y.device)
        # blurred twice in each iteration
        cuts = bands(image.shape, halos(psf, image.shape, self.padding, times=2))
        g = PSFConvolution(psf, image.ndim, self.padding, Workspace())
        after = torch.empty_like(x)
        # what a transform rounds to is no light: log2(n) sums, each to half an eps of the largest value
        dark = max(_TINY, _EPS * math.log2(y.numel()) * y.max().item())

        def update(core: Window, window: Window) -> None:
            """Make a band of the next estimate from what it depends on."""
            ratio = g(x[(..., *window)]).clamp_(min=dark).reciprocal_().mul_(y[(..., *window)])
            change = g.correlate(ratio)[(..., *within(core, window))]
            # the FFT rounds to either side of 0
            torch.mul(x[(..., *core)], change, out=after[(..., *core)]).clamp_(min=0)

        with torch.inference_mode():
            for i in range(self.iterations):
                side_by_side(update, *zip(*cuts, strict=True), device=y.device)
                x, after = after, x
                if callback:
                    with torch.inference_mode(False):  # it may train
                        callback(i + 1, to_array(x, clip))
        g = after = None  # their volumes go before the result comes
        return x.clamp(0, 1) if clip else x


def richardson_lucy(
    image: np.ndarray,
    psf: np.ndarray,
    iterations: int = 5,
    *,
    start: str | np.ndarray = "mean",
    padding: str = "symmetric",
    prefilter: str | Callable[[np.ndarray], np.ndarray] | None = None,
    clip: bool = True,
    callback: Callback | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore by the multiplicative updates of Lucy and Richardson.

    .. math:: \hat y_{n+1} = \hat y_n \cdot \left( \tilde k * \frac{x}{k * \hat y_n} \right)

    with x the image and k~ the flipped kernel. Each iteration sharpens and amplifies the noise: stopping
    early is the only regularisation, and a median filter before the first iteration a large help.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        The noisy image; values below 0 count as 0.
    psf : ndarray, shape ([z,] y, x)
        The kernel.
    iterations : int
        Number of updates.
    start : "mean", "image" or ndarray
        Where to start: the constant image mean (the paper's baseline), the noisy image, or an image in the
        units of the noisy one.
    padding : str
        What lies beyond the border, at each convolution; see `PSFConvolution`.
    prefilter : "median", callable or None
        What the image passes through first; "median" is a 3 x 3 (x 3) median filter.
    clip : bool
        Cut the result to [0, 1].
    callback : callable, optional
        Called after each update with its number, from 1, and the estimate so far (clipped likewise).
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If image and kernel don't fit each other, or an option is unknown.

    References
    ----------
    Richardson, "Bayesian-based iterative method of image restoration", JOSA 62 (1972); Lucy, "An
    iterative technique for the rectification of observed distributions", Astron. J. 79 (1974).

    Examples
    --------
    Introduced in notebook 03.

    >>> spot = np.zeros((32, 32)); spot[16, 16] = 1
    >>> k = np.ones((3, 3)) / 9
    >>> blurred = PSFConvolution(k)(torch.tensor(spot)[None, None])[0, 0].numpy()
    >>> bool(richardson_lucy(blurred, k, 20).max() > 2 * blurred.max())
    True
    """
    method = RichardsonLucy(iterations, start, padding, prefilter, clip)
    problem = Problem.as_it_is(image, psf, device=device, limited=clip, mend=", or pass clip=False")
    return method.restore(problem, Watch(callback))


@dataclass(frozen=True)
class Wiener(Method):
    """Division in Fourier space; the options are the arguments of `wiener`."""

    name: ClassVar = "wiener"

    balance: float = 2.0
    clip: bool | None = None

    def __post_init__(self):
        held = is_number(self.balance) and 1e-30 <= self.balance <= 1e30  # its square fits float32
        expect(held, "balance", "a positive number from 1e-30 to 1e30", self.balance)

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Return the division; there is nothing to train."""
        psf, clip = problem.psf, self.clips(problem)
        return Estimator(lambda y: self.restored(y, psf, clip), used=self.record(clip=clip))

    def restored(self, y: Tensor, psf: np.ndarray, clip: bool) -> Tensor:
        """Restore (1, 1, [z,] y, x) by the quotient of `wiener`."""
        shape, widths = y.shape[2:], [(n, n) for n in psf.shape]
        y = to_tensor(np.pad(to_array(y), widths, mode="symmetric"), y.device)[0, 0]  # ([z,] y, x)
        transfer, prior = _spectrum(psf, y), _spectrum(_laplacian(y.ndim), y)
        gain = transfer.conj() / (transfer.abs().square() + self.balance * prior.abs().square())
        x = torch.fft.irfftn(gain * torch.fft.rfftn(y), s=y.shape)
        inside = tuple(slice(n, n + m) for n, m in zip(psf.shape, shape, strict=True))
        x = x[inside][None, None]
        return x.clamp(0, 1) if clip else x


def wiener(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    balance: float = 2.0,
    clip: bool = True,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore by one division in Fourier space, held back where the kernel passes little.

    .. math:: F(\hat y) = \frac{\overline{F(k)}}{|F(k)|^2 + \beta |F(l)|^2}\, F(x)

    with l the discrete Laplacian: the prior is that the image is smooth. The image is continued by its
    mirror image, so that opposite borders do not meet.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
    psf : ndarray, shape ([z,] y, x)
    balance : float
        beta, above 0: larger is smoother. The default was chosen once, for the paper's noise.
    clip : bool
        Cut the result to [0, 1].
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If image and kernel don't fit each other, or the balance is not positive.

    References
    ----------
    Hunt, "The application of constrained least squares estimation to image restoration by digital
    computer", IEEE Trans. Computers C-22 (1973).

    Examples
    --------
    Introduced in notebook 03.

    >>> ramp = np.linspace(0.2, 0.8, 30) * np.ones((20, 1))
    >>> bool(abs(wiener(ramp, np.ones((3, 3)) / 9) - ramp)[:, 5:-5].max() < 0.01)
    True
    """
    problem = Problem.as_it_is(image, psf, device=device, limited=clip, mend=", or pass clip=False")
    return Wiener(balance, clip).restore(problem, Watch())


def check_iterations(iterations: int, padding: str) -> None:
    """Raise ValueError unless an iteration can be run that often, and keeps the image's size.

    Examples
    --------
    >>> check_iterations(5, "valid")
    Traceback (most recent call last):
    ...
    ValueError: padding: expected one that keeps the image's size, got 'valid'
    """
    expect_counts(iterations=iterations)
    expect(padding != "valid", "padding", "one that keeps the image's size", padding)


def halos(psf: np.ndarray, image: Sequence[int], padding: str, times: int = 1) -> list[int]:
    """Return how many pixels away light may come from along each axis, blurred `times` times.

    Examples
    --------
    >>> halos(np.ones((1, 17)), (512, 512), "symmetric", times=2)
    [1, 16]
    """
    if padding == "circular":
        return list(image)
    return [max(1, times * (n // 2)) for n in psf.shape]


def _laplacian(n_dim: int) -> np.ndarray:
    """Return the second difference summed over the axes, as a kernel 3 pixels wide."""
    kernel = generate_binary_structure(n_dim, 1).astype(float)
    kernel[(1,) * n_dim] = -2 * n_dim
    return kernel


def _spectrum(kernel: np.ndarray, like: Tensor) -> Tensor:
    """Transform a kernel whose centre lies at index 0 of a periodic grid of the shape of `like`."""
    grid = torch.from_numpy(kernel)
    for axis, size in enumerate(like.shape):
        grid = around_origin(grid, axis, size)
    return torch.fft.rfftn(grid.to(like))
