"""Reading and writing TIFF files with axes and voxel size, compatible with Fiji."""

import errno
import logging
import math
import os
import tempfile
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from siamdecon.expect import expect_index
from siamdecon.files.stores import Stored
from siamdecon.files.units import UM, to_um

_FINEST_PRINT = 5.0  # um; no printer or scanner has finer pixels
#: Times a window's pixels that may be unpacked to read it; beyond, all of the file is unpacked once.
_TOUCHED = 16
_CLASSIC_LIMIT = 2**32 - 2**25  # bytes; ImageJ's own TIFF has 32-bit offsets
#: dtypes of ImageJ's own TIFF, and of OME's.
_IMAGEJ, _OME = ("u1", "u2", "f4"), ("i1", "i2", "i4", "u1", "u2", "u4", "f4", "f8")


def read_tiff(path, memmap=False, scene=None):
    """Read pixels, axes, voxel size and names of channels of one image in a TIFF.

    The pixels are what one should see: inverted where white is stored as zero, looked up in a palette that
    is grey or a list of colours. In ImageJ's files, and where a palette runs smoothly from colour to colour,
    it only displays an intensity, which is the index.

    Pixels are taken as they are stored, whatever the tag of orientation says.

    Resolution tags count for print, and are ignored, unless the pixel is smaller than any printer's (5 um).

    Parameters
    ----------
    path : pathlib.Path
    memmap, scene
        See `siamdecon.files.images.read_image`.

    Returns
    -------
    data : ndarray
    axes : str
        One letter per dimension, as named by tifffile.
    sizes : dict of str to float
        um along "Z", "Y", "X"; 0, NaN or missing where unknown. What can't be read is said in a warning.
    names : list of str
        Of the channels; empty where unknown.

    Raises
    ------
    ValueError
        If it is truncated, lacks a plane or a file, or holds several images and none is chosen.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> write_tiff(path, np.zeros((5, 16, 16), np.uint8), "ZYX", (0.3, 0.1, 0.1))
    >>> read_tiff(path)[2]["Z"]
    0.3
    """
    with _raising_logged_errors(path), tifffile.TiffFile(path) as tif:
        kinds = [" x ".join(map(str, series.shape)) for series in tif.series]
        scene = expect_index("scene", scene, len(kinds), path.name, kinds)
        series = tif.series[scene]
        planes = len(series.pages)
        if missing := sum(page is None for page in series.pages):
            where = _missing_files(tif, path)
            raise ValueError(f"{missing} of its {planes} planes are missing{where}")
        announced = (tif.imagej_metadata or {}).get("images", 1) if tif.is_imagej else 1
        if announced > (stored := math.prod(series.shape[: -2 - ("S" in series.axes)])):
            raise ValueError(f"it announces {announced} planes and holds {stored}")
        out = lazy = None
        if memmap:
            mapped = series.keyframe.is_memmappable and (series.dataoffset or planes == 1)
            if not mapped and (lazy := _in_windows(tif, series, path)) is None:
                out = scratch(series.shape, series.dtype)
            out = "memmap" if mapped else out
        data, axes = series.asarray(out=out) if lazy is None else lazy, series.axes
        if (turned := series.keyframe.tags.valueof("Orientation", 1)) != 1:
            said = f"its tag to be shown turned or mirrored ({turned!r}) is ignored, as Fiji does"
            warnings.warn(
                f"{path.name}: {said}; a kernel must lie as the stored pixels", stacklevel=4
            )
        if not tif.is_imagej and lazy is None:
            data, axes = _as_seen(data, axes, series.keyframe, memmap)
        described = _described(tif, scene)
        return data, axes, _voxel_size(tif, described), _names(tif, described)


def _in_windows(tif, series, path):
    """Return pixels that are unpacked as they are taken; None where it is better to unpack them once."""
    page, kinds = series.keyframe, tifffile.PHOTOMETRIC
    changed = not tif.is_imagej and page.photometric in (kinds.MINISWHITE, kinds.PALETTE)
    # what a window touches: all of each strip or tile
    window = [min(128, n) for n in page.shape[:2]]
    sides = zip(window, page.chunks, page.shape, strict=False)
    touched = [min(n + side - 1, most) for n, side, most in sides]
    if changed or "S" in series.axes or math.prod(touched) > _TOUCHED * math.prod(window):
        return None
    with suppress(ImportError):  # of the extra
        import zarr

        return Stored(zarr.open_array(series.aszarr(level=0), mode="r"), path)


def _described(tif, scene):
    """Return the element of an OME-TIFF's metadata that describes an image; None if there is none."""
    with suppress(ElementTree.ParseError, IndexError):  # the first is said already
        if tif.is_ome:
            root = ElementTree.fromstring(tif.ome_metadata)
            if (elsewhere := root.find("{*}BinaryOnly")) is not None:
                said = f"its metadata are in {elsewhere.get('MetadataFile')}, which is not read"
                warnings.warn(f"{tif.filename}: {said}; give the voxel size in um", stacklevel=5)
            return root.findall(".//{*}Pixels")[scene]


