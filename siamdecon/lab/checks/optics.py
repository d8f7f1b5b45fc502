"""Exercises of notebook 01: the PSF's phase, and the camera."""

import numpy as np

from siamdecon.lab.checks.engine import Exercise

_RHO = np.linspace(0, 1, 9)


def _phase(rho, z, na, index, wavelength):
    angle = np.arcsin(na * rho / index)  # of the ray: the path along z has its cosine as a factor
    return np.exp(2j * np.pi * z * index * np.cos(angle) / wavelength)


#: exp(i k z sqrt(n^2 - NA^2 rho^2)), complex.
defocus_phase = Exercise(
    "the phase of a defocused pupil",
    _phase,
    ((_RHO, 3.045, 0.8, 1.33, 0.6), (_RHO, -1.0, 1.2, 1.518, 0.52)),
    {
        "the root is missing: the wave's z component is sqrt(n^2 - NA^2 rho^2).": lambda r, z, na, n, w: (
            np.exp(2j * np.pi / w * z * (n**2 - na**2 * r**2))
        ),
        "that is the phase alone; the field is exp(i phase).": lambda r, z, na, n, w: (
            2 * np.pi / w * z * np.sqrt(n**2 - na**2 * r**2)
        ),
        "the imaginary unit is missing: exp(phase) grows, exp(i phase) rotates.": lambda r, z, na, n, w: (
            np.exp(2 * np.pi / w * z * np.sqrt(n**2 - na**2 * r**2))
        ),
        "k is 2 pi / wavelength; the 2 pi is missing.": lambda r, z, na, n, w: np.exp(
            1j / w * z * np.sqrt(n**2 - na**2 * r**2)
        ),
        "rho is the radius in the pupil and is squared too: NA^2 rho^2.": lambda r, z, na, n, w: (
            np.exp(2j * np.pi / w * z * np.sqrt(n**2 - na**2 * r))
        ),
        "NA is squared with rho: (NA rho)^2.": lambda r, z, na, n, w: np.exp(
            2j * np.pi / w * z * np.sqrt(n**2 - na * r**2)
        ),
        "the refractive index n is missing: expected sqrt(n^2 - NA^2 rho^2).": lambda r, z, na, n, w: (
            np.exp(2j * np.pi / w * z * np.sqrt(np.abs(1 - na**2 * r**2)))
        ),
        "the sign of the phase is reversed; the defocus z is multiplied by +i.": lambda r, z, na, n, w: (
            np.exp(-2j * np.pi / w * z * np.sqrt(n**2 - na**2 * r**2))
        ),
    },
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
        "rounding to 1024 levels is missing.": lambda b, r, a, s: np.clip(
            b + np.sqrt(a * b + s**2) * r, 0, 1
        ),
        "that scales by the variance; noise is scaled by its standard deviation, the root.": (
            lambda b, r, a, s: np.clip(_quantised(b + (a * b + s**2) * r), 0, 1)
        ),
        "sigma is a standard deviation: the variance is alpha * signal + sigma^2.": (
            lambda b, r, a, s: np.clip(_quantised(b + np.sqrt(a * b + s) * r), 0, 1)
        ),
        "the two standard deviations are added; variances add: sqrt(alpha * signal + sigma^2).": (
            lambda b, r, a, s: np.clip(_quantised(b + (np.sqrt(a * b) + s) * r), 0, 1)
        ),
        "the part that grows with the signal is missing: alpha * blurred.": (
            lambda b, r, a, s: np.clip(_quantised(b + s * r), 0, 1)
        ),
        "10 bits are 2^10 = 1024 levels; that looks like 8 bits.": lambda b, r, a, s: np.clip(
            _quantised(b + np.sqrt(a * b + s**2) * r, 256), 0, 1
        ),
        "that is the noise alone; add it to the blurred image.": lambda b, r, a, s: np.clip(
            _quantised(np.sqrt(a * b + s**2) * r), 0, 1
        ),
    },
    rtol=0,
    atol=1e-9,
)
