"""Oracles: pixels known beforehand, tifffile's and Pillow's own view of the files, headers by hand."""

import io
import os

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamdecon.files import tiff
from siamdecon.files.atomic import check_writable, write_atomically
from siamdecon.files.images import Image, read_image, write_image
from siamdecon.files.units import cast

DTYPES = {".tif": [np.uint8, np.uint16, np.float32], ".png": [np.uint8, np.uint16]}
STACK = np.arange(4 * 9 * 11, dtype=np.uint16).reshape(4, 9, 11)
PLANE = STACK[0]


@st.composite
def pictures(draw, suffix):
    least, most = (2, 2) if suffix == ".png" else (2, 3)
    shape = draw(hnp.array_shapes(min_dims=least, max_dims=most, min_side=1, max_side=6))
    return draw(hnp.arrays(draw(st.sampled_from(DTYPES[suffix])), shape))


def test_a_matrix_is_written_as_the_array_it_is(tmp_path):
    back = read_image(write_image(tmp_path / "a.tif", np.matrix(STACK[0])))
    assert np.array_equal(back.data, STACK[0])


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([".tif", ".png"]), st.sampled_from("<>"))
def test_pixels_survive_bit_by_bit(tmp_path_factory, data, suffix, byte_order):
    picture = data.draw(pictures(suffix))
    path = tmp_path_factory.mktemp("images") / f"picture{suffix}"
    swapped = picture.astype(picture.dtype.newbyteorder(byte_order))
    assert write_image(path, swapped) == path
    back = read_image(path)
    single_plane = picture.ndim == 3 and len(picture) == 1
    expected = picture[0] if single_plane else picture
    assert (back.axes, back.dtype, back.path) == ("ZYX"[-expected.ndim :], picture.dtype, path)
    assert back.dtype.isnative and back.data.flags.writeable
    np.testing.assert_array_equal(back, expected)


sizes = st.none() | st.floats(1e-3, 1e3)


@settings(max_examples=50, deadline=None)
@given(st.tuples(sizes, sizes, sizes), st.booleans(), st.booleans())
def test_voxel_size_survives(tmp_path_factory, size, flat, big):
    path = tmp_path_factory.mktemp("images") / "picture.tif"
    picture, size = (PLANE, size[1:]) if flat else (STACK, size)
    with pytest.MonkeyPatch.context() as patch:
        if big:
            patch.setattr(tiff, "_CLASSIC_LIMIT", picture.nbytes - 1)
        write_image(path, picture, voxel_size=size)
    assert path.read_bytes()[2] == (43 if big else 42)  # the magic numbers of big and classic TIFF
    back = read_image(path)
    np.testing.assert_array_equal(back, picture)
    if not any(size):
        assert back.voxel_size is None
    else:
        assert [s is None for s in back.voxel_size] == [s is None for s in size]
        known = [(s, t) for s, t in zip(size, back.voxel_size, strict=True) if s]
        np.testing.assert_allclose(*zip(*known, strict=True), rtol=1e-6)


def test_fiji_finds_what_it_looks_for(tmp_path):
    path = write_image(tmp_path / "a.tif", STACK, voxel_size=(0.3, 0.2, 0.1))
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej and tif.series[0].axes == "ZYX"
        assert tif.imagej_metadata["slices"] == 4
        assert (tif.imagej_metadata["spacing"], tif.imagej_metadata["unit"]) == (0.3, "um")
        resolution = [np.divide(*tif.pages[0].tags[f"{a}Resolution"].value) for a in "YX"]
    np.testing.assert_allclose(resolution, [5, 10])


def test_an_image_keeps_its_metadata_and_the_arguments_win(tmp_path):
    image = Image(STACK.astype(np.float64), "ZYX", (0.3, 0.2, 0.1))
    back = read_image(write_image(tmp_path / "a.tif", image))
    assert back.dtype == np.float64 and back.voxel_size == pytest.approx((0.3, 0.2, 0.1))
    back = read_image(write_image(tmp_path / "b.tif", image, voxel_size=np.array([1, 2, 3])))
    assert back.voxel_size == pytest.approx((1, 2, 3))


def test_an_image_passes_as_an_array():
    image = Image(PLANE, "YX", (None, 0.1))
    assert (image.shape, image.ndim, image.dtype) == ((9, 11), 2, np.uint16)
    assert np.asarray(image, np.float32).dtype == np.float32
    assert np.array(image, copy=True) is not image.data
    np.testing.assert_array_equal(np.add(image, 1), PLANE + 1)
    assert "9 x 11" in repr(image) and "(None, 0.1)" in repr(image)