def _names(tif, described):
    """Return the names of channels, as OME's or ImageJ's metadata give them."""
    if described is not None:
        names = [channel.get("Name") for channel in described.findall("{*}Channel")]
    else:
        metadata = (tif.imagej_metadata or {}) if tif.is_imagej else {}
        names = metadata.get("Labels", [])
        names = names if len(names) == metadata.get("channels") else []
    return names if all(names) else []


def _missing_files(tif, path):
    """Name the files of an OME-TIFF that are not beside it."""
    names = set()
    if tif.is_ome:
        for element in ElementTree.fromstring(tif.ome_metadata).iter():
            names.add(element.get("FileName"))
    gone = sorted(name for name in names - {None} if not (path.parent / name).exists())
    return f", in {', '.join(gone)}, which should lie beside it" if gone else ""


def _as_seen(data, axes, page, memmap):
    """Return what a page's photometric interpretation says of the stored values, and its axes."""
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and data.dtype.kind in "bu":
        top = 2 ** min(page.bitspersample, 8 * data.dtype.itemsize) - 1
        return _mapped(data, data.dtype, lambda part: top - part, memmap), axes
    colours = page.colormap if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
    if colours is None:
        return data, axes
    # 16 bits, made of 8 by most as 257 times, by Pillow as 256 times
    step = next((step for step in (257, 256) if (colours % step == 0).all()), 1)
    table = (colours // step).astype("u2" if step == 1 else "u1")
    if (colours == colours[0]).all():
        return _mapped(data, table.dtype, lambda part: table[0][part], memmap), axes
    steps = np.trim_zeros(np.abs(np.diff(colours.astype(int))).max(axis=0))
    if np.median(steps) < 2**13:  # an eighth of the range: neighbours are alike
        return data, axes
    return _mapped(data, table.dtype, lambda part: table.T[part], memmap, (3,)), axes + "S"


def _mapped(data, dtype, change, memmap, more=()):
    """Change values plane by plane, into memory or into a temporary file."""
    out = (scratch if memmap else np.empty)(data.shape + more, dtype)
    for i in range(len(data)):
        out[i] = change(data[i])
    return out


def scratch(shape, dtype):
    """Return a memory map of a temporary file.

    Examples
    --------
    >>> scratch((2, 3), np.dtype("u2")).shape
    (2, 3)
    """
    with tempfile.TemporaryFile() as file:
        _reserve(file, math.prod(shape) * dtype.itemsize, tempfile.gettempdir())
        return np.memmap(file, dtype, shape=shape)


def _reserve(file, n_bytes, folder):
    """Reserve the space of a file: on a full disk, a write to its memory map would end the process."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some file systems can't
            full = f"{error.strerror} for {n_bytes / 1e9:.3g} GB in {folder}"
            raise OSError(error.errno, full) from error


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
        lost = "its pages are taken for one stack of unknown voxel size"
        why = errors[0].split(" raised ")[-1]
        warnings.warn(f"{path.name}: its metadata can't be read ({why}); {lost}", stacklevel=5)


def _voxel_size(tif, described):
    """Return um by axis; 0 or NaN where unknown."""
    lengths, units = {}, {}
    if described is not None:
        lengths = {axis: described.get(f"PhysicalSize{axis}", 0) for axis in "ZYX"}
        units = {axis: described.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"}
    else:
        shaped = tif.shaped_metadata[0] if tif.is_shaped else {}
        metadata = (tif.imagej_metadata or {}) if tif.is_imagej else shaped
        tags, unit = tif.pages[0].tags, metadata.get("unit", "")
        lengths["Z"] = metadata.get("spacing", 0)
        for axis in "YX":
            pixels, length = tags.valueof(f"{axis}Resolution", (0, 1))
            lengths[axis] = length / pixels if pixels else 0
        if not (unit or tif.is_imagej):
            printed = {2: "inch", 3: "cm"}.get(tags.valueof("ResolutionUnit"), "")
            fine = 0 < lengths["X"] * UM.get(printed, 0) < _FINEST_PRINT
            unit, lengths["Z"] = printed if fine else "", 0
        units = {axis: metadata.get(f"{axis.lower()}unit", unit) for axis in "ZYX"}
    return {axis: to_um(axis, lengths[axis], units[axis], tif.filename) for axis in lengths}


def write_tiff(path, data, axes, voxel_size=None, ome=False):
    """Write pixels to a TIFF that opens in Fiji with axes and voxel size; see `write_image`.

    Examples
    --------
    >>> import tempfile
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
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> create_tiff(path, (4, 16, 16), np.dtype("u2"), "ZYX")[2, 3, 4] = 7
    >>> int(read_tiff(path)[0].sum())
    7
    """
    full, options = _options(shape, dtype, axes, voxel_size, ome)
    tifffile.memmap(path, shape=full, dtype=dtype, **options)
    with open(path, "r+b") as file:
        _reserve(file, os.path.getsize(path), Path(path).parent)
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
        metadata = {"axes": axes, **metadata}
        return shape, {"metadata": metadata, "bigtiff": large, "resolutionunit": 1, **grey}
    # all six axes of ImageJ: otherwise a last axis of length 1 would be read as samples
    sides = dict(zip(axes, shape, strict=True))
    shape = tuple(sides.get(axis, 1) for axis in "TZCYXS")
    return shape, {"metadata": {"axes": "TZCYXS", **metadata}, "imagej": True, **grey}
