"""What attacks on whole runs share: commands, processes forked for them, and what they may leave behind."""

import contextlib
import hashlib
import io
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import siamdecon as sd
from benchmarks.stress import Lost
from siamdecon.cli import main
from siamdecon.methods import METHODS

IMAGE = np.random.default_rng(0).poisson(
    20 + 80 * np.sin(np.indices((96, 80)).sum(axis=0) / 7) ** 2
).astype(np.uint16)  # fmt: skip
STACK = np.random.default_rng(1).integers(90, 400, (6, 48, 40), dtype=np.uint16)
PSF = {2: np.ones((3, 3)) / 9, 3: np.ones((3, 3, 3)) / 27}
PART = ".siamdecon-*"
#: Runs by name: what the command line is told, after files that `lay_out` has written.
COMMANDS = {
    **{f"cli {name}": f"in.tif --psf psf.tif -o out.tif --method {name}" for name in METHODS},
    "cli on disk": "in.tif --psf psf.tif -o out.tif --on-disk --checkpoint run",
    "cli classical on disk": "stack.tif --psf psf3.tif -o out.tif --on-disk --method richardson_lucy",
    "cli stack": "stack.tif --psf psf3.tif -o out.ome.tif --method noise2same",
    "cli png": "in.tif --psf psf.tif -o out.png --method wiener",
    "cli channels": "two.tif --channel all --psf psf.tif -o out.tif --method ssi",
    "cli checkpoint": "in.tif --psf psf.tif -o out.tif --checkpoint run --steps 30",
    "cli psf": "psf --na 0.8 --wavelength 0.6 --pixel 0.2 -o out.tif",
    "cli inspect": "inspect in.tif --psf psf.tif",
    "cli compare": "compare in.tif --psf psf.tif -o out.png --methods wiener noise2self",
}


def lay_out(folder: Path) -> None:
    """Write the files that the commands read."""
    sd.write_image(folder / "in.tif", IMAGE)
    sd.write_image(folder / "stack.tif", STACK)
    sd.write_image(folder / "psf.tif", PSF[2].astype(np.float32))
    sd.write_image(folder / "psf3.tif", PSF[3].astype(np.float32))
    import tifffile

    two = np.stack([IMAGE, IMAGE[::-1]])
    tifffile.imwrite(folder / "two.tif", two, imagej=True, metadata={"axes": "CYX"})


def words(command: str, folder: Path, more: str = "") -> list[str]:
    """Return a command line with its output in a folder."""
    found = f"{command} {more}".split()
    found = [str(folder / w) if w.startswith("out.") or w == "run" else w for w in found]
    quiet = ["--quiet"] if found[0] not in ("psf", "inspect") else []
    return [*found, *quiet, *(["--tier", "test"] if quiet else [])]


def call(arguments: list[str]) -> tuple[int, list[str]]:
    """Run a command line in this process; return its code and the lines that it complained with."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(arguments)
    return code, said.getvalue().splitlines()


def forked(work: Callable[[], int], said: Path) -> int:
    """Run work in a process of its own, its complaints in a file; return its number."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        with open(said, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = work()
    except BaseException:
        with contextlib.suppress(BaseException), open(said, "a") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a process; return its code, negative where a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def checksum(folder: Path) -> dict[str, str]:
    """Return a checksum of each output that there is; raise `Lost` if one is not whole."""
    found = {}
    for path in sorted(folder.glob("out*")):
        if path.suffix == ".unfinished":  # its name says so
            continue
        try:
            if path.suffix == ".json":
                import json

                text = json.loads(path.read_text())
                found[path.name] = str(text.get("seed"))
                continue
            if not path.suffix:  # a checkpoint
                found[path.name] = str(sorted(torch.load(path, weights_only=True)))
                continue
            pixels = np.asarray(sd.read_image(path, channel=0 if path.name == "out.tif" else None))
        except Exception as error:
            raise Lost(f"{path.name} is not whole: {error}") from error
        found[path.name] = hashlib.sha256(pixels.tobytes()).hexdigest()[:12]
    return found


def parts(folder: Path) -> list[str]:
    """Return the hidden files that are left."""
    return sorted(path.name for path in folder.glob(PART))


def two_threads() -> None:
    """Let this process, forked from one with a single thread, compute two parts at once."""
    torch.set_num_threads(2)


def undisturbed(name: str, work: Callable[[], int], said: Path) -> float:
    """Return the seconds that a run takes if nothing attacks it; raise `Lost` if it fails even then."""
    seconds, code = timed(lambda: ended(forked(work, said)))
    if code:
        raise Lost(f"{name}: {said.read_text()}")
    return seconds


def clear(folder: Path) -> None:
    """Delete what a run has written."""
    for path in [*folder.glob("out*"), *folder.glob("r.jsonl*"), folder / "run"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    begin = time.monotonic()
    found = work()
    return time.monotonic() - begin, found
