"""What each method is called, which options it takes, and how it runs on an image in [0, 1]."""

import inspect
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from siamdecon.files.on_disk import LargeImage
from siamdecon.hardware import precision_used
from siamdecon.methods.classical import richardson_lucy, wiener
from siamdecon.methods.self_scale import DEFAULTS as SELF_SCALE
from siamdecon.methods.self_scale import find_noise, self_scale
from siamdecon.methods.ssi import DEFAULTS as SSI
from siamdecon.methods.ssi import ssi
from siamdecon.methods.tiers import OWN_SIZES, Tier, get_tier, tier_name
from siamdecon.methods.total_variation import total_variation
from siamdecon.microscope.noise import Noise, estimate_noise
from siamdecon.network.losses import LossWeights
from siamdecon.network.run import History, Training, TrainingConfig
from siamdecon.network.training import train
from siamdecon.network.unet import seeded_unet
from siamdecon.record import plain

# Functions of image and kernel; the last two train a network of their own.
CLASSICAL = {
    "richardson_lucy": richardson_lucy,
    "wiener": wiener,
    "total_variation": total_variation,
    "ssi": ssi,
    "self_scale": self_scale,
}
LEARNED = {
    "noise2self": LossWeights.noise2self,
    "noise2same": LossWeights.noise2same,
    "noise2same_d": LossWeights.noise2same_d,
}
METHODS = (*CLASSICAL, *LEARNED)
#: What these choose by the number of dimensions where nothing is given.
_DEFAULTS = {"ssi": SSI, "self_scale": SELF_SCALE}
#: What a function of `CLASSICAL` is given by `deconvolve`, not by its options.
_GIVEN = {"image", "psf", "device", "callback", "seed", "progress", "voxel_size", "history"}


@dataclass
class Job:
    """An image in [0, 1], in memory or on disk, with all that a method needs.

    Parameters
    ----------
    image : ndarray or LargeImage, shape ([z,] y, x)
    psf : ndarray, shape ([z,] y, x)
    method : str
        One of `METHODS`.
    seed : int
    device : str
    callback : callable, optional
        See `siamdecon.deconvolve`.
    voxel_size : tuple, optional
        See `TrainingConfig`.
    noise : Noise, optional
        What the method was told of the noise, or has found, once it runs.
    history : History
        The losses of a function of `CLASSICAL` that trains a network.
    """

    image: np.ndarray | LargeImage
    psf: np.ndarray
    method: str
    seed: int
    device: str
    callback: Callable | None = None
    voxel_size: tuple[float | None, ...] | None = None
    noise: Noise | None = None
    history: History = field(default_factory=History)

    def classical_options(self, options: dict, tier: str | None = None) -> dict:
        """Check and complete the options of a classical method."""
        if self.method in _DEFAULTS:
            get_tier(tier, self.image.ndim)  # an unknown one is an error here, too
            options = {**OWN_SIZES[self.method][tier_name(tier)], **options}
        known = inspect.signature(CLASSICAL[self.method]).parameters
        keep = set(known) - _GIVEN
        options = _checked(self.method, options, keep)
        options = {name: known[name].default for name in known if name in keep} | options
        chosen = _DEFAULTS.get(self.method, {}).get(self.image.ndim, {})
        options |= {name: value for name, value in chosen.items() if options[name] is None}
        return self.with_noise(options)

    def classical(self, options: dict, progress: bool = False) -> tuple[np.ndarray, dict]:
        """Run a classical method with complete options; return the estimate and the settings used."""
        function = CLASSICAL[self.method]
        known = inspect.signature(function).parameters
        given = {
            "device": self.device,
            "callback": self.callback,
            "seed": self.seed,
            "progress": progress,
            "voxel_size": self.voxel_size,
            "history": self.history,
        }
        given = {name: value for name, value in given.items() if name in known}
        estimate = function(self.image, self.psf, **given, **options)
        used = {"options": plain(options)}
        if self.method in _DEFAULTS:
            rounds = len(options.get("scales", [1]))
            done = len(self.history)
            used |= {
                "precision": precision_used(self.device, scaled=False),
                "steps_done": done,
                "interrupted": done < options["steps"] * rounds,
            }
        return estimate, used

    def with_noise(self, options: dict) -> dict:
        """Replace the noise "auto" by what the image shows."""
        noise = options.get("noise")
        if isinstance(noise, str) and noise == "auto":
            options = {**options, "noise": self._noise_seen()}
        elif noise is not None and not isinstance(noise, Noise):
            raise ValueError(f"noise: expected 'auto', a Noise or None, got {noise!r}")
        self.noise = options.get("noise")
        return options

    def _noise_seen(self) -> Noise | None:
        if (
            self.method == "self_scale"
        ):  # it imitates all of the noise, the others its clipping alone
            return find_noise(self.image, self.psf, device=self.device)
        large = isinstance(self.image, LargeImage)
        return estimate_noise(self.image[self.image.lively].numpy() if large else self.image)

    def learned(
        self, options: dict, size: Tier, checkpoint: str | Path | None, progress: bool
    ) -> tuple[Training, dict]:
        """Train the method's network; return the run and the settings that it used."""
        known = {field.name for field in fields(TrainingConfig)} - {"seed", "voxel_size"}
        options = _checked(self.method, options, known | {"features"})
        options = {"weights": LEARNED[self.method](), "noise": size.noise, **options}
        options = self.with_noise(options)
        features = options.pop("features", size.features)
        config = replace(size.training, voxel_size=self.voxel_size, **options, seed=self.seed)
        config = _fitted(config, self.image.shape, self.psf.shape)
        model = seeded_unet(self.seed, self.image.ndim, features, momentum=size.momentum)
        with _bar(config.steps, self.method, progress) as bar:
            hooks = [hook for hook in (bar, self.callback) if hook is not None]
            run = train(
                model,
                self.image,
                self.psf,
                config,
                callback=lambda training: [hook(training) for hook in hooks],
                checkpoint=checkpoint,
                device=self.device,
            )
        used = {
            "features": features,
            "training": plain(asdict(config)),
            "precision": precision_used(self.device, config.precision),
            "steps_done": run.step,
            "interrupted": run.interrupted,
        }
        return run, used


