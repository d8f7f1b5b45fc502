"""What numbers in files mean: lengths in um, and the range of a dtype."""

import numpy as np

from siamdecon.expect import warn

# Length units in um, by the first letters that tell them apart; both the micro sign U+00B5 and the Greek
# letter occur, and Fiji escapes it.
_UM = dict.fromkeys(["um", "µm", "μm", "\\u00b5m", "\\u03bcm", "micron", "micromet"], 1.0)
_UM |= {"pm": 1e-6, "å": 1e-4, "\\u00c5": 1e-4, "angstrom": 1e-4, "nm": 1e-3, "nanomet": 1e-3}
_UM |= {"mm": 1e3, "millimet": 1e3, "cm": 1e4, "centimet": 1e4}
_UM |= dict.fromkeys(["m", "meter", "metre"], 1e6)
_UM |= dict.fromkeys(["in", '"', "inch"], 25400.0)
_NO_LENGTH = {"", "pixel", "pixels", "none", "null"}


def um_of(unit):
    """Return the length of a unit in um, however it is spelled; 0 if it is none.

    Examples
    --------
    >>> um_of("Micrometers"), um_of("nm"), um_of("pixel")
    (1.0, 0.001, 0)
    """
    word = str(unit).strip().lower()
    longer = (um for key, um in _UM.items() if len(key) > 3 and word.startswith(key))
    return _UM.get(word) or next(longer, 0)


def to_um(axis, value, unit, name):
    """Return a length in um; 0, after a warning, if number or unit can't be read.

    Examples
    --------
    >>> to_um("Z", "-0,3", "microns", "a.tif"), to_um("Z", 300, "nanometer", "a.tif")
    (0.3, 0.3)
    """
    factor = um_of(unit)
    try:  # some write 0,3, and some count planes downwards
        length = abs(float(str(value).replace(",", ".")))
        factor = factor if length < float("inf") else 0
    except ValueError:
        factor = 0
    if factor == 0 and str(unit).strip().lower() not in _NO_LENGTH and value:
        said = f"{name}: the voxel size along {axis.lower()}, {value!r} {unit!r}, can't be read"
        warn(f"{said}; give it in um")
    return length * factor if factor else 0.0


def cast(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert pixels to another dtype, clipped to its range; for an integer dtype, rounded, too.

    Restored peaks may rise above all that was measured: if integers cut them, that is said.

    Examples
    --------
    >>> cast(np.array([-1.0, 2.6, 255.4]), np.dtype("uint8"))
    array([  0,   3, 255], dtype=uint8)
    """
    info = value_limits(dtype)
    if dtype.kind in "iu":
        pixels = np.rint(np.asarray(pixels, np.float64))
        # the largest float64 that a 64-bit integer holds lies below its own largest value
        top = min(float(info.max), np.nextafter(2.0 ** (info.bits - (dtype.kind == "i")), 0))
        if (pixels > info.max).any():  # one text for all windows of a file: Python shows it once
            mend = "save as float32, or scale the image first"
            warn(f"dtype {dtype}: what rises above {info.max} is cut; {mend}")
        return pixels.clip(info.min, top).astype(dtype)
    wider = np.promote_types(pixels.dtype, dtype)  # in which both ends are numbers
    return pixels.astype(wider).clip(float(info.min), float(info.max)).astype(dtype)


def value_limits(dtype: np.dtype) -> np.iinfo | np.finfo:
    """Return what NumPy knows of a dtype's range.

    Examples
    --------
    >>> value_limits(np.dtype("uint8")).max
    255
    """
    return (np.iinfo if dtype.kind in "iu" else np.finfo)(dtype)
