"""Lengths as files write them, in um."""

import warnings

# Length units in um, by the first letters that tell them apart; both the micro sign U+00B5 and the Greek
# letter occur, and Fiji escapes it.
UM = dict.fromkeys(["um", "µm", "μm", "\\u00b5m", "\\u03bcm", "micron", "micromet"], 1.0)
UM |= {"pm": 1e-6, "å": 1e-4, "\\u00c5": 1e-4, "angstrom": 1e-4, "nm": 1e-3, "nanomet": 1e-3}
UM |= {
    "mm": 1e3,
    "millimet": 1e3,
    "cm": 1e4,
    "centimet": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
}
UM |= dict.fromkeys(["in", '"', "inch"], 25400.0)
_NO_LENGTH = {"", "pixel", "pixels", "none", "null"}


def to_um(axis, value, unit, name):
    """Return a length in um; 0, after a warning, if number or unit can't be read.

    Examples
    --------
    >>> to_um("Z", "-0,3", "microns", "a.tif"), to_um("Z", 300, "nanometer", "a.tif")
    (0.3, 0.3)
    """
    word = str(unit).strip().lower()
    factor = UM.get(word) or next(
        (um for key, um in UM.items() if len(key) > 3 and word.startswith(key)), 0
    )
    try:  # some write 0,3, and some count planes downwards
        length = abs(float(str(value).replace(",", ".")))
        factor = factor if length < float("inf") else 0
    except ValueError:
        factor = 0
    if factor == 0 and word not in _NO_LENGTH and value:
        said = f"{name}: the voxel size along {axis.lower()}, {value!r} {unit!r}, can't be read"
        warnings.warn(f"{said}; give it in um", stacklevel=6)
    return length * factor if factor else 0.0
