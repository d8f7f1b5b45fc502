"""What a user's kernel needs: real, finite, not negative, of sum 1, in the middle."""

import warnings

import numpy as np
from torch import Tensor

from siamdecon.expect import Words, expect


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
    shape = Words(f"shape {psf.shape}")
    axes = f"{n_dim or '2 or 3'} axes" + ", as the image has" * (n_dim is not None)
    mend = "a 3D image needs a 3D kernel, and a 2D image one plane of it"
    good = psf.ndim in (2, 3) if n_dim is None else psf.ndim == n_dim
    expect(good, "psf", axes, shape, mend if n_dim else "")
    real = psf.dtype.kind in "buif"
    expect(real, "psf", "real numbers", Words(f"dtype {psf.dtype}"))
    psf = psf.astype(np.float64)
    finite = psf.size > 0 and bool(np.isfinite(psf).all())
    expect(finite, "psf", "finite values", Words(f"NaN, infinity or nothing in {psf.shape}"))
    mend = "subtract the background of a measured kernel and clip it at 0"
    least = Words(f"a minimum of {psf.min():.3g}")
    expect(psf.min() >= 0, "psf", "values of 0 or more", least, mend)
    total = psf.sum()
    expect(total > 0, "psf", "a positive sum", Words("a kernel that is 0 everywhere"))
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
        kept = [min(n, m - (m - n) % 2) for n, m in zip(psf.shape, shape, strict=True)]
        pairs = zip(psf.shape, kept, strict=True)
        crop = ", ".join(f"{(n - k) // 2}:{n - (n - k) // 2}" if k < n else ":" for n, k in pairs)
        mend = f"crop it around its centre, psf[{crop}], and check that little light is cut off"
        expect(False, "psf", f"at most the image's shape {shape}", psf.shape, mend)
    mend = (
        "such a kernel carries no light between planes; compute more of them (Microscope(planes=...)), "
        "or restore each plane on its own with a 2D kernel"
    )
    enough = psf.ndim == 2 or psf.shape[0] >= 3
    expect(enough, "psf", "3 planes or more for a volume", Words(f"shape {psf.shape}"), mend)
    mend = "shift it there with numpy.roll, or with numpy.fft.fftshift if its centre lies in the corner"
    for axis, n, off in zip("zyx"[-psf.ndim :], psf.shape, _off_centre(psf), strict=True):
        found = Words(f"it {off:+.1f} pixels off along {axis} in shape {psf.shape}")
        expect(abs(off) <= n / 4, "psf", "its light around the middle", found, mend)


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
