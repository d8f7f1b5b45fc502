"""Say at once, and before any work, what is wrong with an input and how to mend it."""

import warnings

import numpy as np
from torch import Tensor

from siamdecon.files.images import Image


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


def check_counts(**numbers: int) -> None:
    """Raise ValueError unless each is a whole number of 1 or more; the message names the first that is not.

    Examples
    --------
    >>> check_counts(steps=100, features=0)
    Traceback (most recent call last):
    ...
    ValueError: features: expected a whole number of 1 or more, got 0
    """
    for name, value in numbers.items():
        # True counts as 1 in Python, and is no count
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}: expected a whole number of 1 or more, got {value!r}")


def check_not_diverged(estimate: Tensor) -> Tensor:
    """Return what a trained network gives, or raise FloatingPointError if any of it is NaN or infinite.

    Examples
    --------
    >>> check_not_diverged(Tensor([0.5, float("nan")]))
    Traceback (most recent call last):
    ...
    FloatingPointError: the network's estimate is not finite: the training has diverged; try another ...
    """
    if not estimate.isfinite().all():
        raise FloatingPointError(
            "the network's estimate is not finite: the training has diverged; try another seed, or in "
            "Python a smaller learning_rate"
        )
    return estimate


def check_iterations(iterations: int, padding: str) -> None:
    """Raise ValueError unless an iteration can be run that often, and keeps the image's size.

    Examples
    --------
    >>> check_iterations(5, "valid")
    Traceback (most recent call last):
    ...
    ValueError: padding: expected one that keeps the image's size, got 'valid'
    """
    check_counts(iterations=iterations)
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


def check_psf_fits(psf: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a kernel can belong to an image: neither too large, too thin nor off-centre.

    Parameters
    ----------
    psf : ndarray, shape ([z,] y, x)
        A kernel with as many axes as the image.
    shape : tuple of int
        The image's.

    Examples
    --------
    >>> check_psf_fits(np.ones((17, 9, 9)) / 1377, (12, 64, 64))
    Traceback (most recent call last):
    ...
    ValueError: psf: expected at most the image's shape (12, 64, 64), got (17, 9, 9); crop it around ...
    """
    if any(n > m for n, m in zip(psf.shape, shape, strict=True)):
        fits = [min(n, m - (m - n) % 2) for n, m in zip(psf.shape, shape, strict=True)]
        crop = ", ".join(
            f"{(n - k) // 2}:{n - (n - k) // 2}" if k < n else ":"
            for n, k in zip(psf.shape, fits, strict=True)
        )
        raise ValueError(
            f"psf: expected at most the image's shape {shape}, got {psf.shape}; crop it around its "
            f"centre, psf[{crop}], and check that little light is cut off"
        )
    if psf.ndim == 3 and psf.shape[0] < 3:
        raise ValueError(
            f"psf: expected 3 planes or more for a volume, got shape {psf.shape}: such a kernel carries "
            "no light between planes; compute more of them (Microscope(planes=...)), or restore each "
            "plane on its own with a 2D kernel"
        )
    for axis, n, off in zip("zyx"[-psf.ndim :], psf.shape, _off_centre(psf), strict=True):
        if abs(off) > n / 4:
            raise ValueError(
                f"psf: expected its light around the middle, got it {off:+.1f} pixels off along {axis} in "
                f"shape {psf.shape}; shift it there with numpy.roll, or with numpy.fft.fftshift if its "
                "centre lies in the corner"
            )


def check_sampling(psf: Image | np.ndarray, image: Image) -> None:
    """Raise ValueError if a kernel says that its voxels are of another size than the image's.

    Examples
    --------
    >>> kernel, stack = np.ones((3, 3, 3)), np.eye(20)[:, None] * np.ones((20, 20))
    >>> check_sampling(Image(kernel, "ZYX", (0.2, 0.1, 0.1)), Image(stack, "ZYX", (0.5, 0.1, 0.1)))
    Traceback (most recent call last):
    ...
    ValueError: psf: expected voxels of 0.5 um along z, as the image has, got 0.2; compute or resample ...
    """
    sizes = getattr(psf, "voxel_size", None), image.voxel_size
    if None in sizes:
        return
    for axis, ours, theirs in zip(image.axes, *sizes, strict=True):
        if ours and theirs and abs(ours / theirs - 1) > 0.05:
            raise ValueError(
                f"psf: expected voxels of {theirs:g} um along {axis.lower()}, as the image has, got "
                f"{ours:g}; compute or resample it for these voxels, or pass numpy.asarray(psf) if the "
                "file is wrong"
            )


def _off_centre(psf: np.ndarray) -> list[float]:
    """Return how far from the middle the light lies along each axis, in pixels.

    By the centre of mass; where the light is narrow, on a periodic axis, by the phase of its first
    harmonic: a spot that is split between both ends has its mass in the middle and lies at the end.
    """
    offsets = []
    for axis, n in enumerate(psf.shape):
        profile = psf.sum(axis=tuple(a for a in range(psf.ndim) if a != axis)) / psf.sum()
        place = np.arange(n) - (n - 1) / 2
        harmonic = np.sum(profile * np.exp(2j * np.pi * place / n))
        narrow = n > 3 and abs(harmonic) > 0.5
        offsets.append(
            float(np.angle(harmonic) * n / (2 * np.pi) if narrow else np.sum(profile * place))
        )
    return offsets
