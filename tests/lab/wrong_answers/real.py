"""Plausible wrong answers to the exercises of notebook 11, and what each must be told."""

import numpy as np
from scipy.ndimage import convolve


def _deal(photons, rng):
    first = rng.binomial(photons, 0.5)
    return first, photons - first


def half_as_bright(counts, dark, unit, rng):
    first, second = _deal(np.rint((counts - dark) / unit).astype(int), rng)
    return first * unit + dark, second * unit + dark


def two_draws(counts, dark, unit, rng):
    photons = np.round((counts - dark) / unit).astype(int)
    first, second = rng.binomial(photons, 0.5), rng.binomial(photons, 0.5)
    return 2 * first * unit + dark, 2 * second * unit + dark


def not_whole(counts, dark, unit, rng):
    first, second = _deal(np.round((counts - dark) / unit), rng)
    return 2 * first * unit + dark, 2 * second * unit + dark


def exchanged(counts, dark, unit, rng):
    second, first = _deal(np.rint((counts - dark) / unit).astype(int), rng)
    return 2 * first * unit + dark, 2 * second * unit + dark


def no_dark(counts, dark, unit, rng):
    first, second = _deal(np.rint((counts - dark) / unit).astype(int), rng)
    return 2 * first * unit, 2 * second * unit


def dark_doubled(counts, dark, unit, rng):
    first, second = _deal(np.rint((counts - dark) / unit).astype(int), rng)
    return 2 * (first * unit + dark), 2 * (second * unit + dark)


def left_in_photons(counts, dark, unit, rng):
    return _deal(np.rint((counts - dark) / unit).astype(int), rng)


def counts_as_photons(counts, dark, unit, rng):
    first, second = _deal(np.rint(counts).astype(int), rng)
    return 2 * first, 2 * second


def dark_as_light(counts, dark, unit, rng):
    first, second = _deal(np.rint(counts / unit).astype(int), rng)
    return 2 * unit * first, 2 * unit * second


def truncated(counts, dark, unit, rng):
    first, second = _deal(((counts - dark) / unit).astype(int), rng)
    return 2 * first * unit + dark, 2 * second * unit + dark


def same_twice(counts, dark, unit, rng):
    first, _ = _deal(np.rint((counts - dark) / unit).astype(int), rng)
    return (2 * first * unit + dark,) * 2


def _off(estimates, psf, second):
    blurred = [convolve(estimate, psf, mode="constant") for estimate in estimates]
    return [second - one for one in blurred]


def unblurred(estimates, psf, second):
    return np.argmin([((estimate - second) ** 2).sum() for estimate in estimates])


def worst(estimates, psf, second):
    return np.argmax([np.linalg.norm(off) for off in _off(estimates, psf, second)])


def signed(estimates, psf, second):
    return np.argmin(np.abs([off.sum() for off in _off(estimates, psf, second)]))


def spread(estimates, psf, second):
    return int(np.argmin([off.std() for off in _off(estimates, psf, second)]))


def error_itself(estimates, psf, second):
    return min(np.mean(off**2) for off in _off(estimates, psf, second))


def all_errors(estimates, psf, second):
    return np.array([np.mean(off**2) for off in _off(estimates, psf, second)])


def halved(counts, dark, unit, rng):
    photons = np.rint((counts - dark) / unit).astype(int)
    return dark + 2 * unit * (photons // 2), dark + 2 * unit * (photons - photons // 2)


def by_poisson(counts, dark, unit, rng):
    photons = np.rint((counts - dark) / unit).astype(int)
    first = rng.poisson(photons / 2)
    return dark + 2 * unit * first, dark + 2 * unit * (photons - first)


BANK = {
    "two_exposures": [
        (halved, "photons are halved"),
        (by_poisson, "a Poisson number"),
        (half_as_bright, "half the light"),
        (two_draws, "drawn anew"),
        (not_whole, "round, then .astype(int)"),
        (exchanged, "first and second are exchanged"),
        (no_dark, "without dark"),
        (dark_doubled, "counted twice, too"),
        (left_in_photons, "in photons"),
        (counts_as_photons, "taken for photons"),
        (dark_as_light, "dark is light here: subtract it before you divide by the unit."),
        (truncated, "not rounded"),
        (same_twice, "are the same"),
    ],
    "choose": [
        (unblurred, "not blurred"),
        (worst, "the worst"),
        (signed, "cancel"),
        (spread, "standard deviation"),
        (error_itself, "lowest error itself"),
        (all_errors, "all the errors"),
    ],
}
