"""Scores of every method at the lab tier on the 2D benchmark, each beside its opponents."""

import hashlib
import time

import numpy as np

from benchmarks.rows import Rows
from siamdecon import PAPER_2D, deconvolve, degrade, load_benchmark, paper_psf, score
from siamdecon._version import __version__
from siamdecon.inference import predict
from siamdecon.tiers import get_tier

METHODS = {
    "Lucy-Richardson, n = 2": ("richardson_lucy", {"iterations": 2}),
    "Lucy-Richardson, n = 5": ("richardson_lucy", {"iterations": 5}),
    "median + Lucy-Richardson, n = 5": (
        "richardson_lucy",
        {"iterations": 5, "prefilter": "median"},
    ),
    "Wiener": ("wiener", {}),
    "total variation": ("total_variation", {}),
    "total variation, clipping known": ("total_variation", {"noise": PAPER_2D}),
    "Noise2Self": ("noise2self", {}),
    "Noise2Same": ("noise2same", {}),
    "Noise2Same (d)": ("noise2same_d", {}),
    "Noise2Same (d), clipping not modelled": ("noise2same_d", {"noise": None}),
}


def measure(args) -> dict:
    """Score methods on images, one model an image; print and return the means.

    Each row is kept in results/quality.jsonl as soon as it is measured, and measured once: a run that
    was stopped goes on, and another choice of images or methods adds to what is there.
    """
    images = load_benchmark(args.folder, args.images)
    psf = paper_psf(2)
    rows = Rows("quality", settings())
    for name, clean in images.items():
        noisy = degrade(clean, psf)
        for title in args.methods or ("input", *METHODS):
            if not rows.has(image=name, method=title):
                new = restore(name, clean, noisy, psf, title)
                rows.add(new)
                for row in new:
                    show(row)
    means = mean_rows(rows.rows)
    for row in means:
        show(row)
    return {"tier": "lab", "means": means}


def settings() -> str:
    """Name the lab tier's settings, so that rows of different ones are not mixed."""
    tier = get_tier("lab")
    text = repr((__version__, tier.features, tier.training, tier.momentum, tier.noise))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def restore(name, clean, noisy, psf, title: str) -> list[dict]:
    """Run one method; a network is also scored with the paper's inference, one pass."""
    if title == "input":
        return [{"image": name, "method": title, **score(clean, noisy)}]
    method, options = METHODS[title]
    begin = time.perf_counter()
    trained = []  # when the last step ended
    if method.startswith("noise2"):
        options = {**options, "callback": lambda run: trained.append(time.perf_counter())}
    result = deconvolve(noisy, psf, method, tier="lab", progress=False, **options)
    seconds = (trained[-1] if trained else time.perf_counter()) - begin
    rows = [{"image": name, "method": title, **score(clean, result.image), "seconds": seconds}]
    if result.run is not None:
        single = predict(result.run, noisy, average_flips=False, calibrate=False)
        rows.append({"image": name, "method": f"{title}, one pass", **score(clean, single)})
    return rows


def mean_rows(rows: list[dict]) -> list[dict]:
    """Average each method's figures over the images."""
    means = []
    for method in dict.fromkeys(row["method"] for row in rows):
        same = [row for row in rows if row["method"] == method]
        numbers = [key for key, value in same[0].items() if isinstance(value, float)]
        mean = {key: float(np.mean([row[key] for row in same])) for key in numbers}
        means.append({"image": f"mean of {len(same)}", "method": method, **mean})
    return means


def show(row: dict) -> None:
    """Print one line of the table."""
    seconds = f"  {row['seconds']:6.1f} s" if "seconds" in row else ""
    print(
        f"{row['image']:>26}  {row['method']:<48} {row['psnr']:6.2f} dB  SSIM {row['ssim']:.3f}"
        f"  RMSE {row['rmse']:.4f}  MI {row['mi']:.3f}  SMI {row['smi']:.3f}{seconds}",
        flush=True,
    )
