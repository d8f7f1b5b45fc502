"""Exercises of notebook 11: two exposures of one, and the choice by the second of them."""

import numpy as np
from scipy.signal import convolve

from siamdecon.lab.checks.engine import Exercise

_COUNTS = 2.0 + 0.25 * np.random.default_rng(0).poisson(30, (4, 6, 5))


def _photons(counts, dark, unit):
    return np.rint((counts - dark) / unit).astype(int)


def _two_exposures(counts, dark, unit, rng):
    half = rng.binomial(_photons(counts, dark, unit), 0.5)
    rest = _photons(counts, dark, unit) - half
    return np.stack([dark + 2 * unit * half, dark + 2 * unit * rest])


def _thinned(counts, dark, unit, rng, *, share=0.5, scale=2.0):
    half = rng.binomial(_photons(counts, dark, unit), share)
    both = np.stack([half, _photons(counts, dark, unit) - half])
    return dark + scale * unit * both


def _drawn_twice(counts, dark, unit, rng):
    halves = [rng.binomial(_photons(counts, dark, unit), 0.5) for _ in range(2)]
    return dark + 2 * unit * np.stack(halves)


def _halved(photons):
    return np.stack([photons // 2, photons - photons // 2])


def _by_poisson(photons, rng):
    half = rng.poisson(photons / 2)
    return np.stack([half, photons - half])


def _without(rng, photons):
    half = rng.binomial(photons, 0.5)
    return np.stack([half, photons - half])


#: The photons of a measurement, dealt out to two exposures by chance, in the units of the measurement.
two_exposures = Exercise(
    "two exposures of one",
    _two_exposures,
    (
        (_COUNTS, 2.0, 0.25, np.random.default_rng(1)),
        (np.rint(_COUNTS), 1.0, 0.3, np.random.default_rng(2)),
    ),
    {
        "each has half the light: both must be as bright as the measurement, so count them twice.": (
            lambda *given: _thinned(*given, scale=1.0)
        ),
        "the photons are halved; they must be dealt out by chance, by rng.binomial, or the two are alike.": (
            lambda counts, dark, unit, rng: _halved(_photons(counts, dark, unit)) * 2 * unit + dark
        ),
        "a Poisson number may be more than there are photons; each falls into the first or not: binomial.": (
            lambda counts, dark, unit, rng: (
                _by_poisson(_photons(counts, dark, unit), rng) * 2 * unit + dark
            )
        ),
        "the second is drawn anew; it must get the photons that the first did not get.": _drawn_twice,
        "first and second are exchanged: the first has the photons that rng.binomial gives.": (
            lambda *given: _thinned(*given)[::-1]
        ),
        "without dark: 0 photons are the count that is measured without light.": (
            lambda counts, dark, unit, rng: _thinned(counts, dark, unit, rng) - dark
        ),
        "dark is counted twice, too; double the light alone.": (
            lambda counts, dark, unit, rng: _thinned(counts, dark, unit, rng) + dark
        ),
        "in photons; multiply by the unit and add dark, to be in counts again.": (
            lambda counts, dark, unit, rng: _without(rng, _photons(counts, dark, unit))
        ),
        "the counts are taken for photons: subtract dark and divide by the unit first.": (
            lambda counts, dark, unit, rng: 2 * _without(rng, np.rint(counts).astype(int))
        ),
        "dark is light here: subtract it before you divide by the unit.": (
            lambda counts, dark, unit, rng: (
                2 * unit * _without(rng, np.rint(counts / unit).astype(int))
            )
        ),
        "dark is light here: subtract it before you divide by the unit, and add it again.": (
            lambda counts, dark, unit, rng: (
                dark + 2 * unit * _without(rng, np.rint(counts / unit).astype(int))
            )
        ),
        "multiplied by the unit; a count of one unit is one photon, so divide.": (
            lambda counts, dark, unit, rng: (
                dark + 2 * unit * _without(rng, np.rint((counts - dark) * unit).clip(0).astype(int))
            )
        ),
        "cut off, not rounded: 2.9999 photons are 3.": lambda counts, dark, unit, rng: (
            dark + 2 * unit * _without(rng, ((counts - dark) / unit).astype(int))
        ),
        "the two are the same; the second must get the photons that the first did not get.": (
            lambda *given: np.stack([_thinned(*given)[0]] * 2)
        ),
    },
)


def _blur(image, psf):
    return convolve(image, psf, mode="same")


def _choices():
    """Return estimates, a kernel, and a second exposure; every likely mistake chooses another estimate."""
    rng = np.random.default_rng(3)
    truth = np.zeros((40, 40))
    truth[tuple(rng.integers(10, 30, (2, 12)))] = rng.uniform(9, 27, 12)
    psf = np.exp(-(np.arange(-4, 5) ** 2) / 8)
    psf = np.outer(psf, psf) / psf.sum() ** 2
    second = _blur(truth, psf) + rng.normal(0, 0.05, truth.shape)
    moved = np.roll(truth, 9, axis=0)
    moved[12:28, 12:28] += (second - _blur(moved, psf)).sum() / 256
    return (truth + 0.15, 1.2 * truth, _blur(truth, psf), 5 * truth, moved), psf, second


def _errors(estimates, psf, second):
    return [np.mean((second - _blur(estimate, psf)) ** 2) for estimate in estimates]


_ESTIMATES, _PSF, _SECOND = _choices()

#: The index of the estimate that, blurred, predicts a second exposure best.
choose = Exercise(
    "the choice by the second exposure",
    lambda *given: int(np.argmin(_errors(*given))),
    ((list(_ESTIMATES), _PSF, _SECOND), (list(_ESTIMATES[::-1]), _PSF, _SECOND)),
    {
        "not blurred: that estimate is near to the second exposure because both are blurred.": (
            lambda estimates, psf, second: np.argmin(
                [np.mean((second - estimate) ** 2) for estimate in estimates]
            )
        ),
        "that is the worst; the best has the lowest error.": (
            lambda *given: np.argmax(_errors(*given))
        ),
        "the mean of the differences: above and below cancel. Square them first.": (
            lambda estimates, psf, second: np.argmin(
                [abs(np.mean(second - _blur(estimate, psf))) for estimate in estimates]
            )
        ),
        "that one is too bright everywhere, which a standard deviation does not see and a largest error "
        "hardly; take the mean of the squares.": (
            lambda estimates, psf, second: np.argmin(
                [np.std(second - _blur(estimate, psf)) for estimate in estimates]
            )
        ),
        "that is the lowest error itself; return its index.": lambda *given: min(_errors(*given)),
        "those are all the errors; return the index of the lowest.": lambda *given: _errors(*given),
    },
)
