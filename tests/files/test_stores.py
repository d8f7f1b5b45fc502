"""OME-Zarr and compressed TIFF: read in windows, written in chunks, and what is wrong with a store is said.

Stores are written and read back here by zarr itself, with metadata as the specification has them.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from siamdecon import deconvolve, deconvolve_file, read_image, write_image
from siamdecon.cli import main
from siamdecon.files import stores
from siamdecon.files.images import Image, read_each
from siamdecon.files.on_disk import look_through, write_window
from siamdecon.files.phantoms import filaments
from siamdecon.files.stores import Stored
from siamdecon.network.training import steps_taken

PSF = np.ones((3, 5, 3)) / 45
VOXEL = (0.5, 0.2, 0.25)
STACK = 900 * filaments((38, 90, 70), 1) + np.random.default_rng(0).normal(200, 30, (38, 90, 70))
STACK = STACK.clip(0).astype(np.uint16)
#: By version of the metadata, that of Zarr.
VERSIONS = {"0.4": 2, "0.5": 3}
LENGTHS = {"type": "space", "unit": "micrometer"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIAMDECON_TIER", "test")
    write_image("in.tif", STACK, voxel_size=VOXEL)
    return tmp_path


def axis(name, unit="micrometer"):
    kinds = {"t": "time", "c": "channel"}
    length = {"unit": unit} if name in "zyx" and unit else {}
    return {"name": name, "type": kinds.get(name, "space"), **length}


def store(path, data=STACK, version="0.5", axes="zyx", scale=VOXEL, unit="micrometer", **how):
    """Write an image as the specification of a version of OME-Zarr has it."""
    about = {"axes": [axis(name, unit) for name in axes]}
    change = [{"type": "scale", "scale": list(scale)}]
    about["datasets"] = [{"path": "s0", "coordinateTransformations": change}]
    omero = {"channels": [{"label": label} for label in how.pop("labels", ())]}
    image = (
        {"multiscales": [about], "omero": omero} if omero["channels"] else {"multiscales": [about]}
    )
    about |= {} if version == "0.5" else {"version": version}
    image = {"ome": {"version": "0.5", **image}} if version == "0.5" else image
    zarr_format = VERSIONS[version]
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=image)
    names = {"dimension_names": list(axes)} if zarr_format == 3 else {}
    group.create_array("s0", data=data, **{"chunks": (16, 32, 32)[-data.ndim :], **names, **how})
    return path


def change(path, edit):
    """Edit the metadata of a store."""
    file = Path(path, "zarr.json" if Path(path, "zarr.json").exists() else ".zattrs")
    about = json.loads(file.read_text())
    edit(about["attributes"]["ome"] if "attributes" in about else about)
    file.write_text(json.dumps(about))


def restored(source="in.tif", output="out.zarr", method="richardson_lucy", **options):
    if method == "richardson_lucy":
        options = {"iterations": 1, **options}
    done = deconvolve_file(source, PSF, output, method, progress=False, **options)
    return (
        zarr.open_array(done / "0", mode="r")[:]
        if done.suffix == ".zarr"
        else tifffile.imread(done)
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("unit", "scale"), [("micrometer", VOXEL), ("nanometer", [1000 * s for s in VOXEL])]
)
def test_channels_and_times_are_read(version, unit, scale):
    data = np.stack([[STACK + 1, STACK + 2], [STACK + 3, STACK + 4]])
    scale, names = (1, 1, *scale), ["DAPI", "GFP"]
    chunks = (1, 1, 16, 32, 32)
    store("a.zarr", data, version, "tczyx", scale, unit, labels=names, chunks=chunks)
    for memmap in (False, True):
        image = read_image("a.zarr", channel=1, time=0, memmap=memmap)
        np.testing.assert_array_equal(image, STACK + 2)
        assert (image.axes, image.voxel_size) == ("ZYX", pytest.approx(VOXEL))
    assert [
        (c, t, int(i.data[0, 0, 0])) for c, t, i in read_each("a.zarr", channel="all", time=1)
    ] == [
        (0, 1, int(STACK[0, 0, 0]) + 3),
        (1, 1, int(STACK[0, 0, 0]) + 4),
    ]
    with pytest.raises(ValueError, match=r"2 of them \(DAPI, GFP\); channel=0 takes the first"):
        read_image("a.zarr", time=0)


def test_a_window_is_read_and_the_rest_left(folder):
    store("a.zarr", STACK[None], "0.5", "czyx", (1, *VOXEL), chunks=(1, 16, 32, 32))
    data = read_image("a.zarr", memmap=True).data
    shutil.rmtree("a.zarr/s0/c/0/2")  # the planes from 32 on
    assert isinstance(data, Stored)
    window = (slice(3, 9), slice(40, 90), slice(0, 11))
    np.testing.assert_array_equal(data[window], STACK[window])
    np.testing.assert_array_equal(data[5, ::7], STACK[5, ::7])
    assert (data.shape, data.ndim, data.size, data.chunks) == (
        STACK.shape,
        3,
        STACK.size,
        (16, 32, 32),
    )


#: Planes, small blocks that no window begins with, one for all, and blocks of blocks.
CHUNKS = [{"chunks": (1, 90, 70)}, {"chunks": (7, 13, 11)}, {"chunks": (38, 90, 70)}]
CHUNKS += [{"chunks": (8, 8, 8), "shards": (16, 32, 32)}]


@pytest.mark.parametrize("how", CHUNKS)
@pytest.mark.parametrize("version", VERSIONS)
def test_any_chunks_give_the_bits_that_a_tiff_gives(how, version, monkeypatch):
    if "shards" in how and version == "0.4":
        pytest.skip("Zarr 2 has no shards")
    monkeypatch.setattr("siamdecon.files.on_disk._SLAB", 20_000)  # layers deeper than a slab
    expected = restored(output="other.tif", tile=48)
    data = STACK.astype(">u2") if version == "0.4" else STACK  # as bioformats2raw writes it
    store("in.zarr", data, version, **how)
    np.testing.assert_array_equal(restored("in.zarr", tile=48), expected)
    ours, theirs = (json.loads(Path(name).read_text()) for name in ("out.json", "other.json"))
    assert ours["image"]["sha256_of_pixels"] == theirs["image"]["sha256_of_pixels"]


def test_a_look_through_a_store_is_that_through_an_array(monkeypatch):
    monkeypatch.setattr("siamdecon.files.on_disk._SLAB", 20_000)
    store("in.zarr", chunks=(16, 32, 32))
    taken, read = [], Stored.__getitem__
    monkeypatch.setattr(Stored, "__getitem__", lambda s, w: taken.append(w) or read(s, w))
    found = look_through(read_image("in.zarr", memmap=True))
    expected = look_through(Image(STACK, "ZYX"))
    for name in ("low", "high", "average", "deviation", "sha256", "lively"):
        assert getattr(found, name) == getattr(expected, name), name
    read = sum(STACK[window].size for window in taken)
    assert read <= STACK.size * 48 / 38 * 1.01  # each chunk once


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_is_as_the_specification_has_it(version):
    store("in.zarr", version=version)
    result = restored("in.zarr", "out.ome.zarr", dtype="source", tile=24)
    group = zarr.open_group("out.ome.zarr", mode="r")
    array, about = group["0"], group.attrs.asdict()
    if version == "0.5":
        assert set(about) == {"ome"} and about["ome"]["version"] == "0.5"
        assert array.metadata.dimension_names == ("z", "y", "x")
        about = about["ome"]
    else:
        assert about["multiscales"][0].pop("version") == "0.4"
    (image,) = about["multiscales"]
    assert image["axes"] == [axis(name) for name in "zyx"]
    change = [{"type": "scale", "scale": list(VOXEL)}]
    change += [{"type": "translation", "translation": [0, 0, 0]}]
    assert image["datasets"] == [{"path": "0", "coordinateTransformations": change}]
    assert array.metadata.zarr_format == VERSIONS[version]
    assert (array.dtype, array.chunks) == (np.uint16, (38, 90, 70))
    assert Path("out.ome.zarr/0").joinpath("c/0/0/0" if version == "0.5" else "0/0/0").is_file()
    assert array.compressors  # of 38 * 90 * 70 pixels
    assert Path("out.ome.json").exists() and not list(Path().glob(".siamdecon*"))
    image = read_image("out.ome.zarr")
    assert image.voxel_size == VOXEL
    np.testing.assert_array_equal(image.data, result)


def test_chunks_end_where_windows_do(monkeypatch):
    monkeypatch.setattr("siamdecon.restoration.CHUNK", {3: 40})
    expected = restored(output="other.tif", tile=24)
    np.testing.assert_array_equal(restored(tile=24), expected)
    array = zarr.open_array("out.zarr/0", mode="r")
    assert array.chunks == (38, 48, 48)
    assert array.nchunks_initialized == array.nchunks == 4


def test_an_array_of_zarrs_own_is_written():
    """It has a `path`, too, which is no file's."""
    array = zarr.open_group("a.zarr", mode="w").create_array("0", data=STACK)
    for name in ("b.zarr", "b.tif"):
        np.testing.assert_array_equal(read_image(write_image(name, array)), STACK)


