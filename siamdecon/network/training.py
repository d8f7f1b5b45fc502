"""Train f on one image: draw patches, hide pixels, compare guesses, take a step of Adam."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from siamdecon.files.atomic import check_writable, write_atomically
from siamdecon.files.on_disk import LargeImage
from siamdecon.hardware import (
    autocast_dtype,
    channels_last,
    keep_freed_memory,
    pick_device,
    to_tensor,
)
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import check_counts, check_image, check_unit_range
from siamdecon.microscope.noise import mean_response
from siamdecon.network.losses import Outputs, composition_loss
from siamdecon.network.patches import random_patches, stratified_mask, symmetries
from siamdecon.network.run import History, Training, TrainingConfig, count_step, moving_average


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
    image : ndarray or LargeImage, shape ([z,] y, x)
        The noisy image, in [0, 1], the range that the boundary losses hold the estimate to. Of one on
        disk only the patches are read.
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
        If the image is not finite or constant, the kernel does not fit it, or the checkpoint belongs to
        another run.

    Examples
    --------
    Introduced in notebook 04.

    >>> from siamdecon.network.unet import UNet
    >>> config = TrainingConfig(steps=2, batch_size=1, patch_size=32)
    >>> run = train(UNet(features=2), np.random.rand(40, 40), np.ones((3, 3)) / 9, config)
    >>> run.step, run.history.names()
    (2, ('total', 'rec', 'inv_d', 'bound_d'))
    """
    device = pick_device(device)
    check_counts(checkpoint_every=checkpoint_every)
    if checkpoint is not None:
        check_writable(checkpoint, overwrite=True)
    if not isinstance(image, LargeImage):  # that was checked when it was looked through
        image = check_unit_range(check_image(image))
    loop = TrainingLoop(model, image, psf, config or TrainingConfig(), device)
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


class TrainingLoop:
    """The moving parts of a run: optimiser, random numbers, precision."""

    def __init__(self, model, image: np.ndarray, psf, config: TrainingConfig, device: torch.device):
        keep_freed_memory()
        large = isinstance(image, LargeImage)
        self.x = image if large else to_tensor(image, device)[0, 0]  # ([z,] y, x)
        mean, std = float(self.x.mean()), float(self.x.std())
        self.device, self.config = device, config
        self.g = PSFConvolution(psf, image.ndim, config.padding)
        self.m = mean_response(config.noise)
        self.turns = symmetries(self.g.psf.numpy(), config.voxel_size)
        self.layout = channels_last(image.ndim)
        model.to(device, memory_format=self.layout).train()
        self.f = torch.compile(model) if config.compile and device.type == "cuda" else model
        average = model
        if config.ema_decay:
            average = AveragedModel(model, multi_avg_fn=moving_average(config.ema_decay))
        self.run = Training(model, average, config, mean, std)
        self.dtype = autocast_dtype(device, config.precision)
        self.adam = torch.optim.Adam(
            model.parameters(), config.learning_rate, betas=(0.9, config.beta2), fused=True
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.generator = torch.Generator().manual_seed(config.seed)
        sizes = [tuple(p.shape) for p in model.parameters()]
        self.key = hashlib.sha256(
            (image.sha256.encode() if large else image.tobytes())
            + self.g.psf.numpy().tobytes()
            + repr((config, config.voxel_size, sizes)).encode()
        ).hexdigest()

    def take_step(self) -> None:
        """Draw patches, compute the terms of Eq. 1, and let Adam take a step."""
        config, run, weights = self.config, self.run, self.config.weights
        for group in self.adam.param_groups:
            group["lr"] = config.learning_rate_at(run.step)
        x = self.patches()  # (n, 1, [z,] y, x)
        unmasked = masked = mask = None
        if weights.needs_unmasked:
            unmasked = self.forward(x)
        if weights.needs_masked:
            mask, x_masked = self.hide(x)  # (n, 1, [z,] y, x) each
            masked = self.forward(x_masked, blur=weights.needs_masked_blur)
            mask = self.g.interior(mask)
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
        count_step()

    def patches(self) -> Tensor:
        """Draw a standardised batch, shape (n, 1, [z,] y, x)."""
        config = self.config
        patches = random_patches(
            self.x, config.patch_size, config.batch_size, self.generator, self.turns
        )
        return (patches.to(self.device) - self.run.mean) / self.run.std

    def hide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return J and x_Jc: the mask, and x with Gaussian noise in place of the masked pixels."""
        mask = stratified_mask(tuple(x.shape), self.config.mask_percent, self.generator)
        noise = torch.zeros(mask.shape)
        noise[mask] = self.config.mask_sigma * torch.randn(
            int(mask.sum()), generator=self.generator
        )
        mask = mask.to(x.device)
        return mask, torch.where(mask, noise.to(x.device), x)

    def forward(self, x: Tensor, blur: bool = True) -> Outputs:
        """Compute f(x), and g(f(x)) if it is asked for, for (n, 1, [z,] y, x)."""
        x = x.contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            deconvolved = self.f(x)
        deconvolved = deconvolved.float()
        if not blur:
            return Outputs(self.g.interior(deconvolved), None)
        mean, std = self.run.mean, self.run.std
        reconvolved = self.g(deconvolved)
        expected = (self.m(reconvolved * std + mean) - mean) / std  # m: identity for unknown noise
        return Outputs(self.g.interior(deconvolved), reconvolved, expected)

    def finish(self) -> None:
        """Give the averaged weights batch statistics of their own, and leave training mode."""
        average = self.run.average
        if average is not self.run.model and self.run.step:
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                update_bn((self.patches() for _ in range(16)), average)
        self.run.model.eval(), average.eval()

    def state(self) -> dict:
        """Return all that a run needs to go on, as tensors, numbers and strings."""
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
        """Write the state; a killed run leaves the last whole file."""
        write_atomically(path, lambda part: torch.save(self.state(), part))

    def load(self, path: Path) -> None:
        """Take up a saved state of the same run."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(
                f"checkpoint: {path} can't be read; delete it to start anew"
            ) from error
        if not isinstance(state, dict) or state.get("key") != self.key:
            raise ValueError(
                f"checkpoint: {path} belongs to a run with another image, kernel, network or settings; "
                "name another file, or delete it to start anew"
            )
        run = self.run
        run.step, run.history = state["step"], History(state["history"])
        run.model.load_state_dict(state["model"])
        run.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"].cpu())
