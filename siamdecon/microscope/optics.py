"""The optics of a microscope, as far as they shape its point-spread function."""

import math
import numbers
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Microscope:
    """The optics that shape a kernel; lengths in micrometres.

    The defaults are the paper's 0.8 NA, 16x water-dipping objective (Section 3).

    Parameters
    ----------
    na : float
        Numerical aperture of the objective, above 0 and below `index`.
    wavelength : float
        Emission wavelength in vacuum.
    index : float
        Refractive index of the immersion medium (1.0 air, 1.33 water, 1.518 oil).
    pixel_size : float
        Lateral sampling, in the plane of the sample.
    z_step : float
        Distance between the planes of a 3D kernel.
    size, planes : int
        Odd number of pixels along y and x, and of planes along z (3D only).
    defocus : float
        Position of the 2D kernel's plane, or of the 3D kernel's centre plane; 0 is in focus.
    magnification : float
        Lateral magnification M; the aperture in the sample is NA M / sqrt(M^2 + NA^2).
    sample_index : float, optional
        Refractive index of the sample; equal to `index` unless given.
    depth : float
        Depth of the emitter below the coverslip; matters only where the two indices differ.

    Raises
    ------
    ValueError
        If a field can't describe a microscope; the message names the field.

    Examples
    --------
    >>> Microscope(na=0.8, wavelength=0.52, index=1.33, pixel_size=0.2, defocus=1.0).size
    17
    >>> Microscope(na=1.4, index=1.33)
    Traceback (most recent call last):
    ...
    ValueError: na: expected a numerical aperture between 0 and the refractive index 1.33, got 1.4; ...
    """

    na: float = 0.8
    wavelength: float = 0.6
    index: float = 1.33
    pixel_size: float = 0.406
    z_step: float = 0.406
    size: int = 17
    planes: int = 17
    defocus: float = 0.0
    magnification: float = 16.0
    sample_index: float | None = None
    depth: float = 0.0

    def __post_init__(self):
        lengths = ("wavelength", "pixel_size", "z_step", "magnification")
        for name in (*lengths, "na", "index", "defocus", "depth", "sample_index"):
            value = getattr(self, name)
            if name == "sample_index" and value is None:
                continue
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {value!r}")
        for name in lengths:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        for name in ("wavelength", "pixel_size"):
            if getattr(self, name) > 20:
                raise ValueError(
                    f"{name}: expected micrometres, got {getattr(self, name)}; is this in nanometres?"
                )
        if self.index < 1:
            raise ValueError(f"index: expected a refractive index of at least 1, got {self.index}")
        if self.sample_index is not None and self.sample_index < 1:
            raise ValueError(f"sample_index: expected at least 1, got {self.sample_index}")
        if self.depth < 0:
            raise ValueError(f"depth: expected 0 or more micrometres, got {self.depth}")
        limit = min(self.index, self.sample_index or self.index)
        if not 0 < self.na < limit:
            raise ValueError(
                f"na: expected a numerical aperture between 0 and the refractive index {limit}, "
                f"got {self.na}; is the immersion (1.0 air, 1.33 water, 1.518 oil) the right one?"
            )
        for name in ("size", "planes"):
            value = getattr(self, name)
            if (
                not isinstance(value, numbers.Integral)
                or value is True
                or value < 1
                or value % 2 == 0
            ):
                raise ValueError(
                    f"{name}: expected an odd number of samples, so that the kernel has a centre, "
                    f"got {value!r}"
                )

    def z_positions(self, n_dim: int) -> np.ndarray:
        """Distance of each plane of an `n_dim` kernel from the focus, in um, shape (planes,)."""
        if n_dim not in (2, 3):
            raise ValueError(f"n_dim: expected 2 or 3, got {n_dim!r}")
        planes = self.planes if n_dim == 3 else 1
        return self.defocus + self.z_step * (np.arange(planes) - planes // 2)

    def radii(self) -> np.ndarray:
        """Distance of each pixel from the optical axis, in um, shape (size, size)."""
        offset = self.pixel_size * (np.arange(self.size) - self.size // 2)
        return np.hypot(offset[:, None], offset[None, :])
