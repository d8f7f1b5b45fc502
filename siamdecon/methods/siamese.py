"""The paper's method: a network trained on one image by the composition loss, in three weightings."""

import hashlib
import io
import math
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from siamdecon.expect import (
    Words,
    expect,
    expect_counts,
    expect_one_of,
    expect_positive,
    expect_seed,
    is_number,
    warn,
)
from siamdecon.files.atomic import check_writable, claimed, write_atomically
from siamdecon.hardware import PRECISIONS, channels_last, one_thread_each
from siamdecon.methods.base import Method, plain, tier_name
from siamdecon.microscope.convolution import PADDINGS, PSFConvolution
from siamdecon.microscope.noise import Noise, mean_response
from siamdecon.network.inference import estimator_of
from siamdecon.network.losses import LossWeights, Outputs, composition_loss
from siamdecon.network.patches import random_patches, stratified_mask, symmetries
from siamdecon.network.training import History, MovingAverage, Training, Watch
from siamdecon.network.unet import UNet, compute, seeded
from siamdecon.problem import Problem
from siamdecon.tiles import STITCHES, Estimator, check_tile


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
        Percentage of pixels hidden, up to 25, and the standard deviation of the noise put in their place, in
        units of the standardised image.
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
    seed : int
        Seed of the patches and masks. (The network's own weights are drawn by whoever builds it.)
    parts : int
        Into how many parts each batch is cut, each computed by one thread of a CPU, with batch statistics
        and a loss of its own. The result depends on it, and not on the number of cores.
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
    seed: int = 0
    parts: int = 1
    voxel_size: tuple[float | None, ...] | None = field(default=None, repr=False)

    def __post_init__(self):
        known = isinstance(self.weights, LossWeights)
        expect(known, "weights", "LossWeights, such as LossWeights.noise2same()", self.weights)
        expect_one_of(PADDINGS, padding=self.padding)
        expect_one_of(PRECISIONS, precision=self.precision)
        share = is_number(self.mask_percent) and 0.001 <= self.mask_percent <= 25
        expect(share, "mask_percent", "a share of 0.001 to 25", self.mask_percent)
        counts = ("steps", "batch_size", "patch_size", "halve_every", "parts")
        expect_counts(**{name: getattr(self, name) for name in counts})
        deep = "8 or more pixels, of which the network's lowest level sees two"
        expect(self.patch_size >= 8, "patch_size", deep, self.patch_size)
        expect_positive(learning_rate=self.learning_rate)
        expect_one_of(("step", "cosine"), schedule=self.schedule)
        for name in ("ema_decay", "beta2"):
            value = getattr(self, name)
            expect(is_number(value) and 0 <= value < 1, name, "a number in [0, 1)", value)
        noisy = is_number(self.mask_sigma) and self.mask_sigma >= 0
        expect(noisy, "mask_sigma", "0 or more", self.mask_sigma)
        known = self.noise is None or isinstance(self.noise, Noise)
        expect(known, "noise", "a Noise or None", self.noise)
        expect_seed(self.seed)
        sizes = (None,) * 2 if self.voxel_size is None else self.voxel_size
        known = isinstance(sizes, Sequence) and len(sizes) in (2, 3)
        known = known and all(size is None or is_number(size) for size in sizes)
        expect(known, "voxel_size", "um along each of 2 or 3 axes, or None", self.voxel_size)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if self.schedule == "step":
            return self.learning_rate * 0.5 ** (step // self.halve_every)
        return self.learning_rate * (0.55 + 0.45 * math.cos(math.pi * step / self.steps))


class SiameseTraining(Training):
    """A training by Eq. 1, as a callback sees it, and its result when it is done.

    Parameters
    ----------
    model : nn.Module
    problem : Problem
    config : TrainingConfig

    Attributes
    ----------
    config : TrainingConfig
    mean, std : float
        What standardisation took from the image: image = x * std + mean.
    """

    def __init__(self, model: nn.Module, problem: Problem, config: TrainingConfig):
        double = any(p.dtype == torch.float64 for p in model.parameters())
        mend = "model.float() makes them so"
        expect(not double, "model", "weights in float32", Words("some in float64"), mend)
        model.to(problem.device, memory_format=channels_last(problem.ndim)).train()
        average = MovingAverage(model, config.ema_decay) if config.ema_decay else None
        same = replace(problem, seed=config.seed)
        super().__init__(model, same, average, config.precision, scaled=True, parts=config.parts)
        self.config, self.x = config, problem.x
        self.mean, self.std = float(problem.x.mean()), float(problem.x.std())
        self.g = PSFConvolution(problem.psf, problem.ndim, config.padding)
        self.response = mean_response(config.noise)  # the identity for unknown noise
        self.turns = symmetries(problem.psf, config.voxel_size)
        betas = (0.9, config.beta2)
        adam = torch.optim.Adam(model.parameters(), config.learning_rate, betas, fused=True)
        self.optimizer = adam
        self.saved = dict(model=model, average=self.average, adam=adam, scaler=self.scaler)
        sizes = [tuple(p.shape) for p in model.parameters()]
        settings = f"({config!r}, {config.voxel_size!r}, {model!r}, {sizes!r})"
        settings = settings.replace(", black=0.0)", ")").encode()  # as before noise had one
        kernel = self.g.psf.numpy().tobytes()
        self.key = hashlib.sha256(problem.identity() + kernel + settings).hexdigest()

    def rate(self) -> float:
        """Return the learning rate of the schedule."""
        return self.config.learning_rate_at(self.step)

    def draw(self) -> tuple[Tensor, ...]:
        """Draw patches, and hide pixels if a loss needs it: x, J and x_Jc, (n, 1, [z,] y, x) each."""
        x = self.patches()
        return (x, *self.hide(x)) if self.config.weights.needs_masked else (x,)

    def terms(self, model: nn.Module, x: Tensor, mask=None, x_masked=None) -> dict[str, Tensor]:
        """Compute the terms of Eq. 1."""
        weights, unmasked, masked = self.config.weights, None, None
        if weights.needs_unmasked:
            unmasked = self.forward(model, x)
        if weights.needs_masked:
            masked = self.forward(model, x_masked, blur=weights.needs_masked_blur)
            mask = self.g.interior(mask)
        x = self.g.interior(x)
        units = (self.mean, self.std, self.response)
        return composition_loss(weights, x, mask, unmasked, masked, *units)

    def on_step(self, watch: Watch) -> None:
        """Save the run now and then, and at its end."""
        due = self.step % watch.checkpoint_every == 0 or self.step == self.config.steps
        if watch.checkpoint and due:
            try:
                self.save(Path(watch.checkpoint))
            except OSError as error:  # the training is worth more than its checkpoint
                warn(f"checkpoint: {error}; the training goes on without")
        watch.report(self)

    def patches(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw a standardised batch, shape (n, 1, [z,] y, x)."""
        size = (self.config.patch_size, self.config.batch_size)
        patches = random_patches(self.x, *size, generator or self.generator, self.turns)
        return (patches.to(self.device, non_blocking=True) - self.mean) / self.std

    def hide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return J and x_Jc: the mask, and x with Gaussian noise in place of the masked pixels."""
        mask = stratified_mask(tuple(x.shape), self.config.mask_percent, self.generator)
        noise, n = torch.zeros(mask.shape, dtype=x.dtype), int(mask.sum())
        drawn = torch.randn(n, generator=self.generator, dtype=x.dtype)
        noise[mask] = self.config.mask_sigma * drawn
        # a copy that waits for the GPU would stall each step
        mask, noise = (t.to(x.device, non_blocking=True) for t in (mask, noise))
        return mask, torch.where(mask, noise, x)

    def forward(self, model: nn.Module, x: Tensor, blur: bool = True) -> Outputs:
        """Compute f(x), and g(f(x)) if it is asked for, for (n, 1, [z,] y, x)."""
        deconvolved = compute(model, x, self.dtype)
        return Outputs(self.g.interior(deconvolved), self.g(deconvolved) if blur else None)

    def settle(self) -> None:
        """Give the averaged weights batch statistics of their own; the training goes on as it would."""
        if self.average is not self.model and self.step:
            apart = self.generator.clone_state()
            how = {"enabled": self.dtype is not None, "cache_enabled": False}  # as in `compute`
            with torch.autocast(self.device.type, self.dtype, **how):
                update_bn((self.patches(apart) for _ in range(16)), self.average)

    def finish(self) -> None:
        """Leave training mode, and let go of what only a training needs."""
        self.settle()
        self.model.eval(), self.average.eval()
        self.x = self.optimizer = self.saved = None

    def save(self, path: Path) -> None:
        """Write all that a run needs to go on; a killed run leaves the last whole file."""
        state = {"key": self.key, "step": self.step, "history": self.history.state()}
        state |= {name: part.state_dict() for name, part in self.saved.items()}
        file = io.BytesIO()  # torch's own writing of a file hides why it fails
        torch.save(state | {"generator": self.generator.get_state()}, file)
        write_atomically(path, lambda part: part.write_bytes(file.getbuffer()))

    def load(self, path: Path) -> None:
        """Take up a saved state of the same run."""
        name = f"checkpoint: {path}"
        try:
            with zipfile.ZipFile(path) as file:
                if file.testzip():  # torch itself does not compare checksums
                    raise zipfile.BadZipFile(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            if same := isinstance(state, dict) and state.get("key") == self.key:
                self.step, self.history = state["step"], History(state["history"])
                self.generator.set_state(state["generator"])
                for part, ours in self.saved.items():
                    if state[part]:  # the scaler of a run without float16 has nothing to save
                        ours.load_state_dict(state[part])
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(f"{name} can't be read; delete it to start anew") from error
        if not same:
            other = f"{name} belongs to a run with another image, kernel, network or settings"
            raise ValueError(f"{other}; name another file, or delete it to start anew")


@one_thread_each()
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
) -> SiameseTraining:
    """Train a network on a single noisy image by minimising Eq. 1 (Section 2, "Training").

    Parameters
    ----------
    model : nn.Module
        Maps (n, 1, [z,] y, x) to the same shape; trained in place. Of a network that halves an image n
        times, the attribute `stride` is 2^n: `predict` continues an image to its multiples, and "exact"
        tiles begin at them.
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
        If the image is not finite or constant, the kernel does not fit it, the model gives another shape
        than its input's, or the checkpoint belongs to another run.

    Examples
    --------
    Introduced in notebook 04.

    >>> from siamdecon import UNet
    >>> config = TrainingConfig(steps=2, batch_size=1, patch_size=32)
    >>> run = train(UNet(features=2), np.random.rand(40, 40), np.ones((3, 3)) / 9, config)
    >>> run.step, run.history.names()
    (2, ('total', 'rec', 'inv_d', 'bound_d'))
    """
    expect_counts(checkpoint_every=checkpoint_every)
    problem = Problem.as_it_is(image, psf, device=device)
    watch = Watch(callback, False, checkpoint, checkpoint_every)
    return _train(model, problem, config or TrainingConfig(), watch)


def _train(
    model: nn.Module, problem: Problem, config: TrainingConfig, watch: Watch
) -> SiameseTraining:
    smallest = (4, 16, 16)[-problem.ndim :]  # a stack may have few planes
    large = all(m >= n for m, n in zip(problem.shape, smallest, strict=True))
    planes = ", and 4 or more planes," if problem.ndim == 3 else ""
    sides = f"16 or more pixels along y and x{planes} to train a network on"
    expect(large, "image", sides, problem.shape, "a classical method takes any size")
    path = watch.checkpoint and Path(watch.checkpoint)
    with claimed(path, "checkpoint") if path else nullcontext():
        if path:
            check_writable(path, overwrite=True)
        run = SiameseTraining(model, problem, config)
        if path and path.exists():
            run.load(path)
        run.run(config.steps, watch)
    run.finish()
    return run


#: Of short runs; and the paper's own way, without this package's improvements.
_SHORT = {"schedule": "cosine", "beta2": 0.99, "ema_decay": 0.99, "padding": "valid"}
_PAPER = {"average_flips": False, "calibrate": False, "noise": None, "tile": 128}
_LAB = {"features": 16, "momentum": 0.02, "parts": 2, **_SHORT}


@dataclass(frozen=True)
class Siamese(Method):
    """A network that is trained on the image alone by Eq. 1.

    Its options are `features`, `renorm`, `noise` and the fields of `TrainingConfig`; what else there is says
    how the network restores.

    Parameters
    ----------
    config : TrainingConfig
    features : int
        Of the U-Net's first convolution.
    momentum : float
        Of the batch normalisation; short runs need a larger one.
    renorm : bool
        Whether it is batch renormalisation; see `UNet`.
    noise : Noise, "auto" or None
        "auto" models the clipping of the measurement, an improvement on the paper (`estimate_noise`).
    average_flips, calibrate, tile, stitch
        See `siamdecon.network.predict`; the first two are improvements on the paper.
    tier : str
        For the record.
    """

    choices: ClassVar = ("average_flips", "calibrate", "tile", "stitch", "checkpoint")
    in_windows: ClassVar = True
    sizes: ClassVar = {
        "test": {
            2: {"features": 4, "steps": 4, "batch_size": 2, "patch_size": 32, "parts": 2, **_SHORT},
            3: {"features": 4, "steps": 2, "batch_size": 1, "patch_size": 32, **_SHORT},
        },
        "lab": {
            2: {**_LAB, "steps": 400, "patch_size": 64, "learning_rate": 4e-3},
            # half of a 32-pixel patch's side, an eighth of its voxels, would be left of "valid"
            3: {**_LAB, "steps": 300, "batch_size": 2, "patch_size": 32, "learning_rate": 1e-3}
            | {"padding": "replicate"},
        },
        "full": {
            2: {"features": 96, **_PAPER},
            3: {"features": 48, "steps": 15000, "batch_size": 4, "patch_size": 64, **_PAPER}
            | {"halve_every": 2000},
        },
    }

    config: TrainingConfig
    features: int
    momentum: float = 0.003
    renorm: bool = False
    noise: Noise | str | None = "auto"
    average_flips: bool = True
    calibrate: bool = True
    tile: int | None = None
    stitch: str = "blend"
    tier: str = ""

    def __post_init__(self):
        self.check_noise()
        check_tile(self.tile)
        expect_one_of(STITCHES, stitch=self.stitch)
        expect(isinstance(self.renorm, bool), "renorm", "True or False", self.renorm)

    @classmethod
    def option_names(cls) -> set[str]:
        """Return the names of the training's settings, and those of the network and of the noise."""
        training = {f.name for f in fields(TrainingConfig)} - {"seed", "voxel_size"}
        return training | {"features", "renorm", "noise"}

    @classmethod
    def of_tier(cls, tier: str | None, n_dim: int, options: dict) -> "Siamese":
        """Return the method with a tier's sizes, and what is given in their place."""
        flat = {"weights": cls.weights(), **cls.resolved(tier, n_dim, options)}
        own = {f.name: flat.pop(f.name) for f in fields(cls) if f.name in flat}
        return cls(config=TrainingConfig(**flat), tier=tier_name(tier), **own)

    def network(self, n_dim: int, seed: int) -> UNet:
        """Return the network as it is before the training."""
        how = {"momentum": self.momentum, "renorm": self.renorm}
        return seeded(seed, UNet, n_dim, self.features, **how)

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Train the network."""
        noise = problem.noise_seen() if isinstance(self.noise, str) else self.noise
        config = replace(self.config, noise=noise, voxel_size=problem.voxel_size, seed=problem.seed)
        config = _fitted(config, problem.shape, problem.psf.shape)
        model = self.network(problem.ndim, problem.seed)
        with watch.bar(config.steps, self.name):
            run = _train(model, problem, config, watch)
        how = {"average_flips": self.average_flips, "calibrate": self.calibrate}
        how |= {"tile": self.tile, "stitch": self.stitch}
        training = {"features": self.features, "renorm": self.renorm}
        training |= {"training": plain(asdict(config))}
        used = {"tier": self.tier, **how, **training, **run.used()}
        estimator = estimator_of(run, problem, **how, used=used, noise=noise)
        used["tile"] = estimator.tile
        return estimator


class Noise2Self(Siamese):
    """Eq. 2: the blind-spot loss alone.

    It compares few pixels with the measurement. Normalised by the statistics of each part of a batch, as
    the paper's network is by those of the batch, it lost 0.3 dB over 12 images.
    """

    name, weights = "noise2self", LossWeights.noise2self
    sizes: ClassVar = Siamese.sizes | {
        tier: Siamese.sizes[tier] | {2: Siamese.sizes[tier][2] | {"momentum": 0.1, "renorm": True}}
        for tier in ("test", "lab")
    }


class Noise2Same(Siamese):
    """Eq. 3: invariance after the PSF."""

    name, weights = "noise2same", LossWeights.noise2same


class Noise2SameD(Siamese):
    """Eq. 4: invariance before the PSF."""

    name, weights = "noise2same_d", LossWeights.noise2same_d


def _fitted(config: TrainingConfig, image: tuple[int, ...], psf: tuple[int, ...]) -> TrainingConfig:
    """Change the padding where the kernel is wide."""
    sides = [min(config.patch_size, m) for m in image]
    # a wide kernel would leave a small patch next to no pixel to learn from
    narrow = any(side - n + 1 < side // 2 for side, n in zip(sides, psf, strict=True))
    return replace(config, padding="replicate") if config.padding == "valid" and narrow else config
