"""Exercises of notebook 03: the update of Lucy and Richardson, and Wiener's gain."""

import numpy as np
from scipy.signal import convolve, correlate

from siamdecon.lab.checks.engine import Exercise

_KERNEL = np.array([[0.0, 0.1, 0.0], [0.3, 0.2, 0.1], [0.25, 0.0, 0.05]])  # asymmetric on purpose


def _blur(x):
    return convolve(x, _KERNEL, mode="same", method="direct")


def _correlate(y):
    return correlate(y, _KERNEL, mode="same", method="direct")


def _update(x, y, blur, correlate):
    """Write the blur as a matrix, one column for each pixel, and apply the formula pixel by pixel."""
    pixels = range(x.size)
    matrix = np.empty((x.size, x.size))
    for j in pixels:
        matrix[:, j] = blur(np.eye(x.size)[j].reshape(x.shape)).ravel()
    old, measured = x.ravel(), y.ravel()
    expected = [sum(matrix[i, j] * old[j] for j in pixels) for i in pixels]
    new = [old[j] * sum(matrix[i, j] * measured[i] / expected[i] for i in pixels) for j in pixels]
    return np.reshape(new, x.shape)


def _images(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1, shape), rng.uniform(0, 1, shape)


#: x * correlate(y / blur(x)).
lucy_richardson_update = Exercise(
    "an update of Lucy and Richardson",
    _update,
    ((*_images(0, (5, 6)), _blur, _correlate), (*_images(1, (4, 4)), _blur, _correlate)),
    {
        "the ratio was passed to blur; it goes back through the flipped kernel: correlate.": (
            lambda x, y, blur, correlate: x * blur(y / blur(x))
        ),
        "the ratio is upside down: measured over expected, y / blur(x).": (
            lambda x, y, blur, correlate: x * correlate(blur(x) / y)
        ),
        "the correction is added; it is a factor that multiplies x.": (
            lambda x, y, blur, correlate: x + correlate(y / blur(x))
        ),
        "that is the factor alone; multiply the old estimate x by it.": (
            lambda x, y, blur, correlate: correlate(y / blur(x))
        ),
        "y was compared with x itself; blur x first, then the two can be compared.": (
            lambda x, y, blur, correlate: x * correlate(y / x)
        ),
        "the ratio was not sent back: correlate spreads each pixel's ratio to where its light came from.": (
            lambda x, y, blur, correlate: x * y / blur(x)
        ),
        "numerator and denominator were sent back apart; that is the rule for Gaussian noise.": (
            lambda x, y, blur, correlate: x * correlate(y) / correlate(blur(x))
        ),
        "the factor multiplies the measurement y; it corrects the estimate x.": (
            lambda x, y, blur, correlate: y * correlate(y / blur(x))
        ),
        "that takes the difference y - blur(x); the Poisson likelihood leads to the ratio.": (
            lambda x, y, blur, correlate: x * correlate(y - blur(x))
        ),
        "that is a step along the gradient, a difference; the fixed point multiplies by the ratio.": (
            lambda x, y, blur, correlate: x + correlate(y - blur(x))
        ),
    },
)


def _spectra():
    rng = np.random.default_rng(2)
    transfer = rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5))
    prior = rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5))
    transfer[0, 0], prior[0, 0] = 1, 0  # a kernel keeps the mean, a Laplacian removes it
    transfer[2, 3] = 0
    return transfer, prior


def _gain(transfer, prior, balance):
    """Solve the least-squares problem of each frequency in real unknowns, two equations for each term."""
    gain = np.empty(transfer.shape, dtype=complex)
    for place, h in np.ndenumerate(transfer):
        root = balance**0.5 * prior[place]
        # |h g - 1|^2 + |root g|^2, least in the real and the imaginary part of g
        rows = [
            [h.real, -h.imag],
            [h.imag, h.real],
            [root.real, -root.imag],
            [root.imag, root.real],
        ]
        real, imaginary = np.linalg.lstsq(np.array(rows), np.array([1.0, 0, 0, 0]), rcond=None)[0]
        gain[place] = real + 1j * imaginary
    return gain


#: conj(F(k)) / (|F(k)|^2 + balance |F(l)|^2), complex.
wiener_gain = Exercise(
    "the gain of Wiener's filter",
    _gain,
    ((*_spectra(), 2.0), (*_spectra(), 0.3)),
    {
        "the complex conjugate is missing in the numerator: phases are rotated twice, not back.": (
            lambda t, p, b: t / (abs(t) ** 2 + b * abs(p) ** 2)
        ),
        "the square of |F(k)| is missing in the denominator.": lambda t, p, b: (
            t.conj() / (abs(t) + b * abs(p) ** 2)
        ),
        "the square of the prior |F(l)| is missing.": lambda t, p, b: (
            t.conj() / (abs(t) ** 2 + b * abs(p))
        ),
        "both squares are missing in the denominator.": lambda t, p, b: (
            t.conj() / (abs(t) + b * abs(p))
        ),
        "F(k)^2 is complex; the denominator needs the real number |F(k)|^2.": lambda t, p, b: (
            t.conj() / (t**2 + b * abs(p) ** 2)
        ),
        "F(l)^2 is complex; the denominator needs the real number |F(l)|^2.": lambda t, p, b: (
            t.conj() / (abs(t) ** 2 + b * p**2)
        ),
        "the balance is missing: it weights the prior.": lambda t, p, b: (
            t.conj() / (abs(t) ** 2 + abs(p) ** 2)
        ),
        "the balance is squared with the prior; it belongs outside the square.": lambda t, p, b: (
            t.conj() / (abs(t) ** 2 + abs(b * p) ** 2)
        ),
        "the prior is missing: a bare constant damps all frequencies alike.": lambda t, p, b: (
            t.conj() / (abs(t) ** 2 + b)
        ),
        "the numerator is 1; it should be conj(F(k)), which is small where the kernel passes little.": (
            lambda t, p, b: 1 / (abs(t) ** 2 + b * abs(p) ** 2)
        ),
        "that is gain times F(k): the kernel and the filter together.": lambda t, p, b: (
            abs(t) ** 2 / (abs(t) ** 2 + b * abs(p) ** 2)
        ),
        "the balance weights F(k); it should weight the prior.": lambda t, p, b: (
            t.conj() / (b * abs(t) ** 2 + abs(p) ** 2)
        ),
    },
)