@pytest.mark.parametrize("position", [(1, 2), (1, 2, np.nan)])
def test_a_position_is_a_length_along_each_axis(position):
    with pytest.raises(ValueError, match="position: expected um along each axis, got"):
        Image(STACK, "ZYX", position=position)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("um", 1),
        ("micron", 1),
        ("microns", 1),
        ("\\u00B5m", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
        ("inch", 25400),
        ("pixel", None),
        ("furlong", None),
    ],
)
def test_units_of_imagej(tmp_path, unit, um):
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZYX", "spacing": 3, "unit": unit},
    )
    expected = None if um is None else pytest.approx((3 * um, 0.5 * um, 0.25 * um))
    assert read_image(tmp_path / "a.tif").voxel_size == expected


def test_imagej_may_give_each_axis_a_unit(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZYX", "spacing": 3, "unit": "um", "yunit": "mm", "zunit": "nm"},
    )
    assert read_image(tmp_path / "a.tif").voxel_size == pytest.approx((0.003, 500, 0.25))


@pytest.mark.parametrize(
    ("unit", "um"), [("µm", 1), ("nm", 1e-3), ("mm", 1e3), ("Å", 1e-4), ("pixel", None), (None, 1)]
)
def test_units_of_ome(tmp_path, unit, um):
    lengths = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.3}
    units = {f"{name}Unit": unit for name in lengths} if unit else {}
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        STACK[None, :, None],
        ome=True,
        metadata={"axes": "TZCYX"} | lengths | units,
    )
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image, STACK)
    assert image.voxel_size == (um and pytest.approx((0.3 * um, 0.2 * um, 0.1 * um)))


def test_fijis_own_byte_order_and_plain_pages(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, byteorder=">", metadata=None, photometric="minisblack")
    image = read_image(path)
    assert image.axes == "ZYX" and image.dtype.isnative and image.voxel_size is None
    np.testing.assert_array_equal(image, STACK)
    tifffile.imwrite(path, PLANE, resolution=(300, 300), resolutionunit="INCH", metadata=None)
    assert read_image(path).voxel_size is None  # dots per inch are about print


@pytest.mark.parametrize("axes", ["CYX", "TYX", "TZYX", "ZCYX"])
def test_channels_and_times_are_refused_by_name(tmp_path, axes):
    shape = (3, 2, 5, 6)[-len(axes) :]
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros(shape, np.uint8), imagej=True, metadata={"axes": axes}
    )
    with pytest.raises(
        ValueError,
        match=r"(channel|time): expected one to take of a.tif, got [23] of them; .*=0 takes the first",
    ):
        read_image(tmp_path / "a.tif")


def test_several_images_in_a_file_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(PLANE)
        tif.write(PLANE[1:])
    with pytest.raises(ValueError, match=r"got 2 of them \(9 x 11, 8 x 11\); scene=0 takes the"):
        read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", scene=1), PLANE[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", scene=0, memmap=True), PLANE)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_is_refused_unless_it_carries_nothing(tmp_path, suffix):
    def save(pixels):
        path = tmp_path / f"a{suffix}"
        if suffix == ".png":
            PIL.Image.fromarray(pixels).save(path)
        else:
            tifffile.imwrite(path, pixels, photometric="rgb")
        return path

    grey = PLANE.astype(np.uint8)
    rgb = np.stack([grey] * 3, axis=-1)
    alpha = np.full_like(rgb[..., :1], 255)
    for pixels in (rgb, np.concatenate([rgb, alpha], axis=-1)):
        image = read_image(save(pixels))
        np.testing.assert_array_equal(image, grey)
        pixels = pixels.copy()
        pixels[2, 3, 1] += 1
        with pytest.raises(ValueError, match=r"\(9, 11, [34]\).*pick one, channel=0 .*grey"):
            read_image(save(pixels))
    alpha[0, 0] = 254
    with pytest.raises(ValueError, match=r"\(9, 11, 4\)"):
        read_image(save(np.concatenate([rgb, alpha], axis=-1)))


def test_colours_of_one_bit_are_colours(tmp_path):
    colours = np.eye(9, dtype=bool) & np.array([True, False, True])[:, None, None]
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="a colour image: pick one"):
        read_image(tmp_path / "a.tif")
    for channel in range(3):
        read = read_image(tmp_path / "a.tif", channel=channel)
        np.testing.assert_array_equal(read, colours[channel])


def test_sixteen_bit_colour_png_keeps_all_bits(tmp_path):
    """Pillow would drop the lower eight without a word."""
    colours = np.arange(5 * 6 * 3, dtype=np.uint16).reshape(5, 6, 3) * 701
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colours))
    with pytest.raises(ValueError, match=r"\(5, 6, 3\).*a colour image: pick one, channel=0"):
        read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", channel=2), colours[..., 2])


def encoded(kind):
    file = io.BytesIO()
    if kind == "png":
        PIL.Image.fromarray(PLANE).save(file, format="PNG")
    else:
        axes = {"metadata": {"axes": "ZYX"}}
        options = {
            "imagej": {"imagej": True} | axes,
            "ome": {"ome": True} | axes,
            "shaped": {},
            "plain": {"metadata": None},
            "deflate": {"metadata": None, "compression": "zlib"},
        }
        tifffile.imwrite(file, STACK, photometric="minisblack", **options[kind])
    return file.getvalue()


