"""Peak memory of a restoration from disk to disk, under a limit, for volumes of growing size."""

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.machine import PeakMemory
from siamdecon import paper_psf
from siamdecon.files.on_disk import release
from siamdecon.files.tiff import create_tiff
from siamdecon.restoration import deconvolve_file

LIMIT = 2 * 2**30
#: Shape (float32), method and options. The network is the test tier's: only its memory matters here.
CASES = {
    "Lucy-Richardson, 0.5 GB": ((128, 1024, 1024), "richardson_lucy", {"iterations": 1}),
    "Lucy-Richardson, 4.3 GB": ((512, 1024, 2048), "richardson_lucy", {"iterations": 1}),
    "Noise2Same, 0.07 GB": ((64, 512, 512), "noise2same", {"tier": "test"}),
    "Noise2Same, 0.27 GB": ((64, 1024, 1024), "noise2same", {"tier": "test"}),
}


def write_volume(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a volume of noise with bright lines, one plane at a time."""
    rng, volume = np.random.default_rng(0), create_tiff(path, shape, np.dtype("f4"), "ZYX")
    for plane in tqdm(volume, desc="volume", leave=False):
        plane[:] = rng.random(plane.shape, dtype=np.float32)
        plane[:, ::97] += 2
        release(volume)


def restore(path: str, output: str, method: str, options: dict) -> dict:
    """Restore under the memory limit, in a separate process; return peak memory, file size and seconds."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    begin = time.perf_counter()
    with PeakMemory() as memory:
        deconvolve_file(path, paper_psf(3), output, method, **options)
    files = [Path(output), *Path(output).rglob("*")]  # of a store
    return {
        "peak_bytes": memory.peak,
        "file_bytes": sum(file.stat().st_size for file in files if file.is_file()),
        "seconds": time.perf_counter() - begin,
    }


def measure(args) -> dict:
    """Restore each volume under the memory limit; print and return the peaks."""
    results = {"limit_bytes": LIMIT}
    spawn = multiprocessing.get_context("spawn")
    for name, (shape, method, options) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            source, output = Path(folder, "in.tif"), Path(folder, "out.tif")
            write_volume(source, shape)
            with spawn.Pool(1) as pool:
                results[name] = pool.apply(restore, (str(source), str(output), method, options))
        peak, size = (results[name][key] / 1e9 for key in ("peak_bytes", "file_bytes"))
        print(
            f"{name}: peak memory {peak:.2f} GB, of which data at most {LIMIT / 2**30:g} GiB; "
            f"file of {size:.2f} GB",
            flush=True,
        )
    return results
