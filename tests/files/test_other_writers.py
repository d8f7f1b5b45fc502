"""Files of other writers: by content, not by name; several images, planes and names in one file."""

import json
import logging
import logging.config
import struct
import threading
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import tifffile

from siamdecon import read_image, write_image
from siamdecon.cli import main
from siamdecon.files.images import read_each
from siamdecon.files.tiff import _raising_logged_errors

STACK = np.random.default_rng(0).integers(100, 400, (5, 16, 18)).astype(np.uint16)
PLANE = STACK[0]
GREY = (PLANE // 2).astype(np.uint8)
NAMES = ["DAPI", "GFP", "RFP"]
CHANNELS = np.random.default_rng(1).integers(0, 900, (5, 3, 16, 18)).astype(np.uint16)  # z, c, y, x
BLACK = {"photometric": "minisblack"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIAMDECON_TIER", "test")


def assert_reads(name, pixels, voxel_size=None, **which):
    for memmap in (False, True):
        image = read_image(name, memmap=memmap, **which)
        np.testing.assert_array_equal(image.data, pixels)
        assert image.dtype == pixels.dtype
        expected = voxel_size and pytest.approx(voxel_size)
        assert image.voxel_size == expected


def write_cut(name):
    """Write a stack whose second page is not there."""
    tifffile.imwrite(name, STACK, metadata=None, **BLACK)
    Path(name).write_bytes(Path(name).read_bytes()[:1500])


def logger_state():
    logger = logging.getLogger("tifffile")
    about = (logger.disabled, logger.level, logger.filters, logger.handlers)
    return *map(str, about), logging.root.manager.disable


def write_lsm(name, planes):
    """Write a stack as Zeiss does: metadata in a tag of its own, a thumbnail after every plane."""
    about = np.zeros((), np.dtype(tifffile.TIFF.CZ_LSMINFO).newbyteorder("<"))
    sides = {"DimensionX": 18, "DimensionY": 16, "DimensionZ": 5, "DimensionTime": 1}
    voxels = {"VoxelSizeX": 1e-7, "VoxelSizeY": 2e-7, "VoxelSizeZ": 3e-7}  # m
    head = {"MagicNumber": 67127628, "StructureSize": about.nbytes, "DataType": 2}
    sides["DimensionChannels"] = 1 if planes.ndim == 3 else planes.shape[1]
    for field, value in (head | sides | voxels).items():
        about[field] = value
    tag = (34412, 1, about.nbytes, about.tobytes(), True)
    how = BLACK | ({} if planes.ndim == 3 else {"planarconfig": "separate"})
    with tifffile.TiffWriter(name) as tif:
        for i, plane in enumerate(planes):
            first = [tag] if i == 0 else []
            tif.write(plane, metadata=None, contiguous=False, extratags=first, **how)
            small = np.zeros((4, 4, 3), np.uint8)
            tif.write(small, photometric="rgb", subfiletype=1, metadata=None, contiguous=False)


def write_stk(name, z_step=(3, 10), unit=b"um"):
    """Write a stack as MetaMorph does: one page, whose tags tell of all planes."""
    n, n_bytes = len(STACK), PLANE.nbytes
    planes = [struct.pack("<6I", *z_step, 2450000, 1000 * i, 2450000, 0) for i in range(n)]
    at = 8 + 2 + 14 * 12 + 4  # where what does not fit into a tag begins
    pixels_at = at + 24 * n + 8 * n + 8 * 4
    sizes_at = pixels_at + STACK.nbytes
    about = struct.pack("<8I", 3, 1, 4, sizes_at, 5, sizes_at + 8, 6, sizes_at + 16)
    tags = [(254, 4, 1, 0), (256, 4, 1, 18), (257, 4, 1, 16), (258, 3, 1, 16), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 1), (273, 4, 1, pixels_at), (277, 3, 1, 1), (278, 4, 1, 16)]
    tags += [(279, 4, 1, n_bytes), (339, 3, 1, 1), (33628, 4, 4, at + 32 * n)]
    tags += [(33629, 5, n, at), (33630, 5, n, at + 24 * n)]
    with open(name, "wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, len(tags)))
        for tag in tags:
            file.write(struct.pack("<HHII", *tag))
        file.write(struct.pack("<I", 0) + b"".join(planes) + struct.pack("<2I", 520, 1) * n)
        file.write(about + STACK.tobytes() + struct.pack("<4I", 2, 10, 2, 10))
        file.write(struct.pack("<I", len(unit) + 1) + unit + b"\0")


# What a file is, its content tells


@pytest.mark.parametrize("name", ["a.lsm", "a.tif"])
def test_zeiss_lsm(name):
    write_lsm(name, STACK)
    assert_reads(name, STACK, (0.3, 0.2, 0.1))
    write_lsm(name, CHANNELS)
    assert_reads(name, CHANNELS[:, 2], (0.3, 0.2, 0.1), channel=2)


@pytest.mark.parametrize("name", ["a.stk", "a.tif"])
def test_metamorph_stk(name):
    write_stk(name)
    assert_reads(name, STACK, (0.3, 0.2, 0.2))
    write_stk(name, z_step=(0, 1))
    assert_reads(name, STACK[3], (0.2, 0.2), time=3)
    write_stk(name, unit=b"pixel")
    assert_reads(name, STACK)


@pytest.mark.parametrize("name", ["a.tif", "a.tf8", "a.TF2", "a.png", "scan"])
def test_a_tiff_by_any_of_its_names(name):
    with open(name, "wb") as file:
        tifffile.imwrite(file, STACK, bigtiff=True, **BLACK)
    assert_reads(name, STACK)


def test_a_png_that_is_called_tif():
    with open("a.tif", "wb") as file:
        PIL.Image.fromarray(PLANE).save(file, "PNG")
    assert_reads("a.tif", PLANE)


def test_a_link_with_a_name_of_its_own():
    write_image("a.tif", STACK)
    (read_image("a.tif").path.parent / "newest").symlink_to("a.tif")
    assert_reads("newest", STACK)


def test_an_animation_is_no_plane():
    """Its first picture was taken for all of it."""
    pictures = [PIL.Image.fromarray(GREY + i) for i in range(3)]
    pictures[0].save("a.png", save_all=True, append_images=pictures[1:])
    with pytest.raises(ValueError, match=r"expected a picture, got an animation; save it as a T"):
        read_image("a.png")
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("of", "acTL")
    pictures[0].save("b.png", pnginfo=text)
    assert_reads("b.png", GREY)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_a_png_are_stretched_as_they_are_shown(bits):
    levels = np.arange(2**bits, dtype=np.uint8).repeat(4).reshape(4, -1)
    PIL.Image.fromarray(levels * (255 // (2**bits - 1))).save("a.png", bits=bits)
    assert_reads("a.png", np.array(PIL.Image.open("a.png").convert("L")))


def test_opaque_grey_of_16_bits_in_a_png():
    pixels = np.stack([PLANE, np.full_like(PLANE, 65535)], axis=-1)
    with open("a.png", "wb") as file:
        file.write(imagecodecs.png_encode(pixels))
    assert_reads("a.png", PLANE)


# Several images in one file


@pytest.mark.parametrize("first", [True, False])
def test_a_thumbnail_or_a_mask_is_no_image_to_choose(first):
    """NewSubfileType says what they are; a whole image was refused for the sake of its thumbnail."""
    for kind, aside in ((1, GREY[::4, ::4]), (4, GREY > 70)):
        with tifffile.TiffWriter("a.tif") as tif:
            pages = [(aside, kind), (PLANE, 0)]
            for pixels, subfiletype in pages if first else pages[::-1]:
                tif.write(pixels, subfiletype=subfiletype, metadata=None, **BLACK)
        assert_reads("a.tif", PLANE)


def test_an_image_that_is_only_said_to_be_reduced():
    tifffile.imwrite("a.tif", STACK, subfiletype=1, metadata=None, **BLACK)
    assert_reads("a.tif", STACK)


def test_a_stack_written_plane_by_plane():
    """As imageio.mimwrite does: each plane had metadata of its own, and five scenes were found."""
    with tifffile.TiffWriter("a.tif") as tif:
        for plane in STACK:
            tif.write(plane, resolution=(50000, 50000), resolutionunit=3, **BLACK)
    assert_reads("a.tif", STACK, (None, 0.2, 0.2))
    assert_reads("a.tif", STACK[2], (0.2, 0.2), scene=2)
    with tifffile.TiffWriter("b.tif") as tif:
        for _ in range(2):
            tif.write(STACK, **BLACK)
    with pytest.raises(ValueError, match=r"scene: expected one to take of b\.tif, got 2 of them"):
        read_image("b.tif")


@pytest.mark.parametrize("metadata", [None, {"axes": "YX", "unit": "um"}])
def test_each_of_several_images_has_its_own_voxel_size(metadata):
    """That of the first was given to all."""
    um, unit = (1, 1) if metadata else (10_000, 3)
    with tifffile.TiffWriter("a.tif") as tif:
        for pixels, per_um in ((PLANE, 10), (GREY, 4)):
            how = {"resolution": (per_um * um,) * 2, "resolutionunit": unit}
            tif.write(pixels, metadata=metadata, **how, **BLACK)
    assert_reads("a.tif", PLANE, (0.1, 0.1), scene=0)
    assert_reads("a.tif", GREY, (0.25, 0.25), scene=1)


def test_a_position_by_its_name():
    """Of several images in an OME-TIFF only the shape was told, the same for all."""
    with tifffile.TiffWriter("a.ome.tif") as tif:
        for name, pixels in (("B3", STACK), ("B4", STACK + 1), ("B4", STACK + 2)):
            tif.write(pixels, metadata={"axes": "ZYX", "Name": name}, **BLACK)
    with pytest.raises(ValueError, match=r"scene: .* got 3 of them \(B3, B4, B4\); scene=0 takes"):
        read_image("a.ome.tif")
    assert_reads("a.ome.tif", STACK, scene="B3")
    assert_reads("a.ome.tif", STACK + 2, scene="2")
    with pytest.raises(ValueError, match="scene: expected one by its number, as several have this"):
        read_image("a.ome.tif", scene="B4")


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'UUID="urn:uuid:00000001-0000-0000-0000-000000000000">{}</OME>'
)
IMAGE = (
    '<Image ID="Image:{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" SizeX="18" '
    'SizeY="16" SizeZ="5" SizeC="1" SizeT="1" PhysicalSizeX="{size}" PhysicalSizeY="{size}">'
    '<TiffData IFD="0" PlaneCount="5"><UUID FileName="{i}.ome.tif">'
    "urn:uuid:0000000{i}-0000-0000-0000-000000000000</UUID></TiffData></Pixels></Image>"
)


@pytest.mark.parametrize(("size", "kept"), [(0.1, True), (0.4, False)])
def test_metadata_of_another_image_are_not_taken(size, kept):
    """The file of the first image is elsewhere; the second had the voxel size of the first."""
    text = OME.format(IMAGE.format(i=0, size=0.1) + IMAGE.format(i=1, size=size))
    how = {"metadata": None, "description": text, **BLACK}
    tifffile.imwrite("1.ome.tif", STACK, **how)
    if kept:
        assert_reads("1.ome.tif", STACK, (None, 0.1, 0.1))
        return
    with pytest.warns(UserWarning, match=r"its metadata are of 2 images, it holds 1; give the vo"):
        assert_reads("1.ome.tif", STACK)


def ome(planes, pixels="", root=' UUID="urn:uuid:0"'):
    """Return metadata of two channels of three planes along z."""
    size = 'SizeX="18" SizeY="16" SizeZ="3" SizeC="2" SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1"'
    names = "".join(f'<Channel ID="Channel:0:{i}" Name="{NAMES[i]}"/>' for i in range(2))
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}>'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {size}{pixels}>'
        f"{names}{planes}</Pixels></Image></OME>"
    )


def in_file(*names):
    """Return what metadata say of six planes, each in the next of the files."""
    return "".join(
        f'<TiffData IFD="{i if len(names) == 1 else 0}" FirstZ="{i % 3}" FirstC="{i // 3}" PlaneCount="1">'
        f'<UUID FileName="{names[i % len(names)]}">urn:uuid:{1 + i % len(names)}</UUID></TiffData>'
        for i in range(6)
    )


SIX = np.random.default_rng(2).integers(0, 900, (6, 16, 18)).astype(np.uint16)  # c and z


@pytest.mark.parametrize("root", ["", ' UUID="urn:uuid:0"', ' UUID="urn:uuid:1"'])
def test_an_ome_tiff_may_be_renamed(root):
    """OMETIFF.jl#14, bioformats#1670: two channels became planes of one stack, in silence."""
    write_pages("new.ome.tif", ome(in_file("old.ome.tif"), root=root), SIX)
    assert_reads("new.ome.tif", SIX[3:], (None, 0.1, 0.1), channel="GFP")
    write_pages("old.ome.tif", None, SIX + 1)  # of another image, by now
    assert_reads("new.ome.tif", SIX[3:], (None, 0.1, 0.1), channel="GFP")


@pytest.mark.parametrize("planes", ["", "<MetadataOnly/>"])
@pytest.mark.parametrize("prefix", ["", "OME:"])
def test_metadata_that_say_nothing_of_pages_mean_all_in_their_order(planes, prefix):
    """viv#714: two channels became planes of one stack, in silence."""
    xml = (
        ome(planes).replace("<Pixels", f"<{prefix}Pixels").replace("</Pixels", f"</{prefix}Pixels")
    )
    space = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    write_pages(
        "a.ome.tif", xml.replace(space, f"{space} {space.replace('xmlns', 'xmlns:OME')}"), SIX
    )
    assert_reads("a.ome.tif", SIX[3:], (None, 0.1, 0.1), channel="GFP")


@pytest.mark.parametrize("about", ["a.companion.ome", "0.ome.tif"])
@pytest.mark.parametrize("folder", ["", "../elsewhere/", "C:\\scan\\"])
def test_planes_that_another_file_tells_of(about, folder, tmp_path):
    """iohub#97: of six files each was taken for the whole image; it is looked for beside them only."""
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    (tmp_path.parent / "elsewhere" / about).write_text("other metadata", "utf-8")
    names = [f"{i}.ome.tif" for i in range(6)]
    whole = ome(in_file(*names), root=f' UUID="urn:uuid:{int(about[0] == "0")}"')
    Path("a.companion.ome").write_text(whole, "utf-8")
    for i, name in enumerate(names):
        part = f'<BinaryOnly MetadataFile="{folder}{about}" UUID="urn:uuid:0"/></OME>'
        part = whole[: whole.find("<Image")].replace("urn:uuid:0", f"urn:uuid:{1 + i}") + part
        write_pages(name, whole if name == about else part, SIX[i : i + 1])
    assert_reads("4.ome.tif", SIX[3:], (None, 0.1, 0.1), channel="GFP")
    Path("2.ome.tif").unlink()
    with pytest.raises(ValueError, match=r"1 of its 6 planes are missing, in 2\.ome\.tif"):
        read_image("4.ome.tif", channel=1)


def test_metadata_of_an_image_of_another_size_cost_the_metadata():
    """A program had cropped or reduced the image and kept its description: channels became planes."""
    write_pages("a.ome.tif", ome("<TiffData/>"), SIX[:, ::2, ::2])
    with pytest.warns(UserWarning, match="its metadata do not fit its pages"):
        assert_reads("a.ome.tif", SIX[:, ::2, ::2])


# Planes


def write_micro_manager(name, planes, places=()):
    """Write an acquisition of two channels and three planes along z as Micro-Manager does, without OME-XML.

    An index of channel, z, time, position and offset follows, or is in another file (NDTiff); pixels lie 162
    bytes behind each offset.
    """
    about = {"MicroManagerVersion": "2", "Frames": 1, "Slices": 3, "Channels": 2, "Positions": 1}
    text = json.dumps(about | {"SlicesFirst": True, "TimeFirst": False}).encode()
    first, size = 40 + len(text), 162 + PLANE.nbytes
    offsets = [first + size * i for i in range(len(planes))]
    kind = (54773648, first + size * len(planes), 0, 0) if places else (483729, 3, 0, 2355492)
    ends = (first, *kind, *((0, 0, 2355492) if places else (len(text), 0, 0)), len(text))
    with open(name, "wb") as file:
        file.write(b"II*\0" + struct.pack("<9I", *ends) + text)
        for plane, offset, after in zip(planes, offsets, [*offsets[1:], 0], strict=True):
            tags = [(254, 0), (256, 18), (257, 16), (258, 16), (259, 1), (262, 1)]
            tags += [
                (273, offset + 162),
                (277, 1),
                (278, 16),
                (279, PLANE.nbytes),
                (284, 1),
                (339, 1),
            ]
            file.write(struct.pack("<H", 13))
            file.write(b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags))
            file.write(struct.pack("<HHIII", 51123, 2, len(text), 40, after) + plane.tobytes())
        file.write(struct.pack("<2I", 3453623, len(places)))
        for (c, z), offset in zip(places, offsets, strict=False):
            file.write(struct.pack("<5I", c, z, 0, 0, offset))


