"""OME-Zarr: images in chunks, read as they are taken, and written a chunk at a time."""

import hashlib
import itertools
import math
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from siamdecon.expect import Words, expect, expect_index, expect_module, warn
from siamdecon.files.atomic import ABOUT, is_store, is_zarr, remove, replace, write_atomically
from siamdecon.files.units import cast, to_um, um_of

#: Side of a chunk by number of dimensions.
CHUNK = {2: 1024, 3: 128}
#: Longest side of the coarsest resolution.
SMALL = 512


class Stored:
    """Pixels of a Zarr array, read as windows of them are taken; what an `Image` holds in place of an array.

    Parameters
    ----------
    array : zarr.Array
    path : Path
        For messages.
    place : tuple, optional
        What it shows of each axis of the array: a number, or all of it.
    starts : dict of str to float, optional
        um of the array's first voxel along "Z", "Y", "X", where an image says it.

    Examples
    --------
    >>> import zarr
    >>> pixels = Stored(zarr.array(np.arange(24).reshape(2, 3, 4)), Path("a.zarr")).at(0, 1)
    >>> pixels.shape, pixels[1:2, :2]
    ((3, 4), array([[16, 17]]))
    """

    complete = False

    def __init__(self, array, path, place=None, starts=None):
        self.array, self.path, self.starts = array, path, starts or {}
        self.place = place or (slice(None),) * array.ndim

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self._of(self.array.shape))
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    chunks = property(lambda self: self._of(self._grid))
    #: What is read and written as one: a chunk, or a shard of several.
    _grid = property(lambda self: self.array.shards or self.array.chunks)

    def __getitem__(self, window):
        """Read a window, or a number or a step of each axis; as NumPy counts, but forwards only."""
        window = self._counted(window)
        try:
            if self.complete and (gone := next(self.missing(window), None)):
                raise OSError(f"{gone[1]} was there, and is gone")
            codecs = {type(codec).__name__ for codec in self.array.compressors}
            if self.array.shards is None and codecs & {"Blosc", "BloscCodec"}:  # of Zarr 2 and 3
                self._check_blosc(window)
            return np.asarray(self.array[self._in_array(window)])
        except MemoryError:
            raise
        except Exception as error:  # the codecs raise exceptions of almost any type
            broken = f"cannot read {self.path}: {error or type(error).__name__}"
            raise ValueError(f"{broken}. Copy or make it anew") from error

    def __setitem__(self, window, pixels):
        self.array[self._in_array(window)] = pixels

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[()], dtype)

    def at(self, axis, index):
        """Return its part at an index of an axis; nothing is read."""
        window = (*[slice(None)] * axis, int(index))
        return Stored(self.array, self.path, self._in_array(window))

    def check(self):
        """Warn of chunks that are not there, or raise ValueError if nothing is said of their values.

        A store leaves out chunks that are all fill value, so that missing ones may be right. If none is
        missing now, one that is later is an error: it would be read as fill value, too.
        """
        value, missing = self.array.metadata.fill_value, sum(1 for _ in self.missing())
        self.complete = not missing
        if missing:
            got = f"{missing} of its chunks are not there"
            unknown = Words(f"{got}, and its metadata name no value for them")
            expect(value is not None, str(self.path), "all chunks", unknown, "copy it anew")
            count = f"count as {value}, its fill value; if they were lost, copy it anew"
            warn(f"{self.path.name}: {got} and {count}")

    def missing(self, window=()):
        """Yield place in the array, and file, of those chunks of a window that are not there."""
        return (each for each in self._files(window) if not each[1].exists())

    def _check_blosc(self, window):
        """Raise OSError if a chunk is cut short: Blosc would read on in what lies behind it in memory."""
        for _, file in self._files(window):
            # a chunk that is not there is fill value
            with suppress(FileNotFoundError), file.open("rb") as chunk:
                size = int.from_bytes(chunk.read(16)[12:], "little")
                if file.stat().st_size < max(16, size):
                    raise OSError(f"{file} is cut short")

    def _files(self, window):
        """Yield place in the array, and file, of the chunks of a window."""
        shape, grid, sides = self.array.shape, self._grid, []
        for n, side, p in zip(shape, grid, self._in_array(window), strict=True):
            first, stop, _ = p.indices(n) if isinstance(p, slice) else (p, p + 1, 1)
            sides.append(range(first // side, -(-stop // side)))
        folder = Path(self.array.store.root, self.array.path)
        for chunk in itertools.product(*sides):
            places = zip(chunk, grid, shape, strict=True)
            place = tuple(slice(i * side, min(n, (i + 1) * side)) for i, side, n in places)
            yield place, folder / self.array.metadata.encode_chunk_key(chunk)

    def _counted(self, window):
        """Return a window without ellipsis or negative numbers; raise IndexError if it is outside."""
        window = window if isinstance(window, tuple) else (window,)
        dots = next((i for i, p in enumerate(window) if p is Ellipsis), None)
        if dots is not None:
            between = (slice(None),) * (self.ndim - len(window) + 1)
            window = window[:dots] + between + window[dots + 1 :]
        sides = list(zip(window, self.shape, strict=False))
        inside = all(isinstance(p, slice) or -n <= p < n for p, n in sides)
        if not inside or len(window) > self.ndim:
            raise IndexError(f"{window} is outside of pixels of shape {self.shape}")
        return tuple(p if isinstance(p, slice) else p % n for p, n in sides)

    def _in_array(self, window):
        """Return the place in the array of a window of what is shown."""
        window = iter(window if isinstance(window, tuple) else (window,))
        return tuple(next(window, p) if isinstance(p, slice) else p for p in self.place)

    def _of(self, numbers):
        return tuple(n for n, p in zip(numbers, self.place, strict=True) if isinstance(p, slice))


def read_zarr(path, scene=None):
    """Read axes, voxel size and names of channels of one image in an OME-Zarr, of its largest resolution.

    Versions 0.1 to 0.5 of the metadata, on Zarr 2 and 3, and several images as bioformats2raw lays them out.

    Parameters
    ----------
    path : pathlib.Path
    scene : int, optional
        See `siamdecon.files.images.read_image`.

    Returns
    -------
    data : Stored
    axes : str
        One letter per dimension.
    sizes : dict of str to float
        um along "Z", "Y", "X"; 0 or missing where unknown.
    names : list of str
        Of the channels; empty where unknown.

    Raises
    ------
    ValueError
        If it is no OME-Zarr, its axes are missing or unknown, or it holds several images and none is chosen.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.zarr")
    >>> create_zarr(path, (5, 16, 16), np.dtype("u2"), "ZYX", (0.3, 0.1, 0.1))[2] = 7
    >>> data, axes, sizes, names = read_zarr(path)
    >>> int(data[2].sum()), axes, sizes["Z"]
    (1792, 'ZYX', 0.3)
    """
    name, form = str(path), f"a folder with one of {', '.join(ABOUT)}"
    expect(is_store(path), name, form, Words("none"), "copy it anew; unpack it if it is a zip")
    zarr = expect_module("zarr", name, "zarr")
    found = _multiscales(zarr.open(path.resolve(), mode="r"))
    mend = "name an image in it, such as plate.zarr/A/1/0, or add them with ome-zarr or ngff-zarr"
    expect(found, name, "metadata of an image (multiscales)", Words("none"), mend)
    scenes = [about.get("name") or group.path for group, about in found]
    group, about = found[expect_index("scene", scene, len(found), path.name, scenes)]
    finest = about["datasets"][0]
    array = group[finest["path"]]
    axes = about.get("axes")
    if axes is None and array.ndim == 5 and about.get("version") in ("0.1", "0.2"):
        axes = "tczyx"  # which these versions do not say, since there are no others
    expect(axes, name, "axes, such as z, y, x", Words("none"), "write them to its metadata")
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    names = [str(axis["name"]).upper() for axis in axes]
    letters = "".join(letter if letter in "TCZYX" else "Q" for letter in names)
    known = len(letters) == array.ndim == len(set(names))  # one of length 1 may have any name
    known &= all(a != "Q" or n == 1 for a, n in zip(letters, array.shape, strict=False))
    space = [letter for letter in letters if letter in "ZYX"]
    known &= space == sorted(space, reverse=True)
    got = Words(f"{', '.join(names).lower()} for an array of shape {array.shape}")
    order = "axes of t, c, z, y, x, one for each side, the last three in this order"
    expect(known, name, order, got, "write it anew so")
    changes = [c for level in (finest, about) for c in level.get("coordinateTransformations") or ()]
    known = {change["type"] for change in changes} <= {"identity", "scale", "translation"}
    told = [(c["type"], c.get(c["type"])) for c in changes if c["type"] != "identity"]
    known &= all(np.shape(numbers) == (array.ndim,) for _, numbers in told)
    expect(known, name, "a scale for each axis, and translations", changes, "write them so")
    # a size of 0 is unknown
    scales = [numbers for kind, numbers in told if kind == "scale"] or [[0] * array.ndim]
    scale, start, sizes, starts = np.prod(scales, axis=0), np.zeros(array.ndim), {}, {}
    for kind, numbers in told:  # one after the other
        start = start * numbers if kind == "scale" else start + numbers
    each = zip(names, axes, scale.tolist(), start.tolist(), strict=True)
    for letter, axis, size, first in each:
        if letter in "ZYX":
            # without a unit, a size of other than 1 is said to be unknown
            unit = axis.get("unit") or ("" if size == 1 else "no unit")
            sizes[letter] = to_um(letter, size, unit, path.name)
            starts[letter] = first * um_of(unit) if size else 0.0
    channels = _about(group).get("omero", {}).get("channels") or []
    labels = [c["label"] for c in channels if c.get("label")]
    return Stored(array, path, starts=starts), letters, sizes, labels


def create_zarr(
    path, shape, dtype, axes, voxel_size=None, side=None, like=None, position=None, channel=None
):
    """Create an OME-Zarr, compressed, and return its finest resolution, to be written in windows.

    The others, which viewers show first, are for `coarser` to write. In each, two voxels along an axis are
    one, except along an axis whose voxels are twice as long as others; until no side exceeds `SMALL`.

    Nothing is checked, and the store is not written atomically. Whoever writes two windows at once has them
    end at borders of chunks.

    Parameters
    ----------
    path : pathlib.Path
    shape, dtype, axes, voxel_size
        See `siamdecon.files.images.write_image`.
    side : int, optional
        Of a chunk.
    like : pathlib.Path, optional
        A file or a store: if it is a Zarr of version 2, this is one, too, with metadata of version 0.4, which
        more programs read; else it is of version 3, with metadata of version 0.5.
    position : tuple of float, optional
        um of the first voxel along each axis.
    channel : tuple of (str, float, float), optional
        Its name, and the values that viewers show as black and as white.

    Returns
    -------
    Stored
    """
    sizes, two = voxel_size or (None,) * len(axes), bool(like and (like / ".zgroup").exists())
    units = [{"unit": "micrometer"} if size else {} for size in sizes]
    space = [{"name": a, "type": "space", **u} for a, u in zip(axes.lower(), units, strict=True)]
    group = expect_module("zarr", path.name, "zarr").create_group(path, zarr_format=3 - two)
    keys = {"name": "v2" if two else "default", "separator": "/"}
    form = {"dtype": dtype, "chunk_key_encoding": keys, "fill_value": 0}
    form |= {"dimension_names": None if two else list(axes.lower())}
    finest, datasets = np.array([size or 1.0 for size in sizes]), []
    origin = 0.0 if position is None else np.asarray(position)
    for number, (m, scale) in enumerate(_resolutions(shape, finest)):
        chunks = tuple(min(n, side or CHUNK[len(m)]) for n in m)
        group.create_array(str(number), shape=m, chunks=chunks, **form)
        # the first voxel lies in the middle of those that it is the mean of
        start, change = origin + (scale - finest) / 2, [{"type": "scale", "scale": scale.tolist()}]
        change += [{"type": "translation", "translation": start.tolist()}]
        datasets.append({"path": str(number), "coordinateTransformations": change})
    image, more = {"axes": space, "datasets": datasets}, {}
    if channel:
        name, low, high = channel
        window = {"min": low, "max": high, "start": low, "end": high}
        more = {"omero": {"channels": [{"label": name, "color": "FFFFFF", "window": window}]}}
    old = {"multiscales": [{"version": "0.4", **image}], **more}
    group.attrs.put(old if two else {"ome": {"version": "0.5", "multiscales": [image], **more}})
    return resolutions(path)[0]


def _resolutions(shape, sizes):
    """Yield shape and voxel size of each resolution, the finest first."""
    yield shape, sizes
    while max(shape) > SMALL:
        long = np.array(shape) > 1
        by = 1 + (long & (sizes < 2 * sizes[long].min()))
        shape, sizes = tuple((-(-np.array(shape) // by)).tolist()), sizes * by
        yield shape, sizes


def resolutions(path):
    """Return the pixels of each resolution of a store that `create_zarr` has created, the finest first."""
    zarr = expect_module("zarr", path.name, "zarr")
    # a chunk of zeros is written, too: what is not there was not written
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(path, mode="r+")
        return [Stored(group[str(number)], path) for number in range(len(group))]


def coarser(path):
    """Yield what writes a chunk of a resolution, and the chunks that it lacks, for each but the finest.

    Each is made of the one before it, which must be whole by then.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.zarr")
    >>> create_zarr(path, (3, 1024), np.dtype("u1"), "YX")[:] = 7
    >>> for write, chunks in coarser(path):
    ...     write(chunks[0])
    >>> [(pixels.shape, int(pixels[-1, -1])) for pixels in resolutions(path)]
    [((3, 1024), 7), ((2, 512), 7)]
    """
    for fine, coarse in itertools.pairwise(resolutions(path)):
        fine.complete = True  # what is lost, or what a worker does not see, would be read as 0
        yield partial(_average, fine, coarse), [chunk for chunk, _ in coarse.missing()]


def _average(fine, coarse, window):
    """Write a window of a resolution: means of the voxels of a finer one, at a border of those there are."""
    from skimage.measure import block_reduce  # imported here: slow

    by = tuple(1 + (n < m) for m, n in zip(fine.shape, coarse.shape, strict=True))
    pixels = fine[tuple(slice(f * p.start, f * p.stop) for f, p in zip(by, window, strict=True))]
    border = [(0, -n % factor) for n, factor in zip(pixels.shape, by, strict=True)]
    means = block_reduce(np.pad(pixels, border, "edge"), by, np.mean)
    coarse[window] = cast(means, coarse.dtype)


def write_zarr(path, data, *form):
    """Write pixels to an OME-Zarr, all resolutions of them; see `create_zarr` for the rest of its form."""
    create_zarr(path, data.shape, data.dtype, *form)[()] = data
    for write, chunks in coarser(path):
        for chunk in chunks:
            write(chunk)


@contextmanager
def unfinished(output):
    """Yield the folder of a store that takes long to write, `NAME.unfinished`, None for the path of a file.

    The store is in it until it is whole, so that a run that is interrupted or killed is gone on with; it goes
    with an error before anything is in it.

    Examples
    --------
    >>> with unfinished(Path("a.tif")) as folder:
    ...     print(folder)
    None
    """
    folder = output.resolve().with_name(f"{output.name}.unfinished")
    try:
        yield folder if is_zarr(output) else None
    except KeyboardInterrupt as stop:
        how = f"the same call goes on with {folder.name}" if folder.exists() else str(stop)
        raise KeyboardInterrupt(how) from stop
    finally:
        with suppress(OSError):
            folder.rmdir()


def take_up(folder, create, *settings):
    """Return the pixels of the unfinished store in a folder; begin anew unless the settings are the same.

    Which chunks are finished, their files tell: each appears whole.

    Parameters
    ----------
    folder : pathlib.Path
    create : callable
        Creates a store at a path.
    *settings : str or bytes
        All that the pixels depend on.

    Examples
    --------
    >>> import tempfile
    >>> output = Path(tempfile.mkdtemp(), "a.zarr")
    >>> def create(path):
    ...     create_zarr(path, (4, 16, 16), np.dtype("u2"), "ZYX", side=8)
    >>> with unfinished(output) as folder:
    ...     take_up(folder, create, "5 iterations")[:, :8] = 1
    >>> pixels = take_up(folder, create, "5 iterations")
    >>> [place[1] for place, _ in pixels.missing((slice(0, 4), slice(0, 16), slice(0, 8)))]
    [slice(8, 16, None)]
    >>> pixels[:, 8:] = 2
    >>> finish(pixels, output)
    >>> int(read_zarr(output)[0][:].max())
    2
    """
    # named by its settings: a worker of another run may still write to its own
    store = folder / f"{digest(*settings)}.zarr"
    if not store.exists():
        for old in folder.glob("*.zarr"):
            warn(f"{folder.name}: begun with other settings; begins anew")
            remove(old)
        folder.mkdir(exist_ok=True)
        write_atomically(store, create)
    return resolutions(store)[0]


def finish(pixels, output):
    """Give an unfinished store its name, or raise OSError if a chunk is not there."""
    if missing := sum(1 for level in resolutions(pixels.path) for _ in level.missing()):
        lost = f"{missing} of its chunks are not in {pixels.path}"
        raise OSError(f"cannot write {output.name}: {lost}; run it again")
    for part in pixels.path.rglob("*.partial"):  # zarr's, of a worker that was killed
        remove(part)
    replace(pixels.path, output.resolve())
    remove(pixels.path.parent)


def digest(*about):
    """Return what tells apart words or bytes.

    Examples
    --------
    >>> digest("a", b"b")
    '59b271ae1bbcb1d3'
    """
    parts = (part if isinstance(part, bytes) else part.encode() for part in about)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _about(group):
    """Return the metadata of a group, in version 0.5 one level down."""
    attributes = group.attrs.asdict()
    return attributes.get("ome", attributes)


def _multiscales(group):
    """Return each image of a group, or of the groups 0, 1, ... in it, with the group that it is in."""
    found = _about(group).get("multiscales")
    if found is not None or not hasattr(group, "members"):  # an array
        return [(group, about) for about in found or ()]
    numbered = itertools.takewhile(lambda name: name in group, map(str, itertools.count()))
    return [image for name in numbered for image in _multiscales(group[name])]
