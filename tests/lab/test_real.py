"""What takes the place of real images: as large, of the same voxel size, and said."""

import hashlib
import json

import numpy as np
import pooch
import pytest

from siamdecon.files import real_names, samples, write_image
from siamdecon.files.samples import data_folder
from siamdecon.lab import real, real_or_simulated
from tests.servers import served

ENTRIES = json.loads((data_folder() / "real.json").read_text())


@pytest.fixture(autouse=True)
def _as_for_a_learner(monkeypatch):
    for name in ("REAL", "OFFLINE"):
        monkeypatch.delenv(f"SIAMDECON_{name}", raising=False)


@pytest.mark.parametrize("entry", ENTRIES, ids=real_names())
def test_what_is_simulated_is_like_the_real_one(entry):
    image, again = (real.simulated(entry["name"]) for _ in range(2))
    assert image.shape == tuple(entry["shape"])
    np.testing.assert_allclose(image.voxel_size, entry["voxel_size"], rtol=0.03)
    np.testing.assert_array_equal(image, again)
    assert "simulated" in image.credit


def test_counts_are_scaled_photons_as_the_real_ones_are():
    """The variance grows by what a photon adds, as the real grid's does; rounding adds up to 1 / 4."""
    counts = np.asarray(real.simulated("grid"), float)
    level = counts.mean(axis=1)
    variance = np.diff(counts, 2, axis=1).var(axis=1) / 6
    bright = level > 4
    assert counts.min() == 1 and bright.sum() > 50
    expected = 0.11 * (level[bright].mean() - 1) + 1 / 12
    assert variance[bright].mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("kind", [ConnectionError, ValueError])
def test_without_a_network_all_are_simulated_and_it_is_said(monkeypatch, capsys, kind):
    def fail(name, progress):
        raise kind("cannot download it")

    monkeypatch.setattr(real, "load_real", fail)
    images, are_real = real_or_simulated("grid", "celegans")
    assert list(images) == ["grid", "celegans"] and not are_real
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("cannot download it") and "simulated" in said[1] and len(said) == 4


@pytest.mark.parametrize("offline", [False, True])
def test_nothing_is_asked_for_where_that_is_wanted(monkeypatch, tmp_path, capsys, offline):
    """A server of this machine has the images: without the variable they come from there."""
    entries = {}
    for entry in ENTRIES[:2]:
        path = write_image(tmp_path / entry["file"], real.simulated(entry["name"]).data)
        entries[entry["name"]] = entry | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(samples, "_entries", lambda file: entries)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if offline:
        monkeypatch.setenv("SIAMDECON_OFFLINE", "1")
    with served(tmp_path) as (url, asked):
        for entry in entries.values():
            entry["url"] = url + entry["file"]
        images, are_real = real_or_simulated(*entries)
    assert asked == ([] if offline else [entry["file"] for entry in entries.values()])
    assert are_real is not offline and list(images) == ["beads", "grid"]
    assert ("SIAMDECON_OFFLINE is set" in capsys.readouterr().out) is offline


def test_a_folder_of_copies_is_read_offline_too(monkeypatch, tmp_path):
    monkeypatch.setenv("SIAMDECON_OFFLINE", "1")
    monkeypatch.setenv("SIAMDECON_REAL", str(tmp_path))
    monkeypatch.setattr(real, "load_real", lambda name, progress: real.simulated(name))
    assert real_or_simulated("grid")[1]


def test_real_ones_say_whose_they_are(monkeypatch, capsys):
    monkeypatch.setattr(real, "load_real", lambda name, progress: real.simulated(name))
    images, are_real = real_or_simulated("grid")
    assert are_real and list(images) == ["grid"]
    assert capsys.readouterr().out == f"grid: {images['grid'].credit}\n"


def test_a_wrong_copy_is_not_passed_over(monkeypatch, tmp_path):
    """Whoever names a folder wants its files: a missing or another file is an error."""
    monkeypatch.setenv("SIAMDECON_REAL", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="lacks"):
        real_or_simulated("grid")
    (tmp_path / ENTRIES[1]["file"]).touch()
    with pytest.raises(ValueError, match="SHA-256"):
        real_or_simulated("grid")