def test_an_acquisition_that_was_broken_off(recwarn):
    """tifffile#187, waveorder#25: Micro-Manager's planes were dropped, or 0, in silence."""
    places = [(c, z) for z in range(3) for c in range(2)]
    write_micro_manager("a_MMStack.ome.tif", SIX, places)
    assert_reads("a_MMStack.ome.tif", SIX[1::2], channel=1)
    assert not [w for w in recwarn if w.category is UserWarning]
    write_micro_manager("a_MMStack.ome.tif", SIX[:4], places[:4])
    with pytest.warns(UserWarning, match=r"missing files.*subset \(1, 1, 2, 2\) of \(1, 1, 3, 2\)"):
        assert_reads("a_MMStack.ome.tif", SIX[1:4:2], channel=1)
    for n in (3, 6):
        write_micro_manager("a_MMStack.ome.tif", SIX[:n], places[:n])
        content = bytearray(Path("a_MMStack.ome.tif").read_bytes())
        content[-4:] = content[-4:] if n == 3 else bytes(4)  # the last offset
        Path("a_MMStack.ome.tif").write_bytes(content)
        with pytest.raises(ValueError, match=f"1 of its {n + n % 2} planes are missing"):
            read_image("a_MMStack.ome.tif", channel=0)


def test_an_index_that_is_gone():
    """Two channels became planes, in silence."""
    write_micro_manager("a_NDTiffStack.tif", SIX)
    with pytest.warns(UserWarning, match=r"its axes are in NDTiff\.index, which is not there"):
        assert_reads("a_NDTiffStack.tif", SIX)


