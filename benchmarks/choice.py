"""How much is lost by choosing a method without the truth: the best PSNR minus that of `compare`'s choice."""

import os

import numpy as np

from siamdecon import (
    PAPER_2D,
    Noise,
    compare,
    degrade,
    load_benchmark,
    load_sample,
    paper_psf,
    score,
)
from siamdecon.files.samples import sample_names
from siamdecon.methods.auto import CANDIDATES
from siamdecon.microscope import blur

SIDE = 192
#: The paper's noise, a third of it, and photons alone: 50 for a pixel that is white.
THIRD = Noise(poisson=0.001 / 9, gaussian=0.1 / 3, salt_and_pepper=0.01 / 3, bits=10)
PEAK = 50


def measurements(clean: np.ndarray, psf: np.ndarray) -> dict[str, tuple]:
    """Return a whole measurement and the limits of its camera, by the name of its noise."""
    counts = np.random.default_rng(0).poisson(PEAK * blur(clean, psf).clip(0))
    return {
        "paper's": (degrade(clean, psf, PAPER_2D), (0, 1)),
        "a third of it": (degrade(clean, psf, THIRD), (0, 1)),
        "Poisson": (counts / PEAK, None),
    }


def measure(args) -> dict:
    """Compare the candidates on crops of the samples and, where they are, the benchmark's images."""
    images = {name: load_sample(name) for name in sample_names()}
    if os.environ.get("SIAMDECON_BENCHMARK"):
        images |= load_benchmark()
    rows = [row for name, image in images.items() for row in regrets(name, image)]
    return {"candidates": CANDIDATES, "side": SIDE, "rows": rows}


def regrets(name: str, image: np.ndarray) -> list[dict]:
    """Return a row for each noise: scores, the choice, and what it costs.

    The crop is taken from the measurement: as in a microscope, light comes from beyond the field of view.
    """
    middle = tuple(slice(max(0, n // 2 - SIDE // 2), n // 2 + SIDE // 2) for n in image.shape)
    clean, psf, rows = image[middle], paper_psf(2), []
    for noise, (noisy, limits) in measurements(image, psf).items():
        found = compare(noisy[middle], psf, limits=limits, progress=False)
        psnr = {method: score(clean, estimate)["psnr"] for method, estimate in found.images.items()}
        held_out = {one.method: one.score for one in found.held_out}
        regret = max(psnr.values()) - psnr[found.best]
        row = {"image": name, "noise": noise, "best": found.best, "regret": regret}
        rows.append(row | {"psnr": psnr, "held_out": held_out})
        print(f"{name}, {noise}: {found.best}, {regret:.2f} dB below the best", flush=True)
    return rows
