"""Exercises of notebook 01: the PSF's phase, the size of a pixel, and the camera."""

import numpy as np

from siamdecon.lab.checks.engine import Exercise

_RHO = np.linspace(0, 1, 9)


def _phase(rho, z, na, index, wavelength):
    angle = np.arcsin(na * rho / index)  # of the ray: the path along z has its cosine as a factor
    return np.exp(2j * np.pi * z * index * np.cos(angle) / wavelength)


def _phase_solved(rho, z, na, index, wavelength):
    wavenumber = 2 * np.pi / wavelength
    return np.exp(1j * wavenumber * z * np.sqrt(index**2 - (na * rho) ** 2))


#: exp(i kappa z sqrt(index^2 - NA^2 rho^2)), complex.
defocus_phase = Exercise(
    "the phase of a defocused pupil",
    _phase,
    ((_RHO, 3.045, 0.8, 1.33, 0.6), (_RHO, -1.0, 1.2, 1.518, 0.52)),
    {
        "the root is missing: the wave's z component is sqrt(index^2 - (NA rho)^2).": lambda r, z, na, n, w: (
            np.exp(2j * np.pi / w * z * (n**2 - na**2 * r**2))
        ),
        "that is the phase alone; the field is exp(i phase).": lambda r, z, na, n, w: (
            2 * np.pi / w * z * np.sqrt(n**2 - na**2 * r**2)
        ),
        "the imaginary unit is missing: exp(phase) grows, exp(i phase) rotates.": lambda r, z, na, n, w: (
            np.exp(2 * np.pi / w * z * np.sqrt(n**2 - na**2 * r**2))
        ),
        "the wavenumber is 2 pi / wavelength; the 2 pi is missing.": lambda r, z, na, n, w: np.exp(
            1j / w * z * np.sqrt(n**2 - na**2 * r**2)
        ),
        "rho is the radius in the pupil and is squared too: (NA rho)^2.": lambda r, z, na, n, w: (
            np.exp(2j * np.pi / w * z * np.sqrt(n**2 - na**2 * r))
        ),
        "the refractive index is missing: expected sqrt(index^2 - (NA rho)^2).": lambda r, z, na, n, w: (
            np.exp(2j * np.pi / w * z * np.sqrt(np.abs(1 - na**2 * r**2)))
        ),
        "the sign of the phase is reversed; the defocus z is multiplied by +i.": lambda r, z, na, n, w: (
            np.exp(-2j * np.pi / w * z * np.sqrt(n**2 - na**2 * r**2))
        ),
        "the index must be squared too: index^2 - (NA rho)^2.": lambda r, z, na, n, w: np.exp(
            2j * np.pi / w * z * np.sqrt(n - (na * r) ** 2)
        ),
        "that is the cosine of the phase, the real part; exp(i phase) is complex.": (
            lambda r, z, na, n, w: np.cos(2 * np.pi / w * z * np.sqrt(n**2 - (na * r) ** 2))
        ),
        "np.exp takes radians: a full turn is 2 pi, not 360.": lambda r, z, na, n, w: np.exp(
            360j / w * z * np.sqrt(n**2 - (na * r) ** 2)
        ),
        "the wavenumber divides by the wavelength; it is multiplied here.": lambda r, z, na, n, w: (
            np.exp(2j * np.pi * w * z * np.sqrt(n**2 - (na * r) ** 2))
        ),
    },
    solution=_phase_solved,
)


def _pixel_solved(wavelength, na):
    return wavelength / (4 * na)


def _pixel(wavelength, na):
    """Two samples in the shortest period, whose frequency is twice that of the waves."""
    highest = 2 * na / wavelength
    return 1 / highest / 2


