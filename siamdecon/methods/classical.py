"""Restoration without learning: Lucy-Richardson and Wiener, two of the honest opponents."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from siamdecon.hardware import keep_freed_memory, to_array, to_tensor
from siamdecon.microscope.convolution import PSFConvolution, Workspace, around_origin
from siamdecon.microscope.kernel import check_image, check_iterations, check_psf, check_unit_range

Start = str | np.ndarray
Callback = Callable[[int, np.ndarray], None]


def richardson_lucy(
    image: np.ndarray,
    psf: np.ndarray,
    iterations: int = 5,
    *,
    start: Start = "mean",
    padding: str = "symmetric",
    prefilter: str | Callable[[np.ndarray], np.ndarray] | None = None,
    clip: bool = True,
    callback: Callback | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore by the multiplicative updates of Lucy and Richardson.

    .. math:: x_{i+1} = x_i \cdot \tilde k * \frac{y}{k * x_i}

    with k~ the flipped kernel. Each iteration sharpens and amplifies the noise: stopping early is the
    only regularisation, and a median filter before the first iteration a large help.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        The noisy image; values below 0 count as 0.
    psf : ndarray, shape ([z,] y, x)
        The kernel.
    iterations : int
        Number of updates.
    start : "mean", "image" or ndarray
        Where to start: the constant image mean (the paper's baseline), the noisy image, or an image.
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
    Introduced in notebook 02.

    >>> spot = np.zeros((32, 32)); spot[16, 16] = 1
    >>> k = np.ones((3, 3)) / 9
    >>> blurred = PSFConvolution(k)(torch.tensor(spot)[None, None])[0, 0].numpy()
    >>> bool(richardson_lucy(blurred, k, 20).max() > 2 * blurred.max())
    True
    """
    image = check_image(image)
    if clip:
        check_unit_range(image, mend=", or pass clip=False")
    filters = {None: lambda y: y, "median": lambda y: median_filter(y, size=3)}
    if not callable(prefilter) and prefilter not in filters:
        raise ValueError(f"prefilter: expected 'median', a function or None, got {prefilter!r}")
    check_iterations(iterations, padding)
    keep_freed_memory()
    filtered = (prefilter if callable(prefilter) else filters[prefilter])(image)
    g = PSFConvolution(psf, image.ndim, padding, Workspace())
    y = to_tensor(filtered, device).clamp(min=0)  # (1, 1, [z,] y, x)
    x = _start(start, image, y)
    with torch.inference_mode():
        for i in range(iterations):
            ratio = g(x).clamp_(min=1e-12).reciprocal_().mul_(y)
            x.mul_(g.correlate(ratio)).clamp_(min=0)  # the FFT rounds to either side of 0
            if callback is not None:
                callback(i + 1, to_array(x, clip))
    del g, ratio  # their volumes go before the result comes
    return to_array(x, clip)


def wiener(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    balance: float = 2.0,
    clip: bool = True,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore by one division in Fourier space, held back where the kernel passes little.

    .. math:: \hat x = \frac{\overline{F(k)}}{|F(k)|^2 + \beta |F(l)|^2}\, F(y)

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
    Introduced in notebook 02.

    >>> ramp = np.linspace(0.2, 0.8, 30) * np.ones((20, 1))
    >>> bool(abs(wiener(ramp, np.ones((3, 3)) / 9) - ramp)[:, 5:-5].max() < 0.01)
    True
    """
    image = check_image(image)
    if clip:
        check_unit_range(image, mend=", or pass clip=False")
    if not 0 < balance < np.inf:
        raise ValueError(f"balance: expected a positive number, got {balance!r}")
    psf = check_psf(psf, image.ndim)
    widths = [(n, n) for n in psf.shape]
    y = to_tensor(np.pad(image, widths, mode="symmetric"), device)[0, 0]  # ([z,] y, x)
    transfer, prior = _spectrum(psf, y), _spectrum(_laplacian(y.ndim), y)
    gain = transfer.conj() / (transfer.abs().square() + balance * prior.abs().square())
    x = torch.fft.irfftn(gain * torch.fft.rfftn(y), s=y.shape)
    inside = tuple(slice(n, n + m) for n, m in zip(psf.shape, image.shape, strict=True))
    return to_array(x[inside][None, None], clip)


def _laplacian(n_dim: int) -> np.ndarray:
    """Return the second difference summed over the axes, as a kernel 3 pixels wide."""
    kernel = np.zeros((3,) * n_dim)
    kernel[(1,) * n_dim] = -2 * n_dim
    for axis in range(n_dim):
        for side in (0, 2):
            kernel[tuple(side if a == axis else 1 for a in range(n_dim))] = 1
    return kernel


def _spectrum(kernel: np.ndarray, like: Tensor) -> Tensor:
    """Transform a kernel whose centre lies at index 0 of a periodic grid of the shape of `like`."""
    grid = torch.from_numpy(kernel)
    for axis, size in enumerate(like.shape):
        grid = around_origin(grid, axis, size)
    return torch.fft.rfftn(grid.to(like))


def _start(start: Start, image: np.ndarray, y: Tensor) -> Tensor:
    if isinstance(start, str):
        if start not in ("mean", "image"):
            raise ValueError(f"start: expected 'mean', 'image' or an array, got {start!r}")
        return torch.full_like(y, y.mean().item()) if start == "mean" else y.clone()
    if np.shape(start) != image.shape:
        raise ValueError(f"start: expected the image's shape {image.shape}, got {np.shape(start)}")
    if not np.isfinite(start).all():
        raise ValueError("start: expected finite values, got NaN or infinity")
    return to_tensor(start, y.device)
