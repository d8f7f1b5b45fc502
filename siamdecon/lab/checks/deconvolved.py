"""Exercises of notebook 06: invariance before the PSF, and differences of paired runs."""

import math

import numpy as np

from siamdecon.lab.checks.engine import Exercise
from siamdecon.lab.checks.siamese import OfLosses, mean_at, rms, scene, wrong_invariances


def _eq4(f, g, x, x_hidden, mask, lambda_inv_d):
    rec = mean_at((g(f(x)) - x) ** 2)
    return rec + lambda_inv_d * mean_at((f(x) - f(x_hidden)) ** 2, mask) ** 0.5


def _wrong_terms(rec=None, inv=None):
    """Return Eq. 4 with another first or second term, of x, J, f(x), f(x_hidden), g(f(x))."""

    def wrong(f, g, x, xh, m, w):
        outputs = (x, m, f(x), f(xh), g)
        first = (rec or (lambda x, m, a, b, g: ((g(a) - x) ** 2).mean()))(*outputs)
        return first + (inv or (lambda w, x, m, a, b, g: w * rms((a - b)[m])))(w, *outputs)

    return wrong


def _eq4_solved(f, g, x, x_hidden, mask, lambda_inv_d):
    unmasked = f(x)
    masked = f(x_hidden)
    rec = ((g(unmasked) - x) ** 2).mean()
    inv_d = ((unmasked - masked)[mask] ** 2).mean().sqrt()
    return rec + lambda_inv_d * inv_d


#: L_rec + lambda_inv_d L_inv(d): Eq. 4 without its boundary loss.
noise2same_d_loss = OfLosses(
    "Eq. 4",
    _eq4,
    ((*scene((1, 1, 9, 7), 9), 3.0), (*scene((2, 1, 6, 6), 10), 0.5)),
    wrong_invariances(lambda term: _wrong_terms(inv=lambda w, x, m, a, b, g: term(w, a, b, m)))
    | {
        "that is Eq. 3: both outputs of the invariance are blurred; here f(x) itself is compared.": (
            _wrong_terms(inv=lambda w, x, m, a, b, g: w * rms((g(a) - g(b))[m]))
        ),
        "one output of the invariance is blurred, the other is not; here neither is.": (
            _wrong_terms(inv=lambda w, x, m, a, b, g: w * rms((g(a) - b)[m]))
        ),
        "one output of the invariance is not blurred, the other is; here neither is.": (
            _wrong_terms(inv=lambda w, x, m, a, b, g: w * rms((a - g(b))[m]))
        ),
        "the reconstruction compares f(x) with x; x is blurred, so g comes first: g(f(x)).": (
            _wrong_terms(lambda x, m, a, b, g: ((a - x) ** 2).mean())
        ),
        "g comes after f: g(f(x)), the estimate is blurred, not the network's input.": (
            lambda f, g, x, xh, m, w: ((f(g(x)) - x) ** 2).mean() + w * rms((f(x) - f(xh))[m])
        ),
        "the measurement is blurred once more; g belongs to f(x), the estimate.": (
            _wrong_terms(lambda x, m, a, b, g: ((a - g(x)) ** 2).mean())
        ),
        "the first term is the blind-spot loss; the reconstruction takes g(f(x)), at all pixels.": (
            _wrong_terms(lambda x, m, a, b, g: ((g(b) - x)[m] ** 2).mean())
        ),
        "the lambda multiplies both terms; it belongs to the invariance alone.": (
            lambda f, g, x, xh, m, w: w * _eq4_solved(f, g, x, xh, m, 1)
        ),
        "the reconstruction uses J only; it is a mean over all pixels.": (
            _wrong_terms(lambda x, m, a, b, g: ((g(a) - x)[m] ** 2).mean())
        ),
        "the reconstruction takes the unmasked pass, g(f(x)), not the masked one.": (
            _wrong_terms(lambda x, m, a, b, g: ((g(b) - x) ** 2).mean())
        ),
        "the reconstruction is a mean square, without a root.": (
            _wrong_terms(lambda x, m, a, b, g: rms(g(a) - x))
        ),
        "the invariance compares an estimate with the measurement; it compares the two estimates.": (
            _wrong_terms(inv=lambda w, x, m, a, b, g: w * rms((b - x)[m]))
        ),
        "the reconstruction is missing: two estimates may agree and both be wrong.": (
            _wrong_terms(lambda x, m, a, b, g: 0 * a.mean())
        ),
    },
    solution=_eq4_solved,
)


def _runs(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of two methods that share what is hard about a run."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(22, 1, n), rng.normal(0, 0.1, (2, n))
    return shared + own[0] + 0.05, shared + own[1]


def _paired(a, b):
    differences = [p - q for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    n = len(differences)
    mean = math.fsum(differences) / n
    return [mean, math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n)]


def _error(d, ddof=1):
    return np.std(d, ddof=ddof) / np.sqrt(len(d))


def _paired_solved(a, b):
    difference = a - b
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


#: Mean of the paired differences a - b, and its standard error.
paired = Exercise(
    "the mean difference and its standard error",
    _paired,
    (_runs(0, 8), _runs(1, 9)),
    {
        "the second number is the spread of single differences; that of their mean is smaller by sqrt(n).": (
            lambda a, b: [np.mean(a - b), np.std(a - b, ddof=1)]
        ),
        "the spread is divided by n; it falls with the root of n only.": (
            lambda a, b: [np.mean(a - b), np.std(a - b, ddof=1) / len(a)]
        ),
        "the root is that of the number of runs. That the spread is divided by one less is done by ddof=1.": (
            lambda a, b: [np.mean(a - b), np.std(a - b, ddof=1) / np.sqrt(len(a) - 1)]
        ),
        "np.std divides by n unless ddof=1 is given, which makes the spread of a few runs too small.": (
            lambda a, b: [np.mean(a - b), _error(a - b, 0)]
        ),
        "that is the spread of single differences, and np.std needs ddof=1 for a few runs.": (
            lambda a, b: [np.mean(a - b), np.std(a - b)]
        ),
        "the variance stands where its root belongs.": (
            lambda a, b: [np.mean(a - b), np.var(a - b, ddof=1) / len(a)]
        ),
        "the spread of the two methods is taken separately. A hard seed is hard for both: subtract first.": (
            lambda a, b: [np.mean(a - b), np.hypot(_error(a), _error(b))]
        ),
        "the difference has the wrong sign: a minus b.": lambda a, b: [
            np.mean(b - a),
            _error(a - b),
        ],
        "the median stands where the mean belongs.": lambda a, b: [np.median(a - b), _error(a - b)],
        "the two methods are divided; their difference is asked for.": (
            lambda a, b: [np.mean(a / b), _error(a / b)]
        ),
        "the mean is missing: that is a difference for each run.": lambda a, b: a - b,
        "that is the mean difference alone; its standard error is missing.": lambda a, b: np.mean(
            a - b
        ),
        "the mean and the error are exchanged.": lambda a, b: [_error(a - b), np.mean(a - b)],
        "the absolute differences are averaged; those of both signs must cancel.": (
            lambda a, b: [np.mean(np.abs(a - b)), _error(a - b)]
        ),
    },
    solution=_paired_solved,
)
