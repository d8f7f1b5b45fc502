"""Choose a method without the truth: by how well each predicts pixels that it has not seen."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.ndimage import median_filter

from siamdecon.expect import Words, expect, warn
from siamdecon.hardware import to_array, to_tensor
from siamdecon.methods.base import METHODS, Method
from siamdecon.microscope.degradation import residual
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator

#: Unless others are named: the strongest of each kind.
CANDIDATES = ("wiener", "richardson_lucy", "total_variation", "self_scale")
#: Of each, where nothing is given: what makes the most of it on a noisy image.
OPTIONS = {"richardson_lucy": {"prefilter": "median"}, "total_variation": {"noise": "auto"}}
#: One pixel in a square or cube of this side is held out, by number of dimensions.
SPACING = {2: 4, 3: 3}
#: Beyond this, in units of the range, a residual counts no more: it is that of an impulse.
REACH = 0.3
#: By their mean PSNR on the benchmark's images, the highest first; `richardson_lucy` after a median filter.
STRONGEST = (
    "self_scale",
    "total_variation",
    "noise2same_d",
    "noise2self",
    "richardson_lucy",
    "ssi",
    "wiener",
    "noise2same",
)


@dataclass(frozen=True)
class HeldOut:
    """How well a method predicts the pixels that were held out from it.

    Attributes
    ----------
    method : str
    errors : ndarray
        Squared error at each pixel, in units of the range [0, 1]; most of it is noise.
    seconds : float
        Of one restoration.
    """

    method: str
    errors: np.ndarray
    seconds: float

    @property
    def score(self) -> float:
        """The mean squared error; lower is better."""
        return float(self.errors.mean())

    def behind(self, best: "HeldOut") -> tuple[float, float]:
        """Return by how much its score is above another's, and the standard error of that.

        Examples
        --------
        >>> a, b = HeldOut("a", np.array([1.0, 3.0]), 0.0), HeldOut("b", np.array([2.0, 4.0]), 0.0)
        >>> b.behind(a)
        (1.0, 0.0)
        """
        difference = self.errors - best.errors
        return float(difference.mean()), float(difference.std() / np.sqrt(difference.size))


def chosen(held_out: Sequence[HeldOut]) -> HeldOut:
    """Return the strongest of the methods whose score is within three standard errors of the lowest.

    What the held-out pixels cannot tell apart, `STRONGEST` decides, the order of the methods where the
    truth is known; as the one-standard-error rule prefers the simplest of what can't be told apart. Three,
    since there are several methods and many images: two would be passed by chance now and then.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, "Classification and regression trees", Wadsworth (1984), section 3.4.3.

    Examples
    --------
    >>> wiener = HeldOut("wiener", np.array([1.0, 3.0, 1.0, 3.0]), 0.0)
    >>> alike = HeldOut("self_scale", np.array([3.0, 1.2, 3.0, 1.2]), 0.0)
    >>> worse = HeldOut("self_scale", np.array([2.0, 4.0, 2.0, 4.0]), 0.0)
    >>> chosen([wiener, alike]).method, chosen([wiener, worse]).method
    ('self_scale', 'wiener')
    """
    best = min(held_out, key=lambda one: one.score)
    behind = [(one, *one.behind(best)) for one in held_out]
    alike = [one for one, more, error in behind if more <= 3 * error]
    # one from outside of the package comes last
    return min(alike, key=lambda one: (*STRONGEST, one.method).index(one.method))


def hold_out(x: np.ndarray) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Replace a sparse grid of pixels by the median of their neighbours.

    Parameters
    ----------
    x : ndarray, shape ([z,] y, x)

    Returns
    -------
    seen : ndarray, shape as `x`
        The image without those pixels.
    grid : tuple of slice
        Where they are.

    Examples
    --------
    >>> seen, grid = hold_out(np.arange(64.0).reshape(8, 8))
    >>> grid[0], seen[2, 2], seen[3, 3]
    (slice(2, None, 4), np.float64(19.0), np.float64(27.0))
    """
    around = np.ones((3,) * x.ndim, bool)
    around[(1,) * x.ndim] = False
    step = SPACING[x.ndim]
    grid = tuple(slice(min(step // 2, n - 1), None, step) for n in x.shape)
    seen = x.copy()
    seen[grid] = median_filter(x, footprint=around, mode="mirror")[grid]
    return seen, grid


def judge(problem: Problem, method: Method, watch: Watch) -> HeldOut:
    r"""Restore an image without some of its pixels, and compare them with the blurred result.

    .. math:: \overline{\left(x_J - m(g(\hat y))_J\right)^2}

    with the estimate restored from x_{J^c}, the image with other values at J (`hold_out`), g the blur, and m
    what clipping does to the mean (`Noise.mean`). The noise at J is in no relation to the estimate, so a
    method that has explained noise as specimen, or smoothed specimen away, predicts J worse. An impulse
    counts as any other outlier. Pixels nearer to the border than the kernel is wide do not count: there the
    light of what lies beyond it is explained by what does not belong to the image.

    Parameters
    ----------
    problem : Problem
        An image in memory.
    method : Method
    watch : Watch
    """
    y = to_array(problem.whole)  # ([z,] y, x)
    noise, (seen, grid) = problem.noise_seen(), hold_out(y)
    # where the camera cuts is what the whole image shows
    how = {"cut": problem.clipping, "sha256": None}
    part = replace(problem, x=to_tensor(seen, problem.device)[0, 0], **how)
    begin = time.perf_counter()
    estimate = method.restore(part, watch)
    seconds = time.perf_counter() - begin
    left = residual(estimate, y, problem.psf, noise)[grid]
    sides = zip(left.shape, problem.psf.shape, strict=True)
    # of a small image, the middle half counts in any case
    cut = [min(math.ceil((k - 1) / SPACING[y.ndim]), n // 4) for n, k in sides]
    left = left[tuple(slice(c, n - c) for c, n in zip(cut, left.shape, strict=True))].ravel()
    # few photons, whose noise is skewed, count whole
    reach = REACH if noise is not None else max(REACH, 5 * float(left.std()))
    return HeldOut(method.name, np.square(left.clip(-reach, reach)), seconds)


@dataclass(frozen=True)
class Auto(Method):
    """The method that best predicts pixels of the image that were held out from it; see `judge`.

    Each candidate restores the image without those pixels, and the best one the whole image.

    Parameters
    ----------
    methods : sequence of str
        The candidates, with their defaults.
    tier : str
        How big their trainings are.
    """

    name: ClassVar = "auto"
    sizes: ClassVar = {
        "test": {n_dim: {"tier": "test", "methods": CANDIDATES[:2]} for n_dim in (2, 3)},
        "lab": {n_dim: {"tier": "lab"} for n_dim in (2, 3)},
        "full": {n_dim: {"tier": "full"} for n_dim in (2, 3)},
    }

    tier: str
    methods: Sequence[str] = CANDIDATES

    def __post_init__(self):
        candidates(self.methods, self.tier, 2)

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Judge the candidates, and fit the best to the whole image."""
        quiet = Watch(progress=watch.progress)
        methods = candidates(self.methods, self.tier, problem.ndim)
        found = []
        for method in methods:
            with left_out(method, unless=self.methods != CANDIDATES):
                found.append(judge(problem, method, quiet))
        best = chosen(found).method
        estimator = next(method for method in methods if method.name == best).fit(problem, watch)
        used = {"chosen": best, "held_out": {one.method: one.score for one in found}}
        return replace(estimator, used=estimator.used | used)


@contextmanager
def left_out(method: Method, unless: bool) -> Iterator[None]:
    """Warn of a candidate that does not take an image, or has diverged; `unless` it was named, so raise."""
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        if unless:
            raise
        warn(f"{method.name} is left out; {error}")


def candidates(methods: Sequence[str], tier: str | None, n_dim: int) -> list[Method]:
    """Return methods by their names, with the options that make the most of each.

    Raises
    ------
    ValueError
        If there are none, or a name is unknown or not that of a single method.

    Examples
    --------
    >>> [method.name for method in candidates(["wiener"], "lab", 2)]
    ['wiener']
    """
    single = [name for name in METHODS if name != Auto.name]
    several = isinstance(methods, Iterable) and not isinstance(methods, str)
    names = list(methods) if several else [methods]
    unknown = [name for name in names if name not in single]
    one = f"one or more of {', '.join(single)}"
    expect(names and not unknown, "methods", one, Words(", ".join(map(str, unknown)) or "none"))
    return [METHODS[name].of_tier(tier, n_dim, OPTIONS.get(name, {})) for name in names]
