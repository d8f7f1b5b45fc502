"""Images of real microscopes for the course, and what takes their place without a network."""

import os

import numpy as np
from scipy.ndimage import gaussian_filter

from siamdecon.files.images import Image
from siamdecon.files.samples import load_real, load_sample
from siamdecon.microscope.degradation import blur
from siamdecon.microscope.psf import Microscope, gibson_lanni

#: Of the real beads: voxels, and full width at half maximum, in um along z, y, x.
_VOXEL = (0.125, 0.0225, 0.0225)
_WIDTHS = (0.49, 0.22, 0.16)
#: What one photon adds to a count, and the count without light, as in the real grid.
_UNIT, _DARK = 0.11, 1.0


def real_or_simulated(*names: str) -> tuple[dict[str, Image], bool]:
    """Load images of real microscopes, or draw simulated ones where they can't be had; say which.

    Nothing is downloaded where the environment variable SIAMDECON_OFFLINE is set, as in the tests.

    Parameters
    ----------
    names : str
        What `siamdecon.load_real` knows.

    Returns
    -------
    images : dict of str to Image
        By name. All are real or all are simulated, of the same shape, voxel size and kind of noise.
    real : bool

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder that SIAMDECON_REAL names lacks one, or holds another file in its place.

    Examples
    --------
    Introduced in notebook 11.

    >>> real_or_simulated()
    ({}, True)
    """
    folder = os.environ.get("SIAMDECON_REAL")
    try:
        if os.environ.get("SIAMDECON_OFFLINE") and not folder:
            raise ConnectionError("SIAMDECON_OFFLINE is set: no image is downloaded")
        images = {name: load_real(name, progress=False) for name in names}
        real = True
    except (ConnectionError, ValueError) as error:
        # a login page in place of a file is no network, too; a folder that was named must be right
        if folder:
            raise
        print(f"{error}.\nUntil then, simulated images take their place.")
        images, real = {name: simulated(name) for name in names}, False
    for name, image in images.items():
        print(f"{name}: {image.credit}")
    return images, real


def simulated(name: str) -> Image:
    """Draw what takes the place of a real image.

    Examples
    --------
    >>> simulated("grid")
    Image(21 x 150 x 150 uint8, axes ZYX, voxel size (0.125, 0.0225, 0.0225) um)
    """
    rng = np.random.default_rng(0)
    if name == "celegans":
        pixel_size = 0.0426
        optics = Microscope(1.3, 0.52, 1.518, pixel_size, size=41)
        light = 1000 + 4000 * blur(load_sample("membranes")[:316, :316], gibson_lanni(optics))
        pixels = 185 + 2.9 * rng.poisson(light / 2.9).astype(np.float32)
        return Image(pixels, "YX", (pixel_size,) * 2, credit="simulated walls of cells")
    light, credit = {
        "beads": (_beads, "four simulated beads"),
        "grid": (_grid, "four simulated lines"),
    }[name]
    sigma = [width / (2.3548 * size) for width, size in zip(_WIDTHS, _VOXEL, strict=True)]
    photons = rng.poisson(gaussian_filter(light(), sigma) / _UNIT)
    counts = np.rint(_DARK + _UNIT * photons).clip(0, 255).astype(np.uint8)
    return Image(counts, "ZYX", _VOXEL, credit=credit)


def _beads() -> np.ndarray:
    """Four points, in counts times voxels: (41, 150, 150)."""
    light = np.full((41, 150, 150), 0.2)
    for z, y, x in ((19, 26, 40), (21, 34, 122), (20, 75, 75), (20, 120, 116)):
        light[z, y, x] += 5e4
    return light


def _grid() -> np.ndarray:
    """Four lines along y that waver a little, two of them 0.25 um apart, in haze: (21, 150, 150)."""
    z, y, x = np.ogrid[:21, :150, :150]
    haze = 0.5 * np.exp(-(((x - 77) / 40.0) ** 4)) * np.exp(-(((z - 10) / 5.0) ** 2))
    light = 0.6 + haze + 0.0 * y
    for place, bright in ((42, 7.0), (72.5, 5.0), (83.5, 6.0), (112, 5.0)):
        off = x - place - 0.5 * np.sin(y / 12 + place)
        light += bright * np.exp(-(off**2) / 8) * (np.abs(z - 10) < 5)
    return light
