"""`python -m benchmarks [SECTION ...]`: measure, print, and store in benchmarks/results/."""

import argparse
import json
from pathlib import Path

from benchmarks import (
    choice,
    contention,
    convolution,
    explorers,
    growth,
    large,
    memory,
    on_disk,
    page,
    speed,
    stacks,
)
from benchmarks.machine import machine
from siamdecon.files.atomic import write_atomically

RESULTS = Path(__file__).parent / "results"
SECTIONS = {
    module.__name__.rpartition(".")[2]: module.measure
    for module in (
        speed,
        contention,
        choice,
        convolution,
        growth,
        memory,
        on_disk,
        large,
        explorers,
        stacks,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = "of the volume of the section large, in 10^9 bytes; 4 unless given"
    parser.add_argument("--gigabytes", type=float, default=4.0, metavar="N", help=size)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    args = parser.parse_args()
    unknown = set(args.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"expected {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    RESULTS.mkdir(exist_ok=True)
    for name in args.sections or SECTIONS:
        print(f"\n== {name} ==", flush=True)
        figures = {"machine": machine(), **SECTIONS[name](args)}
        text = json.dumps(figures, indent=1) + "\n"
        write_atomically(RESULTS / f"{name}.json", lambda part, text=text: part.write_text(text))
    print(f"\n{page.main()}")


if __name__ == "__main__":
    main()