@pytest.mark.parametrize("dtype", ["source", "float32"])
def test_a_dark_part_is_written_too(dtype):
    """zarr leaves out chunks that are all fill value, and what is not there counts as not finished."""
    dark = np.zeros((20, 200, 300), np.uint16)
    dark[:, 30:60, 30:60] = STACK[:20, 30:60, 30:60]
    write_image("in.zarr", dark)
    assert not restored("in.zarr", dtype=dtype, tile=64)[:, 128:].any()
    for name in ("in.zarr", "out.zarr"):
        array = zarr.open_array(f"{name}/0", mode="r")
        assert array.nchunks_initialized == array.nchunks == 6


#: Voxel size, and the shape of each resolution of 38 x 90 x 70 voxels until none is longer than 24.
RESOLUTIONS = [
    ((0.2, 0.2, 0.2), [(38, 90, 70), (19, 45, 35), (10, 23, 18)]),
    ((0.3, 0.2, 0.25), [(38, 90, 70), (19, 45, 35), (10, 23, 18)]),
    ((0.4, 0.2, 0.2), [(38, 90, 70), (38, 45, 35), (19, 23, 18)]),
    ((0.7, 0.2, 0.2), [(38, 90, 70), (38, 45, 35), (19, 23, 18)]),
    ((9.0, 0.2, 0.2), [(38, 90, 70), *[(38, -(-90 // n), -(-70 // n)) for n in (2, 4, 8, 16, 32)]]),
    (None, [(38, 90, 70), (19, 45, 35), (10, 23, 18)]),
]
RESOLUTIONS[4][1].append((19, 2, 2))


def halved(pixels, axis):
    """Return means of two along an axis, in float64; an odd one at the end stays as it is."""
    ends = np.arange(0, pixels.shape[axis], 2), np.arange(1, pixels.shape[axis] + 1, 2)
    both = (np.take(pixels, i.clip(max=pixels.shape[axis] - 1), axis) for i in ends)
    return sum(each.astype(np.float64) for each in both) / 2


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize(("voxel", "shapes"), RESOLUTIONS)
def test_each_resolution_is_the_mean_of_the_one_before_it(voxel, shapes, dtype, monkeypatch):
    monkeypatch.setattr("siamdecon.files.stores.SMALL", 24)
    monkeypatch.setattr("siamdecon.files.stores.CHUNK", {3: 15})
    stack = STACK if dtype == "uint16" else STACK.astype(dtype) / np.float32(3)
    write_image("a.zarr", stack, voxel_size=voxel)
    group = zarr.open_group("a.zarr", mode="r")
    (about,) = group.attrs["ome"]["multiscales"]
    arrays = [group[level["path"]] for level in about["datasets"]]
    assert [array.shape for array in arrays] == shapes
    sizes = zip(STACK.shape, voxel or (1, 1, 1), strict=True)
    centres = [np.arange(n) * size for n, size in sizes]
    for k, (array, level) in enumerate(zip(arrays, about["datasets"], strict=True)):
        assert array.chunks == tuple(min(n, 15) for n in array.shape)
        assert array.nchunks_initialized == array.nchunks and array.dtype == dtype
        scale, translation = (list(c.values())[1] for c in level["coordinateTransformations"])
        for axis, n in enumerate(array.shape):
            if k and n < arrays[k - 1].shape[axis]:
                centres[axis] = halved(centres[axis], 0)
            inner = slice(n - 1 if n > 1 else 1)  # the last one may stand for fewer
            found = np.arange(n)[inner] * scale[axis] + translation[axis]
            np.testing.assert_allclose(centres[axis][inner], found, rtol=1e-12)
        if k:
            expected = arrays[k - 1][:]
            for axis in range(3):
                if array.shape[axis] < expected.shape[axis]:
                    expected = halved(expected, axis)
            if dtype == "uint16":
                np.testing.assert_array_equal(array[:], np.rint(expected))
            else:  # three sums and a division, each rounded once, of positive numbers
                np.testing.assert_allclose(array[:], expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("version", VERSIONS)
def test_another_reader_sees_all_resolutions(version, monkeypatch):
    reader, io = pytest.importorskip("ome_zarr.reader"), pytest.importorskip("ome_zarr.io")
    monkeypatch.setattr("siamdecon.files.stores.SMALL", 24)
    store("in.zarr", version=version)
    restored("in.zarr", tile=24)
    (node,) = reader.Reader(io.parse_url("out.zarr"))()
    for number, pixels in enumerate(node.data):
        np.testing.assert_array_equal(pixels, zarr.open_array(f"out.zarr/{number}", mode="r")[:])
    assert number == 2
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    assert [c[0]["scale"] for c in node.metadata["coordinateTransformations"]] == [
        [0.5, 0.2, 0.25],
        [0.5, 0.4, 0.5],
        [1.0, 0.8, 1.0],
    ]


def test_one_window_gives_the_bits_that_memory_gives():
    whole = deconvolve(STACK, PSF, "richardson_lucy", iterations=1)
    np.testing.assert_array_equal(restored(tile=90), whole.image)
    whole.save("saved.zarr")
    np.testing.assert_array_equal(zarr.open_array("saved.zarr/0", mode="r")[:], whole.image)


def network_on(planes, rows):
    write_image("in.tif", STACK[:planes, :rows, :48], voxel_size=VOXEL, overwrite=True)
    return {"method": "noise2same", "tile": 24, "average_flips": False}


def test_a_network_restores_a_store_as_a_tiff():
    how = network_on(16, 32)
    expected = restored(output="other.tif", **how)
    store("in.zarr", STACK[:16, :32, :48])
    np.testing.assert_array_equal(restored("in.zarr", **how), expected)


def test_a_plane_and_a_store_of_unknown_voxels():
    write_image("plane.zarr", STACK[10].astype(np.float32))
    plane = read_image("plane.zarr")
    assert (plane.axes, plane.voxel_size, plane.dtype) == ("YX", None, np.float32)
    assert zarr.open_group("plane.zarr").attrs["ome"]["multiscales"][0]["axes"] == [
        axis("y", None),
        axis("x", None),
    ]


def test_the_old_store_stays_until_the_new_one_is_whole(folder, monkeypatch):
    first = restored()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        restored()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("siamdecon.restoration.write_window", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restored(overwrite=True, iterations=3)
    monkeypatch.undo()
    np.testing.assert_array_equal(zarr.open_array(folder / "out.zarr/0")[:], first)
    monkeypatch.chdir(folder)
    assert not np.array_equal(restored(overwrite=True, iterations=3), first)
    assert sorted(p.name for p in folder.iterdir()) == ["in.tif", "out.json", "out.zarr"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_store_put_aside_is_put_back(killed, folder, monkeypatch):
    """Whether the new one can't take its place, or the process is killed just before it does."""
    write_image("out.zarr", STACK)
    rename = os.replace

    def fail(source, target):
        if Path(target).name == "out.zarr" and Path(source).suffix == ".part":
            if killed:  # nothing after this line would run
                monkeypatch.setattr("siamdecon.files.atomic.os.replace", lambda *_: None)
            raise OSError("no")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("siamdecon.files.atomic.os.replace", fail)
        with pytest.raises(OSError, match="no"):
            write_image("out.zarr", STACK + 1, overwrite=True)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert Path("out.zarr").exists() != killed
    with pytest.raises(FileExistsError):
        write_image("out.zarr", STACK + 2)
    np.testing.assert_array_equal(read_image("out.zarr"), STACK)


def test_a_folder_that_is_no_store_is_not_replaced(folder):
    (folder / "out.zarr").mkdir()
    (folder / "out.zarr" / "thesis.txt").write_text("the only copy")
    with pytest.raises(IsADirectoryError, match="it is a folder; add a file name"):
        restored(overwrite=True)
    assert (folder / "out.zarr" / "thesis.txt").exists()


def test_a_file_of_that_name_is_replaced_and_what_holds_the_image_is_not(folder):
    (folder / "out.zarr").write_text("a file")
    restored(overwrite=True)
    zarr.create_group("a.zarr")
    store("a.zarr/0/1")
    for output in ("a.zarr/0/1/out.zarr", "a.zarr/0/1/s0/out.tif", "a.zarr"):
        with pytest.raises(ValueError, match=r"expected a place apart from a\.zarr/0/1, the image"):
            restored("a.zarr/0/1", output, overwrite=True)
    np.testing.assert_array_equal(read_image("a.zarr/0/1"), STACK)
    assert sorted(p.name for p in (folder / "a.zarr").iterdir()) == ["0", "zarr.json"]


def test_images_of_bioformats2raw_are_scenes():
    zarr.create_group("b.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    for number, planes in enumerate((STACK[:20], STACK[20:])):
        store(f"b.zarr/{number}", planes, "0.4")
    np.testing.assert_array_equal(read_image("b.zarr", scene=1), STACK[20:])
    np.testing.assert_array_equal(read_image("b.zarr/0"), STACK[:20])
    with pytest.raises(ValueError, match=r"scene: expected one to take of b\.zarr, got 2 of"):
        read_image("b.zarr")


def test_axes_that_early_versions_do_not_say():
    store(
        "a.zarr",
        STACK[None, None],
        "0.4",
        "tczyx",
        (1, 1, 1, 1, 1),
        None,
        chunks=(1, 1, 16, 32, 32),
    )
    change("a.zarr", lambda about: about["multiscales"][0].pop("axes"))
    with pytest.raises(ValueError, match=r"a\.zarr: expected axes, such as z, y, x, got none"):
        read_image("a.zarr")
    change("a.zarr", lambda about: about["multiscales"][0].update(version="0.1"))
    np.testing.assert_array_equal(read_image("a.zarr"), STACK)
    change(
        "a.zarr", lambda about: about["multiscales"][0].update(axes=list("tczyx"), version="0.3")
    )
    np.testing.assert_array_equal(read_image("a.zarr"), STACK)


def transformed(changes):
    """Return what puts other transformations into the metadata of a store."""

    def edit(about):
        about["multiscales"][0]["datasets"][0]["coordinateTransformations"] = changes

    return edit


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda a: a.pop("multiscales"),
            r"expected metadata of an image \(multiscales\), got none",
        ),
        (lambda a: a["multiscales"][0].pop("axes"), "expected axes, such as z, y, x, got none"),
        (
            lambda a: a["multiscales"][0].update(axes=[{"name": n} for n in ("a", "y", "x")]),
            r"expected axes of t, c, z, y, x, .* got a, y, x for an array of shape \(38, 90, 70\)",
        ),
        (
            lambda a: a["multiscales"][0].update(axes=[{"name": n} for n in "yx"]),
            r"got y, x for an array of shape \(38, 90, 70\)",
        ),
        (
            lambda a: a["multiscales"][0].update(axes=[{"name": n} for n in "zyy"]),
            "got z, y, y for",
        ),
        (
            lambda a: a["multiscales"][0].update(axes=[{"name": n} for n in "xyz"]),
            "the last three in this order, got x, y, z for",
        ),
        (
            transformed([{"type": "affine", "affine": []}]),
            "expected a scale for each axis, .*affine",
        ),
        (transformed([{"type": "scale", "path": "s"}]), "expected a scale for each axis, .*'path'"),
        (
            transformed([{"type": "translation", "translation": [1]}]),
            r"and translations, .* \[1\]",
        ),
        (transformed([{"type": "scale", "scale": [1, 2]}]), r"a scale for each axis, .* \[1, 2\]"),
        (lambda a: a["multiscales"][0].update(datasets=[{"path": "s7"}]), "cannot read a.zarr: "),
        (lambda a: a.update(multiscales=[3]), "cannot read a.zarr: "),
    ],
)
def test_metadata_that_say_too_little_are_one_line(version, edit, message, capsys):
    store("a.zarr", version=version)
    change("a.zarr", edit)
    with pytest.raises(ValueError, match=message) as error:
        read_image("a.zarr")
    said = str(error.value)
    assert "\n" not in said and said.count("a.zarr") == 1 and "Fiji" not in said


def test_a_size_that_is_not_said_is_unknown():
    store("a.zarr")
    change("a.zarr", transformed([{"type": "translation", "translation": [1, 2, 3]}]))
    assert read_image("a.zarr").voxel_size is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("unit", ["micrometer", "nanometer"])
def test_a_tile_stays_in_its_place_and_keeps_its_channels_name(version, unit, monkeypatch):
    """It was put at the origin, and its channel was nameless, in silence."""
    monkeypatch.setattr("siamdecon.files.stores.SMALL", 48)
    um = {"micrometer": 1, "nanometer": 1000}[unit]
    scale, data, names = [um * s for s in VOXEL], np.stack([STACK, STACK + 1]), ["DAPI", "GFP"]
    store("a.zarr", data, version, "czyx", [1, *scale], unit, labels=names, chunks=(1, 16, 32, 32))
    moved = [{"type": "translation", "translation": [0, *(um * np.array((6, 250, -400.0)))]}]
    twice = [{"type": "scale", "scale": [1, 2, 2, 2]}, *moved]

    def edit(about):
        (image,) = about["multiscales"]
        image["datasets"][0]["coordinateTransformations"] += moved
        image["coordinateTransformations"] = twice  # of all resolutions, after their own

    change("a.zarr", edit)
    place, voxel = pytest.approx((18, 750, -1200)), np.multiply(VOXEL, 2)
    restored("a.zarr", "b.zarr", channel="GFP")
    image = read_image("a.zarr", channel="GFP")
    deconvolve(image, PSF, "richardson_lucy", iterations=1).save("c.zarr")
    for name in ("b.zarr", "c.zarr"):
        found = read_image(name)
        assert (found.position, found.channel) == (place, "GFP")
        about = zarr.open_group(name, mode="r").attrs.asdict()
        about = about.get("ome", about)
        window = about["omero"]["channels"][0]["window"]  # which the specification asks for
        assert window["min"] == window["start"] < window["end"] == window["max"]
        coarse = about["multiscales"][0]["datasets"][1]["coordinateTransformations"]
        by = np.divide(coarse[0]["scale"], voxel)
        found = coarse[1]["translation"]
        np.testing.assert_allclose(found, place.expected + (by - 1) / 2 * voxel, rtol=1e-12)


@pytest.mark.parametrize(
    ("unit", "place", "kept"),
    [
        ("micrometer", [0, 500, 800], (0, 500, 800)),
        (None, [0, 500, 800], None),
        ("micrometer", [float("nan"), 500, 800], None),
    ],
)
def test_a_place_that_is_not_in_lengths_is_unknown(unit, place, kept):
    """Of voxels, it would be wrong as soon as their size is known."""
    store("a.zarr", scale=[1] * 3, unit=unit)
    moved = {"type": "translation", "translation": place}
    change("a.zarr", transformed([{"type": "scale", "scale": [1] * 3}, moved]))
    assert read_image("a.zarr").position == kept


def test_a_channel_is_shown_between_finite_values():
    x = np.arange(64.0, dtype=np.float32).reshape(8, 8)
    x[0] = np.inf
    path = write_image("a.zarr", Image(x, "YX", channel="GFP"))
    window = zarr.open(path).attrs["ome"]["omero"]["channels"][0]["window"]
    assert (window["start"], window["end"]) == (8, 63)
    dark = write_image("b.zarr", Image(np.full_like(x, np.nan), "YX", channel="GFP"))
    assert "omero" not in zarr.open(dark).attrs["ome"]


def test_a_bare_array_and_a_broken_store_are_one_line():
    zarr.create_array("bare.zarr", data=STACK)
    with pytest.raises(
        ValueError, match=r"expected metadata of an image \(multiscales\), got none"
    ):
        read_image("bare.zarr")
    Path("empty.zarr").mkdir()
    shutil.make_archive("packed", "zip", "bare.zarr")
    os.rename("packed.zip", "packed.zarr")
    for name in ("empty.zarr", "packed.zarr"):
        with pytest.raises(ValueError, match=rf"^{name}: expected a folder with one of zarr\.json"):
            read_image(name)
    store("torn.zarr")
    Path("torn.zarr/zarr.json").write_text('{"zarr_for')
    with pytest.raises(ValueError, match=r"cannot read torn\.zarr: "):
        read_image("torn.zarr")
    with pytest.raises(FileNotFoundError, match=r"there is no file gone\.zarr"):
        read_image("gone.zarr")


def test_a_size_without_a_unit_is_said_and_not_guessed():
    store("a.zarr", unit=None)
    with pytest.warns(UserWarning) as said:
        assert read_image("a.zarr").voxel_size is None
    assert "size along z, 0.5 'no unit', can't be read; give it in um" in str(said[0].message)


def chunk(path, version):
    return Path(path, "s0", "c/1/1/1" if version == "0.5" else "1.1.1")


@pytest.mark.parametrize("version", VERSIONS)
def test_missing_chunks_are_said(version):
    store("a.zarr", version=version, fill_value=200)
    chunk("a.zarr", version).unlink()
    with pytest.warns(
        UserWarning, match=r"a\.zarr: 1 of its chunks are not there and count as 200"
    ):
        image = read_image("a.zarr")
    assert (image.data[16:32, 32:64, 32:64] == 200).all()
    np.testing.assert_array_equal(image.data[:16], STACK[:16])


def test_a_missing_chunk_of_no_known_value_is_refused():
    store("a.zarr", version="0.4", fill_value=None)
    read_image("a.zarr")
    chunk("a.zarr", "0.4").unlink()
    with pytest.raises(ValueError, match="1 of its chunks are not there, and its metadata name no"):
        restored("a.zarr")


@pytest.mark.parametrize(
    ("version", "codec"),
    [
        ("0.4", numcodecs.Zstd()),
        ("0.4", numcodecs.Blosc()),
        ("0.5", ZstdCodec()),
        ("0.5", BloscCodec()),
    ],
)
@pytest.mark.parametrize("broken", ["torn", "empty", "gone"])
def test_a_chunk_that_breaks_while_it_is_read_is_an_error(version, codec, broken, folder):
    """Blosc reads on where a chunk ends: in what memory held before, it found the pixels that are gone."""
    noise = np.random.default_rng(0).integers(
        0, 2**16, STACK.shape, np.uint16
    )  # can't be compressed
    store("a.zarr", noise, version=version, compressors=codec)
    data, path = read_image("a.zarr", memmap=True).data, chunk("a.zarr", version)
    content = path.read_bytes()
    path.write_bytes({"torn": content[: len(content) // 2], "empty": b"", "gone": b""}[broken])
    path.unlink() if broken == "gone" else None
    with pytest.raises(ValueError, match=r"cannot read a\.zarr: .*Copy or make it anew"):
        data[16:32, 32:64, 32:64]


def test_without_zarr_it_is_said_what_to_install(monkeypatch):
    store("a.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    for use in (lambda: read_image("a.zarr"), lambda: write_image("b.zarr", STACK)):
        with pytest.raises(ValueError, match=r'which is not here; pip install "siamdecon\[zarr\]"'):
            use()


def test_the_command_line_reads_and_writes_stores(capsys):
    store("in.ome.zarr", version="0.4")
    write_image("psf.tif", PSF.astype(np.float32), voxel_size=VOXEL)
    command = ["in.ome.zarr", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet", "-o"]
    for output, disk in (("disk.ome.zarr", ["--on-disk"]), ("memory.ome.zarr", [])):
        assert main([*command, output, *disk]) == 0, capsys.readouterr().err
        assert zarr.open_group(output, mode="r").metadata.zarr_format == 2, output
    disk, memory = read_image("disk.ome.zarr"), read_image("memory.ome.zarr")
    np.testing.assert_array_equal(disk.data, memory.data)
    assert disk.voxel_size == memory.voxel_size == VOXEL
    assert main([*command, "two.ome.zarr", "--channel", "all"]) == 2
    assert "-o: expected a TIFF for several images" in capsys.readouterr().err


TILED = {"compression": "zlib", "tile": (32, 32)}


@pytest.mark.parametrize("options", [TILED, {"compression": "lzw", "rowsperstrip": 8}])
@pytest.mark.parametrize("order", "<>")
def test_a_compressed_tiff_is_not_unpacked(options, order, monkeypatch):
    expected = restored(output="other.tif", tile=48)
    tifffile.imwrite(
        "packed.tif",
        STACK.astype(f"{order}u2"),
        photometric="minisblack",
        byteorder=order,
        **options,
    )

    def unpacked(*_):
        raise AssertionError("a temporary file")

    monkeypatch.setattr("siamdecon.files.tiff.scratch", unpacked)
    np.testing.assert_array_equal(restored("packed.tif", tile=48), expected)


def test_a_compressed_tiff_of_large_planes_is_unpacked_once(monkeypatch):
    """A window would unpack all of each plane that it touches."""
    tifffile.imwrite(
        "packed.tif", np.zeros((2, 1024, 1024), "u1"), compression="zlib", rowsperstrip=1024
    )
    assert not isinstance(read_image("packed.tif", memmap=True).data, Stored)
    tifffile.imwrite("packed.tif", STACK, photometric="minisblack", **TILED)
    assert isinstance(read_image("packed.tif", memmap=True).data, Stored)
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert not isinstance(read_image("packed.tif", memmap=True).data, Stored)


def test_a_compressed_tiff_that_is_cut_short_is_refused():
    tifffile.imwrite("packed.tif", STACK, photometric="minisblack", **TILED)
    content = Path("packed.tif").read_bytes()
    Path("packed.tif").write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(ValueError, match=r"cannot read packed\.tif"):
        restored("packed.tif", output="out.tif")


@pytest.mark.parametrize("kind", ["zarr", "tif"])
def test_pixels_on_disk_are_indexed_as_numpy_does(kind):
    """Some windows were others, in silence, or false alarms of damage."""
    store("a.zarr", STACK)
    tifffile.imwrite("a.tif", STACK, photometric="minisblack", **TILED)
    pixels = read_image(f"a.{kind}", memmap=True).data
    assert isinstance(pixels, Stored)
    every = slice(None)
    windows = [3, -1, np.int64(-2), (3, -1), (3, -1, -70), ..., (..., 3), (3, ..., -1), (-1, ...)]
    windows += [
        (2, 3, 4, ...),
        (every, -1),
        (..., slice(-3, None)),
        (slice(3, 9, 2), -1, every),
        (),
    ]
    for window in windows:
        np.testing.assert_array_equal(pixels[window], STACK[window], str(window))
    for window in (38, -39, (0, 90), (..., 70), (0, 0, 0, 0)):
        with pytest.raises(IndexError, match="outside of pixels of shape \\(38, 90, 70\\)"):
            pixels[window]
    np.testing.assert_array_equal(list(pixels.at(2, 5)), STACK[..., 5])
    np.testing.assert_array_equal(pixels.at(0, 5)[-1, ...], STACK[5, -1])


def stopped(stop, after):
    """Return a `write_window` that calls `stop` in place of writing, after some blocks."""
    written = []

    def write(*arguments):
        if len(written) == after:
            stop()
        written.append(arguments[1])
        write_window(*arguments)

    return write, written


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("siamdecon.restoration.CHUNK", {3: 24})


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["richardson_lucy", "noise2same"])
def test_an_interrupted_run_is_gone_on_with(method, small_chunks, folder, monkeypatch):
    how = network_on(16, 48) if method == "noise2same" else {"tile": 24}
    expected = restored(output="whole.zarr", **how)
    steps = steps_taken()
    monkeypatch.setattr("siamdecon.restoration.write_window", stopped(interrupt, 2)[0])
    with pytest.raises(
        KeyboardInterrupt, match=r"the same call goes on with out\.zarr\.unfinished"
    ):
        restored(**how)
    assert not Path("out.zarr").exists()
    trained = steps_taken() - steps
    write, written = stopped(interrupt, -1)
    monkeypatch.setattr("siamdecon.restoration.write_window", write)
    np.testing.assert_array_equal(restored(**how), expected)
    assert len(written) == zarr.open_array("out.zarr/0").nchunks - 2
    assert (trained > 0) == (method == "noise2same")
    assert steps_taken() == steps + trained  # its training was done
    names = ["in.tif", "out.json", "out.zarr", "whole.json", "whole.zarr"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert not list(Path("out.zarr").rglob("*.partial"))


def same_stores(first, second):
    """Tell whether two stores have the same pixels, in all resolutions."""
    groups = [zarr.open_group(path, mode="r") for path in (first, second)]
    names = [sorted(name for name, _ in group.arrays()) for group in groups]
    return names[0] == names[1] and all(
        np.array_equal(*(group[name][:] for group in groups)) for name in names[0]
    )


def killed(after, within=""):
    """Restore in a process of its own, which is killed when it has written half of a file of the store."""
    from zarr.storage import _local

    put, left = _local._atomic_write, [after]

    def write(path, *arguments, **options):
        left[0] -= within in str(path)
        if left[0] < 0:
            path.with_suffix(".0.partial").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return put(path, *arguments, **options)

    child = os.fork()
    if not child:
        _local._atomic_write = write
        restored(tile=24)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_killed_run_is_gone_on_with(small_chunks, monkeypatch):
    """Killed while it writes the metadata, and while it writes a chunk."""
    expected = restored(output="whole.zarr", tile=24)
    for writes in (1, 5):
        assert killed(writes) == -signal.SIGKILL and not Path("out.zarr").exists()
    write, written = stopped(interrupt, -1)
    monkeypatch.setattr("siamdecon.restoration.write_window", write)
    np.testing.assert_array_equal(restored(tile=24), expected)
    assert 0 < len(written) < zarr.open_array("out.zarr/0").nchunks == 24
    assert not list(Path("out.zarr").rglob("*.partial"))
    assert not list(Path().glob("*.unfinished"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_run_killed_between_two_resolutions_is_gone_on_with(small_chunks, monkeypatch):
    monkeypatch.setattr("siamdecon.files.stores.SMALL", 24)
    restored(output="whole.zarr", tile=24)
    for within, writes in (("/1/c/", 0), ("/1/c/", 3), ("/2/c/", 0)):
        assert killed(writes, within) == -signal.SIGKILL and not Path("out.zarr").exists()
    write, written = stopped(interrupt, -1)
    monkeypatch.setattr("siamdecon.restoration.write_window", write)
    restored(tile=24)
    assert not written and same_stores("out.zarr", "whole.zarr")
    assert len([*zarr.open_group("out.zarr", mode="r").arrays()]) == 3
    assert not list(Path("out.zarr").rglob("*.partial"))
    assert not list(Path().glob("*.unfinished"))


def test_a_run_with_other_settings_begins_anew(small_chunks, monkeypatch):
    expected = restored(output="whole.zarr", tile=24, iterations=3)
    with monkeypatch.context() as patched:
        patched.setattr("siamdecon.restoration.write_window", stopped(interrupt, 3)[0])
        with pytest.raises(KeyboardInterrupt):
            restored(tile=24)
    with pytest.warns(
        UserWarning, match=r"out\.zarr\.unfinished: begun with other settings; begins"
    ):
        np.testing.assert_array_equal(restored(tile=24, iterations=3), expected)


BEGUN = r"out\.zarr\.unfinished: begun with other settings; begins anew"


def test_a_run_with_another_voxel_size_begins_anew(small_chunks, monkeypatch):
    """The old one was kept, in silence."""
    with monkeypatch.context() as patched:
        patched.setattr("siamdecon.restoration.write_window", stopped(interrupt, 3)[0])
        with pytest.raises(KeyboardInterrupt):
            restored(tile=24)
    corrected = (0.4, *VOXEL[1:])
    write_image("in.tif", STACK, voxel_size=corrected, overwrite=True)
    with pytest.warns(UserWarning, match=BEGUN):
        restored(tile=24)
    assert read_image("out.zarr").voxel_size == pytest.approx(corrected)


def test_a_run_with_another_place_begins_anew(small_chunks, monkeypatch):
    store("in.zarr")
    with monkeypatch.context() as patched:
        patched.setattr("siamdecon.restoration.write_window", stopped(interrupt, 3)[0])
        with pytest.raises(KeyboardInterrupt):
            restored("in.zarr", tile=24)
    told = [{"type": "scale", "scale": VOXEL}, {"type": "translation", "translation": [1, 2, 3]}]
    change("in.zarr", transformed(told))
    with pytest.warns(UserWarning, match=BEGUN):
        restored("in.zarr", tile=24)
    assert read_image("out.zarr").position == (1, 2, 3)


def test_a_training_with_other_limits_begins_anew(small_chunks, monkeypatch):
    """Its checkpoint was refused."""
    how = network_on(16, 48) | {"noise": "auto"}
    cut = STACK[:16, :48, :48].clip(200)  # where its noise is
    write_image("in.tif", cut, voxel_size=VOXEL, overwrite=True)
    with monkeypatch.context() as patched:
        patched.setattr("siamdecon.restoration.write_window", stopped(interrupt, 2)[0])
        with pytest.raises(KeyboardInterrupt):
            restored(**how)
    with pytest.warns(UserWarning, match=BEGUN):
        restored(**how, limits=(None, None))


def test_a_chunk_that_is_lost_is_not_passed_over(small_chunks, monkeypatch):
    def lost(out, block, pixels):
        write_window(out, block, pixels)
        (out.path / "0/c/0/1/1").unlink(missing_ok=True)

    with monkeypatch.context() as patched:
        patched.setattr("siamdecon.restoration.write_window", lost)
        with pytest.raises(
            OSError, match=r"cannot write out\.zarr: 1 of its chunks are not in .*again"
        ):
            restored(tile=24)
    assert not Path("out.zarr").exists()
    restored(tile=24)


def test_a_chunk_of_a_coarser_resolution_that_is_lost_is_not_passed_over(
    small_chunks, monkeypatch, folder
):
    """In the making of the next one, which would take it for zeros, and in the last one."""
    monkeypatch.setattr("siamdecon.files.stores.SMALL", 24)
    make = stores._average
    for lost, message in ((1, "was there, and is gone"), (2, "1 of its chunks are not in")):

        def average(fine, coarse, window, lost=lost):
            make(fine, coarse, window)
            (folder / coarse.path / f"{lost}/c/0/0/0").unlink(missing_ok=True)

        with monkeypatch.context() as patched:
            patched.setattr(stores, "_average", average)
            with pytest.raises((OSError, ValueError), match=message):
                restored(tile=24)
        assert not Path("out.zarr").exists()
    restored(tile=24)


def test_an_interrupted_command_says_how_it_goes_on(capsys, monkeypatch):
    write_image("psf.tif", PSF.astype(np.float32), voxel_size=VOXEL)
    command = [
        "in.tif",
        "--psf",
        "psf.tif",
        "--method",
        "richardson_lucy",
        "--quiet",
        "--on-disk",
        "-o",
    ]
    monkeypatch.setattr("siamdecon.restoration.write_window", stopped(interrupt, 0)[0])
    assert main([*command, "out.zarr"]) == 130
    assert "interrupted: the same call goes on with out.zarr.unfinished" in capsys.readouterr().err
