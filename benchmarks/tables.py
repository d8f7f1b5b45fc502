"""The paper's tables: each (image, method, seed) is measured once and stored at once; a run can be resumed.

`python -m benchmarks.tables --images FOLDER --out results.jsonl` measures what is missing;
`python -m benchmarks.tables --out results.jsonl --report` prints the tables beside the paper's.
"""

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.cells import METHODS, measure_cell
from benchmarks.measurements import Measurements, code_version
from benchmarks.report import VOLUMES, draw, tables
from siamdecon import load_benchmark
from siamdecon.files import microtubules
from siamdecon.hardware import cluster
from siamdecon.methods import tier_name


def parser() -> argparse.ArgumentParser:
    """Build the command line's parser."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    p.add_argument(
        "--images", metavar="FOLDER", help="folder of the benchmark images; downloaded unless given"
    )
    p.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help=f"only these images, see load_benchmark; or {', '.join(VOLUMES)}, those of the 3D tables",
    )
    p.add_argument("--methods", nargs="+", metavar="METHOD", help=f"any of {', '.join(METHODS)}")
    p.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED")
    p.add_argument("--tier", choices=("test", "lab", "full"), help="size of the training")
    p.add_argument("--out", type=Path, required=True, help="file of JSON lines, appended to")
    p.add_argument(
        "--budget-s", type=float, metavar="S", help="start no cell after this many seconds"
    )
    p.add_argument(
        "--dask", metavar="SCHEDULER", help="address of a Dask scheduler that runs the cells"
    )
    p.add_argument(
        "--report", action="store_true", help="print and draw the tables, measure nothing"
    )
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0, or 2 after saying what is wrong with the input."""
    args = parser().parse_args(arguments)
    try:
        results = Measurements(args.out)
        if args.report:
            print(tables(results.rows()))
            print(f"\ndrawn: {draw(results.rows(), args.out.with_suffix('.png'))}")
            return 0
        measure(args, results)
    except (ValueError, OSError) as error:
        print(f"benchmarks.tables: {error}", file=sys.stderr)
        return 2
    return 0


def measure(args: argparse.Namespace, results: Measurements) -> None:
    """Measure the cells that are missing, in order, until the budget is spent."""
    methods = args.methods or list(METHODS)
    if unknown := [m for m in methods if m not in METHODS]:
        raise ValueError(
            f"methods: expected some of {', '.join(METHODS)}, got {', '.join(unknown)}"
        )
    tier, version = tier_name(args.tier), code_version(tier_name(args.tier))
    images = load_images(args.images, args.names)
    cells = [
        {"image": name, "method": method, "seed": seed, "tier": tier, "code": version}
        for seed in args.seeds
        for method in methods
        for name in images
        if seed == args.seeds[0] or METHODS[method].seeded
    ]
    missing = [cell for cell in cells if not results.has(cell)]
    print(f"{len(cells)} cells, {len(cells) - len(missing)} of them measured", flush=True)
    run = in_turn if args.dask is None else on_cluster
    stop = time.monotonic() + (args.budget_s or float("inf"))
    with tqdm(total=len(missing), unit="cell") as bar:
        for row in run(missing, images, results, stop, args.dask):
            results.add(row)
            bar.update()
            bar.set_postfix_str(f"{row['image']} {row['method']} {row['psnr']:.2f} dB")


def load_images(folder: str | None, names: list[str] | None) -> dict:
    """Load benchmark images by name, and draw the volumes of the 3D tables."""
    flat = None if names is None else [name for name in names if name not in VOLUMES]
    images = load_benchmark(folder, flat) if flat is None or flat else {}
    solid = [name for name in names or () if name in VOLUMES]
    return images | {name: microtubules((128, 256, 512), VOLUMES[name]) for name in solid}


def in_turn(cells, images, results, stop, _):
    """Yield a row for each cell, except those that another run has measured in the meantime."""
    for cell in cells:
        if time.monotonic() > stop:
            print("the budget is spent; run the same command to continue", flush=True)
            return
        if not results.has(cell):
            yield measure_cell(cell, images[cell["image"]])


def on_cluster(cells, images, results, stop, scheduler):
    """Yield rows as the workers of a Dask cluster finish them; cells not started in time are cancelled."""
    with cluster(scheduler) as client:
        from distributed import as_completed

        where = {name: client.scatter(image) for name, image in images.items()}
        # each worker has its own cores; a cell uses as many threads as its worker allows
        futures = [
            client.submit(measure_cell, cell, where[cell["image"]], pure=False) for cell in cells
        ]
        timeout = None if stop == float("inf") else max(0.1, stop - time.monotonic())
        try:
            for future in as_completed(futures, loop=client.loop, timeout=timeout):
                yield future.result()
        except TimeoutError:
            client.cancel(futures)
            print("the budget is spent; run the same command to continue", flush=True)


if __name__ == "__main__":
    sys.exit(main())
