"""Files of microscopes' own formats: pip install -c constraints.txt -e ".[formats]" first, else skipped."""

import numpy as np
import pytest

from siamdecon import deconvolve, read_image, write_image
from siamdecon.cli import main
from siamdecon.files.images import read_each

DATA = np.random.default_rng(0).integers(100, 999, (2, 3, 4, 32, 30)).astype(np.uint16)
NAMES = ["DAPI", "GFP", "RFP"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_zarr(name, unit="micrometer", size=(0.3, 0.1, 0.1), zarr_format=3):
    writers = pytest.importorskip("bioio_ome_zarr.writers")
    channels = [writers.Channel(label=name, color="FFFFFF") for name in NAMES]
    writer = writers.OMEZarrWriter(
        store=name,
        level_shapes=[DATA.shape],
        dtype=DATA.dtype,
        axes_names=list("tczyx"),
        axes_types=["time", "channel", "space", "space", "space"],
        axes_units=[None, None, unit, unit, unit],
        physical_pixel_size=[1, 1, *size],
        channels=channels,
        zarr_format=zarr_format,
    )
    writer.write_full_volume(DATA)


def write_czi(name):
    czi = pytest.importorskip("pylibCZIrw.czi")
    with czi.create_czi(name) as file:
        for t, c, z in np.ndindex(DATA.shape[:3]):
            file.write(data=DATA[t, c, z, ..., None], plane={"T": t, "C": c, "Z": z})
        scale = {
            f"scale_{axis}": size for axis, size in zip("zyx", (3e-7, 1e-7, 1e-7), strict=True)
        }
        file.write_metadata(document_name="a", channel_names=dict(enumerate(NAMES)), **scale)


def write_dv(name):
    pytest.importorskip("mrc").imsave(name, DATA[0])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("unit", "size"), [("micrometer", (0.3, 0.1, 0.1)), ("nanometer", (300, 100, 100))]
)
def test_ome_zarr(unit, size, zarr_format):
    write_zarr("a.ome.zarr", unit, size, zarr_format)
    image = read_image("a.ome.zarr", channel=1, time=1)
    np.testing.assert_array_equal(image.data, DATA[1, 1])
    assert (image.axes, image.voxel_size) == ("ZYX", pytest.approx((0.3, 0.1, 0.1)))


def test_czi():
    write_czi("a.czi")
    image = read_image("a.czi", channel=2, time=0)
    np.testing.assert_array_equal(image.data, DATA[0, 2])
    assert image.voxel_size == pytest.approx((0.3, 0.1, 0.1))
    assert len(read_each("a.czi", channel="all", time="all")) == 6


@pytest.mark.parametrize("name", ["a.dv", "a.r3d"])
def test_dv(name):
    write_dv(name)
    np.testing.assert_array_equal(read_image(name, channel=1).data, DATA[0, 1])
    with open(name, "r+b") as file:
        file.truncate(5000)
    with pytest.raises(ValueError, match=rf"^cannot read {name}.*If it is complete"):
        read_image(name, channel=1)


def test_colour_is_refused():
    """bioio-czi 3.0.1 gives one colour three times."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    with czi.create_czi("a.czi") as file:
        file.write(data=np.moveaxis(DATA[0, :, 0], 0, -1).astype(np.uint8).copy())
    with pytest.raises(ValueError, match=r"a\.czi: expected grey values, got colours"):
        read_image("a.czi")


@pytest.mark.parametrize(("write", "name"), [(write_zarr, "a.ome.zarr"), (write_czi, "a.czi")])
def test_channels_are_named_and_restored(write, name, capsys):
    write(name)
    psf = np.ones((3, 3, 3), np.float32) / 27
    write_image("psf.tif", psf)
    command = [name, "--psf", "psf.tif", "-o", "b.tif", "--method", "richardson_lucy", "--quiet"]
    assert main([*command, "--time", "0"]) == 2
    assert "got 3 of them (DAPI, GFP, RFP); --channel 0 takes the first" in capsys.readouterr().err
    assert main([*command, "--time", "0", "--channel", "all"]) == 0
    expected = deconvolve(DATA[0, 1], psf, "richardson_lucy").image
    restored = read_image("b.tif", channel=1)
    np.testing.assert_allclose(restored.data, expected, rtol=1e-5)
    assert restored.voxel_size == pytest.approx((0.3, 0.1, 0.1))


@pytest.mark.parametrize("name", ["a.czi", "a.nd2", "a.lif", "a.dv"])
def test_a_file_that_is_none_is_said_with_what_reads_it(name):
    pytest.importorskip("bioio")
    open(name, "wb").write(b"no image at all")
    with pytest.raises(ValueError, match=rf"cannot read a\..* by bioio: .*bioio-{name[2:]}"):
        read_image(name)
