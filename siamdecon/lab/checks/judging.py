"""Exercises of notebook 07: a score, the correlation of a residual with itself, and of two spectra."""

import math

import numpy as np

from siamdecon.lab.checks.engine import Exercise


def _images():
    rng = np.random.default_rng(0)
    clean = rng.uniform(0.05, 0.6, (6, 7))  # its maximum is not 1
    return clean, clean + rng.normal(scale=0.5, size=clean.shape)


def _psnr(clean, estimate):
    squares = [
        (float(clean[place]) - min(1.0, max(0.0, float(value)))) ** 2
        for place, value in np.ndenumerate(estimate)
    ]
    return -10 * math.log10(math.fsum(squares) / len(squares))


def _decibels(clean, estimate, peak=1.0):
    return 10 * np.log10(peak**2 / np.mean((clean - estimate) ** 2))


#: 10 log10(1 / MSE) in dB, of an estimate that is clipped to [0, 1] first.
psnr = Exercise(
    "the PSNR at data range 1",
    _psnr,
    (_images(), (_images()[0], _images()[0][::-1] - 0.2)),
    {
        "the estimate is not clipped: values outside [0, 1] count in full.": _decibels,
        "the peak is the clean image's own maximum; the data range is 1.": lambda c, e: _decibels(
            c, np.clip(e, 0, 1), c.max()
        ),
        "the peak is the estimate's own maximum, so that noise raises the score.": lambda c, e: (
            _decibels(c, np.clip(e, 0, 1), np.clip(e, 0, 1).max())
        ),
        "the peak is the unclipped estimate's maximum, so that noise raises the score.": (
            lambda c, e: _decibels(c, np.clip(e, 0, 1), e.max())
        ),
        "that is 10 log10(1 / RMSE), half the value: 10 goes with the square, 20 with its root.": (
            lambda c, e: _decibels(c, np.clip(e, 0, 1)) / 2
        ),
        "the logarithm is to base 10; np.log is to base e.": lambda c, e: (
            _decibels(c, np.clip(e, 0, 1)) * np.log(10)
        ),
        "the sign is reversed: a smaller error must give a higher score.": lambda c, e: (
            -_decibels(c, np.clip(e, 0, 1))
        ),
        "the squares are summed; a mean does not depend on the image's size.": lambda c, e: (
            _decibels(c, np.clip(e, 0, 1)) - 10 * np.log10(c.size)
        ),
        "that is the mean square error itself, not yet in dB.": lambda c, e: np.mean(
            (c - np.clip(e, 0, 1)) ** 2
        ),
        "the mean is taken along one axis only, so the result is a row of scores.": lambda c, e: (
            10 * np.log10(1 / np.mean((c - np.clip(e, 0, 1)) ** 2, axis=0))
        ),
    },
)


def _residual(shape=(6, 8), mean=0.3):
    rng = np.random.default_rng(1)
    return rng.normal(size=shape).cumsum(axis=1) / 3 + mean


def _autocorrelation(residual):
    rest = residual - residual.mean()
    products = np.empty(residual.shape)
    for dy, dx in np.ndindex(residual.shape):
        products[dy, dx] = (rest * np.roll(rest, (-dy, -dx), axis=(0, 1))).sum()
    return products / products[0, 0]


def _by_transform(rest, square=np.abs, power=2):
    shares = np.fft.ifft2(square(np.fft.fft2(rest)) ** power).real
    return shares


def _centred(residual):
    return residual - residual.mean()


