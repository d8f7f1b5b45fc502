"""One cell of the tables: a method on an image with a seed, its scores, seconds, memory and settings."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.machine import PeakMemory, cpu
from siamdecon import (
    PAPER_2D,
    PAPER_3D,
    LossWeights,
    Noise,
    affine_score,
    deconvolve,
    degrade,
    paper_psf,
    score,
)
from siamdecon.hardware import available_cores
from siamdecon.network.inference import predict
from siamdecon.restoration import describe_versions

W = LossWeights
#: The middle of the volume, which two cores train on in about a minute: z, y, x.
CROP = (slice(32, 96), slice(48, 208), slice(176, 336))
#: The name of the volume that is restored without being cut.
WHOLE = "whole volume"


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Attributes
    ----------
    title : str
    method : str or None
        For `deconvolve`; None leaves the image as it is.
    options : dict
    paper : str or None
        The row of the paper that it reproduces.
    """

    title: str
    method: str | None
    options: dict = field(default_factory=dict)
    paper: str | None = None

    @property
    def seeded(self) -> bool:
        """Whether another seed gives another result."""
        return self.method in ("noise2self", "noise2same", "noise2same_d", "ssi", "self_scale")


def _lr(n: int, paper: str | None = None) -> Method:
    return Method(f"Lucy-Richardson, n = {n}", "richardson_lucy", {"iterations": n}, paper)


def _without(what: str, **options) -> Method:
    return Method(f"own scales, {what}", "self_scale", options)


METHODS = {
    "input": Method("input", None, paper="input"),
    "lr1": _lr(1),
    "lr2": _lr(2, "LR n = 2"),
    "lr5": _lr(5, "LR n = 5"),
    "lr10": _lr(10, "LR n = 10"),
    "lr20": _lr(20, "LR n = 20"),
    "median_lr5": Method(
        "median + Lucy-Richardson, n = 5",
        "richardson_lucy",
        {"iterations": 5, "prefilter": "median"},
    ),
    "wiener": Method("Wiener", "wiener"),
    "tv": Method("total variation", "total_variation"),
    "tv_clip": Method("total variation, clipping modelled", "total_variation", {"noise": "auto"}),
    "ssi": Method("SSI", "ssi", paper="SSI (reproduced)"),
    "noise2self": Method("Noise2Self", "noise2self", paper="Noise2Self"),
    "noise2self_bound": Method(
        "Noise2Self, bound 0.1",
        "noise2self",
        {"weights": W.noise2self(lambda_bound=0.1)},
        "Noise2Self, bound 0.1",
    ),
    "noise2self_batch": Method("Noise2Self, batch normalisation", "noise2self", {"renorm": False}),
    "noise2self_unmodelled": Method(
        "Noise2Self, bound 0.1, clipping not modelled",
        "noise2self",
        {"weights": W.noise2self(lambda_bound=0.1), "noise": None},
    ),
    "noise2same": Method(
        "Noise2Same", "noise2same", {"weights": W.noise2same(lambda_bound=0)}, "Noise2Same"
    ),
    "noise2same_bound": Method(
        "Noise2Same, bound 0.1", "noise2same", paper="Noise2Same, bound 0.1"
    ),
    "noise2same_unmodelled": Method(
        "Noise2Same, bound 0.1, clipping not modelled", "noise2same", {"noise": None}
    ),
    "noise2same_d": Method(
        "Noise2Same (d)",
        "noise2same_d",
        {"weights": W.noise2same_d(lambda_bound_d=0)},
        "Noise2Same (d)",
    ),
    "noise2same_d_bound": Method(
        "Noise2Same (d), bound 0.1", "noise2same_d", paper="Noise2Same (d), bound 0.1"
    ),
    "noise2same_d_unmodelled": Method(
        "Noise2Same (d), bound 0.1, clipping not modelled", "noise2same_d", {"noise": None}
    ),
    "self_scale": Method("own coarser scales", "self_scale"),
    # ablations: one ingredient removed from each, with the same total number of steps
    "self_scale_known": _without("noise known", noise=PAPER_2D),
    "self_scale_gaussian": _without("plain Gaussian noise", noise=Noise(gaussian=0.1, clip=False)),
    "self_scale_wiener": _without("started from Wiener", start="wiener"),
    "self_scale_coarser": _without("1/2 and 1/3, then 1/1.5 alone", scales=((2, 3), (1.5,))),
    "self_scale_closer": _without("1/1.5 and 1/2 first", scales=((1.5, 2), (1.25, 1.5))),
    "self_scale_same": _without("1/2 and 1/3 in both rounds", scales=((2, 3),) * 2),
    "self_scale_three_rounds": _without(
        "three rounds", scales=((2, 3), (1.5,), (1.25,)), steps=107
    ),
    "self_scale_one_round": _without("one round", scales=((2, 3),), steps=320),
    "self_scale_one_copy": _without("one copy of each target", copies=1),
    "self_scale_no_coarse": _without("nothing coarse from the measurement", coarse=0),
}


