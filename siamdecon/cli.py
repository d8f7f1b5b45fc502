"""The command line: restore a file of your own without writing Python."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from siamdecon._version import __version__
from siamdecon.files.images import Image, read_image
from siamdecon.files.on_disk import LARGE
from siamdecon.methods import METHODS
from siamdecon.microscope.psf import Microscope, gaussian, gibson_lanni, richards_wolf
from siamdecon.restoration import check_output, deconvolve, deconvolve_file

MODELS = {"gibson_lanni": gibson_lanni, "richards_wolf": richards_wolf, "gaussian": gaussian}

#: Options that describe the optics, and the field of `Microscope` that each one sets.
OPTICS = {
    "na": ("na", float, "numerical aperture of the objective"),
    "wavelength": ("wavelength", float, "emission wavelength in um"),
    "pixel": ("pixel_size", float, "pixel size in um; the file's own unless given"),
    "z-step": ("z_step", float, "distance of planes in um; the file's own unless given"),
    "index": ("index", float, "refractive index of the immersion: 1.0, 1.33, 1.518"),
    "defocus": ("defocus", float, "distance of the image plane from the focus in um"),
    "magnification": ("magnification", float, "lateral magnification of the objective"),
    "psf-size": ("size", int, "odd number of pixels along the kernel's y and x; 17 if they fit"),
    "psf-planes": ("planes", int, "odd number of planes of a 3D kernel; 17 if they fit"),
}


def parser() -> argparse.ArgumentParser:
    """Build the command line's parser.

    Examples
    --------
    >>> parser().parse_args("cells.tif --psf psf.tif -o restored.tif".split()).method
    'noise2same_d'
    """
    p = argparse.ArgumentParser(
        prog="siamdecon",
        description="Restore a blurred, noisy microscope image with nothing but the image and its "
        "point-spread function.",
        epilog="Lengths are in micrometres. Example: siamdecon cells.tif --na 0.8 --wavelength 0.6 "
        "--pixel 0.406 -o restored.tif",
    )
    p.add_argument("image", metavar="IMAGE", type=Path, help="TIFF or PNG, grey, 2D or 3D")
    p.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="TIFF or PNG")
    p.add_argument("--method", choices=METHODS, default="noise2same_d")
    p.add_argument("--tier", choices=("test", "lab", "full"), help="how big a training is")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, help="training steps, in place of the tier's")
    p.add_argument("--iterations", type=int, help="of a classical method")
    p.add_argument(
        "--median", action="store_true", help="3 x 3 median filter before Lucy-Richardson"
    )
    p.add_argument("--checkpoint", type=Path, help="file to save the training to and go on from")
    p.add_argument("--device", help="cpu or cuda")
    p.add_argument("--dtype", choices=("float32", "uint8", "uint16", "source"))
    p.add_argument(
        "--on-disk",
        action="store_true",
        help="leave the image on disk and restore it window by window; from 2^28 pixels on it is anyway",
    )
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    p.add_argument("--version", action="version", version=f"siamdecon {__version__}")
    kernel = p.add_argument_group("the point-spread function: a file, or the optics")
    kernel.add_argument("--psf", metavar="FILE", type=Path, help="TIFF of the kernel")
    kernel.add_argument("--psf-model", choices=MODELS, default="gibson_lanni")
    for option, (_, kind, text) in OPTICS.items():
        kernel.add_argument(f"--{option}", type=kind, help=text)
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, or 2 after saying what is wrong: an input, or a diverged training."""
    args = parser().parse_args(arguments)
    try:
        print(restore_file(args))
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"siamdecon: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def restore_file(args: argparse.Namespace) -> str:
    """Do what the parsed command line asks; return a line that says what was done."""
    image = read_image(args.image, memmap=True)  # the pixels may not fit the memory
    on_disk = args.on_disk or image.data.size >= LARGE
    # a file that can't be written must not cost a training first
    check_output(args.output, image, args.dtype, args.overwrite)
    options = {"steps": args.steps, "iterations": args.iterations}
    options["prefilter"] = "median" if args.median else None
    options = {name: value for name, value in options.items() if value is not None}
    common = {
        "tier": args.tier,
        "seed": args.seed,
        "device": args.device,
        "progress": not args.quiet,
        "checkpoint": args.checkpoint,
    }
    psf = read_psf(args, image)
    if on_disk:
        save = {"dtype": args.dtype, "overwrite": args.overwrite}
        path = deconvolve_file(
            args.image, psf, args.output, args.method, **save, **common, **options
        )
    else:
        result = deconvolve(image, psf, args.method, **common, **options)
        path = result.save(args.output, dtype=args.dtype, overwrite=args.overwrite)
    settings = json.loads(path.with_suffix(".json").read_text())
    where = ", on disk" if on_disk else ""
    interrupted = " (interrupted: partial result)" if settings.get("interrupted") else ""
    return f"{args.output}: {args.method}, {image.shape}{where}{interrupted}"


def read_psf(args: argparse.Namespace, image: Image) -> np.ndarray | Image:
    """Read the kernel from its file, or compute it from the optics.

    Raises
    ------
    ValueError
        If both or neither are given, or the optics lack what the file does not say.

    Examples
    --------
    >>> asked = "cells.tif --na 0.8 --wavelength 0.6 --pixel 0.406 -o restored.tif"
    >>> read_psf(parser().parse_args(asked.split()), Image(np.zeros((64, 64)), "YX")).shape
    (17, 17)
    """
    optics = {
        field: getattr(args, option.replace("-", "_")) for option, (field, _, _) in OPTICS.items()
    }
    given = {field: value for field, value in optics.items() if value is not None}
    if args.psf is not None:
        if given:
            raise ValueError(f"--psf: expected a file or the optics, got both ({', '.join(given)})")
        return read_image(args.psf)
    size = image.voxel_size or (None,) * image.ndim
    if "pixel_size" not in given and None not in size[-2:] and abs(size[-2] / size[-1] - 1) > 0.05:
        raise ValueError(
            f"{image.path}: its pixels are {size[-2]:g} x {size[-1]:g} um, and the optics make kernels of "
            "square ones; give --pixel, or a kernel by --psf"
        )
    if size[-1] is not None:
        given.setdefault("pixel_size", size[-1])
    if image.ndim == 3 and size[0] is not None:
        given.setdefault("z_step", size[0])
    required = ["na", "wavelength", "pixel_size"] + ["z_step"] * (image.ndim == 3)
    missing = [name for name in required if name not in given]
    if missing:
        flags = {field: f"--{option}" for option, (field, _, _) in OPTICS.items()}
        raise ValueError(
            f"expected --psf FILE, or the optics; still missing: {', '.join(flags[m] for m in missing)}"
        )
    # the paper's 17 samples, or as many, an odd number, as the image has
    fits = [min(17, n - (n + 1) % 2) for n in (min(image.shape[-2:]), image.shape[0])]
    return MODELS[args.psf_model](
        Microscope(**{"size": fits[0], "planes": fits[1], **given}), image.ndim
    )
