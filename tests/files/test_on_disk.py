"""Images on disk: restored as in memory, in memory that does not grow, whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from siamdecon import deconvolve, read_image, write_image
from siamdecon.cli import main
from siamdecon.files.images import Image
from siamdecon.files.on_disk import LargeImage, look_through
from siamdecon.files.phantoms import filaments
from siamdecon.files.tiff import create_tiff
from siamdecon.methods.classical import RichardsonLucy
from siamdecon.restoration import deconvolve_file

PSF = np.ones((3, 5, 3)) / 45
VOXEL = (0.5, 0.2, 0.2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIAMDECON_TIER", "test")
    rng = np.random.default_rng(0)
    stack = 900 * filaments((38, 90, 70), 1) + rng.normal(200, 30, (38, 90, 70))
    write_image("in.tif", stack.clip(0).astype(np.uint16), voxel_size=VOXEL)
    return tmp_path


def on_disk(method, source="in.tif", psf=PSF, **options):
    done = deconvolve_file(source, psf, "out.tif", method, progress=False, **options)
    return read_image(done)


@pytest.mark.parametrize("options", [{"iterations": 3}, {"iterations": 3, "prefilter": "median"}])
def test_lucy_richardson_gives_what_it_gives_in_memory(options):
    whole = deconvolve(read_image("in.tif"), PSF, "richardson_lucy", **options)
    tiled = on_disk("richardson_lucy", tile=24, **options)
    assert np.abs(tiled.data - whole.image).max() < 1e-5 * np.ptp(whole.image)
    assert tiled.voxel_size == pytest.approx(VOXEL)
    record = json.loads(Path("out.json").read_text())
    assert record["image"] == whole.settings["image"]  # the checksum among it
    assert record["options"]["iterations"] == 3


@pytest.mark.parametrize("planes", [1, 3])
def test_windows_are_read_and_written_a_few_planes_at_a_time(planes, monkeypatch):
    whole = on_disk("richardson_lucy", tile=24, iterations=2).data
    monkeypatch.setattr("siamdecon.files.on_disk._SPAN", planes * 90 * 70 * 4)
    large = look_through(read_image("in.tif", memmap=True))
    window = (slice(3, 9), slice(0, 90), slice(5, 6))
    expected = (large.image.data[window] - large.low) / (large.high - large.low)
    np.testing.assert_allclose(large[window], expected, atol=1e-6)
    parts = on_disk("richardson_lucy", tile=24, iterations=2, overwrite=True).data
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("average_flips", [False, True])
def test_a_network_gives_what_it_gives_in_memory(average_flips, monkeypatch):
    how = {"average_flips": average_flips, "calibrate": False, "precision": "float32"}
    whole = deconvolve(
        read_image("in.tif"), PSF, "noise2same", progress=False, stitch="exact", **how
    )
    # of the same mean and deviation: each machine sums them in its own order, and the first steps of Adam
    # make much of a small difference, since they follow little more than the sign of a gradient
    monkeypatch.setattr(LargeImage, "mean", lambda _: whole.run.mean)
    monkeypatch.setattr(LargeImage, "std", lambda _: whole.run.std)
    tiled = on_disk("noise2same", tile=48, **how)
    # 16 convolutions of up to 27 * 16 terms, summed in any order: eps / 2 * sqrt(16 * 432) = 5e-6
    assert np.abs(tiled.data - whole.image).max() < 1e-5 * np.ptp(whole.image)


def test_a_plane_is_restored_likewise():
    plane = read_image("in.tif").data[10]
    write_image("plane.tif", plane)
    whole = deconvolve(plane, PSF[1] * 3, "richardson_lucy", iterations=2).image
    tiled = on_disk("richardson_lucy", "plane.tif", PSF[1] * 3, iterations=2, tile=32)
    assert np.abs(tiled.data - whole).max() < 1e-5 * np.ptp(whole)


def test_the_dtype_of_the_source_comes_back():
    whole = deconvolve(read_image("in.tif"), PSF, "richardson_lucy", iterations=2)
    restored = on_disk("richardson_lucy", iterations=2, dtype="source")
    assert restored.dtype == np.uint16
    assert np.abs(restored.data - whole.image.clip(0)).max() <= 0.51


@pytest.mark.parametrize("kind", ["compressed", "plain, little-endian", "plain, big-endian", "big"])
def test_other_files_are_read(kind):
    stack = read_image("in.tif").data
    options = {
        "compressed": {"compression": "zlib"},
        "plain, little-endian": {"byteorder": "<"},
        "plain, big-endian": {"byteorder": ">"},
        "big": {"bigtiff": True, "ome": True, "metadata": {"axes": "ZYX"}},
    }[kind]
    tifffile.imwrite("other.tif", stack, photometric="minisblack", **options)
    expected = on_disk("richardson_lucy", iterations=1).data
    other = on_disk("richardson_lucy", "other.tif", iterations=1, overwrite=True).data
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("disk", [[], ["--on-disk"]])
def test_a_big_endian_file_comes_back_in_its_dtype(disk):
    """Fiji writes such files."""
    stack = read_image("in.tif").data
    tifffile.imwrite("fiji.tif", stack, photometric="minisblack", byteorder=">")
    write_image("psf.tif", PSF.astype(np.float32))
    command = ["fiji.tif", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet"]
    assert main([*command, "-o", "out.tif", "--dtype", "source", *disk]) == 0
    assert read_image("out.tif").dtype == np.uint16
    record = json.loads(Path("out.json").read_text())["image"]
    memory = deconvolve(read_image("fiji.tif"), PSF, "richardson_lucy").settings["image"]
    assert record == memory


def test_an_interrupted_run_leaves_nothing(folder, monkeypatch):
    def interrupted(out, *_):
        out[:5] = 1
        raise KeyboardInterrupt

    before = sorted(folder.iterdir())
    monkeypatch.setattr("siamdecon.restoration.write_window", interrupted)
    with pytest.raises(KeyboardInterrupt):
        on_disk("richardson_lucy")
    assert sorted(folder.iterdir()) == before


def test_a_full_gpu_halves_the_tiles(monkeypatch):
    expected, sides = on_disk("richardson_lucy", iterations=1, tile=64).data, []

    restored = RichardsonLucy.restored

    def limited(method, x, *arguments, **options):
        sides.append(max(x.shape))
        if sides[-1] > 60:
            raise torch.cuda.OutOfMemoryError("full")
        return restored(method, x, *arguments, **options)

    monkeypatch.setattr(RichardsonLucy, "restored", limited)
    with pytest.warns(UserWarning, match="tiles of 32 in place of 64"):
        tiled = on_disk("richardson_lucy", iterations=1, tile=64, overwrite=True).data
    assert max(sides) > 60 > sides[-1]
    assert np.abs(tiled - expected).max() < 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("stitch", ["blend", "sew"])
def test_windows_on_disk_are_stitched_in_one_way(stitch):
    with pytest.raises(ValueError, match=f"stitch: expected one of exact, got '{stitch}'"):
        on_disk("noise2same", stitch=stitch)


def test_one_look_finds_what_arrays_would_tell(monkeypatch):
    monkeypatch.setattr("siamdecon.files.on_disk._SLAB", 20_000)  # a few planes at a time
    image = read_image("in.tif", memmap=True)
    found = look_through(image)
    unit = (image.data.astype(float) - found.low) / (found.high - found.low)
    assert (unit.min(), unit.max()) == (0, 1)
    assert found.mean() == pytest.approx(unit.mean())
    assert found.std() == pytest.approx(unit.std())
    window = (slice(3, 9), slice(40, 90), slice(0, 11))
    np.testing.assert_allclose(found[window].numpy(), unit[window], atol=1e-6)


def test_a_large_offset_does_not_swallow_the_deviation():
    pixels = 1e9 + np.random.default_rng(0).normal(0, 20, (6, 90, 70))
    pixels[:, 64:] += 200  # the cell of the highest variance would else be one of rounding
    found = look_through(Image(pixels, "ZYX"))
    unit = (pixels - pixels.min()) / np.ptp(pixels)
    # a value in float64 is off by eps / 2 of itself, of a range of some 400
    off = np.finfo(float).eps * 1e9 / 400
    assert found.std() == pytest.approx(unit.std(), abs=off)
    assert found.mean() == pytest.approx(unit.mean(), abs=off)


def test_the_lively_window_holds_the_contrast():
    volume = np.zeros((40, 300, 300), np.float32)
    volume[20, 250:260, 40:50] = 1
    lively = look_through(Image(volume, "ZYX")).lively
    assert volume[lively].sum() == 100
    assert volume[lively].shape == (40, 128, 128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "wiener"}, "looks at the whole image at once"),
        ({"method": "total_variation"}, "looks at the whole image at once"),
        ({"method": "magic"}, "expected one of"),
        ({"tile": 3}, "tile: expected 16 or more"),
        ({"psf": np.ones((3, 3)) / 9}, "expected 3 axes"),
        ({"output": "out.png"}, "expected a TIFF"),
        ({"start": np.zeros((38, 90, 70))}, "got a function, an array or padding='circular'"),
        ({"padding": "circular"}, "got a function, an array or padding='circular'"),
        ({"calibrate": True}, "calibrate: richardson_lucy has no such choice"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(folder, change, message):
    arguments = {
        "path": "in.tif",
        "psf": PSF,
        "output": "out.tif",
        "method": "richardson_lucy",
        "progress": False,
    }
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match=message):
        deconvolve_file(**{**arguments, **change})
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "1 NaN or infinite pixels of .*, the first at index 7"), (0, "every pixel is 0")],
)
def test_pixels_that_cannot_be_restored(value, message):
    stack = np.zeros((9, 20, 20), np.float32)
    stack[7, 3, 3] = value
    write_image("bad.tif", stack)
    with pytest.raises(ValueError, match=message):
        on_disk("richardson_lucy", "bad.tif")


def test_the_command_line_leaves_an_image_on_disk(capsys):
    write_image("psf.tif", PSF.astype(np.float32), voxel_size=VOXEL)
    command = ["in.tif", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet", "-o"]
    assert main([*command, "disk.tif", "--on-disk", "--dtype", "source"]) == 0
    assert "(38, 90, 70), on disk" in capsys.readouterr().out
    assert main([*command, "memory.tif", "--dtype", "source"]) == 0
    disk, memory = read_image("disk.tif"), read_image("memory.tif")
    assert disk.dtype == memory.dtype == np.uint16
    assert np.abs(disk.data.astype(int) - memory.data).max() <= 1
    assert disk.voxel_size == memory.voxel_size == pytest.approx(VOXEL)


PEAK = """
import sys
from pathlib import Path
import numpy as np
from siamdecon.restoration import deconvolve_file
deconvolve_file(sys.argv[1], np.ones((3, 3, 3)) / 27, "out.tif", "richardson_lucy", iterations=1,
                tile=64, overwrite=True, progress=False)
# not ru_maxrss, which begins at the peak of the process that started this one
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")
def test_memory_does_not_grow_with_the_volume():
    """Four times the volume, 192 MB more as float32, and as many for the result."""
    peaks = []
    for planes in (64, 256):
        out = create_tiff(f"{planes}.tif", (planes, 512, 512), np.dtype("u1"), "ZYX")
        out[:, ::7, ::5] = np.arange(planes, dtype=np.uint8)[:, None, None]
        del out
        done = subprocess.run(
            [sys.executable, "-c", PEAK, f"{planes}.tif"],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < 60
