"""Reading and writing TIFF files with axes and voxel size, compatible with Fiji."""

import logging
import math
from contextlib import contextmanager
from xml.etree import ElementTree

import tifffile

# Length units in um. Both the micro sign U+00B5 and the Greek letter occur; Fiji escapes it.
_UM = dict.fromkeys(["um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer"], 1.0)
_UM |= {"pm": 1e-6, "å": 1e-4, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0}
_CLASSIC_LIMIT = 2**32 - 2**25  # bytes; ImageJ's own TIFF has 32-bit offsets


def read_tiff(path, memmap=False):
    """Read pixels, axes and voxel size of the one image in a TIFF.

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
        um along "Z", "Y", "X"; 0, NaN or missing where unknown.

    Raises
    ------
    ValueError
        If it is truncated, or holds more than one image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> write_tiff(path, np.zeros((5, 16, 16), np.uint8), "ZYX", (0.3, 0.1, 0.1))
    >>> read_tiff(path)[2]["Z"]
    0.3
    """
    with _raising_logged_errors(), tifffile.TiffFile(path) as tif:
        if len(tif.series) != 1:
            found = f"it holds {len(tif.series)} images of different shape or kind"
            raise ValueError(f"{found}; save the one you want as a separate file")
        series = tif.series[0]
        return series.asarray(out="memmap" if memmap else None), series.axes, _voxel_size(tif)


@contextmanager
def _raising_logged_errors():
    """Raise what tifffile only logs: it ignores truncated pages or tags and returns what is left."""
    errors, logger, handler = [], logging.getLogger("tifffile"), logging.Handler(logging.ERROR)
    handler.emit = lambda record: errors.append(record.getMessage())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    if errors:
        raise ValueError(errors[0])


def _voxel_size(tif):
    """Return um by axis; 0 or NaN where unknown. A plain TIFF's resolution tags concern printing."""
    lengths, units = {}, {}
    if tif.is_ome:
        pixels = ElementTree.fromstring(tif.ome_metadata).find(".//{*}Pixels")
        lengths = {axis: pixels.get(f"PhysicalSize{axis}", 0) for axis in "ZYX"}
        units = {axis: pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"}
    elif tif.is_imagej:
        metadata, tags = tif.imagej_metadata, tif.pages[0].tags
        lengths["Z"] = metadata.get("spacing", 0)
        for axis in "YX":
            pixels, length = tags.valueof(f"{axis}Resolution", (0, 1))
            lengths[axis] = length / pixels if pixels else 0
        unit = metadata.get("unit", "")
        units = {axis: metadata.get(f"{axis.lower()}unit", unit) for axis in "ZYX"}
    return {a: float(lengths[a]) * _UM.get(str(units[a]).strip().lower(), 0) for a in lengths}


def write_tiff(path, data, axes, voxel_size=None):
    """Write pixels to a TIFF that opens in Fiji with axes and voxel size; see `write_image`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> write_tiff(path, np.eye(4, dtype=np.float32), "YX")
    >>> read_tiff(path)[0].shape
    (4, 4)
    """
    shape, options = _options(data.shape, data.nbytes, axes, voxel_size)
    tifffile.imwrite(path, data.reshape(shape), **options)


def create_tiff(path, shape, dtype, axes, voxel_size=None):
    """Create a TIFF of zeros and return its pixels as a writable memory map.

    The format is that of `write_tiff`; nothing is checked, and the file is not written atomically.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp(), "a.tif")
    >>> create_tiff(path, (4, 16, 16), np.dtype("u2"), "ZYX")[2, 3, 4] = 7
    >>> int(read_tiff(path)[0].sum())
    7
    """
    full, options = _options(shape, math.prod(shape) * dtype.itemsize, axes, voxel_size)
    return tifffile.memmap(path, shape=full, dtype=dtype, **options).reshape(shape)


def _options(shape, nbytes, axes, voxel_size):
    """Return the shape and the options for tifffile to write an image."""
    sizes = dict(zip(axes, voxel_size or (), strict=False))
    known = {axis: size for axis, size in sizes.items() if size}
    if nbytes > _CLASSIC_LIMIT:
        kind, metadata = {"ome": True, "bigtiff": True}, {"axes": axes}
        metadata |= {f"PhysicalSize{axis}": size for axis, size in known.items()}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in known}
    else:  # all six axes of ImageJ: otherwise a last axis of length 1 would be read as samples
        planes = shape[0] if len(shape) == 3 else 1
        shape = (1, planes, 1, *shape[-2:], 1)
        kind, metadata = {"imagej": True}, {"axes": "TZCYXS"}
        if known:
            kind["resolution"] = [1 / known[axis] if axis in known else 0 for axis in "XY"]
            metadata |= {"unit": "um"} | ({"spacing": known["Z"]} if "Z" in known else {})
    return shape, {"photometric": "minisblack", "metadata": metadata, **kind}
