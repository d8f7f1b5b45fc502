"""Reading and writing TIFF files with axes and voxel size, compatible with Fiji."""

import logging
import math
import os
import tempfile
import warnings
from contextlib import contextmanager
from xml.etree import ElementTree

import numpy as np
import tifffile

# Length units in um, by the first letters that tell them apart; both the micro sign U+00B5 and the Greek
# letter occur, and Fiji escapes it.
_UM = {"um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "micron": 1.0, "micromet": 1.0}
_UM |= {"pm": 1e-6, "å": 1e-4, "nm": 1e-3, "nanomet": 1e-3, "mm": 1e3, "millimet": 1e3, "cm": 1e4}
_UM |= {
    "centimet": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "in": 25400.0,
    '"': 25400.0,
    "inch": 25400.0,
}
_NO_LENGTH = {"", "pixel", "pixels", "none", "null"}
_CLASSIC_LIMIT = 2**32 - 2**25  # bytes; ImageJ's own TIFF has 32-bit offsets
#: dtypes of ImageJ's own TIFF, and of OME's.
_IMAGEJ, _OME = ("u1", "u2", "f4"), ("i1", "i2", "i4", "u1", "u2", "u4", "f4", "f8")


def read_tiff(path, memmap=False):
    """Read pixels, axes and voxel size of the one image in a TIFF.

    The pixels are what one should see: inverted where white is stored as zero, looked up where a grey
    palette is in another order. A palette in colour, such as ImageJ's, shows an intensity: its index.

    Parameters
    ----------
    path : pathlib.Path
    memmap : bool
        See `siamdecon.files.images.read_image`.

    Returns
    -------
    data : ndarray
    axes : str
        One letter per dimension, as named by tifffile.
    sizes : dict of str to float
        um along "Z", "Y", "X"; 0, NaN or missing where unknown. What can't be read is said in a warning.

    Raises
    ------
    ValueError
        If it is truncated, lacks a plane or a file, or holds more than one image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> write_tiff(path, np.zeros((5, 16, 16), np.uint8), "ZYX", (0.3, 0.1, 0.1))
    >>> read_tiff(path)[2]["Z"]
    0.3
    """
    with _raising_logged_errors(path), tifffile.TiffFile(path) as tif:
        if len(tif.series) != 1:
            found = f"it holds {len(tif.series)} images of different shape or kind"
            raise ValueError(f"{found}; save the one you want as a separate file")
        series = tif.series[0]
        planes = len(series.pages)
        if missing := sum(page is None for page in series.pages):
            where = _missing_files(tif, path)
            raise ValueError(f"{missing} of its {planes} planes are missing{where}")
        announced = (tif.imagej_metadata or {}).get("images", 1) if tif.is_imagej else 1
        if announced > (stored := math.prod(series.shape[: -2 - ("S" in series.axes)])):
            raise ValueError(f"it announces {announced} planes and holds {stored}")
        data = series.asarray(out="memmap" if memmap else None)
        return _as_seen(data, series.keyframe, memmap), series.axes, _voxel_size(tif)


def _missing_files(tif, path):
    """Name the files of an OME-TIFF that are not beside it."""
    names = set()
    if tif.is_ome:
        for element in ElementTree.fromstring(tif.ome_metadata).iter():
            names.add(element.get("FileName"))
    gone = sorted(name for name in names - {None} if not (path.parent / name).exists())
    return f", in {', '.join(gone)}, which should lie beside it" if gone else ""


def _as_seen(data, page, memmap):
    """Return grey values from what a page's photometric interpretation says of the stored ones."""
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and data.dtype.kind == "u":
        top = data.dtype.type(2 ** min(page.bitspersample, 8 * data.dtype.itemsize) - 1)
        return _mapped(data, data.dtype, lambda part: top - part, memmap)
    colours = page.colormap if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
    if colours is None or (colours != colours[0]).any():
        return data
    table = colours[0] // 257 if (colours[0] % 257 == 0).all() else colours[0]
    return _mapped(
        data, np.dtype("u1" if table.max() < 256 else "u2"), lambda part: table[part], memmap
    )


def _mapped(data, dtype, change, memmap):
    """Change values plane by plane, into memory or into a temporary file."""
    out = np.empty(data.shape, dtype)
    if memmap:
        out = np.memmap(tempfile.TemporaryFile(), dtype, shape=data.shape)
    for i in range(len(data)):
        out[i] = change(data[i])
    return out


@contextmanager
def _raising_logged_errors(path):
    """Raise what tifffile only logs: it ignores truncated pages or tags and returns what is left.

    Faults of the metadata cost the metadata only.
    """
    errors, logger, handler = [], logging.getLogger("tifffile"), logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    if pixels := [e for e in errors if "ParseError" not in e and "series failed" not in e]:
        raise ValueError(pixels[0])
    if errors:
        warnings.warn(f"{path.name}: its metadata can't be read: {errors[0]}", stacklevel=5)


def _voxel_size(tif):
    """Return um by axis; 0 or NaN where unknown. A plain TIFF's resolution tags concern printing."""
    lengths, units = {}, {}
    try:
        pixels = (
            ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels") if tif.is_ome else None
        )
    except ElementTree.ParseError:  # said already
        pixels = None
    if pixels is not None:
        lengths = {axis: pixels.get(f"PhysicalSize{axis}", 0) for axis in "ZYX"}
        units = {axis: pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"}
    elif tif.is_imagej or tif.is_shaped:
        metadata = tif.imagej_metadata if tif.is_imagej else tif.shaped_metadata[0]
        tags = tif.pages[0].tags
        lengths["Z"] = metadata.get("spacing", 0)
        for axis in "YX":
            pixels, length = tags.valueof(f"{axis}Resolution", (0, 1))
            lengths[axis] = length / pixels if pixels else 0
        unit = metadata.get("unit", "")
        units = {axis: metadata.get(f"{axis.lower()}unit", unit) for axis in "ZYX"}
    return {axis: _length(axis, lengths[axis], units[axis], tif.filename) for axis in lengths}


def _length(axis, value, unit, name):
    """Return a length in um; 0, after a warning, if number or unit can't be read."""
    word = str(unit).strip().lower()
    factor = _UM.get(word) or next(
        (um for key, um in _UM.items() if len(key) > 3 and word.startswith(key)), 0
    )
    try:
        length = abs(
            float(str(value).replace(",", "."))
        )  # some write 0,3, some count planes downwards
    except ValueError:
        factor = 0
    if factor == 0 and word not in _NO_LENGTH and value:
        said = f"{name}: the voxel size along {axis.lower()}, {value!r} {unit!r}, can't be read"
        warnings.warn(f"{said}; give it in um", stacklevel=6)
    return length * factor if factor else 0.0


def write_tiff(path, data, axes, voxel_size=None, ome=False):
    """Write pixels to a TIFF that opens in Fiji with axes and voxel size; see `write_image`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> write_tiff(path, np.eye(4, dtype=np.float32), "YX")
    >>> read_tiff(path)[0].shape
    (4, 4)
    """
    shape, options = _options(data.shape, data.dtype, axes, voxel_size, ome)
    tifffile.imwrite(path, data.reshape(shape), **options)


def create_tiff(path, shape, dtype, axes, voxel_size=None, ome=False):
    """Create a TIFF of zeros and return its pixels as a writable memory map.

    The format is that of `write_tiff`; nothing is checked, and the file is not written atomically. The
    space is reserved: on a disk that fills up later a memory map would end the process.

    Raises
    ------
    OSError
        If the disk has no room for it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> create_tiff(path, (4, 16, 16), np.dtype("u2"), "ZYX")[2, 3, 4] = 7
    >>> int(read_tiff(path)[0].sum())
    7
    """
    full, options = _options(shape, dtype, axes, voxel_size, ome)
    try:
        tifffile.memmap(path, shape=full, dtype=dtype, **options)
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    except OSError as error:
        need = math.prod(shape) * dtype.itemsize / 1e9
        raise OSError(
            f"cannot write {need:.3g} GB to {path.parent}: {error.strerror}; free some space"
        ) from error
    return tifffile.memmap(path, mode="r+").reshape(shape)


def holds(dtype, ome=False):
    """Tell whether a TIFF, or an OME-TIFF, holds pixels of this dtype.

    Examples
    --------
    >>> holds(np.dtype("f2")), holds(np.dtype("f2"), ome=True), holds(np.dtype("c8"))
    (True, False, False)
    """
    return dtype in _OME if ome else dtype.kind in "iuf" and dtype.itemsize <= 8


def _options(shape, dtype, axes, voxel_size, ome):
    """Return the shape and the options for tifffile to write an image: as ImageJ, OME or tifffile itself."""
    sizes = dict(zip(axes, voxel_size or (), strict=False))
    known = {axis: size for axis, size in sizes.items() if size}
    large = math.prod(shape) * dtype.itemsize > _CLASSIC_LIMIT
    grey = {"photometric": "minisblack"}
    if ome or (dtype in _OME and (large or dtype not in _IMAGEJ)):
        metadata = {"axes": axes} | {f"PhysicalSize{axis}": size for axis, size in known.items()}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in known}
        return shape, {"metadata": metadata, "ome": True, "bigtiff": large, **grey}
    metadata = {"unit": "um"} | ({"spacing": known["Z"]} if "Z" in known else {}) if known else {}
    if known:
        grey["resolution"] = [1 / known[axis] if axis in known else 0 for axis in "XY"]
    if dtype not in _IMAGEJ:
        return shape, {
            "metadata": {"axes": axes, **metadata},
            "bigtiff": large,
            "resolutionunit": 1,
            **grey,
        }
    # all six axes of ImageJ: otherwise a last axis of length 1 would be read as samples
    sides = dict(zip(axes, shape, strict=True))
    shape = tuple(sides.get(axis, 1) for axis in "TZCYXS")
    return shape, {"metadata": {"axes": "TZCYXS", **metadata}, "imagej": True, **grey}
