"""A measurement and its kernel: looked at once, put on one scale; everything below trusts it."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import Words, expect, expect_unit_range
from siamdecon.files.images import Image
from siamdecon.files.on_disk import Window, look_through
from siamdecon.hardware import pick_device, to_array, to_tensor
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import check_psf_fits


class Pixels(Protocol):
    """Pixels in [0, 1], wherever they lie: a tensor in memory, or what reads windows from a disk."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __getitem__(self, window: Window) -> Tensor:
        """Return a window, float32, shape ([z,] y, x)."""

    def mean(self) -> float:
        """Return the mean of all pixels."""

    def std(self) -> float:
        """Return their standard deviation."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be solved: a measurement in [0, 1], the kernel that blurred it, and where to compute.

    Parameters
    ----------
    x : Pixels, shape ([z,] y, x)
        The measurement, on the scale of [0, 1].
    psf : ndarray, shape ([z,] y, x)
        The kernel, with sum 1.
    source : Image
        The measurement as it came.
    low, high : float
        The values of the source that are 0 and 1 in `x`.
    sample : tuple of slice
        The window that noise and contrast are estimated in: all of an image in memory.
    sha256 : str, optional
        Of the source's pixels, where it is known already.
    device : torch.device
    seed : int
        Of everything random.

    Examples
    --------
    >>> problem = Problem.look(np.array([[90, 100], [100, 110]]), np.ones((1, 1)))
    >>> problem.x[0], problem.restored_scale(0.5)
    (tensor([0.0000, 0.5000]), 100.0)
    """

    x: Pixels
    psf: np.ndarray
    source: Image
    low: float
    high: float
    sample: Window
    device: torch.device
    seed: int = 0
    sha256: str | None = None

    shape = property(lambda self: tuple(self.x.shape))
    ndim = property(lambda self: len(self.shape))
    voxel_size = property(lambda self: self.source.voxel_size)

    @classmethod
    def look(cls, image, psf, *, device=None, seed: int = 0) -> "Problem":
        """Look at an image in memory, array or `Image`; scale it to [0, 1] unless it fills that already.

        Raises
        ------
        ValueError
            If image or kernel can't be used, or do not fit each other.
        """
        pixels = check_image(image)
        plain = np.asarray(image)
        source = image if isinstance(image, Image) else Image(plain, "ZYX"[-pixels.ndim :])
        kernel = _kernel(psf, source)
        low, high = value_range(source, float(source.data.min()), float(source.data.max()))
        return cls._in_memory(
            (pixels - low) / (high - low), kernel, source, low, high, device, seed
        )

    @classmethod
    def as_it_is(
        cls, image, psf, *, device=None, limited: bool = True, mend: str = ""
    ) -> "Problem":
        """Look at an array that is on the scale of [0, 1] already, give or take some noise."""
        pixels = check_image(image)
        if limited:
            expect_unit_range(pixels, mend=mend)
        kernel = PSFConvolution(psf, pixels.ndim).psf.numpy()
        source = Image(pixels, "ZYX"[-pixels.ndim :])
        return cls._in_memory(pixels, kernel, source, 0.0, 1.0, device)

    @classmethod
    def on_disk(cls, source: Image, psf, *, device=None, seed: int = 0) -> "Problem":
        """Look through an image on disk once, window by window; see `siamdecon.files.on_disk`."""
        kernel = _kernel(psf, source)
        found = look_through(source, value_range)
        low, high = found.low, found.high
        rest = (found.lively, pick_device(device), seed, found.sha256)
        return cls(found, kernel, source, low, high, *rest)

    @classmethod
    def _in_memory(cls, pixels, psf, source, low, high, device, seed=0) -> "Problem":
        x = to_tensor(pixels, device)[0, 0]  # ([z,] y, x)
        everything = (slice(None),) * len(x.shape)
        return cls(x, psf, source, low, high, everything, x.device, seed)

    @property
    def whole(self) -> Tensor:
        """All of the measurement, shape (1, 1, [z,] y, x)."""
        return self.x[(slice(None),) * self.ndim][None, None]

    def seen(self) -> np.ndarray:
        """Return the window that noise and contrast are estimated in."""
        return to_array(self.x[self.sample][None, None])

    def restored_scale(self, estimate: np.ndarray) -> np.ndarray:
        """Return an estimate in the units of the source."""
        return estimate * (self.high - self.low) + self.low

    def identity(self) -> bytes:
        """Return what tells this measurement from others, for a checkpoint."""
        return self.sha256.encode() if self.sha256 else to_array(self.whole).tobytes()

    def describe(self) -> dict:
        """Describe image and kernel by shape and checksum, so that a result can be matched to them."""
        source, psf = self.source, self.psf
        sha256 = self.sha256
        if sha256 is None:
            sha256 = hashlib.sha256(np.ascontiguousarray(source.data, source.dtype)).hexdigest()
        return {
            "image": {
                "path": str(source.path) if source.path else None,
                "sha256_of_pixels": sha256,
                "shape": list(source.shape),
                "dtype": str(source.dtype),
            },
            "psf": {
                "sha256_of_values": hashlib.sha256(psf.astype("<f8").tobytes()).hexdigest(),
                "shape": list(psf.shape),
            },
        }


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
    if image.dtype.kind == "f" and 0 <= low and 0.5 < high <= 1:
        return 0.0, 1.0
    return low, high


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
    shape, grey = Words(f"shape {image.shape}"), "grey values (y, x) or (z, y, x)"
    colour = image.ndim == 3 and image.shape[-1] in (3, 4) and min(image.shape[:2]) > 4
    if colour:
        shape = Words(f"{shape}, which looks like colour")
    mend = "take one channel, image[..., 0], or convert it with skimage.color.rgb2gray"
    expect(not colour, name, grey, shape, mend)
    mend = "pick one channel and one time point, for example image[0]"
    expect(image.ndim in (2, 3) and image.size > 0, name, grey, shape, mend)
    real = image.dtype.kind in "buif"
    expect(real, name, "real numbers", Words(f"dtype {image.dtype}"))
    image = np.ascontiguousarray(image, dtype=np.float32)
    bad = image.size - np.count_nonzero(np.isfinite(image))
    found = Words(f"{bad} NaN or infinite pixels of {image.size}")
    mend = "replace them, for example with numpy.nan_to_num or a median of their neighbours"
    expect(not bad, name, "finite values", found, mend)
    if image.min() == image.max():
        raise ValueError(f"{name}: every pixel is {image.flat[0]:.6g}; there is nothing to restore")
    return image


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
    mend = (
        "compute or resample it for these voxels, or pass numpy.asarray(psf) if the file is wrong"
    )
    for axis, ours, theirs in zip(image.axes, *sizes, strict=True):
        if ours and theirs:
            voxels = f"voxels of {theirs:g} um along {axis.lower()}, as the image has"
            expect(abs(ours / theirs - 1) <= 0.05, "psf", voxels, Words(f"{ours:g}"), mend)


def _kernel(psf, source: Image) -> np.ndarray:
    """Return the kernel, checked against the image that it belongs to."""
    kernel = PSFConvolution(psf, source.ndim).psf.numpy()
    check_psf_fits(kernel, source.shape)
    check_sampling(psf, source)
    return kernel
