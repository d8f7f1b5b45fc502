"""Point-spread functions: three models that compute a convolution kernel from a `Microscope`.

`gibson_lanni` is the scalar model that the paper calls "Richards & Wolf"; `richards_wolf` is the
vectorial model known by that name; `gaussian` is the usual approximation of the in-focus spot.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import j0, j1, jv

from siamdecon.expect import Words, expect, is_number, is_whole

#: Plausible lengths in um; others are in another unit.
_LENGTHS = {
    "wavelength": (0.1, 20),
    "pixel_size": (0.001, 100),
    "z_step": (0.001, 100),
    "defocus": (-100, 100),
    "depth": (0, 1000),
}
#: Plausible distance of a plane from the middle one, in wavelengths: time grows with it, a node a radian.
_REACH = 5000
#: Side of the kernel that counts as having all light.
_WHOLE = 255
#: A kernel ends along z where its light on the axis stays below this share of the brightest.
_DIM = 0.002


@dataclass(frozen=True)
class Microscope:
    """The optical parameters that determine a kernel; lengths in micrometres.

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
        Axial sampling: the distance between the planes of a 3D kernel.
    size, planes : int
        Odd number of pixels along y and x, and of planes along z (3D only).
    defocus : float
        Position of the 2D kernel's plane, or of the 3D kernel's centre plane; 0 is in focus.
    magnification : float
        Lateral magnification; the aperture in the sample is NA / sqrt(1 + (NA / magnification)^2).
    sample_index : float, optional
        Refractive index of the sample; equal to `index` unless given.
    depth : float
        Depth of the emitter below the coverslip; it has an effect only if the two indices differ.

    Raises
    ------
    ValueError
        If a value is physically impossible; the message names the field.

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
        for name, value in vars(self).items():
            if name in ("size", "planes"):
                odd = is_whole(value) and value > 0 and value % 2
                expected = "an odd number of samples, so that the kernel has a centre"
                expect(odd, name, expected, value)
            elif name != "sample_index" or value is not None:
                expect(is_number(value), name, "a finite number", value)
        expect(self.magnification > 0, "magnification", "a positive number", self.magnification)
        for name, (least, most) in _LENGTHS.items():
            value = getattr(self, name)
            length = f"a length of {least:g} to {most:g} um"
            expect(
                least <= value <= most, name, length, value, "is it in nanometres, or in metres?"
            )
        most = _REACH * self.wavelength / max(self.planes // 2, 1)
        steps = (
            f"steps of at most {most:g} um for {self.planes} planes, to {_REACH} wavelengths away"
        )
        found = Words(f"{self.z_step:g} um with a wavelength of {self.wavelength:g} um")
        expect(self.z_step <= most, "z_step", steps, found, "are both in micrometres?")
        sample_index = self.index if self.sample_index is None else self.sample_index
        for name, value in (("index", self.index), ("sample_index", sample_index)):
            expect(1 <= value <= 5, name, "a refractive index of 1 to 5", value)
        limit = min(self.index, sample_index)
        expected = f"a numerical aperture between 0 and the refractive index {limit}"
        mend = "is the immersion (1.0 air, 1.33 water, 1.518 oil) the right one?"
        expect(0 < self.na < limit, "na", expected, self.na, mend)

    def z_positions(self, n_dim: int) -> np.ndarray:
        """Distance of each plane of an `n_dim` kernel from the focus, in um, shape (planes,)."""
        expect(n_dim in (2, 3), "n_dim", "2 or 3", n_dim)
        planes = self.planes if n_dim == 3 else 1
        return self.defocus + self.z_step * (np.arange(planes) - planes // 2)

    def radii(self) -> np.ndarray:
        """Distance of each pixel from the optical axis, in um, shape (size, size)."""
        offset = self.pixel_size * (np.arange(self.size) - self.size // 2)
        return np.hypot(offset[:, None], offset[None, :])


def gibson_lanni(microscope: Microscope, n_dim: int = 2) -> np.ndarray:
    r"""Scalar model of Gibson and Lanni: diffraction by a circular pupil with a defocus phase.

    .. math::
        k(p, z) \propto \Big| \int_0^1 J_0(\kappa\, \mathrm{NA}'\,\rho\,p)\,
        e^{\mathrm{i} \kappa\,\mathrm{OPD}(\rho, z)} \rho\,d\rho \Big|^2,
        \quad \mathrm{OPD} = z\, \gamma(\mathrm{index})
        + \mathrm{depth} \Big( \gamma(\mathrm{sample})
        - \tfrac{\mathrm{index}}{\mathrm{sample}} \gamma(\mathrm{index}) \Big)

    with kappa = 2 pi / wavelength, gamma(index) = sqrt(index^2 - NA^2 rho^2), and NA' the aperture in the
    sample. The coverslip is assumed to have its design thickness, so its terms cancel. As in the paper's
    code, the radial profile is computed every half pixel and interpolated linearly.

    Parameters
    ----------
    microscope : Microscope
        The optics.
    n_dim : int
        2 for the plane at `microscope.defocus`, 3 for the stack of planes around it.

    Returns
    -------
    psf : ndarray of float64, shape (size, size) or (planes, size, size)
        Non-negative, with sum 1.

    References
    ----------
    Gibson, Lanni, "Experimental test of an analytical model of aberration in an oil-immersion
    objective lens", JOSA A 8 (1991). Section 3 of the paper. Introduced in notebook 01.

    Examples
    --------
    >>> psf = gibson_lanni(Microscope(defocus=0.0))
    >>> psf.shape, bool(psf.argmax() == psf.size // 2)
    ((17, 17), True)
    """
    m, k = microscope, 2 * np.pi / microscope.wavelength
    aperture = m.na * m.magnification / math.hypot(m.magnification, m.na)
    z = m.z_positions(n_dim)
    # half a pixel beyond the corner, so that interpolation never extrapolates
    r = np.arange(0, m.radii().max() + m.pixel_size, m.pixel_size / 2)

    rho, weight = _quadrature(k * m.na * r.max() + k * np.abs(z).max() * m.index + k * m.depth)
    n, n_s = m.index, m.sample_index or m.index
    in_immersion = np.sqrt(n**2 - (m.na * rho) ** 2)
    in_sample = np.sqrt(n_s**2 - (m.na * rho) ** 2)
    path = z[:, None] * in_immersion + m.depth * (in_sample - n / n_s * in_immersion)  # (z, rho)
    pupil = np.exp(1j * k * path) * rho * weight  # (z, rho)
    intensity = np.abs(pupil @ j0(k * aperture * np.outer(rho, r))) ** 2  # (z, r)
    return _kernel(m, n_dim, lambda radii: [np.interp(radii, r, plane) for plane in intensity])


def richards_wolf(microscope: Microscope, n_dim: int = 2) -> np.ndarray:
    r"""Vectorial model of Richards and Wolf for unpolarised light, exact at high aperture.

    .. math::
        k(p, z) \propto |I_0|^2 + 2 |I_1|^2 + |I_2|^2, \quad
        I_j = \int_0^{\theta_1} \sqrt{\cos\theta}\, \sin\theta\, b_j(\theta)\,
        J_j(\kappa'\, p \sin\theta)\, e^{\mathrm{i} \kappa'\, z \cos\theta}\, d\theta

    with kappa' = 2 pi index / wavelength, index sin(theta_1) = NA, and b = (1 + cos, sin, 1 - cos). At low
    aperture I_1 and I_2 vanish, which leaves the scalar model.

    Parameters
    ----------
    microscope : Microscope
        The optics; `depth` and `magnification` are not used.
    n_dim : int
        2 for the plane at `microscope.defocus`, 3 for the stack of planes around it.

    Returns
    -------
    psf : ndarray of float64, shape (size, size) or (planes, size, size)
        Non-negative, with sum 1.

    References
    ----------
    Richards, Wolf, "Electromagnetic diffraction in optical systems II", Proc. R. Soc. A 253 (1959).
    Introduced in notebook 01.

    Examples
    --------
    >>> psf = richards_wolf(Microscope(na=1.2, pixel_size=0.1, size=15))
    >>> psf.shape, round(float(psf.sum()), 6)
    ((15, 15), 1.0)
    """
    m, k = microscope, 2 * np.pi / microscope.wavelength * microscope.index
    alpha = math.asin(m.na / m.index)
    z = m.z_positions(n_dim)

    unit, weight = _quadrature(k * (m.radii().max() + np.abs(z).max()))
    theta = alpha * unit
    cos, sin = np.cos(theta), np.sin(theta)
    common = np.sqrt(cos) * sin * alpha * weight  # (theta,)
    phase = np.exp(1j * k * z[:, None] * cos) * common  # (z, theta)

    def intensity(radii: np.ndarray) -> list[np.ndarray]:
        x = k * np.outer(sin, radii)  # (theta, r)
        terms = ((1, 1 + cos, j0(x)), (2, sin, j1(x)), (1, 1 - cos, jv(2, x)))
        return [
            sum(c * np.abs((plane * w) @ bessel) ** 2 for c, w, bessel in terms) for plane in phase
        ]

    return _kernel(m, n_dim, intensity)


def gaussian(microscope: Microscope, n_dim: int = 2) -> np.ndarray:
    r"""Gaussian approximation with the same curvature at the peak as the in-focus spot.

    .. math::
        k(p, z) \propto e^{-p^2 / 2 s_p^2 - z^2 / 2 s_z^2}, \quad
        s_p = \frac{\sqrt 2}{\kappa\,\mathrm{NA}}, \quad
        s_z = \frac{2 \sqrt 6\, \mathrm{index}}{\kappa\,\mathrm{NA}^2}

    A 2D kernel ignores the defocus: a Gaussian can't represent the rings of a defocused spot.

    Parameters
    ----------
    microscope : Microscope
        The optics.
    n_dim : int
        2 or 3.

    Returns
    -------
    psf : ndarray of float64, shape (size, size) or (planes, size, size)
        Non-negative, with sum 1.

    References
    ----------
    Zhang, Zerubia, Olivo-Marin, "Gaussian approximations of fluorescence microscope point-spread
    function models", Applied Optics 46 (2007). Introduced in notebook 01.

    Examples
    --------
    >>> gaussian(Microscope(), n_dim=3).shape
    (17, 17, 17)
    """
    m, k = microscope, 2 * np.pi / microscope.wavelength
    sigma_r = math.sqrt(2) / (k * m.na)
    sigma_z = 2 * math.sqrt(6) * m.index / (k * m.na**2)
    z = m.z_positions(n_dim) * (n_dim == 3)
    lateral = np.exp(-0.5 * (m.radii() / sigma_r) ** 2)
    axial = np.exp(-0.5 * (z / sigma_z) ** 2)
    if axial.max() < 1e-300:
        # far from the focus all planes would be 0: in units of the nearest one
        axial = np.exp(0.5 * ((z**2).min() - z**2) / sigma_z**2)
    stack = axial[:, None, None] * lateral
    return _normalised(stack, n_dim)


def paper_psf(n_dim: int = 2) -> np.ndarray:
    """Return the kernel of the paper's experiments (Section 3).

    The stack has 17 planes from -3.045 um in steps of 0.406 um, so the focus falls between planes 7
    and 8. The 2D experiments use the first plane, 3.045 um out of focus, which shows rings: its brightest
    pixel holds 4 % of the light (in focus: 83 %).

    Parameters
    ----------
    n_dim : int
        2 or 3.

    Returns
    -------
    psf : ndarray of float64, shape (17, 17) or (17, 17, 17)
        Non-negative, with sum 1.

    Examples
    --------
    >>> psf = paper_psf(2)
    >>> psf.shape, round(float(psf.max()), 3)
    ((17, 17), 0.041)
    """
    return gibson_lanni(Microscope(defocus=0.203 if n_dim == 3 else -3.045), n_dim)


def psf_for(
    shape: tuple[int, ...],
    microscope: Microscope,
    model: Callable[[Microscope, int], np.ndarray] = gibson_lanni,
    share: float = 0.99,
    planes: int | None = None,
    size: int | None = None,
) -> tuple[np.ndarray, float]:
    """Compute a kernel as large as its light asks for, within an image.

    Parameters
    ----------
    shape : tuple of int
        The image's, ([z,] y, x).
    microscope : Microscope
        Its `size` and `planes` are not used.
    model : callable
        `gibson_lanni`, `richards_wolf` or `gaussian`.
    share : float
        Of the light of a kernel 255 pixels wide, how much to hold.
    planes : int, optional
        Odd number of planes. Unless given, the kernel goes on along z to where its light on the axis is below
        0.2 % of the brightest, or as far as the image: every plane of a widefield microscope has the same
        light, so that no share of it tells where to end.
    size : int, optional
        Odd number of pixels along y and x, in place of what `share` asks for.

    Returns
    -------
    psf : ndarray of float64, shape (size, size) or (planes, size, size), with sum 1
    lost : float
        The share of the light that lies beyond.

    Examples
    --------
    >>> psf, lost = psf_for((64, 64), Microscope(na=0.8, pixel_size=0.2))
    >>> psf.shape, lost < 0.01
    ((55, 55), True)
    """
    n_dim, most = len(shape), shape[0] - (shape[0] + 1) % 2
    # the scalar model stands in for the vectorial one, which takes its time for as many pixels
    quick = gibson_lanni if model is richards_wolf else model
    planes = planes or (_planes_seen(quick, microscope, most) if n_dim == 3 else 1)
    whole = quick(replace(microscope, size=_WHOLE, planes=planes), n_dim)
    flat = whole.reshape(-1, _WHOLE, _WHOLE).sum(axis=0)  # (y, x)
    distance = np.abs(np.arange(_WHOLE) - _WHOLE // 2)
    rings = np.bincount(np.maximum.outer(distance, distance).ravel(), flat.ravel())
    inside = np.cumsum(rings)  # light within 1, 3, 5, ... pixels
    most = min(_WHOLE // 2, (min(shape[-2:]) - 1) // 2)  # rounding may leave the sum below 1
    half = min(int(np.searchsorted(inside, share)), most) if size is None else size // 2
    psf = model(replace(microscope, size=size or 2 * half + 1, planes=planes), n_dim)
    return psf, float(1 - inside[min(half, _WHOLE // 2)])


def _planes_seen(model: Callable, microscope: Microscope, most: int) -> int:
    """Return how many planes of a kernel, of an odd number at most, have light on the axis."""
    within = 2 * int(_REACH * microscope.wavelength / microscope.z_step) + 1
    axis = model(replace(microscope, size=1, planes=min(most, within)), 3).ravel()  # (planes,)
    seen = np.abs(np.arange(axis.size) - axis.size // 2)[axis > _DIM * axis.max()]
    return max(
        2 * int(seen.max()) + 1, min(3, axis.size)
    )  # with one plane, no light between planes


def _quadrature(phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss-Legendre nodes and weights on [0, 1] for an integrand whose phase spans `phase` rad."""
    parts = math.ceil(phase / 1000) or 1  # the nodes of many radians at once would fill the memory
    nodes, weights = np.polynomial.legendre.leggauss(64 + int(phase / parts))
    first = np.arange(parts)[:, None]
    return ((first + (nodes + 1) / 2) / parts).ravel(), np.tile(weights / 2 / parts, parts)


def _kernel(m: Microscope, n_dim: int, profiles: Callable) -> np.ndarray:
    """Turn the radial profiles of planes into a kernel; each radius is evaluated once."""
    radii, where = np.unique(m.radii().round(9), return_inverse=True)
    shape = m.size, m.size
    return _normalised(np.stack([p[where].reshape(shape) for p in profiles(radii)]), n_dim)


def _normalised(stack: np.ndarray, n_dim: int) -> np.ndarray:
    """Return a stack, or in 2D its only plane, with sum 1."""
    kernel = stack if n_dim == 3 else stack[0]
    return kernel / kernel.sum()
