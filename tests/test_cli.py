"""The command line, run as its user runs it: on files, in a process of its own where it matters."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from siamdecon import deconvolve, load_sample, paper_psf, read_image, richardson_lucy, write_image
from siamdecon.cli import main, parser, read_psf
from siamdecon.files import Image
from siamdecon.files.stores import Stored
from siamdecon.methods.siamese import SiameseTraining
from siamdecon.microscope.degradation import blur
from siamdecon.microscope.psf import Microscope, gibson_lanni

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]], dtype=np.float32) / 6
OPTICS = ["--na", "0.8", "--wavelength", "0.6", "--pixel", "0.406", "--defocus", "-3.045"]
OPTICS += ["--psf-size", "17"]
#: What pip installs as the command `siamdecon`.
SCRIPT = "import sys; from siamdecon.__main__ import main; sys.exit(main())"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIAMDECON_TIER", "test")
    seen = blur(load_sample("nuclei"), paper_psf(2))[:64, :56]
    image = np.rint(seen * 60000).astype(np.uint16)
    write_image("in.tif", image, voxel_size=(0.2, 0.2))
    write_image("psf.tif", PSF)
    return image


def run(*arguments):
    return main(["in.tif", "-o", "out.tif", "--quiet", *arguments])


def test_a_file_a_kernel_and_a_method(files):
    assert run("--psf", "psf.tif", "--method", "noise2same_d") == 0
    restored = read_image("out.tif")
    assert restored.shape == files.shape
    assert restored.voxel_size == pytest.approx((0.2, 0.2))
    record = json.load(open("out.json"))
    assert (record["tier"], record["method"]) == ("test", "noise2same_d")
    assert record["image"]["path"] == "in.tif"


def test_it_does_what_the_package_does(files):
    assert (
        run("--psf", "psf.tif", "--method", "richardson_lucy", "--iterations", "4", "--median") == 0
    )
    low, high = int(files.min()), int(files.max())
    unit = (files.astype(np.float32) - low) / (high - low)
    expected = richardson_lucy(unit, PSF, 4, prefilter="median", clip=False) * (high - low) + low
    np.testing.assert_allclose(read_image("out.tif").data, expected, rtol=1e-4)


def test_a_compressed_big_endian_file_is_unpacked_once_and_restored_alike(files, monkeypatch):
    arguments = ("--psf", "psf.tif", "--method", "wiener", "--dtype", "source")
    assert run(*arguments) == 0
    plain, record = read_image("out.tif").data, json.load(open("out.json"))
    tifffile.imwrite("in.tif", files, byteorder=">", compression="zlib")
    unpacked, decode = [], Stored.__getitem__
    monkeypatch.setattr(
        Stored, "__getitem__", lambda data, window: unpacked.append(window) or decode(data, window)
    )
    assert run(*arguments, "--overwrite") == 0
    assert len(unpacked) == 1
    np.testing.assert_array_equal(read_image("out.tif").data, plain)
    again = json.load(open("out.json"))["image"]
    assert again["sha256_of_pixels"] == record["image"]["sha256_of_pixels"]


def test_the_optics_stand_in_for_a_kernel(files):
    assert run(*OPTICS, "--method", "wiener") == 0
    by_optics = read_image("out.tif").data
    write_image("paper.tif", paper_psf(2).astype(np.float32))
    assert run("--psf", "paper.tif", "--method", "wiener", "--overwrite") == 0
    np.testing.assert_allclose(by_optics, read_image("out.tif").data, rtol=1e-3, atol=1)


def test_the_pixel_size_comes_from_the_file(files):
    optics = ["--na", "0.8", "--wavelength", "0.6", "--method", "wiener"]
    assert run(*optics) == 0
    first = read_image("out.tif").data
    assert run(*optics, "--pixel", "0.2", "--overwrite") == 0
    np.testing.assert_array_equal(first, read_image("out.tif").data)


def test_integers_come_back_on_request(files):
    assert run("--psf", "psf.tif", "--method", "wiener", "--dtype", "source") == 0
    assert read_image("out.tif").dtype == np.uint16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --psf FILE, or the optics; still missing: --na, --wavelength"),
        (["--psf", "psf.tif", "--na", "0.8"], "expected a file or the optics, got both"),
        (["--psf", "nowhere.tif"], "nowhere.tif"),
        (["--na", "1.4", "--wavelength", "0.6"], "na: expected a numerical aperture between 0"),
        (["--psf", "psf.tif", "--iterations", "3"], "noise2same_d has no option iterations"),
        (["--psf", "in.tif", "-o", "in.tif"], "in.tif exists"),
        (["--psf", "psf.tif", "-o", "no/out.tif"], "there is no folder no"),
        (["--psf", "psf.tif", "-o", "out.jpg"], "supported: .tif, .tiff, .png"),
        (["--psf", "psf.tif", "--tier", "full", "--device", "nonsense"], "device: expected 'cpu'"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    files, tmp_path, capsys, arguments, message
):
    before = sorted(tmp_path.iterdir())
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("siamdecon: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_exists_costs_no_training(files, monkeypatch):
    (open("out.json", "w")).close()
    monkeypatch.setattr("siamdecon.cli.deconvolve", None)
    assert run("--psf", "psf.tif") == 2


def test_the_module_runs_as_a_command(files):
    command = [sys.executable, "-m", "siamdecon", "in.tif", "-o", "out.tif", *OPTICS]
    done = subprocess.run(
        [*command, "--method", "wiener"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "out.tif: wiener, (64, 56)" in done.stdout


@pytest.mark.parametrize(
    ("command", "lines"), [("-m siamdecon", 20), ("-m siamdecon", 900), (f"-c {SCRIPT}", 300)]
)
def test_ctrl_c_while_modules_are_loaded_is_one_line(command, lines):
    """At a moment that the log of imports tells: so many modules after the package itself."""
    program = subprocess.Popen(
        [sys.executable, "-X", "importtime", *command.split(maxsplit=1), "in.tif", "-o", "out.tif"],
        stderr=subprocess.PIPE,
        text=True,
        # a suite run in the background ignores Ctrl-C, and what it starts does, too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with program:
        while program.stderr.readline().rpartition("|")[2].strip() != "siamdecon":
            pass
        loaded = [program.stderr.readline() for _ in range(lines)]
        program.send_signal(signal.SIGINT)
        said = [line for line in program.stderr if not line.startswith("import time:")]
    assert all(line.startswith("import time:") for line in loaded)
    assert said == ["siamdecon: interrupted\n"] and program.returncode == 130


STACK = [
    "stack.tif",
    "-o",
    "out.tif",
    "--quiet",
    "--method",
    "richardson_lucy",
    "--dtype",
    "source",
]


def write_stack(voxel_size):
    stack = np.random.default_rng(0).integers(100, 4000, (12, 30, 28), dtype=np.uint16)
    write_image("stack.tif", stack, voxel_size=voxel_size)
    return stack


def test_a_stack_keeps_dtype_and_voxels_and_gets_a_kernel_that_fits(files):
    stack = write_stack((0.8, 0.3, 0.3))
    assert main([*STACK, "--na", "0.8", "--wavelength", "0.6"]) == 0
    restored = read_image("out.tif")
    assert (restored.dtype, restored.shape) == (np.uint16, stack.shape)
    assert restored.voxel_size == pytest.approx((0.8, 0.3, 0.3))
    # 17 planes would not fit, nor would all of the light
    psf = gibson_lanni(Microscope(pixel_size=0.3, z_step=0.8, planes=11, size=27), 3)
    expected = deconvolve(stack, psf, "richardson_lucy").image
    assert np.abs(restored.data - expected.clip(0)).max() <= 0.51


def test_a_stack_of_unknown_voxels_asks_for_them(files, capsys):
    write_stack((None, 0.3, 0.3))
    optics = ["--na", "0.8", "--wavelength", "0.6"]
    assert main([*STACK, *optics]) == 2
    assert "still missing: --z-step" in capsys.readouterr().err
    assert main([*STACK, *optics, "--z-step", "0.8"]) == 0


@pytest.mark.parametrize("where", [[], ["--on-disk"], ["--channel", "all"]])
def test_the_optics_are_recorded_and_tell_what_the_file_does_not(files, where):
    """The result's voxels stayed unknown, and the record had none of the numbers that made the kernel."""
    write_stack((None, 0.3, 0.3))
    optics = "--na 0.8 --wavelength 0.6 --z-step 0.8 --pixel 0.306 --psf-model gaussian".split()
    assert main([*STACK, *optics, *where]) == 0
    assert read_image("out.tif").voxel_size == pytest.approx((0.8, 0.3, 0.3))
    record = json.loads(Path("out.json").read_text())
    psf = record.get("images", [record])[0]["psf"]
    planes, _, size = psf["shape"]
    microscope = Microscope(pixel_size=0.306, z_step=0.8, size=size, planes=planes)
    assert psf["credit"] == f"gaussian({microscope}, 3)"


