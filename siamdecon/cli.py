"""The command line: restore a file without writing Python."""

import argparse
import json
import re
import shlex
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np

from siamdecon._version import __version__
from siamdecon.expect import Words, expect, expect_module, warn
from siamdecon.files.atomic import check_room, check_writable, claimed, write_atomically
from siamdecon.files.images import Image, is_ome, read_each, read_image, write_image
from siamdecon.files.on_disk import LARGE, Constant
from siamdecon.files.tiff import write_tiff
from siamdecon.files.units import cast
from siamdecon.inspection import compare, inspect
from siamdecon.methods import METHODS
from siamdecon.methods.auto import CANDIDATES
from siamdecon.methods.base import TIERS
from siamdecon.microscope.beads import psf_from_beads
from siamdecon.microscope.psf import Microscope, gaussian, gibson_lanni, psf_for, richards_wolf
from siamdecon.problem import Problem
from siamdecon.restoration import check_output, deconvolve, deconvolve_file, write_settings

MODELS = {"gibson_lanni": gibson_lanni, "richards_wolf": richards_wolf, "gaussian": gaussian}

#: Fields of `Microscope`, and the option that sets each one.
OPTICS = {
    "na": ("na", "numerical aperture of the objective"),
    "wavelength": ("wavelength", "emission wavelength in um"),
    "pixel_size": ("pixel", "pixel size in um; the file's own unless given"),
    "z_step": ("z-step", "distance of planes in um; the file's own unless given"),
    "index": ("index", "refractive index of the immersion: 1.0, 1.33, 1.518"),
    "sample_index": ("sample-index", "refractive index of the sample; --index unless given"),
    "depth": ("depth", "depth of the emitter below the coverslip in um"),
    "defocus": ("defocus", "distance of the image plane from the focus in um"),
    "magnification": ("magnification", "lateral magnification of the objective"),
    "size": ("psf-size", "odd number of pixels along y and x; as many as hold 99 %% of the light"),
    "planes": ("psf-planes", "odd number of planes of a 3D kernel; as far as its light reaches"),
}
#: Which of the images in a file; or all of one kind.
WHICH = ("channel", "time", "scene")
#: Arguments of `Problem`; with more that `compare` and `deconvolve` take; those of `deconvolve` alone.
SCALE = ["limits", "center_psf", "subtract_psf_background"]
COMMON = [*SCALE, "tier", "seed", "device", "progress"]
OPTIONS = [*COMMON, "steps", "iterations", "prefilter", "checkpoint"]
IMAGE = (
    'TIFF or PNG, 2D or 3D; with pip install "siamdecon[zarr]" OME-Zarr, with "siamdecon[formats]" '
    "CZI, ND2, LIF, DV"
)
EXAMPLE = "cells.tif --na 0.8 --wavelength 0.6 --pixel 0.406 -o restored.tif"


def parser(command: str = "") -> argparse.ArgumentParser:
    """Build the parser of a command: `siamdecon` itself, or its psf, inspect, compare or grade.

    Examples
    --------
    >>> parser().parse_args(EXAMPLE.split()).method
    'noise2same_d'
    >>> parser("psf").parse_args("beads.tif -o psf.tif".split()).image.name
    'beads.tif'
    >>> parser("grade").parse_args("handed_in -o grades.csv".split()).seconds
    20
    """
    p = argparse.ArgumentParser(prog=f"siamdecon {command}".strip())
    COMMANDS[command][0](p)
    return p


def _restore_options(p: argparse.ArgumentParser) -> None:
    inputs = "nothing but the image and its point-spread function"
    p.description = f"Restore a blurred, noisy microscope image with {inputs}."
    others = "siamdecon psf, inspect, compare and grade have a --help of their own."
    p.epilog = f"Lengths are in micrometres. Example: siamdecon {EXAMPLE}. {others}"
    _add_image(p, more="; or all, one after the other")
    _add_output(p, "TIFF, PNG, OME-Zarr")
    p.add_argument("--method", choices=METHODS, default="noise2same_d")
    _add_common(p)
    p.add_argument("--steps", type=int, help="training steps, in place of the tier's")
    p.add_argument("--iterations", type=int, help="of a classical method")
    median = {"action": "store_const", "const": "median", "dest": "prefilter"}
    p.add_argument("--median", **median, help="3 x 3 median filter before Lucy-Richardson")
    p.add_argument("--checkpoint", type=Path, help="file to save the training to and go on from")
    dtype = "of OUT: float32 unless given, source for that of IMAGE, or uint8, int16, ..."
    p.add_argument("--dtype", help=dtype)
    windows = (
        "leave the image on disk and restore it window by window; from 2^28 pixels on it is anyway; if OUT "
        "is an OME-Zarr, the same command goes on after an interruption, if it is a TIFF, it begins anew"
    )
    p.add_argument("--on-disk", action="store_true", help=windows)
    workers = "leave the image on disk; the workers of a Dask scheduler restore it, to an OME-Zarr"
    p.add_argument("--dask", metavar="ADDRESS", dest="scheduler", help=workers)
    p.add_argument("--version", action="version", version=f"siamdecon {__version__}")
    _add_kernel(p, prepared=True)


