"""Files as other writers make them, with what is right: public reports, rebuilt small."""

import errno
import json
import sys
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile

from siamdecon import deconvolve, deconvolve_file, read_image, write_image
from siamdecon.cli import main
from siamdecon.files import Image
from siamdecon.files.atomic import check_writable
from siamdecon.files.images import read_each
from siamdecon.files.units import cast

Y, X = np.mgrid[:48, :40]
GREY = (20 + 200 * np.exp(-((Y - 24) ** 2 + (X - 15) ** 2) / 40)).astype(np.uint8)
STACK = np.random.default_rng(0).integers(100, 400, (5, 16, 18)).astype(np.uint16)
PSF = np.ones((3, 3), np.float32) / 9


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIAMDECON_TIER", "test")


# What the values mean


@pytest.mark.parametrize("memmap", [False, True])
@pytest.mark.parametrize(("dtype", "top"), [("u1", 255), ("u2", 65535)])
def test_white_may_be_zero(dtype, top, memmap):
    """darktable#18815, Pillow#5655: the image was its own negative."""
    seen = GREY.astype(dtype) * (top // 255)
    tifffile.imwrite("a.tif", top - seen, photometric="miniswhite")
    np.testing.assert_array_equal(read_image("a.tif", memmap=memmap).data, seen)


@pytest.mark.parametrize("memmap", [False, True])
def test_white_may_be_the_lowest_of_signed_numbers(memmap):
    """xarray-spatial#2278, ITK#6636: they were taken as stored; the inverse of x is min + max - x."""
    seen = GREY.astype(np.int16) * 100 - 9000
    tifffile.imwrite("a.tif", -1 - seen, photometric="miniswhite")
    np.testing.assert_array_equal(read_image("a.tif", memmap=memmap).data, seen)


def test_white_as_the_lowest_of_floats_is_said():
    tifffile.imwrite("a.tif", GREY.astype(np.float32), photometric="miniswhite")
    with pytest.warns(UserWarning, match="no meaning for floats"):
        np.testing.assert_array_equal(read_image("a.tif").data, GREY)


def test_a_mosaic_of_colours_is_not_grey():
    """plantcv#624: raw pixels of a colour camera were restored as if they were of one colour."""
    tifffile.imwrite("a.tif", GREY, photometric=32803, extratags=[(33421, 3, 2, (2, 2))])
    with pytest.raises(ValueError, match=r"^a.tif: expected grey values, got .*CFA.*; interpolate"):
        read_image("a.tif")


@pytest.mark.parametrize("memmap", [False, True])
@pytest.mark.parametrize("step", [256, 257])
def test_a_grey_palette_is_looked_up(step, memmap):
    """DALI#4089: indices were taken for grey values. Pillow writes 256 times the value."""
    order = np.random.default_rng(0).permutation(256)
    palette = np.stack([(order * step).astype(np.uint16)] * 3)
    index = np.argsort(order)[GREY].astype(np.uint8)
    tifffile.imwrite("a.tif", index, photometric="palette", colormap=palette)
    read = read_image("a.tif", memmap=memmap)
    np.testing.assert_array_equal(read.data, GREY)
    assert read.dtype == np.uint8


ramp = np.arange(256)
#: Smooth tables: one colour; blue to green to red, of which no colour grows all the way.
TABLES = {
    "red": np.stack([ramp, 0 * ramp, 0 * ramp]),
    "jet": np.clip(382 - 4 * np.abs(ramp - np.array([[192], [128], [64]])), 0, 255),
}


@pytest.mark.parametrize("memmap", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_a_false_colour_shows_an_intensity(table, memmap):
    palette = (TABLES[table] * 257).astype(np.uint16)
    tifffile.imwrite("a.tif", GREY, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(read_image("a.tif", memmap=memmap).data, GREY)


@pytest.mark.parametrize("memmap", [False, True])
def test_a_palette_of_colours_is_a_colour_image(memmap):
    """DALI#4089: the place of a colour in a list says nothing of its brightness."""
    colours = np.random.default_rng(0).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(colours).quantize(32)
    picture.save("a.tif")
    with pytest.raises(ValueError, match="a colour image: pick one"):
        read_image("a.tif", memmap=memmap)
    expected = np.array(picture.convert("RGB"))[..., 1]
    np.testing.assert_array_equal(read_image("a.tif", channel=1, memmap=memmap).data, expected)


def test_a_mask_may_be_stored_inverted():
    mask = GREY > 99
    tifffile.imwrite("a.tif", ~mask, photometric="miniswhite")
    np.testing.assert_array_equal(read_image("a.tif").data, mask)


def test_imagej_inverts_what_it_shows_not_what_it_measures():
    """An inverted look-up table is saved as WhiteIsZero, with the intensities as they are."""
    tifffile.imwrite("a.tif", GREY, imagej=True, photometric="miniswhite")
    np.testing.assert_array_equal(read_image("a.tif").data, GREY)


# What is missing


OME = (
    '<?xml version="1.0"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{me}">'
    '<Image ID="Image:0" Name="{name}"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="18" '
    'SizeY="16" SizeZ="{n}" SizeC="1" SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1" PhysicalSizeZ="0.3">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
)


def write_ome(name, planes, xml):
    with tifffile.TiffWriter(name) as tif:
        for k, plane in enumerate(planes):
            text = xml if k == 0 else None
            tif.write(
                plane, photometric="minisblack", metadata=None, description=text, contiguous=False
            )


@pytest.mark.parametrize("memmap", [False, True])
def test_a_missing_file_of_several_is_named(memmap):
    """tifffile#187, iohub#97, bioformats#3732: its planes were 0."""
    ids = ["00000000-0000-0000-0000-00000000000" + str(i) for i in range(2)]
    planes = "".join(
        f'<TiffData IFD="{k}" FirstZ="{2 * f + k}" FirstC="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="s_{f}.ome.tif">urn:uuid:{ids[f]}</UUID></TiffData>'
        for f in range(2)
        for k in range(2)
    )
    for f in range(2):
        xml = OME.format(me=ids[f], name="a", n=4, planes=planes)
        write_ome(f"s_{f}.ome.tif", STACK[2 * f : 2 * f + 2], xml)
    np.testing.assert_array_equal(read_image("s_0.ome.tif", memmap=memmap).data, STACK[:4])
    Path("s_1.ome.tif").unlink()
    with pytest.raises(ValueError, match=r"2 of its 4 planes are missing, in s_1.ome.tif"):
        read_image("s_0.ome.tif", memmap=memmap)


def test_fewer_planes_than_announced_are_refused():
    """tifffile#72: an acquisition that was broken off."""
    planes = "".join(f'<TiffData IFD="{k}" FirstZ="{k}" PlaneCount="1"/>' for k in range(5))
    write_ome("a.ome.tif", STACK[:3], OME.format(me="0", name="a", n=5, planes=planes))
    with pytest.raises(ValueError, match="2 of its 5 planes are missing"):
        read_image("a.ome.tif")
    with pytest.raises(ValueError, match="2 of its 5 planes are missing"):
        read_image("a.ome.tif", memmap=True)
    imagej("ImageJ=1.54f\nimages=9\nslices=9\nloop=false\n")
    for memmap in (False, True):
        with pytest.raises(ValueError, match=r"it announces 9 planes and holds 5"):
            read_image("a.tif", memmap=memmap)


def test_metadata_in_another_file_are_spoken_of():
    """iohub#97: the voxel size is in a companion file."""
    root = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
    xml = root.format('<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/>')
    tifffile.imwrite("a.ome.tif", STACK[0], description=xml, metadata=None)
    with pytest.warns(UserWarning, match=r"its metadata are in a\.companion\.ome"):
        np.testing.assert_array_equal(read_image("a.ome.tif").data, STACK[0])


# Compression


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_what_pillow_compresses_is_read(compression):
    """n2v#44, UnMicst#8: "if the file is whole"."""
    PIL.Image.fromarray(GREY).save("a.tif", compression=compression)
    np.testing.assert_array_equal(read_image("a.tif").data, np.array(PIL.Image.open("a.tif")))


@pytest.mark.parametrize("compression", ["lzw", "zstd", "zlib", "lzma"])
def test_what_tifffile_compresses_is_read(compression):
    assert imagecodecs.__version__
    tifffile.imwrite(
        "a.tif", STACK, compression=compression, predictor=True, metadata={"axes": "ZYX"}
    )
    np.testing.assert_array_equal(read_image("a.tif").data, STACK)


# Metadata


def imagej(description, resolution=(5, 5)):
    """Write a stack with an ImageJ description, byte for byte."""
    with tifffile.TiffWriter("a.tif") as tif:
        for i, plane in enumerate(STACK):
            text = description if i == 0 else None
            tif.write(plane, description=text, metadata=None, contiguous=False, resolution=resolution,
                      resolutionunit="NONE", photometric="minisblack")  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        (b"micrometers", 1),
        (b"micrometre", 1),
        (b"\xb5m", 1),
        (b"\xc2\xb5m", 1),
        (b"Micron", 1),
        (b"nanometer", 1e-3),
        (b"nanometers", 1e-3),
        (b"millimeters", 1e3),
        (b"centimetre", 1e4),
        (b"meters", 1e6),
        (b"inches", 25400),
        (b"in", 25400),
    ],
)
def test_units_are_read_as_they_are_written(unit, um):
    """ilastik#3091, hyperspy#1167, bioformats#4340: the voxel size was dropped in silence."""
    imagej(b"ImageJ=1.54f\nimages=5\nslices=5\nunit=" + unit + b"\nspacing=0.3\nloop=false\n")
    assert read_image("a.tif").voxel_size == pytest.approx((0.3 * um, 0.2 * um, 0.2 * um))


def test_a_unit_that_is_none_is_said():
    imagej(b"ImageJ=1.54f\nimages=5\nslices=5\nunit=?m\nspacing=0.3\nloop=false\n")
    with pytest.warns(
        UserWarning, match=r"a.tif: the voxel size along z, 0.3 '\?m', can't be read"
    ):
        assert read_image("a.tif").voxel_size is None


@pytest.mark.parametrize("spacing", ["-0.3", "0,3"])
def test_spacings_as_some_write_them(spacing):
    """aicsimageio#79: the whole file was refused."""
    imagej(f"ImageJ=1.54f\nimages=5\nslices=5\nunit=um\nspacing={spacing}\nloop=false\n")
    assert read_image("a.tif").voxel_size == pytest.approx((0.3, 0.2, 0.2))


def test_planes_that_the_metadata_do_not_name_are_spoken_of(recwarn):
    """scifio#212: a stack came back with fewer planes than it has. A reduced copy needs no name."""
    xml = OME.format(me="0", name="a", n=3, planes='<TiffData PlaneCount="3"/>')
    write_ome("a.ome.tif", [*STACK[:3], STACK[0, ::2, ::2]], xml)
    np.testing.assert_array_equal(read_image("a.ome.tif").data, STACK[:3])
    assert not recwarn
    write_ome("a.ome.tif", STACK[:5], xml)
    with pytest.warns(UserWarning, match="its metadata name 3 of its 5 planes"):
        np.testing.assert_array_equal(read_image("a.ome.tif").data, STACK[:3])


def test_metadata_that_are_cut_short_are_spoken_of():
    """bioformats#2937: OME-XML longer than its writer had room for; two channels became planes along z."""
    xml = OME.format(me="0", name="a", n=4, planes="<TiffData/>").replace("</Image></OME>", "")
    write_ome("a.ome.tif", STACK[:4], xml)
    with pytest.warns(UserWarning, match="its metadata are cut short"):
        np.testing.assert_array_equal(read_image("a.ome.tif").data, STACK[:4])


@pytest.mark.parametrize("bad", [b" & ", b"\xb5m", b"\x01", b"&micro;"])
def test_a_fault_of_the_metadata_costs_the_metadata(bad, recwarn):
    """aicsimageio#328: OME-XML that is not well-formed."""
    xml = OME.format(me="0", name="A?B", n=1, planes="<TiffData/>").encode().replace(b"?B", bad)
    tifffile.imwrite(
        "a.ome.tif", STACK[0], description=xml, metadata=None, photometric="minisblack"
    )
    read = read_image("a.ome.tif")
    np.testing.assert_array_equal(read.data, STACK[0])
    said = [str(w.message) for w in recwarn if "metadata can't be read" in str(w.message)]
    assert bool(said) == (read.voxel_size is None)


def test_tifffiles_own_metadata_are_read():
    metadata = {"axes": "ZYX", "spacing": 0.3, "unit": "um"}
    tifffile.imwrite("a.tif", STACK, resolution=(5, 5), metadata=metadata, photometric="minisblack")
    assert read_image("a.tif").voxel_size == pytest.approx((0.3, 0.2, 0.2))


@pytest.mark.parametrize(
    "rest",
    [
        {
            "PhysicalSizeX": 200,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.2,
            "PhysicalSizeZ": 0.3,
        },
        {"PhysicalSizeX": 0.2, "PhysicalSizeXUnit": None, "spacing": 0.3, "unit": "um"},
        {"PhysicalSizeXUnit": "nm", "spacing": 0.3, "unit": "um"},
    ],
)
def test_words_of_ome_in_tifffiles_own_metadata_are_read(rest):
    """Along an axis for which there are none, those of ImageJ count."""
    metadata = {"axes": "ZYX"} | rest
    tifffile.imwrite("a.tif", STACK, metadata=metadata, photometric="minisblack", resolution=(5, 5))
    assert read_image("a.tif").voxel_size == pytest.approx((0.3, 0.2, 0.2))


@pytest.mark.parametrize("axes", ["CYX", "TYX"])
def test_planes_that_are_called_channels_or_times_are_told_how_to_be_planes(axes):
    """tifffile#50, scifio#316: a stack along z is written as one of channels, or of times."""
    tifffile.imwrite("a.tif", STACK, imagej=True, metadata={"axes": axes})
    with pytest.raises(ValueError, match="if they are planes along z, say so"):
        read_image("a.tif")


@pytest.mark.parametrize(("per_cm", "um"), [(50000, 0.2), (28.35, None)])
@pytest.mark.parametrize("kind", [None, {}])
def test_resolution_tags_count_where_no_printer_is_as_fine(kind, per_cm, um):
    """72 dots per inch are 28.35 per centimetre."""
    how = {"resolutionunit": "CENTIMETER", "metadata": kind, "photometric": "minisblack"}
    tifffile.imwrite("a.tif", STACK, resolution=(per_cm, per_cm), **how)
    expected = um and pytest.approx((um, um))
    found = read_image("a.tif").voxel_size
    assert found == expected or found[1:] == expected


# Channels and times


def test_the_channels_are_named():
    names = ["DAPI", "GFP", "RFP"]
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite("a.ome.tif", STACK[:3], metadata=metadata, photometric="minisblack")
    metadata = {"axes": "CYX", "Labels": names}
    tifffile.imwrite("b.tif", STACK[:3], imagej=True, metadata=metadata)
    for name in ("a.ome.tif", "b.tif"):
        with pytest.raises(ValueError, match=r"got 3 of them \(DAPI, GFP, RFP\); channel=0 takes"):
            read_image(name)


@pytest.mark.parametrize("memmap", [False, True])
@pytest.mark.parametrize("axes", ["CYX", "TYX", "TZCYX", "CZYX"])
def test_one_of_several_is_chosen(axes, memmap):
    sides = {"T": 2, "Z": 4, "C": 3, "Y": 16, "X": 18}
    data = np.random.default_rng(0).integers(0, 99, [sides[a] for a in axes]).astype(np.uint16)
    full = data if axes != "CZYX" else data.swapaxes(0, 1)
    tifffile.imwrite(
        "a.tif", full, imagej=True, metadata={"axes": axes if axes != "CZYX" else "ZCYX"}
    )
    several = read_each("a.tif", channel="all", time="all", memmap=memmap)
    assert len(several) == (3 if "C" in axes else 1) * (2 if "T" in axes else 1)
    which = {name: 1 for name, axis in (("channel", "C"), ("time", "T")) if axis in axes}
    index = tuple(1 if axis in "CT" else slice(None) for axis in axes)
    np.testing.assert_array_equal(read_image("a.tif", memmap=memmap, **which).data, data[index])
    with pytest.raises(ValueError, match=r"expected 0 to .*, got 7"):
        read_image("a.tif", **{name: 7 for name in which})


def test_a_colour_is_a_channel():
    colours = np.stack([GREY, GREY // 2, GREY // 3], axis=-1)
    PIL.Image.fromarray(colours).save("a.png")
    np.testing.assert_array_equal(read_image("a.png", channel=2).data, GREY // 3)


@pytest.mark.parametrize("output", ["out.tif", "out.ome.tif"])
@pytest.mark.parametrize("planes", [1, 4])
@pytest.mark.parametrize("dtype", ["u2", "i2", "f2"])
def test_all_of_them_are_restored_into_one_file(output, planes, dtype):
    """Stacks were written with z and channels mixed up: ImageJ's order is t, z, channel."""
    data = np.random.default_rng(0).integers(100, 999, (2, planes, 3, 16, 18)).astype("u2")
    tifffile.imwrite(
        "a.tif", data, imagej=True, metadata={"axes": "TZCYX", "unit": "um"}, resolution=(5, 5)
    )
    write_image("psf.tif", PSF if planes == 1 else np.stack([PSF] * 3) / 3)
    command = ["a.tif", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet", "--dtype"]
    command += [np.dtype(dtype).name, "-o", output, "--channel", "all", "--time", "all"]
    if (dtype, output) == ("f2", "out.ome.tif"):
        assert main(command) == 2
        return
    psf = read_image("psf.tif")
    assert main(command) == 0
    places = [(c, t) for c, t, _ in read_each(output, channel="all", time="all")]
    assert places == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    for t, c in np.ndindex(2, 3):
        whole = data[t, :, c].squeeze()
        expected = cast(deconvolve(whole, psf, "richardson_lucy").image, np.dtype(dtype))
        read = read_image(output, channel=c, time=t)
        np.testing.assert_array_equal(read.data, expected)
        assert read.voxel_size[-2:] == pytest.approx((0.2, 0.2))
    with tifffile.TiffFile(output) as tif:
        assert tif.is_ome == (output == "out.ome.tif" or dtype == "i2")


COMMAND = ["a.tif", "--psf", "psf.tif", "-o", "b.tif", "--method", "richardson_lucy"]


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_an_empty_channel_is_written_as_it_is(capsys, dtype):
    """It made the others unusable: an acquisition that was aborted leaves such frames."""
    times = np.array([STACK[0], np.full_like(STACK[0], 7), STACK[1]]).astype(dtype)
    tifffile.imwrite("a.tif", times, imagej=True, metadata={"axes": "TYX"})
    write_image("psf.tif", PSF)
    assert main([*COMMAND, "--time", "all", "--quiet", "--dtype", "uint16"]) == 0
    said = "siamdecon: --time 1: image: every pixel is 7; there is nothing to restore; it is written as"
    assert capsys.readouterr().err == f"{said} it is\n"
    np.testing.assert_array_equal(read_image("b.tif", time=1), times[1])
    records = json.loads(Path("b.json").read_text())["images"]
    assert records[1] == {"channel": None, "time": 1, "unchanged": said[21 : said.rindex(";")]}
    for t in (0, 2):
        one = deconvolve(STACK[t // 2], PSF, "richardson_lucy").image
        np.testing.assert_array_equal(read_image("b.tif", time=t), cast(one, np.dtype("u2")))


@pytest.mark.parametrize(
    ("last", "message"), [(0, "got constant ones alone"), (np.nan, "--channel 1: image: expected")]
)
def test_what_can_not_be_restored_is_found_before_the_first_training(
    last, message, capsys, monkeypatch
):
    channels = np.zeros((2, *STACK[0].shape), np.float32)
    channels[1] = last
    tifffile.imwrite("a.tif", channels, imagej=True, metadata={"axes": "CYX"})
    write_image("psf.tif", PSF)
    monkeypatch.setattr("siamdecon.cli.deconvolve", None)
    assert main([*COMMAND, "--channel", "all"]) == 2
    assert message in capsys.readouterr().err and not Path("b.tif").exists()


def test_each_of_several_trainings_has_its_checkpoint():
    tifffile.imwrite("a.tif", STACK[:2].astype("u2"), imagej=True, metadata={"axes": "CYX"})
    write_image("psf.tif", PSF)
    command = ["a.tif", "--psf", "psf.tif", "-o", "b.tif", "--channel", "all", "--quiet"]
    assert main([*command, "--method", "noise2same", "--checkpoint", "run.pt"]) == 0
    assert sorted(path.name for path in Path().glob("run*")) == ["run-0.pt", "run-1.pt"]


# dtypes


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("output", ["out.tif", "out.ome.tif"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u1", "u2", "u4", "f2", "f4", "f8", "i8"])
def test_every_dtype_comes_back(dtype, output, on_disk):
    image = np.random.default_rng(0).integers(-50, 70, (24, 26))
    image = (image + 50 * (dtype[0] == "u")).astype(dtype)
    source = write_image("a.tif", Image(image, "YX", (0.2, 0.2)))
    assert read_image(source).dtype == image.dtype
    command = ["a.tif", "-o", output, "--method", "richardson_lucy", "--quiet", "--dtype", "source"]
    write_image("psf.tif", PSF)
    done = main([*command, "--psf", "psf.tif", *["--on-disk"] * on_disk])
    if output == "out.ome.tif" and dtype in ("f2", "i8"):
        assert done == 2
        return
    assert done == 0
    restored = read_image(output)
    assert (restored.dtype, restored.voxel_size) == (image.dtype, pytest.approx((0.2, 0.2)))
    expected = deconvolve(image, PSF, "richardson_lucy").image
    # half a unit of the last place, or half a whole number
    half = 0.5 if dtype[0] in "iu" else np.finfo(dtype).eps * 100
    assert np.abs(restored.data - expected.clip(restored.data.min(), None)).max() <= half + 1e-3
    with tifffile.TiffFile(output) as tif:
        assert tif.is_ome or output == "out.tif"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_dtype_that_would_flatten_the_image_is_refused(dtype, capsys):
    """All zeros, and exit status 0."""
    write_image("a.tif", np.random.default_rng(0).random((24, 26)).astype(np.float32))
    write_image("psf.tif", PSF)
    command = ["a.tif", "--psf", "psf.tif", "-o", "out.tif", "--method", "wiener", "--quiet"]
    assert main([*command, "--dtype", dtype]) == 2
    assert "expected an image of 16 or more levels, got values of 0" in capsys.readouterr().err
    write_image(
        "a.tif",
        np.random.default_rng(0).integers(0, 4000, (24, 26)).astype(np.uint16),
        overwrite=True,
    )
    assert (main([*command, "--dtype", dtype]) == 0) == (dtype == "uint16")


def test_float16_holds_no_larger_value_in_silence(tmp_path):
    bright = np.linspace(0, 100_000, 24 * 26).reshape(24, 26)
    with pytest.raises(ValueError, match=r"-65504.* got values of 0 to 1e.05, which do not fit"):
        deconvolve(bright, PSF, "wiener").save("a.tif", dtype="float16")
    assert cast(np.array([1e9]), np.dtype("f2"))[0] == 65504


@pytest.mark.parametrize("dtype", ["foo", "complex64", "S4"])
def test_a_dtype_that_is_none(dtype):
    result = deconvolve(GREY, PSF, "wiener")
    with pytest.raises(ValueError, match="dtype: expected float32, source, or"):
        result.save("a.tif", dtype=dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_line_says_that_a_value_is_not_finite(value, capsys):
    """NumPy's own warnings stood before it."""
    image = np.random.default_rng(0).normal(100, 9, (24, 26))
    image[3, 4] = value
    tifffile.imwrite("a.tif", image, photometric="minisblack")
    write_image("psf.tif", PSF)
    command = ["a.tif", "--psf", "psf.tif", "-o", "out.tif", "--method", "wiener", "--quiet"]
    assert main([*command, "--dtype", "float16"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected finite values, got 1 NaN or infinite pixels" in line


def test_planes_that_were_written_as_colours_are_told_how_to_be_planes():
    with pytest.warns(DeprecationWarning):
        tifffile.imwrite("a.tif", STACK[:3])
    with pytest.raises(ValueError, match=r"if these are planes, write them with photometric='min"):
        read_image("a.tif")


def test_which_of_several_images_is_asked_for_without_doubting_the_file():
    with tifffile.TiffWriter("a.tif") as tif:
        tif.write(STACK, photometric="minisblack", metadata=None)
        tif.write(STACK[0, ::2, ::2], photometric="minisblack", metadata=None)
    with pytest.raises(ValueError, match=r"^scene: .* got 2 of them .*scene=0 takes the first$"):
        read_image("a.tif")


def test_a_mask_is_no_dtype_of_a_restoration():
    result = deconvolve(GREY > 100, PSF, "wiener")
    with pytest.raises(ValueError, match="got source, which is bool"):
        result.save("a.tif", dtype="source")


@pytest.mark.filterwarnings("ignore:dtype u?int64. what rises above")
def test_whole_numbers_of_64_bits_do_not_overflow():
    for dtype in (np.dtype("i8"), np.dtype("u8")):
        info = np.iinfo(dtype)
        assert cast(np.array([-1e30, 1e30]), dtype)[0] == info.min
        assert info.max - int(cast(np.array([1e30]), dtype)[0]) < 2**11  # float64 has 53 bits


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "source"])
def test_peaks_that_whole_numbers_cut_are_spoken_of(large, dtype):
    """46 % of the light of restored spots was left in a PNG."""
    image = np.full((40, 40), 20, np.uint8)
    image[16:24, 16:24] = 250
    path = write_image("a.tif", image)

    def restored(name, dtype):
        if large:
            how = {"dtype": dtype, "progress": False, "tile": 24, "overwrite": True}
            return deconvolve_file(path, PSF, f"{name}.tif", "richardson_lucy", **how)
        result = deconvolve(read_image(path), PSF, "richardson_lucy", progress=False)
        return result.save(f"{name}.tif", dtype=dtype, overwrite=True)

    with pytest.warns(
        UserWarning, match="dtype uint8: what rises above 255 is cut; save as float32"
    ):
        assert read_image(restored("cut", dtype)).data.max() == 255
    with warnings.catch_warnings(action="error"):
        assert read_image(restored("whole", "float32")).data.max() > 255


# The disk, names, the words of the command line


def test_the_message_is_in_the_words_of_the_command_line(capsys):
    write_image("a.tif", GREY)
    write_image("psf.tif", PSF)
    command = ["a.tif", "--psf", "psf.tif", "-o", "a.tif", "--method", "wiener"]
    assert main(command) == 2
    assert "choose another name or pass --overwrite" in capsys.readouterr().err
    tifffile.imwrite("c.tif", STACK[:2], imagej=True, metadata={"axes": "CYX"})
    assert main(["c.tif", "--psf", "psf.tif", "-o", "b.tif"]) == 2
    assert "--channel 0 takes the first" in capsys.readouterr().err


def test_a_name_of_255_bytes_is_written():
    name = "a" * 251 + ".tif"
    write_image(name, GREY)
    np.testing.assert_array_equal(read_image(name).data, GREY)
    with pytest.raises(ValueError, match="longer than 255 bytes"):
        write_image("a" + name, GREY)
    check_writable("a" * 239 + ".zarr")  # beside it is a folder whose name ends in .unfinished
    with pytest.raises(ValueError, match="longer than 244 bytes"):
        check_writable("a" * 240 + ".zarr")


@pytest.mark.skipif(sys.platform != "linux", reason="posix_fallocate")
def test_a_full_disk_is_an_error_before_the_file_is_mapped(monkeypatch, tmp_path):
    """A write to a map of a file on a full disk ends the process by SIGBUS."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    write_image("a.tif", STACK)
    psf = np.ones((3, 3, 3)) / 27
    with pytest.raises(
        OSError, match=r"cannot write b.tif to .*: No space left on device for .* GB"
    ):
        deconvolve_file("a.tif", psf, "b.tif", "richardson_lucy", progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif"]


@pytest.mark.skipif(sys.platform != "linux", reason="posix_fallocate")
def test_a_full_disk_is_an_error_where_a_file_is_unpacked(monkeypatch):
    tifffile.imwrite("a.tif", STACK, compression="zstd", photometric="minisblack")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setitem(sys.modules, "zarr", None)  # with it, nothing is unpacked
    full = r"cannot unpack a.tif: No space left on device for .* GB in .*; free some space or set TMPDIR"
    with pytest.raises(OSError, match=full):
        read_image("a.tif", memmap=True)


@pytest.mark.skipif(sys.platform != "linux", reason="posix_fallocate")
def test_a_file_system_that_reserves_nothing_is_used_as_before(monkeypatch):
    def unable(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.posix_fallocate", unable)
    write_image("a.tif", STACK)
    psf = np.ones((3, 3, 3)) / 27
    assert deconvolve_file("a.tif", psf, "b.tif", "richardson_lucy", progress=False).exists()


# Microscopes' own formats


def test_the_package_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bioio", None)
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    with pytest.raises(ValueError, match=r"a\.czi: .*bioio.*pip install \"siamdecon\[formats\]\""):
        read_image("a.czi")


def test_damaged_pixels_of_another_format_are_one_line(monkeypatch, capsys):
    """They are read late, and what bioio's plug-ins raise is of almost any type: it was a traceback."""

    class Damaged:
        shape, ndim, dtype = (24, 26), 2, np.dtype("u2")

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("sub-block 3 is cut short")

    monkeypatch.setattr("siamdecon.files.images._read_format", lambda *_: (Damaged(), "YX", {}, ()))
    Path("a.czi").touch()
    assert main(["inspect", "a.czi"]) == 2
    assert "siamdecon: cannot read a.czi: sub-block 3 is cut short" in capsys.readouterr().err


def test_a_tag_of_orientation_is_said_and_the_stored_pixels_are_kept():
    """Fiji and most analyses ignore it, too; the kernel belongs to the stored pixels."""
    seen = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    bottom_left = (274, "H", 1, 4, True)
    tifffile.imwrite("a.tif", seen, extratags=[bottom_left], metadata=None)
    with pytest.warns(UserWarning, match=r"turned or mirrored .*BOTLEFT.* is ignored"):
        np.testing.assert_array_equal(read_image("a.tif"), seen)


def test_a_big_tiff_by_its_own_suffix():
    seen = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    tifffile.imwrite("a.btf", seen, bigtiff=True, photometric="minisblack")
    np.testing.assert_array_equal(read_image("a.btf"), seen)