def test_a_kernel_of_other_voxels_is_refused(files, capsys):
    write_stack((0.8, 0.3, 0.3))
    kernel = np.ones((3, 3, 3), np.float32) / 27
    write_image("kernel.tif", kernel, voxel_size=(0.2, 0.3, 0.3))
    assert main([*STACK, "--psf", "kernel.tif"]) == 2
    assert "expected voxels of 0.8 um along z, as the image has, got 0.2" in capsys.readouterr().err
    write_image("plane.tif", PSF)
    assert main([*STACK, "--psf", "plane.tif"]) == 2
    assert "expected 3 axes, as the image has" in capsys.readouterr().err


def test_voxels_that_contradict_the_file_are_said(files, capsys):
    """A kernel from a file is refused then; one from the optics was sampled otherwise in silence."""
    write_stack((0.8, 0.3, 0.3))
    words = "inspect stack.tif --na 0.8 --wavelength 0.6 --psf-size 17 --pixel".split()
    assert main([*words, "0.406", "--z-step", "1"]) == 0
    said = "siamdecon: --pixel: 0.406 um, and the file says 0.3; the given one is taken\n"
    said += "siamdecon: --z-step: 1 um, and the file says 0.8; the given one is taken\n"
    assert capsys.readouterr().err == said
    assert main([*words, "0.303"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("axes", ["TYX", "CYX"])
def test_a_kernel_of_times_or_channels_is_told_how_to_be_planes(files, capsys, axes):
    write_stack((0.8, 0.3, 0.3))
    kernel = np.ones((5, 3, 3), np.float32)
    tifffile.imwrite("kernel.tif", kernel, imagej=True, metadata={"axes": axes})
    assert main([*STACK, "--psf", "kernel.tif"]) == 2
    mend = (
        "save the kernel as a file of its own; if they are planes along z, say so in Fiji, Image > "
    )
    assert mend in capsys.readouterr().err


def test_optics_of_square_pixels_are_not_taken_for_others(files, capsys):
    write_image("in.tif", files, voxel_size=(0.4, 0.2), overwrite=True)
    optics = ["--na", "0.8", "--wavelength", "0.6", "--method", "wiener"]
    assert run(*optics) == 2
    assert "its pixels are 0.4 x 0.2 um" in capsys.readouterr().err
    assert run(*optics, "--pixel", "0.2") == 0


@pytest.mark.parametrize("where", [[], ["--on-disk"]])
def test_an_interrupted_training_is_announced(files, capsys, monkeypatch, where):
    step = SiameseTraining.take_step

    def interrupted(loop):
        if loop.step == 1:
            raise KeyboardInterrupt
        step(loop)

    monkeypatch.setattr(SiameseTraining, "take_step", interrupted)
    assert run("--psf", "psf.tif", *where) == 0
    assert capsys.readouterr().out.endswith("(interrupted: partial result)\n")


def test_a_training_that_diverges_is_one_line(files, capsys, monkeypatch):
    def diverged(loop):
        for p in loop.average.parameters():
            p.data.fill_(float("nan"))

    monkeypatch.setattr(SiameseTraining, "finish", diverged)
    assert run("--psf", "psf.tif") == 2
    assert "the training has diverged" in capsys.readouterr().err


def test_a_sample_of_another_index_has_another_kernel():
    optics = "a.tif --na 0.8 --wavelength 0.6 --pixel 0.2 --depth 20 --sample-index 1.4 -o b.tif"
    optics += " --psf-size 17"
    kernel = read_psf(parser().parse_args(optics.split()), Image(np.zeros((64, 64)), "YX"))
    told = {"na": 0.8, "wavelength": 0.6, "pixel_size": 0.2}
    expected, matched = (
        gibson_lanni(Microscope(**told, **more))
        for more in ({"depth": 20, "sample_index": 1.4}, {})
    )
    np.testing.assert_array_equal(kernel, expected)
    assert not np.allclose(kernel, matched, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--z-step", "200"],
            "z_step: expected a length of 0.001 to 100 um, got 200.0; is it in nano",
        ),
        (["--defocus", "1000"], "defocus: expected a length of -100 to 100 um, got 1000.0"),
        (["--wavelength", "520"], "wavelength: expected a length of 0.1 to 20 um, got 520.0"),
        (["--wavelength", "5.2e-7"], "wavelength: expected a length of 0.1 to 20 um, got 5.2e-07"),
        (["--pixel", "1e-7"], "pixel_size: expected a length of 0.001 to 100 um, got 1e-07"),
    ],
)
def test_a_length_in_another_unit_is_one_line_at_once(files, capsys, arguments, message):
    """deconwolf#91: no answer in a minute, or a traceback of a full memory."""
    optics = ["--na", "0.8", "--wavelength", "0.52", "--pixel", "0.1"]
    assert run(*optics, *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["psf"], ["inspect"]])
