"""The sweep behind the lambda explorer: `python -m siamdecon.lab.sweep` trains it and writes data/.

One training run for each point of the grid of lambdas, at the lab tier, on a crop of a bundled sample;
several frames are kept from each run. An interrupted sweep resumes where it stopped.
"""

import dataclasses
import itertools
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from siamdecon.files.atomic import write_atomically
from siamdecon.files.samples import data_folder, load_sample
from siamdecon.lab.frames import Frame, compress
from siamdecon.methods.siamese import Noise2SameD, SiameseTraining
from siamdecon.metrics import fourier_ring_correlation, radial_power, score
from siamdecon.microscope.degradation import degrade, residual
from siamdecon.microscope.noise import estimate_noise
from siamdecon.microscope.psf import paper_psf
from siamdecon.network.inference import predict
from siamdecon.network.losses import LossWeights
from siamdecon.network.training import Training
from siamdecon.problem import Problem

#: The boundary losses of the sweep, by the label of their control.
BOUNDARIES = {
    "none": {},
    "reconvolved, 0.1": {"lambda_bound": 0.1},
    "deconvolved, 0.1": {"lambda_bound_d": 0.1},
}
LAMBDAS = (0, 0.5, 2, 8)
STEPS = (10, 25, 50, 100, 200, 400)
CONTROLS = {
    "lambda_inv": LAMBDAS,
    "lambda_inv_d": LAMBDAS,
    "boundary": tuple(BOUNDARIES),
    "step": STEPS,
}
SAMPLE, CROP = "histology", (slice(128, 384), slice(128, 384))
_SHOWN = (slice(64, 192), slice(64, 192))  # the part of the crop that the pictures show


class Scene:
    """A clean image, its measurement, and the kernel."""

    def __init__(self):
        self.clean = load_sample(SAMPLE)[CROP]
        self.psf = paper_psf(2)
        self.noisy = degrade(self.clean, self.psf, seed=0)
        self.noise = estimate_noise(self.noisy)

    def frame(self, estimate: np.ndarray, text: str) -> Frame:
        """Show an estimate, its residual, its spectrum relative to the clean image's, and its score."""
        rest = residual(estimate, self.noisy, self.psf, self.noise)
        figures = score(self.clean, estimate)
        _, correlation = fourier_ring_correlation(estimate, self.clean)
        power, truth = radial_power(estimate)[1], radial_power(self.clean)[1]
        amplitude = np.sqrt(power / truth).clip(max=2)
        curves = {"amplitude / clean": amplitude, "correlation with clean": correlation}
        return Frame(
            compress([estimate[_SHOWN], rest[_SHOWN] / 0.6 + 0.5]),
            f"{text}: PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f}, residual's standard "
            f"deviation {rest.std():.3f}.",
            {name: np.round(values, 3).tolist() for name, values in curves.items()},
        )


def train_point(
    scene: Scene,
    weights: LossWeights,
    *,
    tier: str | None = None,
    steps: tuple[int, ...] = STEPS,
    callback: Callable[[Training], None] | None = None,
) -> Iterator[tuple[int, Frame]]:
    """Train with one set of lambdas, and yield a frame at each of `steps`.

    Parameters
    ----------
    scene : Scene
    weights : LossWeights
    tier : str, optional
        See `siamdecon.deconvolve`.
    steps : tuple of int
        Steps at which frames are taken; those past the tier's last step are left out, and the last is added.
    callback : callable, optional
        Called with the `Training` after each step.

    Yields
    ------
    (int, Frame)
        Step, and the network's estimate at that step. KeyboardInterrupt ends the run with a last frame.
    """
    method = Noise2SameD.of_tier(tier, 2, {"weights": weights})
    config = dataclasses.replace(method.config, noise=scene.noise)
    problem = Problem.as_it_is(scene.noisy, scene.psf, device="cpu")
    run = SiameseTraining(method.network(2, config.seed), problem, config)
    stops = {*(step for step in steps if step < config.steps), config.steps}

    def look() -> Frame:
        run.settle()
        how = {"average_flips": method.average_flips, "calibrate": method.calibrate}
        estimate = predict(run, scene.noisy, scene.psf, **how)
        return scene.frame(estimate, describe(weights, run.step))

    while run.step < config.steps and not run.interrupted:
        try:
            run.take_step()
            if callback is not None:
                callback(run)
            frame = look() if run.step in stops else None
        except KeyboardInterrupt:  # also one that arrives during a look
            run.interrupted = True
            frame = look()
        if frame is not None:
            yield run.step, frame


