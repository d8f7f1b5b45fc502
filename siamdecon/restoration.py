"""Restore an image with one call, in memory (`deconvolve`) or from file to file (`deconvolve_file`)."""

import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import skimage
import torch

from siamdecon._version import __version__
from siamdecon.expect import Words, expect, expect_one_of
from siamdecon.files.atomic import check_room, check_writable, claimed, is_zarr, write_atomically
from siamdecon.files.images import SUFFIXES, Image, check_storable, is_ome, read_image, write_image
from siamdecon.files.on_disk import Window, sampled, write_window
from siamdecon.files.stores import CHUNK, coarser, create_zarr, digest, finish, take_up, unfinished
from siamdecon.files.tiff import create_tiff
from siamdecon.files.units import cast, value_limits
from siamdecon.hardware import cluster, one_thread_each, over_workers, to_array
from siamdecon.methods import METHODS, Method
from siamdecon.microscope.degradation import residual
from siamdecon.microscope.noise import Noise
from siamdecon.network.training import History, Training, Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator, check_tile, exact, windows, with_room, within


@dataclass
class Restoration:
    """A restored image, with what is needed to judge, save and reproduce it.

    Attributes
    ----------
    image : ndarray of float32, shape ([z,] y, x)
        The estimate, in the units of the image that went in. float64 where a large offset asks for it.
    method : str
    settings : dict
        Every setting, version and seed; what `save` writes beside the image.
    source : Image
        The image that went in, with its axes and voxel size.
    psf : ndarray, shape ([z,] y, x)
        The kernel, with sum 1.
    run : Training or None
        The training of a learned method: networks, losses by name.
    noise : Noise or None
        The noise that the method was given or has estimated, in units of the range [0, 1].
    history : History or None
        The losses by name, one value a step; None if no network was trained.
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
        images = (np.asarray(image, self.image.dtype) for image in (self.image, self.source))
        estimate, measured = ((image - low) / (high - low) for image in images)
        return residual(estimate, measured, self.psf, self.noise) * (high - low)

    def save(self, path: str | Path, *, dtype: str | None = None, overwrite: bool = False) -> Path:
        """Write the image, and all settings to a JSON file beside it.

        Parameters
        ----------
        path : path
            A .tif, which keeps the source's axes and voxel size, or a .png (integers only). The JSON file
            has the same name with the suffix .json.
        dtype : str, optional
            "float32" keeps the estimate as it is; integers round and clip it; "source" is the dtype of the
            image that went in. Default: float32 for a TIFF, the source's for a PNG.
        overwrite : bool
            Replace existing files.

        Returns
        -------
        Path
            The image's.

        Raises
        ------
        FileExistsError, FileNotFoundError, PermissionError
            If a file exists already, or its folder is missing or not writable.
        """
        path = Path(path)
        with claimed(path, "path"):
            pixels = cast(self.image, check_output(path, self.source, dtype, overwrite))
            image = replace(self.source, data=pixels)
            save = partial(write_image, path, image, overwrite=overwrite)
            return write_settings(path, lambda: self.settings, pixels.dtype, save)


def check_output(path: Path, source: Image, dtype: str | None, overwrite: bool) -> np.dtype:
    """Return the dtype that `Restoration.save` will write, or raise its errors before any computation."""
    check_writable(path, overwrite, SUFFIXES)
    check_writable(path.with_suffix(".json"), overwrite)
    dtype = dtype or ("source" if path.suffix.lower() == ".png" else "float32")
    kinds = "float32, source, or an integer or float dtype, such as uint16"
    try:
        found = _native(source.dtype if dtype == "source" else dtype)
    except (TypeError, SyntaxError, ValueError):
        found = np.dtype(object)
    shown = Words(f"source, which is {found}") if dtype == "source" else dtype
    expect(found.kind in "iuf", "dtype", kinds, shown)
    check_storable(path, found, source.shape)
    if path.suffix.lower() in (".tif", ".tiff"):  # the others are packed
        check_room(path, found.itemsize * source.data.size)
    if found != source.dtype:
        _check_levels(source, value_limits(found))
    if source.path:
        ours, theirs = path.resolve(), source.path.resolve()
        apart = ours not in theirs.parents and theirs not in ours.parents
        expect(apart, path.name, f"a place apart from {source.path}, the image", str(path))
    return found


def _native(dtype: Any) -> np.dtype:
    """Return a dtype by its usual name and in the machine's byte order: files have one of their own."""
    return np.dtype(np.dtype(dtype).newbyteorder("=").str)


