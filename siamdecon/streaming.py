"""Restore a file that is larger than the memory: window by window, from disk to disk."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siamdecon.files.atomic import write_atomically
from siamdecon.files.images import Image, read_image
from siamdecon.files.on_disk import LargeImage, look_through, release, restore_windows
from siamdecon.files.tiff import create_tiff
from siamdecon.hardware import pick_device
from siamdecon.methods.base import CLASSICAL, Job, check_method, check_tile, inference_options
from siamdecon.methods.classical import richardson_lucy
from siamdecon.methods.tiers import get_tier, tier_name
from siamdecon.microscope.kernel import check_psf, check_psf_fits, check_sampling
from siamdecon.microscope.noise import mean_response
from siamdecon.network.inference import estimator, fit_contrast, halo_of, tile_side
from siamdecon.network.run import Training
from siamdecon.record import describe_inputs, describe_versions, plain, write_settings
from siamdecon.restoration import check_output
from siamdecon.tiles import windows

#: Side of the tiles that Lucy-Richardson restores; each is read with a halo around it.
_TILE = 160


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
    how = {"average_flips": average_flips, "calibrate": calibrate}
    check_method(method, {**how, "checkpoint": checkpoint})
    if method in CLASSICAL and method != "richardson_lucy":
        raise ValueError(
            f"method: {method} looks at the whole image at once, which must lie in memory for it; "
            "use richardson_lucy or a network, or deconvolve a part of the image"
        )
    check_tile(tile)
    source = read_image(path, memmap=True)
    output = Path(output)
    if output.suffix.lower() == ".png":
        raise ValueError(f"{output.name}: expected a TIFF for an image on disk, .tif or .tiff")
    pixels = check_output(output, source, dtype, overwrite)
    kernel, psf = psf, check_psf(psf, source.ndim)
    check_psf_fits(psf, source.shape)
    check_sampling(kernel, source)
    device = str(pick_device(device))
    large = look_through(source)
    job = Job(large, psf, method, seed, device, voxel_size=source.voxel_size)
    if method == "richardson_lucy":
        # as in `deconvolve`: restored peaks may rise above the brightest value measured
        options = job.classical_options({"clip": (large.low, large.high) == (0.0, 1.0), **options})
        tile, stride = tile or _TILE, 1
        f, halo = _richardson_lucy(large, psf, device, options)
        used = {"options": plain(options)}
    else:
        size = get_tier(tier, source.ndim)
        run, trained = job.learned(options, size, checkpoint, progress)
        how = inference_options(size, **how)
        f = _network(run, large, psf, **how)
        halo, stride = halo_of(run.model, source.ndim)
        tile = tile or max(stride, tile_side(run, source.ndim) - 2 * halo)
        used = {"tier": tier_name(tier), **how, "stitch": "exact", **trained}

    def write(part: Path) -> None:
        out = create_tiff(part, source.shape, pixels, source.axes, source.voxel_size)
        with torch.inference_mode():
            _restore(f, large, out, tile, halo, stride, progress)
        release(out)

    write_atomically(output, write)
    settings = {
        "method": method,
        "seed": seed,
        "range": [large.low, large.high],
        **used,
        "tile": tile,
        "halo": halo,
        "device": device,
        **describe_inputs(source, psf, large.sha256),
        "versions": describe_versions(),
        "saved_dtype": str(pixels),
    }
    write_settings(output.with_suffix(".json"), settings)
    return output


def _restore(f, large: LargeImage, out, tile: int, halo: int, stride: int, progress: bool) -> None:
    """Restore all windows; where a GPU's memory does not suffice, anew with half the tile."""
    from tqdm.auto import tqdm  # here, since in a notebook it imports ipywidgets

    count = sum(1 for _ in windows(large.shape, tile, halo, stride))
    try:
        with tqdm(total=count, unit="tile", disable=not progress) as bar:
            for _ in restore_windows(f, large, out, tile, halo, stride):
                bar.update()
        return
    except torch.cuda.OutOfMemoryError:
        if tile < 2 * stride:
            raise
        torch.cuda.empty_cache()
        smaller = tile // 2 // stride * stride
        warnings.warn(f"not enough GPU memory: tiles of {smaller} in place of {tile}", stacklevel=4)
    _restore(f, large, out, smaller, halo, stride, progress)


def _richardson_lucy(
    large: LargeImage, psf: np.ndarray, device: str, options: dict
) -> tuple[Callable[[Tensor], Tensor], int]:
    """Return what restores a window, and the halo that it needs."""
    if callable(options["prefilter"]) or not isinstance(options["start"], str):
        raise ValueError(
            "richardson_lucy on disk: expected prefilter 'median' or None, and start 'mean' or 'image', "
            "which mean the same in every window"
        )

    def f(x: Tensor) -> Tensor:
        image = x[0, 0].numpy()  # ([z,] y, x)
        if image.min() == image.max():  # dark windows are dark
            return x
        return torch.from_numpy(richardson_lucy(image, psf, device=device, **options))[None, None]

    # light may come from half a kernel away, twice in each iteration; what comes from further than
    # three kernels weighs nothing: 2e-6 of the range after 20 iterations
    reach = 2 * max(n // 2 for n in psf.shape) * options["iterations"]
    halo = min(reach, 3 * max(psf.shape)) + (options["prefilter"] == "median")
    return f, max(halo, 4)  # a window of 3 or 4 pixels would be taken for colour


def _network(
    run: Training, large: LargeImage, psf: np.ndarray, average_flips: bool, calibrate: bool
) -> Callable[[Tensor], Tensor]:
    """Return what restores a window with a trained network."""
    f = estimator(run, psf if average_flips else None)
    if not calibrate:
        return f
    with torch.inference_mode():
        seen = large[large.lively]
        m = mean_response(run.config.noise)
        scale, offset = fit_contrast(f(seen[None, None]), seen.numpy(), psf, m)
    return lambda x: scale * f(x) + offset
