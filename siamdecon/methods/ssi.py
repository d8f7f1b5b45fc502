"""Self-Supervised Inversion (SSI), the learned baseline of the paper's Tables 2 and 4, for comparison."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from siamdecon.expect import expect_counts, expect_positive
from siamdecon.hardware import to_array
from siamdecon.methods.base import Method
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.network.inference import check_not_diverged, fit_contrast
from siamdecon.network.losses import mean_square
from siamdecon.network.patches import random_patches, symmetries
from siamdecon.network.training import Training, Watch
from siamdecon.network.unet import CONV, compute, seeded, sound_precision, unreduced
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator, blended

POOL = {2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}
#: Share of hidden pixels, and deviation of the noise added to the input in units of the image's: at the
#: first step and at the last. (A fixed 0.2 drowned a sparse volume, from which nothing was learned.)
MASK_DENSITY, INPUT_NOISE = (0.5, 0.05), (1.0, 0.0)
#: Deviation of the noise added to a gradient, as a share of its own root mean square, at the first step.
GRADIENT_NOISE = 0.2
LAMBDA_BOUNDS = 0.1
#: Into how many parts a batch is cut; without batch normalisation they mean the same as the whole.
PARTS = 2
#: For two cores: convolutions of 5 x 5 x 5 take their time.
_PLANE = {"features": 16, "batch_size": 8, "patch_size": 64}
_VOLUME = {"features": 8, "batch_size": 2, "patch_size": 32}
_TEST = {"steps": 4, "features": 4}
#: The paper's.
_FULL = {"steps": 3000, "features": 20, "batch_size": 16, "patch_size": 128}


class SmallUNet(nn.Module):
    """The network of SSI: convolutions of 5 pixels a side, max-pooling, bilinear upsampling.

    Parameters
    ----------
    n_dim : int
        2 or 3.
    features : int
        Of the first level; 20 gives 0.5 M parameters in 2D, as the paper counts for SSI.

    Examples
    --------
    >>> SmallUNet(2, 4)(torch.zeros(1, 1, 24, 30)).shape
    torch.Size([1, 1, 24, 30])
    """

    def __init__(self, n_dim: int, features: int):
        super().__init__()
        self.n_dim = n_dim
        widths = [features, 2 * features, 4 * features]
        self.encoder = nn.ModuleList(
            self._block(i, o) for i, o in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.decoder = nn.ModuleList(self._block(2 * o + o, o) for o in reversed(widths[:-1]))
        self.head = CONV[n_dim](features, 1, 1)

    def _block(self, c_in: int, c_out: int) -> nn.Sequential:
        conv = CONV[self.n_dim]
        return nn.Sequential(
            conv(c_in, c_out, 5, padding=2),
            nn.LeakyReLU(0.01),
            conv(c_out, c_out, 5, padding=2),
            nn.LeakyReLU(0.01),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 1, [z,] y, x) to the same shape."""
        skips = []
        with sound_precision(x, 4):
            for level, block in enumerate(self.encoder):
                x = block(POOL[self.n_dim](x, 2, ceil_mode=True) if level else x)
                skips.append(x)  # (n, c, [z,] y, x)
            x = skips.pop()
            mode = "bilinear" if self.n_dim == 2 else "trilinear"
            for block in self.decoder:
                skip = skips.pop()
                x = nn.functional.interpolate(x, size=skip.shape[2:], mode=mode)
                x = block(torch.cat((x, skip), dim=1))
            return unreduced(self.head, x)


