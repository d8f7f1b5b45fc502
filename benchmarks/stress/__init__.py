"""The package under attack, as users' machines attack it: `python -m benchmarks.stress` counts what is lost.

Each attack is a module with `TRIED`, what it tries in words; `HOLDS`, what must hold; `COUNT`, how many
cases `make stress` runs; `SECONDS`, how long one may take; and `attempt(rng, folder)`, one case. It returns
what came of it in a word or two, or raises `Lost`. A case follows from attack, seed and number alone:
`python -m benchmarks.stress --attack files --seed 0 --only 37` runs one again.
"""

import json
import os
import re
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

import siamdecon
from benchmarks.machine import PeakMemory
from siamdecon.hardware import one_thread_each

#: In the order in which they are run.
ATTACKS = ("inputs", "files", "disk", "signals", "kills", "together", "memory", "downloads")
#: What a call may take, in bytes; a worker is refused much more than that.
MEMORY, REFUSED = 2 * 2**30, 6 * 2**30
PACKAGE = str(Path(siamdecon.__file__).parent)
BENCHMARKS = str(Path(__file__).parents[1] / "measurements.py")
#: The first words of an error or a warning of ours: an argument, a file, or what can't be done.
_NAMED = re.compile(r"[\w ./-]{2,}")


class Lost(AssertionError):
    """What must hold does not."""


def expected(error: BaseException) -> str:
    """Return the word that an error of ours names first, or raise `Lost` with the error in it."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    at = last.tb_frame.f_code.co_filename
    ours = at.startswith((PACKAGE, BENCHMARKS)) and isinstance(
        error, (ValueError, OSError, FloatingPointError)
    )
    if isinstance(error, FloatingPointError) and ours:
        return "diverged, said"
    named = _NAMED.match(str(error))
    if not ours or not named:
        text = "".join(traceback.format_exception(error)[-3:])
        raise Lost(f"{type(error).__name__}: {error}\n{text}") from error
    return "refused"


def finite(image, shape) -> None:
    """Raise `Lost` unless an image is finite and has a shape."""
    if image.shape != tuple(shape) or image.dtype not in (np.float32, np.float64):
        raise Lost(f"{image.shape} {image.dtype} came of {shape}")
    if not np.isfinite(image).all():
        raise Lost(f"{np.count_nonzero(~np.isfinite(image))} of {image.size} pixels are not finite")


def number(attack: str, seed: int, case: int) -> np.random.Generator:
    """Return the random numbers of a case."""
    return np.random.default_rng([ATTACKS.index(attack), seed, case])


def one(attack: str, seed: int, case: int) -> dict:
    """Run one case in this process; return what came of it."""
    module, here = import_module(f"benchmarks.stress.{attack}"), os.getcwd()
    folder = Path(tempfile.mkdtemp(prefix="stress-"))
    found = {"case": case}
    try:
        os.chdir(folder)
        with warnings.catch_warnings(), PeakMemory() as memory, one_thread_each():
            warnings.simplefilter("ignore")
            found["outcome"] = module.attempt(number(attack, seed, case), folder)
    except Lost as lost:
        found["lost"] = str(lost)
    except BaseException as error:
        found["lost"] = "".join(traceback.format_exception(error)[-4:])
    finally:
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)
    if memory.peak - memory.before > MEMORY and "lost" not in found:
        found["lost"] = f"{(memory.peak - memory.before) / 2**30:.1f} GiB of memory"
    return found


def each(attack: str, seed: int, cases: range) -> Iterator[dict]:
    """Run cases in a process forked for them, and in another one after a case that ended it."""
    seconds = import_module(f"benchmarks.stress.{attack}").SECONDS
    torch.set_num_threads(1)  # a forked process can't use its parent's threads
    cases = list(cases)
    while cases:
        reader, writer = os.pipe()
        if not (worker := os.fork()):
            _work(writer, attack, seed, cases[:100])
        os.close(writer)
        wanted, status = min(len(cases), 100), None
        with open(reader) as lines:
            for _ in range(wanted):
                if status := _hangs(worker, lines, seconds):
                    os.kill(worker, signal.SIGKILL)
                    break
                if not (line := lines.readline()):
                    status = "the process has ended"
                    break
                yield json.loads(line)
                cases.pop(0)
        _, end = os.waitpid(worker, 0)
        if status:
            yield {"case": cases.pop(0), "lost": f"{status}, signal {end & 127}"}


def _hangs(worker: int, lines, seconds: float) -> str:
    """Wait for a line; say so if none has come after some seconds of work, or ten times as long without any.

    On a machine that is busy with other things a case takes longer, and does no more.
    """
    before = seen = _worked(worker)
    since = time.monotonic()
    while not select.select([lines], [], [], 0.5)[0]:
        if (now := _worked(worker)) > seen:
            seen, since = now, time.monotonic()
        if now - before > seconds or time.monotonic() - since > 10 * seconds:
            return f"no answer after {now - before:.0f} s of work"
    return ""


def _worked(process: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _work(writer: int, attack: str, seed: int, cases: list[int]) -> None:
    """Run cases in a forked process, a line of JSON each, and end it."""
    resource.setrlimit(resource.RLIMIT_DATA, (REFUSED, REFUSED))
    with open(writer, "w", buffering=1) as lines, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        for case in cases:
            begin = time.monotonic()
            found = one(attack, seed, case)
            found["seconds"] = round(time.monotonic() - begin, 2)
            lines.write(json.dumps(found) + "\n")
    os._exit(0)


def run(attack: str, seed: int, cases: range, show: Callable = lambda found: None) -> dict:
    """Run cases; return how many, what came of them and what was lost."""
    outcomes, lost, slowest = Counter(), [], 0.0
    for found in each(attack, seed, cases):
        show(found)
        slowest = max(slowest, found.get("seconds", 0))
        if "lost" in found:
            lost.append({"case": found["case"], "what": found["lost"]})
        else:
            outcomes[found["outcome"]] += 1
    return {"cases": len(cases), "outcomes": outcomes, "lost": lost, "slowest_s": slowest}