#: Correlation of a residual with itself, shifted by every (y, x) with wrap-around; 1 at [0, 0].
autocorrelation = Exercise(
    "the autocorrelation of a residual",
    _autocorrelation,
    ((_residual(),), (_residual((7, 5), -0.1),)),
    {
        "the mean is not subtracted: it correlates with itself at every shift.": lambda r: (
            _by_transform(r) / _by_transform(r)[0, 0]
        ),
        "divide by the value at shift [0, 0], so that it is 1 there.": lambda r: _by_transform(
            _centred(r)
        ),
        "divided by the variance alone: the transform sums over the pixels, so their number is left.": (
            lambda r: _by_transform(_centred(r)) / r.var()
        ),
        "the power is |F|^2; that transforms |F| back.": lambda r: (
            _by_transform(_centred(r), power=1) / _by_transform(_centred(r), power=1)[0, 0]
        ),
        "that squares F itself; one of the two factors is the complex conjugate: |F|^2.": lambda r: (
            _by_transform(_centred(r), lambda f: f) / _by_transform(_centred(r), lambda f: f)[0, 0]
        ),
        "shift 0 was moved to the middle; leave it at [0, 0].": lambda r: np.fft.fftshift(
            _autocorrelation(r)
        ),
        "that is the power spectrum; the inverse transform is missing.": lambda r: (
            np.abs(np.fft.fft2(_centred(r))) ** 2
        ),
        "only one axis is transformed; the shifts are in the plane: fft2 and ifft2.": lambda r: (
            np.fft.ifft(np.abs(np.fft.fft(_centred(r))) ** 2).real
            / np.fft.ifft(np.abs(np.fft.fft(_centred(r))) ** 2).real[0, 0]
        ),
    },
)


def _spectra(seed=2, shape=(8, 8)):
    rng = np.random.default_rng(seed)
    u, w = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for _ in range(2))
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    return u, 0.3 * u + 2 * w, (radius > 0.2) & (radius < 0.4)


def _ring_correlation(u, v, ring):
    cross = power_u = power_v = 0.0
    for place in zip(*np.nonzero(ring), strict=True):
        a, b = complex(u[place]), complex(v[place])
        cross += a.real * b.real + a.imag * b.imag
        power_u += a.real**2 + a.imag**2
        power_v += b.real**2 + b.imag**2
    return cross / math.sqrt(power_u * power_v)


def _cross(u, v):
    return (u * v.conj()).real


def _power(u):
    return np.abs(u) ** 2


#: Re sum F(a) conj(F(b)) over the root of the two powers, in one ring.
ring_correlation = Exercise(
    "the correlation of two spectra in a ring",
    _ring_correlation,
    (_spectra(), _spectra(3, (7, 10))),
    {
        "the mask of the ring is not used: the sums run over all frequencies.": lambda u, v, m: (
            _cross(u, v).sum() / np.sqrt(_power(u).sum() * _power(v).sum())
        ),
        "the complex conjugate of one spectrum is missing.": lambda u, v, m: (
            (u * v).real[m].sum() / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
        ),
        "the root in the denominator is missing.": lambda u, v, m: (
            _cross(u, v)[m].sum() / (_power(u)[m].sum() * _power(v)[m].sum())
        ),
        "that is the magnitude of the sum; the real part keeps the sign: inverted contrast is negative.": (
            lambda u, v, m: (
                np.abs((u * v.conj())[m].sum()) / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
            )
        ),
        "the result is complex; take the real part of the sum.": lambda u, v, m: (
            (u * v.conj())[m].sum() / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
        ),
        "magnitudes alone are compared: without the phases any two images agree.": lambda u, v, m: (
            (np.abs(u) * np.abs(v))[m].sum() / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
        ),
        "each frequency is normalised separately; sum first, then divide.": lambda u, v, m: np.mean(
            _cross(u, v)[m] / (np.abs(u) * np.abs(v))[m]
        ),
        "the denominator has magnitudes; it needs their squares, the powers.": lambda u, v, m: (
            _cross(u, v)[m].sum() / np.sqrt(np.abs(u)[m].sum() * np.abs(v)[m].sum())
        ),
        "the sums are missing: there is one number for each frequency, expected one for the ring.": (
            lambda u, v, m: _cross(u, v)[m] / np.sqrt(_power(u)[m] * _power(v)[m])
        ),
    },
)