@dataclass(frozen=True)
class SSI(Method):
    r"""A network that predicts hidden pixels through the PSF (Kobayashi et al. 2020).

    .. math:: L = E\,\|g(f(\tilde x))_J - x_J\|^2 / |J| + 0.1\, E\,(\max(0, -f) + \max(0, f - 1))

    x~ is the image with the pixels J replaced by the mean of those neighbours that are seen, and noise
    added. What keeps the network from learning the noise is put into the training, and taken away as it
    goes: the share of hidden pixels falls from 0.5 to 0.05, the noise on the input from the image's own
    standard deviation to 0, and the gradients carry noise. Adam, and half the rate where the loss has
    stalled.

    Written from the paper's description, in the sizes of this package's lab tier; neither numbers nor code
    are the authors'. The callback is called after every 50 steps with the step and the estimate so far.
    KeyboardInterrupt ends the training early and returns what it has reached.

    Parameters
    ----------
    steps : int
    features, batch_size, patch_size : int
    learning_rate : float
        Where Adam starts.
    clip : bool, optional
        Cut the result to [0, 1]; None does so where the measurement is cut at both ends.

    Raises
    ------
    ValueError
        If a number is out of range.
    FloatingPointError
        If the training has diverged.

    References
    ----------
    Kobayashi, Solak, Batson, Royer, "Image deconvolution via noise-tolerant self-supervised inversion",
    arXiv:2006.06156 (2020).
    """

    name: ClassVar = "ssi"
    sizes: ClassVar = {
        "test": {2: _PLANE | _TEST, 3: _VOLUME | _TEST},
        "lab": {2: _PLANE, 3: _VOLUME},
        "full": {2: _FULL, 3: _FULL},
    }

    steps: int = 400
    features: int = 16
    batch_size: int = 8
    patch_size: int = 64
    learning_rate: float = 1e-3
    clip: bool | None = None

    def __post_init__(self):
        counts = ("steps", "features", "batch_size", "patch_size")
        expect_counts(**{name: getattr(self, name) for name in counts})
        expect_positive(learning_rate=self.learning_rate)

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Train the network."""
        run = SSITraining(problem, self)
        with watch.bar(self.steps, self.name):
            run.run(self.steps, watch)
        used = self.record(clip=run.clip) | run.used()
        # a network that learns from hidden pixels sees all of them at work, which shifts its brightness;
        # the paper's range is held by the bounds
        contrast = partial(fit_contrast, image=problem.seen(), psf=problem.psf)
        contrast = None if problem.bounded or run.clip else contrast
        restore = partial(run.restore, used=used)
        return Estimator(restore, contrast=contrast, used=used, history=run.history)


class SSITraining(Training):
    """The training of `SSI`."""

    def __init__(self, problem: Problem, method: SSI):
        f = seeded(problem.seed, SmallUNet, problem.ndim, method.features).to(problem.device)
        super().__init__(f, problem, parts=PARTS)
        self.problem, self.method, self.clip = problem, method, method.clips(problem)
        self.g = PSFConvolution(problem.psf, problem.ndim)
        self.std = float(problem.x.std())
        self.turns = symmetries(problem.psf, problem.voxel_size)
        self.optimizer = torch.optim.Adam(f.parameters(), method.learning_rate)
        patience = max(10, method.steps // 10)
        self.plateau = ReduceLROnPlateau(self.optimizer, factor=0.5, patience=patience)
        self.smoothed: float | None = None  # patches differ more from each other than steps do

    @property
    def left(self) -> float:
        """Share of the training that is still to be done."""
        return 1 - self.step / self.method.steps

    def rate(self) -> float:
        """Halve the rate where the loss has stalled."""
        if self.step:
            value = float(self.history.last("total"))
            first = self.smoothed is None
            self.smoothed = value if first else 0.95 * self.smoothed + 0.05 * value
            self.plateau.step(self.smoothed)
        return super().rate()

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Hide pixels: return what f sees, the target and the mask, (n, 1, [z,] y, x) each."""
        draw = (self.method.patch_size, self.method.batch_size, self.generator, self.turns)
        target = random_patches(self.problem.x, *draw)  # (n, 1, [z,] y, x)
        mask = self._like(target, torch.rand) < _between(MASK_DENSITY, self.left)
        noise = self.std * _between(INPUT_NOISE, self.left) * self._like(target, torch.randn)
        return hide(target, mask) + noise, target, mask

    def terms(self, model: nn.Module, x: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Predict the hidden pixels through the PSF."""
        estimate = compute(model, x, self.dtype)
        data = mean_square(self.g(estimate), target, mask)
        return {"total": data + LAMBDA_BOUNDS * bounds(estimate)}

    def on_gradients(self) -> None:
        """Add noise to the gradients, less and less of it."""
        for p in self.model.parameters():
            noise = self._like(p.grad, torch.randn)
            p.grad += GRADIENT_NOISE * self.left * p.grad.square().mean().sqrt() * noise

    def on_step(self, watch: Watch) -> None:
        """Show the estimate after every 50 steps."""
        if watch.callback and (self.step % 50 == 0 or self.step == self.method.steps):
            watch.report(self.step, to_array(self.restore(self.problem.whole, {})))

    def restore(self, image: Tensor, used: dict) -> Tensor:
        """Restore (1, 1, [z,] y, x); the side of its tiles, if it is large, goes into the record."""
        with torch.inference_mode():
            # contiguous: a view of a larger image would be computed in another memory format
            y = blended(lambda x: compute(self.model, x.contiguous(), self.dtype), image, used)
            y = check_not_diverged(y)
            return y.clamp(0, 1) if self.clip else y

    def _like(self, x: Tensor, draw) -> Tensor:
        drawn = draw(x.shape, generator=self.generator, dtype=x.dtype)
        return drawn.to(x.device, non_blocking=True)


def bounds(estimate: Tensor) -> Tensor:
    """Mean of what leaves [0, 1].

    Examples
    --------
    >>> bounds(torch.tensor([-0.5, 0.3, 1.5, 1.0])).item()
    0.25
    """
    return (nn.functional.relu(-estimate) + nn.functional.relu(estimate - 1)).mean()


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """Replace the pixels J by the mean of those neighbours that are not hidden, (n, 1, [z,] y, x).

    No hidden pixel has a part in it, so none can be read off the result; one without a visible
    neighbour becomes the patch's mean.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 3, 3); x[..., 0, 0], x[..., 1, 1] = 8, 5
    >>> mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool); mask[..., 1, 1] = True
    >>> hide(x, mask)[0, 0].tolist()
    [[8.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    n_dim, seen = x.ndim - 2, (~mask).to(x.dtype)
    box = nn.functional.avg_pool2d if n_dim == 2 else nn.functional.avg_pool3d
    # padded here: torch refuses to pool fewer than 3 planes
    around = [1, 1] * n_dim
    total, count = (box(nn.functional.pad(a, around), 3, stride=1) for a in (x * seen, seen))
    every = tuple(range(1, x.ndim))
    mean = (x * seen).sum(every, keepdim=True) / seen.sum(every, keepdim=True).clamp(min=1)
    return torch.where(mask, torch.where(count > 0, total / count.clamp(min=1e-6), mean), x)


def _between(ends: tuple[float, float], left: float) -> float:
    return ends[1] + left * (ends[0] - ends[1])