def test_tiles_that_are_not_there_are_said():
    """virtual-tiff#108, geotiff.js#304: they were 0, in silence. Some writers leave out empty ones."""
    tiles = [None if i in (3, 7) else np.full((16, 16), i, np.uint16) for i in range(16)]
    how = {"shape": (64, 64), "dtype": "u2", "tile": (16, 16), "compression": "zlib", **BLACK}
    tifffile.imwrite("a.tif", iter(tiles), **how)
    seen = np.block([[np.full((16, 16), 0 if (i := 4 * y + x) in (3, 7) else i) for x in range(4)]
                     for y in range(4)]).astype("u2")  # fmt: skip
    with pytest.warns(
        UserWarning, match="2 of its 16 strips or tiles are not there and count as 0"
    ):
        assert_reads("a.tif", seen)


@pytest.mark.parametrize("code", [37500, 282])
def test_a_tag_that_cannot_be_read_costs_no_more_than_it_says(code):
    """A value that lay behind the end of the file: the whole file was refused."""
    note = (37500, "B", 9, bytes(9))
    tifffile.imwrite("a.tif", PLANE, metadata=None, extratags=[note], resolution=(5, 5), **BLACK)
    with tifffile.TiffFile("a.tif") as tif:
        at = tif.pages[0].tags[code].offset + 8
    content = bytearray(Path("a.tif").read_bytes())
    content[at : at + 4] = struct.pack("<I", 10**6)
    Path("a.tif").write_bytes(content)
    with pytest.warns(
        UserWarning, match=rf"a\.tif: a tag can't be read .*TiffTag {code} .*invalid"
    ):
        assert_reads("a.tif", PLANE)


