"""Our measurements beside the paper's tables: Tables 1, 2 and S1 for images, 3, 4 and S2 for the volume."""

from pathlib import Path

import numpy as np

from benchmarks.cells import METHODS, WHOLE
from siamdecon.lab.plots import PALETTE, plt

#: The paper's scores, over 22 images and for its volume; None where it gives no number.
PAPER_2D = {  # PSNR, SSIM, MI, SMI, RMSE, training s, inference ms: Tables 1, 2 and S1
    "input": (17.77, 0.18, 0.07, 0.18, 0.130, None, None),
    "LR n = 2": (22.0, 0.47, 0.13, 0.25, 0.086, None, 46),
    "LR n = 5": (22.2, 0.44, 0.12, 0.25, 0.082, None, 48),
    "LR n = 10": (21.1, 0.36, 0.10, 0.25, 0.091, None, 62),
    "LR n = 20": (18.5, 0.26, 0.08, 0.19, 0.119, None, 97),
    "SSI (reproduced)": (22.0, 0.46, 0.14, 0.26, None, 442, 26),
    "Noise2Self": (22.49, 0.27, None, None, 0.079, None, None),
    "Noise2Self, bound 0.1": (22.51, 0.43, None, None, 0.079, None, None),
    "Noise2Same": (21.49, 0.23, None, None, 0.089, None, None),
    "Noise2Same, bound 0.1": (21.81, 0.41, None, None, 0.085, None, None),
    "Noise2Same (d)": (22.79, 0.46, 0.13, 0.30, 0.078, 856, 53),
    "Noise2Same (d), bound 0.1": (22.67, 0.46, None, None, 0.078, None, None),
}
PAPER_3D = {  # PSNR, SSIM, RMSE up to contrast, of a volume that is not ours: Tables 3, 4 and S2
    "input": (21.21, 0.64, 0.087),
    "LR n = 2": (22.4, 0.32, 0.076),
    "LR n = 5": (21.8, 0.33, 0.080),
    "LR n = 10": (21.5, 0.44, 0.084),
    "LR n = 20": (21.3, 0.55, 0.086),
    "SSI (reproduced)": (22.6, 0.39, 0.074),
    "Noise2Self": (23.71, 0.39, 0.065),
    "Noise2Self, bound 0.1": (23.71, 0.39, 0.065),
    "Noise2Same": (24.08, 0.39, 0.063),
    "Noise2Same, bound 0.1": (24.02, 0.39, 0.063),
    "Noise2Same (d)": (21.05, 0.82, 0.089),
    "Noise2Same (d), bound 0.1": (21.05, 0.82, 0.089),
}
#: What a flat estimate scores on the paper's volume: its rows that show nothing.
PAPER_FLOOR = 21.05
#: The volumes of the 3D tables, by the seed that draws them.
VOLUMES = {"volume": 0, "volume 1": 1, "volume 2": 2, WHOLE: 0}
_SCORES = ("psnr", "ssim", "mi", "smi", "rmse")


def tables(rows: list[dict]) -> str:
    """Format all rows as Markdown, with a heading for each tier, code version and device."""
    if not rows:
        return "no measurements yet"
    parts = []
    for (tier, code, device), same in groups(rows):
        parts.append(f"## {tier} tier, siamdecon {code}, {device}")
        plane = [row for row in same if row["image"] not in VOLUMES]
        solid = [row for row in same if row["image"] in VOLUMES and row["image"] != WHOLE]
        whole = [row for row in same if row["image"] == WHOLE]
        if plane:
            parts += ["### Images (the paper's Tables 1, 2 and S1)", images_table(plane)]
        if solid:
            parts += ["### Volumes (the paper's Tables 3, 4 and S2)", volume_table(solid)]
        if whole:
            parts += ["### One of them, 128 x 256 x 512 voxels", volume_table(whole)]
    return "\n\n".join(parts)


def groups(rows: list[dict]) -> list:
    """Group rows by tier, code version and device, which must not be mixed."""
    keys = dict.fromkeys((row["tier"], row["code"], row["device"]) for row in rows)
    return [(key, [r for r in rows if (r["tier"], r["code"], r["device"]) == key]) for key in keys]


