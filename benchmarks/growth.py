"""How costs grow with image size, kernel size and features; tiling and import, with their baselines."""

import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.convolution import in_turn
from benchmarks.machine import PeakMemory
from siamdecon import PSFConvolution, UNet, degrade, load_sample, paper_psf, richardson_lucy
from siamdecon.methods.siamese import Noise2SameD, SiameseTraining
from siamdecon.network.inference import predict
from siamdecon.problem import Problem

SIDES = (128, 256, 512, 1024)


def measure(args) -> dict:
    """Measure every curve; print and return ratios to its first point."""
    results = {
        "training step, features": grows(step_by_features()),
        "training step, patch side": grows(step_by_patch()),
        "PSF convolution, image side": grows(convolution_by_side()),
        "PSF convolution, kernel side": grows(convolution_by_kernel()),
        "Lucy-Richardson, image side": grows(lucy_richardson_by_side()),
        "network's pass, image side": grows(pass_by_side()),
        "peak memory of a training step, features": memory_by_features(),
        "tiles of 256 on 1024 x 1024 pixels, against the whole": tiling(),
        "import": imports(),
    }
    for name, curve in results.items():
        print(f"{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in curve.items()), flush=True)
    return results


def grows(timed: dict, repeats: int = 7) -> dict[str, float]:
    """Time all points of a curve in turn, as ratios to the first."""
    seconds = in_turn(timed, repeats)
    first = next(iter(seconds.values()))
    return {str(name): value / first for name, value in seconds.items()}


def loop(features: int = 16, patch: int = 64) -> SiameseTraining:
    """Return a training loop of the lab tier."""
    psf = paper_psf(2)
    noisy = degrade(load_sample("histology"), psf)
    config = Noise2SameD.of_tier("lab", 2, {"patch_size": patch}).config
    problem = Problem.as_it_is(noisy, psf, device="cpu")
    return SiameseTraining(UNet(2, features), problem, config)


def step_by_features() -> dict:
    """Return steps to time, by features."""
    return {n: loop(features=n).take_step for n in (4, 8, 16, 32)}


def step_by_patch() -> dict:
    """Return steps to time, by the patch's side."""
    return {n: loop(patch=n).take_step for n in (32, 64, 96, 128)}


def convolution_by_side() -> dict:
    """Return convolutions to time, by the image's side."""
    g = PSFConvolution(paper_psf(2))
    images = {n: torch.rand(1, 1, n, n) for n in SIDES}
    return {n: lambda x=x: g(x) for n, x in images.items()}


def convolution_by_kernel() -> dict:
    """Return convolutions of 512 x 512 pixels to time, by the kernel's side."""
    x = torch.rand(1, 1, 512, 512)
    kernels = {n: PSFConvolution(np.full((n, n), 1 / n**2)) for n in (5, 9, 17, 33, 65)}
    return {n: lambda g=g: g(x) for n, g in kernels.items()}


def lucy_richardson_by_side() -> dict:
    """Return five iterations to time, by the image's side."""
    rng, psf = np.random.default_rng(0), paper_psf(2)
    images = {n: rng.random((n, n), dtype=np.float32) for n in SIDES}
    return {n: lambda image=image: richardson_lucy(image, psf, 5) for n, image in images.items()}


def pass_by_side() -> dict:
    """Return forward passes of a lab network to time, by the image's side."""
    run = loop()
    images = {n: np.random.default_rng(0).random((n, n)) for n in SIDES}
    how = {"average_flips": False, "calibrate": False, "tile": 2048}
    return {n: lambda image=image: predict(run, image, **how) for n, image in images.items()}


def memory_by_features() -> dict[str, float]:
    """Return the peak memory of three steps above that of the process before, as ratios."""
    peaks = {}
    for n in (4, 8, 16, 32):
        code = (
            "from benchmarks.growth import loop, peak_of_steps\n"
            f"print(peak_of_steps(loop(features={n})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        peaks[str(n)] = float(done.stdout)
    return {n: peak / peaks["4"] for n, peak in peaks.items()}


def peak_of_steps(training: SiameseTraining) -> int:
    """Return the peak memory of three steps, in bytes."""
    with PeakMemory() as memory:
        for _ in range(3):
            training.take_step()
    return memory.peak - memory.before


def tiling() -> dict[str, float]:
    """Time blended tiles, exact tiles, and the whole image at once."""
    run, image = loop(), np.random.default_rng(0).random((1024, 1024))
    how = {"average_flips": False, "calibrate": False}
    return grows(
        {
            "whole": lambda: predict(run, image, tile=2048, **how),
            "blend": lambda: predict(run, image, tile=256, **how),
            "exact": lambda: predict(run, image, tile=256, stitch="exact", **how),
        }
    )


def imports(repeats: int = 5) -> dict[str, float]:
    """Time the import of all public names and those of its dependencies, each in a new process, in turn."""
    lines = {
        # scikit-image loads a module only when something is imported from it
        "torch, scipy.ndimage, skimage.metrics": "import torch, scipy.ndimage\n"
        "from skimage.metrics import structural_similarity",
        "siamdecon": "from siamdecon import *",
    }
    taken = {name: [] for name in lines}
    for _ in range(repeats):
        for name, line in lines.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", line], check=True)
            taken[name].append(time.perf_counter() - begin)
    seconds = {name: statistics.median(values) for name, values in taken.items()}
    first = next(iter(seconds.values()))
    return {name: value / first for name, value in seconds.items()}