#: wavelength / (4 NA).
largest_pixel = Exercise(
    "the largest pixel",
    _pixel,
    ((0.6, 0.8), (0.52, 1.4), (0.45, 0.3)),
    {
        "that is the shortest period in the image; a pixel may be half as large, for two samples.": (
            lambda w, na: w / (2 * na)
        ),
        "an image of intensities has frequencies up to 2 NA / wavelength, twice those of the waves; and a "
        "period needs two samples.": lambda w, na: w / na,
        "that is half of what is needed; two samples in a period of wavelength / (2 NA) are enough.": (
            lambda w, na: w / (8 * na)
        ),
        "parentheses are missing: 2 * na belongs in the denominator; and a period needs two samples.": (
            lambda w, na: w / 2 * na
        ),
        "that is a frequency, in cycles per micrometre; a pixel has a length.": lambda w, na: (
            4 * na / w
        ),
        "that is the highest frequency; a pixel has a length, half of the shortest period.": lambda w, na: (
            2 * na / w
        ),
        "that is Rayleigh's distance between two points; sampling asks for two pixels in a period.": (
            lambda w, na: 0.61 * w / na
        ),
        "half of Rayleigh's distance is a rule of thumb, a little too large; use the highest frequency.": (
            lambda w, na: 0.61 * w / na / 2
        ),
    },
    solution=_pixel_solved,
)


def _camera_inputs():
    rng = np.random.default_rng(0)
    blurred = rng.uniform(0, 1, (6, 7))
    blurred[0] = 0.0, 0.002, 0.01, 0.5, 0.99, 1.0, 1.0
    return blurred, rng.normal(size=blurred.shape)


def _camera(blurred, rnd, alpha, sigma):
    noisy = np.empty(blurred.shape)
    for place, value in np.ndenumerate(blurred):
        measured = value + (alpha * value + sigma**2) ** 0.5 * rnd[place]
        noisy[place] = min(1.0, max(0.0, round(measured * 1024) / 1024))
    return noisy


def _camera_solved(blurred, rnd, alpha, sigma):
    deviation = np.sqrt(alpha * blurred + sigma**2)
    noisy = blurred + deviation * rnd
    return np.clip(np.round(noisy * 1024) / 1024, 0, 1)


def _quantised(noisy, levels=1024):
    return np.round(noisy * levels) / levels


#: Noise of variance alpha * signal + sigma^2, rounded to 10 bits, clipped to [0, 1].
camera = Exercise(
    "what the camera does",
    _camera,
    ((*_camera_inputs(), 0.001, 0.1), (*_camera_inputs(), 0.2, 0.05)),
    {
        "clipping is missing: a camera has no values below 0 or above 1.": lambda b, r, a, s: (
            _quantised(b + np.sqrt(a * b + s**2) * r)
        ),
        "rounding to steps of 1/1024 is missing.": lambda b, r, a, s: np.clip(
            b + np.sqrt(a * b + s**2) * r, 0, 1
        ),
        "rounding and clipping are both missing.": lambda b, r, a, s: b + np.sqrt(a * b + s**2) * r,
        "that scales by the variance; noise is scaled by its standard deviation, the root.": (
            lambda b, r, a, s: np.clip(_quantised(b + (a * b + s**2) * r), 0, 1)
        ),
        "sigma is a standard deviation: the variance is alpha * signal + sigma^2.": (
            lambda b, r, a, s: np.clip(_quantised(b + np.sqrt(a * b + s) * r), 0, 1)
        ),
        "two standard deviations are added; the noises are independent, so their variances add.": (
            lambda b, r, a, s: np.clip(_quantised(b + (np.sqrt(a * b) + s) * r), 0, 1)
        ),
        "sigma is squared twice: the variance is alpha * blurred + sigma^2.": (
            lambda b, r, a, s: np.clip(_quantised(b + np.sqrt(a * b + s**4) * r), 0, 1)
        ),
        "the noise is multiplied by the image; it is added.": lambda b, r, a, s: np.clip(
            _quantised(b * (1 + np.sqrt(a * b + s**2) * r)), 0, 1
        ),
        "the numbers after the point are cut off; round to the nearest step.": lambda b, r, a, s: (
            np.clip(np.floor((b + np.sqrt(a * b + s**2) * r) * 1024) / 1024, 0, 1)
        ),
        "the steps are 1024 times too large: divide by 1024 after rounding.": lambda b, r, a, s: (
            np.clip(np.round((b + np.sqrt(a * b + s**2) * r) * 1024), 0, 1)
        ),
        "10 bits have steps of 1 / 2^10 = 1/1024; that looks like 8 bits.": lambda b, r, a, s: (
            np.clip(_quantised(b + np.sqrt(a * b + s**2) * r, 256), 0, 1)
        ),
    },
    rtol=0,
    atol=1e-9,
    solution=_camera_solved,
)
