"""Learn to deblur from the image's own coarser scales: an improvement on the paper, not its method."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from scipy.ndimage import affine_transform, gaussian_filter
from torch import Tensor

from siamdecon.expect import expect, expect_counts, expect_one_of, expect_positive, is_number
from siamdecon.hardware import channels_last, side_by_side, to_array, to_tensor
from siamdecon.methods.base import Method
from siamdecon.methods.classical import RichardsonLucy, Wiener
from siamdecon.methods.total_variation import SHARP, TotalVariation
from siamdecon.microscope.convolution import PSFConvolution, reconvolve
from siamdecon.microscope.noise import Noise, add_noise, fit_noise, mean_response, overfits_noise
from siamdecon.network.inference import average_turns, check_not_diverged, diverged
from siamdecon.network.muon import Muon
from siamdecon.network.patches import Symmetry, random_patches, symmetries
from siamdecon.network.training import History, MovingAverage, Training, Watch
from siamdecon.network.unet import UNet, compute, seeded
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator, blended

#: Weights of the Wiener estimates that the network sees.
BALANCES = (0.5, 2.0, 8.0)
#: Pixels at a patch's border that the loss leaves out: what would explain them lies outside.
MARGIN = 8
#: Side in pixels below which a coarser copy shows too little to learn from.
SMALLEST = 24
#: Into how many parts a batch is cut; see `Training`. Without batch normalisation they mean the same as one.
PARTS = 4
#: Which of the network's inputs it corrects: the middle Wiener estimate, or Lucy-Richardson's.
BASE = {2: 2, 3: 4}
#: So many times the error without a network tell of a training that has diverged; one that has learned
#: anything lowers it.
WORSE = 2
_WIENERS = [Wiener(balance) for balance in BALANCES]
_MEDIAN_LR = RichardsonLucy(prefilter="median")
#: Total variation, as the start and to find the noise; 30 find that of thin structures 16 % too low.
_START = {2: TotalVariation(iterations=40), 3: TotalVariation(iterations=50)}
#: Images have many pixels: all layers see a quarter of them, with more features, in half the time.
_NETWORK = {2: {"fold": 2, "depth": 2}, 3: {}}
#: What two cores have time for.
_LAB = {
    2: {"scales": ((2, 3), (1.25, 1.5)), "copies": 2, "steps": 160, "batch_size": 4}
    | {"patch_size": 96, "features": 32, "learning_rate": 3e-3},
    3: {"scales": ((1.5, 2), (1.5,)), "steps": 300, "batch_size": 2, "patch_size": 32}
    | {"features": 16, "learning_rate": 2e-3},
}
_TEST = {"scales": ((1.5,),), "steps": 2, "features": 4, "patch_size": 32}


@dataclass(frozen=True)
class SelfScale(Method):
    r"""A network that learns to deblur coarser copies of the image's own estimate.

    An estimate of the image, made s times smaller, is a picture of the same scene that is sharper and
    cleaner at its own pixel scale. Degraded with the known kernel and the noise, it becomes a training
    pair: what the microscope would have measured, and the truth.

    .. math:: \hat y_s = D_s(\hat y),\quad x_s = \mathrm{noise}(g(\hat y_s)),\qquad
              L = E\,\overline{\left(c(f(x_s)) - \hat y_s\right)^2}

    with D_s the reduction by s at a random place between the pixels, g the convolution with the kernel,
    "noise" what the camera adds, c the cut to [0, 1]
    (a network that may fall below black finds it), and the mean away from a patch's border. f sees the image
    and four classical estimates of it, and corrects one of them. After a round, f restores the image, what
    the blurred result leaves unexplained at a scale of `coarse` pixels is added, and the next round's
    targets come from that; f goes on with the same weights. The first estimate has to be made much smaller
    to be sharp; the next one is better, and copies closer to the image's own scale look more like it.

    The callback is called with 0 and the start, then after each round with its number and the estimate.
    KeyboardInterrupt ends the run early and returns that of the last whole round, or the start.

    Parameters
    ----------
    scales : sequence of (sequence of float), optional
        The factors s, 1 or more, of each round: ((2, 3), (1.25, 1.5)) in 2D and ((1.5, 2), (1.5,)) in 3D
        unless given. One that leaves a side of fewer than 24 pixels is left out.
    steps : int
        Steps of `Muon` in each round, with a rate that falls along a cosine; 160 in 2D and 300 in 3D unless
        given.
    features : int
        Of the U-Net's first level; 32 in 2D, where that has half as many pixels along each axis as the image,
        and 16 in 3D unless given.
    batch_size, patch_size : int, optional
        4 and 96 in 2D, 2 and 32 in 3D unless given.
    learning_rate : float
        0.003 in 2D and 0.002 in 3D unless given.
    copies : int
        Degraded copies of each target in a round, each at its own place between the pixels, with its own
        noise; 2 in 2D and 4 in 3D unless given.
    coarse : float
        Size in pixels of the structures that are taken from the measurement at the end of a round (see
        `match_coarse`); 0 leaves that out.
    start : str
        Where the first targets come from: "total_variation", "wiener", or "auto": the first, unless it
        has explained noise as specimen, as it does behind a narrow kernel.
    noise : Noise or "auto"
        The noise to degrade the targets with; "auto" estimates it from the image (`fit_noise`).
    clip : bool, optional
        Cut the result to [0, 1]; without, it may rise above 1: blur lowers peaks. None cuts where the
        measurement is cut at both ends.

    Raises
    ------
    ValueError
        If an option is out of range, or the image is too small.
    FloatingPointError
        If the training has diverged.

    References
    ----------
    Shocher, Cohen, Irani, "Zero-shot super-resolution using deep internal learning", CVPR (2018);
    Scanvic, Davies, Abry, Tachella, "Self-supervised learning for image super-resolution and deblurring",
    arXiv:2312.11232 (2023).
    """

    name: ClassVar = "self_scale"
    sizes: ClassVar = {
        "test": {n_dim: {**lab, **_TEST} for n_dim, lab in _LAB.items()},
        "lab": _LAB,
        "full": {
            n_dim: {**lab, "steps": 600, "features": 2 * lab["features"]}
            for n_dim, lab in _LAB.items()
        },
    }

    scales: Sequence[Sequence[float]]
    steps: int = 300
    features: int = 16
    batch_size: int = 4
    patch_size: int = 96
    learning_rate: float = 2e-3
    copies: int = 4
    coarse: float = 8.0
    start: str = "auto"
    noise: Noise | str = "auto"
    clip: bool | None = None

    def __post_init__(self):
        known = self.noise == "auto" or isinstance(self.noise, Noise)
        expect(known, "noise", "'auto' or a Noise", self.noise)
        counts = ("steps", "features", "copies", "batch_size", "patch_size")
        expect_counts(**{name: getattr(self, name) for name in counts})
        expect_positive(learning_rate=self.learning_rate)
        expect_one_of(("auto", "total_variation", "wiener"), start=self.start)
        try:
            rounds = [list(factors) for factors in self.scales]
            good = rounds and all(s and all(is_number(x) and x >= 1 for x in s) for s in rounds)
        except TypeError:
            good = False
        form = "factors of 1 or more, a sequence of them for each round, such as ((2, 3), (1.5,))"
        expect(good, "scales", form, self.scales)
        # a wide filter takes its time
        size = is_number(self.coarse) and 0 <= self.coarse <= 1000
        expect(size, "coarse", "0 to 1000 pixels", self.coarse)

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Train the network in rounds; what restores the image returns the last estimate."""
        least = max(min(factors) for factors in self.scales)
        sides = f"{SMALLEST * least:g} or more pixels along y and x"
        why = f"so that a copy {least:g} times smaller shows something"
        large = min(problem.shape[-2:]) >= SMALLEST * least
        expect(large, "image", f"{sides}, {why}", problem.shape, "wiener takes any size")
        image, clip = to_array(problem.whole), self.clips(problem)  # image: ([z,] y, x)
        noise, estimate = self._begin(problem)  # estimate: ([z,] y, x)
        run, history = ScalePairs(problem, self, noise), History()
        all_steps = self.steps * len(self.scales)
        with watch.bar(all_steps, self.name), suppress(KeyboardInterrupt):
            watch.report(0, estimate.copy())
            for i, factors in enumerate(self.scales):
                run.prepare(estimate, factors)
                run.run(self.steps, watch)
                if run.interrupted:
                    break
                run.check_learned()
                last = i == len(self.scales) - 1
                estimate = run.restore(run.turns if last else run.turns[:4])
                # an estimate that fits leaves about the noise's variance
                left = np.square(image - _blurred(estimate, problem), dtype=np.float64)
                if left.mean() > WORSE * image.var():
                    raise diverged("the estimate explains the image worse than a flat one")
                if self.coarse:
                    how = (noise, self.coarse, run.top)
                    estimate = match_coarse(estimate, image, problem.psf, *how)
                history.extend(run.history)
                watch.report(i + 1, estimate.copy())
        used = self.record(noise=noise, clip=clip) | run.used()
        used |= {"steps_done": len(history), "interrupted": len(history) < all_steps}
        # it has looked at the whole image already
        estimate = to_tensor(estimate, problem.device)
        return Estimator(lambda _: estimate, used=used | run.tiles, noise=noise, history=history)

    def _begin(self, problem: Problem) -> tuple[Noise, np.ndarray]:
        """Return the noise, and where the first targets come from, ([z,] y, x)."""
        noise, by_wiener = self.noise, self.start == "wiener"
        if noise == "auto" or not by_wiener:
            estimate, blurred, noise = _first_look(problem, noise)
            image = to_array(problem.whole)  # ([z,] y, x)
            by_wiener |= self.start == "auto" and overfits_noise(image, blurred, noise)
        if by_wiener:
            wiener = Wiener().restored(problem.whole, problem.psf, clip=self.clips(problem))
            estimate = to_array(wiener.clamp(min=0))
        return noise, estimate


