"""The stress campaign: its first cases lose nothing, and what is lost is seen."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from benchmarks import stress
from siamdecon.expect import expect

#: Cases of each attack: some seconds' worth.
COUNTS = {"inputs": 200, "files": 100, "disk": 20, "signals": 5, "kills": 3, "together": 2}
COUNTS |= {"downloads": 1}


@pytest.mark.parametrize(("attack", "count"), COUNTS.items())
def test_nothing_is_lost(attack, count, tmp_path):
    out = tmp_path / "stress.json"
    words = ["--attack", attack, "--count", str(count), "--out", str(out)]
    # in a process of its own: what forks must not have used threads
    command = [sys.executable, "-m", "benchmarks.stress", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())[attack]
    assert found["lost"] == [] and sum(found["outcomes"].values()) == found["cases"] > 0


def of(monkeypatch, attempt, seconds=20, cases=1):
    module = types.ModuleType("benchmarks.stress.fake")
    module.SECONDS, module.attempt = seconds, attempt
    monkeypatch.setitem(sys.modules, "benchmarks.stress.fake", module)
    monkeypatch.setattr(stress, "ATTACKS", ("fake",))
    return stress.run("fake", 0, range(cases))


def refuse(rng, folder):
    try:
        expect(False, "image", "an image", 3)
    except ValueError as error:
        return stress.expected(error)


def numpys_own(rng, folder):
    try:
        np.reshape(np.ones(3), (2, 2))
    except ValueError as error:
        return stress.expected(error)


@pytest.mark.parametrize(
    ("attempt", "seen"),
    [
        (numpys_own, "ValueError: cannot reshape"),
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), "signal 9"),
        (lambda *_: {}["x"], "KeyError"),
        (lambda *_: stress.finite(np.full(3, np.nan, "f4"), (3,)), "3 of 3 pixels are not finite"),
        (lambda *_: len(np.ones(2**28 + 2**26)), "GiB of memory"),
    ],
)
def test_what_is_lost_is_seen(monkeypatch, attempt, seen):
    found = of(monkeypatch, attempt)
    assert found["cases"] == 1 and seen in found["lost"][0]["what"]


def test_a_hang_is_seen_and_the_rest_goes_on(monkeypatch):
    def hang(rng, folder):
        if folder.with_name("hung").exists():
            folder.with_name("hung").rmdir()
            return "good"
        folder.with_name("hung").mkdir()
        while True:
            time.sleep(1e-4)

    found = of(monkeypatch, hang, seconds=0.2, cases=2)
    assert [lost["case"] for lost in found["lost"]] == [0]
    assert "no answer" in found["lost"][0]["what"] and found["outcomes"] == {"good": 1}


def test_what_is_refused_by_its_name_is_good(monkeypatch):
    assert of(monkeypatch, refuse)["outcomes"] == {"refused": 1}


def test_a_case_follows_from_its_number():
    first, second, other = (stress.number("inputs", 0, case).random() for case in (5, 5, 6))
    assert first == second != other
