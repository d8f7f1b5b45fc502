"""A measurement and its kernel, checked and scaled once; the rest of the package relies on that."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import Words, expect, expect_unit_range
from siamdecon.files.images import Image
from siamdecon.files.on_disk import LargeImage, Window, look_through
from siamdecon.hardware import pick_device, to_array, to_tensor
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import check_psf_fits


@dataclass(frozen=True, eq=False)
class Problem:
    """A deconvolution problem: a measurement in [0, 1], the kernel that blurred it, a device and a seed.

    Parameters
    ----------
    x : Tensor or LargeImage, shape ([z,] y, x)
        The measurement, scaled to [0, 1]: in memory, or read from a file window by window. The two have
        in common `shape`, `dtype`, indexing by a window, `mean` and `std`.
    psf : ndarray, shape ([z,] y, x)
        The kernel, with sum 1.
    source : Image
        The measurement in its own units.
    device : torch.device
    low, high : float
        The values of the source that are 0 and 1 in `x`.
    sample : tuple of slice
        The window that noise and contrast are estimated in; the whole of an image in memory.
    seed : int
        Seed of all random numbers.
    sha256 : str, optional
        Checksum of the source's pixels, if it is known already.

    Examples
    --------
    >>> problem = Problem.look(np.array([[90, 100], [100, 110]]), np.ones((1, 1)))
    >>> problem.x[0], problem.restored_scale(0.5)
    (tensor([0.0000, 0.5000]), 100.0)
    """

    x: Tensor | LargeImage
    psf: np.ndarray
    source: Image
    device: torch.device
    low: float = 0.0
    high: float = 1.0
    sample: Window = (slice(None),)
    seed: int = 0
    sha256: str | None = None

    shape = property(lambda self: tuple(self.x.shape))
    ndim = property(lambda self: len(self.shape))
    voxel_size = property(lambda self: self.source.voxel_size)

    @classmethod
    def look(cls, image, psf, *, device=None, seed: int = 0) -> Self:
        """Take an image in memory, array or `Image`; scale it to [0, 1] unless it fills that already.

        Raises
        ------
        ValueError
            If image or kernel can't be used, or do not fit each other.
        """
        pixels = check_image(image)
        source = image if isinstance(image, Image) else _without_metadata(np.asarray(image))
        kernel = _kernel(psf, source)
        low, high = value_range(source, float(source.data.min()), float(source.data.max()))
        x = to_tensor((pixels - low) / (high - low), device)[0, 0]  # ([z,] y, x)
        return cls(x, kernel, source, x.device, low, high, seed=seed)

    @classmethod
    def as_it_is(cls, image, psf, *, device=None, limited: bool = True, mend: str = "") -> Self:
        """Take an array that is scaled to [0, 1] already, apart from some noise if it is `limited`."""
        pixels = check_image(image)
        if limited:
            expect_unit_range(pixels, mend=mend)
        kernel = PSFConvolution(psf, pixels.ndim).psf.numpy()
        x = to_tensor(pixels, device)[0, 0]  # ([z,] y, x)
        return cls(x, kernel, _without_metadata(pixels), x.device)

    @classmethod
    def on_disk(cls, source: Image, psf, *, device=None, seed: int = 0) -> Self:
        """Scan an image on disk once, slab by slab; see `siamdecon.files.on_disk`."""
        kernel = _kernel(psf, source)
        found = look_through(source, value_range)
        rest = (found.low, found.high, found.lively, seed, found.sha256)
        return cls(found, kernel, source, pick_device(device), *rest)

    @property
    def whole(self) -> Tensor:
        """The whole measurement, in memory, shape (1, 1, [z,] y, x)."""
        return self.x[None, None]

    def seen(self) -> np.ndarray:
        """Return the window that noise and contrast are estimated in."""
        return to_array(self.x[self.sample][None, None])

    def restored_scale(self, estimate: np.ndarray) -> np.ndarray:
        """Return an estimate in the units of the source."""
        return estimate * (self.high - self.low) + self.low

    def identity(self) -> bytes:
        """Return bytes that identify this measurement, for the key of a checkpoint."""
        return self.sha256.encode() if self.sha256 else to_array(self.whole).tobytes()

    def describe(self) -> dict:
        """Describe image and kernel by shape and checksum, so that a result can be matched to them."""
        source, path = self.source, self.source.path and str(self.source.path)
        sha256 = self.sha256 or _sha256(source.data, source.dtype)
        image = {"path": path, "sha256_of_pixels": sha256, "shape": list(source.shape)}
        psf = {"sha256_of_values": _sha256(self.psf, "<f8"), "shape": list(self.psf.shape)}
        return {"image": image | {"dtype": str(source.dtype)}, "psf": psf}


def value_range(image: Image, low: float, high: float) -> tuple[float, float]:
    """Return the values that become 0 and 1, for an image from `low` to `high`.

    Floats that fill [0, 1] stay as they are.

    Examples
    --------
    >>> value_range(Image(np.zeros((2, 2), np.uint16), "YX"), 90, 4000)
    (90, 4000)
    >>> value_range(Image(np.zeros((2, 2), np.float32), "YX"), 0.02, 0.9)
    (0.0, 1.0)
    """
    fills = image.dtype.kind == "f" and 0 <= low and 0.5 < high <= 1
    return (0.0, 1.0) if fills else (low, high)


def check_image(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Return an image or volume as a contiguous float32 array, after checking that it can be restored.

    Parameters
    ----------
    image : array, shape ([z,] y, x)
        Grey values of any real dtype.
    name : str
        The name in the error message.

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
    shape, grey = Words(f"shape {image.shape}"), "grey values (y, x) or (z, y, x)"
    colour = image.ndim == 3 and image.shape[-1] in (3, 4) and min(image.shape[:2]) > 4
    mend = "take one channel, image[..., 0], or convert it with skimage.color.rgb2gray"
    expect(not colour, name, grey, Words(f"{shape}, which looks like colour"), mend)
    mend = "pick one channel and one time point, for example image[0]"
    expect(image.ndim in (2, 3) and image.size > 0, name, grey, shape, mend)
    expect(image.dtype.kind in "buif", name, "real numbers", Words(f"dtype {image.dtype}"))
    image = np.ascontiguousarray(image, dtype=np.float32)
    bad = image.size - np.count_nonzero(np.isfinite(image))
    found = Words(f"{bad} NaN or infinite pixels of {image.size}")
    mend = "replace them, for example with numpy.nan_to_num or a median of their neighbours"
    expect(not bad, name, "finite values", found, mend)
    if image.min() == image.max():
        raise ValueError(f"{name}: every pixel is {image.flat[0]:.6g}; there is nothing to restore")
    return image


def check_sampling(psf: Image | np.ndarray, image: Image) -> None:
    """Raise ValueError if the voxel size of a kernel is known and differs from the image's.

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
    mend = "compute or resample it for those, or pass numpy.asarray(psf) if the file is wrong"
    for axis, ours, theirs in zip(image.axes, *sizes, strict=True):
        if ours and theirs:
            voxels = f"voxels of {theirs:g} um along {axis.lower()}, as the image has"
            expect(abs(ours / theirs - 1) <= 0.05, "psf", voxels, Words(f"{ours:g}"), mend)


def _without_metadata(pixels: np.ndarray) -> Image:
    return Image(pixels, "ZYX"[-pixels.ndim :])


def _sha256(values: np.ndarray, dtype: np.dtype | str) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype)).hexdigest()


def _kernel(psf, source: Image) -> np.ndarray:
    """Return the kernel, checked against the image that it belongs to."""
    kernel = PSFConvolution(psf, source.ndim).psf.numpy()
    check_psf_fits(kernel, source.shape)
    check_sampling(psf, source)
    return kernel
