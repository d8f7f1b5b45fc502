"""Restoration without learning: Lucy-Richardson, Wiener, total variation. The honest opponents."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import convolve, median_filter
from torch import Tensor

from siamdecon.convolution import PSFConvolution
from siamdecon.degradation import Noise
from siamdecon.hardware import best_device
from siamdecon.validation import check_image, check_psf

#: Weight of the total variation, in units of the noise's standard deviation. Chosen once, on the
#: benchmark's images at the paper's noise.
TV_WEIGHT = 0.2

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
    filters = {None: lambda y: y, "median": lambda y: median_filter(y, size=3)}
    if not callable(prefilter) and prefilter not in filters:
        raise ValueError(f"prefilter: expected 'median', a function or None, got {prefilter!r}")
    if iterations < 1:
        raise ValueError(f"iterations: expected 1 or more, got {iterations}")
    filtered = (prefilter if callable(prefilter) else filters[prefilter])(image)
    g = PSFConvolution(psf, image.ndim, padding)
    y = _tensor(filtered, device).clamp(min=0)  # (1, 1, [z,] y, x)
    x = _start(start, image, y)
    with torch.inference_mode():
        for i in range(iterations):
            ratio = y / g(x).clamp(min=1e-12)  # (1, 1, [z,] y, x)
            x = x * g.correlate(ratio)
            if callback is not None:
                callback(i + 1, _array(x, clip))
    return _array(x, clip)


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

    >>> wiener(np.full((20, 30), 0.5), np.ones((3, 3)) / 9).round(3).max()
    np.float32(0.5)
    """
    image = check_image(image)
    if not balance > 0:
        raise ValueError(f"balance: expected a positive number, got {balance!r}")
    psf = check_psf(psf, image.ndim)
    widths = [(n, n) for n in psf.shape]
    y = _tensor(np.pad(image, widths, mode="symmetric"), device)[0, 0]  # ([z,] y, x)
    transfer, prior = _spectrum(psf, y), _spectrum(_laplacian(y.ndim), y)
    gain = transfer.conj() / (transfer.abs().square() + balance * prior.abs().square())
    x = torch.fft.irfftn(gain * torch.fft.rfftn(y), s=y.shape)
    inside = tuple(slice(n, n + m) for n, m in zip(psf.shape, image.shape, strict=True))
    return _array(x[inside][None, None], clip)


