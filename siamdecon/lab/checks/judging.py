"""Exercises of notebook 07: a score, a residual's power, a rule for it, the correlation of two spectra."""

import math
from collections.abc import Callable

import numpy as np

from siamdecon.lab.checks.engine import CheckFailed, Exercise
from siamdecon.lab.checks.relations import unfinished


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


def _cut(estimate):
    return np.clip(estimate, 0, 1)


def _solved_psnr(clean, estimate):
    estimate = np.clip(estimate, 0, 1)
    error = np.mean((clean - estimate) ** 2)
    return 10 * np.log10(1 / error)


#: 10 log10(1 / MSE) in dB, of an estimate that is clipped to [0, 1] first.
psnr = Exercise(
    "the PSNR at data range 1",
    _psnr,
    (
        _images(),
        (_images()[0], 0.5 * _images()[0][::-1] + 0.2),
        (_images()[0], _images()[0][::-1] - 0.2),
    ),
    {
        "the estimate is not clipped: values outside [0, 1] count in full.": _decibels,
        "the data range is that of the clipped estimate; it is 1 for every image.": lambda c, e: (
            _decibels(c, _cut(e), np.ptp(_cut(e)))
        ),
        "both faults are left: the range is the estimate's, and its values outside [0, 1] count.": (
            lambda c, e: _decibels(c, e, np.ptp(e))
        ),
        "the data range is still the estimate's, so that noise raises the score; it is 1.": (
            lambda c, e: _decibels(c, _cut(e), np.ptp(e))
        ),
        "the data range is the clean image's own; it is 1 for every image.": lambda c, e: _decibels(
            c, _cut(e), np.ptp(c)
        ),
        "the peak is the clean image's own maximum; the data range is 1.": lambda c, e: _decibels(
            c, _cut(e), c.max()
        ),
        "the peak is the estimate's own maximum, so that noise raises the score.": lambda c, e: (
            _decibels(c, _cut(e), _cut(e).max())
        ),
        "the peak is the unclipped estimate's maximum, so that noise raises the score.": (
            lambda c, e: _decibels(c, _cut(e), e.max())
        ),
        "negative values are turned positive; clip the estimate at 0 and 1.": lambda c, e: (
            _decibels(c, np.abs(e))
        ),
        "values below 0 are left; clip the estimate at both ends.": lambda c, e: _decibels(
            c, np.minimum(e, 1)
        ),
        "values above 1 are left; clip the estimate at both ends.": lambda c, e: _decibels(
            c, np.maximum(e, 0)
        ),
        "the estimate is stretched to [0, 1]; clip it: values inside stay as they are.": lambda c, e: (
            _decibels(c, (e - e.min()) / np.ptp(e))
        ),
        "the difference is clipped; clip the estimate before it is compared.": lambda c, e: (
            _decibels(_cut(c - e), 0)
        ),
        "the mean of absolute differences is taken; the MSE has their squares.": lambda c, e: (
            -10 * np.log10(np.mean(np.abs(c - _cut(e))))
        ),
        "the mean difference is squared: errors of opposite sign cancel; square first.": lambda c, e: (
            -20 * np.log10(np.abs(np.mean(c - _cut(e))))
        ),
        "that is 10 log10(1 / RMSE), half the value: 10 goes with the square, 20 with its root.": (
            lambda c, e: _decibels(c, _cut(e)) / 2
        ),
        "that is twice the value: 20 goes with the root of the MSE, 10 with the MSE.": lambda c, e: (
            2 * _decibels(c, _cut(e))
        ),
        "the factor 10 is missing: without it the unit is the bel.": lambda c, e: (
            _decibels(c, _cut(e)) / 10
        ),
        "the logarithm is to base 10; np.log is to base e.": lambda c, e: (
            _decibels(c, _cut(e)) * np.log(10)
        ),
        "the squares are summed; a mean does not depend on the image's size.": lambda c, e: (
            _decibels(c, _cut(e)) - 10 * np.log10(c.size)
        ),
        "that is the mean square error itself, not yet in dB.": lambda c, e: np.mean(
            (c - _cut(e)) ** 2
        ),
        "that is 1 / MSE, not yet in dB.": lambda c, e: 1 / np.mean((c - _cut(e)) ** 2),
        "the mean is taken along one axis only, so the result is a row of scores.": lambda c, e: (
            10 * np.log10(1 / np.mean((c - _cut(e)) ** 2, axis=0))
        ),
        "the data range is 1, not 255: these images lie in [0, 1].": lambda c, e: _decibels(
            c, _cut(e), 255
        ),
        "that is the ratio to the image's own power; the numerator is R^2, and R is 1.": (
            lambda c, e: 10 * np.log10(np.mean(c**2) / np.mean((c - _cut(e)) ** 2))
        ),
        "the variance of the difference ignores a wrong brightness; take the mean of its square.": (
            lambda c, e: -10 * np.log10(np.var(c - _cut(e)))
        ),
        "the largest error alone counts; take the mean of all squares.": lambda c, e: (
            -10 * np.log10(np.max((c - _cut(e)) ** 2))
        ),
        "the logarithm is to base 10; np.log2 is to base 2.": lambda c, e: (
            _decibels(c, _cut(e)) * np.log2(10)
        ),
        "that is the root mean square error, not yet in dB.": lambda c, e: np.sqrt(
            np.mean((c - _cut(e)) ** 2)
        ),
        "there is a score for each pixel; take the mean of the squares first.": lambda c, e: (
            -10 * np.log10((c - _cut(e)) ** 2)
        ),
    },
    solution=_solved_psnr,
)


