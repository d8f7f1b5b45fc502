"""Limits of memory on images up to 4 GB, in memory and on disk."""

import resource
from pathlib import Path

import numpy as np

import siamdecon as sd
from benchmarks.stress import Lost
from benchmarks.stress.processes import PSF, ended, forked, parts
from siamdecon.cli import main
from siamdecon.files.on_disk import release
from siamdecon.files.tiff import create_tiff

TRIED = "0.6 to 2 GB of data or of address space, images of 0.1 to 4 GB, in memory and on disk"
HOLDS = "a result, or one line that says what is needed"
COUNT, SECONDS = 12, 600

#: Planes of 2 MB, as uint16.
SIDE = 1024


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Restore one image under a limit."""
    size = float(rng.choice([0.1, 0.3, 1, 2, 4]))
    limit = int(float(rng.uniform(0.6, 2)) * 2**30)
    which = str(rng.choice(["data", "address space"], p=[0.7, 0.3]))
    on_disk = rng.random() < 0.7 or size >= 1
    planes = round(size * 1e9 / (2 * SIDE**2))
    out = create_tiff(folder / "in.tif", (planes, SIDE, SIDE), np.dtype("u2"), "ZYX")
    plane = rng.integers(90, 400, (SIDE, SIDE), dtype=np.uint16)
    for i in range(planes):
        out[i] = np.roll(plane, i)
        release(out)  # what is mapped counts as memory of this process
    del out
    sd.write_image(folder / "psf.tif", PSF[3].astype(np.float32))
    line = "in.tif --psf psf.tif -o out.tif --method richardson_lucy --iterations 1 --quiet"
    line += " --on-disk" * on_disk

    def work() -> int:
        used = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        base = 1024 * int(used["VmData" if which == "data" else "VmSize"].split()[0])
        kind = resource.RLIMIT_DATA if which == "data" else resource.RLIMIT_AS
        resource.setrlimit(kind, (base + limit, base + limit))
        return main(line.split())

    said = folder / "said"
    code = ended(forked(work, said))
    lines = [text for text in said.read_text().splitlines() if text.startswith("siamdecon:")]
    name = (
        f"{size:g} GB, {limit / 2**30:.1f} GiB of {which}, {'on disk' if on_disk else 'in memory'}"
    )
    if parts(folder):
        raise Lost(f"{name}: {parts(folder)} are left")
    if code == 0 and (folder / "out.tif").stat().st_size > planes * SIDE**2 * 4:
        return "restored"
    if code == 2 and len(lines) == 1 and "memory" in lines[0]:
        return "one line"
    raise Lost(f"{name}: code {code}, {said.read_text()[-1500:]}")