def test_the_help_is_printed(command, capsys):
    """argparse reads a single % in a help text as a format."""
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "99 % of the light" in " ".join(capsys.readouterr().out.split())


def test_what_is_found_is_a_line_each(files, capsys):
    image = files.copy()
    image[30, 20] = 65535
    image[:30] //= 20
    image[30:] //= 20
    image[30, 20] = 65535
    write_image("in.tif", image, overwrite=True)
    write_image("psf.tif", np.roll(np.pad(PSF, 4), 2, axis=1), overwrite=True)
    assert run("--psf", "psf.tif", "--method", "wiener") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["psf", "image"]
    assert "its light lies +2.0 pixels off the centre along x" in lines[0]
    assert "1 of 3584 pixels stand out as defects do, the first at (30, 20)" in lines[1]
    fixed = ["--center-psf", "--subtract-psf-background", "--limits", "0", "none", "--overwrite"]
    assert run("--psf", "psf.tif", "--method", "wiener", *fixed) == 0
    assert "psf" not in capsys.readouterr().err
    assert json.load(open("out.json"))["range"][0] == 0


def test_compare_prints_a_table_and_draws(tmp_path, capsys):
    from siamdecon import degrade, load_sample, paper_psf, read_image, write_image

    noisy = degrade(load_sample("cell")[:64, :64], paper_psf(2), seed=1)
    write_image(tmp_path / "a.tif", noisy)
    write_image(tmp_path / "psf.tif", paper_psf(2).astype("float32"))
    words = ["compare", tmp_path / "a.tif", "--psf", tmp_path / "psf.tif", "--quiet"]
    words += ["--methods", "wiener", "richardson_lucy", "--limits", "0", "1"]
    assert main([str(word) for word in [*words, "-o", tmp_path / "a.png"]]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3 and {line.split()[0] for line in shown[1:]} == {
        "wiener",
        "richardson_lucy",
    }
    assert read_image(tmp_path / "a.png").shape == (2 * 68, 3 * 68)
    assert main([str(word) for word in [*words, "-o", tmp_path / "a.png"]]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["psf"], ["inspect"], ["compare"]])
