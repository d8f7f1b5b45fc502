"""Oracles: the files themselves, hashlib and Pillow, and a server on this machine."""

import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pooch
import pytest
import skimage
import tifffile

from siamdecon.files import phantoms, samples
from siamdecon.files.images import write_image
from siamdecon.files.samples import (
    load_benchmark,
    load_real,
    load_sample,
    load_volume,
    real_names,
    sample_names,
    write_samples,
)
from tests.servers import served

DATA = Path(__file__).resolve().parents[2] / "data"
MANIFEST = {entry["name"]: entry for entry in json.loads((DATA / "manifest.json").read_text())}
FILES = [entry["file"] for entry in MANIFEST.values() if "file" in entry]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", sample_names())
def test_samples_are_grey_stretched_and_need_no_network(no_network, name):
    image = load_sample(name)
    assert image.dtype == np.float32 and image.shape == tuple(MANIFEST[name]["shape"])
    assert (image.min(), image.max()) == (0, 1) and image.std() > 0.02


def test_the_manifest_lists_every_sample_and_every_file():
    assert tuple(MANIFEST) == sample_names()
    assert all(f'"{name}"' in load_sample.__doc__ for name in MANIFEST)
    listed = {*FILES, "manifest.json", "README.md", "benchmark2d.sha256", "real.json"}
    sweep = "lambdas.zip"  # no sample; tests/lab/test_explorers.py is about it
    files = {path for path in DATA.iterdir() if path.name != sweep}
    assert {path.name for path in files} == listed
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for entry in MANIFEST.values():
        if "file" in entry:
            assert sha256(DATA / entry["file"]) == entry["sha256"]
            assert callable(getattr(phantoms, entry["generator"].split(".")[-1]))
        else:
            assert entry["source"].startswith("skimage.data.") and entry["licence"]
        assert entry["description"]


def test_generating_anew_gives_the_same_pixels(tmp_path):
    entries = json.loads(write_samples(tmp_path).read_text())
    assert [entry["name"] for entry in entries] == list(MANIFEST)
    for file in FILES:
        anew, bundled = (tifffile.imread(folder / file).astype(int) for folder in (tmp_path, DATA))
        assert np.abs(anew - bundled).max() <= 1  # the last digit may differ between machines
    for entry in entries:
        if "file" in entry:
            assert sha256(tmp_path / entry["file"]) == entry["sha256"]


def test_a_sample_is_the_stretched_file():
    pixels = PIL.Image.open(Path(skimage.__file__).parent / "data" / "cell.png")
    pixels = np.asarray(pixels, np.float64)
    expected = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    np.testing.assert_allclose(load_sample("cell"), expected, atol=1e-6)
    pixels = np.asarray(PIL.Image.open(DATA / "nuclei.tif"), np.float64)
    expected = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    np.testing.assert_allclose(load_sample("nuclei"), expected, atol=1e-6)


def test_unknown_samples_are_refused_with_the_list():
    with pytest.raises(ValueError, match=r"'lena'.*filaments.*nuclei.*cell.*hubble"):
        load_sample("lena")


def test_a_changed_or_missing_sample_says_how_to_mend_it(tmp_path, monkeypatch):
    shutil.copytree(DATA, tmp_path / "data")
    monkeypatch.setattr(samples, "data_folder", lambda: tmp_path / "data")
    path = tmp_path / "data" / "filaments.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(
        ValueError, match=r"filaments\.tif has SHA-256.*-m siamdecon\.files\.samples"
    ):
        load_sample("filaments")
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"filaments\.tif is missing.*siamdecon\.files\.samples"
    ):
        load_sample("filaments")


def test_an_installed_package_finds_its_samples(tmp_path):
    package = Path(samples.__file__).parents[1]
    shutil.copytree(package, tmp_path / "siamdecon", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(DATA, tmp_path / "siamdecon" / "data")
    code = "import siamdecon.files.samples as d; print(d.__file__, d.load_sample('vesicles').shape)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [
        str(tmp_path / "siamdecon" / "files" / "samples.py"),
        "(384,",
        "384)",
    ]


# The benchmark, with pictures made up here.