def test_signed_integers_as_imagej_stores_them():
    """They came 32768 too high: it has no signed integers, and a calibration says what they mean."""
    pixels = STACK.astype(np.int16) - 300
    text = "ImageJ=1.54f\nimages=5\nslices=5\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value\n"
    write_pages("a.tif", text, (pixels.astype(int) + 2**15).astype(np.uint16))
    assert_reads("a.tif", pixels)


def write_pages(name, description, planes=STACK):
    with tifffile.TiffWriter(name) as tif:
        for i, plane in enumerate(planes):
            how = {"description": description if i == 0 else None, "resolution": (5, 5)}
            tif.write(plane, metadata=None, contiguous=False, resolutionunit=1, **how, **BLACK)


def test_more_pages_than_announced_are_all_read():
    """In memory five planes were read, from disk three."""
    write_pages("a.tif", "ImageJ=1.54f\nimages=3\nslices=3\nunit=um\n")
    for memmap in (False, True):
        np.testing.assert_array_equal(read_image("a.tif", memmap=memmap).data, STACK)


def test_fewer_planes_than_an_lsm_announces_are_refused():
    write_lsm("a.lsm", STACK)
    with open("a.lsm", "rb") as file:
        content = file.read()
    at = content.find(struct.pack("<I", 67127628)) + 16  # of DimensionZ
    with open("a.lsm", "wb") as file:
        file.write(content[:at] + struct.pack("<I", 7) + content[at + 4 :])
    for memmap in (False, True):
        with pytest.raises(ValueError, match="it announces 7 planes and holds 5"):
            read_image("a.lsm", memmap=memmap)


