"""Windows restored by the workers of a Dask cluster: the bits of one process, whatever befalls one."""

import json
import os
import signal
import time
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tifffile
import zarr

from siamdecon import deconvolve_file, write_image
from siamdecon.cli import main
from siamdecon.files.phantoms import filaments
from siamdecon.methods import METHODS, Method
from siamdecon.tiles import Estimator

distributed = pytest.importorskip("distributed")

PSF = np.ones((3, 3, 3)) / 27
STACK = (900 * filaments((20, 48, 50), 1) + 100).astype(np.uint16)


@pytest.fixture(scope="module")
def cluster():
    how = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "memory_limit": 0}
    with distributed.LocalCluster(dashboard_address=":0", **how) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIAMDECON_TIER", "test")
    monkeypatch.setattr("siamdecon.restoration.CHUNK", {3: 16, 2: 16})
    write_image("in.tif", STACK, voxel_size=(0.5, 0.2, 0.2))
    yield tmp_path
    METHODS.pop("of_a_test", None)


def restored(method="richardson_lucy", output="out.zarr", source="in.tif", **options):
    done = deconvolve_file(
        source, PSF, output, method, **{"tile": 16, "progress": False, **options}
    )
    return zarr.open_array(done / "0", mode="r")[:]


def method(change):
    """Enter a method of a test's own, whose windows a function restores."""

    @dataclass(frozen=True)
    class OfATest(Method):
        name: ClassVar = "of_a_test"
        in_windows: ClassVar = True

        def fit(self, problem, watch):
            return Estimator(change, 2, core=16)

    return "of_a_test"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("richardson_lucy", "in.tif"),
        ("richardson_lucy", "packed.tif"),
        ("noise2same", "in.zarr"),
    ],
)
def test_a_cluster_gives_the_bits_of_one_process(cluster, source, name, capsys, monkeypatch):
    write_image("in.zarr", STACK)
    tifffile.imwrite(
        "packed.tif", STACK, photometric="minisblack", compression="zlib", tile=(16, 16)
    )
    how = {"average_flips": False} if name == "noise2same" else {"iterations": 1}
    monkeypatch.setattr("siamdecon.files.stores.SMALL", 16)
    expected = restored(name, "alone.zarr", source, **how)
    found = restored(name, source=source, scheduler=cluster, progress=True, **how)
    np.testing.assert_array_equal(found, expected)
    for level in ("1", "2"):
        found, expected = (zarr.open_array(f"{n}.zarr/{level}") for n in ("out", "alone"))
        assert found.nchunks_initialized == found.nchunks
        np.testing.assert_array_equal(found[:], expected[:])
    assert cluster.dashboard_link in capsys.readouterr().err
    assert sorted(p.suffix for p in Path().iterdir() if p.name.startswith("out")) == [
        ".json",
        ".zarr",
    ]


def test_the_windows_of_a_worker_that_dies_are_restored_by_others(cluster, folder):
    died, calls = folder / "died", folder / "calls"

    def restore(x, dying=True):
        with calls.open("a") as file:
            file.write("x")
        if dying and not died.exists() and calls.stat().st_size > 16:
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)  # for what is finished to be known
        return 2 * x

    found = restored(method(restore), scheduler=cluster.scheduler_address)
    count = zarr.open_array("out.zarr/0").nchunks
    # what is finished stays so: anew are the windows of one worker or two, begun or hardly ended
    assert died.exists() and count == 24 < calls.stat().st_size <= count + 4
    np.testing.assert_array_equal(found, restored(method(partial(restore, dying=False)), "b.zarr"))


def test_a_part_at_which_every_worker_dies_is_one_line(cluster, folder):
    def restore(x):
        os.kill(os.getpid(), signal.SIGKILL)

    cluster.scheduler.allowed_failures, before = 0, cluster.scheduler.allowed_failures
    try:
        with pytest.raises(
            ValueError, match="several workers died at the same part; give workers more"
        ):
            restored(method(restore), scheduler=cluster)
    finally:
        cluster.scheduler.allowed_failures = before
    assert not (folder / "out.zarr").exists() and not (folder / "out.json").exists()


