"""Reading and writing TIFF and PNG files, preserving pixels, dtype, axes and voxel size."""

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from siamdecon.expect import Words, expect, expect_index, expect_module
from siamdecon.files.atomic import check_suffix, check_writable, claimed, is_zarr, write_atomically
from siamdecon.files.stores import read_zarr, write_zarr
from siamdecon.files.tiff import holds, read_tiff, write_tiff
from siamdecon.files.units import to_um

SUFFIXES = (".tif", ".tiff", ".png", ".zarr")
#: Other names of TIFFs: BigTIFF, Zeiss LSM, MetaMorph.
TIFFS = (".btf", ".tf2", ".tf8", ".lsm", ".stk")
#: What bioio reads, and the package that each format needs.
FORMATS = {".czi": "bioio-czi", ".nd2": "bioio-nd2", ".lif": "bioio-lif"}
FORMATS |= dict.fromkeys([".dv", ".r3d"], "bioio-dv")


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """An image with the metadata of its file; usable wherever an array is.

    Parameters
    ----------
    data : ndarray or Stored, shape (y, x) or (z, y, x)
        The pixels, in the file's dtype; see `read_image`.
    axes : {"YX", "ZYX"}
        The meaning of each dimension.
    voxel_size : tuple of (float or None), optional
        um along each axis, in the order of `axes`; None where unknown.
    path : pathlib.Path, optional
        The file that the image was read from.
    credit : str, optional
        What it shows, who made it, its licence and its source, where known.
    channel : str, optional
        The name of the channel, where known.
    position : tuple of float, optional
        um of the first voxel along each axis, where an OME-Zarr says it; another one keeps it.

    Raises
    ------
    ValueError
        If `axes`, `voxel_size` or `position` do not fit `data`, or some of it is masked.

    Examples
    --------
    >>> image = Image(np.zeros((4, 6), np.uint8), "YX", voxel_size=(0.1, 0.1))
    >>> image, float(np.mean(image))
    (Image(4 x 6 uint8, axes YX, voxel size (0.1, 0.1) um), 0.0)
    """

    data: np.ndarray
    axes: str
    voxel_size: tuple[float | None, ...] | None = None
    path: Path | None = None
    credit: str | None = None
    channel: str | None = None
    position: tuple[float, ...] | None = None

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    # in native byte order, whatever that of the file
    dtype = property(lambda self: self.data.dtype.newbyteorder("="))

    def __post_init__(self):
        if self.axes not in ("YX", "ZYX") or len(self.axes) != self.ndim:
            mend = "say 'YX' for a plane (y, x) or 'ZYX' for a stack (z, y, x)"
            raise ValueError(f"axes {self.axes!r} do not fit data of shape {self.shape}: {mend}")
        if np.ma.is_masked(self.data):
            raise ValueError("data: expected pixels without a mask; put values in their place")
        sizes = (None,) * self.ndim if self.voxel_size is None else tuple(self.voxel_size)
        lengths = all(size is None or 0 < size < np.inf for size in sizes)
        if len(sizes) != self.ndim or not lengths:
            mend = "give one positive length in um per axis, None where it is unknown"
            raise ValueError(f"voxel_size {self.voxel_size} does not fit axes {self.axes}: {mend}")
        sizes = tuple(None if size is None else float(size) for size in sizes)
        object.__setattr__(self, "voxel_size", sizes if any(sizes) else None)
        place = (0,) * self.ndim if self.position is None else self.position
        known = np.shape(place) == (self.ndim,) and np.isfinite(place).all()
        expect(known, "position", "um along each axis", self.position)

    def __getstate__(self):
        """Leave what lies on disk there, for another process to open it again."""
        return {k: v for k, v in vars(self).items() if k != "data" or "_again" not in vars(self)}

    def __getattr__(self, name):
        if name != "data" or "_again" not in vars(self):
            raise AttributeError(f"an Image has no {name}")
        return vars(self).setdefault("data", self._again().data)

    def __array__(self, dtype=None, copy=None):
        if copy is None:  # "if needed" in NumPy 2; NumPy 1 does not accept None
            return np.asarray(self.data, dtype=dtype)
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self):
        size = f"{self.voxel_size} um" if self.voxel_size else "unknown"
        shape = " x ".join(map(str, self.shape))
        return f"Image({shape} {self.dtype}, axes {self.axes}, voxel size {size})"


