"""A training run on paper: what it is told, and what it leaves behind."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from siamdecon.hardware import PRECISIONS
from siamdecon.microscope.convolution import PADDINGS
from siamdecon.microscope.kernel import check_counts
from siamdecon.microscope.noise import Noise
from siamdecon.network.losses import LossWeights

_taken = 0


def count_step() -> None:
    """Count a training step, of any network; see `steps_taken`.

    Examples
    --------
    >>> before = steps_taken()
    >>> count_step()
    >>> steps_taken() - before
    1
    """
    global _taken
    _taken += 1


def steps_taken() -> int:
    """Return how many training steps this process has taken; what a notebook's budget is held against.

    Examples
    --------
    >>> steps_taken() >= 0
    True
    """
    return _taken


def moving_average(decay: float) -> Callable:
    """Return an update for `AveragedModel`: an exponential moving average that starts short.

    A fixed decay would keep the first, random weights in the average for some 1 / (1 - decay) steps;
    it grows like (1 + n) / (10 + n) up to `decay` instead.

    Examples
    --------
    >>> averaged, current = [torch.zeros(1)], [torch.ones(1)]
    >>> moving_average(0.99)(averaged, current, 8)
    >>> averaged
    [tensor([0.5000])]
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = float(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides how a network is trained; the defaults are the paper's for 2D.

    Parameters
    ----------
    weights : LossWeights
        The lambdas of Eq. 1.
    steps, batch_size, patch_size : int
        Number of Adam steps, patches in each, and pixels along a patch's side (an image's shorter axis
        is covered whole).
    learning_rate : float
        Where the schedule starts.
    beta2 : float
        Adam's memory of squared gradients; short runs need a shorter one.
    schedule : str
        "step" multiplies the rate by 0.5 every `halve_every` steps (the paper's); "cosine" lets it
        fall to a tenth along a cosine, which suits short runs.
    halve_every : int
        See `schedule`.
    mask_percent, mask_sigma : float
        Share of pixels hidden, and the standard deviation of the noise put in their place, in units of
        the standardised image.
    padding : str
        What g takes to lie beyond a patch's border; see `PSFConvolution`. With "valid" the losses see
        only the pixels whose blur lies wholly in the patch.
    noise : Noise, optional
        An improvement on the paper: if the noise is known, the losses compare its mean, m(g(f(x))), with
        the measurement, since clipping at black and white shifts what is measured (`Noise.mean`).
    ema_decay : float
        Decay of the moving average of the weights that the result carries; 0 keeps the last weights.
        The average starts short and grows: of n steps it sees the last tenth at most.
    precision : str
        See `siamdecon.hardware.autocast_dtype`.
    compile : bool
        Compile the network with `torch.compile`; on CUDA only.
    seed : int
        Seed of the patches and masks. (The network's own weights are drawn by whoever builds it.)
    voxel_size : tuple of (float or None), optional
        um along each axis: patches are not turned in a plane of unequal sizes.

    Raises
    ------
    ValueError
        If a value can't be trained with; the message names the field.

    Examples
    --------
    >>> TrainingConfig(steps=1000, halve_every=500).learning_rate_at(999)
    0.0002
    """

    weights: LossWeights = field(default_factory=LossWeights.noise2same_d)
    steps: int = 3000
    batch_size: int = 16
    patch_size: int = 128
    learning_rate: float = 4e-4
    beta2: float = 0.999
    schedule: str = "step"
    halve_every: int = 500
    mask_percent: float = 0.5
    mask_sigma: float = 0.2
    padding: str = "replicate"
    noise: Noise | None = None
    ema_decay: float = 0.0
    precision: str = "auto"
    compile: bool = False
    seed: int = 0
    voxel_size: tuple[float | None, ...] | None = field(default=None, repr=False)

    def __post_init__(self):
        if self.padding not in PADDINGS:
            raise ValueError(
                f"padding: expected one of {', '.join(PADDINGS)}, got {self.padding!r}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )
        if not 0 < self.mask_percent <= 100:
            raise ValueError(f"mask_percent: expected a share up to 100, got {self.mask_percent!r}")
        counts = ("steps", "batch_size", "patch_size", "halve_every")
        check_counts(**{name: getattr(self, name) for name in counts})
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"learning_rate: expected a positive number, got {self.learning_rate!r}"
            )
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f"schedule: expected 'step' or 'cosine', got {self.schedule!r}")
        for name in ("ema_decay", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name}: expected a number in [0, 1), got {getattr(self, name)!r}"
                )
        if not 0 <= self.mask_sigma < math.inf:
            raise ValueError(f"mask_sigma: expected 0 or more, got {self.mask_sigma!r}")
        if self.noise is not None and not isinstance(self.noise, Noise):
            raise ValueError(f"noise: expected a Noise or None, got {self.noise!r}")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "step":
            return self.learning_rate * 0.5 ** (step // self.halve_every)
        return self.learning_rate * (0.55 + 0.45 * math.cos(math.pi * step / self.steps))


class History:
    """Every loss term by name, one value a step.

    Examples
    --------
    >>> history = History()
    >>> history.record({"total": torch.tensor(3.0), "rec": torch.tensor(1.0)})
    >>> len(history), history["rec"].tolist()
    (1, [1.0])
    """

    def __init__(self, terms: dict[str, Tensor] | None = None):
        # tensors, turned into numbers only when looked at: asking a GPU at each step would stall it
        self._terms = {name: list(values.unbind()) for name, values in (terms or {}).items()}

    def record(self, terms: dict[str, Tensor]) -> None:
        """Append one step's terms."""
        for name, value in terms.items():
            self._terms.setdefault(name, []).append(value.detach())

    def __len__(self) -> int:
        return len(next(iter(self._terms.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.state()[name].numpy()

    def names(self) -> tuple[str, ...]:
        """Return the names of the recorded terms, "total" first."""
        return tuple(self._terms)

    def state(self) -> dict[str, Tensor]:
        """Return the terms as tensors on the CPU, for a checkpoint."""
        return {name: torch.stack(values).float().cpu() for name, values in self._terms.items()}


@dataclass
class Training:
    """A run in progress, as a callback sees it, and its result when it is done.

    Attributes
    ----------
    model : nn.Module
        The network that is trained; its last weights.
    average : nn.Module
        The network to restore with: the moving average of the weights, or `model` itself.
    config : TrainingConfig
    mean, std : float
        What standardisation took from the image: image = x * std + mean.
    history : History
    step : int
        Number of steps done.
    interrupted : bool
        Whether KeyboardInterrupt ended the run early.

    Examples
    --------
    >>> network = nn.Conv2d(1, 1, 1)
    >>> Training(network, network, TrainingConfig(), mean=0.2, std=0.1).step
    0
    """

    model: nn.Module
    average: nn.Module
    config: TrainingConfig
    mean: float
    std: float
    history: History = field(default_factory=History)
    step: int = 0
    interrupted: bool = False
