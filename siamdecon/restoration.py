"""The one call that does the whole job: a noisy image and its kernel in, a restored image out."""

import dataclasses
import inspect
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siamdecon.classical import richardson_lucy, wiener
from siamdecon.degradation import Noise, residual
from siamdecon.files import check_writable, write_atomically
from siamdecon.hardware import pick_device
from siamdecon.images import SUFFIXES, Image, check_storable, write_image
from siamdecon.inference import STITCHES, predict
from siamdecon.losses import LossWeights
from siamdecon.noise_estimation import estimate_noise
from siamdecon.record import describe_inputs, describe_versions, plain
from siamdecon.run import History, Training, TrainingConfig
from siamdecon.tiers import get_tier, tier_name
from siamdecon.total_variation import total_variation
from siamdecon.training import train
from siamdecon.unet import seeded_unet
from siamdecon.validation import check_image, check_psf

CLASSICAL = {
    "richardson_lucy": richardson_lucy,
    "wiener": wiener,
    "total_variation": total_variation,
}
LEARNED = {
    "noise2self": LossWeights.noise2self,
    "noise2same": LossWeights.noise2same,
    "noise2same_d": LossWeights.noise2same_d,
}
METHODS = (*CLASSICAL, *LEARNED)


@dataclass
class Restoration:
    """A restored image, with what is needed to judge it, to keep it and to make it again.

    Attributes
    ----------
    image : ndarray of float32, shape ([z,] y, x)
        The estimate, in the units of the image that went in.
    method : str
    settings : dict
        Every setting, version and seed; what `save` writes beside the image.
    source : Image
        The image that went in, with its axes and voxel size.
    psf : ndarray, shape ([z,] y, x)
        The kernel, with sum 1.
    run : Training or None
        The training behind a learned method: networks, losses by name.
    noise : Noise or None
        The noise that the method was told of or has estimated, in units of the range [0, 1].
    """

    image: np.ndarray
    method: str
    settings: dict
    source: Image
    psf: np.ndarray
    run: Training | None = None
    noise: Noise | None = None

    @property
    def history(self) -> History | None:
        """The losses by name, one value a step; None for a classical method."""
        return self.run.history if self.run else None

    @property
    def residual(self) -> np.ndarray:
        """What the estimate leaves unexplained: measurement minus blurred estimate, as float32.

        See `siamdecon.degradation.residual`. Where the method knew of clipping, the blurred estimate has
        passed through it.
        """
        low, high = self.settings["range"]
        estimate, measured = (
            (np.asarray(image, dtype=np.float32) - low) / (high - low)
            for image in (self.image, self.source)
        )
        return residual(estimate, measured, self.psf, self.noise) * (high - low)

    def save(self, path: str | Path, *, dtype: str | None = None, overwrite: bool = False) -> Path:
        """Write the image, and beside it a JSON file of every setting.

        Parameters
        ----------
        path : path
            Where to: a .tif with the source's axes and voxel size, or a .png (integers only). The JSON
            gets the same name with the suffix .json.
        dtype : str, optional
            "float32" keeps the estimate as it is; "uint8" and "uint16" round and clip it; "source" is
            the dtype of the image that went in. Unless given, float32 for a TIFF, the source's for a PNG.
        overwrite : bool
            Replace files that are there.

        Returns
        -------
        Path
            The image's.

        Raises
        ------
        FileExistsError, FileNotFoundError, PermissionError
            If a file is there already, or its folder is not or can't be written.
        """
        path = Path(path)
        pixels = _cast(self.image, check_output(path, self.source, dtype, overwrite))
        image = Image(pixels, self.source.axes, self.source.voxel_size)
        settings = {**self.settings, "saved_dtype": str(pixels.dtype)}
        record, text = path.with_suffix(".json"), json.dumps(settings, indent=1, default=str) + "\n"
        write_image(path, image, overwrite=overwrite)
        write_atomically(record, lambda part: part.write_text(text))
        return path


def check_output(path: str | Path, source: Image, dtype: str | None, overwrite: bool) -> np.dtype:
    """Return the dtype that `Restoration.save` will write, or raise before any work is done for it."""
    path = Path(path)
    check_writable(path, overwrite, SUFFIXES)
    check_writable(path.with_suffix(".json"), overwrite)
    dtype = dtype or ("source" if path.suffix.lower() == ".png" else "float32")
    dtype = source.dtype if dtype == "source" else np.dtype(dtype)
    check_storable(path, dtype, source.shape)
    return dtype


