"""Gains of `self_scale` over Lucy-Richardson with a mis-specified kernel, other kernels and other noise.

`python -m benchmarks.robustness --images FOLDER` adds what is missing in results/robustness.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import windows
from tqdm import tqdm

from benchmarks.machine import machine
from siamdecon import (
    PAPER_2D,
    Microscope,
    Noise,
    deconvolve,
    degrade,
    load_benchmark,
    paper_psf,
    richardson_lucy,
    score,
    wiener,
)
from siamdecon.files.atomic import write_atomically
from siamdecon.microscope.psf import gibson_lanni

RESULTS = Path(__file__).parent / "results" / "robustness.json"
NAMES = ("neurons768x768", "cytoplasm924x624")
PAPER_OPTICS = Microscope(defocus=-3.045)
#: Lucy-Richardson uses the best of these for each image, chosen with the clean one.
ITERATIONS = 20


def conditions() -> dict[str, tuple[np.ndarray, np.ndarray, Noise]]:
    """Return by name: the kernel that blurs, the kernel that the methods are given, and the noise."""
    psf = paper_psf(2)

    def told(**changes):
        return gibson_lanni(replace(PAPER_OPTICS, **changes))

    in_focus = told(defocus=0.0)
    spot = np.outer(*[windows.gaussian(17, std=2)] * 2)
    spot /= spot.sum()
    motion = np.full((1, 9), 1 / 9)
    kernels = {
        "as in the paper": (psf, psf),
        "NA set 10 % too low": (psf, told(na=0.72)),
        "NA set 10 % too high": (psf, told(na=0.88)),
        "defocus set 20 % too low": (psf, told(defocus=-2.436)),
        "defocus set 20 % too high": (psf, told(defocus=-3.654)),
        "in focus": (in_focus, in_focus),
        "Gaussian, 2 pixels": (spot, spot),
        "motion, 9 pixels": (motion, motion),
    }
    found = {name: (*pair, PAPER_2D) for name, pair in kernels.items()}
    for sigma in (0.02, 0.05, 0.2):
        found[f"noise of {sigma}"] = (psf, psf, replace(PAPER_2D, gaussian=sigma))
    found["no impulses"] = (psf, psf, replace(PAPER_2D, salt_and_pepper=0.0))
    return found


def restore(clean: np.ndarray, true: np.ndarray, told: np.ndarray, noise: Noise) -> dict:
    """Degrade an image and restore it; return PSNR and SSIM by method."""
    noisy = degrade(clean, true, noise)
    tries = []
    richardson_lucy(noisy, told, ITERATIONS, callback=lambda i, x: tries.append(score(clean, x)))
    protocol = {"limits": (0, 1), "progress": False}
    scores = {
        "lucy_richardson_best": max(tries, key=lambda s: s["psnr"]),
        "wiener": score(clean, wiener(noisy, told)),
        "self_scale": score(clean, deconvolve(noisy, told, "self_scale", **protocol).image),
    }
    return {name: {key: s[key] for key in ("psnr", "ssim")} for name, s in scores.items()}


def main() -> None:
    """Measure what is missing; a killed run loses only the image in progress."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument(
        "--images", metavar="FOLDER", help="folder of the benchmark images; downloaded unless given"
    )
    args = parser.parse_args()
    images = load_benchmark(args.images, list(NAMES))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"conditions": {}}
    results["machine"] = machine()
    cells = [(*condition, name) for condition in conditions().items() for name in NAMES]
    for condition, how, name in tqdm(cells, unit="image"):
        done = results["conditions"].setdefault(condition, {})
        if name not in done:
            done[name] = restore(images[name], *how)
            text = json.dumps(results, indent=1) + "\n"
            write_atomically(RESULTS, lambda part, text=text: part.write_text(text))
    print(table(results))


def table(results: dict) -> str:
    """Return the mean PSNR by condition and method, as Markdown."""
    rows = [
        "| | Lucy-Richardson, best n | Wiener | own coarser scales | gain |",
        "|---|---|---|---|---|",
    ]
    for condition, images in results["conditions"].items():
        means = {
            m: np.mean([s[m]["psnr"] for s in images.values()]) for m in next(iter(images.values()))
        }
        gain = means["self_scale"] - means["lucy_richardson_best"]
        cells = " | ".join(f"{v:.2f}" for v in means.values())
        rows.append(f"| {condition} | {cells} | {gain:+.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