def read_image(path, *, memmap=False, channel=None, time=None, scene=None):
    """Read a plane or a stack from a TIFF, a PNG or an OME-Zarr, or from a microscope's own format.

    Axes and voxel size come from the metadata; the pages of a plain TIFF are taken as z. Axes of length 1
    are dropped. A colour image with equal channels and no transparency is read as grey.

    Parameters
    ----------
    path : str or path-like
        A TIFF (also .lsm, .stk, .btf, .tf2, .tf8) or a PNG, which its content tells apart; with the extra
        `zarr` an OME-Zarr, with `formats` also .czi, .nd2, .lif, .dv, .r3d.
    memmap : bool
        Leave the pixels on disk, read-only and in the file's byte order: a TIFF is memory-mapped, an OME-Zarr
        read as windows of it are taken (`siamdecon.files.stores.Stored`), and so is a compressed TIFF if the
        extra `zarr` is there and what a window touches is not much larger than it; any other is unpacked to a
        temporary file.
    channel, time : int, optional
        Which channel or colour, and which time point, of a file with several; from 0. A channel may be
        given by its name.
    scene : int, optional
        Which image, of a file with several of different shape, kind or place; from 0, or its name.

    Returns
    -------
    Image
        Pixels of shape (y, x) or (z, y, x) in the file's dtype, voxel size in um.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another format, damaged, or has several channels, times or scenes and none is chosen.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> stack = np.zeros((5, 16, 16), np.uint16)
    >>> path = write_image(Path(folder.name, "a.tif"), stack, voxel_size=(0.3, 0.1, 0.1))
    >>> read_image(path)
    Image(5 x 16 x 16 uint16, axes ZYX, voxel size (0.3, 0.1, 0.1) um)
    """
    path = Path(path)
    return _one(path, _read(path, memmap, scene), memmap, channel, time, scene)


def read_each(path, *, memmap=False, channel=None, time=None, scene=None):
    """Read one image after the other of a file with several channels or times, which is opened once.

    Parameters
    ----------
    path, memmap, scene
        See `read_image`.
    channel, time : int or "all", optional

    Returns
    -------
    list of (channel, time, Image)
        The channels of the first time, then those of the next.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = write_image(Path(folder.name, "a.tif"), np.eye(16, dtype=np.uint8))
    >>> read_each(path, channel="all")
    [(0, None, Image(16 x 16 uint8, axes YX, voxel size unknown))]
    """
    path = Path(path)
    read = _read(path, memmap, scene)
    sides = dict(zip(read[1], read[0].shape, strict=True))
    n = sides.get("S", 1)
    if n in (2, 4) and not np.ptp(read[0].take(-1, read[1].index("S"))):
        n -= 1  # opacity
    c = sides.get("C", 1)
    sizes = {"C": c if c > 1 else n, "T": sides.get("T", 1)}
    channels, times = (
        range(sizes[axis]) if index == "all" else [_number(index, read[3])]
        for axis, index in (("C", channel), ("T", time))
    )
    return [(c, t, _one(path, read, memmap, c, t, scene)) for t in times for c in channels]


def _number(index, names):
    """Return a number that is a word of a command line, unless it is a name, as a number."""
    return int(index) if str(index).isdecimal() and index not in names else index


def _one(path, read, memmap, channel, time, scene):
    """Return the image of one channel and one time."""
    data, axes, sizes, names = read
    starts = getattr(data, "starts", {})
    sides = dict(zip(axes, data.shape, strict=True))
    if channel is not None and "S" in axes and sides.get("C", 1) == 1:
        axes = axes.replace("C", "I").replace("S", "C")  # colours are channels, too
        sides = dict(zip(axes, data.shape, strict=True))
    names = names if len(names) == sides.get("C", 1) else ()
    stack = "; if they are planes along z, say so in Fiji, Image > Properties"
    mend = stack if axes in ("CYX", "TYX") else ""
    for axis, name, index, known in (("T", "time", time, ()), ("C", "channel", channel, names)):
        place = expect_index(name, index, sides.get(axis, 1), path.name, known, mend)
        if axis in axes:
            data, axes = _taken(data, axes, axes.index(axis), place)
    with _readable(path):  # of a Dask array only now
        data = data if hasattr(data, "at") else np.asarray(data)
    data, axes = _spatial(path, data, axes)
    if is_zarr(path):
        data.check()
    if not memmap:  # Fiji writes big-endian files; torch needs native byte order
        data = np.ascontiguousarray(data, data.dtype.newbyteorder("="))
    sizes = [sizes.get(axis) or None for axis in axes]
    start = tuple(starts.get(axis, 0.0) for axis in axes)
    known = any(start) and np.isfinite(start).all()
    about = {"channel": names[place] if names else None, "position": start if known else None}
    image = Image(data, axes, sizes, path, **about)
    if memmap and not is_zarr(path):
        which = {"channel": channel, "time": time, "scene": scene}
        vars(image)["_again"] = partial(read_image, path.resolve(), memmap=True, **which)
    return image


