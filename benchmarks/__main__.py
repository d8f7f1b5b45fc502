"""`python -m benchmarks [SECTION ...]`: measure, print, and keep in benchmarks/results/."""

import argparse
import json
import platform
from pathlib import Path

import torch

import siamdecon
from benchmarks import convolution, explorers, memory, on_disk, quality, speed, volume
from benchmarks.rows import RESULTS
from siamdecon.files import write_atomically
from siamdecon.hardware import available_cores

SECTIONS = {
    module.__name__.rpartition(".")[2]: module.measure
    for module in (quality, volume, speed, convolution, memory, on_disk, explorers)
}


def machine() -> dict:
    """Describe where the figures come from."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.open() if "model name" in line]
        cpu = models[0] if models else cpu
    return {
        "cpu": cpu,
        "cores": available_cores(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "siamdecon": siamdecon.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--images", nargs="*", help="names of benchmark images; all unless given")
    parser.add_argument("--methods", nargs="*", metavar="METHOD", help=", ".join(quality.METHODS))
    parser.add_argument("--folder", help="folder of the benchmark's images; see load_benchmark")
    args = parser.parse_args()
    unknown = set(args.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"expected {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    unknown = set(args.methods or ()) - {"input", *quality.METHODS}
    if unknown:
        parser.error(f"expected {', '.join(quality.METHODS)}, got {', '.join(sorted(unknown))}")
    RESULTS.mkdir(exist_ok=True)
    for name in args.sections or SECTIONS:
        print(f"\n== {name} ==", flush=True)
        figures = {"machine": machine(), **SECTIONS[name](args)}
        text = json.dumps(figures, indent=1) + "\n"
        write_atomically(RESULTS / f"{name}.json", lambda part, text=text: part.write_text(text))


if __name__ == "__main__":
    main()