@np.errstate(invalid="ignore", over="ignore")  # of NaN and infinity `Problem` speaks
def _check_levels(source: Image, info: np.iinfo | np.finfo) -> None:
    """Raise ValueError if a dtype would round or cut away most of what an image shows."""
    sample = sampled(source.data).astype(np.float64)
    low, high = np.percentile(sample, (1, 99))
    got = f"values of {sample.min():.4g} to {sample.max():.4g}, which"
    mend = "save it as float32 (as float64 or source, if its offset is large), or scale it first"
    name, cut = f"dtype {info.dtype}", low < info.min or high > info.max
    outside = Words(f"{got} do not fit")
    expect(not cut, name, f"an image of {info.min} to {info.max}", outside, mend)
    span, step = np.ptp(sample), 1
    if info.dtype.kind == "f":
        step = np.spacing(info.dtype.type(np.abs(sample).max())) if span else 0
    few = span < 16 * step and (source.dtype.kind == "f" or step > 1)
    rounded = Words(f"{got} would be rounded to few")
    expect(not few, name, "an image of 16 or more levels", rounded, mend)


@one_thread_each()
def deconvolve(
    image: np.ndarray | Image,
    psf: np.ndarray | Image,
    method: str = "noise2same_d",
    *,
    tier: str | None = None,
    seed: int = 0,
    limits: tuple[float | None, float | None] | None = None,
    center_psf: bool = False,
    subtract_psf_background: bool = False,
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
    """Restore a blurred, noisy image, given only the image and its point-spread function.

    Parameters
    ----------
    image : ndarray or Image, shape ([z,] y, x)
        The measurement, in any unit: its lowest and highest value become 0 and 1, and the estimate is
        scaled back. Pixels that stand out as defects do are left out of all that, with a warning.
    psf : ndarray or Image, shape ([z,] y, x)
        The kernel, with as many axes as the image.
    method : str
        "richardson_lucy", "wiener", "total_variation"; or a network that is trained on this image
        alone: "noise2self" (Eq. 2), "noise2same" (Eq. 3), "noise2same_d" (Eq. 4); "ssi", the paper's
        learned baseline; or "self_scale", which is not from the paper and does best here
        (see `siamdecon.methods.self_scale`). The last two take options as a classical method does. "auto"
        is the one that predicts hidden pixels of this image best (see `siamdecon.compare`).
    tier : str, optional
        Size of a training: "lab", "full" or "test"; see `siamdecon.methods.base.TIERS`.
    seed : int
        Seed of all random numbers: on a CPU the same seed gives the same image, on any number of cores.
    limits : tuple of (float or None), optional
        Black and white level of the camera in units of the image, None where it does not cut: (0, 1) for
        the paper's images. Unless given, an image counts as cut where its noise is
        (`siamdecon.microscope.cut_at`). Where it is cut at both ends, the estimate keeps to them, that of
        the paper's networks but for what their contrast adds; elsewhere it may rise above the brightest value
        measured, since blur lowers peaks. A level that lies more than two ranges of the image away from it
        does not count: no pixel is cut there.
    center_psf : bool
        Move the kernel's centre of light to its centre, index n // 2 of each axis; off it, the result is
        shifted as far.
    subtract_psf_background : bool
        Take off what the border of a measured kernel shows, the background of its camera.
    average_flips, calibrate : bool, optional
        How a network restores, see `siamdecon.network.predict`. Default: True at the lab tier; False, as
        in the paper, at the full tier.
    tile : int, optional
        Side of the tiles in which a network restores large images: at the full tier the paper's 128, else
        chosen by the network's size. Where memory does not suffice, it is halved; the settings record it.
    stitch : str, optional
        How the tiles are combined: "blend" (the default, and the paper's) or "exact".
    device : str, optional
        "cpu", "cuda" or, untested, "mps"; a CUDA device that torch can use if there is one, unless given.
    progress : bool
        Show a progress bar.
    callback : callable, optional
        Called after each step: by a network with the `Training`; by a classical method with the number of
        the iteration and the estimate on the scale of [0, 1].
    checkpoint : path, optional
        File that a training is saved to and resumed from; see `train`.
    **options
        Keyword arguments of the classical function (`iterations`, `prefilter`, `weight`, ...), or
        `features`, `renorm` and fields of `TrainingConfig` (`steps`, `weights`, `patch_size`, ...), which
        replace those of the tier. `noise`, for a network or "total_variation", is a `Noise` in units of the
        range [0, 1], "auto" (the networks' default at the lab tier: estimated from the image if that is
        clipped at black or white), or None (as in the paper: clipping is not modelled).

    Returns
    -------
    Restoration

    Raises
    ------
    ValueError
        If an input can't be used, before any computation; the message says what was expected, what it
        got and how to fix it.
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
    choices = dict(average_flips=average_flips, calibrate=calibrate, tile=tile, stitch=stitch)
    kind, options = _method(method, options, **choices, checkpoint=checkpoint)
    kernel = {"center_psf": center_psf, "subtract_psf_background": subtract_psf_background}
    problem = Problem.look(image, psf, device=device, seed=seed, limits=limits, **kernel)
    watch = Watch(callback, progress, checkpoint)
    estimator = kind.of_tier(tier, problem.ndim, options).fit(problem, watch)
    with torch.inference_mode():
        estimate = to_array(estimator.whole(problem.whole))
    restored = problem.restored_scale(estimate).astype(problem.result_dtype)
    kept = (problem.source, problem.psf, estimator.run, estimator.noise, estimator.history)
    return Restoration(restored, method, _settings(kind, problem, estimator), *kept)


@one_thread_each()
def deconvolve_file(
    path: str | Path,
    psf: np.ndarray | Image,
    output: str | Path,
    method: str = "noise2same_d",
    *,
    channel: int | None = None,
    time: int | None = None,
    scene: int | None = None,
    voxel_size: tuple[float | None, ...] | None = None,
    tier: str | None = None,
    seed: int = 0,
    limits: tuple[float | None, float | None] | None = None,
    center_psf: bool = False,
    subtract_psf_background: bool = False,
    average_flips: bool | None = None,
    calibrate: bool | None = None,
    tile: int | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    device: str | None = None,
    progress: bool = True,
    checkpoint: str | Path | None = None,
    scheduler: Any = None,
    **options,
) -> Path:
    """Restore a TIFF or an OME-Zarr that may be larger than the memory; write the estimate and its settings.

    The image stays on disk. A network is trained on patches from the whole image and restores it in
    windows with a halo of its receptive field; Lucy-Richardson reads three kernels around each window.
    Both give the result of `deconvolve` (for a network, with `stitch="exact"`), except that noise and
    contrast are estimated on a window of 128 pixels a side.

    Parameters
    ----------
    path : path
        A TIFF or an OME-Zarr, 2D or 3D; see `read_image` with `memmap`.
    psf : ndarray or Image, shape ([z,] y, x)
        The kernel, with as many axes as the image.
    output : path
        The TIFF or the OME-Zarr to write, with axes and voxel size of the first: above 4 GB a BigTIFF; a
        Zarr of version 2 if the first is one, else of version 3, its chunks one or several windows large. It
        appears only when it is complete; a Zarr with coarser resolutions, for viewers. The settings go to a
        JSON file of the same name. Until it is, an OME-Zarr, and the checkpoint of its training, are in a
        folder of its name with ".unfinished" added: after an interruption, the same call goes on where that
        was. A TIFF begins anew.
    method : str
        "richardson_lucy", or a network: "noise2self", "noise2same", "noise2same_d".
    channel, time, scene : int, optional
        See `read_image`.
    voxel_size : tuple of (float or None), optional
        um per axis, to write in place of that of the first file.
    tile : int, optional
        Side of what a window contributes; chosen by the method unless given, halved as in `deconvolve`.
    dtype, overwrite
        See `Restoration.save`.
    scheduler : str or cluster, optional
        The address of a Dask scheduler, or a cluster such as `distributed.LocalCluster`. A network is trained
        here; the windows are restored by the workers, each of which writes chunks of its own into the output,
        an OME-Zarr. They must see the files by the same paths, and have the same versions as here; then the
        result has the same bits. The windows of a worker that dies are restored by others.
    tier, seed, limits, center_psf, average_flips, calibrate, device, progress, checkpoint, **options
        See `deconvolve`.

    Returns
    -------
    Path
        The output.

    Raises
    ------
    ValueError, OSError
        If an input can't be used or the output can't be written, before any computation.
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
    choices = {"average_flips": average_flips, "calibrate": calibrate, "checkpoint": checkpoint}
    kind, options = _method(method, options, **choices)
    able = ", ".join(name for name in METHODS if METHODS[name].in_windows)
    got = Words(f"{method}, which looks at the whole image at once and needs it in memory")
    mend = "choose one of those, or deconvolve a part of the image"
    expect(kind.in_windows, "method", f"one of {able} for an image on disk", got, mend)
    check_tile(tile)
    which = {"channel": channel, "time": time, "scene": scene}
    source, output = read_image(path, memmap=True, **which), Path(output)
    told = source if voxel_size is None else replace(source, voxel_size=voxel_size)
    kinds = "a TIFF or an OME-Zarr for an image on disk, .tif, .tiff or .zarr"
    expect(output.suffix.lower() != ".png", "output", kinds, output.name)
    got = Words(f"{output.name}, one file for all workers")
    expect(scheduler is None or is_zarr(output), "output", "an OME-Zarr for a scheduler", got)
    with claimed(output, "output"), unfinished(output) as folder, cluster(scheduler) as client:
        pixels = check_output(output, source, dtype, overwrite)
        if client:
            _check_workers(client, source.path, output)
        kernel = {"center_psf": center_psf, "subtract_psf_background": subtract_psf_background}
        problem = Problem.on_disk(source, psf, device=device, seed=seed, limits=limits, **kernel)
        if "stitch" in kind.choices:
            expect_one_of(("exact",), stitch=options.setdefault("stitch", "exact"))
        untrained = kind.of_tier(tier, problem.ndim, options)
        if folder and "checkpoint" in kind.choices and checkpoint is None:
            folder.mkdir(exist_ok=True)
            same = repr((untrained, seed, problem.voxel_size, problem.cut))
            name = digest(same, problem.psf.tobytes(), problem.identity())
            checkpoint = folder / f"training-{name}"
        watch = Watch(None, progress, checkpoint)
        estimator = untrained.fit(problem, watch)
        got = Words("a function, an array or padding='circular'; pass prefilter='median', say")
        same = "options that mean the same in every window"
        expect(estimator.halo is not None, f"{method} on disk", same, got)
        tile, stride = tile or estimator.core, estimator.stride
        settings = partial(_settings, kind, problem, estimator, halo=estimator.halo)

        def write(part: Path) -> None:
            create = partial(_create, part, output, told, pixels, estimator, settings)
            with torch.inference_mode():
                f = estimator.calibrated(problem.x[problem.sample][None, None].to(problem.device))
                restore = partial(_restore_windows, f, problem, create, estimator, watch, client)
                out = with_room(restore, tile, stride, stride)
            for work, chunks in coarser(out.path) if folder else ():
                with watch.bar(len(chunks), "coarser resolutions", unit="chunk"):
                    for _ in over_workers(work, chunks, client):
                        watch.advance()
            if folder:
                finish(out, output)

        save = partial(write, folder) if folder else partial(write_atomically, output, write)
        return write_settings(output, settings, pixels, save)


def _method(name: str, options: dict, **choices) -> tuple[type[Method], dict]:
    """Return a method by its name, and its options, among them the choices other than None."""
    expect_one_of(METHODS, method=name)
    given = {choice: value for choice, value in choices.items() if value is not None}
    if refused := [choice for choice in given if choice not in METHODS[name].choices]:
        raise ValueError(f"{', '.join(refused)}: {name} has no such choice; leave this out")
    given.pop("checkpoint", None)  # belongs to the `Watch`
    return METHODS[name], options | given


def _create(part: Path, output: Path, source: Image, dtype, estimator, settings, tile: int):
    """Create a file or a store, or go on with one; return its pixels, and the side of what they take."""
    form = (source.shape, dtype, source.axes, source.voxel_size)
    if not is_zarr(output):
        names = [source.channel] if source.channel else ()
        return create_tiff(part, *form, is_ome(output), names), tile
    side = tile * -(-CHUNK[source.ndim] // tile)  # of whole windows
    same = settings()
    same |= {"image": same["image"] | {"path": None}, "dtype": dtype}
    # what its metadata say, beside the pixels
    same |= {name: getattr(source, name) for name in ("voxel_size", "position", "channel")}
    shown = source.channel and (source.channel, *same["range"])
    more = (side, source.path, source.position, shown)
    weights = estimator.run.average.state_dict().values() if estimator.run else ()
    about = json.dumps(same, default=str), *(value.cpu().numpy().tobytes() for value in weights)
    return take_up(part, lambda path: create_zarr(path, *form, *more), *about), side


def _restore_windows(f, problem: Problem, create, estimator: Estimator, watch: Watch, client, tile):
    """Restore and write the blocks of a file, here or by the workers of a cluster; return its pixels."""
    estimator.used["tile"] = tile  # for the record
    out, side = create(tile)
    paths = (problem.source.path.resolve(), out.path) if client else ()
    halo, stride = estimator.halo, estimator.stride

    @torch.inference_mode()
    def work(block: Window) -> None:  # which begins and ends at borders of tiles
        _check_seen(paths)  # a worker may have come later
        _, around = next(windows(problem.shape, side, halo, stride, block))
        # (1, 1, [z,] y, x): chunks that its windows share are read once
        x, inside = problem.x[around][None, None], within(block, around)
        y = exact(lambda seen: f(seen.to(problem.device)).cpu(), x, tile, halo, stride, inside)
        write_window(out, block, problem.restored_scale(to_array(y)[inside]))

    blocks = [block for block, _ in windows(problem.shape, side, 0)]
    left = [block for block, _ in out.missing()] if hasattr(out, "missing") else blocks
    with watch.bar(len(blocks), client and client.dashboard_link, unit="tile"):
        watch.advance(len(blocks) - len(left))
        for _ in over_workers(work, left, client):
            watch.advance()
    return out


def _check_workers(client, source: Path, output: Path) -> None:
    """Raise ValueError unless the workers of a cluster have the versions of here, and see the files."""
    with tempfile.NamedTemporaryFile(dir=output.resolve().parent, prefix=".siamdecon-") as token:
        paths = (source.resolve(), Path(token.name))
        found = client.run(lambda: _check_seen(paths) or describe_versions(), on_error="return")
    for worker, seen in found.items():
        if isinstance(seen, ImportError):
            raise ValueError(f"scheduler: {worker} has no {seen.name}; install it there as here")
        if isinstance(seen, ValueError):
            raise seen
        # of one that has died just now there is nothing to say
        other = dict(seen.items() - describe_versions().items()) if isinstance(seen, dict) else {}
        got = Words(f"{other} at {worker}")
        expect(not other, "scheduler", "workers with the versions of here", got)


def _check_seen(paths: tuple[Path, ...]) -> None:
    """Raise ValueError unless this worker sees the files."""
    for path in paths:
        unseen = Words(f"{platform.node()}, which does not see {path}")
        mend = "put input and output where all reach them by the same path"
        expect(path.exists(), "scheduler", "workers that see the files", unseen, mend)


def _settings(kind: type[Method], problem: Problem, estimator: Estimator, **more) -> dict:
    """Return all settings that determine a result."""
    made = {"method": kind.name, "seed": problem.seed, "range": [problem.low, problem.high]}
    made |= {"clipping": problem.clipping, "defective_pixels": problem.defects}
    made |= estimator.used | more | {"device": str(problem.device)}
    return made | problem.describe() | {"versions": describe_versions()}


def describe_versions() -> dict[str, str]:
    """Return the versions of all software that may affect a number.

    Examples
    --------
    >>> sorted(describe_versions())
    ['numpy', 'python', 'scipy', 'siamdecon', 'skimage', 'torch']
    """
    own = {"python": platform.python_version(), "siamdecon": __version__}
    return own | {m.__name__: str(m.__version__) for m in (torch, np, scipy, skimage)}


def write_settings(image: Path, settings: Callable, dtype: np.dtype, save: Callable) -> Path:
    """Save an image, and its settings as JSON beside it, both or neither; return the image's path."""

    def text() -> str:
        return json.dumps({**settings(), "saved_dtype": str(dtype)}, indent=1, default=str) + "\n"

    def write(part: Path) -> None:
        part.write_text(text())  # a full disk is found before the image is there
        save()
        part.write_text(text())  # with the tiles that memory has sufficed for

    write_atomically(image.with_suffix(".json"), write)
    return image