def deconvolve(
    image: np.ndarray | Image,
    psf: np.ndarray | Image,
    method: str = "noise2same_d",
    *,
    tier: str | None = None,
    seed: int = 0,
    average_flips: bool | None = None,
    calibrate: bool | None = None,
    tile: int | None = None,
    stitch: str | None = None,
    device: str | None = None,
    progress: bool = True,
    callback: Callable | None = None,
    checkpoint: str | Path | None = None,
    **options,
) -> Restoration:
    """Restore a blurred, noisy image with nothing but the image and its point-spread function.

    Parameters
    ----------
    image : ndarray or Image, shape ([z,] y, x)
        The measurement. Integers, and floats that leave [0, 1] or only reach half of it, are scaled to
        [0, 1] by their minimum and maximum for the work, and the estimate is scaled back.
    psf : ndarray or Image, shape ([z,] y, x)
        The kernel, with as many axes as the image.
    method : str
        "richardson_lucy", "wiener", "total_variation"; or a network that is trained on this image
        alone: "noise2self" (Eq. 2), "noise2same" (Eq. 3), "noise2same_d" (Eq. 4).
    tier : str, optional
        How big a run is: "lab", "full" or "test"; see `siamdecon.tiers`.
    seed : int
        Seed of everything random: on a CPU the same seed gives the same image.
    average_flips, calibrate : bool, optional
        How a network restores, see `siamdecon.inference.predict`: True at the lab tier, False, as in the
        paper, at the full tier, unless given.
    tile : int, optional
        Side of the tiles that a network restores large images in; chosen by the free memory unless given.
    stitch : str, optional
        How the tiles are put together: "blend", the paper's, unless given, or "exact".
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called after each step, with the `Training` by a network, with the iteration's number and the
        estimate on the scale of [0, 1] by a classical method.
    checkpoint : path, optional
        File that a training is saved to and goes on from; see `train`.
    **options
        Keyword arguments of the classical function (`iterations`, `prefilter`, `weight`, ...), or
        `features` and fields of `TrainingConfig` (`steps`, `weights`, `patch_size`, ...) that replace
        those of the tier. `noise`, for a network or "total_variation", is a `Noise` in units of the
        range [0, 1], "auto" (the networks' default at the lab tier: estimated from the image if that is
        clipped at black or white), or None (the paper's: clipping is not modelled).

    Returns
    -------
    Restoration

    Raises
    ------
    ValueError
        If an input can't be used, before any work; the message says what arrived, what was expected
        and how to mend it.

    Examples
    --------
    Introduced in notebook 00.

    >>> from siamdecon import degrade, load_sample, paper_psf
    >>> noisy = degrade(load_sample("cell")[:128, :128], paper_psf(2))
    >>> result = deconvolve(noisy, paper_psf(2), "richardson_lucy", iterations=2)
    >>> result.image.shape, result.settings["method"]
    ((128, 128), 'richardson_lucy')
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    pixels = check_image(image)
    psf = check_psf(psf, pixels.ndim)
    source = image if isinstance(image, Image) else Image(np.asarray(image), "ZYX"[-pixels.ndim :])
    if tile is not None and (not isinstance(tile, int) or tile < 16):
        raise ValueError(f"tile: expected 16 or more pixels, or None, got {tile!r}")
    low, span = _range(source.data)
    job = _Job((pixels - low) / span, psf, method, seed, str(pick_device(device)), callback)
    if stitch is not None and stitch not in STITCHES:
        raise ValueError(f"stitch: expected one of {', '.join(STITCHES)}, or None, got {stitch!r}")
    how = {"average_flips": average_flips, "calibrate": calibrate, "tile": tile, "stitch": stitch}
    if method in CLASSICAL:
        for_networks = {**how, "checkpoint": checkpoint}
        if given := [name for name, value in for_networks.items() if value is not None]:
            raise ValueError(
                f"{', '.join(given)}: {method} trains no network and restores the image at once; leave "
                "this out"
            )
        if (low, span) != (0.0, 1.0) and method != "total_variation":
            # blur lowers peaks: restored, they may rise above the brightest value measured
            options.setdefault("clip", False)
        estimate, run, used = job.classical(options)
    else:
        estimate, run, used = job.learned(options, tier, checkpoint, progress, how)
    settings = {
        "method": method,
        "seed": seed,
        "range": [low, low + span],
        **used,
        "device": job.device,
        **describe_inputs(source, psf),
        "versions": describe_versions(),
    }
    image = (estimate * span + low).astype(np.float32)
    return Restoration(image, method, settings, source, psf, run, job.noise)


@dataclass
class _Job:
    """An image in [0, 1] with all that both kinds of method need."""

    image: np.ndarray
    psf: np.ndarray
    method: str
    seed: int
    device: str
    callback: Callable | None
    noise: Noise | None = None

    def classical(self, options: dict) -> tuple[np.ndarray, None, dict]:
        function = CLASSICAL[self.method]
        known = inspect.signature(function).parameters
        keep = set(known) - {"image", "psf", "device", "callback"}
        _check_options(self.method, options, keep)
        options = self.with_noise(options)
        hook = {"callback": self.callback} if "callback" in known else {}
        estimate = function(self.image, self.psf, device=self.device, **hook, **options)
        defaults = {name: known[name].default for name in keep}
        return estimate, None, {"options": plain({**defaults, **options})}

    def with_noise(self, options: dict) -> dict:
        """Replace the noise "auto" by what the image shows."""
        if isinstance(options.get("noise"), str):
            if options["noise"] != "auto":
                raise ValueError(
                    f"noise: expected 'auto', a Noise or None, got {options['noise']!r}"
                )
            options = {**options, "noise": estimate_noise(self.image)}
        self.noise = options.get("noise")
        return options

    def learned(
        self, options: dict, tier: str | None, checkpoint, progress: bool, how: dict
    ) -> tuple[np.ndarray, Training, dict]:
        size = get_tier(tier, self.image.ndim)
        fields = {field.name for field in dataclasses.fields(TrainingConfig)} - {"seed"}
        _check_options(self.method, options, fields | {"features"})
        options = {"weights": LEARNED[self.method](), "noise": size.noise, **options}
        options = self.with_noise(options)
        features = options.pop("features", size.features)
        shape = _patch_settings(
            self.image.shape, self.psf.shape, {**vars(size.training), **options}
        )
        config = dataclasses.replace(size.training, **{**options, **shape}, seed=self.seed)
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
        usual = {
            "average_flips": size.average_flips,
            "calibrate": size.calibrate,
            "stitch": "blend",
        }
        how = {k: usual.get(k) if v is None else v for k, v in how.items()}
        estimate = predict(run, self.image, self.psf, **how)
        used = {
            "tier": tier_name(tier),
            "features": features,
            "training": plain(dataclasses.asdict(config)),
            **how,
            "steps_done": run.step,
            "interrupted": run.interrupted,
        }
        return estimate, run, used


def _patch_settings(image: tuple[int, ...], psf: tuple[int, ...], config: dict) -> dict:
    """Fit the patches to the image and the kernel: smaller where the image is, whole where it must be."""
    side = min(config["patch_size"], min(image) // 4 * 4)
    if side < 16:
        raise ValueError(
            f"image: expected 16 or more pixels along every axis to train a network on, got {image}; "
            "a classical method takes any size"
        )
    padding = config["padding"]
    # a wide kernel would leave a small patch next to no pixel to learn from
    if padding == "valid" and side - max(psf) < side // 2:
        padding = "replicate"
    return {"patch_size": side, "padding": padding}


def _range(image: np.ndarray) -> tuple[float, float]:
    """Return what to subtract and divide by to bring an image into [0, 1]; floats that fill it stay put."""
    low, high = float(image.min()), float(image.max())
    if image.dtype.kind == "f" and 0 <= low and 0.5 < high <= 1:
        return 0.0, 1.0
    return low, high - low


def _cast(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.clip(np.rint(image), info.min, info.max).astype(dtype)
    return image.astype(dtype)


def _check_options(method: str, options: dict, known: set[str]) -> None:
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(
            f"{method} has no option {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        )


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
