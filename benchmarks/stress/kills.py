"""`kill -9` at random moments of training, checkpointing, tiling, saving and writing of tables."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

import siamdecon as sd
from benchmarks.measurements import KEY, Measurements
from benchmarks.stress import Lost
from benchmarks.stress.processes import (
    IMAGE,
    PSF,
    STACK,
    checksum,
    clear,
    ended,
    forked,
    lay_out,
    parts,
    undisturbed,
)
from siamdecon.cli import main

TRIED = (
    "kill -9 at random moments of training, checkpoints, tiles, saving, tables; up to 3 in a row"
)
HOLDS = (
    "no half file under its final name; the next run gives the same bits and sweeps what is left"
)
COUNT, SECONDS = 300, 60

_known: dict[str, tuple] = {}


def train(folder: Path) -> None:
    """Train with a checkpoint at every step, restore, save."""
    result = sd.deconvolve(
        IMAGE, PSF[2], tier="test", steps=12, progress=False, checkpoint=folder / "run"
    )
    result.save(folder / "out.tif", overwrite=True)


def tiles(folder: Path) -> None:
    """Restore a file window by window."""
    how = {"tile": 16, "progress": False, "overwrite": True, "tier": "test"}
    sd.deconvolve_file(folder / "stack.tif", PSF[3], folder / "out.tif", "richardson_lucy", **how)


def store(folder: Path) -> None:
    """Restore a file to an OME-Zarr, chunk by chunk; the next run goes on."""
    how = {"tile": 16, "progress": False, "overwrite": True, "tier": "test"}
    sd.deconvolve_file(folder / "stack.tif", PSF[3], folder / "out.zarr", "richardson_lucy", **how)


def network_tiles(folder: Path) -> None:
    """Train, and restore a file window by window."""
    how = {"tile": 32, "progress": False, "overwrite": True, "tier": "test", "steps": 4}
    checkpoint = {"checkpoint": folder / "run"}
    sd.deconvolve_file(folder / "in.tif", PSF[2], folder / "out.tif", **how, **checkpoint)


def command(folder: Path) -> None:
    """Restore from the command line."""
    line = f"in.tif --psf psf.tif -o {folder / 'out.png'} --method wiener --overwrite --quiet"
    if code := main(line.split()):
        raise Lost(f"code {code}")


def save(folder: Path) -> None:
    """Save the same image many times."""
    for _ in range(15):
        sd.write_image(folder / "out.tif", STACK, overwrite=True)
        sd.write_image(folder / "out.png", IMAGE, overwrite=True)


def table(folder: Path) -> None:
    """Append to a table of results."""
    results = Measurements(folder / "r.jsonl")
    for seed in range(200):
        row = dict.fromkeys(KEY, "x") | {"seed": seed, "psnr": 1.0, "ssim": 1.0, "rmse": 1.0}
        if not results.has(row):
            results.add(row | {"note": "x" * 5000})


RUNS = (train, tiles, store, network_tiles, command, save, table)


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Kill one run, or a few in a row, look at what they leave, and let the next one finish."""
    lay_out(folder)
    run = RUNS[int(rng.choice(len(RUNS), p=[0.25, 0.1, 0.15, 0.2, 0.1, 0.1, 0.1]))]
    name, said = run.__name__, folder / "said"
    if name not in _known:
        seconds = undisturbed(name, lambda: run(folder) or 0, said)
        _known[name] = seconds, whole(folder)
        clear(folder)
    seconds, expected = _known[name]
    killed = 0
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        child = forked(lambda: run(folder) or 0, said)
        time.sleep(float(rng.random()) * seconds * 1.05)
        os.kill(child, signal.SIGKILL)
        code = ended(child)
        killed += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):
            raise Lost(f"{name}: code {code} {said.read_text()[-1500:]}")
        for path, digest in whole(folder, partly=True).items():
            if digest != expected[path] and not path.endswith((".json", ".jsonl")):
                raise Lost(f"{name}: another {path} than without a kill")
    swept = ", parts swept" if parts(folder) else ""
    if code := ended(forked(lambda: run(folder) or 0, said)):
        raise Lost(f"{name}: the next run failed, {code}: {said.read_text()[-1500:]}")
    if whole(folder) != expected:
        raise Lost(f"{name}: {whole(folder)} in place of {expected}")
    if left := parts(folder) + [path.name for path in folder.glob("*.unfinished")]:
        raise Lost(f"{name}: {left} are not swept")
    return f"{name}: killed{swept}" if killed else f"{name}: done before"


def whole(folder: Path, partly: bool = False) -> dict:
    """Return what the outputs hold; raise `Lost` if one is not whole."""
    found = checksum(folder)
    if (path := folder / "r.jsonl").exists():
        rows = Measurements(path).rows()
        if not partly:
            found[path.name] = json.dumps([row["seed"] for row in rows])
    if (path := folder / "run").exists():
        import torch

        try:
            torch.load(path, weights_only=True)
        except Exception as error:
            raise Lost(f"the checkpoint is not whole: {error}") from error
    return found
