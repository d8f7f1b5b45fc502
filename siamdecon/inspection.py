"""What can be said without the truth: of an image and its kernel, and of the methods for it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw

from siamdecon.files.images import Image
from siamdecon.files.on_disk import LARGE
from siamdecon.hardware import one_thread_each, to_array
from siamdecon.methods.auto import CANDIDATES, HeldOut, candidates, chosen, judge, left_out
from siamdecon.microscope.beads import fwhm
from siamdecon.microscope.camera import SHARPEST
from siamdecon.microscope.degradation import residual
from siamdecon.microscope.noise import finest_detail, noise_level, spread_of
from siamdecon.network.training import Watch
from siamdecon.problem import Problem

_CLIPPING = {
    True: "cut at black and at white: the estimate keeps to that range",
    "black": "cut at black: methods that model it take into account that noise below is lost",
    "white": "cut at white: what is brighter is a guess; peaks may rise above",
    False: "not cut: restored peaks may rise above the brightest value measured",
}


@dataclass(frozen=True)
class Inspection:
    """What `inspect` has found; `print` shows it as text.

    Attributes
    ----------
    image : Image
    low, high : float
        The values that become 0 and 1.
    clipping : bool, "black" or "white"
        Where the measurement is cut; see `siamdecon.Noise`.
    defects : int
        Number of pixels that are left out.
    noise : float
        Standard deviation of the noise, in units of the image.
    gain : float or None
        What one photon adds, in units of the image; None if that can't be told within 20 %: the noise does
        not grow along a line, as where rounding outweighs it, differs little, or neighbours share it.
        Of an EMCCD it is twice that, as amplification doubles the variance of the noise.
    findings : list of str
        What stands in the way of a good result.
    psf : ndarray or None
        The kernel as methods use it.

    Examples
    --------
    >>> inspect(np.random.default_rng(0).poisson(100, (64, 64))).defects
    0
    """

    image: Image
    low: float
    high: float
    clipping: bool | str
    defects: int
    noise: float
    gain: float | None
    findings: list[str]
    psf: np.ndarray | None

    def __str__(self):
        span, image = self.high - self.low, repr(self.image)
        grows = "it does not grow along a line with the signal: a photon's count can't be told"
        if self.gain:
            grows = f"it grows with the signal: a photon counts {self.gain:.3g}"
        lines = {
            "image": f"{image[6:-1]}",
            "range": f"{self.low:.6g} to {self.high:.6g}: the lowest value counts as no light",
            "noise": f"{self.noise:.3g}, {self.noise / span:.1%} of the range; {grows}",
            "clipping": _CLIPPING[self.clipping],
            "defects": f"{self.defects} pixels, left out" if self.defects else "none",
        }
        if self.psf is not None:
            widths = " x ".join(f"{width:.1f}" for width in fwhm(self.psf))
            shape = " x ".join(map(str, self.psf.shape))
            lines["psf"] = f"{shape} pixels, full width at half maximum {widths} pixels"
        text = [f"{name:9s} {line}" for name, line in lines.items()]
        return "\n".join([*text, *(f"{'mind':9s} {finding}" for finding in self.findings)])


def inspect(image: np.ndarray | Image, psf: np.ndarray | Image | None = None) -> Inspection:
    """Look at an image and a kernel as `deconvolve` does, and restore nothing.

    Parameters
    ----------
    image : ndarray or Image, shape ([z,] y, x)
    psf : ndarray or Image, shape ([z,] y, x), optional

    Returns
    -------
    Inspection
        `print` it.

    Raises
    ------
    ValueError
        If `deconvolve` would.

    Examples
    --------
    Introduced in notebook 08.

    >>> rng = np.random.default_rng(0)
    >>> counts = 100 + 4 * rng.poisson(np.linspace(5, 50, 128), (128, 128))
    >>> spot = np.zeros((9, 9)); spot[4, 6] = 1
    >>> print(inspect(counts, spot))
    image     128 x 128 int64, axes YX, voxel size unknown
    range     100 to ...: the lowest value counts as no light
    noise     ..., ...% of the range; it grows with the signal: a photon counts ...
    clipping  not cut: restored peaks may rise above the brightest value measured
    defects   none
    psf       9 x 9 pixels, full width at half maximum 1.0 x 1.0 pixels
    mind      psf: its light lies +2.0 pixels off the centre along x and shifts the result; ...
    mind      psf: its core is narrower than 2 pixels: detail as fine as that is lost
    """
    with warnings.catch_warnings(record=True, action="always") as caught:
        one = np.stack([SHARPEST] * 3) / 3 if np.ndim(image) == 3 else SHARPEST
        one = one if psf is None else psf
        large = isinstance(image, Image) and image.data.size >= LARGE  # on disk
        problem = (Problem.on_disk if large else Problem.look)(image, one, device="cpu")
    findings = [str(warning.message) for warning in caught]
    findings = [said for said in findings if psf is not None or not said.startswith("psf: ")]
    x, span = problem.seen(), problem.high - problem.low
    # a median of few levels is coarse
    level = span * (finest_detail(x).std() if spread_of(x) is np.std else noise_level(x))
    slope = None if problem.clipping else _slope(x)
    kernel = None if psf is None else problem.psf
    if kernel is not None and min(fwhm(kernel)[-2:]) < 2:
        findings.append("psf: its core is narrower than 2 pixels: detail as fine as that is lost")
    found = (problem.low, problem.high, problem.clipping, problem.defects, level)
    return Inspection(problem.source, *found, slope and slope * span, findings, kernel)


def _slope(x: np.ndarray) -> float | None:
    """Return by how much the variance of noise grows with the signal, or None where that can't be told.

    Mean and variance of windows of 64 pixels, in ten groups by their mean; the median of each is not that
    of windows with an edge. Their line need not start at 0: the lowest value is seldom that without light.
    """
    inside = tuple(slice(1, -1) if n > 2 else slice(None) for n in x.shape)
    x, detail = x[inside], finest_detail(x)[inside]
    side = [min(n, 8 if x.ndim == 2 else 4) for n in x.shape]

    def means(a: np.ndarray) -> np.ndarray:  # of each window
        a = a[tuple(slice(n // k * k) for n, k in zip(a.shape, side, strict=True))]
        split = [m for n, k in zip(a.shape, side, strict=True) for m in (n // k, k)]
        return a.reshape(split).mean(axis=tuple(range(1, 2 * a.ndim, 2))).ravel()

    level, variance = means(x), means(detail**2)
    groups = [g for g in np.array_split(np.argsort(level), 10) if len(g) and np.median(variance[g])]
    if len(groups) < 5 or level.var() < 5 * variance.mean() / np.prod(side):
        return None  # the means differ by no more than noise
    if not np.median(variance):
        return None
    for axis in range(x.ndim):
        # second differences of independent noise: -4/6 of one is in the next
        shared = np.median(means(detail * np.roll(detail, 1, axis))) / np.median(variance)
        if abs(shared + 2 / 3) > 0.15:
            return None
    # neighbours of second differences leave so many of them independent; median of chi^2 over its mean
    free = np.prod(side) / (1 + 2 * (16 + 1) / 36) ** x.ndim
    spread = np.array([np.median(variance[g]) for g in groups]) / (1 - 2 / (9 * free)) ** 3
    rows = np.array([np.ones(len(groups)), [level[g].mean() for g in groups]]).T / spread[:, None]
    line = np.linalg.lstsq(rows, np.ones(len(groups)), rcond=None)[0]
    slope, rest = line[1], rows @ line - 1
    error = np.sqrt(rest @ rest / (len(groups) - 2) * np.linalg.inv(rows.T @ rows)[1, 1])
    return float(slope) if slope > 0 and error < 0.07 * slope else None  # three errors are 20 %


@dataclass(frozen=True)
class Comparison:
    """Methods on one image, by their held-out error; `print` shows them as a table.

    Attributes
    ----------
    held_out : list of HeldOut
        What `siamdecon.methods.auto.judge` found of each.
    images : dict of str to ndarray
        Each method's restoration of the whole image, in its units.
    residuals : dict of str to ndarray
        The measurement minus each blurred restoration; it should show only noise.
    source : Image
    unit : float
        One unit of the scores in units of the image.
    interrupted : str
        The method at which KeyboardInterrupt ended the comparison; empty if it is whole.
    """

    held_out: list[HeldOut]
    images: dict[str, np.ndarray]
    residuals: dict[str, np.ndarray]
    source: Image
    unit: float
    interrupted: str = ""

    @property
    def best(self) -> str:
        """The method to take; see `siamdecon.methods.auto.chosen`."""
        return chosen(self.held_out).method

    def __str__(self):
        first, *_ = self.held_out
        lines = [f"{'method':16s} {'held-out error':>15s} {'above the best':>18s} {'seconds':>8s}"]
        for one in self.held_out:
            behind = ""
            if one is not first and first.score:  # it is 0 for an image without noise or contrast
                more, error = (100 * value / first.score for value in one.behind(first))
                behind = f"{more:.2f} +- {error:.2f} %"
            size = self.unit * np.sqrt(one.score)
            lines.append(f"{one.method:16s} {size:15.4g} {behind:>18s} {one.seconds:8.1f}")
        if self.interrupted:
            lines.append(
                f"interrupted at {self.interrupted}: neither it nor what follows is judged"
            )
        return "\n".join(lines)

    def picture(self) -> np.ndarray:
        """Draw measurement and restorations, and each residual below; of a stack its middle plane.

        Returns
        -------
        ndarray of uint8, shape (y, x)
            Restorations from the image's lowest to its 99.8th percentile, residuals between five
            deviations of noise below and above 0.
        """
        measured = np.asarray(self.source, np.float32)
        noise = 5 * np.median(np.abs(self.residuals[self.best])) / 0.6745
        low, high = measured.min(), np.percentile(self.images[self.best], 99.8)
        top = {"measured": measured, **self.images}
        bottom = {"residuals": np.zeros_like(measured), **self.residuals}
        scales = ((top, low, high), (bottom, -noise, noise))
        rows = [[_panel(*image, *ends) for image in row.items()] for row, *ends in scales]
        return np.block(rows)


@one_thread_each()
def compare(
    image: np.ndarray | Image,
    psf: np.ndarray | Image,
    methods: Sequence[str] = CANDIDATES,
    *,
    tier: str | None = None,
    device: str | None = None,
    progress: bool = True,
    **look,
) -> Comparison:
    """Restore an image by several methods, and tell which is best without knowing the truth.

    Each method restores the image twice: as a whole, and without a sparse grid of pixels, which its blurred
    result is then compared with (`siamdecon.methods.auto.judge`). `deconvolve(..., method="auto")` takes the
    choice. What the PSF does not pass is not judged: detail that a method invents there costs it nothing.

    Parameters
    ----------
    image, psf : ndarray or Image, shape ([z,] y, x)
        As for `deconvolve`.
    methods : sequence of str
        What `deconvolve` calls them.
    tier, device, progress, **look
        See `deconvolve`; `look` is `seed`, `limits`, `center_psf` or `subtract_psf_background`.

    Returns
    -------
    Comparison
        `print` it; `picture` shows restorations and residuals. KeyboardInterrupt ends it early, with the
        methods that both restorations are there of.

    Raises
    ------
    ValueError
        If an input can't be used, or a method is unknown.
    KeyboardInterrupt
        If it comes before the first method is judged.

    Examples
    --------
    >>> from siamdecon import degrade, load_sample, paper_psf
    >>> noisy = degrade(load_sample("cell")[:96, :96], paper_psf(2))
    >>> found = compare(noisy, paper_psf(2), ("wiener", "richardson_lucy"), progress=False)
    >>> found.best, sorted(found.images)
    ('richardson_lucy', ['richardson_lucy', 'wiener'])
    """
    problem = Problem.look(image, psf, device=device, **look)
    held_out, images, residuals, interrupted = [], {}, {}, ""
    noise, span = problem.noise_seen(), problem.high - problem.low
    for method in candidates(methods, tier, problem.ndim):
        try:
            with left_out(method, unless=methods != CANDIDATES):
                judged = judge(problem, method, Watch(progress=progress))
                estimate = method.restore(problem, Watch(progress=progress))
                left = residual(estimate, to_array(problem.whole), problem.psf, noise)
                held_out.append(judged)
                images[method.name] = problem.restored_scale(estimate).astype(problem.result_dtype)
                residuals[method.name] = span * left
        except KeyboardInterrupt:
            if not held_out:
                raise
            interrupted = method.name
            break
    held_out.sort(key=lambda one: one.score)
    return Comparison(held_out, images, residuals, problem.source, span, interrupted)


def _panel(name: str, image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return an image, or the middle plane of a stack, as uint8 with its name and a border of 4 pixels."""
    plane = image[len(image) // 2] if image.ndim == 3 else image
    grey = ((plane - low) / max(high - low, 1e-12)).clip(0, 1) * 255
    canvas = PIL.Image.fromarray(np.pad(grey.astype(np.uint8), ((0, 4), (0, 4))))
    PIL.ImageDraw.Draw(canvas).text((4, 4), name, fill=255, stroke_width=2, stroke_fill=0)
    return np.asarray(canvas)