@pytest.mark.parametrize("words", ['"shape": [3, 3], "axes": "CYX"', '"shape": [7, 16, 17]'])
def test_a_shape_that_is_not_the_pixels_own_costs_the_metadata(words):
    """A program had cropped an image of tifffile's, and kept its description."""
    tifffile.imwrite("a.tif", STACK, metadata=None, description=f"{{{words}}}", **BLACK)
    with pytest.warns(UserWarning, match="its metadata can't be read .*its pages are taken for"):
        assert_reads("a.tif", STACK)


@pytest.mark.parametrize("all_pages", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda stack: stack[:, ::2, ::2], '"shape": [6, 16, 18]'),
        (lambda stack: stack[:, :8], '"shape": [6, 16, 18], "axes": "ZYX"'),
        (lambda stack: np.rot90(stack, axes=(1, 2)), '"shape": [2, 3, 16, 18], "axes": "CZYX"'),
    ],
)
def test_planes_that_another_program_halved_or_turned_cost_the_metadata(change, words, all_pages):
    """Of six planes one was left, or channels were planes along z: libvips keeps the description."""
    stack = change(np.concatenate([STACK, STACK[:1] + 1]))
    with tifffile.TiffWriter("a.tif") as tif:
        for i, plane in enumerate(stack):
            said = f"{{{words}}}" if all_pages or i == 0 else None
            tif.write(plane, metadata=None, contiguous=False, description=said, **BLACK)
    with pytest.warns(UserWarning, match=r"a.tif: its metadata .*its pages are taken for"):
        assert_reads("a.tif", stack)


