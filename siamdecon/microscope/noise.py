"""The noise of a microscope: its model, drawing it, and estimating it from an image."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy  # which loads scipy.optimize when it is first used
import torch
from scipy.ndimage import convolve1d, maximum_filter, uniform_filter
from scipy.special import ndtr, ndtri
from torch import Tensor

from siamdecon.expect import expect, is_number, is_whole
from siamdecon.microscope.camera import cut_at, without_noise

#: Residuals beyond this many standard deviations count as impulses.
_FAR = 4.0
#: An estimate overfits noise if its residual is below this fraction of the noise level.
_MUCH_LESS = 0.85


@dataclass(frozen=True)
class Noise:
    """The noise model of the paper's Section 3, for images in [0, 1].

    Parameters
    ----------
    poisson : float
        alpha: shot noise of variance alpha * signal, drawn as Gaussian as in the paper's code.
    gaussian : float
        sigma: standard deviation of the signal-independent noise.
    salt_and_pepper : float
        Fraction of pixels replaced by a value uniform in [0, 1].
    bits : int or None
        Values are rounded to multiples of 2^-bits; None for no quantisation.
    clip : bool, "black" or "white"
        Whether values are clipped to [0, 1] at the end, as by a camera; or at 0 alone, or at 1 alone.
    black : float
        The signal without light, from which on it has shot noise: above 0, where that is an image's darkest
        pixel.

    Raises
    ------
    ValueError
        If a value is out of range; the message names the field.

    Examples
    --------
    >>> Noise(gaussian=0.05).salt_and_pepper
    0.0
    """

    poisson: float = 0.0
    gaussian: float = 0.0
    salt_and_pepper: float = 0.0
    bits: int | None = None
    clip: bool | str = True
    black: float = 0.0

    def __post_init__(self):
        for name in ("poisson", "gaussian", "salt_and_pepper"):
            value = getattr(self, name)
            expect(is_number(value) and value >= 0, name, "a number of 0 or more", value)
        impulses = self.salt_and_pepper
        expect(impulses <= 1, "salt_and_pepper", "a share up to 1", impulses)
        expect(is_number(self.black), "black", "a number", self.black)
        valid = self.bits is None or (is_whole(self.bits) and 1 <= self.bits <= 16)
        expect(valid, "bits", "1 to 16, or None", self.bits)
        known = self.clip in (True, False, "black", "white")
        expect(known, "clip", "True, False, 'black' or 'white'", self.clip)

    @property
    def ends(self) -> tuple[float, float]:
        """Where the measurement is clipped below and above; infinite where it is not."""
        black, white = self.clip in (True, "black"), self.clip in (True, "white")
        return 0.0 if black else -np.inf, 1.0 if white else np.inf

    def mean(self, blurred: np.ndarray) -> np.ndarray:
        r"""Return the expected value of the measurement, given the noise-free image `blurred`.

        Clipping biases the noise: with sigma 0.1 a black pixel measures 0.04 on average. For the value mu
        without noise, all noise of standard deviation sigma at mu, and values clipped to [0, 1],

        .. math:: m(\mu) = \mu \left( \Phi(\tfrac{1 - \mu}{\sigma}) - \Phi(\tfrac{-\mu}{\sigma}) \right)
                  + \sigma \left( \varphi(\tfrac{\mu}{\sigma}) - \varphi(\tfrac{1 - \mu}{\sigma}) \right)
                  + \Phi(\tfrac{\mu - 1}{\sigma})

        with Phi and varphi the normal distribution and its density. What is not clipped at 0 or at 1 has its
        end at infinity.

        Examples
        --------
        >>> PAPER_2D.mean(np.array([0.0, 0.5, 1.0])).round(3)
        array([0.044, 0.5  , 0.954])
        """
        mu = np.asarray(blurred, dtype=np.float64)
        low, high = self.ends
        if not self.clip or self.poisson == self.gaussian == 0:
            expected = mu.clip(low, high)
        else:
            s = np.maximum(self._deviation(mu), 1e-12)
            a, b = (low - mu) / s, (high - mu) / s
            phi_a, phi_b = (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) for x in (a, b))
            expected = mu * (ndtr(b) - ndtr(a)) + s * (phi_a - phi_b) + ndtr(-b)
        return (1 - self.salt_and_pepper) * expected + self.salt_and_pepper * 0.5

    def _deviation(self, signal: np.ndarray) -> np.ndarray:
        """Return the standard deviation of the noise at each value of a signal."""
        return np.sqrt(self.poisson * (signal - self.black).clip(0) + self.gaussian**2)


def mean_response(noise: Noise | None) -> Callable[[Tensor], Tensor]:
    """Return `Noise.mean` as a differentiable function of tensors; the identity for None.

    A method that compares m(g(f(x))), rather than g(f(x)), with the measurement is not biased by clipping.

    Parameters
    ----------
    noise : Noise or None

    Returns
    -------
    callable
        Maps a tensor to one of the same shape: `Noise.mean` interpolated linearly from a table.

    Raises
    ------
    ValueError
        If the noise is anything else.

    Examples
    --------
    >>> m = mean_response(Noise(gaussian=0.1))
    >>> m(torch.tensor([0.0, 0.5, 1.0])).round(decimals=3)
    tensor([0.0400, 0.5000, 0.9600])
    """
    # functions of the module, since a training that keeps one may go to another process
    if noise is None:
        return _unchanged
    expect(isinstance(noise, Noise), "noise", "a Noise or None", noise)
    knots = torch.from_numpy(noise.mean(np.linspace(*_KNOTS)))
    return partial(_interpolated, tables=(knots[:-1].float(), knots.diff().float()))


#: Where the table of `mean_response` begins and ends, and its number of values.
_KNOTS = -0.5, 1.5, 2001


def _unchanged(x: Tensor) -> Tensor:
    return x


def _interpolated(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate between the knots, and extrapolate beyond them; the tables are values and slopes, (n,)."""
    low, high, count = _KNOTS
    place = (x - low) * ((count - 1) / (high - low))
    left = place.detach().nan_to_num().clamp(0, count - 2).int()
    moved = (table.to(x, non_blocking=True) for table in tables)
    at, rise = (table.index_select(0, left.flatten()) for table in moved)
    return torch.addcmul(at.view_as(x), rise.view_as(x), place - left)


