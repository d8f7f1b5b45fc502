"""Say at once, and before any work, what is wrong with an input and how to mend it."""

import warnings

import numpy as np
from torch import Tensor


def check_image(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Return an image or volume as a contiguous float32 array, or say why it can't be restored.

    Parameters
    ----------
    image : array, shape ([z,] y, x)
        Grey values of any real dtype.
    name : str
        What the message calls it.

    Returns
    -------
    image : ndarray of float32, shape ([z,] y, x)

    Raises
    ------
    ValueError
        If it has another number of axes (colour and time among them), is empty or constant, or holds
        NaN, infinite or complex values.

    Examples
    --------
    >>> check_image(np.eye(2, dtype=np.uint8)).dtype
    dtype('float32')
    >>> check_image(np.zeros((64, 64, 3)))
    Traceback (most recent call last):
    ...
    ValueError: image: expected grey values (y, x) or (z, y, x), got shape (64, 64, 3), which looks ...
    """
    image = np.asarray(image)
    expected = f"{name}: expected grey values (y, x) or (z, y, x), got shape {image.shape}"
    if image.ndim == 3 and image.shape[-1] in (3, 4) and min(image.shape[:2]) > 4:
        raise ValueError(
            f"{expected}, which looks like colour; take one channel, image[..., 0], or convert it "
            "with skimage.color.rgb2gray"
        )
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"{expected}; pick one channel and one time point, for example image[0]")
    if image.dtype.kind not in "buif":
        raise ValueError(f"{name}: expected real numbers, got dtype {image.dtype}")
    image = np.ascontiguousarray(image, dtype=np.float32)
    bad = image.size - np.count_nonzero(np.isfinite(image))
    if bad:
        raise ValueError(
            f"{name}: expected finite values, got {bad} NaN or infinite pixels of {image.size}; "
            "replace them, for example with numpy.nan_to_num or a median of their neighbours"
        )
    if image.min() == image.max():
        raise ValueError(f"{name}: every pixel is {image.flat[0]:.6g}; there is nothing to restore")
    return image


def check_unit_range(image: np.ndarray, name: str = "image", mend: str = "") -> np.ndarray:
    """Return the image if it lies in [0, 1], give or take some noise; else say how to get there.

    Examples
    --------
    >>> check_unit_range(np.array([0.0, 255.0]))
    Traceback (most recent call last):
    ...
    ValueError: image: expected values in [0, 1], got 0 to 255; scale it, or call ...
    """
    low, high = float(image.min()), float(image.max())
    if low < -1 or high > 2:
        raise ValueError(
            f"{name}: expected values in [0, 1], got {low:.4g} to {high:.4g}; scale it, or call "
            f"siamdecon.deconvolve, which does{mend}"
        )
    return image


def check_iterations(iterations: int, padding: str) -> None:
    """Raise ValueError unless an iteration can be run that often, and keeps the image's size."""
    if not isinstance(iterations, int | np.integer) or iterations < 1:
        raise ValueError(f"iterations: expected a whole number of 1 or more, got {iterations!r}")
    if padding == "valid":
        raise ValueError("padding: expected one that keeps the image's size, got 'valid'")


def check_psf(psf: np.ndarray | Tensor, n_dim: int | None = None) -> np.ndarray:
    """Return a kernel as float64 with sum 1, or say what is wrong with it.

    Parameters
    ----------
    psf : array, shape ([z,] y, x)
        The kernel; one whose sum is not 1 is normalised with a warning.
    n_dim : int, optional
        The number of axes that the kernel must have.

    Returns
    -------
    psf : ndarray of float64, shape ([z,] y, x)

    Raises
    ------
    ValueError
        If the kernel has another number of axes, values that are negative or not finite, or no
        positive one.

    Examples
    --------
    >>> check_psf(np.full((1, 2), 0.5))
    array([[0.5, 0.5]])
    """
    psf = np.asarray(psf.detach().cpu() if isinstance(psf, Tensor) else psf)
    if n_dim is not None and psf.ndim != n_dim:
        raise ValueError(
            f"psf: expected {n_dim} axes, as the image has, got shape {psf.shape}; a 3D image needs "
            "a 3D kernel, and a 2D image one plane of it"
        )
    if psf.dtype.kind not in "buif":
        raise ValueError(f"psf: expected real numbers, got dtype {psf.dtype}")
    psf = psf.astype(np.float64)
    if psf.size == 0 or not np.isfinite(psf).all():
        raise ValueError(
            f"psf: expected finite values, got NaN, infinity or nothing in {psf.shape}"
        )
    if psf.min() < 0:
        raise ValueError(
            f"psf: expected values of 0 or more, got a minimum of {psf.min():.3g}; subtract the "
            "background of a measured kernel and clip it at 0"
        )
    total = psf.sum()
    if total == 0:
        raise ValueError("psf: expected a positive sum, got a kernel that is 0 everywhere")
    if abs(total - 1) > 1e-3:
        warnings.warn(f"psf: normalised to sum 1, it was {total:.6g}", stacklevel=3)
    return psf / total
