"""Train f on one image: draw patches, hide pixels, compare guesses, take a step of Adam."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from siamdecon.convolution import PSFConvolution
from siamdecon.hardware import autocast_dtype, best_device, keep_freed_memory
from siamdecon.history import History
from siamdecon.images import write_atomically
from siamdecon.losses import LossWeights, Outputs, composition_loss
from siamdecon.patches import random_patches, stratified_mask, symmetries
from siamdecon.validation import check_image


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides how a network is trained; the defaults are the paper's for 2D.

    Parameters
    ----------
    weights : LossWeights
        The lambdas of Eq. 1.
    steps, batch_size, patch_size : int
        Number of Adam steps, patches in each, and pixels along a patch's side.
    learning_rate : float
        Where the schedule starts.
    schedule : str
        "step" multiplies the rate by 0.5 every `halve_every` steps (the paper's); "cosine" lets it
        fall to 0 along a cosine, which suits short runs.
    halve_every : int
        See `schedule`.
    mask_percent, mask_sigma : float
        Share of pixels hidden, and the standard deviation of the noise put in their place, in units of
        the standardised image.
    padding : str
        What g takes to lie beyond a patch's border; see `PSFConvolution`. With "valid" the losses see
        only the pixels whose blur lies wholly in the patch.
    ema_decay : float
        Decay of the moving average of the weights that the result carries; 0 keeps the last weights.
    precision : str
        See `siamdecon.hardware.autocast_dtype`.
    compile : bool
        Compile the network with `torch.compile`; on CUDA only.
    seed : int
        Seed of the patches and masks. (The network's own weights are drawn by whoever builds it.)

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
    schedule: str = "step"
    halve_every: int = 500
    mask_percent: float = 0.5
    mask_sigma: float = 0.2
    padding: str = "replicate"
    ema_decay: float = 0.0
    precision: str = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "patch_size", "halve_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected a whole number of 1 or more, got {value!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"learning_rate: expected a positive number, got {self.learning_rate!r}"
            )
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f"schedule: expected 'step' or 'cosine', got {self.schedule!r}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay: expected a number in [0, 1), got {self.ema_decay!r}")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "step":
            return self.learning_rate * 0.5 ** (step // self.halve_every)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))


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
    """

    model: nn.Module
    average: nn.Module
    config: TrainingConfig
    mean: float
    std: float
    history: History = field(default_factory=History)
    step: int = 0
    interrupted: bool = False