def _rings(shape, low=0.15, high=0.4):
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    return (radius > low) & (radius < high)


def _residual(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.1, size=shape).cumsum(axis=1) / 2 + 0.03, 0.08, _rings(shape)


def _relative_power(residual, sigma, ring):
    """Sum the residual's cosines and sines one by one, without a fast transform."""
    y, x = np.indices(residual.shape)
    powers = []
    for v, u in zip(*np.nonzero(ring), strict=True):
        phase = 2 * np.pi * (v * y / residual.shape[0] + u * x / residual.shape[1])
        powers.append((residual * np.cos(phase)).sum() ** 2 + (residual * np.sin(phase)).sum() ** 2)
    return math.fsum(powers) / len(powers) / (residual.size * sigma**2)


def _powers(residual):
    return np.abs(np.fft.fft2(residual)) ** 2


def _solved_power(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return power[ring].mean() / (residual.size * sigma**2)


#: The mean of |F(r)|^2 in a ring, divided by m sigma^2, that of independent noise.
relative_power = Exercise(
    "the relative power of a residual",
    _relative_power,
    (_residual((9, 12), 1), _residual((10, 7), 2)),
    {
        "the power is |F(r)|^2; that is the mean of |F(r)|.": lambda r, s, m: (
            np.abs(np.fft.fft2(r))[m].mean() / (r.size * s**2)
        ),
        "the mask of the ring is not used: the mean is over all frequencies.": lambda r, s, m: (
            _powers(r).mean() / (r.size * s**2)
        ),
        "the frequencies outside the ring count as zeros; take the mean of power[ring].": (
            lambda r, s, m: np.mean(_powers(r) * m) / (r.size * s**2)
        ),
        "the power is summed over the ring; its mean does not depend on the ring's size.": (
            lambda r, s, m: _powers(r)[m].sum() / (r.size * s**2)
        ),
        "the number of pixels m is missing: noise has the power m sigma^2.": lambda r, s, m: (
            _powers(r)[m].mean() / s**2
        ),
        "divided by m sigma; the power of noise goes with the variance, sigma^2.": lambda r, s, m: (
            _powers(r)[m].mean() / (r.size * s)
        ),
        "m is the number of pixels, residual.size; that is one side of the image.": lambda r, s, m: (
            _powers(r)[m].mean() / (len(r) * s**2)
        ),
        "m is the number of all pixels, not that of the ring's frequencies.": lambda r, s, m: (
            _powers(r)[m].mean() / (m.sum() * s**2)
        ),
        "m divides twice: as in (m sigma)^2, or after a transform that is normalised already.": (
            lambda r, s, m: _powers(r)[m].mean() / (r.size * s) ** 2
        ),
        "the power of noise is subtracted; divide by it.": lambda r, s, m: (
            _powers(r)[m].mean() / r.size - s**2
        ),
        "the median is taken; chance makes it lower than the mean, even for noise.": lambda r, s, m: (
            np.median(_powers(r)[m]) / (r.size * s**2)
        ),
        "the ring is applied before the transform; it is a mask of frequencies.": lambda r, s, m: (
            _powers(r * m).mean() / (r.size * s**2)
        ),
        "that is its logarithm.": lambda r, s, m: np.log10(_powers(r)[m].mean() / (r.size * s**2)),
        "that is the power itself, not yet in units of that of noise.": lambda r, s, m: _powers(r)[
            m
        ].mean(),
        "the unit is the residual's own variance; then its size can't be judged: use sigma.": (
            lambda r, s, m: _powers(r)[m].mean() / (r.size * r.var())
        ),
        "that squares F(r) itself; the power is |F(r)|^2.": lambda r, s, m: (
            (np.fft.fft2(r) ** 2)[m].mean().real / (r.size * s**2)
        ),
        "only the real part of F(r) is squared; the imaginary part has power, too.": lambda r, s, m: (
            (np.fft.fft2(r).real ** 2)[m].mean() / (r.size * s**2)
        ),
        "the residual is squared before the transform; square |F(r)| after it.": lambda r, s, m: (
            np.abs(np.fft.fft2(r**2))[m].mean() / (r.size * s**2)
        ),
        "the mean is taken before the absolute value is squared: waves of all phases cancel.": (
            lambda r, s, m: np.abs(np.fft.fft2(r)[m].mean()) ** 2 / (r.size * s**2)
        ),
        "the mean of |F(r)| is squared; square first, then take the mean.": lambda r, s, m: (
            np.abs(np.fft.fft2(r)[m]).mean() ** 2 / (r.size * s**2)
        ),
        "frequency 0 was moved to the middle, but the mask has it at [0, 0].": lambda r, s, m: (
            np.fft.fftshift(_powers(r))[m].mean() / (r.size * s**2)
        ),
        "the ring is applied to the residual's pixels; it is a mask of frequencies.": lambda r, s, m: (
            (r[m] ** 2).mean() / s**2
        ),
        "the ratio is upside down: divide the residual's power by that of noise.": lambda r, s, m: (
            r.size * s**2 / _powers(r)[m].mean()
        ),
        "that is the ratio of amplitudes, the root of that of powers.": lambda r, s, m: np.sqrt(
            _powers(r)[m].mean() / (r.size * s**2)
        ),
        "there is one number for each frequency of the ring; take their mean.": lambda r, s, m: (
            _powers(r)[m] / (r.size * s**2)
        ),
        "there is one number for each frequency; take the mean of those in the ring.": (
            lambda r, s, m: _powers(r) / (r.size * s**2)
        ),
    },
    solution=_solved_power,
)


#: What a restoration may be told.
VERDICTS = ("structure left", "noise fitted", "consistent")


class Rule(Exercise):
    """An exercise whose answer is one of `VERDICTS`; it is checked on all cases at once."""

    def __call__(self, answer: Callable) -> None:
        """Check the learner's rule."""
        if not callable(answer):
            super().__call__(answer)
        given = [self._verdict(answer, case) for case in self.inputs]
        expected = [self.oracle(*case) for case in self.inputs]
        if given == expected:
            print(f"{self.name}: right.")
            return
        if len(set(given)) == 1:
            raise CheckFailed(
                f'Every restoration is told "{given[0]}": the conditions do not depend on the numbers '
                "(a ... that is left counts as true)."
            )
        for hint, mistake in self.mistakes.items():
            if given == [mistake(*case) for case in self.inputs]:
                raise CheckFailed(f"Wrong verdicts: {hint}")
        for case, got, right in zip(self.inputs, given, expected, strict=True):
            if got != right:
                own, second, coarse = case
                raise CheckFailed(
                    f"Wrong verdict: own {own:.2f}, second {second:.2f} and coarse {coarse:.2f} is "
                    f'"{right}", not "{got}": {self._reason(*case)}'
                )

    def _verdict(self, answer: Callable, case: tuple) -> str:
        try:
            got = answer(*case)
        except Exception as error:
            raise CheckFailed(f"Your function raised {type(error).__name__}: {error}") from error
        if left := unfinished(answer):
            raise CheckFailed(f"Nothing to check yet: {left} is still to be written.")
        if got is None:
            told = "own {:.2f}, second {:.2f} and coarse {:.2f}".format(*case)
            raise CheckFailed(f"For {told} nothing is returned: return one of the three verdicts.")
        if not isinstance(got, str) or got not in VERDICTS:
            raise CheckFailed(f"Expected one of {', '.join(map(repr, VERDICTS))}, got {got!r}.")
        return got

    def _reason(self, own: float, second: float, coarse: float) -> str:
        return {
            "structure left": "noise has a coarse power of 1, give or take 0.05 by chance and 8 % by sigma.",
            "noise fitted": "it explains the first measurement better than the second.",
            "consistent": "chance, and a sigma that is wrong by 4 %, explain these numbers.",
        }[self.oracle(own, second, coarse)]


def _cases():
    table = np.array(
        [
            (1.00, 1.00, 0.97),
            (1.06, 1.06, 2.90),  # too smooth
            (0.99, 1.02, 0.51),  # a little of the noise
            (0.87, 1.03, 0.05),  # much of it
            (1.00, 1.01, 1.45),  # a wrong kernel: its size alone is right
            (1.04, 1.04, 1.08),  # sigma is taken as 4 % too small
            (0.96, 0.96, 0.92),  # and as 4 % too large
            (0.92, 1.02, 0.60),
            (0.96, 1.08, 0.20),  # fitted, with sigma 4 % too small
            (0.97, 0.98, 1.50),
            (1.01, 1.02, 3.10),
        ]
    )
    table += np.random.default_rng(4).uniform(-0.004, 0.004, table.shape)  # less than is printed
    return tuple(tuple(map(float, row)) for row in table)


def _judge(own, second, coarse):
    if coarse >= 1.25:
        return "structure left"
    return "noise fitted" if second / own >= 1.05 else "consistent"


def _by(structure, fitted):
    """Make a rule of two conditions."""

    def rule(own, second, coarse):
        if structure(own, second, coarse):
            return "structure left"
        return "noise fitted" if fitted(own, second, coarse) else "consistent"

    return rule


def _has_structure(own, second, coarse):
    return coarse >= 1.25


def _has_fitted(own, second, coarse):
    return second / own >= 1.05


#: What three numbers of a restoration say: its residual, that of a second measurement, its coarse power.
judge = Rule(
    "a rule for residuals",
    _judge,
    _cases(),
    {
        "the two conditions are exchanged: the first is for structure, the second for fitted noise.": (
            _by(_has_fitted, _has_structure)
        ),
        "second is compared the wrong way round: who fits the noise explains the second one worse.": (
            _by(_has_structure, lambda own, second, coarse: own / second >= 1.05)
        ),
        "a small residual alone proves nothing, as sigma may be wrong by 4 %: compare own with second.": (
            _by(_has_structure, lambda own, second, coarse: own < 0.98)
        ),
        "every estimate fits the coarse noise a little: compare own with second.": (
            _by(_has_structure, lambda own, second, coarse: coarse < 0.9)
        ),
        "structure is looked for in own alone: a wrong PSF leaves structure and the right size.": (
            _by(lambda own, second, coarse: own >= 1.05, _has_fitted)
        ),
    },
)


def _spectra(seed=2, shape=(8, 8)):
    rng = np.random.default_rng(seed)
    u, w = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for _ in range(2))
    return u, 0.3 * u + 2 * w, _rings(shape, 0.2)


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