SIZES = {"nuclei8x6.png": (6, 8), "nucleidots8x7.png": (7, 8), "fish9x5.png": (5, 9)}


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """Write pictures of the made-up benchmark; give their folder and what they hold."""
    folder = tmp_path / "gt"
    folder.mkdir()
    pixels = {
        file: np.random.default_rng(len(file)).integers(10, 200, size, np.uint8)
        for file, size in SIZES.items()
    }
    for file, picture in pixels.items():
        PIL.Image.fromarray(picture).save(folder / file)
    registry = {file: sha256(folder / file) for file in pixels}
    monkeypatch.setattr(samples, "_registry", lambda: registry)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("SIAMDECON_BENCHMARK", raising=False)
    return folder, pixels


@pytest.fixture
def server(benchmark, monkeypatch):
    """Serve the folder; give the address and the list of what was asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(benchmark[0]) as found:
        yield found


def assert_is_benchmark(loaded, pixels, names):
    assert list(loaded) == names
    for name, image in loaded.items():
        low, high = pixels[name + ".png"].min(), pixels[name + ".png"].max()
        assert image.dtype == np.float32 and (image.min(), image.max()) == (0, 1)
        np.testing.assert_allclose(image * (high - low) + low, pixels[name + ".png"], atol=1e-4)


def test_download_once_check_and_cache(benchmark, server, capsys):
    (_, pixels), (url, asked) = benchmark, server
    loaded = load_benchmark(url=url, progress=False)
    assert_is_benchmark(loaded, pixels, ["nuclei8x6", "nucleidots8x7", "fish9x5"])
    assert sorted(asked) == sorted(pixels)
    assert "%" not in capsys.readouterr().err
    load_benchmark(url=url.rstrip("/"), names="fish")
    assert len(asked) == 3  # from the cache, though the address is written differently
    assert "1/1" in capsys.readouterr().err


def test_only_what_is_named_is_downloaded(benchmark, server):
    (_, pixels), (url, asked) = benchmark, server
    loaded = load_benchmark(names=["fish", "nuclei"], url=url, progress=False)
    assert_is_benchmark(loaded, pixels, ["fish9x5", "nuclei8x6"])
    assert asked == ["fish9x5.png", "nuclei8x6.png"]


def test_a_corrupted_download_is_refused_and_not_kept(benchmark, server, tmp_path):
    (folder, pixels), (url, _) = benchmark, server
    whole = (folder / "fish9x5.png").read_bytes()
    (folder / "fish9x5.png").write_bytes(whole[:-1] + b"?")
    with pytest.raises(ValueError, match=r"(?s)not the expected file.*fish9x5\.png.*folder"):
        load_benchmark(url=url, names="fish", progress=False)
    assert not list((tmp_path / "cache").rglob("*.png"))
    (folder / "fish9x5.png").write_bytes(whole)
    assert_is_benchmark(load_benchmark(url=url, names="fish", progress=False), pixels, ["fish9x5"])


def test_a_cached_file_that_went_bad_is_fetched_again(benchmark, server, tmp_path):
    (_, pixels), (url, asked) = benchmark, server
    load_benchmark(url=url, names="fish", progress=False)
    (cached,) = (tmp_path / "cache" / "siamdecon").glob("*.png")
    cached.write_bytes(b"gone bad")
    assert_is_benchmark(load_benchmark(url=url, names="fish", progress=False), pixels, ["fish9x5"])
    assert len(asked) == 2


def test_a_failed_download_tells_of_the_other_ways(benchmark, server):
    (folder, _), (url, _) = benchmark, server
    (folder / "fish9x5.png").unlink()
    with pytest.raises(ConnectionError, match=r"404.*argument folder.*SIAMDECON_BENCHMARK"):
        load_benchmark(url=url, names="fish", progress=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but it does not listen
        with pytest.raises(ConnectionError, match="argument folder"):
            load_benchmark(url=f"http://127.0.0.1:{unused.getsockname()[1]}/", progress=False)


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_local_folder_needs_no_network(benchmark, no_network, monkeypatch, way):
    folder, pixels = benchmark
    monkeypatch.setenv("SIAMDECON_BENCHMARK", str(folder if way == "environment" else "elsewhere"))
    argument = folder if way == "argument" else None
    (folder / "nuclei8x6.png").unlink()
    (folder / "other.png").touch()
    assert_is_benchmark(load_benchmark(argument), pixels, ["nucleidots8x7", "fish9x5"])
    assert_is_benchmark(load_benchmark(argument, "fish9x5.png"), pixels, ["fish9x5"])
    with pytest.raises(FileNotFoundError, match=r"lacks nuclei8x6\.png; .*holds nucleidots8x7\.pn"):
        load_benchmark(argument, ["fish", "nuclei"])


def test_a_local_folder_without_the_images_or_with_changed_ones(benchmark, tmp_path):
    folder, _ = benchmark
    with pytest.raises(FileNotFoundError, match=r"lacks all images.*holds none.*leave both out"):
        load_benchmark(tmp_path)
    PIL.Image.fromarray(np.eye(5, dtype=np.uint8)).save(folder / "fish9x5.png")
    with pytest.raises(ValueError, match=r"fish9x5\.png has SHA-256 .*get it anew from https"):
        load_benchmark(folder)
    assert list(load_benchmark(folder, ["nuclei"])) == ["nuclei8x6"]


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("whale", "none"),
        ("nu", r"nuclei8x6\.png, nucleidots8x7\.png"),
        ("", "nuclei8x6.*fish"),
        ("ish", "none"),
        ("fish9x5.tif", "none"),
    ],
)
def test_a_name_must_fit_one_image(benchmark, name, fits):
    with pytest.raises(
        ValueError, match=f"'{name}' fits {fits}.*nuclei8x6, nucleidots8x7, fish9x5"
    ):
        load_benchmark(names=[name])


def test_the_registry_lists_22_checksums():
    lines = (DATA / "benchmark2d.sha256").read_text().splitlines()
    assert len(lines) == 22 and all(re.fullmatch(r"[0-9a-f]{64}  \w+\.png", line) for line in lines)
    assert len(samples._registry()) == 22
    assert samples._registry()["usaf768x812.png"].startswith("1fdf813f8c62")


@pytest.mark.skipif(not os.environ.get("SIAMDECON_BENCHMARK"), reason="names no folder of images")
def test_the_real_images():
    folder = Path(os.environ["SIAMDECON_BENCHMARK"])
    loaded = load_benchmark()
    assert set(loaded) == {path.stem for path in folder.glob("*.png")}
    for name, image in loaded.items():
        width, height = PIL.Image.open(folder / f"{name}.png").size
        assert image.shape == (height, width) and (image.min(), image.max()) == (0, 1)


# Real images: a stack made up here, under the name of one.


@pytest.fixture
def beads(tmp_path, monkeypatch):
    """Write a stack in place of the beads, and serve it; give its file, its pixels and what was asked for."""
    folder = tmp_path / "there"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 200, (3, 8, 9), np.uint8)
    path = write_image(folder / "beads.tif", pixels, voxel_size=(0.125, 0.0225, 0.0225))
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.delenv("SIAMDECON_REAL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(folder) as (url, asked):
        entry = {"name": "beads", "file": path.name, "sha256": sha256(path), "url": url + path.name}
        entry |= {"description": "four beads", "authors": "A. Bee", "licence": "CC0"}
        monkeypatch.setattr(samples, "_entries", lambda file: {"beads": entry | {"source": "here"}})
        yield path, pixels, asked


def assert_is_beads(image, pixels):
    assert image.dtype == pixels.dtype and image.axes == "ZYX"
    np.testing.assert_array_equal(image, pixels)
    np.testing.assert_allclose(image.voxel_size, (0.125, 0.0225, 0.0225), rtol=1e-6)
    assert image.credit == "four beads; A. Bee; CC0; here"


def test_a_real_image_is_downloaded_once_and_says_whose_it_is(beads, capsys):
    _, pixels, asked = beads
    for _ in range(2):
        assert_is_beads(load_real("beads", progress=False), pixels)
    assert asked == ["beads.tif"]
    assert "%" not in capsys.readouterr().err


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_copy_of_a_real_image_needs_no_network(beads, no_network, monkeypatch, way):
    path, pixels, asked = beads
    folder = str(path.parent if way == "environment" else "elsewhere")
    monkeypatch.setenv("SIAMDECON_REAL", folder)
    assert_is_beads(load_real("beads", path.parent if way == "argument" else None), pixels)
    assert not asked
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"beads\.tif has SHA-256 .*get it anew from http"):
        load_real("beads", path.parent)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks beads\.tif; .*SIAMDECON_REAL, or leave"):
        load_real("beads", path.parent)


def refused(monkeypatch, beads):
    def refuse(*args):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def unknown_host(monkeypatch, beads):
    def fail(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def timed_out(monkeypatch, beads):
    def wait(*args):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", wait)


def bad_proxy(monkeypatch, beads):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://:0:proxy")


def gone(monkeypatch, beads):
    beads[0].unlink()


def cut_off(monkeypatch, beads):
    def half(self, source, outputfile):
        outputfile.write(source.read(20))

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "copyfile", half)


@pytest.mark.parametrize("fault", [refused, unknown_host, timed_out, bad_proxy, gone, cut_off])
def test_without_a_network_the_error_is_one_line_whatever_failed(beads, monkeypatch, fault):
    fault(monkeypatch, beads)
    with pytest.raises(ConnectionError, match=r"^cannot download http.*beads\.tif: ") as failed:
        load_real("beads", progress=False)
    said = str(failed.value)
    assert "\n" not in said and "object at 0x" not in said and "HTTPConnection" not in said
    assert said.endswith("SIAMDECON_REAL") and len(said) < 400


def test_another_file_in_place_of_a_real_image_is_refused_and_not_kept(beads, tmp_path):
    path, *_ = beads
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"(?s)not the expected file.*SIAMDECON_REAL"):
        load_real("beads", progress=False)
    assert not list((tmp_path / "cache").rglob("*.tif"))


def test_real_images_have_a_fixed_commit_authors_and_a_licence():
    entries = json.loads((DATA / "real.json").read_text())
    assert tuple(entry["name"] for entry in entries) == real_names()
    for entry in entries:
        assert f'"{entry["name"]}"' in load_real.__doc__
        assert re.fullmatch(r"[0-9a-f]{64}", entry["sha256"])
        place = r"https://raw\.githubusercontent\.com/(.+?/.+?)/[0-9a-f]{40}/.+/" + re.escape(
            entry["file"]
        )
        assert re.fullmatch(place, entry["url"])[1] in entry["source"]
        assert entry["authors"] and entry["licence"] and entry["description"]
        assert not (DATA / entry["file"]).exists()
    with pytest.raises(ValueError, match="there is no 'beds'; there are beads, grid"):
        load_real("beds")


@pytest.mark.skipif(not os.environ.get("SIAMDECON_REAL"), reason="names no folder of images")
@pytest.mark.parametrize("entry", json.loads((DATA / "real.json").read_text()), ids=real_names())
def test_the_real_images_of_microscopes(entry):
    image = load_real(entry["name"])
    assert image.shape == tuple(entry["shape"]) and image.data.std() > 0
    assert image.voxel_size == pytest.approx(tuple(entry["voxel_size"]), rel=1e-6)
    assert all(entry[key] in image.credit for key in ("authors", "licence", "source"))


def test_the_volume_is_generated_unless_there_is_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("SIAMDECON_VOLUME", raising=False)
    monkeypatch.setattr(
        "siamdecon.files.phantoms.filaments", lambda shape: np.zeros(shape, np.float32)
    )
    assert load_volume().shape == (128, 256, 512)
    stack = np.arange(5 * 20 * 30, dtype=np.uint16).reshape(5, 20, 30) + 70
    path = write_image(tmp_path / "microtubules.tif", stack)
    monkeypatch.setenv("SIAMDECON_VOLUME", str(path))
    np.testing.assert_allclose(load_volume(), (stack - 70.0) / (stack.size - 1), atol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "message"), [(np.eye(20), "got a plane"), (np.ones((5, 20, 20)), "every voxel is 1")]
)
def test_what_is_no_volume(tmp_path, pixels, message):
    path = write_image(tmp_path / "a.tif", pixels.astype(np.uint8))
    with pytest.raises(ValueError, match=message):
        load_volume(path)
