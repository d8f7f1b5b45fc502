"""The same output, checkpoint or table by four processes at once."""

import json
from pathlib import Path

import numpy as np

import siamdecon as sd
from benchmarks.measurements import KEY, Measurements
from benchmarks.stress import Lost
from benchmarks.stress.processes import IMAGE, PSF, checksum, ended, forked, lay_out, parts, words
from siamdecon.cli import main

TRIED = "one output, checkpoint or table by 4 processes at once"
HOLDS = "one wins whole, the others say so; a table has all rows"
COUNT, SECONDS = 100, 60

LINES = {
    "output": "in.tif --psf psf.tif -o out.tif --method noise2same",
    "overwrite": "in.tif --psf psf.tif -o out.tif --method noise2same --overwrite",
    "on disk": "in.tif --psf psf.tif -o out.tif --method noise2same --on-disk",
    "checkpoint": "in.tif --psf psf.tif --method noise2same --checkpoint run",
    "channels": "two.tif --channel all --psf psf.tif -o out.tif --method ssi",
}


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Run four at once."""
    lay_out(folder)
    how = str(rng.choice([*LINES, "table", "calls"]))
    go = folder / "go"

    def work(i: int) -> int:
        while not go.exists():
            pass
        if how == "table":
            results = Measurements(folder / "r.jsonl")
            for seed in range(25):
                row = dict.fromkeys(KEY, str(i)) | {
                    "seed": seed,
                    "psnr": 1.0,
                    "ssim": 1.0,
                    "rmse": 1.0,
                }
                results.add(row)
            return 0
        if how == "calls":
            result = sd.deconvolve(IMAGE, PSF[2], "ssi", seed=i, tier="test", progress=False)
            try:
                result.save(folder / "out.tif")
            except OSError as error:
                print(f"siamdecon: {error}", flush=True)
                return 2
            return 0
        line = words(LINES[how], folder, f"--seed {i}")
        return main([*line, *(["-o", str(folder / f"out{i}.tif")] if how == "checkpoint" else [])])

    said = [folder / f"said{i}" for i in range(4)]
    children = [forked(lambda i=i: work(i), said[i]) for i in range(4)]
    go.touch()
    codes = [ended(child) for child in children]
    texts = [path.read_text() for path in said]
    if parts(folder):
        raise Lost(f"{how}: {parts(folder)} are left")
    if any(code not in (0, 2) for code in codes):
        raise Lost(f"{how}: codes {codes}, {texts}")
    if how == "table":
        if len(Measurements(folder / "r.jsonl").rows()) != 100 or codes != [0] * 4:
            raise Lost(f"{len(Measurements(folder / 'r.jsonl').rows())} rows, codes {codes}")
        return how
    for code, text in zip(codes, texts, strict=True):
        refused = [t for t in text.splitlines() if t.startswith("siamdecon: ")]
        if code and (len(refused) != 1 or not any(w in refused[0] for w in ("exists", "another"))):
            raise Lost(f"{how}: {text}")
    winners = [i for i, code in enumerate(codes) if code == 0]
    if how in ("overwrite", "checkpoint"):
        good = len(winners) >= 1
    else:
        good = len(winners) == 1
    if not good:
        raise Lost(f"{how}: {len(winners)} processes say that they have won")
    found = checksum(folder)
    if how == "checkpoint":
        if len(found) != 2 * len(winners):
            raise Lost(f"{how}: {sorted(found)} of {winners}")
        return how
    record = json.loads((folder / "out.json").read_text())
    seed = record["images"][0]["seed"] if "images" in record else record["seed"]
    if seed not in winners or set(found) != {"out.tif", "out.json"}:
        raise Lost(f"{how}: the record is of seed {seed}, the winners {winners}, {sorted(found)}")
    options = {"seed": seed, "tier": "test", "progress": False}
    if how in ("output", "overwrite"):
        expected = sd.deconvolve(sd.read_image("in.tif"), PSF[2], "noise2same", **options).image
        if not np.array_equal(sd.read_image(folder / "out.tif"), expected):
            raise Lost(f"{how}: the image is not that of its record")
    return how