def check_method(method: str, for_networks: dict) -> None:
    """Raise ValueError unless there is such a method, and only a network was given a network's options.

    Examples
    --------
    >>> check_method("noise2self", {"tile": 128})
    >>> check_method("wiener", {"tile": 128, "stitch": None})
    Traceback (most recent call last):
    ValueError: tile: wiener has no such choice; leave this out
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    given = [name for name, value in for_networks.items() if value is not None]
    if method in CLASSICAL and given:
        raise ValueError(f"{', '.join(given)}: {method} has no such choice; leave this out")


def check_tile(tile: int | None) -> None:
    """Raise ValueError unless tiles can have this side; None leaves it to the method.

    Examples
    --------
    >>> check_tile(128)
    >>> check_tile(8)
    Traceback (most recent call last):
    ValueError: tile: expected 16 or more pixels, or None, got 8
    """
    if tile is not None and (not isinstance(tile, int | np.integer) or tile < 16):
        raise ValueError(f"tile: expected 16 or more pixels, or None, got {tile!r}")


def inference_options(size: Tier, **given) -> dict:
    """Complete how a network restores: what was given, else the tier's.

    Examples
    --------
    >>> from siamdecon.methods.tiers import get_tier
    >>> inference_options(get_tier("full"), average_flips=True, calibrate=None, tile=None)
    {'average_flips': True, 'calibrate': False, 'tile': None}
    """
    usual = {
        "average_flips": size.average_flips,
        "calibrate": size.calibrate,
        "stitch": "blend",
    }
    return {name: usual.get(name) if value is None else value for name, value in given.items()}


def _fitted(config: TrainingConfig, image: tuple[int, ...], psf: tuple[int, ...]) -> TrainingConfig:
    """Check that a network can be trained on an image, and change the padding where the kernel is wide."""
    smallest = (4, 16, 16)[-len(image) :]  # a stack may have few planes
    if any(m < n for m, n in zip(image, smallest, strict=True)):
        planes = ", and 4 or more planes," if len(image) == 3 else ""
        raise ValueError(
            f"image: expected 16 or more pixels along y and x{planes} to train a network on, got {image}; "
            "a classical method takes any size"
        )
    sides = [min(config.patch_size, m) for m in image]
    # a wide kernel would leave a small patch next to no pixel to learn from
    narrow = any(side - n + 1 < side // 2 for side, n in zip(sides, psf, strict=True))
    return replace(config, padding="replicate") if config.padding == "valid" and narrow else config


def _checked(method: str, options: dict, known: set[str]) -> dict:
    """Return the options if the method takes them, NumPy's numbers as Python's, for the record."""
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(
            f"{method} has no option {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        )
    return {name: v.item() if isinstance(v, np.generic) else v for name, v in options.items()}


@contextmanager
def _bar(steps: int, method: str, progress: bool):
    """Yield a training callback that moves a progress bar, or None."""
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm  # here, since in a notebook it imports ipywidgets

    with tqdm(total=steps, desc=method, unit="step", mininterval=0.25) as bar:

        def show(training: Training) -> None:
            bar.update(training.step - bar.n)

        yield show