def _solved_correlation(fv, fw, ring):
    cross = np.sum((fv * fw.conj())[ring]).real
    power = np.sqrt(np.sum(np.abs(fv[ring]) ** 2) * np.sum(np.abs(fw[ring]) ** 2))
    return cross / power


#: Re sum F(v) conj(F(w)) over the root of the product of the two powers, in one ring.
ring_correlation = Exercise(
    "the correlation of two spectra in a ring",
    _ring_correlation,
    (_spectra(), _spectra(3, (7, 10))),
    {
        "the mask of the ring is not used: the sums run over all frequencies.": lambda u, v, m: (
            _cross(u, v).sum() / np.sqrt(_power(u).sum() * _power(v).sum())
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
        "the denominator multiplies sums of magnitudes; it needs the root of sums of squares.": (
            lambda u, v, m: _cross(u, v)[m].sum() / (np.abs(u)[m].sum() * np.abs(v)[m].sum())
        ),
        "the denominator squares F itself; the power is |F|^2.": lambda u, v, m: (
            _cross(u, v)[m].sum() / np.sqrt((u[m] ** 2).sum() * (v[m] ** 2).sum())
        ),
        "the sum is divided by its own magnitude, which leaves its phase only.": lambda u, v, m: (
            _cross(u, v)[m].sum() / np.abs((u * v.conj())[m].sum())
        ),
        "that correlates magnitudes: without the phases the detail may lie anywhere.": (
            lambda u, v, m: np.corrcoef(np.abs(u[m]), np.abs(v[m]))[0, 1]
        ),
        "the sums are missing: there is one number for each frequency, expected one for the ring.": (
            lambda u, v, m: _cross(u, v)[m] / np.sqrt(_power(u)[m] * _power(v)[m])
        ),
        "real parts alone are multiplied; the imaginary parts belong to the detail, too.": (
            lambda u, v, m: (
                (u.real * v.real)[m].sum() / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
            )
        ),
        "the denominator sums products; it is the product of two sums.": lambda u, v, m: (
            _cross(u, v)[m].sum() / np.sqrt((_power(u) * _power(v))[m].sum())
        ),
        "the denominator sums products of magnitudes; it is the root of the product of two sums.": (
            lambda u, v, m: _cross(u, v)[m].sum() / (np.abs(u) * np.abs(v))[m].sum()
        ),
        "the denominator is the mean of the two powers; it is the root of their product.": (
            lambda u, v, m: _cross(u, v)[m].sum() / ((_power(u) + _power(v))[m].sum() / 2)
        ),
        "the root covers one of the two powers only.": lambda u, v, m: (
            _cross(u, v)[m].sum() / (np.sqrt(_power(u)[m].sum()) * _power(v)[m].sum())
        ),
        "the numerator is masked, the denominator is not.": lambda u, v, m: (
            _cross(u, v)[m].sum() / np.sqrt(_power(u).sum() * _power(v).sum())
        ),
        "the denominator is masked, the numerator is not.": lambda u, v, m: (
            _cross(u, v).sum() / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
        ),
        "the denominator is missing: that is the strength of the common detail, not a correlation.": (
            lambda u, v, m: _cross(u, v)[m].sum()
        ),
        "the imaginary part of the sum is taken; it is the real part.": lambda u, v, m: (
            (u * v.conj())[m].sum().imag / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
        ),
        "the mean in the numerator, sums in the denominator: take sums, or means, in both.": (
            lambda u, v, m: (
                _cross(u, v)[m].mean() / np.sqrt(_power(u)[m].sum() * _power(v)[m].sum())
            )
        ),
        "the mask is inverted: those are the frequencies outside the ring.": lambda u, v, m: (
            _cross(u, v)[~m].sum() / np.sqrt(_power(u)[~m].sum() * _power(v)[~m].sum())
        ),
    },
    solution=_solved_correlation,
)