def test_colours_beside_an_axis_of_one_channel():
    """To pick one was the advice of an error at picking one."""
    colours = np.random.default_rng(2).integers(0, 255, (1, 33, 38, 3), np.uint8)
    tifffile.imwrite("a.tif", colours, photometric="rgb", metadata={"axes": "CYXS"})
    for channel in range(3):
        assert_reads("a.tif", colours[0, ..., channel], channel=channel)
    each = [image.data for _, _, image in read_each("a.tif", channel="all")]
    np.testing.assert_array_equal(each, np.moveaxis(colours[0], -1, 0))


def test_small_letters_for_axes():
    tifffile.imwrite("a.tif", STACK, metadata={"axes": "zyx"}, **BLACK)
    assert_reads("a.tif", STACK)


@pytest.mark.parametrize(
    "mute",
    [
        lambda: logging.config.dictConfig(
            {"version": 1}
        ),  # which disables the loggers that are there
        lambda: logging.disable(logging.CRITICAL),
        lambda: logging.getLogger("tifffile").setLevel(logging.CRITICAL),
        lambda: logging.getLogger().setLevel(logging.CRITICAL),
        lambda: logging.getLogger("tifffile").addFilter(lambda record: False),
    ],
)
def test_a_cut_file_is_refused_whatever_the_application_has_muted(mute, monkeypatch):
    """What tifffile only logs was then not seen: four of five planes were lost in silence."""
    root, logger, below = (
        logging.getLogger(),
        logging.getLogger("tifffile"),
        logging.root.manager.disable,
    )
    level, above = logger.level, root.level
    monkeypatch.setattr(logger, "disabled", logger.disabled)
    monkeypatch.setattr(logger, "filters", [])
    write_cut("a.tif")
    try:
        mute()
        before = logger_state()
        with pytest.raises(ValueError, match=r"cannot read a.tif: .*invalid page offset"):
            read_image("a.tif")
        assert logger_state() == before
    finally:
        logging.disable(below)
        logger.setLevel(level)
        root.setLevel(above)


def test_a_thread_waits_for_another_threads_log():
    """Good files were refused for another's fault, cut ones were read, and what was muted no more."""
    write_cut("cut.tif")
    write_image("good.tif", STACK)
    before, entered, done = logger_state(), threading.Event(), []

    def read_cut():
        entered.set()
        with pytest.raises(ValueError, match=r"cannot read cut.tif: .*invalid page offset"):
            read_image("cut.tif")
        done.append("cut")

    other = threading.Thread(target=read_cut)
    with _raising_logged_errors(Path("good.tif")):
        other.start()
        assert entered.wait(5)
        other.join(0.2)
        assert not done
        assert read_image("good.tif").shape == STACK.shape
    other.join(5)
    assert done == ["cut"]
    assert logger_state() == before


# Voxel sizes


@pytest.mark.parametrize(("unit", "per_unit"), [(2, 127_000), (3, 50_000), (4, 5000), (5, 5)])
def test_units_of_resolution_tags(unit, per_unit):
    how = {"resolution": (per_unit, per_unit), "resolutionunit": unit}
    tifffile.imwrite("a.tif", PLANE, metadata=None, **how)
    assert_reads("a.tif", PLANE, (0.2, 0.2))
    description = "ImageJ=1.54f\nimages=1\n"  # ImageJ reads the tag where its own text has no unit
    tifffile.imwrite("b.tif", PLANE, metadata=None, description=description, **how)
    assert_reads("b.tif", PLANE, (0.2, 0.2))


@pytest.mark.parametrize("how", [{"imagej": True}, BLACK])
@pytest.mark.parametrize(("tag", "per_unit"), [(2, 127_000), (3, 50_000)])
@pytest.mark.parametrize("unit", ["um", "microns", "Micron", "micrometer", "\\u00B5m"])
def test_resolution_tags_may_have_a_unit_of_their_own(how, tag, per_unit, unit):
    """Pixels per centimetre, in a file that is said to be in um: pixels were 0.00002 um wide."""
    about = {"axes": "ZYX", "spacing": 0.3, "unit": unit}
    resolution = {"resolution": (per_unit, per_unit), "resolutionunit": tag}
    tifffile.imwrite("a.tif", STACK, metadata=about, **resolution, **how)
    assert_reads("a.tif", STACK, (0.3, 0.2, 0.2))