def _psf_options(p: argparse.ArgumentParser) -> None:
    p.description = "Make a kernel: from an image of beads, or from the optics."
    _add_image(p, metavar="BEADS", nargs="?")
    _add_output(p, "TIFF")
    p.add_argument("--bead-size", type=int, help="pixels to cut out around each bead")
    _add_optics(p.add_argument_group("the optics; with --z-step, a stack"))


def _inspect_options(p: argparse.ArgumentParser) -> None:
    p.description = "Say what the package sees in an image and a kernel, and what it means."
    _add_image(p)
    _add_kernel(p)


def _compare_options(p: argparse.ArgumentParser) -> None:
    p.description = "Restore by several methods, and tell which predicts unseen pixels best."
    _add_image(p)
    which = f"the methods to compare; {' '.join(CANDIDATES)} unless given"
    p.add_argument("--methods", nargs="+", metavar="METHOD", default=CANDIDATES, help=which)
    _add_output(p, "PNG of results and residuals", required=False)
    _add_common(p)
    _add_kernel(p, prepared=True)


def _grade_options(p: argparse.ArgumentParser) -> None:
    p.description = "Grade the course's notebooks: one row a learner, one column an exercise."
    layout = "a folder for each learner; or notebooks named anna-00_quickstart.ipynb"
    p.add_argument("folder", metavar="FOLDER", type=Path, help=layout)
    _add_output(p, "CSV")
    p.add_argument("--seconds", type=int, default=20, help="for an exercise; 20 unless given")
    total = "for all exercises of a learner; 300 unless given"
    p.add_argument("--submission-seconds", type=int, default=300, help=total)
    p.add_argument("--memory", type=int, default=1024, help="MiB for an exercise; 1024")
    p.add_argument("--seed", type=int, default=1, help="of the data that the checks draw")


def _add_image(p: argparse.ArgumentParser, metavar="IMAGE", nargs=None, more: str = "") -> None:
    """Add a file, and which of the images in it."""
    p.add_argument("image", metavar=metavar, nargs=nargs, type=Path, help=IMAGE)
    named = "its name, or from 0"
    which = {"channel": f"{named}{more}", "time": f"from 0{more}", "scene": named}
    for name, of_several in which.items():
        text = f"which {name} of a file with several: {of_several}"
        p.add_argument(f"--{name}", metavar="N", help=text)


def _add_output(p: argparse.ArgumentParser, kinds: str, required: bool = True) -> None:
    out = {"metavar": "OUT", "type": Path, "required": required, "help": kinds}
    p.add_argument("-o", "--output", **out)
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")


def _add_common(p: argparse.ArgumentParser) -> None:
    """Add what `deconvolve` and `compare` have in common."""
    p.add_argument("--tier", choices=TIERS, help="how big a training is")
    p.add_argument("--seed", type=int, default=0)
    levels = "black and white level of the camera; none where it does not cut. Found unless given"
    ends = ("BLACK", "WHITE")
    p.add_argument("--limits", nargs=2, type=_level, metavar=ends, help=levels)
    p.add_argument("--device", help="cpu, cuda or, untested, mps")
    p.add_argument("--quiet", action="store_false", dest="progress", help="no progress bar")


def _add_kernel(p: argparse.ArgumentParser, prepared: bool = False) -> None:
    kernel = p.add_argument_group("the point-spread function: a file, or the optics")
    kernel.add_argument("--psf", metavar="FILE", type=Path, help="TIFF of the kernel")
    _add_optics(kernel)
    if prepared:
        to_middle = "move the kernel's centre of light to its centre"
        kernel.add_argument("--center-psf", action="store_true", help=to_middle)
        background = "take off what the border of a measured kernel shows"
        kernel.add_argument("--subtract-psf-background", action="store_true", help=background)


