"""Files appear whole or not at all, and one process at a time writes them."""

import contextlib
import errno
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from siamdecon import deconvolve, write_image
from siamdecon.files.atomic import check_room, claimed, write_atomically


def claim(path, ready):
    with claimed(path, "a"):
        ready.set()
        time.sleep(60)


@contextlib.contextmanager
def other_process_at(path):
    """Let another process claim a file."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    other = spawn.Process(target=claim, args=(path, ready))
    other.start()
    try:
        while not ready.wait(1):
            assert other.is_alive()
        yield other
    finally:
        other.kill()
        other.join()


def test_a_file_that_another_process_writes_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    with other_process_at(path) as other:
        with pytest.raises(BlockingIOError, match=r"path: .*a\.tif is being written by another"):
            write_image(path, np.eye(9))
        other.kill()
        other.join()
        write_image(path, np.eye(9))  # what a killed process claimed is free
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def kill_myself(path):
    write_atomically(
        path, lambda part: (part.write_text("x"), os.kill(os.getpid(), signal.SIGKILL))
    )


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path):
    path = tmp_path / "a.tif"
    killed = multiprocessing.get_context("spawn").Process(target=kill_myself, args=(path,))
    killed.start()
    killed.join()
    (tmp_path / "b.tif").write_text("of others")
    assert len(list(tmp_path.iterdir())) == 2
    write_image(path, np.eye(9))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    def full(part):
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"cannot write a\.tif to .*: No space left on device; free"):
        write_atomically(tmp_path / "a.tif", full)
    assert not list(tmp_path.iterdir())


def test_room_is_looked_for_before_the_work(tmp_path):
    with pytest.raises(OSError, match=r"a\.tif: it takes 1e[+]09 GB, and .* GB left; free some"):
        check_room(tmp_path / "a.tif", 10**18)


def test_an_image_and_its_record_are_written_both_or_neither(tmp_path, monkeypatch):
    result = deconvolve(np.random.default_rng(0).normal(size=(32, 32)), np.eye(3) / 3, "wiener")
    for name in ("a.json", "a.tif"):
        replace = os.replace

        def fail(part, target, name=name, replace=replace):
            if target.name == name and name == "a.tif":
                raise OSError(errno.EIO, "Input/output error")
            replace(part, target)

        monkeypatch.setattr("siamdecon.files.atomic.os.replace", fail)
        if name == "a.json":  # the text of the record finds no room
            monkeypatch.setattr("pathlib.Path.write_text", lambda *_: os.write(-1, b""))
        with pytest.raises(OSError, match=f"cannot write {name}"):
            result.save(tmp_path / "a.tif")
        monkeypatch.undo()
        assert not list(tmp_path.iterdir())


def test_a_thread_may_write_while_another_does(tmp_path):
    """Signals are put off by the main thread alone: Python lets no other one."""

    def slow(part):
        part.write_text("a")
        with ThreadPoolExecutor(1) as other:
            other.submit(write_atomically, tmp_path / "b", lambda p: p.write_text("b")).result()

    write_atomically(tmp_path / "a", slow)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["a", "b"]