@pytest.mark.parametrize("kind", ["imagej", "plain", "shaped", "deflate", "ome", "png"])
def test_a_file_cut_short_is_refused_or_lacks_no_pixel(tmp_path, kind):
    whole, original = encoded(kind), PLANE if kind == "png" else STACK
    path = tmp_path / ("a.png" if kind == "png" else "a.tif")
    refused = 0
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        try:
            image = read_image(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(image, original)
    assert refused > 0.6 * len(whole) / 13
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_image(path), original)


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.png"])
@pytest.mark.parametrize(
    "content", [b"", b"just text", bytes(1000), b"II*\0", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read .*{name}"):
        read_image(tmp_path / name)


def test_reading_says_what_is_wrong_with_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*a\.tif"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(FileNotFoundError, match=r"is a folder; .*File > Import > Image Sequence"):
        read_image(tmp_path)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"'\.jpg'.*\.tif, \.tiff, \.png.*; open it in Fiji"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("name", "array", "options", "message"),
    [
        ("a.ome.tif", np.zeros((4, 4), np.float16), {}, "float16.*float32 or an integer"),
        ("a.tif", np.zeros((4, 4), np.complex64), {}, "complex64"),
        ("a.png", np.zeros((4, 4), np.float32), {}, "float32.*uint8 or uint16"),
        ("a.png", np.zeros((2, 4, 4), np.uint8), {}, r"\(2, 4, 4\): write a.tif"),
        ("a.tif", np.zeros((0, 4), np.uint8), {}, r"\(0, 4\)"),
        ("a.tif", np.zeros((2, 2, 4, 4), np.uint8), {}, r"\(2, 2, 4, 4\): say 'YX'"),
        ("a.tif", np.zeros(4, np.uint8), {}, r"\(4,\): say 'YX'"),
        ("a.tif", np.zeros((4, 4), np.uint8), {"axes": "ZYX"}, "'ZYX' do not fit"),
        ("a.tif", np.zeros((4, 4), np.uint8), {"voxel_size": (1,)}, "one positive length"),
        ("a.tif", np.zeros((4, 4), np.uint8), {"voxel_size": (1, -1)}, "one positive length"),
        ("a.tif", np.zeros((4, 4), np.uint8), {"voxel_size": (1, np.nan)}, "one positive length"),
        ("a.jpg", np.zeros((4, 4), np.uint8), {}, r"supported: \.tif, \.tiff, \.png"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, array, options, message):
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / name, array, **options)
    assert not list(tmp_path.iterdir())


def test_what_exists_is_kept_unless_told_otherwise(tmp_path):
    path = write_image(tmp_path / "a.tif", PLANE)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_image(path, PLANE + 1)
    np.testing.assert_array_equal(read_image(path), PLANE)
    write_image(path, PLANE + 1, overwrite=True)
    np.testing.assert_array_equal(read_image(path), PLANE + 1)


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing; make it"):
        write_image(tmp_path / "missing" / "a.tif", PLANE)
    with pytest.raises(IsADirectoryError, match="add a file name"):
        check_writable(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match=r"'\.png', supported: \.tif"):
        check_writable(tmp_path / "a.png", suffixes=(".tif",))
    assert check_writable(tmp_path / "weights.pt") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files():
    with pytest.raises(PermissionError, match="/proc/self takes no new files"):
        write_image("/proc/self/a.tif", PLANE)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, interruption):
    def half(path):
        path.write_text("ha")
        raise interruption

    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(interruption):
        write_atomically(path, half)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_when_whole_with_usual_rights(tmp_path):
    path = tmp_path / "a.txt"

    def write(temporary):
        temporary.write_text("whole")
        assert not path.exists() and temporary.parent == tmp_path

    write_atomically(path, write)
    (tmp_path / "usual.txt").touch()
    assert path.stat().st_mode == (tmp_path / "usual.txt").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="links need special rights there")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.tif").touch()
    (tmp_path / "link.tif").symlink_to("real.tif")
    write_image(tmp_path / "link.tif", PLANE, overwrite=True)
    assert (tmp_path / "link.tif").is_symlink()
    np.testing.assert_array_equal(read_image(tmp_path / "real.tif"), PLANE)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_damaged_png_is_refused(tmp_path, dtype):
    """Pillow reads past a wrong checksum: the rest of the image was other values."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(dtype)
    path = write_image(tmp_path / "a.png", pixels)
    whole = path.read_bytes()
    for at in range(len(whole) // 2, len(whole) - 20, 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"cannot read .*a\.png"):
            read_image(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("target", ["float16", "float32", "float64"])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_a_conversion_to_floats_is_clipped_to_their_range_in_silence(source, target):
    largest = np.finfo(source).max
    found = cast(np.array([1.5, largest, -largest], source), np.dtype(target))
    top = min(float(largest), float(np.finfo(target).max))
    assert found.dtype == target and found.tolist() == [1.5, top, -top]
