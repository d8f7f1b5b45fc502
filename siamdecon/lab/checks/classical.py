"""Exercises of notebook 03: the updates of Lucy-Richardson and Landweber, and when to stop."""

import numpy as np
from scipy import ndimage

from siamdecon.lab.checks.engine import Exercise

_KERNEL = np.array([[0.0, 0.1, 0.0], [0.3, 0.2, 0.1], [0.25, 0.0, 0.05]])  # asymmetric on purpose


# with wrapped borders the transpose of 1 is 1 exactly, so an update that divides by it is right too
def _blur(x):
    return ndimage.convolve(x, _KERNEL, mode="wrap")


def _correlate(y):
    return ndimage.correlate(y, _KERNEL, mode="wrap")


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
    return rng.uniform(0.1, 1, shape), rng.uniform(0, 2, shape)  # some right answers exceed 1


def _solved(estimate, measured, blur, correlate):
    ratio = measured / blur(estimate)
    return estimate * correlate(ratio)


#: estimate * correlate(measured / blur(estimate)).
lucy_richardson_update = Exercise(
    "an update of Lucy and Richardson",
    _update,
    ((*_images(0, (5, 6)), _blur, _correlate), (*_images(1, (4, 4)), _blur, _correlate)),
    {
        "the ratio was passed to blur; it goes back through the flipped kernel: correlate.": (
            lambda x, y, blur, correlate: x * blur(y / blur(x))
        ),
        "the estimate was blurred by correlate; the expected measurement is blur(estimate).": (
            lambda x, y, blur, correlate: x * correlate(y / correlate(x))
        ),
        "the correction is added; it is a factor that multiplies the estimate.": (
            lambda x, y, blur, correlate: x + correlate(y / blur(x))
        ),
        "the derivative is a difference from 1; the factor is correlate(ratio) itself, without the - 1.": (
            lambda x, y, blur, correlate: x * (correlate(y / blur(x)) - 1)
        ),
        "that is a step along the derivative; the update multiplies the estimate by a factor.": (
            lambda x, y, blur, correlate: x + correlate(y / blur(x)) - 1
        ),
        "that is the factor alone; multiply the old estimate by it.": (
            lambda x, y, blur, correlate: correlate(y / blur(x))
        ),
        "the measurement was compared with the estimate itself; blur it first, then the two can be "
        "compared.": (lambda x, y, blur, correlate: x * correlate(y / x)),
        "the ratio was not sent back: correlate spreads each pixel's ratio to where its light came from.": (
            lambda x, y, blur, correlate: x * y / blur(x)
        ),
        "numerator and denominator were sent back apart; that is the rule for Gaussian noise.": (
            lambda x, y, blur, correlate: x * correlate(y) / correlate(blur(x))
        ),
        "the estimate was multiplied before it was sent back; only the ratio goes through correlate.": (
            lambda x, y, blur, correlate: correlate(x * y / blur(x))
        ),
        "the factor multiplies the measurement; it corrects the estimate.": (
            lambda x, y, blur, correlate: y * correlate(y / blur(x))
        ),
        "that takes the difference measured - blur(estimate); the Poisson likelihood leads to the ratio.": (
            lambda x, y, blur, correlate: x * correlate(y - blur(x))
        ),
        "the estimate times a difference is added; the Poisson likelihood leads to a factor, a ratio.": (
            lambda x, y, blur, correlate: x + x * correlate(y - blur(x))
        ),
        "the factor multiplies the blurred estimate; it corrects the estimate itself.": (
            lambda x, y, blur, correlate: blur(x) * correlate(y / blur(x))
        ),
        "that is a step along the gradient, a difference; the fixed point multiplies by the ratio.": (
            lambda x, y, blur, correlate: x + correlate(y - blur(x))
        ),
    },
    solution=_solved,
)


def _stepped(x, y, blur, correlate):
    """Write the blur as a matrix, and go against the gradient of half the squared residual."""
    matrix = np.stack([blur(row.reshape(x.shape)).ravel() for row in np.eye(x.size)], axis=1)
    gradient = np.empty(x.size)
    for j in range(x.size):
        gradient[j] = sum((matrix[:, j] * (matrix @ x.ravel() - y.ravel())).tolist())
    return np.reshape([max(0.0, v) for v in x.ravel() - gradient], x.shape)