@pytest.mark.parametrize(("tag", "name", "per_unit"), [(2, "inch", 254), (3, "cm", 100)])
def test_tags_and_text_that_contradict_each_other_are_said(tag, name, per_unit):
    """libvips writes tags of its own and keeps ImageJ's text: 0.0039 um in place of 0.1, in silence."""
    text = "ImageJ=1.54f\nimages=5\nslices=5\nunit=um\nspacing=0.3\n"
    how = {"resolution": (per_unit, per_unit), "resolutionunit": tag}
    tifffile.imwrite("a.tif", STACK, metadata=None, description=text, **how, **BLACK)
    said = f"its pixels are 0.0.* um wide by .* 'um', and 100 um by .* {name}; give the voxel size"
    with pytest.warns(UserWarning, match=said):
        read_image("a.tif")


def test_a_step_of_one_is_left_out_by_imagej():
    """It was unknown."""
    for unit, z in (("micron", 1.0), ("nm", 0.001)):
        text = f"ImageJ=1.54f\nimages=5\nslices=5\nunit={unit}\nloop=false\n"
        resolution = {"resolution": (10 * z, 10 * z), "resolutionunit": 1}
        tifffile.imwrite("a.tif", STACK, metadata=None, description=text, **resolution, **BLACK)
        assert_reads("a.tif", STACK, (z, 0.1, 0.1))
    write_image("a.tif", STACK, voxel_size=(None, 0.1, 0.1), overwrite=True)
    assert read_image("a.tif").voxel_size == (None, pytest.approx(0.1), pytest.approx(0.1))
    text = "ImageJ=1.54f\nimages=5\nframes=5\nunit=um\n"  # no planes along z
    tifffile.imwrite("a.tif", STACK, metadata=None, description=text, **BLACK)
    assert read_image("a.tif", time=0).shape == PLANE.shape


def test_the_calibration_of_metamorph():
    """Its TIFFs are for print, as to their tags."""
    values = {
        "state": ("bool", "on"),
        "x": ("float", 0.3),
        "y": ("float", 0.2),
        "units": ("string", "um"),
    }
    props = "".join(
        f'<prop id="spatial-calibration-{name}" type="{kind}" value="{value}"/>'
        for name, (kind, value) in values.items()
    )
    text = f"<MetaData><PlaneInfo>{props}</PlaneInfo></MetaData>"
    how = {"description": text, "metadata": None, "resolution": (72, 72), "resolutionunit": 2}
    tifffile.imwrite("a.tif", PLANE, software="MetaSeries", **how, **BLACK)
    assert_reads("a.tif", PLANE, (0.2, 0.3))
    how |= {
        "description": text.replace("<PlaneInfo>", "<PlaneInfo>&"),
        "resolution": (50_000, 50_000),
    }
    tifffile.imwrite("b.tif", PLANE, software="MetaSeries", **how | {"resolutionunit": 3}, **BLACK)
    assert_reads("b.tif", PLANE, (0.2, 0.2))  # of its tags


@pytest.mark.parametrize("unit", ["inch", "inches", "in"])
def test_pixels_in_inches_are_said_if_they_are_those_of_a_print(unit, capsys):
    """Fiji gives a picture of 72 dots per inch a voxel size."""
    how = {"imagej": True, "metadata": {"unit": unit}}
    tifffile.imwrite("a.tif", PLANE, resolution=(72, 72), **how)
    with pytest.warns(
        UserWarning, match=rf"its pixels are 353 um wide, in '{unit}' as for a print"
    ):
        assert_reads("a.tif", PLANE, (25400 / 72, 25400 / 72))
    tifffile.imwrite("b.tif", PLANE, resolution=(254_000, 254_000), **how)
    assert_reads("b.tif", PLANE, (0.1, 0.1))
    command = "a.tif --na 0.8 --wavelength 0.6 --method wiener -o c.tif".split()
    assert main(command) == 2
    assert "unless that is right, give the voxel size in um" in capsys.readouterr().err


@pytest.mark.parametrize("spacing", ["NaN", "INF", "-Infinity"])
def test_a_spacing_that_is_not_finite_is_said(spacing):
    write_pages("a.tif", f"ImageJ=1.54f\nimages=5\nslices=5\nunit=um\nspacing={spacing}\n")
    with pytest.warns(UserWarning, match=r"the voxel size along z, .* 'um', can't be read"):
        assert_reads("a.tif", STACK, (None, 0.2, 0.2))


def test_the_greek_letter_as_fiji_escapes_it():
    write_pages("a.tif", "ImageJ=1.54f\nimages=5\nslices=5\nunit=\\u03BCm\nspacing=0.3\n")
    assert_reads("a.tif", STACK, (0.3, 0.2, 0.2))


# Channels