def test_help_is_shown(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"usage: {' '.join(['siamdecon', *command])} " in shown and "99 % of the light" in shown


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_training_gives_a_partial_result(files, capsys, monkeypatch, number, code):
    step = SiameseTraining.take_step

    def stopped(loop):
        if loop.step == 1:
            signal.raise_signal(number)
        step(loop)

    monkeypatch.setattr(SiameseTraining, "take_step", stopped)
    before = signal.getsignal(number)
    assert run("--psf", "psf.tif") == code
    assert capsys.readouterr().out.endswith("(interrupted: partial result)\n")
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("where", ["problem.look_through", "restoration.write_settings"])
def test_a_signal_elsewhere_is_one_line(files, capsys, monkeypatch, number, code, where):
    monkeypatch.setattr(f"siamdecon.{where}", lambda *_: signal.raise_signal(number))
    before = sorted(path.name for path in Path().iterdir())
    assert run("--psf", "psf.tif", "--method", "wiener") == code
    assert capsys.readouterr().err == "siamdecon: interrupted: nothing was written\n"
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("on_disk", [[], ["--on-disk"]])
def test_a_signal_between_image_and_record_waits(files, capsys, monkeypatch, number, code, on_disk):
    replace = os.replace

    def stopped(part, target):
        replace(part, target)
        signal.raise_signal(number)

    monkeypatch.setattr("siamdecon.files.atomic.os.replace", stopped)
    before = signal.getsignal(number)
    assert run("--psf", "psf.tif", "--method", "richardson_lucy", *on_disk) == code
    assert capsys.readouterr().err == "siamdecon: interrupted: out.tif was written\n"
    assert read_image("out.tif").shape == files.shape
    assert json.loads(Path("out.json").read_text())["method"] == "richardson_lucy"
    assert signal.getsignal(number) == before and not list(Path().glob(".siamdecon*"))


def test_a_signal_does_not_wait_for_the_pixels_of_a_store(files, capsys, monkeypatch):
    """The store is begun with a name of its own; until the last pixel no signal was heard."""
    late = []

    def stopped(*_):
        signal.raise_signal(signal.SIGINT)
        late.append(1)

    monkeypatch.setattr("siamdecon.restoration.write_window", stopped)
    words = ("--psf", "psf.tif", "--method", "richardson_lucy", "--on-disk")
    assert main(["in.tif", *words, "-o", "a.zarr", "--quiet"]) == 130
    said = "siamdecon: interrupted: the same call goes on with a.zarr.unfinished\n"
    assert capsys.readouterr().err == said and not late
    assert not Path("a.zarr").exists() and not Path("a.json").exists()


@pytest.mark.parametrize("all_of_them", [[], ["--channel", "all"]])
def test_a_result_that_finds_no_room_is_saved_elsewhere(files, capsys, monkeypatch, all_of_them):
    """The folder vanishes during the work."""
    replace = os.replace

    def vanished(part, target):
        if target.parent == Path.cwd():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        replace(part, target)

    monkeypatch.setattr("siamdecon.files.atomic.os.replace", vanished)
    assert run("--psf", "psf.tif", "--method", "wiener", *all_of_them) == 2
    said = capsys.readouterr().err
    assert said.startswith("siamdecon: cannot write out.tif to ") and said.count("\n") == 1
    kept = Path(said.rpartition("the result is in ")[2].strip())
    assert read_image(kept).shape == files.shape
    shutil.rmtree(kept.parent)


@pytest.mark.parametrize("which", [["--channel", "0"], ["--channel", "all"]])
def test_a_kernel_is_prepared_for_all_channels_as_for_one(files, which):
    """The early check of all knew nothing of --center-psf, and gave that as its advice."""
    tifffile.imwrite("in.tif", np.stack([files, files]), imagej=True, metadata={"axes": "CYX"})
    spot = np.zeros((9, 9), np.float32)
    spot[3:6, 6:9] = 1
    write_image("spot.tif", spot)
    assert run("--psf", "spot.tif", "--center-psf", "--method", "wiener", *which) == 0


def test_channels_and_times_are_named_as_they_are_asked_for(files, capsys):
    labels = ["Alexa 488", "DAPI"] * 2
    several = {"metadata": {"axes": "TCYX", "Labels": labels}}
    tifffile.imwrite("in.tif", np.stack([[files] * 2] * 2), imagej=True, **several)
    command = "in.tif --psf psf.tif --method wiener -o".split()
    assert main([*command, "a.tif", "--time", "all", "--channel", "Alexa 488"]) == 0
    assert "image 2 of 2: --channel 'Alexa 488', --time 1\n" in capsys.readouterr().err
    tifffile.imwrite("in.tif", np.stack([files] * 2), imagej=True, metadata={"axes": "CYX"})
    assert main([*command, "b.tif", "--channel", "all"]) == 0
    assert "image 2 of 2: --channel 1\n" in capsys.readouterr().err


def test_a_number_is_recorded_as_one(files):
    several = {"metadata": {"axes": "TCYX", "Labels": ["Alexa 488", "DAPI"] * 2}}
    tifffile.imwrite("in.tif", np.stack([[files] * 2] * 2), imagej=True, **several)
    assert run("--psf", "psf.tif", "--method", "wiener", "--channel", "all", "--time", "1") == 0
    which = [(image["channel"], image["time"]) for image in json.load(open("out.json"))["images"]]
    assert which == [(0, 1), (1, 1)]


def test_a_name_that_the_terminal_can_not_show_is_no_error(files):
    """The result was there, and the exit status that of an error."""
    command = "in.tif --psf psf.tif --method wiener --quiet -o \u00fc.tif".split()
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command], capture_output=True, env=ascii_only
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(rb"\xfc.tif: wiener") and Path("\u00fc.tif").exists()