class ScalePairs(Training):
    """Pairs of coarser copies, degraded and sharp, and how a network learns from them."""

    def __init__(self, problem: Problem, method: SelfScale, noise: Noise):
        # batch normalisation would take its unit from the copies, which differ from the image
        how = {"channels": 2 + len(BALANCES), "batch_norm": False, "concatenate": False}
        how |= _NETWORK[problem.ndim]
        f = seeded(problem.seed, UNet, problem.ndim, method.features, **how)
        f.to(problem.device, memory_format=channels_last(problem.ndim))
        # it begins with the estimate that it corrects
        torch.nn.init.zeros_(f.head[-1].weight)
        super().__init__(f, problem, MovingAverage(f, 0.99), parts=PARTS)
        self.psf, self.noise, self.method = problem.psf, noise, method
        self.g = PSFConvolution(problem.psf, padding="symmetric")
        self.top = 1.0 if method.clips(problem) else math.inf
        self.turns = symmetries(problem.psf, problem.voxel_size)
        self.whole = self.channels(problem.whole)  # (1, c + 1, [z,] y, x)
        self.rng, self.tiles = np.random.default_rng(problem.seed), {}  # their side, for the record

    def prepare(self, estimate: np.ndarray, scales: Sequence[float]) -> None:
        """Begin a round: make the training pairs from copies of an estimate, shape ([z,] y, x)."""
        targets, measured = [], []
        for scale in scales:
            if min(n / scale for n in estimate.shape[-2:]) < SMALLEST:
                continue
            for _ in range(self.method.copies):
                target = downsample(estimate, scale, self.rng.uniform(0, scale, estimate.ndim))
                # a thin structure has lost its brightness to its surroundings
                target *= estimate.max() / max(target.max(), 1e-3)
                blurred = to_array(self.g(to_tensor(target, self.device)))
                targets.append(to_tensor(target, self.device))
                measured.append(add_noise(blurred, self.noise, self.rng))

        def pair(target: Tensor, noisy: np.ndarray) -> Tensor:
            """Return what the network sees, the room and the truth, (channels + 2, [z,] y, x)."""
            seen = self.channels(to_tensor(noisy, self.device))
            return torch.cat((seen, target), dim=1)[0]

        self.pairs = side_by_side(pair, targets, measured, device=self.device)
        self.sides = [min(sides) for sides in zip(*(p.shape[1:] for p in self.pairs), strict=True)]
        # larger copies are drawn more often
        sizes = [float(pair[0].numel()) for pair in self.pairs]
        self.shares = torch.tensor(sizes, dtype=torch.float32)
        self.optimizer = Muon(self.model.parameters(), self.method.learning_rate)
        self.step, self.history = 0, History()

    def channels(self, x: Tensor) -> Tensor:
        """Return what the network sees of an image: itself and classical estimates, (1, c + 1, [z,] y, x).

        The last channel is the unit of its correction: 1, but where a peak has far to rise.
        """
        wieners = (w.restored(x, self.psf, clip=False) for w in _WIENERS)
        stack = [x, *(estimate.clamp(-0.5, 1.5 * self.top) for estimate in wieners)]
        stack.append(_MEDIAN_LR.restored(x, self.psf, clip=self.top == 1))
        room = torch.ones_like(x) if self.top == 1 else SHARP.restored(x, self.psf, clip=False)
        return torch.cat([*stack, room.clamp(min=1)], dim=1)

    def rate(self) -> float:
        """Let the rate fall along a cosine in each round."""
        falling = math.cos(math.pi * self.step / self.method.steps)
        return self.method.learning_rate * (0.52 + 0.48 * falling)

    def draw(self, generator: torch.Generator | None = None) -> tuple[Tensor]:
        """Draw patches from the pairs, by their numbers of pixels, shape (n, c + 2, [z,] y, x)."""
        shape, n_dim = [min(self.method.patch_size, side) for side in self.sides], self.psf.ndim
        generator, n = generator or self.generator, self.method.batch_size
        drawn = torch.multinomial(self.shares, n, replacement=True, generator=generator)
        draw = (shape, 1, generator, self.turns, n_dim)
        return (torch.cat([random_patches(self.pairs[i], *draw) for i in drawn]),)

    def terms(self, model: torch.nn.Module, batch: Tensor) -> dict[str, Tensor]:
        """Compare the restored copies with the truth, (n, c + 2, [z,] y, x)."""
        difference = _cut(self.corrected(model, batch[:, :-1]), self.top) - batch[:, -1:]
        return {"total": _inner(difference / batch[:, -2:-1]).square().mean()}

    def corrected(self, network: torch.nn.Module, seen: Tensor) -> Tensor:
        """Return one of the estimates, corrected by the network, shape (n, 1, [z,] y, x)."""
        x = (seen[:, :-1] - 0.5) / 0.25  # (n, c, [z,] y, x)
        base = BASE[seen.ndim - 2]
        return seen[:, base : base + 1] + 0.25 * seen[:, -1:] * compute(network, x, self.dtype)

    def check_learned(self) -> None:
        """Raise FloatingPointError if the network restores patches much worse than before it learned.

        `Muon` takes steps of one size: what it spoils stays finite, and may come back black.
        """
        batch = self.draw(torch.Generator().manual_seed(0))  # for which memory has had room
        with torch.inference_mode():
            found = float(self.terms(self.average, *batch)["total"])
            # nothing is corrected
            start = float(self.terms(lambda x: 0 * x[:, :1], *batch)["total"])
        if found > WORSE * start + 1e-4:  # 1 % of the range is not far
            raise diverged(f"the network's loss is {found:.2g}, {start:.2g} before it learned")

    def on_step(self, watch: Watch) -> None:
        """Show nothing: only a round's end is worth a look."""

    def restore(self, turns: list[Symmetry]) -> np.ndarray:
        """Restore the image, averaged over some of the turns that leave the kernel as it is."""

        def f(seen: Tensor) -> Tensor:
            return average_turns(lambda turned: self.corrected(self.average, turned), seen, turns)

        with torch.inference_mode():
            estimate = check_not_diverged(blended(f, self.whole, self.tiles))
            return to_array(estimate.clamp(0, self.top))


