"""A volume in chunks, restored by the workers of a local Dask cluster, each under a limit of memory."""

import itertools
import multiprocessing
import os
import resource
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.on_disk import LIMIT, restore
from siamdecon import paper_psf
from siamdecon.files import read_image
from siamdecon.files.stores import CHUNK, coarser, create_zarr, resolutions
from siamdecon.hardware import one_thread_each
from siamdecon.methods import METHODS
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import windows

METHOD, OPTIONS = "richardson_lucy", {"iterations": 1, "progress": False}
#: Of what a block alone is timed.
BLOCKS = {"richardson_lucy": {"iterations": 5}, "noise2same": {"steps": 1, "stitch": "exact"}}
#: Number of workers, and whether one of them is killed in the middle; 0: one process without a cluster.
CASES = {
    "one process": (0, False),
    "1 worker": (1, False),
    "2 workers": (2, False),
    "2 workers, one killed": (2, True),
}


def write_volume(path: Path, gigabytes: float) -> tuple[int, ...]:
    """Write a volume of noise with bright lines, float32, a block at a time; return its shape."""
    side = 1024 if gigabytes >= 1 else 512
    shape = (max(64, round(gigabytes * 1e9 / 4 / side**2)), side, side)
    rng, volume = np.random.default_rng(0), create_zarr(path, shape, np.dtype("f4"), "ZYX")
    for block, _ in tqdm([*windows(shape, 128, 0)], desc="volume", leave=False):
        pixels = rng.random([part.stop - part.start for part in block], dtype=np.float32)
        pixels[:, :, ::97] += 2
        volume[block] = pixels
    for write, left in coarser(path):
        for chunk in left:
            write(chunk)
    return shape


def peak() -> int:
    """Return the peak of this process's resident memory, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def kill_in_the_middle(output: Path, chunks: int, worker: int) -> None:
    """Kill a worker when half of the chunks of the finest resolution are written."""
    folder = output.with_name(f"{output.name}.unfinished")
    while sum(path.is_file() for path in folder.rglob("0/c/*/*/*")) < chunks // 2:
        time.sleep(0.2)
    os.kill(worker, signal.SIGKILL)


def on_cluster(source: Path, output: Path, workers: int, killed: bool, chunks: int) -> dict:
    """Restore by the workers of a cluster; return peaks, seconds, and what the workers did in them."""
    from distributed import Client, LocalCluster, get_task_stream

    how = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1", "memory_limit": 0}
    with (
        LocalCluster(dashboard_address=None, **how) as cluster,
        Client(cluster, set_as_default=False) as client,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        with get_task_stream(client) as stream:
            if killed:
                pid = next(iter(client.run(os.getpid).values()))
                threading.Thread(
                    target=kill_in_the_middle, args=(output, chunks, pid), daemon=True
                ).start()
            options = OPTIONS | {"scheduler": cluster.scheduler_address}
            found = pool.apply(restore, (str(source), str(output), METHOD, options))
        found["worker_peak_bytes"] = max(client.run(peak).values())
    spans = [
        (part["start"], part["stop"])
        for task in stream.data
        for part in task["startstops"]
        if part["action"] == "compute" and "_on_worker" in str(task["key"])
    ]
    # the last ones made coarser resolutions
    later = sum(level.array.nchunks for level in resolutions(output)[1:])
    spans = sorted(spans)[: len(spans) - later]
    wall = max(stop for _, stop in spans) - min(start for start, _ in spans)
    busy = sum(stop - start for start, stop in spans)
    share = {"block_seconds": busy / len(spans), "idle_share": 1 - busy / (workers * wall)}
    return found | {"windows_seconds": wall, **share}


def same(first: Path, second: Path) -> bool:
    """Tell whether two stores hold the same bits in each resolution, a block at a time."""
    levels = zip(resolutions(first), resolutions(second), strict=True)
    return all(
        np.array_equal(one[block], other[block])
        for one, other in levels
        for block, _ in windows(one.shape, 160, 0)
    )


def block_seconds(method: str, options: dict) -> float:
    """Return how long one block of 128 voxels a side or more takes, far from the border, on one thread."""
    volume = np.random.default_rng(0).random((64, 64, 64), dtype=np.float32)
    problem = Problem.look(volume, paper_psf(3), device="cpu")
    estimator = METHODS[method].of_tier("lab", 3, options).fit(problem, Watch(progress=False))
    window = torch.rand((1, 1, *[estimator.core + 2 * estimator.halo] * 3))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has
    try:
        with one_thread_each(), torch.inference_mode():
            estimator.restore(window)
            begin = time.perf_counter()
            estimator.restore(window)
            seconds = time.perf_counter() - begin
    finally:
        torch.set_num_threads(threads)
    return seconds * (-(-CHUNK[3] // estimator.core)) ** 3


def measure(args) -> dict:
    """Restore the volume alone and by clusters, under the memory limit; print and return what it took."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, limits[1]))  # which the workers inherit
    os.environ["OMP_NUM_THREADS"] = "1"  # one process has one thread, too
    results = {"limit_bytes": LIMIT, "method": METHOD, "iterations": OPTIONS["iterations"]}
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "in.ome.zarr")
            shape = write_volume(source, args.gigabytes)
            chunks = len([*itertools.product(*(range(0, n, 160) for n in shape))])
            begin = time.perf_counter()
            Problem.on_disk(read_image(source, memmap=True), paper_psf(3))
            results |= {"shape": shape, "bytes": int(4 * np.prod(shape)), "windows": chunks}
            results["scan_seconds"] = time.perf_counter() - begin
            for number, (name, (workers, killed)) in enumerate(CASES.items()):
                output = Path(folder, f"{number}.ome.zarr")
                if workers:
                    row = on_cluster(source, output, workers, killed, chunks)
                else:
                    with multiprocessing.get_context("spawn").Pool(1) as pool:
                        row = pool.apply(restore, (str(source), str(output), METHOD, OPTIONS))
                alone = results.get("one process", row)
                row["ratio"] = row["seconds"] / alone["seconds"]
                row["same_bits"] = same(Path(folder, "0.ome.zarr"), output)
                results[name] = row
                print(f"{name}: {row['ratio']:.2f} times as long as one process, {row}", flush=True)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
    results["block_seconds"] = {
        method: block_seconds(method, how) for method, how in BLOCKS.items()
    }
    return results