def test_a_signal_among_several_images_ends_all(files, capsys, monkeypatch):
    tifffile.imwrite("in.tif", np.stack([files, files]), imagej=True, metadata={"axes": "CYX"})
    step = SiameseTraining.take_step

    def stopped(loop):
        signal.raise_signal(signal.SIGINT)
        step(loop)

    monkeypatch.setattr(SiameseTraining, "take_step", stopped)
    assert run("--psf", "psf.tif", "--channel", "all") == 130
    assert "interrupted: nothing was written" in capsys.readouterr().err
    assert not Path("out.tif").exists()


def test_a_comparison_is_shown_where_its_picture_finds_no_room(files, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("siamdecon.files.atomic.os.replace", full)
    words = "compare in.tif --psf psf.tif --methods wiener --quiet -o a.png"
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert "wiener" in said.out and "cannot write a.png" in said.err


def test_an_interrupted_comparison_shows_what_is_whole(files, capsys, monkeypatch):
    monkeypatch.setattr(SiameseTraining, "take_step", lambda _: signal.raise_signal(signal.SIGINT))
    words = "compare in.tif --psf psf.tif --methods wiener noise2self --quiet -o a.png"
    assert main(words.split()) == 130
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["method", "wiener", "interrupted"]
    assert read_image("a.png").shape == (2 * 68, 2 * 60)