#: Section 3: Poisson alpha 0.001, Gaussian sigma 0.1, 1 % of impulses, 10 bits.
PAPER_2D = Noise(poisson=0.001, gaussian=0.1, salt_and_pepper=0.01, bits=10)
#: The same without impulses ("only for 2D images").
PAPER_3D = Noise(poisson=0.001, gaussian=0.1, bits=10)


def add_noise(blurred: np.ndarray, noise: Noise, rng) -> np.ndarray:
    """Add noise to a blurred image; the second half of `degrade`.

    Parameters
    ----------
    blurred : ndarray, shape ([z,] y, x)
    noise : Noise
    rng : numpy.random.RandomState or numpy.random.Generator

    Returns
    -------
    noisy : ndarray of float32, shape as `blurred`

    Examples
    --------
    >>> add_noise(np.full((2, 2), 0.3), Noise(bits=1), np.random.default_rng(0)).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    # in chunks to save memory, drawn in the same order as for the whole array
    count = min(len(blurred), math.ceil(blurred.size / 2**20))
    noisy = np.empty(blurred.shape, np.float32)
    parts = list(zip(np.array_split(noisy, count), np.array_split(blurred, count), strict=True))
    for out, x in parts:
        out[:] = _recorded(x + noise._deviation(x) * rng.normal(size=x.shape), noise)
    hits = [rng.uniform(size=x.shape) < noise.salt_and_pepper for _, x in parts]
    for (out, x), hit in zip(parts, hits, strict=True):
        out[hit] = _recorded(rng.uniform(size=x.shape)[hit], noise)
    return noisy


def _recorded(x: np.ndarray, noise: Noise) -> np.ndarray:
    """Quantise and clip as the camera does."""
    if noise.bits is not None:
        x = np.round(x * 2**noise.bits) / 2**noise.bits
    return x.clip(*noise.ends)


def estimate_noise(image: np.ndarray, clip: bool | str | None = None) -> Noise | None:
    """Estimate the noise of an image that was clipped at 0 or 1; None for any other image.

    In a clipped image the mean of the measurement differs from the signal (see `Noise.mean`), which a
    restoration should take into account. Whether the noise is cut there is decided by `cut_at`. The
    standard deviation is measured where the local mean is far from 0 and 1, or, in an image that is dark
    nearly everywhere (as volumes often are), from the upper quantiles of its background.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        In [0, 1].
    clip : bool, "black" or "white", optional
        Where it was clipped, if that is known; see `clipping`.

    Returns
    -------
    Noise or None
        With `gaussian` and `clip` set; None if the noise is cut at neither 0 nor 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal = np.full((200, 200), 0.1) + 0.4 * (np.arange(200) > 100)
    >>> image = (signal + rng.normal(scale=0.1, size=signal.shape)).clip(0, 1)
    >>> round(estimate_noise(image).gaussian, 2), estimate_noise(image * 0.5 + 0.2) is None
    (0.1, True)
    """
    clip = clipping(image) if clip is None else clip
    if not clip:
        return None
    sigma, pixels = noise_level(image), np.asarray(image, dtype=np.float64)
    seen, local = _shows_noise(image), uniform_filter(pixels, size=5)
    for _ in range(2):  # sigma decides which pixels are far enough from 0 and 1
        free = (local > 2 * sigma) & (local < 1 - 2 * sigma)
        free &= True if seen is None else seen
        if free.sum() < 1000:
            sigma = _background_noise(pixels, local)
            break
        sigma = noise_level(image, free)
    return Noise(gaussian=sigma, clip=clip) if sigma > 1e-3 else None  # weak noise causes no bias


def _background_noise(image: np.ndarray, local: np.ndarray) -> float:
    """Estimate the standard deviation of a clipped background from quantiles on its unclipped side."""
    if np.mean(image >= 1) > np.mean(image <= 0):
        image, local = 1 - image, 1 - local
    low, high = 0.7, 0.9
    background = image[local <= np.median(local)]
    return float(np.diff(np.quantile(background, (low, high)))[0] / (ndtri(high) - ndtri(low)))


def fit_noise(image: np.ndarray, blurred: np.ndarray, clip: bool | str | None = None) -> Noise:
    """Fit all parameters of the noise to an image and a blurred first estimate of it.

    The variance of the residual as a function of the signal gives `poisson` and `gaussian`, its outliers
    `salt_and_pepper`. If the first estimate overfits noise, that is, if its residual is much weaker than
    the finest detail of the image, the variances come from the finest detail instead, and impulses are not
    detected. Nor are they where grey levels lie further apart than the noise spreads: few photons, or few
    levels. In a clipped image only pixels whose signal is far from 0 and 1 are used.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        In [0, 1].
    blurred : ndarray, shape as `image`
        An estimate of the image without noise.
    clip : bool, "black" or "white", optional
        As for `estimate_noise`.

    Returns
    -------
    Noise
        With `poisson`, `gaussian`, `salt_and_pepper` and `clip`.

    References
    ----------
    Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE Trans. Image Processing 17 (2008), for the fit of variance to signal.

    Examples
    --------
    >>> signal = np.linspace(0, 1, 300) * np.ones((300, 1))
    >>> noise = fit_noise(add_noise(signal, PAPER_2D, np.random.default_rng(0)), signal)
    >>> round(noise.gaussian, 2), round(noise.salt_and_pepper, 2), noise.clip
    (0.1, 0.01, True)
    """
    clip = clipping(image) if clip is None else clip
    residual, signal = (np.asarray(image) - blurred).ravel(), np.asarray(blurred).ravel()
    sigma, finest = noise_level(image), finest_detail(image).ravel()
    seen = _shows_noise(image)
    free = seen = np.ones(signal.shape, bool) if seen is None else seen.ravel()
    if clip:
        for _ in range(2):  # sigma decides which pixels are far enough from 0 and 1
            free = seen & _far_from_ends(signal, sigma, Noise(clip=clip))
            if free.sum() < 1000:
                known = estimate_noise(image, clip)
                return Noise(gaussian=known.gaussian if known else sigma, clip=clip)
            sigma = _spread(residual[free])
    residual, signal, finest = residual[free], signal[free], finest[free]
    spread = spread_of(image)
    # with a narrow kernel the first estimate may overfit noise, so that little of it is left
    measured = residual if spread(residual) > _MUCH_LESS * spread(finest) else finest
    constant, slope, black = variance_line(signal, measured, spread)
    found = Noise(slope, float(np.sqrt(constant)), clip=clip, black=black)
    # few photons have long tails, too
    if spread is np.std or (not clip and slope * signal.mean() > constant):
        return found
    reach = _FAR * np.maximum(found._deviation(signal), 1e-6)
    outlying = np.mean(np.abs(residual) > reach) - 2 * ndtr(-_FAR)
    seen = 1 - np.mean((signal + reach).clip(0, 1) - (signal - reach).clip(0, 1))
    impulses = outlying / seen if seen > 0.1 else 0.0
    share = float(np.clip(impulses, 0, 1)) if impulses > 1e-3 else 0.0
    return replace(found, salt_and_pepper=share)


def variance_line(signal: np.ndarray, noise: np.ndarray, spread=None) -> tuple[float, float, float]:
    """Fit the variance of noise as a straight line over the signal, robustly.

    Where the line would meet a signal of 0 below a variance of 0, black lies above 0, and what is darker has
    the variance of the darkest.

    Parameters
    ----------
    signal, noise : ndarray, shape (n,)
    spread : callable, optional
        Takes values and returns their standard deviation; by their median absolute deviation unless given.

    Returns
    -------
    constant, slope, black : float
        Variance at black, what each unit of signal above it adds, and the signal that is black; 0 or more.

    Examples
    --------
    >>> signal = np.linspace(0, 1, 100_000)
    >>> noise = np.random.default_rng(0).normal(0, np.sqrt(0.01 + 0.02 * signal))
    >>> [round(v, 2) for v in variance_line(signal, noise)]
    [0.01, 0.02, 0.0]
    """
    edges = np.quantile(signal, np.linspace(0, 1, 11))
    bins = [(signal >= a) & (signal <= b) for a, b in itertools.pairwise(edges) if b > a]
    bins = [b for b in bins if b.sum() > 100] or [np.ones(signal.shape, dtype=bool)]
    levels = np.array([[1, max(0.0, signal[b].mean())] for b in bins])
    variances = np.array([((spread or _spread)(noise[b]) or noise[b].std()) ** 2 for b in bins])
    # the error of a variance is proportional to it; one of nearly nothing must not outweigh the rest: where
    # most pixels have no photon, a blurred estimate can't tell the signal there from 0
    least = variances.max() * (1.0 if spread is np.std else 0.1)
    weights = 1 / np.maximum(variances, max(1e-12, least))
    # a weak penalty on the slope: from a constant signal the two can't be told apart
    rows = np.vstack([levels * weights[:, None], [0, 0.05 * weights.mean()]])
    right = np.append(variances * weights, 0)
    constant, slope = scipy.optimize.nnls(rows, right)[0]
    # what is weak beside signals up to 1 would be strong beside these
    rows[-1] *= levels[:, 1].max()
    at_0, steeper = np.linalg.lstsq(rows, right, rcond=None)[0]
    if constant > 0 or at_0 >= 0 or steeper <= 0:
        return float(constant), float(slope), 0.0
    dark = variances.min()
    return float(dark), float(steeper), float((dark - at_0) / steeper)


def overfits_noise(image: np.ndarray, blurred: np.ndarray, noise: Noise) -> bool:
    """Tell whether an estimate reproduces noise: its residual is much weaker than the noise.

    Parameters
    ----------
    image, blurred : ndarray, shape ([z,] y, x)
        The measurement and the blurred estimate, in [0, 1]. Pixels near 0 or 1 are ignored if the
        noise is clipped.
    noise : Noise

    Returns
    -------
    bool
        False also if fewer than 1000 pixels are left.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(0.5, 0.1, (64, 64))
    >>> mean = np.full((64, 64), 0.5)
    >>> [overfits_noise(image, x, Noise(gaussian=0.1)) for x in (mean, (image + mean) / 2)]
    [False, True]
    """
    deviation = np.maximum(noise._deviation(blurred), 1e-6)
    free = _far_from_ends(blurred, deviation, noise)
    if free.sum() < 1000:
        return False
    return spread_of(image)(((image - blurred) / deviation)[free]) < _MUCH_LESS


def clipping(image: np.ndarray) -> bool | str:
    """Return where the noise of an image is cut, as `Noise.clip` says it.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 0.1, (99, 99))
    >>> clipping(noise.clip(0)), clipping(1 - noise.clip(0)), clipping(noise)
    ('black', 'white', False)
    """
    return both_or_one(cut_at(image, 0), cut_at(image, 1))


def both_or_one(black: bool, white: bool) -> bool | str:
    """Return the `Noise.clip` of a measurement that is cut at black, at white, at both or at neither.

    Examples
    --------
    >>> both_or_one(True, True), both_or_one(False, True)
    (True, 'white')
    """
    return (black and white) or (black and "black") or (white and "white")


def _far_from_ends(signal: np.ndarray, deviation: float | np.ndarray, noise: Noise) -> np.ndarray:
    """Return where noise of that standard deviation is hardly ever clipped."""
    low, high = noise.ends
    return (signal > low + 2.5 * deviation) & (signal < high - 2.5 * deviation)


def _spread(values: np.ndarray) -> float:
    """Estimate the standard deviation robustly, by the median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values))) / ndtri(0.75))