def total_variation(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    weight: float | None = None,
    iterations: int = 100,
    noise: Noise | None = None,
    padding: str = "symmetric",
    callback: Callback | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore the image with the least total variation that explains the data robustly.

    .. math:: \hat x = \arg\min_{x \in [0, 1]} \; \overline{h_\delta(m(k * x) - y)}
              + \lambda\, \overline{\sqrt{|\nabla x|^2 + \epsilon^2}}

    with h the Huber function, quadratic up to delta and linear beyond, so that an impulse pulls no
    harder than any outlier.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        The noisy image, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
    weight : float, optional
        lambda; unless given it follows the noise level estimated from the image.
    iterations : int
        Number of Adam steps on the objective.
    noise : Noise, optional
        If the noise is known, m is its mean (`Noise.mean`), which knows that clipping lifts the dark and
        lowers the bright; otherwise m is the identity.
    padding : str
        What lies beyond the border; see `PSFConvolution`.
    callback : callable, optional
        Called after each step with its number, from 1, and the estimate so far.
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If image and kernel don't fit each other, or an option is out of range.

    References
    ----------
    Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60
    (1992); Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964).

    Examples
    --------
    Introduced in notebook 02.

    >>> step = np.repeat([[0.2] * 16 + [0.8] * 16], 32, axis=0)
    >>> estimate = total_variation(step, np.ones((1, 1)), weight=0.001)
    >>> bool(abs(estimate - step).max() < 0.05)
    True
    """
    image = check_image(image)
    if weight is None:
        weight = TV_WEIGHT * noise_level(image)
    if not weight > 0 or iterations < 1:
        raise ValueError(
            f"expected a positive weight and 1 or more iterations, got {weight!r} and {iterations!r}"
        )
    g = PSFConvolution(psf, image.ndim, padding)
    m = _mean_response(noise)
    y = _tensor(image, device)  # (1, 1, [z,] y, x)
    x = _tensor(median_filter(image, size=3), device).clamp(0, 1).requires_grad_()
    adam = torch.optim.Adam([x], betas=(0.9, 0.99))
    for i in range(iterations):
        adam.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + np.cos(np.pi * i / iterations))
        data = torch.nn.functional.huber_loss(m(g(x)), y, delta=0.1)
        adam.zero_grad()
        (data + weight * _variation(x)).backward()
        adam.step()
        with torch.no_grad():
            x.clamp_(0, 1)
        if callback is not None:
            callback(i + 1, _array(x, clip=False))
    return _array(x, clip=False)


def noise_level(image: np.ndarray) -> float:
    """Estimate the standard deviation of the noise from the finest detail of an image.

    A blurred image has next to nothing at the scale of one pixel, so the median of a second
    difference along every axis measures the noise. Noise cut off by clipping is not seen.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)

    Returns
    -------
    float
        In units of the image.

    References
    ----------
    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(noise_level(rng.normal(scale=0.1, size=(200, 200))), 2)
    0.1
    """
    detail = np.asarray(image, dtype=np.float64)
    for axis in range(detail.ndim):
        shape = [3 if a == axis else 1 for a in range(detail.ndim)]
        detail = convolve(detail, np.reshape([1.0, -2.0, 1.0], shape) / np.sqrt(6))
    return float(np.median(np.abs(detail)) / 0.6745)  # the median of |N(0, 1)|


def _mean_response(noise: Noise | None) -> Callable[[Tensor], Tensor]:
    """Turn `Noise.mean` into a differentiable function: linear interpolation in a table."""
    if noise is None:
        return lambda x: x
    low, high, bins = -0.5, 1.5, 2000
    table = torch.from_numpy(noise.mean(np.linspace(low, high, bins + 1))).float()

    def response(x: Tensor) -> Tensor:
        place = ((x - low) / (high - low) * bins).clamp(0, bins - 1e-3)
        left = place.detach().long()
        values = table.to(x.device)
        return torch.lerp(values[left], values[left + 1], place - left)

    return response


def _variation(x: Tensor) -> Tensor:
    """Mean length of the gradient of `x`, shape (1, 1, [z,] y, x), rounded off at 0."""
    square = torch.full_like(x, 1e-4)
    for axis in range(2, x.ndim):
        last = x.narrow(axis, x.shape[axis] - 1, 1)
        square = square + torch.diff(x, dim=axis, append=last).square()
    return square.sqrt().mean()


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
    grid = torch.zeros(like.shape, dtype=torch.float64)
    grid[tuple(slice(n) for n in kernel.shape)] = torch.from_numpy(kernel)
    grid = grid.roll([-((n - 1) // 2) for n in kernel.shape], tuple(range(grid.ndim)))
    return torch.fft.rfftn(grid.to(like))


def _start(start: Start, image: np.ndarray, y: Tensor) -> Tensor:
    if isinstance(start, str):
        if start not in ("mean", "image"):
            raise ValueError(f"start: expected 'mean', 'image' or an array, got {start!r}")
        return torch.full_like(y, y.mean().item()) if start == "mean" else y
    if np.shape(start) != image.shape:
        raise ValueError(f"start: expected the image's shape {image.shape}, got {np.shape(start)}")
    return _tensor(np.asarray(start, dtype=np.float32), y.device)


def _tensor(image: np.ndarray, device: str | torch.device | None) -> Tensor:
    """Turn ([z,] y, x) into (1, 1, [z,] y, x) on the device."""
    return torch.from_numpy(np.array(image, dtype=np.float32))[None, None].to(
        device or best_device()
    )


def _array(x: Tensor, clip: bool) -> np.ndarray:
    """Turn (1, 1, [z,] y, x) back into a NumPy array of its own."""
    x = x.detach()[0, 0]
    return (x.clamp(0, 1) if clip else x.clone()).cpu().numpy()
