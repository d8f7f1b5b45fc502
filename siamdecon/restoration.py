"""The one call that does the whole job: a noisy image and its kernel in, a restored image out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siamdecon.files.atomic import check_writable
from siamdecon.files.images import SUFFIXES, Image, check_storable, write_image
from siamdecon.files.on_disk import cast, value_range
from siamdecon.hardware import pick_device
from siamdecon.methods.base import CLASSICAL, Job, check_method, check_tile, inference_options
from siamdecon.methods.tiers import get_tier, tier_name
from siamdecon.microscope.degradation import residual
from siamdecon.microscope.kernel import check_image, check_psf, check_psf_fits, check_sampling
from siamdecon.microscope.noise import Noise
from siamdecon.network.inference import STITCHES, predict, tile_side
from siamdecon.network.run import History, Training
from siamdecon.record import describe_inputs, describe_versions, write_settings


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
        How big a run is: "lab", "full" or "test"; see `siamdecon.methods.tiers`.
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
    how = {"average_flips": average_flips, "calibrate": calibrate, "tile": tile, "stitch": stitch}
    check_method(method, {**how, "checkpoint": checkpoint})
    pixels = check_image(image)
    source = image if isinstance(image, Image) else Image(np.asarray(image), "ZYX"[-pixels.ndim :])
    kernel, psf = psf, check_psf(psf, pixels.ndim)
    check_psf_fits(psf, pixels.shape)
    check_sampling(kernel, source)
    check_tile(tile)
    if stitch is not None and stitch not in STITCHES:
        raise ValueError(f"stitch: expected one of {', '.join(STITCHES)}, or None, got {stitch!r}")
    low, high = value_range(source, float(source.data.min()), float(source.data.max()))
    span, run = high - low, None
    job = Job(
        (pixels - low) / span,
        psf,
        method,
        seed,
        str(pick_device(device)),
        callback,
        source.voxel_size,
    )
    if method in CLASSICAL:
        if (low, high) != (0.0, 1.0) and method != "total_variation":
            # blur lowers peaks: restored, they may rise above the brightest value measured
            options.setdefault("clip", False)
        options = job.classical_options(options, tier)
        estimate, used = job.classical(options, progress)
    else:
        size = get_tier(tier, pixels.ndim)
        run, trained = job.learned(options, size, checkpoint, progress)
        how = inference_options(size, **how)
        how["tile"] = how["tile"] or tile_side(run, pixels.ndim)
        estimate = predict(run, job.image, psf, **how)
        used = {"tier": tier_name(tier), **how, **trained}
    settings = {
        "method": method,
        "seed": seed,
        "range": [low, high],
        **used,
        "device": job.device,
        **describe_inputs(source, psf),
        "versions": describe_versions(),
    }
    image = (estimate * span + low).astype(np.float32)
    history = run.history if run else job.history or None
    return Restoration(image, method, settings, source, psf, run, job.noise, history)
