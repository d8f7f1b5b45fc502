"""`python -m benchmarks.page`: derive docs/benchmarks.md and its figures from benchmarks/results/."""

import json
import re
from pathlib import Path

import numpy as np

from benchmarks import robustness as wrong
from benchmarks.measurements import Measurements
from benchmarks.report import VOLUMES, draw, groups, tables
from siamdecon.files.atomic import write_atomically
from siamdecon.lab.plots import lines

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "benchmarks"


def main() -> Path:
    """Write the page and return its path."""
    notes = Path(__file__).with_name("notes.md").read_text("utf-8").strip()
    FIGURES.mkdir(exist_ok=True)
    parts = [
        "# Benchmarks",
        "Derived by `python -m benchmarks.page` from `benchmarks/notes.md` and the files in "
        "`benchmarks/results/`. Times in the tables were measured on several days and vary by up to a "
        "factor of 1.8; peaks include the memory that the process used before. All other times are ratios "
        "of times measured in one run, side by side.",
        notes,
    ]
    sections = (
        quality,
        stacks,
        robustness,
        choice,
        contention,
        convolution,
        growth,
        speed,
        on_disk,
        large,
        stress,
    )
    for section in sections:
        parts += section()
    text = "\n\n".join(parts) + "\n"
    return write_atomically(DOCS / "benchmarks.md", lambda path: path.write_text(text))


def load(name: str) -> dict | None:
    """Return a section's results; None if it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def machine(results: dict) -> str:
    """Name the machine of a section."""
    found = results["machine"]
    return f"({found['gpu'] or found['cpu']}, {found['cores']} cores, torch {found['torch']})"


def figure(name: str, picture, text: str) -> str:
    """Save a picture, and return the Markdown that shows it."""
    (FIGURES / f"{name}.png").write_bytes(picture.data)
    return f"![{text}](benchmarks/{name}.png)"


def quality() -> list[str]:
    """Return the paper's tables and their figure."""
    path = RESULTS / "tables.jsonl"
    if not path.exists():
        return []
    rows = Measurements(path).rows()
    parts = [
        "## The paper's tables",
        re.sub("^#", "##", tables(rows), flags=re.M),  # its headings, one level down
    ]
    if images := [row for row in rows if row["image"] not in VOLUMES]:
        draw(images, FIGURES / "tables.png")
        count = max(len(same) for _, same in groups(images))
        parts.append(f"![PSNR of each method on each image, {count} rows](benchmarks/tables.png)")
    return parts


