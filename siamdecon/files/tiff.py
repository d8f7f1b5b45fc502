"""Reading and writing TIFF files with axes and voxel size, compatible with Fiji."""

import errno
import logging
import math
import os
import re
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import numpy as np
import tifffile

from siamdecon.expect import Words, expect, expect_index, warn
from siamdecon.files.stores import Stored
from siamdecon.files.units import to_um, um_of

_FINEST_PRINT = 5.0  # um; no printer or scanner has finer pixels
_FINEST = 1e-3  # um; no microscope of light has
_FINE = 0.02  # um; few have
_SHOWN_OTHERWISE = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.PALETTE)
_ASIDE = 0b101  # bits of NewSubfileType: a reduced copy of another page, a mask of it
_PRINTED = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
#: What tifffile says of metadata, not of pixels.
_FAULTS = ("ParseError", "series failed", "axes do not match shape", "does not match page shape")
#: What it warns of and goes on, with fewer planes or other axes.
_LOST = ("missing files", "incompletely", "invalid or corrupted", "unknown order", "ScanImage ser")
#: Tags that pixels do without.
_TAG = re.compile(r"TiffTag (269|27[0-2]|28[235]|296|30[56]|31[56]|3[3-9]\d{3}|[4-6]\d{4}) ")
_UUID = re.compile(r"<(?:\w+:)?UUID\b[^>]*>([^<]*)</(?:\w+:)?UUID>")
_COMPANION = re.compile(r"""<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile=["']([^"']+)""")
#: Times a window's pixels that may be unpacked to read it; beyond, all of the file is unpacked once.
_TOUCHED = 16
#: Held while tifffile's log is read, which all threads share.
_logged = threading.RLock()
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

    What the file calls a reduced copy of another image, such as a thumbnail, or a mask of one, is left out.

    An OME-TIFF is read with the other files that it names beside it; one alone may have been renamed.

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
    with _raising_logged_errors(path), _opened(path, scene) as tif:
        found = [s for s in tif.series if not s.keyframe.subfiletype & _ASIDE] or tif.series
        kinds = [(s.kind == "ome" and s.name) or " x ".join(map(str, s.shape)) for s in found]
        series = found[expect_index("scene", scene, len(found), path.name, kinds)]
        for doubt in _doubts(tif, series, path):
            warn(f"{path.name}: {doubt}")
        mosaic = series.keyframe.photometric == tifffile.PHOTOMETRIC.CFA
        got = Words("pixels behind filters of several colours (CFA)")
        expect(not mosaic, str(path), "grey values", got, "interpolate each colour first")
        data, axes = _pixels(tif, series, path, memmap)
        if len(axes) != data.ndim:  # what it says of its planes is damaged
            raise ValueError(f"it announces axes {axes} for an array of shape {data.shape}")
        return data, axes, *_described(tif, series)


def _opened(path, scene):
    """Open a TIFF, as plain pages if what it says of them does not hold."""
    tif = tifffile.TiffFile(path)
    if tif.is_ome and (other := _told_elsewhere(tif.ome_metadata, path)):
        tif.close()
        tif = tifffile.TiffFile(other[0], omexml=other[1])
    forms = {(series.shape, series.dtype) for series in tif.series}
    # a stack written plane by plane, as imageio does
    each = scene is None and tif.is_shaped and len(tif.series) > len(forms) == 1
    each = each and _planes(tif.series[0]) == 1
    more = tif.is_imagej and len(tif.series[0].pages) > _planes(tif.series[0])
    pages = [_sides(s.keyframe.shape) for s in tif.series if s.kind == "shaped"]
    told = [_sides(about["shape"]) for about in tif.shaped_metadata or ()]
    # another program has cropped, halved or turned the planes, and kept what tifffile said of them
    other = any(a[len(a) - len(b) :] != b for a, b in zip(told, pages, strict=True))
    if not (each or more or other):
        return tif
    tif.close()
    if other:
        lost = "its metadata tell of planes of another shape"
        mend = "its pages are taken for one stack of unknown voxel size"
        warn(f"{path.name}: {lost}; {mend}")
    return tifffile.TiffFile(path, is_shaped=False, is_imagej=False)