def test_a_full_worker_halves_the_tiles_and_another_error_is_said(cluster):
    def restore(x):
        if max(x.shape) > 24:
            raise MemoryError("full")
        return 2 * x

    found = restored(method(restore), tile=32, scheduler=cluster)
    assert json.loads(Path("out.json").read_text())["tile"] == 16
    np.testing.assert_array_equal(found, restored("of_a_test", "b.zarr"))

    def diverge(x):
        raise FloatingPointError("the training has diverged")

    with pytest.raises(FloatingPointError, match="the training has diverged"):
        restored(method(diverge), "c.zarr", scheduler=cluster)


def test_a_run_that_lost_its_cluster_is_gone_on_with_without(cluster, folder, monkeypatch):
    expected = restored(output="alone.zarr", iterations=1)
    over = "siamdecon.restoration.over_workers"

    def lost(work, parts, client):
        for part in parts[:3]:
            work(part)
            yield
        raise ValueError("scheduler: the connection to it is lost")

    with monkeypatch.context() as patched:
        patched.setattr(over, lost)
        with pytest.raises(ValueError, match="the connection to it is lost"):
            restored(scheduler=cluster, iterations=1)
    parts = []
    monkeypatch.setattr(over, lambda work, left, _: (parts.append(p) or work(p) for p in left))
    np.testing.assert_array_equal(restored(iterations=1), expected)
    assert len(parts) == zarr.open_array("out.zarr/0").nchunks - 3


def test_workers_that_do_not_see_the_files_are_one_line(cluster, folder, monkeypatch):
    class Elsewhere:
        name = "/on/another/disk"
        __enter__, __exit__ = (lambda self: self), (lambda *_: None)

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.NamedTemporaryFile", lambda **_: Elsewhere())
        with pytest.raises(
            ValueError,
            match=r"scheduler: expected workers that see the files, got .* see /on/another",
        ):
            restored(scheduler=cluster)
    monkeypatch.setattr("siamdecon.restoration.describe_versions", lambda: {"torch": os.getpid()})
    with pytest.raises(
        ValueError, match=r"workers with the versions of here, got .*'torch': .* at tcp:"
    ):
        restored(scheduler=cluster)
    assert sorted(p.name for p in folder.iterdir()) == ["in.tif"]


def test_what_is_no_scheduler_and_what_takes_none(capsys, monkeypatch):
    with pytest.raises(
        ValueError, match=r"output: expected an OME-Zarr for a scheduler, got out\.tif"
    ):
        restored(output="out.tif", scheduler="tcp://127.0.0.1:1")
    made = weakref.WeakSet()

    class Impatient(distributed.Client):
        def __init__(self, address, timeout, **how):
            made.add(self)
            super().__init__(address, timeout=0.2, **how)

    monkeypatch.setattr("distributed.Client", Impatient)
    write_image("psf.tif", PSF.astype(np.float32))
    command = ["in.tif", "--psf", "psf.tif", "-o", "out.zarr", "--method", "richardson_lucy"]
    for address in ("tcp://127.0.0.1:1", "cells.tif"):
        assert main([*command, "--dask", address]) == 2
        said = capsys.readouterr().err.splitlines()
        assert f"got '{address}'" in said[-1] and "the address of a Dask scheduler" in said[-1]
        assert not made  # one that ends later, in a thread of the next, blocks that


def test_the_command_line_uses_a_cluster(cluster, capsys):
    write_image("psf.tif", PSF.astype(np.float32))
    command = ["in.tif", "--psf", "psf.tif", "--method", "richardson_lucy", "--quiet", "-o"]
    assert main([*command, "out.zarr", "--dask", cluster.scheduler_address]) == 0
    assert "(20, 48, 50), on disk" in capsys.readouterr().out
    assert main([*command, "alone.zarr", "--on-disk"]) == 0
    found, expected = (zarr.open_array(f"{name}.zarr/0")[:] for name in ("out", "alone"))
    np.testing.assert_array_equal(found, expected)