def describe(weights: LossWeights, step: int) -> str:
    """Return a text that lists the lambdas that are not 0.

    Examples
    --------
    >>> describe(LossWeights.noise2same_d(), 400)
    'rec 1, inv_d 2, bound_d 0.1, step 400'
    """
    named = {name.removeprefix("lambda_"): value for name, value in vars(weights).items() if value}
    return ", ".join(f"{name} {value:g}" for name, value in named.items()) + f", step {step}"


def grid_weights(lambda_inv: float, lambda_inv_d: float, boundary: str) -> LossWeights:
    """Return the lambdas at a position of the explorer's controls; reconstruction is always 1.

    Examples
    --------
    >>> grid_weights(2.0, 0.0, "deconvolved, 0.1").lambda_bound_d
    0.1
    """
    return LossWeights(
        lambda_rec=1.0, lambda_inv=lambda_inv, lambda_inv_d=lambda_inv_d, **BOUNDARIES[boundary]
    )


def load_sweep(path: str | Path | None = None) -> tuple[dict, dict[tuple, Frame]]:
    """Read the stored sweep.

    Parameters
    ----------
    path : path, optional
        data/lambdas.zip unless given.

    Returns
    -------
    about : dict
        How the sweep was made, and "controls": each control's name and values.
    frames : dict of tuple to Frame
        Keyed by the controls' values, in their order.

    Raises
    ------
    ValueError
        If the file is not such a sweep.

    Examples
    --------
    >>> about, frames = load_sweep()
    >>> (0, 2, "deconvolved, 0.1", 400) in frames
    True
    """
    path = Path(path or data_folder() / "lambdas.zip")
    try:
        with zipfile.ZipFile(path) as file:
            about = json.loads(file.read("about.json"))
            frames = {
                tuple(entry["at"]): Frame(
                    file.read(entry["picture"]), entry["text"], entry["curves"]
                )
                for entry in about.pop("frames")
            }
    except Exception as error:  # damaged archives raise exceptions of almost any type
        raise ValueError(
            f"{path} is not a sweep of this package ({error}); run `make sweep` to make it again"
        ) from error
    return about, frames


def write_sweep(folder: Path, target: Path) -> Path:
    """Train every point that is not yet in `folder`, then put all frames into one file.

    The same frames give the same bytes.
    """
    from tqdm import tqdm

    scene = Scene()
    folder.mkdir(parents=True, exist_ok=True)
    points = list(itertools.product(LAMBDAS, LAMBDAS, BOUNDARIES))
    for point in tqdm(points, unit="run"):
        name = "_".join(str(value).replace(" ", "") for value in point)
        if (folder / f"{name}.json").exists():
            continue
        entries = []
        for step, frame in train_point(scene, grid_weights(*point), tier="lab"):
            picture = f"{name}_{step}.webp"
            write_atomically(folder / picture, lambda p, frame=frame: p.write_bytes(frame.picture))
            entries.append(
                {
                    "at": [*point, step],
                    "picture": picture,
                    "text": frame.text,
                    "curves": frame.curves,
                }
            )
        text = json.dumps(entries)
        write_atomically(folder / f"{name}.json", lambda p, text=text: p.write_text(text))
    entries = [e for path in sorted(folder.glob("*.json")) for e in json.loads(path.read_text())]
    about = {
        "sample": SAMPLE,
        "tier": "lab",
        "seed": 0,
        "torch": torch.__version__,
        "controls": CONTROLS,
        "frames": entries,
    }

    def pack(part: Path) -> None:
        with zipfile.ZipFile(part, "w") as file:  # stored: WebP does not compress further
            entry = zipfile.ZipInfo("about.json")
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, json.dumps(about))
            for picture in (entry["picture"] for entry in entries):
                file.writestr(zipfile.ZipInfo(picture), (folder / picture).read_bytes())

    return write_atomically(target, pack)


if __name__ == "__main__":
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "build/sweep")
    print(write_sweep(work, data_folder() / "lambdas.zip"))
    shutil.rmtree(work)