def _told_elsewhere(xml, path):
    """Return which file to open, and OME-XML in place of its own, if that does not tell of all planes."""
    if companion := _COMPANION.search(xml):
        # beside the image, wherever its writer had it
        companion = path.resolve().parent / PureWindowsPath(companion[1]).name
        if not companion.is_file():
            return None  # which is said
        if companion.suffix.lower() in (".tif", ".tiff"):
            return companion, None
        return path, companion.read_text("utf-8", "replace")
    if "TiffData" not in xml and xml.count("Pixels>") == 1:  # all pages in their order
        return path, re.sub(r"</(\w+:|)Pixels>", r"<\1TiffData/>\g<0>", xml)
    # all planes are in one file: this one, which was renamed or written anew
    files = set(_UUID.findall(xml))
    if len(files) == 1 and f'UUID="{files.pop()}"' not in xml:
        return path, _UUID.sub("", xml)


def _sides(shape):
    return [n for n in shape if n != 1]


def _planes(series):
    return math.prod(series.shape[: -2 - ("S" in series.axes)])


def _doubts(tif, series, path):
    """Yield what is to be said of an image; raise ValueError unless it has all of its planes."""
    stored = [page.databytecounts if page else () for page in series.pages]
    if missing := sum(not any(counts) for counts in stored):
        root = ElementTree.fromstring(tif.ome_metadata or "<none/>")
        names = {element.get("FileName") for element in root.iter()} - {None}
        gone = ", ".join(sorted(name for name in names if not (path.parent / name).exists()))
        where = f", in {gone}, which should lie beside it" if gone else ""
        raise ValueError(f"{missing} of its {len(series.pages)} planes are missing{where}")
    if holes := sum(counts.count(0) for counts in stored):
        lost = f"{holes} of its {sum(map(len, stored))} strips or tiles are not there"
        yield f"{lost} and count as {series.keyframe.nodata}; if they were lost, copy it anew"
    announced = stored = _planes(series)
    if series.dataoffset is None:  # else they lie one behind the other
        stored = len(series.pages) * series.keyframe.size * announced // series.size
    announced = max(announced, (tif.imagej_metadata or {}).get("images", 1))
    if announced > stored:
        raise ValueError(f"it announces {announced} planes and holds {stored}")
    named = sum(len(each.pages) for each in tif.series)
    if tif.is_ome and len(tif.pages) > named:  # reduced copies may go unnamed
        pages = [tif.pages.get(i, aspage=True) for i in range(len(tif.pages))]
        whole = sum(not p.subfiletype & _ASIDE and p.shape == pages[0].shape for p in pages)
        if whole > named:
            yield f"its metadata name {named} of its {whole} planes; the others are not read"
    if (tif.micromanager_metadata or {}).get("MajorVersion", 0) > 1 and not tif.is_ndtiff:
        yield "its axes are in NDTiff.index, which is not there; its pages are taken for one stack"
    text = tif.pages[0].description
    if "<OME" in text and "</" in text and not tif.is_ome:
        yield "its metadata are cut short; its pages are taken for one stack of unknown voxel size"
    if (turned := series.keyframe.tags.valueof("Orientation", 1)) != 1:
        said = f"its tag to be shown turned or mirrored ({turned!r}) is ignored, as Fiji does"
        yield f"{said}; a kernel must lie as the stored pixels"


def _pixels(tif, series, path, memmap):
    """Return the pixels of an image as one should see them, and their axes."""
    page, axes, about = series.keyframe, series.axes.upper(), tif.imagej_metadata or {}
    # ImageJ has no signed integers: it stores them from 0 on
    means = [about.get(key) for key in ("cf", "c0", "c1")]
    signed = page.dtype == "u2" and means == [0, -(2**15), 1]
    plain = not signed and (tif.is_imagej or page.photometric not in _SHOWN_OTHERWISE)
    out = None
    if memmap and page.is_memmappable and (series.dataoffset or len(series.pages) == 1):
        out = "memmap"
    elif memmap:
        if plain and "S" not in axes and (lazy := _in_windows(series, path)) is not None:
            return lazy, axes
        out = scratch(series.shape, series.dtype)
    data = series.asarray(out=out)
    if signed:
        return _mapped(data, np.dtype("i2"), lambda part: part.astype("i4") - 2**15, memmap), axes
    return (data, axes) if plain else _as_seen(data, axes, page, memmap)


def _in_windows(series, path):
    """Return pixels that are unpacked as they are taken; None where it is better to unpack them once."""
    page = series.keyframe
    # what a window touches: all of each strip or tile
    window = [min(128, n) for n in page.shape[:2]]
    sides = zip(window, page.chunks, page.shape, strict=False)
    touched = [min(n + side - 1, most) for n, side, most in sides]
    if math.prod(touched) > _TOUCHED * math.prod(window):
        return None
    with suppress(ImportError):  # of the extra
        import zarr

        return Stored(zarr.open_array(series.aszarr(level=0), mode="r"), path)


