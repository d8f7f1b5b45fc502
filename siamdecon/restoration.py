"""The one call: a noisy image and its kernel in, a restored image out; in memory or from disk to disk."""

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy
import skimage
import torch

from siamdecon._version import __version__
from siamdecon.expect import expect_one_of
from siamdecon.files.atomic import check_writable, write_atomically
from siamdecon.files.images import SUFFIXES, Image, check_storable, read_image, write_image
from siamdecon.files.on_disk import cast, release, write_window
from siamdecon.files.tiff import create_tiff
from siamdecon.hardware import to_array
from siamdecon.methods import METHODS
from siamdecon.methods.base import Method
from siamdecon.microscope.degradation import residual
from siamdecon.microscope.noise import Noise
from siamdecon.network.training import History, Training, Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator, check_tile, windows, with_room, within


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
    history : History or None
        The losses by name, one value a step; None where no network was trained.
    """

    image: np.ndarray
    method: str
    settings: dict
    source: Image
    psf: np.ndarray
    run: Training | None = None
    noise: Noise | None = None
    history: History | None = None

    @property
    def residual(self) -> np.ndarray:
        """What the estimate leaves unexplained: measurement minus blurred estimate, as float32.

        See `siamdecon.microscope.residual`. Where the method knew of clipping, the blurred estimate has
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
        pixels = cast(self.image, check_output(path, self.source, dtype, overwrite))
        image = Image(pixels, self.source.axes, self.source.voxel_size)
        settings = {**self.settings, "saved_dtype": str(pixels.dtype)}
        write_image(path, image, overwrite=overwrite)
        write_settings(path.with_suffix(".json"), settings)
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
        alone: "noise2self" (Eq. 2), "noise2same" (Eq. 3), "noise2same_d" (Eq. 4); "ssi", the paper's
        learned baseline; or "self_scale", which is not the paper's and the best here
        (see `siamdecon.methods.self_scale`). The last two take options as a classical method does.
    tier : str, optional
        How big a run is: "lab", "full" or "test"; see `siamdecon.methods.base`.
    seed : int
        Seed of everything random: on a CPU the same seed gives the same image.
    average_flips, calibrate : bool, optional
        How a network restores, see `siamdecon.network.predict`: True at the lab tier, False, as in the
        paper, at the full tier, unless given.
    tile : int, optional
        Side of the tiles that a network restores large images in; chosen by the free memory unless given.
        The settings say which it began with: where a GPU's memory does not suffice, it is halved.
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
    FloatingPointError
        If a training has diverged.

    Examples
    --------
    Introduced in notebook 00.

    >>> from siamdecon import degrade, load_sample, paper_psf
    >>> noisy = degrade(load_sample("cell")[:128, :128], paper_psf(2))
    >>> result = deconvolve(noisy, paper_psf(2), "richardson_lucy", iterations=2)
    >>> result.image.shape, result.settings["method"]
    ((128, 128), 'richardson_lucy')
    """
    choices = {
        "average_flips": average_flips,
        "calibrate": calibrate,
        "tile": tile,
        "stitch": stitch,
    }
    kind, choices = _method(method, choices, checkpoint)
    problem = Problem.look(image, psf, device=device, seed=seed)
    chosen = kind.of_tier(tier, problem.ndim, options | choices)
    estimator = chosen.fit(problem, Watch(callback, progress, checkpoint))
    with torch.inference_mode():
        estimate = to_array(estimator.whole(problem.whole))
    restored = problem.restored_scale(estimate).astype(np.float32)
    settings, kept = _settings(kind, problem, estimator), (estimator.noise, estimator.history)
    return Restoration(
        restored, method, settings, problem.source, problem.psf, estimator.run, *kept
    )


def deconvolve_file(
    path: str | Path,
    psf: np.ndarray | Image,
    output: str | Path,
    method: str = "noise2same_d",
    *,
    tier: str | None = None,
    seed: int = 0,
    average_flips: bool | None = None,
    calibrate: bool | None = None,
    tile: int | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    device: str | None = None,
    progress: bool = True,
    checkpoint: str | Path | None = None,
    **options,
) -> Path:
    """Restore a TIFF that may be larger than the memory, and write the estimate beside its settings.

    The image is left on disk. A network is trained on patches read from all over it, and restores it in
    windows with a halo of its receptive field; Lucy-Richardson reads three kernels around each window.
    Both give what `deconvolve` gives in memory (a network with `stitch="exact"`), but for the noise and
    the contrast, which are estimated on a window of 128 pixels a side.

    Parameters
    ----------
    path : path
        A TIFF, 2D or 3D. A compressed one is unpacked to a temporary file first.
    psf : ndarray or Image, shape ([z,] y, x)
        The kernel, with as many axes as the image.
    output : path
        The TIFF to be, with axes and voxel size of the first; past 4 GB a BigTIFF. It appears when it
        is whole. The settings go to a JSON file of the same name.
    method : str
        "richardson_lucy", or a network: "noise2self", "noise2same", "noise2same_d".
    tile : int, optional
        Side of what a window contributes; chosen by the method and the free memory unless given.
    dtype, overwrite
        See `Restoration.save`.
    tier, seed, average_flips, calibrate, device, progress, checkpoint, **options
        See `deconvolve`.

    Returns
    -------
    Path
        The output.

    Raises
    ------
    ValueError, OSError
        If an input can't be used or the output not be written, before any work.
    FloatingPointError
        If a training has diverged.

    Examples
    --------
    Introduced in notebook 09.

    >>> import tempfile
    >>> from siamdecon import write_image
    >>> folder = Path(tempfile.mkdtemp())
    >>> stack = np.random.default_rng(0).integers(0, 4000, (20, 40, 40), dtype=np.uint16)
    >>> path = write_image(folder / "stack.tif", stack, voxel_size=(0.5, 0.2, 0.2))
    >>> done = deconvolve_file(path, np.ones((3, 3, 3)) / 27, folder / "restored.tif", "richardson_lucy",
    ...                        dtype="source", progress=False)
    >>> read_image(done)
    Image(20 x 40 x 40 uint16, axes ZYX, voxel size (0.5, 0.2, 0.2) um)
    """
    choices = {"average_flips": average_flips, "calibrate": calibrate}
    kind, choices = _method(method, choices, checkpoint)
    if not kind.in_windows:
        raise ValueError(
            f"method: {method} looks at the whole image at once, which must lie in memory for it; use one "
            f"of {', '.join(name for name in METHODS if METHODS[name].in_windows)}, or deconvolve a part "
            "of the image"
        )
    check_tile(tile)
    source, output = read_image(path, memmap=True), Path(output)
    if output.suffix.lower() == ".png":
        raise ValueError(f"{output.name}: expected a TIFF for an image on disk, .tif or .tiff")
    pixels = check_output(output, source, dtype, overwrite)
    problem = Problem.on_disk(source, psf, device=device, seed=seed)
    if "stitch" in kind.choices:
        choices["stitch"] = "exact"
    chosen = kind.of_tier(tier, problem.ndim, options | choices)
    estimator = chosen.fit(problem, Watch(None, progress, checkpoint))
    if estimator.halo is None:
        raise ValueError(
            f"{method} on disk: expected options that mean the same in every window, got a function or an "
            "array; pass the name of one, such as prefilter='median'"
        )
    tile, stride = tile or estimator.core, estimator.stride

    def write(part: Path) -> None:
        out = create_tiff(part, source.shape, pixels, source.axes, source.voxel_size)
        with torch.inference_mode():
            f = estimator.calibrated(problem.x[problem.sample][None, None])
            restore = partial(_restore_windows, f, problem, out, estimator, progress)
            with_room(restore, tile, stride, stride)
        release(out)

    write_atomically(output, write)
    on_disk = {"tile": tile, "halo": estimator.halo}
    settings = _settings(kind, problem, estimator, on_disk) | {"saved_dtype": str(pixels)}
    write_settings(output.with_suffix(".json"), settings)
    return output


def _method(name: str, choices: dict, checkpoint) -> tuple[type[Method], dict]:
    """Return a method by its name, and the choices that were made for it."""
    expect_one_of(METHODS, method=name)
    kind = METHODS[name]
    given = {choice: value for choice, value in choices.items() if value is not None}
    asked = [*given, *(["checkpoint"] if checkpoint is not None else [])]
    if refused := [choice for choice in asked if choice not in kind.choices]:
        raise ValueError(f"{', '.join(refused)}: {name} has no such choice; leave this out")
    return kind, given


def _restore_windows(
    f: Callable, problem: Problem, out: np.ndarray, estimator: Estimator, progress: bool, tile: int
) -> None:
    """Restore one window of a file after the other, and write each."""
    each = list(windows(problem.shape, tile, estimator.halo, estimator.stride))
    watch = Watch(progress=progress)
    with watch.bar(len(each), unit="tile"):
        for core, window in each:
            part = f(problem.x[window][None, None])[0, 0]  # ([z,] y, x) of a window
            pixels = part[within(core, window)].cpu().numpy()
            write_window(out, core, problem.restored_scale(pixels))
            watch.advance()


def _settings(
    kind: type[Method], problem: Problem, estimator: Estimator, more: dict | None = None
) -> dict:
    """Return every setting that a result follows from."""
    return {
        "method": kind.name,
        "seed": problem.seed,
        "range": [problem.low, problem.high],
        **estimator.used,
        **(more or {}),
        "device": str(problem.device),
        **problem.describe(),
        "versions": describe_versions(),
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of everything that a number may depend on.

    Examples
    --------
    >>> sorted(describe_versions())
    ['numpy', 'python', 'scipy', 'siamdecon', 'skimage', 'torch']
    """
    modules = (torch, np, scipy, skimage)
    return {
        "python": platform.python_version(),
        "siamdecon": __version__,
        **{module.__name__: str(module.__version__) for module in modules},
    }


def write_settings(path: Path, settings: dict) -> None:
    """Write the settings of a result as JSON."""
    text = json.dumps(settings, indent=1, default=str) + "\n"
    write_atomically(path, lambda part: part.write_text(text))
