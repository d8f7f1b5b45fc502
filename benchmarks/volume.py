"""The paper's Tables 3, 4 and S2 on a crop of the volume, at the lab tier, in both score conventions."""

import hashlib
import time

import numpy as np

from benchmarks.rows import Rows
from siamdecon import (
    PAPER_3D,
    LossWeights,
    affine_score,
    deconvolve,
    degrade,
    load_volume,
    paper_psf,
    score,
)
from siamdecon._version import __version__
from siamdecon.inference import predict
from siamdecon.tiers import get_tier

#: What two cores train on in under a minute, z, y, x.
CROP = (slice(48, 80), slice(80, 176), slice(208, 304))
W = LossWeights
METHODS = {
    **{
        f"Lucy-Richardson, n = {n}": ("richardson_lucy", {"iterations": n})
        for n in (1, 2, 5, 10, 20)
    },
    "median + Lucy-Richardson, n = 5": (
        "richardson_lucy",
        {"iterations": 5, "prefilter": "median"},
    ),
    "Wiener": ("wiener", {}),
    "total variation": ("total_variation", {}),
    "total variation, clipping known": ("total_variation", {"noise": "auto"}),
    "Noise2Self": ("noise2self", {}),
    "Noise2Self, bound 0.1": ("noise2self", {"weights": W.noise2self(lambda_bound=0.1)}),
    "Noise2Same, bound 0": ("noise2same", {"weights": W.noise2same(lambda_bound=0)}),
    "Noise2Same, bound 0.1": ("noise2same", {}),
    "Noise2Same (d), bound 0": ("noise2same_d", {"weights": W.noise2same_d(lambda_bound_d=0)}),
    "Noise2Same (d), bound 0.1": ("noise2same_d", {}),
}


def measure(args) -> dict:
    """Score every method on the crop; a run that was stopped goes on where it was."""
    volume, psf = load_volume(), paper_psf(3)
    clean, noisy = volume[CROP], degrade(volume, psf, PAPER_3D)[CROP]
    rows = Rows("volume", settings(volume))
    if not rows.has(method="input"):
        rows.add([{"method": "input", **scores(clean, noisy)}])
    for title, (method, options) in METHODS.items():
        if not rows.has(method=title):
            rows.add(restore(clean, noisy, psf, title, method, options))
    synthetic = volume.shape == (128, 256, 512)
    print("A synthetic volume: not to be compared with the paper's figures." * synthetic)
    for row in rows.rows:
        show(row)
    return {"tier": "lab", "synthetic": synthetic, "rows": rows.rows}


def settings(volume: np.ndarray) -> str:
    """Name what the rows depend on: the volume, the crop and the lab tier."""
    text = repr((__version__, get_tier("lab", 3), CROP, hashlib.sha256(volume).hexdigest()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def scores(clean: np.ndarray, estimate: np.ndarray) -> dict:
    """Return the plain scores, and those up to contrast with their floor."""
    affine = affine_score(clean, estimate)
    return {**score(clean, estimate), **{f"affine {name}": v for name, v in affine.items()}}


def restore(clean, noisy, psf, title: str, method: str, options: dict) -> list[dict]:
    """Run one method; a network is also scored with the paper's inference, one pass."""
    begin, trained = time.perf_counter(), []
    if method.startswith("noise2"):
        options = {**options, "callback": lambda run: trained.append(time.perf_counter())}
    result = deconvolve(noisy, psf, method, tier="lab", progress=False, **options)
    seconds = (trained[-1] if trained else time.perf_counter()) - begin
    rows = [{"method": title, **scores(clean, result.image), "seconds": seconds}]
    if result.run is not None:
        low, high = result.settings["range"]
        unit = (noisy - low) / (high - low)
        single = predict(result.run, unit, average_flips=False, calibrate=False)
        rows.append({"method": f"{title}, one pass", **scores(clean, single * (high - low) + low)})
    return rows


def show(row: dict) -> None:
    """Print one line of the table."""
    seconds = f"  {row['seconds']:6.1f} s" if "seconds" in row else ""
    print(
        f"{row['method']:<38} {row['psnr']:6.2f} dB  SSIM {row['ssim']:.3f}  RMSE {row['rmse']:.4f}   "
        f"affine {row['affine psnr']:6.2f} dB ({row['affine psnr'] - row['affine floor']:+.2f} above the "
        f"floor)  SSIM {row['affine ssim']:.3f}  RMSE {row['affine rmse']:.4f}{seconds}",
        flush=True,
    )