def _described(tif, series):
    """Return what the metadata say of an image: um by axis, 0 where unknown, and names of channels."""
    if (pixels := _ome(tif, series)) is not None:
        lengths = {axis: pixels.get(f"PhysicalSize{axis}", 0) for axis in "ZYX"}
        units = {axis: pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"}
        names = [channel.get("Name") for channel in pixels.findall("{*}Channel")]
    else:
        lengths, units = _lengths(tif, series)
        about = tif.imagej_metadata or {}
        labels, n = about.get("Labels", []), about.get("channels", 1)  # of all planes
        labels = [labels] if isinstance(labels, str) else labels  # there is one
        names = labels[:n] if labels == labels[:n] * (len(labels) // n) else []
    sizes = {axis: to_um(axis, lengths[axis], units[axis], tif.filename) for axis in lengths}
    return sizes, names if all(names) else []


def _ome(tif, series):
    """Return the element of an OME-TIFF's metadata that describes an image; None if there is none."""
    with suppress(ElementTree.ParseError, IndexError):  # the first is said already
        if tif.is_ome:
            root, lost = ElementTree.fromstring(tif.ome_metadata), None
            found = root.findall(".//{*}Pixels")
            if len(found) == len(tif.series):  # else some are of files that are not there
                found = [found[tif.series.index(series)]]
            kept = [[item for item in each.items() if "Physical" in item[0]] for each in found]
            if (elsewhere := root.find("{*}BinaryOnly")) is not None:
                lost = f"its metadata are in {elsewhere.get('MetadataFile')}, which is not there"
            elif series.kind in ("generic", "uniform"):
                lost = "its metadata do not fit its pages, which are taken for one stack"
            elif any(sizes != kept[0] for sizes in kept):
                lost = f"its metadata are of {len(found)} images, it holds {len(tif.series)}"
            if lost:
                warn(f"{tif.filename}: {lost}; give the voxel size in um")
            return None if lost else found[0]


def _lengths(tif, series):
    """Return lengths and their units by axis, of what is no OME-TIFF."""
    if tif.is_lsm:
        lengths = {axis: tif.lsm_metadata[f"VoxelSize{axis}"] for axis in "ZYX"}
        return lengths, dict.fromkeys(lengths, "m")
    if tif.is_stk:
        about = tif.stk_metadata
        lengths = {axis: about.get(f"{axis}Calibration", 0) for axis in "YX"}
        lengths["Z"] = next(iter(about.get("ZDistance", ())), 0)
        return lengths, dict.fromkeys(lengths, about.get("CalibrationUnits", ""))
    with suppress(ElementTree.ParseError):
        about = (tif.metaseries_metadata or {}).get("PlaneInfo", {})  # MetaMorph, too
        lengths = {axis: about.get(f"spatial-calibration-{axis.lower()}", 0) for axis in "YX"}
        if lengths["X"]:
            unit = about.get("spatial-calibration-units", "")
            return {"Z": 0, **lengths}, dict.fromkeys("ZYX", unit)
    shaped = tif.shaped_metadata[tif.series.index(series)] if series.kind == "shaped" else {}
    about, tags = tif.imagej_metadata or shaped, series.keyframe.tags
    # ImageJ leaves out a step of 1.0; tifffile, as whose 1.11a this package writes, one that is unknown
    imagej = about.get("slices", 1) > 1 and about.get("ImageJ") not in (None, "1.11a")
    unit, lengths = about.get("unit") or "", {"Z": about.get("spacing", 1.0 if imagej else 0)}
    for axis in "YX":
        pixels, length = tags.valueof(f"{axis}Resolution", (0, 1))
        lengths[axis] = length / pixels if pixels else 0
    printed = _PRINTED.get(tags.valueof("ResolutionUnit"), "")
    width = lengths["X"] * um_of(unit or printed)
    if not unit:
        unit, lengths["Z"] = printed if 0 < width < _FINEST_PRINT else "", 0
    elif um_of(unit) == um_of("inch") and width > _FINEST_PRINT:
        said = f"its pixels are {width:.3g} um wide, in {unit!r} as for a print"
        mend = "unless that is right, give the voxel size in um"
        warn(f"{tif.filename}: {said}; {mend}")
    units = {axis: about.get(f"{axis.lower()}unit", unit) for axis in lengths}
    if 0 < width < _FINEST < lengths["X"] * um_of(printed) < _FINEST_PRINT:
        units |= {"Y": printed, "X": printed}  # the tags have a unit of their own
    elif 0 < width < _FINE and um_of(unit) == 1 and printed in ("inch", "cm"):
        tags = f"{lengths['X'] * um_of(printed):.3g} um by the unit of its tags, {printed}"
        said = f"its pixels are {width:.3g} um wide by the unit in its text, {unit!r}, and {tags}"
        warn(f"{tif.filename}: {said}; give the voxel size in um")
    for axis in lengths:
        if length := shaped.get(f"PhysicalSize{axis}"):  # in OME's words
            lengths[axis], units[axis] = length, shaped.get(f"PhysicalSize{axis}Unit") or "um"
    return lengths, units


def _as_seen(data, axes, page, memmap):
    """Return what a page's photometric interpretation says of the stored values, and its axes."""
    colours, top = page.colormap, 2 ** min(page.bitspersample, 8 * data.dtype.itemsize) - 1
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        if data.dtype.kind in "bui":
            top = -1 if data.dtype.kind == "i" else top  # the sum of lowest and highest
            return _mapped(data, data.dtype, lambda part: top - part, memmap), axes
        said = "white is its lowest value, which has no meaning for floats"
        mend = "values are taken as stored: see that it is no negative"
        warn(f"{page.parent.filename}: {said}; {mend}")
        return data, axes
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
    said, logger, handler = [], logging.getLogger("tifffile"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append((record.levelno, record.getMessage()))
    with _logged:  # what other threads read is not of this file
        muted, level, below = logger.disabled, logger.level, logger.manager.disable
        filters = logger.filters
        logger.addHandler(handler)
        logger.disabled, logger.filters = False, []  # whatever the application has muted
        logger.setLevel(logging.WARNING)  # or the root's would count
        logging.disable(min(below, logging.INFO))
        try:
            yield
        finally:
            logger.disabled, logger.filters = muted, filters
            logger.setLevel(level)
            logging.disable(below)
            logger.removeHandler(handler)
    tags = [text for _, text in said if _TAG.search(text)]
    errors = [text for level, text in said if level >= logging.ERROR and text not in tags]
    if pixels := [e for e in errors if not any(fault in e for fault in _FAULTS)]:
        raise ValueError(pixels[0])
    if errors:
        lost = "its pages are taken for one stack of unknown voxel size"
        why = errors[0].split(" raised ")[-1]
        warn(f"{path.name}: its metadata can't be read ({why}); {lost}")
    if tags:
        why = tags[0].split(" raised ")[-1]
        warn(f"{path.name}: a tag can't be read ({why})")
    for _, text in said:
        if any(lost in text for lost in _LOST):
            text = f"{text.split('> ')[-1]}; see that its planes are right"
            warn(f"{path.name}: {text}")


def write_tiff(path, data, axes, voxel_size=None, ome=False, names=()):
    """Write pixels to a TIFF that opens in Fiji with axes, voxel size and channel names; see `write_image`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> write_tiff(path, np.eye(4, dtype=np.float32), "YX")
    >>> read_tiff(path)[0].shape
    (4, 4)
    """
    shape, options = _options(data.shape, data.dtype, axes, voxel_size, ome, names)
    tifffile.imwrite(path, data.reshape(shape), **options)


def create_tiff(path, shape, dtype, axes, voxel_size=None, ome=False, names=()):
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
    full, options = _options(shape, dtype, axes, voxel_size, ome, names)
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


def _options(shape, dtype, axes, voxel_size, ome, names=()):
    """Return the shape and the options for tifffile to write an image: as ImageJ, OME or tifffile itself."""
    sizes = zip(axes, voxel_size or (), strict=False)
    known = {axis: size for axis, size in sizes if size}
    large = math.prod(shape) * dtype.itemsize > _CLASSIC_LIMIT
    how, about = {"photometric": "minisblack", "bigtiff": large}, {"axes": axes}
    if ome or (dtype in _OME and (large or dtype not in _IMAGEJ)):
        for axis, size in known.items():
            about |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        about |= {"Channel": {"Name": names}} if names else {}
        return shape, {"metadata": about, "ome": True, **how}
    if known:
        how["resolution"] = [1 / known[axis] if axis in known else 0 for axis in "XY"]
        about |= {"unit": "um"} | ({"spacing": known["Z"]} if "Z" in known else {})
    if dtype not in _IMAGEJ:
        return shape, {"metadata": about, "resolutionunit": 1, **how}
    # all six axes of ImageJ: otherwise a last axis of length 1 would be read as samples
    sides = dict(zip(axes, shape, strict=True))
    shape = tuple(sides.get(axis, 1) for axis in "TZCYXS")
    about |= {"axes": "TZCYXS"}
    if names:  # of every plane
        about["Labels"] = names * (math.prod(shape[:3]) // len(names))
    return shape, {"metadata": about, "imagej": True, **how}