def spread_of(image: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return what measures the spread of the noise of an image: its median, where that can.

    Where most pixels around a signal take one grey level, their median deviation is nearly 0.
    """
    values = np.ravel(image)
    levels = np.unique(values[:: max(1, values.size // 100_000)])
    # a low quantile, not the least: a defect's neighbours have left a value between the levels
    step = np.quantile(np.diff(levels), 0.25, method="nearest") if levels.size > 1 else 0
    return np.std if step > noise_level(image) else _spread


def noise_level(image: np.ndarray, where: np.ndarray | None = None) -> float:
    """Estimate the standard deviation of the noise from the finest detail of an image.

    A blurred image has almost no detail at the scale of a pixel, so the median absolute second
    difference measures the noise. Noise removed by clipping is not measured.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
    where : ndarray of bool, shape as `image`, optional
        The pixels to use; unless given, all but those that hold none (`siamdecon.microscope.camera`).

    Returns
    -------
    float
        In units of the image.

    References
    ----------
    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(noise_level(rng.normal(scale=0.1, size=(200, 200))), 2)
    0.1
    """
    inside = tuple(slice(1, -1) if n > 2 else slice(None) for n in np.shape(image))
    detail = finest_detail(image)[inside]
    where = _shows_noise(image) if where is None else where
    seen = detail if where is None else detail[where[inside]]
    # the median of |N(0, 1)|; it is 0 where most pixels hold no photon
    return float(np.median(np.abs(seen)) / 0.6745) or float(seen.std())


def _shows_noise(image: np.ndarray) -> np.ndarray | None:
    """Return where the finest detail of an image is that of its noise; None if that is everywhere."""
    none = without_noise(np.asarray(image))
    if none is None or not (seen := ~maximum_filter(none, 3))[..., 1:-1, 1:-1].any():
        return None
    return seen


def finest_detail(image: np.ndarray) -> np.ndarray:
    """Return the second difference along every axis, periodic at the border.

    It is scaled to preserve the standard deviation of white noise.

    Examples
    --------
    >>> finest_detail(np.eye(3)[1:2]).round(2).tolist()
    [[0.41, -0.82, 0.41]]
    """
    detail = np.asarray(image, dtype=np.float64)
    for axis in range(detail.ndim):
        if detail.shape[axis] > 2:
            detail = convolve1d(detail, [1, -2, 1], axis, mode="wrap")
            detail /= np.sqrt(6)  # in place, to save memory
    return detail