def train(
    model: nn.Module,
    image: np.ndarray,
    psf: np.ndarray,
    config: TrainingConfig | None = None,
    *,
    callback: Callable[[Training], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    device: str | torch.device | None = None,
) -> Training:
    """Train a network on a single noisy image by minimising Eq. 1 (Section 2, "Training").

    Parameters
    ----------
    model : nn.Module
        Maps (n, 1, [z,] y, x) to the same shape; trained in place.
    image : ndarray, shape ([z,] y, x)
        The noisy image, in [0, 1], the range that the boundary losses hold the estimate to.
    psf : ndarray, shape ([z,] y, x)
        The known kernel.
    config : TrainingConfig, optional
        The paper's settings for 2D unless given.
    callback : callable, optional
        Called with the `Training` after each step.
    checkpoint : path, optional
        File that the run is saved to every `checkpoint_every` steps and at its end. Where the file
        exists, the run goes on from it: on a CPU, to bit-identical weights.
    checkpoint_every : int
        See `checkpoint`.
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    Training
        With the networks in evaluation mode. KeyboardInterrupt ends the run early and returns what
        has been reached.

    Raises
    ------
    ValueError
        If the image is not finite, constant or smaller than a patch, the kernel does not fit it, or
        the checkpoint belongs to another run.

    Examples
    --------
    Introduced in notebook 04.

    >>> from siamdecon.unet import UNet
    >>> config = TrainingConfig(steps=2, batch_size=1, patch_size=32)
    >>> run = train(UNet(features=2), np.random.rand(40, 40), np.ones((3, 3)) / 9, config)
    >>> run.step, run.history.names()
    (2, ('total', 'rec', 'inv_d', 'bound_d'))
    """
    device = torch.device(device or best_device())
    loop = _Loop(model, check_image(image), psf, config or TrainingConfig(), device)
    if checkpoint is not None and Path(checkpoint).exists():
        loop.load(Path(checkpoint))
    run = loop.run
    try:
        while run.step < run.config.steps:
            loop.take_step()
            if checkpoint is not None and (
                run.step % checkpoint_every == 0 or run.step == run.config.steps
            ):
                loop.save(Path(checkpoint))
            if callback is not None:
                callback(run)
    except KeyboardInterrupt:
        run.interrupted = True
    loop.finish()
    return run


class _Loop:
    """The moving parts of a run: optimiser, random numbers, precision."""

    def __init__(self, model, image: np.ndarray, psf, config: TrainingConfig, device: torch.device):
        keep_freed_memory()
        x = torch.from_numpy(image).to(device)  # ([z,] y, x)
        mean, std = x.mean().item(), x.std().item()
        self.x = (x - mean) / std
        self.device, self.config = device, config
        self.g = PSFConvolution(psf, image.ndim, config.padding).to(device)
        self.turns = symmetries(self.g.psf.cpu().numpy())
        self.layout = torch.channels_last if image.ndim == 2 else torch.channels_last_3d
        model.to(device, memory_format=self.layout).train()
        self.f = torch.compile(model) if config.compile and device.type == "cuda" else model
        average = model
        if config.ema_decay:
            average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.run = Training(model, average, config, mean, std)
        self.dtype = autocast_dtype(device, config.precision)
        self.adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.key = hashlib.sha256(
            image.tobytes() + self.g.psf.cpu().numpy().tobytes() + repr(config).encode()
        ).hexdigest()

    def take_step(self) -> None:
        config, run, weights = self.config, self.run, self.config.weights
        for group in self.adam.param_groups:
            group["lr"] = config.learning_rate_at(run.step)
        x = self.patches()  # (n, 1, [z,] y, x)
        unmasked = masked = mask = None
        if weights.needs_unmasked:
            unmasked = self.forward(x)
        if weights.needs_masked:
            mask, x_masked = self.hide(x)  # (n, 1, [z,] y, x) each
            masked, mask = self.forward(x_masked), self.g.interior(mask)
        x = self.g.interior(x)
        terms = composition_loss(weights, x, mask, unmasked, masked, run.mean, run.std)
        self.adam.zero_grad()
        self.scaler.scale(terms["total"]).backward()
        self.scaler.step(self.adam)
        self.scaler.update()
        if run.average is not run.model:
            run.average.update_parameters(run.model)
        run.history.record(terms)
        run.step += 1

    def patches(self) -> Tensor:
        config = self.config
        return random_patches(
            self.x, config.patch_size, config.batch_size, self.generator, self.turns
        )

    def hide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return J and x_Jc: the mask, and x with Gaussian noise in place of the masked pixels."""
        mask = stratified_mask(tuple(x.shape), self.config.mask_percent, self.generator)
        noise = torch.zeros(mask.shape)
        noise[mask] = self.config.mask_sigma * torch.randn(
            int(mask.sum()), generator=self.generator
        )
        mask = mask.to(x.device)
        return mask, torch.where(mask, noise.to(x.device), x)

    def forward(self, x: Tensor) -> Outputs:
        x = x.contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            deconvolved = self.f(x)
        deconvolved = deconvolved.float()
        return Outputs(self.g.interior(deconvolved), self.g(deconvolved))

    def finish(self) -> None:
        """Give the averaged weights batch statistics of their own, and leave training mode."""
        average = self.run.average
        if average is not self.run.model and self.run.step:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                update_bn((self.patches() for _ in range(16)), average)
        self.run.model.eval(), average.eval()

    def state(self) -> dict:
        run = self.run
        return {
            "key": self.key,
            "step": run.step,
            "model": run.model.state_dict(),
            "average": run.average.state_dict(),
            "adam": self.adam.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
            "history": run.history.state(),
        }

    def save(self, path: Path) -> None:
        write_atomically(path, lambda part: torch.save(self.state(), part))

    def load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise ValueError(
                f"checkpoint: {path} can't be read; delete it to start anew"
            ) from error
        if state.get("key") != self.key:
            raise ValueError(
                f"checkpoint: {path} belongs to a run with another image, kernel or settings; name "
                "another file, or delete it to start anew"
            )
        run = self.run
        run.step, run.history = state["step"], History(state["history"])
        run.model.load_state_dict(state["model"])
        run.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"].cpu())