def images_table(rows: list[dict]) -> str:
    """Return the means over the measured images, beside the paper's."""
    names = sorted({row["image"] for row in rows})
    lines = [
        f"Means over {len(names)} images ({', '.join(names)}), or as many as a row's title says. The paper's "
        "numbers, in brackets, are means over 22 images. Times are medians. An empty cell was not "
        "measured.",
        "",
        "| | PSNR (dB) | one pass | SSIM | MI | SMI | RMSE | training (s) | inference (ms) | peak (GB) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, method in _listed(rows):
        same = [row for row in rows if row["method"] == key]
        paper = PAPER_2D.get(method.paper, (None,) * 7)
        few = {row["image"] for row in same}
        images = "1 image" if len(few) == 1 else f"{len(few)} images"
        title = method.title + (f" ({images})" if 0 < len(few) < len(names) else "")
        cells = [_cell(_mean(same, "psnr"), paper[0], ".2f")]
        one = [row["one_pass"] for row in same if "one_pass" in row]
        cells += [_cell(_mean(one, "psnr"), None, ".2f")]
        cells += [
            _cell(_mean(same, k), p, ".3f") for k, p in zip(_SCORES[1:], paper[1:5], strict=True)
        ]
        inference = _median(same, "inference_s")
        cells += [
            _cell(_median(same, "training_s"), paper[5], ".0f"),
            _cell(None if inference is None else 1000 * inference, paper[6], ".0f"),
            _cell(None if (peak := _mean(same, "peak_bytes")) is None else peak / 1e9, None, ".2f"),
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def volume_table(rows: list[dict]) -> str:
    """Return what each method gains over a flat estimate, up to contrast, and the other scores."""
    names = sorted({row["image"] for row in rows})
    floors = [row["affine"]["floor"] for row in rows]
    floor = " to ".join(dict.fromkeys(f"{end(floors):.2f}" for end in (min, max)))
    several = (
        f"Means over {len(names)} synthetic volumes, or as many as a row's title says; +- is the standard "
        "deviation from one to the next. "
    )
    lines = [
        several
        * (len(names) > 1)
        + "Gains are those of the PSNR up to contrast over a flat estimate, "
        f"which scores {floor} dB. The paper's numbers, in "
        f"brackets, are for another volume, whose floor is near {PAPER_FLOOR} dB. Width and number of our "
        "tubes were fitted to its rows of the input and of Lucy-Richardson, on 128 x 256 x 512 voxels, and "
        "to nothing else; they do not reach the SSIM of its emptier volume.",
        "",
        "| | gain (dB) | SSIM | RMSE | plain: PSNR (dB) | SSIM | training (s) |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, method in _listed(rows):
        same = [row for row in rows if row["method"] == key]
        affine = [row["affine"] for row in same]
        psnr, ssim, rmse = PAPER_3D.get(method.paper, (None,) * 3)
        gains = [scores["psnr"] - scores["floor"] for scores in affine]
        few = f" ({len(same)} of them)" if 0 < len(same) < len(names) else ""
        spread = f" +- {np.std(gains, ddof=1):.2f}" if len(gains) > 1 else ""
        theirs = f" ({psnr - PAPER_FLOOR:+.2f})" if psnr is not None else ""
        cells = [
            f"{np.mean(gains):+.2f}{spread}{theirs}" if gains else theirs.strip(),
            _cell(_mean(affine, "ssim"), ssim, ".3f"),
            _cell(_mean(affine, "rmse"), rmse, ".4f"),
            _cell(_mean(same, "psnr"), None, ".2f"),
            _cell(_mean(same, "ssim"), None, ".3f"),
            _cell(_median(same, "training_s"), None, ".0f"),
        ]
        lines.append(f"| {method.title}{few} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(rows: list[dict], path: Path) -> Path:
    """Draw each method's PSNR on each image, its mean, and the paper's, to a PNG file.

    If there are several tiers and versions, the one with most rows is drawn; the title names it.
    """
    rows = [row for row in rows if row["image"] not in VOLUMES]
    if not rows:
        raise ValueError("no measurement of an image to draw yet")
    (tier, code, device), rows = max(groups(rows), key=lambda group: len(group[1]))
    images = {row["image"] for row in rows}
    methods = [key for key in METHODS if any(row["method"] == key for row in rows)]
    figure, axis = plt.subplots(figsize=(8, 0.34 * len(methods) + 1.4), layout="constrained")
    for place, key in enumerate(methods):
        psnr = [row["psnr"] for row in rows if row["method"] == key]
        axis.plot(
            psnr, [place] * len(psnr), "o", color=PALETTE[5], ms=4, label="an image" * (not place)
        )
        if len(psnr) == len(images):  # a mean over fewer would not be comparable
            axis.plot(np.mean(psnr), place, "D", color=PALETTE[0], label="mean" * (not place))
        if METHODS[key].paper in PAPER_2D:
            there = PAPER_2D[METHODS[key].paper][0]
            axis.plot(there, place, "x", color=PALETTE[1], label="paper, 22 images" * (place == 0))
    axis.set(yticks=range(len(methods)), xlabel="PSNR (dB)")
    axis.set_yticklabels([METHODS[key].title for key in methods])
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    axis.set_title(f"{tier} tier, siamdecon {code}, {device}", fontsize=9, loc="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _listed(rows: list[dict]) -> list:
    """Return the methods that were measured, and those of the paper's tables."""
    measured = {row["method"] for row in rows}
    return [(key, m) for key, m in METHODS.items() if m.paper or key in measured]


def _mean(rows: list[dict], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else None


def _median(rows: list[dict], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.median(values)) if values else None


def _cell(ours: float | None, paper: float | None, form: str) -> str:
    if ours is None:
        return f"({paper})" if paper is not None else ""
    return f"{ours:{form}}" + (f" ({paper})" if paper is not None else "")