def measure_cell(cell: dict, clean: np.ndarray) -> dict:
    """Degrade the clean image by the paper's protocol, restore it, and return the row.

    Parameters
    ----------
    cell : dict
        "image", "method" (a key of `METHODS`), "seed", "tier", "code".
    clean : ndarray, shape ([z,] y, x)
        A whole volume is degraded; except at the full tier, only its part `CROP` is restored, unless it is
        `WHOLE`.

    Returns
    -------
    dict
        The cell with scores ("psnr", "ssim", "rmse", "mi", "smi"; of a volume also "affine"), for a network
        also those of the paper's inference ("one_pass"), "training_s", "inference_s", "peak_bytes",
        device, versions, settings.
    """
    method, psf = METHODS[cell["method"]], paper_psf(clean.ndim)
    noisy = degrade(clean, psf, PAPER_2D if clean.ndim == 2 else PAPER_3D)
    if clean.ndim == 3 and cell["tier"] != "full" and cell["image"] != WHOLE:
        clean, noisy = clean[CROP], np.ascontiguousarray(noisy[CROP])
    row = {**cell, "device": device(), "versions": describe_versions()}
    if method.method is None:
        return {**row, **scores(clean, noisy)}
    options = dict(method.options)
    begin, last_step = time.perf_counter(), []
    if method.method.startswith("noise2"):
        options["callback"] = lambda run: last_step.append(time.perf_counter())
    # the paper's range is declared, not found
    choice = {"tier": cell["tier"], "seed": cell["seed"], "limits": (0, 1), "progress": False}
    with PeakMemory() as memory:
        result = deconvolve(noisy, psf, method.method, **choice, **options)
        end = time.perf_counter()
    in_one = method.method in ("ssi", "self_scale")  # their inference takes little time
    if in_one:
        last_step.append(end)
    row |= {
        **scores(clean, result.image),
        "training_s": last_step[-1] - begin if last_step else None,
        "inference_s": None if in_one else end - (last_step or [begin])[-1],
        "peak_bytes": memory.peak,
        "options": result.settings.get("training") or result.settings["options"],
    }
    if result.run is not None:
        low, high = result.settings["range"]
        unit = (noisy - low) / (high - low)
        single = predict(result.run, unit, average_flips=False, calibrate=False)
        row["one_pass"] = scores(clean, single * (high - low) + low)
    return row


def scores(clean: np.ndarray, estimate: np.ndarray) -> dict:
    """Return the scores of the paper's tables; for a volume, also those up to contrast."""
    plain = score(clean, estimate)
    return {**plain, "affine": affine_score(clean, estimate)} if clean.ndim == 3 else plain


def device() -> str:
    """Name the device that the cell ran on."""
    return (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{cpu()}, {available_cores()} cores"
    )
