"""Disks that are full, folders that can't be written to or vanish, names at their limit."""

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import warnings
from pathlib import Path

import numpy as np

import siamdecon as sd
from benchmarks.measurements import KEY, Measurements
from benchmarks.stress import Lost, expected
from benchmarks.stress.processes import COMMANDS, IMAGE, PSF, call, checksum, lay_out, parts, words
from siamdecon.network.training import steps_taken

TRIED = "every write on a disk of 0 to 320 kB, under a quota, read-only, vanishing; names of 240 to 260 bytes"
HOLDS = "one line that names the file, before the work where it can be known; no training lost"
COUNT, SECONDS = 400, 20
#: What writes: a command line, or a call.
SITES = [*COMMANDS, "write", "save", "train", "train without", "table"]


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Write where there is no room."""
    lay_out(folder)
    target = folder / "target"
    target.mkdir()
    site = str(rng.choice([s for s in SITES if s != "cli inspect"]))
    how = str(
        rng.choice(
            ["full", "quota", "read-only", "vanished", "name"], p=[0.5, 0.15, 0.1, 0.15, 0.1]
        )
    )
    with condition(how, target, rng) as how:
        before, taken = os.statvfs(target).f_bavail * os.statvfs(target).f_frsize, steps_taken()
        refused, lines, names = write(site, target, how, rng)
        taken = steps_taken() - taken
        if how != "vanished" or target.exists():
            left = parts(target)
            if left:
                raise Lost(f"{site}, {how}: {left} are left")
            found = checksum(target)
            if not refused and names and "table" not in site and how != "name" and not found:
                raise Lost(f"{site}, {how}: nothing was written, and nothing said")
            if refused and any(name in found for name in names if not name.endswith(".json")):
                raise Lost(f"{site}, {how}: refused, and written: {lines}")
    if refused:
        if len(lines) != 1 or not any(name[:30] in lines[0] for name in names):
            raise Lost(f"{site}, {how}: {lines} is not one line that names {names}")
        known = how in ("full", "read-only", "name") and before < 4 * IMAGE.size
        kept = "the result is in" in lines[0] or site == "cli compare"  # which prints its table
        if taken and known and not kept:
            raise Lost(f"{site}, {how}: {taken} steps were lost, {lines}")
        return f"{how}: refused"
    return f"{how}: written" if not lines else f"{how}: written, and said"


def write(site: str, target: Path, how: str, rng) -> tuple[bool, list[str], list[str]]:
    """Write something; return whether it was refused, what was said, and what the file is called."""
    long = str(rng.choice(["x", "\u00e9", "\u4e2d"]))
    stem = (long * (int(rng.integers(240, 261)) // len(long.encode()))) if how == "name" else "out"
    if site in COMMANDS:
        line = words(COMMANDS[site], target)
        out = Path(line[line.index("-o") + 1])
        line[line.index("-o") + 1] = str(out.with_name(stem + out.name[3:]))
        names = [stem + out.name[3:], str(Path(stem + out.name[3:]).with_suffix(".json")), "run"]
        with vanishing(how, target, rng):
            code, said = call(line)
        said = [one for one in said if "image" not in one[:18]]
        if code not in (0, 2):
            raise Lost(f"{site}, {how}: code {code}, {said}")
        saved = [one for one in said if "the result is in" in one]
        for one in saved:
            there = Path(one.rpartition("the result is in ")[2])
            sd.read_image(there, channel=0)
            shutil.rmtree(there.parent)
        said = said if code == 0 else [one for one in said if "the training goes on" not in one]
        return code == 2, said, names
    names = [f"{stem}.tif", f"{stem}.json"]
    try:
        with warnings.catch_warnings(record=True) as caught, vanishing(how, target, rng):
            warnings.simplefilter("always")
            if site == "write":
                sd.write_image(target / names[0], IMAGE)
            elif site == "save":
                sd.deconvolve(IMAGE, PSF[2], "wiener").save(target / names[0])
            elif site == "table":
                names = ["r.jsonl"]
                results = Measurements(target / "r.jsonl")
                for seed in range(30):
                    row = dict.fromkeys(KEY, "x") | {"seed": seed}
                    results.add(row | {"psnr": 1.0, "ssim": 1.0, "rmse": 1.0, "note": "x" * 1000})
            else:
                names = [stem]
                config = sd.TrainingConfig(steps=4, batch_size=1, patch_size=16)
                checkpoint = {"checkpoint": target / stem, "checkpoint_every": 2}
                run = sd.train(sd.UNet(features=4), IMAGE / 255, PSF[2], config,
                               **(checkpoint if site == "train" else {}))  # fmt: skip
                if run.step != 4:
                    raise Lost(f"the training stopped after {run.step} steps")
                names = [] if site == "train without" else names
    except Lost:
        raise
    except Exception as error:
        if site == "table" and isinstance(
            error, OSError
        ):  # Python's own, which names the file or not
            return True, [f"r.jsonl {error}"], names
        expected(error)
        return True, str(error).splitlines(), names
    said = [str(w.message) for w in caught if "checkpoint" in str(w.message)]
    return False, said, [] if said else names


@contextlib.contextmanager
def condition(how: str, target: Path, rng):
    """Bring a folder into a state; yield its name, which is another where the system does not allow it."""
    room = int(rng.choice([0, 1, 2, 4, 8, 12, 20, 40, 80])) * 4096
    if how in ("full", "read-only") and not private():
        how = "quota" if how == "full" else "vanished"
    if how == "full":
        mount(target, f"size={max(room, 4096)}")
        if room == 0:
            with contextlib.suppress(OSError):
                (target / "rest").write_bytes(bytes(4096))
    elif how == "read-only":
        mount(target, "size=64k", flags=1)
    elif how == "quota":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(room, 1), hard))
    elif how == "vanished" and rng.random() < 0.3:
        target.rmdir()
        target.parent.joinpath("x").mkdir()
        target.symlink_to(target.parent / "x" / "gone") if rng.random() < 0.5 else target.mkdir()
    try:
        if not target.exists():
            target.unlink()
            target.mkdir()
        yield how
    finally:
        if how == "quota":
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        if how in ("full", "read-only"):
            libc().umount2(os.fsencode(target), 2)


@contextlib.contextmanager
def vanishing(how: str, target: Path, rng):
    """Delete a folder at one of its first replacements of a file, or at the start."""
    if how != "vanished":
        yield
        return
    replace, count = os.replace, [int(rng.integers(0, 4))]

    def vanish(*args):
        if count[0] == 0:
            shutil.rmtree(target, ignore_errors=True)
        count[0] -= 1
        return replace(*args)

    os.replace = vanish
    try:
        yield
    finally:
        os.replace = replace


def libc():
    return ctypes.CDLL(None, use_errno=True)


_private: dict[int, bool] = {}


def private() -> bool:
    """Give this process mounts of its own, if the system allows it."""
    if os.getpid() not in _private:
        spaces = 0x20000 | (0 if os.geteuid() == 0 else 0x10000000)  # of mounts; of users
        good = libc().unshare(spaces) == 0
        # what is mounted here is not seen elsewhere
        _private[os.getpid()] = good and libc().mount(None, b"/", None, 0x4000 | 0x40000, None) == 0
    return _private[os.getpid()]


def mount(target: Path, options: str, flags: int = 0) -> None:
    """Mount a small disk in memory."""
    if libc().mount(b"tmpfs", os.fsencode(target), b"tmpfs", flags, options.encode()):
        raise OSError(ctypes.get_errno(), errno.errorcode.get(ctypes.get_errno(), "mount"))