def _read(path, memmap, scene):
    """Return all pixels of a file, a letter for each axis, um by axis, and names of channels."""
    if not path.exists() or (path.is_dir() and not is_zarr(path)):
        mend = "make a stack of its planes, in Fiji by File > Import > Image Sequence"
        folder = f" (it is a folder; {mend})" * path.is_dir()
        raise FileNotFoundError(f"there is no file {path}{folder}")
    if path.suffix and not is_zarr(path):
        check_suffix(path, (*SUFFIXES, *TIFFS, *FORMATS), "open it in Fiji and save it as TIFF")
    with _readable(path):
        if path.suffix.lower() in FORMATS:
            return _read_format(path, scene)
        if is_zarr(path):
            return read_zarr(path, scene)
        with open(path, "rb") as file:
            png = file.read(4) == b"\x89PNG"
        return _read_png(path) if png else read_tiff(path, memmap, scene)


@contextmanager
def _readable(path):
    """Raise ValueError for what the decoders raise, which is almost of any type."""
    try:
        yield
    except Exception as error:
        ours = ("scene: ", f"{path}: ", f"{path.name}: ", "cannot read ")  # in words of our own
        if str(error).startswith(ours) or isinstance(error, (MemoryError, PermissionError)):
            raise
        if getattr(error, "errno", None) == errno.ENOSPC:
            full = f"cannot unpack {path.name}: {error.strerror}"
            raise OSError(f"{full}; free some space or set TMPDIR to another folder") from error
        mend = "If it is complete and its extension right, open it in Fiji and save it as TIFF"
        if is_zarr(path):
            mend = "If it is complete, write its metadata anew, for example with ome-zarr"
        raise ValueError(f"cannot read {path}: {error}. {mend}") from error


def _read_format(path, scene):
    """Read what bioio reads; the pixels come as a Dask array, which reads what is taken of it."""
    plugin = FORMATS[path.suffix.lower()]
    bioio = expect_module("bioio", path.name, "formats")
    try:
        image = bioio.BioImage(path)
    except Exception as error:  # of a missing plug-in, or each plug-in's own
        mend = f'pip install "siamdecon[formats]" (bioio and {plugin}), or save it as TIFF'
        raise ValueError(f"cannot read {path} by bioio: {error}. {mend}") from error
    image.set_scene(expect_index("scene", scene, len(image.scenes), path.name, image.scenes))
    # the plug-in's own axes, but for tiles of a mosaic, which bioio puts together
    view = image if "M" in image.reader.dims.order else image.reader
    colour = "S" in view.dims.order  # bioio-czi 3.0.1 gives one of them three times
    expect(not colour, path.name, "grey values", Words("colours"), "save it as TIFF")
    sizes, about = image.physical_pixel_sizes, getattr(image, "dimension_properties", None)
    units = {axis: getattr(getattr(about, axis, None), "unit", None) or "um" for axis in "ZYX"}
    sizes = {a: to_um(a, getattr(sizes, a) or 0, units[a], path.name) for a in "ZYX"}
    return view.dask_data, view.dims.order, sizes, image.channel_names or ()


def _taken(data, axes, i, index):
    """Return the part at an index of the i-th axis, also of a memory map or a store, and its axes."""
    part = data.at(i, index) if hasattr(data, "at") else data[(*[slice(None)] * i, index)]
    return part, axes[:i] + axes[i + 1 :]


def write_image(path, image, *, axes=None, voxel_size=None, overwrite=False):
    """Write a plane or a stack, atomically.

    A TIFF opens in Fiji with axes and voxel size; above 4 GB, the limit of ImageJ's own format, and in
    dtypes that it does not have, it is written as OME-TIFF. A PNG does not store the voxel size.

    Parameters
    ----------
    path : str or path-like
        .tif or .tiff: integers and floats; .ome.tif: the same as OME-TIFF, but for float16 and integers of
        64 bits; .png: uint8, uint16 planes; .zarr: integers and floats, as OME-Zarr.
    image : Image or array_like, shape (y, x) or (z, y, x)
        The pixels, written unchanged.
    axes : {"YX", "ZYX"}, optional
        Default: those of an `Image`, otherwise by the number of dimensions.
    voxel_size : tuple of (float or None), optional
        um per axis, in the order of `axes`. Default: that of an `Image`, otherwise unknown.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    ValueError
        If the format cannot store this shape or dtype, or axes or voxel size do not fit.
    OSError
        If the file cannot be written there; see `check_writable`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write_image(Path(folder.name, "a.png"), np.eye(16, dtype=np.uint8)).name
    'a.png'
    """
    path = Path(path)
    with claimed(path, "path"):
        check_writable(path, overwrite, SUFFIXES)
        data = np.asanyarray(image)
        data = data.astype(data.dtype.newbyteorder("="), copy=False)
        told = image if isinstance(image, Image) else Image(data, axes or "ZYX"[-data.ndim :])
        names, like = [told.channel] if told.channel else (), told.path
        voxel_size = told.voxel_size if voxel_size is None else voxel_size
        axes = axes or told.axes
        image = Image(data, axes, voxel_size)  # refuses a mask
        data = np.asarray(data)  # a matrix keeps its two dimensions whatever is done to it
        check_storable(path, data.dtype, data.shape)
        if path.suffix.lower() == ".png":
            return write_atomically(path, lambda part: PIL.Image.fromarray(data).save(part, "PNG"))
        if is_zarr(path):
            # shown from the lowest value to the highest
            finite = data[np.isfinite(data)] if told.channel else np.zeros(0)
            shown = (
                (told.channel, finite.min().item(), finite.max().item()) if finite.size else None
            )
            form = (data, axes, image.voxel_size, None, like, told.position, shown)
            return write_atomically(path, lambda part: write_zarr(part, *form))
        how = (data, axes, image.voxel_size, is_ome(path), names)
        return write_atomically(path, lambda part: write_tiff(part, *how))


