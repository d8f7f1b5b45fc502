"""A measurement and its kernel, checked and scaled once; the rest of the package relies on that."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Real
from typing import Self

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import NO_ZEROS, Words, expect, expect_seed, expect_unit_range, warn
from siamdecon.files.images import Image
from siamdecon.files.on_disk import LargeImage, Window, look_through
from siamdecon.hardware import as_array, pick_device, to_array, to_tensor
from siamdecon.microscope.camera import far_out, standing_out, unmeasured
from siamdecon.microscope.kernel import check_psf, prepare_psf
from siamdecon.microscope.noise import Noise, both_or_one, clipping, estimate_noise


@dataclass(frozen=True, eq=False)
class Problem:
    """A deconvolution problem: a measurement in [0, 1], the kernel that blurred it, a device and a seed.

    Parameters
    ----------
    x : Tensor or LargeImage, shape ([z,] y, x)
        The measurement, scaled to [0, 1]: in memory, or read from a file window by window. The two have
        in common `shape`, indexing by a window, `mean` and `std`.
    psf : ndarray, shape ([z,] y, x)
        The kernel, with sum 1.
    source : Image
        The measurement in its own units.
    device : torch.device
    low, high : float
        The values of the source that are 0 and 1 in `x`: the lowest and the highest, defective pixels
        left out, unless the user has said at which the camera cuts.
    sample : tuple of slice
        The window that noise and contrast are estimated in; the whole of an image in memory.
    seed : int
        Seed of all random numbers.
    sha256 : str, optional
        Checksum of the source's pixels, if it is known already.
    defects : int
        Number of pixels that are left out, the median of their neighbours in their place.
    cut : bool, "black" or "white", optional
        Where the camera cuts, as `Noise.clip` says it; found unless given.
    psf_credit : str, optional
        Where the kernel comes from, if it is an `Image` that says so.

    Examples
    --------
    >>> problem = Problem.look(np.array([[90, 100], [100, 110]]), np.ones((1, 1)))
    >>> problem.x[0], float(problem.restored_scale(0.5))
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
    defects: int = 0
    cut: bool | str | None = None
    psf_credit: str | None = None

    shape = property(lambda self: tuple(self.x.shape))
    ndim = property(lambda self: len(self.shape))
    voxel_size = property(lambda self: self.source.voxel_size)

    @classmethod
    def look(cls, image, psf, **how) -> Self:
        """Take an image in memory, array or `Image`; the rest is as for `on_disk`.

        Raises
        ------
        ValueError
            If image, kernel, seed or limits can't be used, or do not fit each other.
        """
        pixels = check_grey(image)
        source = image if isinstance(image, Image) else _without_metadata(pixels)
        found = cls.on_disk(source, psf, **how)
        x = found.x.whole()
        for finding in unmeasured(x.numpy()):
            warn(f"image: {finding}")
        return replace(found, x=x.to(found.device), sample=(slice(None),))

    @classmethod
    def as_it_is(cls, image, psf, *, device=None, limited: bool = True, mend: str = "") -> Self:
        """Take an array that is scaled to [0, 1] already, apart from some noise if it is `limited`."""
        pixels = check_image(image)
        if limited:
            expect_unit_range(pixels, mend=mend)
        kernel = check_psf(psf, pixels.ndim)
        x = to_tensor(pixels, pick_device(device))[0, 0]  # ([z,] y, x)
        cut = True if limited else None
        return cls(x, kernel, _without_metadata(pixels), x.device, cut=cut)

    @classmethod
    def on_disk(
        cls,
        source: Image,
        psf,
        *,
        device=None,
        seed: int = 0,
        limits=None,
        center_psf: bool = False,
        subtract_psf_background: bool = False,
    ) -> Self:
        """Scan an image, in memory or on disk, once, slab by slab; see `siamdecon.files.on_disk`."""
        expect_seed(seed)
        device = pick_device(device)
        how = {"center": center_psf, "subtract_background": subtract_psf_background}
        kernel, findings = prepare_psf(psf, source.shape, **how)
        check_sampling(psf, source)
        for finding in findings:
            warn(f"psf: {finding}")
        step = 1.0 if source.dtype.kind in "bui" else 0.0
        find = partial(standing_out, psf=kernel, step=step)
        levels = _checked(limits)
        found = look_through(source, levels, find, far_out)
        if n := found.instead.size:
            first = tuple(int(i) for i in found.defects[:, 0])
            warn(
                f"image: {n} of {source.data.size} pixels stand out as defects do, the first at {first} with "
                f"{source.data[first]:.6g}; the median of its neighbours takes the place of each"
            )
        if found.beyond > source.data.size / 100:
            share = f"{found.beyond / source.data.size:.0%} of its pixels lie beyond {limits}"
            mend = "a camera gives no value beyond the levels that it cuts at"
            warn(f"limits: {share}, which cut the estimate; {mend}")
        # an end that no pixel is near is not cut
        ends = zip(levels, (found.low, found.high), strict=True)
        cut = None if limits is None else both_or_one(*(a == b for a, b in ends))
        rest = (found.low, found.high, found.lively, int(seed), found.sha256, n, cut)
        rest += (getattr(psf, "credit", None),)
        return cls(found, kernel, source, device, *rest)

    @cached_property
    def clipping(self) -> bool | str:
        """Where the measurement is cut, as `Noise.clip` says it: as declared, else as its noise shows."""
        return clipping(self.seen()) if self.cut is None else self.cut

    @property
    def bounded(self) -> bool:
        """Whether the estimate lies in [0, 1], too: where the measurement is cut at both ends.

        Elsewhere blur lowers peaks: restored, they may rise above the brightest value measured.
        """
        return self.clipping is True

    def noise_seen(self) -> Noise | None:
        """Return the noise of a measurement that was clipped, read off it; None for any other."""
        return estimate_noise(self.seen(), self.clipping)

    @property
    def whole(self) -> Tensor:
        """The whole measurement, in memory, shape (1, 1, [z,] y, x)."""
        return self.x[None, None]

    def seen(self) -> np.ndarray:
        """Return the window that noise and contrast are estimated in."""
        return to_array(self.x[self.sample][None, None])

    def restored_scale(self, estimate: np.ndarray) -> np.ndarray:
        """Return an estimate in the units of the source."""
        return np.asarray(estimate, np.float64) * (self.high - self.low) + self.low

    @property
    def result_dtype(self) -> type:
        """float32; float64 if that has steps of more than 1e-4 of the range, as far above 0 as the image."""
        step = np.spacing(np.float32(max(abs(self.low), abs(self.high))))
        return np.float32 if step < 1e-4 * (self.high - self.low) else np.float64

    def identity(self) -> bytes:
        """Return bytes that identify this measurement and its scale, for the key of a checkpoint."""
        pixels = self.sha256.encode() if self.sha256 else to_array(self.whole).tobytes()
        return repr((self.shape, self.low, self.high, self.defects)).encode() + pixels

    def describe(self) -> dict:
        """Describe image and kernel by shape and checksum, so that a result can be matched to them."""
        source, path = self.source, self.source.path and str(self.source.path)
        image = {"path": path, "sha256_of_pixels": self.sha256, "shape": list(source.shape)}
        values = hashlib.sha256(np.ascontiguousarray(self.psf, "<f8")).hexdigest()
        psf = {"sha256_of_values": values, "shape": list(self.psf.shape)}
        psf |= {"credit": self.psf_credit} if self.psf_credit else {}
        return {"image": image | {"dtype": str(source.dtype)}, "psf": psf}


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
        If it is none (see `check_grey`), is constant, or holds NaN or infinite values.

    Examples
    --------
    >>> check_image(np.eye(2, dtype=np.uint8)).dtype
    dtype('float32')
    """
    image = np.ascontiguousarray(check_grey(image, name), dtype=np.float32)
    bad = image.size - np.count_nonzero(np.isfinite(image))
    found = Words(f"{bad} NaN or infinite pixels of {image.size}")
    expect(not bad, name, "finite values", found, NO_ZEROS)
    if image.min() == image.max():
        raise ValueError(f"{name}: every pixel is {image.flat[0]:.6g}; there is nothing to restore")
    return image


def check_grey(image, name: str = "image") -> np.ndarray:
    """Return an array of grey values in its own dtype, or raise ValueError.

    Anything that NumPy can read is taken: tensors, xarray, Dask. A masked array is refused, as its mask
    would be lost.

    Raises
    ------
    ValueError
        If it has another number of axes (colour and time among them), is empty, masked or complex.

    Examples
    --------
    >>> check_grey(torch.eye(2)).shape
    (2, 2)
    >>> check_grey(np.zeros((64, 64, 3)))
    Traceback (most recent call last):
    ...
    ValueError: image: expected grey values (y, x) or (z, y, x), got shape (64, 64, 3), which looks ...
    """
    image = as_array(image, name)
    shape, grey = Words(f"shape {image.shape}"), "grey values (y, x) or (z, y, x)"
    colour = image.ndim == 3 and image.shape[-1] in (3, 4) and min(image.shape[:2]) > 4
    mend = "take one channel, image[..., 0], or convert it with skimage.color.rgb2gray"
    expect(not colour, name, grey, Words(f"{shape}, which looks like colour"), mend)
    mend = "pick one channel and one time point, for example image[0]"
    expect(image.ndim in (2, 3) and image.size > 0, name, grey, shape, mend)
    return image


def _checked(limits) -> tuple[float | None, float | None]:
    """Return the values at which the camera cuts, or raise ValueError."""
    if limits is None:
        return None, None
    form = "two numbers, black below white, such as (0, 4095); None where the camera does not cut"
    limits = limits.tolist() if hasattr(limits, "tolist") else limits  # of an array or a tensor
    pair = isinstance(limits, Sequence) and len(limits) == 2
    numbers = pair and all(v is None or (isinstance(v, Real) and np.isfinite(v)) for v in limits)
    expect(numbers and (None in limits or limits[0] < limits[1]), "limits", form, limits)
    return tuple(None if v is None else float(v) for v in limits)


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
