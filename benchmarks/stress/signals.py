"""Ctrl-C and SIGTERM at random moments of every method and every command line."""

import os
import signal
import time
from pathlib import Path

import numpy as np

import siamdecon as sd
from benchmarks.stress import Lost
from benchmarks.stress.processes import (
    COMMANDS,
    IMAGE,
    PSF,
    STACK,
    checksum,
    clear,
    ended,
    forked,
    lay_out,
    parts,
    timed,
    two_threads,
    undisturbed,
    words,
)
from siamdecon.cli import main
from siamdecon.methods import METHODS

TRIED = "SIGINT and SIGTERM at a random moment of every method, 2D and 3D, and of every command"
HOLDS = "a partial result or one line, exit codes 130 and 143; the next call gives the same bits as ever"
COUNT, SECONDS = 200, 60

_known: dict[str, tuple] = {}


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Interrupt one run."""
    lay_out(folder)
    if rng.random() < 0.6:
        return command(rng, folder)
    return call(rng, folder)


def command(rng, folder: Path) -> str:
    """Interrupt a command line: as `python -m siamdecon` does from its first line on."""
    name = str(rng.choice(list(COMMANDS)))
    line = words(COMMANDS[name], folder)
    if name not in _known:
        said = folder / "said"
        _known[name] = undisturbed(name, lambda: main(line), said)
        clear(folder)
    number = int(rng.choice([signal.SIGINT, signal.SIGTERM]))

    def work() -> int:
        two_threads() if rng.random() < 0.5 else None
        code = main(line)
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        return code

    said = folder / "said"
    child = forked(work, said)
    time.sleep(0.02 + float(rng.random()) * _known[name])
    os.kill(child, number)
    if rng.random() < 0.2:  # impatience
        time.sleep(0.01)
        os.kill(child, number)
    code, lines = ended(child), said.read_text(errors="replace").splitlines()
    mine = [text for text in lines if text.startswith("siamdecon: ")]
    found = checksum(folder)
    if any(text.startswith("Traceback") for text in lines) or code not in (0, 128 + number):
        if code in (-number, 99) and not mine and "in _stopping" not in "".join(lines):
            return "before or after the work"  # the process had not begun, or was over
        raise Lost(f"{name}, {number}: code {code}, {lines[-12:]}")
    if left := parts(folder):
        raise Lost(f"{name}, {number}: {left} are left")
    written = sum(not out.endswith(".json") for out in found)
    if code and not written and not any("interrupted" in text for text in mine):
        raise Lost(f"{name}, {number}: code {code}, nothing was written, and nothing said: {lines}")
    if len([o for o in found if "cli compare" != name and name != "cli psf"]) % 2:
        raise Lost(
            f"{name}, {number}: {sorted(found)}: an image without its record, or the reverse"
        )
    return f"{'done' if code == 0 else 'partial result' if written else 'one line'}"


def call(rng, folder: Path) -> str:
    """Interrupt `deconvolve`, and call it again."""
    method, n_dim = str(rng.choice(list(METHODS))), int(rng.choice([2, 3]))
    image = {2: IMAGE, 3: STACK}[n_dim]

    def restore():
        return sd.deconvolve(image, PSF[n_dim], method, tier="test", progress=False)

    name = f"{method} {n_dim}D"
    if name not in _known:
        seconds, result = timed(restore)
        _known[name] = seconds, result.image.tobytes()
    seconds, expected = _known[name]
    number = int(rng.choice([signal.SIGINT, signal.SIGTERM]))
    delay = 0.01 + float(rng.random()) * seconds

    def work() -> int:
        two_threads() if rng.random() < 0.5 else None
        try:
            first = restore()
        except KeyboardInterrupt:
            code = 1
        else:
            interrupted = first.settings.get("interrupted", False)
            if not np.isfinite(first.image).all():
                return 10
            if not interrupted and first.image.tobytes() != expected:
                return 11
            code = 2 if interrupted else 3
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return code if restore().image.tobytes() == expected else 12

    said = folder / "said"
    child = forked(work, said)
    time.sleep(delay)
    os.kill(child, number)
    code = ended(child)
    names = {1: "KeyboardInterrupt", 2: "partial result", 3: "done", -signal.SIGTERM: "ended"}
    if code == 99 and "in restore" not in said.read_text():
        return "before or after the work"
    if code not in names:
        why = {10: "not finite", 11: "another result", 12: "another result in the next call"}
        raise Lost(f"{name}, {number}: {why.get(code, code)}\n{said.read_text()[-1500:]}")
    return names[code]