def is_ome(path):
    """Tell whether a path is that of an OME-TIFF.

    Examples
    --------
    >>> is_ome(Path("cells.ome.tif")), is_ome(Path("cells.tif"))
    (True, False)
    """
    return path.name.lower().endswith((".ome.tif", ".ome.tiff"))


def check_storable(path, dtype, shape):
    """Raise ValueError unless the file format of `path` can store pixels of this dtype and shape.

    Examples
    --------
    >>> check_storable(Path("cells.tif"), np.dtype("u2"), (9, 64, 64))
    >>> check_storable(Path("cells.png"), np.dtype("u2"), (9, 64, 64))
    Traceback (most recent call last):
    ValueError: a PNG holds one plane, not shape (9, 64, 64): write cells.tif
    """
    png = path.suffix.lower() == ".png"
    held = dtype in ("u1", "u2") if png else holds(dtype, is_ome(path))  # Zarr: as TIFF
    if not held or 0 in shape:
        mend = "choose uint8 or uint16 for a PNG, float32 or an integer of up to 32 bits for an OME-TIFF"
        raise ValueError(f"{path.name} cannot hold {dtype} of shape {shape}: {mend}")
    if png and len(shape) == 3:
        raise ValueError(f"a PNG holds one plane, not shape {shape}: write {path.stem}.tif")


def _spatial(path, data, axes):
    """Reduce to (y, x) or (z, y, x) by dropping redundant axes; raise ValueError for any other image."""
    arrived = f"{path} has shape {data.shape} with axes {axes}"
    if data.dtype.kind not in "buif":
        raise ValueError(f"{arrived} and dtype {data.dtype}: save it with real numbers")
    if "S" in axes:  # samples: grey or red, green, blue; then perhaps alpha
        data, axes = np.moveaxis(data, axes.index("S"), -1), axes.replace("S", "")
        colours = data.shape[-1] - (data.shape[-1] in (2, 4))
        opaque = 1 if data.dtype.kind in "bf" else np.iinfo(data.dtype).max
        if (data[..., :colours] != data[..., :1]).any() or (data[..., colours:] != opaque).any():
            mend = "pick one, channel=0 for the first, or make it grey (in Fiji, Image > Type)"
            if "axes S" in arrived:  # tifffile's guess of three or four planes
                mend += "; if these are planes, write them with photometric='minisblack'"
            raise ValueError(f"{arrived}, a colour image: {mend}")
        data = data[..., 0]
    for i in reversed(range(len(axes))):
        if axes[i] not in "YX" and data.shape[i] == 1:
            data, axes = _taken(data, axes, i, 0)
    axes = "ZYX" if axes in ("IYX", "QYX") else axes  # pages of unknown meaning
    if axes not in ("YX", "ZYX"):
        save = "save one of them as a separate file (in Fiji, Image > Duplicate)"
        relabel = "if z is mislabelled, set the slices in Image > Properties"
        raise ValueError(f"{arrived}; expected (y, x) or (z, y, x): {save}, or, {relabel}")
    return data, axes


def _read_png(path):
    """Return the pixels of a PNG: palettes looked up, 1 to 4 bits stretched to 8."""
    from imagecodecs import png_decode  # imported here: slow, and few files need it

    coded = path.read_bytes()
    still = b"\0\0\0\x08acTL" not in coded[: coded.find(b"IDAT")]
    expect(still, path.name, "a picture", Words("an animation"), "save it as a TIFF of its planes")
    data = png_decode(coded)
    return data, "YXS"[: data.ndim], {}, ()