def stacks() -> list[str]:
    """Return what the methods gain on stacks as microscopes deliver them."""
    if not (results := load("stacks")):
        return []
    cases = {name: row for name, row in results.items() if name != "machine"}
    methods = list(next(iter(cases.values())))
    table = [f"| | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for name, row in cases.items():
        table.append(f"| {name} | " + " | ".join(f"{row[m]:+.2f}" for m in methods) + " |")
    return [
        f"## Stacks with few planes {machine(results)}",
        "Gains of the PSNR up to contrast over a flat estimate, in dB. Every third plane of a synthetic "
        "volume, blurred by the paper's kernel, is measured, 160 x 160 pixels; the methods are given a "
        "kernel of those planes. Lucy-Richardson uses the best of 20 iterations, chosen with the clean one. "
        "Where nothing is said of photons or the camera, the noise is the paper's.",
        "\n".join(table),
    ]


def robustness() -> list[str]:
    """Return the gains of `self_scale` with a mis-specified kernel, other kernels and other noise."""
    if not (results := load("robustness")):
        return []
    return [
        f"## Robustness of own coarser scales {machine(results)}",
        f"PSNR in dB, mean of {' and '.join(wrong.NAMES)}. The methods are given a kernel and estimate the "
        f"noise themselves. Lucy-Richardson uses the best of {wrong.ITERATIONS} iterations, chosen with the "
        "clean image.",
        wrong.table(results),
    ]


def choice() -> list[str]:
    """Return what is lost by choosing a method without the truth."""
    if not (results := load("choice")):
        return []
    by_noise: dict[str, list[dict]] = {}
    for row in results["rows"]:
        by_noise.setdefault(row["noise"], []).append(row)
    table = ["| noise | images | mean regret (dB) | largest | at |", "|---|---|---|---|---|"]
    for noise, rows in by_noise.items():
        worst = max(rows, key=lambda row: row["regret"])
        mean = np.mean([row["regret"] for row in rows])
        truly = max(worst["psnr"], key=worst["psnr"].get)
        at = f"{worst['image']}: {worst['best']} in place of {truly}" if worst["regret"] else ""
        table.append(f"| {noise} | {len(rows)} | {mean:.2f} | {worst['regret']:.2f} | {at} |")
    names = ", ".join(results["candidates"])
    return [
        f"## Choosing a method without the truth {machine(results)}",
        f"`compare` scores {names} by pixels held out of the measurement, away from its border. Of those "
        "within three standard errors of the best it takes the strongest on the benchmark. Its regret is the "
        f"best of their PSNRs minus that of its choice, on fields of {results['side']} pixels of "
        "measurements of the course's samples and of benchmark images.",
        "\n".join(table),
    ]


def contention() -> list[str]:
    """Return how much longer a restoration takes beside others."""
    if not (results := load("contention")):
        return []
    counts = [n for n in next(iter(results["methods"].values()))["ratios"] if n != "1"]
    head = f"| | {' | '.join(f'{n} at once' for n in counts)} |\n|---{'|---' * len(counts)}|"
    rows = []
    for name, row in results["methods"].items():
        rows.append(f"| {name} | " + " | ".join(f"{row['ratios'][n]:.2f}" for n in counts) + " |")
    return [
        f"## Beside others {machine(results)}",
        "Several processes restore the same image at once: how many times as long each takes as one alone, "
        f"median of {results['rounds']} rounds.",
        "\n".join([head, *rows]),
    ]


def convolution() -> list[str]:
    """Return the comparison of the PSF convolution and of Lucy-Richardson with other implementations."""
    if not (results := load("convolution")):
        return []
    head = "| | FFTs alone | direct convolution | fft-conv-pytorch | edge repeated | to its smallest kernel |"
    table = [head, "|---|---|---|---|---|---|"]
    names = ("FFTs alone", "direct", "fft-conv-pytorch", "siamdecon, edge repeated")
    curves = {"2D": ([], []), "3D": ([], [])}
    for case, row in results.items():
        if ", kernel " not in case:
            continue
        cells = [_number(row.get(f"{name} / siamdecon")) for name in names]
        cells.append(_number(row["siamdecon / its smallest kernel"]))
        table.append(f"| {case} | " + " | ".join(cells) + " |")
        if ratio := row.get("direct / siamdecon"):
            sizes, ratios = curves[case[:2]]
            sizes.append(int(case.rpartition(" ")[2]))
            ratios.append(ratio)
    alt = "Direct convolution against ours, by kernel size: rising, in 3D more steeply than in 2D."
    crossover = lines(
        {**{n: np.array(c[0]) for n, c in curves.items()}, "as long": np.array([5, 63])},
        {**{n: np.array(c[1]) for n, c in curves.items()}, "as long": np.ones(2)},
        xlabel="kernel size N (pixels)",
        ylabel="direct / by FFT",
        log="xy",
        alt=alt,
    )
    parts = [
        f"## The PSF convolution {machine(results)}",
        "Forward and backward, 16 x 128 x 128 pixels and 4 x 64 x 64 x 64 voxels, zeros beyond the border: "
        "times of the others, and of ours with the edge repeated, divided by ours. An empty cell was not "
        "measured.",
        "\n".join(table),
        figure("crossover", crossover, alt),
    ]
    for case, row in results.items():
        if case.startswith("Lucy-Richardson"):
            memory = row["peak memory in volumes"]
            parts.append(
                f"{case}, kernel of 17 a side {machine(row)}: scikit-image takes "
                f"{row['scikit-image / siamdecon']:.2f} times as long as ours; peak memory "
                f"{memory['siamdecon']:.1f} volumes against {memory['scikit-image']:.1f}."
            )
    return parts


def growth() -> list[str]:
    """Return how costs grow, as tables of ratios and one figure."""
    if not (results := load("growth")):
        return []
    parts = [f"## How costs grow {machine(results)}", "Each as a ratio to its first point."]
    x, curves = {}, {}
    for name, curve in results.items():
        if name == "machine":
            continue
        head, rule = f"| {name} | {' | '.join(curve)} |", "|---" * (len(curve) + 1) + "|"
        cells = " | ".join(f"{value:.2f}" for value in curve.values())
        parts.append(f"{head}\n{rule}\n| ratio | {cells} |")
        if name.endswith("image side"):
            x[name.rpartition(",")[0]] = np.array([int(n) for n in curve])
            curves[name.rpartition(",")[0]] = np.array(list(curve.values()))
    alt = "Costs against the image's side: they rise slowly up to 256 pixels, and steeply from 512 on."
    drawn = lines(x, curves, xlabel="image side (pixels)", ylabel="cost", log="xy", alt=alt)
    return [*parts, figure("growth", drawn, alt)]


def speed() -> list[str]:
    """Return the comparison of the training step with a plain one."""
    if not (results := load("speed")):
        return []

    def times(row: dict) -> str:
        low, high = row["ratio_quartiles"]
        how = f"quartiles {low:.2f} to {high:.2f}, {row['steps']} pairs"
        return f"{row['ratio_median']:.2f} times as long ({how})"

    return [
        f"## The training step {machine(results)}",
        f"A straightforward version of the lab tier's step, in a separate process, takes {times(results)}. "
        "On volumes, where a processor has no bfloat16, a step with torch's own convolutions takes "
        f"{times(results['volumes'])}.",
    ]


def on_disk() -> list[str]:
    """Return the peaks of restorations from disk to disk."""
    if not (results := load("on_disk")):
        return []
    table = ["| | file (GB) | peak memory (GB) |", "|---|---|---|"]
    for case, row in results.items():
        if isinstance(row, dict) and "peak_bytes" in row:
            table.append(
                f"| {case} | {row['file_bytes'] / 1e9:.2f} | {row['peak_bytes'] / 1e9:.2f} |"
            )
    limit = results["limit_bytes"] / 2**30
    return [
        f"## From disk to disk {machine(results)}",
        f"Peak resident memory; the data segment of the process was limited to {limit:g} GiB.",
        "\n".join(table),
    ]


def large() -> list[str]:
    """Return what restorations by the workers of a cluster took."""
    if not (results := load("large")):
        return []
    table = [
        "| | time / one process | peak of a worker (GB) | of the client (GB) | workers idle | same bits |",
        "|---|---|---|---|---|---|",
    ]
    for case, row in results.items():
        if isinstance(row, dict) and "ratio" in row:
            idle = f"{row['idle_share']:.1%}" if "idle_share" in row else ""
            worker = f"{row['worker_peak_bytes'] / 1e9:.2f}" if idle else ""
            peak, bits = f"{row['peak_bytes'] / 1e9:.2f}", "yes" if row["same_bits"] else "no"
            cells = (case, f"{row['ratio']:.2f}", worker, peak, idle, bits)
            table.append(f"| {' | '.join(cells)} |")
    size, limit = results["bytes"] / 1e9, results["limit_bytes"] / 2**30
    return [
        f"## By the workers of a cluster {machine(results)}",
        f"An OME-Zarr of {size:.2f} GB as float32, {results['windows']} chunks, restored by Lucy-Richardson, "
        f"{results['iterations']} iteration, into another; workers of one thread on one machine, the data "
        f"segment of each process limited to {limit:g} GiB. Idle is the share of the workers' time, from the "
        "first window to the last, in which they had none. The scan before takes one process "
        f"{results['scan_seconds']:.0f} s. A block of a large volume takes one thread "
        + ", ".join(f"{s:.1f} s by {method}" for method, s in results["block_seconds"].items())
        + " (Lucy-Richardson with 5 iterations, the network of the lab tier).",
        "\n".join(table),
    ]


def stress() -> list[str]:
    """Return what was tried to make the package fail, how often, and what was lost."""
    if not (results := load("stress")):
        return []
    table = [
        "| attack | what must hold | cases | what came of them | lost |",
        "|---|---|---|---|---|",
    ]
    for name, row in results.items():
        if name != "machine":
            came = ", ".join(f"{n} {what}" for what, n in sorted(row["outcomes"].items()))
            cells = (row["tried"], row["holds"], row["cases"], came, len(row["lost"]))
            table.append(f"| {' | '.join(map(str, cells))} |")
    return [
        f"## Under attack {machine(results)}",
        "`make stress` treats the package as users' machines do. A call may take 20 s of work and 2 GiB; "
        "anything but what must hold counts as lost. Every case follows from a seed and its number, and "
        "`python -m benchmarks.stress --attack NAME --only NUMBER` runs it again.",
        "\n".join(table),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    print(main())