def _add_optics(group) -> None:
    group.add_argument("--psf-model", choices=MODELS, default="gibson_lanni")
    for field, (name, text) in OPTICS.items():
        kind = int if field in ("size", "planes") else float
        shown = name.replace("-", "_").upper()
        group.add_argument(f"--{name}", dest=field, metavar=shown, type=kind, help=text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, or 2 after printing an error: a bad input or a full memory.

    Ctrl-C and SIGTERM end a training early, whose result is written, or all of it: 130 and 143.
    """
    if hasattr(sys.stdout, "reconfigure"):  # a name that it can't show is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    command = words[0] if words and words[0] in COMMANDS else ""
    args = parser(command).parse_args(words[1:] if command else words)
    with warnings.catch_warnings(), _stopping() as stopped:
        warnings.showwarning = _show
        try:
            COMMANDS[command][-1](args)
        except (ValueError, OSError, FloatingPointError, MemoryError) as error:
            _show(error)
            return 2
        except KeyboardInterrupt as stop:
            _show(f"interrupted: {str(stop) or 'nothing was written'}")
            return 128 + max(stopped or [signal.SIGINT])
    return 128 + max(stopped) if stopped else 0


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """Make SIGTERM stop the work as Ctrl-C does; yield the signals that have arrived."""
    arrived, before = [], {}

    def stop(number, _):
        arrived.append(number)
        raise KeyboardInterrupt

    with suppress(ValueError):  # a thread other than the main one gets no signals
        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(message, *_) -> None:
    """Print an error or a warning as one line, in the words of the command line."""
    line = " ".join(str(message).split())
    line = re.sub(r"\b(\w+)=True", lambda m: f"--{m[1].replace('_', '-')}", line)
    word = r"\b(channel|time|scene|device)=(?:'([^']*)'|(\w+))"
    line = re.sub(word, lambda m: f"--{m[1]} {shlex.quote(m[2] or m[3])}", line)
    print(f"siamdecon: {line}", file=sys.stderr)


def _level(word: str) -> float | None:
    return None if word == "none" else float(word)


def restore_file(args: argparse.Namespace) -> None:
    """Restore a file as the parsed command line asks, and print a line that says what was done."""
    restore = restore_each if "all" in (args.channel, args.time) else restore_one
    with claimed(args.output, "-o"):
        restore(args)


def restore_one(args: argparse.Namespace) -> None:
    """Restore one image."""
    which = _given(args, WHICH)
    image = read_image(args.image, memmap=True, **which)  # the pixels may not fit into memory
    on_disk = args.on_disk or args.scheduler or image.data.size >= LARGE
    if not on_disk:
        image = replace(image, data=np.asarray(image))  # unpacked once
    save = {"dtype": args.dtype, "overwrite": args.overwrite}
    check_output(args.output, image, **save)  # to fail before a training, not after it
    psf, options = read_psf(args, image), _given(args, OPTIONS)
    if on_disk:
        options |= {**save, **which, "scheduler": args.scheduler}
        options |= {"voxel_size": _voxels(args, image)}
        path = deconvolve_file(args.image, psf, args.output, args.method, **options)
    else:
        result = deconvolve(image, psf, args.method, **options)
        result.source = replace(image, voxel_size=_voxels(args, image))
        path = _kept(partial(result.save, **save), args.output)
    settings = json.loads(path.with_suffix(".json").read_text())
    where = ", on disk" if on_disk else ""
    _say(args, f"{image.shape}{where}", settings)


def _kept(save: Callable[[Path], Path], path: Path) -> Path:
    """Save a result, if need be among the temporary files: it has taken its time."""
    try:
        return save(path)
    except OSError as error:
        with suppress(OSError):  # of these disks the first one is of interest
            elsewhere = save(Path(tempfile.mkdtemp(), path.name))
            error = OSError(f"{error}; the result is in {elsewhere}")
        raise error from None


def restore_each(args: argparse.Namespace) -> None:
    """Restore all channels, all times, or both, one after the other, into one file.

    Constant ones, which an aborted acquisition leaves, are written as they are, with a warning.
    """
    large = args.on_disk or args.scheduler
    expect(not large, "--on-disk or --dask", "one channel and one time", Words("all of them"))
    tiff = args.output.suffix.lower() not in (".png", ".zarr")
    expect(tiff, "-o", "a TIFF for several images", args.output.name)
    each = read_each(args.image, memmap=True, **_given(args, WHICH))
    psf, options = read_psf(args, each[0][2]), _given(args, OPTIONS)
    restored, records, kept, how = [], [], {}, _given(args, SCALE)
    for channel, time, image in each:  # to fail before the first training, not after it
        try:
            with warnings.catch_warnings(action="ignore"):  # they are said again
                Problem.on_disk(image, psf, **how)
        except Constant as nothing:
            kept[channel, time] = str(nothing)
            continue
        except ValueError as error:
            raise ValueError(f"{_part(channel, time)}: {error}") from error
        dtype = check_output(args.output, image, args.dtype, args.overwrite)
    got = Words("constant ones alone")
    expect(len(kept) < len(each), "image", "one that can be restored", got)
    for part, why in kept.items():
        warn(f"{_part(*part)}: {why}; it is written as it is")
    check_room(args.output, len(each) * dtype.itemsize * image.data.size)
    for number, (channel, time, image) in enumerate(each):
        which = {"channel": channel, "time": time}
        if why := kept.get((channel, time)):
            restored.append(cast(np.asarray(image), dtype))
            records.append(which | {"unchanged": why})
            continue
        if args.progress:
            _show(f"image {number + 1} of {len(each)}: {_part(channel, time)}")
        if args.checkpoint:
            options["checkpoint"] = args.checkpoint.with_stem(f"{args.checkpoint.stem}-{number}")
        image = replace(image, data=np.asarray(image))  # unpacked once
        result = deconvolve(image, psf, args.method, **options)
        restored.append(cast(result.image, dtype))
        records.append(which | result.settings)
        if result.settings.get("interrupted") and number + 1 < len(each):
            raise KeyboardInterrupt  # there is nothing to show of the others
    times = len({time for _, time, _ in each})
    # ImageJ's order is t, z, channel, y, x
    stack = np.moveaxis(np.reshape(restored, (times, -1, *image.shape)), 1, -3)
    axes = f"T{image.axes[:-2]}CYX"
    sizes = dict(zip(image.axes, _voxels(args, image), strict=True))
    names = [image.channel for _, _, image in each[: len(each) // times]]
    form = (stack, axes, [sizes.get(axis) for axis in axes], is_ome(args.output))
    form += (names if all(names) else (),)

    def save(path: Path) -> Path:
        pixels = partial(write_atomically, path, lambda part: write_tiff(part, *form))
        return write_settings(path, lambda: {"images": records}, dtype, pixels)

    _kept(save, args.output)
    _say(args, f"{len(each)} images of {image.shape}", result.settings)


def _voxels(args: argparse.Namespace, image: Image) -> tuple[float | None, ...]:
    """Return the voxel size to write: the file's, where it is unknown that of the optics."""
    own, given = image.voxel_size or (), (args.z_step, args.pixel_size, args.pixel_size)
    return tuple(a or b for a, b in zip_longest(own, given[-image.ndim :]))


def _part(channel: int | str | None, time: int | None) -> str:
    """Name one of the images in a file."""
    names = {"channel": channel, "time": time}
    return ", ".join(f"{name}={index!r}" for name, index in names.items() if index is not None)


def _given(args: argparse.Namespace, names: Iterable[str]) -> dict:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _say(args: argparse.Namespace, images: str, settings: dict) -> None:
    cut = " (interrupted: partial result)" if settings.get("interrupted") else ""
    print(f"{args.output}: {args.method}, {images}{cut}", flush=True)


def make_psf(args: argparse.Namespace) -> None:
    """Write a kernel from beads or optics, as the parsed command line asks, and print a line about it."""
    check_writable(args.output, args.overwrite, (".tif", ".tiff"))
    given = _given(args, OPTICS)
    unused = _given(args, ("size", "planes") if args.image else ("bead_size",))
    sizes = "--bead-size for an image of beads, --psf-size and --psf-planes for the optics"
    expect(not unused, "siamdecon psf", sizes, Words("the other's"))
    if args.image:
        beads = read_image(args.image, **_given(args, WHICH))
        measured = psf_from_beads(beads, size=args.bead_size)
        psf, voxels, said = measured.psf, beads.voxel_size, str(measured)
        if {"na", "wavelength"} <= given.keys():
            width = 0.51 * given["wavelength"] / given["na"]
            said += f"; the optics' own in the plane {width:.2f} um (0.51 wavelength / NA)"
    else:
        z = given.get("z_step")
        shape = (255, 255) if z is None else (65, 255, 255)
        psf = _computed(args, given, shape, "an image of beads").data
        voxels = (z, *[given["pixel_size"]] * 2)[-len(shape) :]
        said = f"{' x '.join(map(str, psf.shape))} pixels"
    write_image(args.output, psf.astype(np.float32), voxel_size=voxels, overwrite=args.overwrite)
    print(f"{args.output}: {said}", flush=True)


def look_at(args: argparse.Namespace) -> None:
    """Print what the package sees in the files of the parsed command line."""
    image = read_image(args.image, memmap=True, **_given(args, WHICH))
    if image.data.size < LARGE:
        image = replace(image, data=np.asarray(image))  # unpacked once
    asked = args.psf is not None or _given(args, OPTICS)
    print(inspect(image, read_psf(args, image) if asked else None), flush=True)


def compare_methods(args: argparse.Namespace) -> None:
    """Compare methods as the parsed command line asks, and print the table."""
    if args.output:
        check_writable(args.output, args.overwrite, (".png",))
    image = read_image(args.image, **_given(args, WHICH))
    found = compare(image, read_psf(args, image), args.methods, **_given(args, COMMON))
    print(found, flush=True)  # before the picture, which may find no room
    if args.output:
        write_image(args.output, found.picture(), overwrite=args.overwrite)


def grade_folder(args: argparse.Namespace) -> None:
    """Grade learners' notebooks as the parsed command line asks, and print a line about it."""
    # what restores does without the lab
    grading = expect_module("siamdecon.lab.grading", "siamdecon grade", "lab")
    grader = grading.Grader(args.seconds, args.submission_seconds, args.memory, args.seed)
    print(grading.grade(args.folder, args.output, grader, args.overwrite), flush=True)


#: By the first word of a command line, empty where that is an image: its options and its work.
COMMANDS = {
    "": (_restore_options, restore_file),
    "psf": (_psf_options, make_psf),
    "inspect": (_inspect_options, look_at),
    "compare": (_compare_options, compare_methods),
    "grade": (_grade_options, grade_folder),
}


def read_psf(args: argparse.Namespace, image: Image) -> Image:
    """Read the kernel from its file, or compute it from the optics.

    Raises
    ------
    ValueError
        If both or neither are given, or a parameter of the optics is neither given nor in the file.

    Examples
    --------
    >>> read_psf(parser().parse_args(EXAMPLE.split()), Image(np.zeros((64, 64)), "YX")).shape
    (27, 27)
    """
    given = _given(args, OPTICS)
    if args.psf is not None:
        got = Words(f"both ({', '.join(given)})")
        expect(not given, "--psf", "a file or the optics", got)
        try:
            return read_image(args.psf)
        except ValueError as error:  # --channel is about the image
            first = r"(pick one, )?(channel|time|scene)=0 (takes|for) the first"
            said = re.sub(first, "save the kernel as a file of its own", str(error))
            raise ValueError(f"--psf: {said}") from error
    z, y, x = (None, *(image.voxel_size or (None,) * image.ndim))[-3:]
    if "pixel_size" not in given and None not in (y, x) and abs(y / x - 1) > 0.05:
        mend = "the optics make kernels of square ones; give --pixel, or a kernel by --psf"
        raise ValueError(f"{image.path}: its pixels are {y:g} x {x:g} um, and {mend}")
    known = {"pixel_size": x, "z_step": z}
    psf = _computed(args, known | given, image.shape, "--psf FILE")
    for field, own in known.items():
        if own and abs(given.get(field, own) / own - 1) > 0.05:
            said = f"--{OPTICS[field][0]}: {given[field]:g} um, and the file says {own:g}"
            warn(f"{said}; the given one is taken")
    return psf


def _computed(args, optics: dict, shape: tuple[int, ...], instead: str) -> Image:
    """Compute a kernel, as large as its light asks for within a shape, or as the user does.

    Its credit is the call that computes it.
    """
    required = ["na", "wavelength", "pixel_size"] + ["z_step"] * (len(shape) == 3)
    if missing := ", ".join(f"--{OPTICS[f][0]}" for f in required if optics.get(f) is None):
        raise ValueError(f"expected {instead}, or the optics; still missing: {missing}")
    known = {field: value for field, value in optics.items() if value is not None}
    microscope, model = Microscope(**known), MODELS[args.psf_model]
    # Nyquist's sampling of the light's intensity
    finest = microscope.wavelength / (4 * microscope.na)
    if microscope.pixel_size > 10 * finest:
        coarse = f"--pixel: more than ten times the {finest:.2g} um of the optics"
        warn(f"{coarse}; divide a camera's pixel by the magnification")
    psf, lost = psf_for(shape, microscope, model, planes=args.planes, size=args.size)
    if lost > 0.015 and args.size is None:
        warn(f"psf: {lost:.0%} of its light lies beyond the image")
    sizes = dict(zip(("size", "planes"), (psf.shape[-1], *psf.shape[:-2]), strict=False))
    credit = f"{args.psf_model}({replace(microscope, **sizes)}, {psf.ndim})"
    return Image(psf, "ZYX"[-psf.ndim :], credit=credit)