def downsample(image: np.ndarray, scale: float, corner: Sequence[float]) -> np.ndarray:
    """Make an image `scale` times smaller, blurred first so that it has no detail too fine for that.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
    scale : float
        1 or more.
    corner : sequence of float
        Where the first pixel lies in the image, in its pixels, along each axis: another phase of the same
        scene.

    Returns
    -------
    ndarray of float32, shape (n - 1) // scale along an axis of n

    Examples
    --------
    >>> downsample(np.tile(np.arange(30.0), (30, 1)), 3, (0, 1.5))[4, 1:5].round(1).tolist()
    [4.5, 7.5, 10.5, 13.5]
    """
    smooth = gaussian_filter(image, 0.5 * math.sqrt(scale**2 - 1), mode="nearest")
    shape = tuple(max(1, int((n - 1) // scale)) for n in image.shape)
    small = affine_transform(
        smooth, [scale] * image.ndim, corner, output_shape=shape, order=1, mode="nearest"
    )
    return small.astype(np.float32)


def match_coarse(
    estimate: np.ndarray,
    image: np.ndarray,
    psf: np.ndarray,
    noise: Noise | None,
    width: float = 8.0,
    top: float = 1.0,
) -> np.ndarray:
    r"""Add to an estimate what it leaves unexplained of the image's coarse structures.

    .. math:: \hat y + \frac{G * (m' r)}{G * m'^2}, \qquad r = x - m(g(\hat y))

    with G a Gaussian wider than the kernel, to which blurring means little, and m' how much the mean of the
    measurement changes with the signal: little where it is clipped. The average over a Gaussian's area
    leaves no noise to speak of. Where the noise is not clipped, the result is scaled to the measurement's
    light, since what would fall below black is cut off.

    Parameters
    ----------
    estimate, image : ndarray, shape ([z,] y, x)
    psf : ndarray, shape ([z,] y, x)
    noise : Noise or None
    width : float
        Standard deviation of G in pixels.
    top : float
        The highest value of the estimate.

    Returns
    -------
    ndarray of float32, in [0, top]

    Examples
    --------
    >>> grey, k = np.full((40, 40), 0.4), np.ones((1, 1))
    >>> round(float(match_coarse(grey - 0.1, grey, k, None)[0, 0]), 3)
    0.4
    """
    m, reconvolved = mean_response(noise), reconvolve(estimate, psf)  # (1, 1, [z,] y, x)
    left = np.asarray(image) - to_array(m(reconvolved))
    # an impulse says nothing about the coarse structures; few photons, whose noise is skewed, do
    reach = 0.3 if noise is None or noise.clip else max(0.3, 5 * left.std())
    left = left.clip(-reach, reach)
    slope = to_array((m(reconvolved + 0.01) - m(reconvolved - 0.01)) / 0.02).clip(0.05)
    change = gaussian_filter(slope * left, width) / gaussian_filter(slope**2, width)
    matched = (estimate + change).clip(0, top).astype(np.float32)
    if noise is not None and not noise.clip:  # the cut at black has added light
        matched *= max(0, np.mean(image) / float(reconvolve(matched, psf).mean().clamp(min=1e-9)))
    return matched.clip(max=top)


def find_noise(
    image: np.ndarray, psf: np.ndarray, *, device: str | torch.device | None = None
) -> Noise:
    """Estimate the noise of an image, known only by its kernel, by what total variation leaves unexplained.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        In [0, 1].
    psf : ndarray, shape ([z,] y, x)
    device : str, optional

    Returns
    -------
    Noise
        See `siamdecon.microscope.noise.fit_noise`.

    Examples
    --------
    >>> ramp = np.linspace(0.2, 0.8, 100) * np.ones((100, 1))
    >>> noisy = np.random.default_rng(0).normal(ramp, 0.05)
    >>> noise = find_noise(noisy, np.ones((3, 3)) / 9)
    >>> round((noise.gaussian**2 + 0.5 * noise.poisson) ** 0.5, 2)
    0.05
    """
    # where it is cut is not known
    problem = replace(Problem.as_it_is(image, psf, device=device), cut=None)
    return _first_look(problem, "auto")[-1]


def _first_look(problem: Problem, noise: Noise | str) -> tuple[np.ndarray, np.ndarray, Noise]:
    """Return what total variation makes of an image, blurred again, too, and the noise that it leaves."""
    estimate = replace(_START[problem.ndim], noise=noise).restore(problem, Watch())
    blurred = _blurred(estimate, problem)
    if noise == "auto":
        noise = fit_noise(to_array(problem.whole), blurred, problem.clipping)
    return estimate, blurred, noise


def _blurred(estimate: np.ndarray, problem: Problem) -> np.ndarray:
    """Blur an estimate, ([z,] y, x), on the problem's device."""
    return to_array(reconvolve(estimate, problem.psf, problem.device))


def _cut(x: Tensor, top: float) -> Tensor:
    """Cut to [0, top], with the derivative of the identity: what fell below black can come back."""
    return x + (x.clamp(0, top) - x).detach()


def _inner(x: Tensor) -> Tensor:
    """Cut the margin off, shape (n, 1, [z,] y, x); at most a quarter of a side, for small patches."""
    cuts = [min(MARGIN, n // 4) for n in x.shape[2:]]
    return x[(..., *(slice(c, n - c) for c, n in zip(cuts, x.shape[2:], strict=True)))]