def write_channels(name):
    about = {"axes": "ZCYX"}
    if name.endswith(".ome.tif"):
        tifffile.imwrite(name, CHANNELS, metadata=about | {"Channel": {"Name": NAMES}}, **BLACK)
    else:
        labels = {"Labels": NAMES * len(CHANNELS)}  # one a plane
        tifffile.imwrite(name, CHANNELS, imagej=True, metadata=about | labels)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_a_channel_by_its_name(name, capsys):
    write_channels(name)
    assert_reads(name, CHANNELS[:, 1], channel="GFP")
    assert read_image(name, channel=1).channel == "GFP"
    with pytest.raises(ValueError, match=r"0 to 2, as .* has 3 \(DAPI, GFP, RFP\), got 'YFP'"):
        read_image(name, channel="YFP")
    assert main(["inspect", name, "--channel", "GFP"]) == 0
    assert main(["inspect", name, "--channel", "YFP"]) == 2
    assert "got 'YFP'" in capsys.readouterr().err


def test_a_name_may_be_a_number(capsys):
    """A laser's wavelength was taken for the number of a channel, and refused."""
    metadata = {"axes": "CYX", "Channel": {"Name": ["488", "561", "0"]}}
    tifffile.imwrite("a.ome.tif", STACK[:3], metadata=metadata, **BLACK)
    write_image("psf.tif", np.ones((3, 3), np.float32) / 9)
    command = ["a.ome.tif", "--psf", "psf.tif", "--method", "wiener", "-o", "b.tif", "--overwrite"]
    for word, name in (("561", "561"), ("1", "561"), ("0", "0"), ("2", "0")):
        assert main([*command, "--channel", word]) == 0
        assert read_image("b.tif").channel == name
    assert main([*command, "--channel", "640"]) == 2
    assert "expected 0 to 2, as a.ome.tif has 3 (488, 561, 0), got 640" in capsys.readouterr().err
    assert_reads("a.ome.tif", STACK[0], channel=0)


def test_a_name_of_two_channels_chooses_none():
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "GFP", "RFP"]}}
    tifffile.imwrite("a.ome.tif", STACK[:3], metadata=metadata, **BLACK)
    with pytest.raises(ValueError, match="channel: expected one by its number, as several"):
        read_image("a.ome.tif", channel="GFP")
    assert_reads("a.ome.tif", STACK[2], channel="RFP")


@pytest.mark.parametrize("output", ["b.ome.tif", "b.tif"])
@pytest.mark.parametrize("more", [[], ["--on-disk"]])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_the_name_of_one_channel_is_written(output, more, dtype):
    write_channels("a.ome.tif")
    write_image("psf.tif", np.ones((3, 3, 3), np.float32) / 27)
    command = ["a.ome.tif", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet", *more]
    assert main([*command, "--channel", "GFP", "-o", output, "--dtype", dtype]) == 0
    assert read_image(output).channel == "GFP"


def test_opacity_is_no_channel():
    """Of a colour image with an opaque fourth channel all were refused, as that one is constant."""
    colours = np.stack([GREY, GREY // 2, GREY // 3, np.full_like(GREY, 255)], axis=-1)
    PIL.Image.fromarray(colours).save("a.png")
    tifffile.imwrite(
        "a.tif", np.moveaxis(colours, -1, 0), planarconfig="separate", photometric="rgb"
    )
    for name in ("a.png", "a.tif"):
        each = [image.data for _, _, image in read_each(name, channel="all")]
        np.testing.assert_array_equal(each, np.moveaxis(colours[..., :3], -1, 0))


@pytest.mark.parametrize("output", ["b.ome.tif", "b.tif"])
def test_names_of_channels_are_written(output):
    write_channels("a.ome.tif")
    write_image("psf.tif", np.ones((3, 3, 3), np.float32) / 27)
    command = ["a.ome.tif", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet"]
    assert main([*command, "--channel", "all", "-o", output]) == 0
    assert [image.channel for _, _, image in read_each(output, channel="all")] == NAMES
    with tifffile.TiffFile(output) as tif:
        if output == "b.tif":
            assert tif.imagej_metadata["Labels"] == NAMES * len(CHANNELS)
        else:
            about = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
            assert [channel["Name"] for channel in about["Channel"]] == NAMES


def test_a_kernel_of_several_channels_is_spoken_of_as_the_kernel(capsys):
    """The advice was --channel, which is about the image."""
    write_image("a.tif", PLANE)
    write_channels("psf.ome.tif")
    assert main(["a.tif", "--psf", "psf.ome.tif", "-o", "b.tif", "--method", "wiener"]) == 2
    said = capsys.readouterr().err
    assert "--psf: channel: expected one to take of psf.ome.tif, got 3 of them (DAPI" in said
    assert "save the kernel as a file of its own" in said and "--channel 0" not in said