def _step_solved(estimate, measured, blur, correlate):
    step = correlate(measured - blur(estimate))
    return np.maximum(estimate + step, 0)


def _bright(seed, shape):
    estimate, measured = _images(seed, shape)
    return estimate, 2 * measured - 1.5  # some pixels of the right answer are cut at 0


#: The estimate plus correlate(measured - blur(estimate)), cut at 0.
landweber_update = Exercise(
    "an update of Landweber",
    _stepped,
    ((*_bright(2, (5, 6)), _blur, _correlate), (*_bright(3, (4, 4)), _blur, _correlate)),
    {
        "each step still goes downhill: look at the sign of the difference that is sent back.": (
            lambda x, y, blur, correlate: np.maximum(x + correlate(blur(x) - y), 0)
        ),
        "the difference is sent back by blur; the transpose is correlate.": (
            lambda x, y, blur, correlate: np.maximum(x + blur(y - blur(x)), 0)
        ),
        "negative pixels are left; there is no negative light.": (
            lambda x, y, blur, correlate: x + correlate(y - blur(x))
        ),
        "the estimate was not blurred before it was compared.": (
            lambda x, y, blur, correlate: np.maximum(x + correlate(y - x), 0)
        ),
        "that is the step alone; add it to the estimate.": (
            lambda x, y, blur, correlate: np.maximum(correlate(y - blur(x)), 0)
        ),
        "the step multiplies; a step along a derivative is added.": (
            lambda x, y, blur, correlate: np.maximum(x * correlate(y - blur(x)), 0)
        ),
        "that sends back the ratio, which is Lucy-Richardson; a Gaussian likelihood has the difference.": (
            lambda x, y, blur, correlate: np.maximum(x * correlate(y / blur(x)), 0)
        ),
        "the step is cut at 0, so the estimate only grows; cut the sum.": (
            lambda x, y, blur, correlate: x + np.maximum(correlate(y - blur(x)), 0)
        ),
        "the absolute value is taken; set negative pixels to 0.": (
            lambda x, y, blur, correlate: np.abs(x + correlate(y - blur(x)))
        ),
    },
    solution=_step_solved,
)

_SIZES = [0.30, 0.20, 0.15, 0.10, 0.08, 0.075, 0.07]


def _first(sizes, noise):
    n = 1
    while sizes[n - 1] > noise:
        n += 1
    return n


def _stop_solved(sizes, noise):
    return int(np.argmax(np.array(sizes) <= noise)) + 1


#: The number of the first iteration whose residual is no larger than the noise.
stop = Exercise(
    "when to stop",
    _first,
    ((_SIZES, 0.13), (_SIZES, 0.20), (_SIZES, 0.074), (_SIZES, 0.4)),
    {
        "that is one too early: the list counts from 0, iterations from 1.": lambda s, noise: (
            _first(s, noise) - 1
        ),
        "that is the iteration with the nearest residual; it may still be larger than the noise.": (
            lambda s, noise: int(np.argmin(np.abs(np.array(s) - noise))) + 1
        ),
        "that is the index of the nearest residual; take the first that is no larger, and count from 1.": (
            lambda s, noise: int(np.argmin(np.abs(np.array(s) - noise)))
        ),
        "that looks for a residual larger than the noise: the comparison is the wrong way round.": (
            lambda s, noise: int(np.argmax(np.array(s) > noise)) + 1
        ),
        "that counts the residuals that are no larger than the noise; return the number of the first.": (
            lambda s, noise: sum(v <= noise for v in s)
        ),
        "that is the last iteration of all, which fits the noise most.": lambda s, noise: (
            int(np.argmin(s)) + 1
        ),
        "that is the residual itself; return the number of its iteration.": lambda s, noise: s[
            _first(s, noise) - 1
        ],
        "that is the list of all such iterations; return the first.": lambda s, noise: (
            [i + 1 for i, v in enumerate(s) if v <= noise]
        ),
        "one residual is exactly as large as the noise, and that is enough: <=, not <.": (
            lambda s, noise: int(np.argmax(np.array(s) < noise)) + 1
        ),
    },
    solution=_stop_solved,
)
