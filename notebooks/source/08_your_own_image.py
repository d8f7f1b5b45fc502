# %% [markdown]
# # Your own image: from a file to a restored file
#
# Your image has camera counts instead of numbers from 0 to 1, a voxel size, perhaps saturated pixels,
# and no clean version. This notebook takes a TIFF from reading to saving: what to check first, how to
# choose a method without the truth, how large images are tiled, and which metadata is kept.
#
# | | |
# |---|---|
# | After it you can | read and check a TIFF; find the fault in an input; choose a method without ground truth; tile without seams; save with metadata, from Python and from the command line |
# | Before it | Python and NumPy; what a point-spread function (PSF) is |
# | Reading | 22 minutes |
# | Running | 25 seconds and 130 training steps, on two CPU cores |
#
# Of the reading time, exercise 1 takes about 4 minutes and exercise 2 about 5.

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown
from scipy.ndimage import gaussian_filter
from siamdecon import (
    Microscope,
    Noise,
    compare,
    deconvolve,
    degrade,
    inspect,
    load_sample,
    read_image,
    score,
    write_image,
)
from siamdecon.lab import ask, checks, faulty_inputs, gallery, lines, predictions
from siamdecon.methods import tier_name
from siamdecon.microscope import gibson_lanni, noise_level, residual
from siamdecon.network import blend, steps_taken

# %% [markdown]
# ## The file
#
# An example in place of your own: nuclei, blurred and noisy, in counts of a 12-bit camera with an offset of 300.
# Two exposures of the same field are written to a temporary folder.

# %%
folder = Path(tempfile.mkdtemp())
clean = load_sample("nuclei")[:256, :256]
optics = {"na": 0.8, "wavelength": 0.6, "index": 1.33, "defocus": 3.045}
true_psf = gibson_lanni(Microscope(**optics, pixel_size=0.406))
noise = Noise(poisson=0.004, gaussian=0.05, clip=False)
for name, seed in {"cells.tif": 0, "cells_again.tif": 1}.items():
    counts = 300 + 900 * degrade(clean, true_psf, noise, seed)
    counts = np.clip(np.rint(counts), 0, 4095).astype(np.uint16)
    write_image(folder / name, counts, voxel_size=(0.406, 0.406))

# %%
image = read_image(folder / "cells.tif")  # your own file: change this line
print(image)
print("counts from", image.data.min(), "to", image.data.max())

# %%
gallery(
    {"cells.tif": image},
    limits=(200, 900),
    alt="Soft, grainy nuclei on a dark background.",
)

# %% [markdown]
# `read_image` keeps the pixels as they are, and reads the axes and the voxel size in micrometres from the
# metadata of ImageJ, Fiji or OME. The result can be used wherever an array can.
#
# ## The PSF
#
# It can be measured with beads (notebook 11), or computed from the optics: aperture, wavelength, immersion, the
# distance from the focus, and the pixel size, which is in the file. Lengths are in micrometres. A
# length in nanometres raises an error that names the field:

# %%
try:
    Microscope(**optics, pixel_size=406)
except ValueError as error:
    print(error)

# %%
pixel_size = image.voxel_size[-1]  # voxel_size is None where the file does not give it
psf = gibson_lanni(Microscope(**optics, pixel_size=pixel_size))

# %% [markdown]
# ## What the package sees in your file
#
# `inspect` looks at an image and its kernel as `deconvolve` does, and restores nothing. On the command line,
# `siamdecon inspect cells.tif --psf psf.tif` prints the same.

# %%
seen = inspect(image, psf)
print(seen)

# %% [markdown]
# - **image**: if the axes are wrong, planes are taken for channels. If the voxel size is unknown, a computed PSF
#   needs it from you.
# - **range**: these two counts become 0 and 1 inside. The lowest is taken for "no light".
# - **noise**: its standard deviation, in counts. If it grows with the signal, what one photon adds to a count is
#   given, too.
# - **clipping**: whether the noise is cut off at the lowest or the highest count. What is cut off was not measured.
# - **defects**: hot or dead pixels. They are left out, so that they do not stretch the range.
# - **psf**: the kernel's shape and width. Detail much finer than that width is not in the image.
#
# What stands in the way of a good result follows in lines that begin with `mind`.
#
# ### Find the fault (3 minutes)
#
# Here are three inputs, each with one fault. Compare what `inspect` says with the sound one above.

# %%
faulty = faulty_inputs(image, psf)
for name, (picture, kernel) in faulty.items():
    print(f"{name}\n{inspect(picture, kernel)}\n")

# %%
fault = ask("08/fault")
fault

# %% [markdown]
# A faulty kernel can be mended by an option. Light that was not measured can't be brought back: use a shorter
# exposure. (The PSNR uses the clean image, which only this example has.)


# %%
def psnr(picture, kernel, **options):
    result = deconvolve(picture, kernel, "richardson_lucy", **options)
    return score(clean, (result.image - 300) / 900)["psnr"]


mends = {"A": {"center_psf": True}, "B": {}, "C": {"subtract_psf_background": True}}
before = {name: psnr(*faulty[name]) for name in faulty}
after = {name: psnr(*faulty[name], **mends[name]) for name in faulty}
print(f"sound: {psnr(image, psf):.2f} dB")
for name, mend in mends.items():
    how = f"with {', '.join(mend)} {after[name]:.2f} dB" if mend else "not mended"
    print(f"{name}: {before[name]:.2f} dB, {how}")

# %% tags=["hide-cell"]
assert 0.95 < seen.noise / (900 * 0.05) < 1.15 and not seen.clipping
assert not seen.findings and image.voxel_size == (0.406, 0.406)
found = {name: inspect(*both) for name, both in faulty.items()}
assert "+2.0 pixels off the centre along x" in found["A"].findings[0]
assert found["B"].clipping == "white" and not found["B"].findings
assert found["C"].findings and not found["C"].clipping
assert all(after[name] > before[name] + 0.5 for name in "AC")
assert all(abs(after[name] - psnr(image, psf)) < 0.3 for name in "AC")
assert after["B"] < psnr(image, psf) - 1

# %% [markdown]
# ## Choosing a method without the truth
#
# There are five candidates: Lucy-Richardson with 5 and with 50 iterations, a Wiener filter with a small and with a
# large weight of smoothness (the $\beta$ of notebook 03), and total variation. Three numbers can be computed without a
# clean image:
#
# - **own**: the residual's standard deviation, divided by the noise. Well above 1, structure is
#   missing. Well below 1, noise has been fitted.
# - **held out**: the residual of the same estimate against the *second exposure*. (Notebook 11 makes two
#   exposures of one.)
# - **agreement**: the difference between the restorations of the two exposures, divided by the noise.

# %%
candidates = {
    "Lucy-Richardson, 5": ("richardson_lucy", {"iterations": 5}),
    "Lucy-Richardson, 50": ("richardson_lucy", {"iterations": 50}),
    "Wiener, 0.3": ("wiener", {"balance": 0.3}),
    "Wiener, 20": ("wiener", {"balance": 20.0}),
    "total variation": ("total_variation", {}),
}
first, second = (
    np.asarray(read_image(folder / name), dtype=np.float32)
    for name in ("cells.tif", "cells_again.tif")
)
level = noise_level(first)
inner = np.s_[16:-16, 16:-16]  # near the border, unmeasured light has an effect


# %%
def spread(estimate, measured):
    return residual(estimate, measured, psf)[inner].std() / level


restored, table = {}, {}
for name, (method, options) in candidates.items():
    one, two = (deconvolve(x, psf, method, **options).image for x in (first, second))
    restored[name] = one
    agreement = (one - two)[inner].std() / level
    table[name] = spread(one, first), spread(one, second), agreement

head = "| | own | held out | agreement |\n|---|---|---|---|"
rows = [
    f"| {n} | " + " | ".join(f"{v:.3f}" for v in r) + " |" for n, r in table.items()
]
Markdown("\n".join([head, *rows]))

# %%
choice = ask("08/choice")
choice

# %% [markdown]
# ### Exercise 1: choose by the table (4 minutes)
#
# Write the choice as a rule. The arguments are arrays with one number per estimate. Discard the estimates from which
# structure is missing (own residual above 1.05) and those with invented detail (agreement above 1). Return the index,
# among all estimates, of the one left that predicts the second exposure best.


# %% tags=["task"]
def pick(own, held_out, agreement):
    sound = ...
    return ...


# %% tags=["solution"]
def pick(own, held_out, agreement):
    sound = (own <= 1.05) & (agreement <= 1)
    return np.argmin(np.where(sound, held_out, np.inf))


# %%
checks.pick(pick)

# %% [markdown] tags=["solution"]
# The held-out residual alone does not suffice: grain that the PSF does not pass hardly changes it. The agreement alone
# does not either: a smooth estimate agrees best. The two limits are a convention; say which you used.

# %%
picked = list(table)[pick(*np.array(list(table.values())).T)]
print("picked:", picked)

# %% [markdown]
# For this example the clean image is known, so the choice can be judged:

# %%
unit = {n: (e - 300) / 900 for n, e in restored.items()}
scores = {n: score(clean, e)["psnr"] for n, e in unit.items()}
choice.reveal(
    gallery(
        {"clean": clean} | {f"{n}\n{scores[n]:.1f} dB": e for n, e in unit.items()},
        zoom=(64, 64, 96),
        alt=choice.alt,
    )
)

# %% [markdown]
# The residuals of three of them, smoothed, since what noise hides is what matters:

# %%
gallery(
    {
        n: gaussian_filter(residual(restored[n], first, psf), 2)
        for n in ("Wiener, 20", "Lucy-Richardson, 50", "total variation")
    },
    limits=(-30, 30),
    alt="Smoothed residuals: nuclei in that of Wiener at 20, nothing at 50 iterations, faint spots for total variation.",
)

# %% tags=["hide-cell"]
column = {
    name: dict(zip(table, values, strict=True))
    for name, values in zip(
        ("own", "held out", "agreement"), np.array(list(table.values())).T, strict=True
    )
}
assert picked == max(scores, key=scores.get) == "total variation"
assert picked == min(column["held out"], key=column["held out"].get)
fitted = column["own"]["Lucy-Richardson, 50"]
assert fitted == min(column["own"].values()) < 0.95
assert column["own"]["Wiener, 20"] == max(column["own"].values()) > 1.05
assert column["held out"]["Lucy-Richardson, 50"] < column["held out"]["Wiener, 20"]
assert scores["Lucy-Richardson, 50"] < scores["Wiener, 20"] - 2
assert column["agreement"]["Lucy-Richardson, 50"] > 3 * column["agreement"][picked]

# %% [markdown]
# The held-out residual finds the best estimate, by a small margin. It does not rank the rest: 50 iterations look
# better there than the blurred Wiener estimate, and are far worse. Their grain is fine detail that the PSF does
# not pass, so it hardly changes the residual. The agreement shows it: their two restorations differ by several
# times the noise. But agreement does not measure truth either: the blurred estimate agrees best.
#
# | you see | it means | do |
# |---|---|---|
# | own residual well above 1, or outlines in it | structure is missing | less smoothing, more iterations; check the PSF |
# | own residual below 1, held out above it | noise was fitted | fewer iterations, more smoothing |
# | restorations of two exposures, or two seeds, differ by more than the noise | detail is invented | the same, or ignore that detail |
# | all of these are good | the estimate is consistent | report it as consistent, not as true |
#
# No number in this table detects detail that the method always adds. Notebook 11 shows what a wrong PSF does to it.
#
# ### The same in one call
#
# `compare` needs no second exposure. It hides one pixel in sixteen, on a grid: each gets the median of its neighbours.
# Every method restores that image, and its blurred result is compared with the measured values at the hidden
# pixels. `siamdecon compare cells.tif --psf psf.tif -o compared.png` does the same, and
# `deconvolve(..., method="auto")` takes the choice.

# %%
ranked = compare(
    first, psf, ("wiener", "richardson_lucy", "total_variation"), progress=False
)
print(ranked)

# %% tags=["hide-cell"]
assert ranked.best == "total_variation" and len(ranked.held_out) == 3
assert ranked.held_out[1].behind(ranked.held_out[0])[0] > 0

# %% [markdown]
# Most of the error is noise, which is the same for all, so the differences are small. Each is given with its
# standard error: a difference below twice that says nothing. Of the methods within three standard errors of the first,
# `ranked.best` is the one that restores the benchmark's images best. Pixels near the border are left out: there, an
# estimate can explain the light of what lies beyond the image by what does not belong to it. Look at the pictures,
# too.
#
# ## Tiles
#
# A large image is restored in tiles, and each tile has a border where the image continues. In the paper, tiles
# overlap and are averaged with weights that fall towards the tile's border.

# %% [markdown] tags=["equation:pyramid"]
# Along one axis of a tile, the weight of pixel $p$ is its distance to the nearer border, where a pixel at the border has
# 1, divided by the largest such distance. In two dimensions the smaller of the two weights counts, a pyramid:
#
# $$\omega(p) = \frac{\min(p,\; \text{size} - 1 - p) + 1}{\lceil \text{size} / 2 \rceil}, \qquad
# \omega(p_y, p_x) = \min(\omega(p_y),\, \omega(p_x)), \qquad p = 0 \ldots \text{size} - 1.$$
#
# Where tiles $t$ with estimates $\hat y_t$ overlap, the result is $\sum_t \omega_t\, \hat y_t / \sum_t \omega_t$.

# %% [markdown]
# ### Exercise 2: the pyramid (5 minutes)
#
# Write the weights of a square tile, shape `(size, size)`.


# %% tags=["task"]
def pyramid_weights(size):
    p = np.arange(size)
    ramp = ...
    return ...


# %% tags=["solution"]
def pyramid_weights(size):
    p = np.arange(size)
    ramp = (np.minimum(p, size - 1 - p) + 1) / ((size + 1) // 2)
    return np.minimum(ramp[:, None], ramp[None, :])


# %%
checks.pyramid_weights(pyramid_weights)

# %% [markdown] tags=["solution"]
# The weights start above 0: a pixel at the image's own border lies in one tile only, and is
# divided by that tile's weight. Where tiles overlap, one blends into the next without a step.

# %% [markdown]
# Your weights in use: the Wiener filter works on tiles of 64 pixels that share 32, and the tiles are put together with
# your weights. Beside it, tiles without an overlap. Both are compared with the filter of the whole image.

# %%
whole = restored["Wiener, 0.3"]


def wiener(part):
    return deconvolve(part, psf, "wiener", balance=0.3).image


def in_tiles(step, weights):
    total, weight = np.zeros(first.shape), np.zeros(first.shape)
    for y, x in np.ndindex((256 - 64) // step + 1, (256 - 64) // step + 1):
        at = np.s_[y * step : y * step + 64, x * step : x * step + 64]
        total[at] += weights * wiener(first[at])
        weight[at] += weights
    return total / weight


tiled = {
    "no overlap": in_tiles(64, np.ones((64, 64))),
    "overlap 32, your weights": in_tiles(32, pyramid_weights(64)),
}
error = {name: np.abs(of - whole).mean(axis=0) for name, of in tiled.items()}

# %%
lines(
    np.arange(256),
    error,
    xlabel="column (pixels)",
    ylabel="mean difference (counts)",
    alt="Without overlap the difference peaks at columns 64, 128 and 192; with it, it stays low.",
)

# %% tags=["hide-cell"]
seams = [error["no overlap"][c - 1 : c + 1].mean() for c in (64, 128, 192)]
assert min(seams) > 3 * np.median(error["no overlap"])
assert max(error["overlap 32, your weights"]) < 0.5 * min(seams)
same = blend(
    lambda x: torch.from_numpy(wiener(x[0, 0].numpy()))[None, None],
    torch.from_numpy(first)[None, None],
    64,
    32,
)
assert np.abs(tiled["overlap 32, your weights"] - same[0, 0].numpy()).max() < 0.1

# %% [markdown]
# The package does the same: `deconvolve(..., tile=256)` sets the side of a network's tiles; by default it is
# chosen to fit the memory. The training is not tiled: it uses patches anyway.
#
# ## Saving
#
# `save` writes the image with the axes and the voxel size of the source, and beside it a JSON record. With
# `dtype="source"` it rounds the estimate to the camera's `uint16` and clips it. A cast alone does neither:

# %%
values = np.array([-1.0, 299.6, 4000.5, 70000.0])
print("cast:               ", values.astype(np.int64).astype(np.uint16))
print("rounded and clipped:", np.clip(np.rint(values), 0, 65535).astype(np.uint16))

# %%
chosen = deconvolve(image, psf, "total_variation")
chosen.save(folder / "restored.tif", dtype="source", overwrite=True)
back = read_image(folder / "restored.tif")
record = json.loads((folder / "restored.json").read_text())
print(back)
print({key: record[key] for key in ("method", "seed", "range")})

# %% tags=["hide-cell"]
assert back.voxel_size == image.voxel_size and back.axes == image.axes
assert back.dtype == np.uint16 and np.abs(back.data - chosen.image).max() <= 0.5
assert record["image"]["shape"] == [256, 256]

# %% [markdown]
# Without `dtype`, a TIFF stores the estimate as float32. An existing file is not replaced unless
# `overwrite=True`; this is checked before the restoration starts.
#
# The same from the command line, which reads the pixel size from the file:

# %%
arguments = (
    "cells.tif --na 0.8 --wavelength 0.6 --index 1.33 --defocus 3.045 --psf-size 17 "
    "--method wiener --dtype source -o from_shell.tif --overwrite"
)
command = [sys.executable, "-m", "siamdecon", *arguments.split()]
done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
print(done.stdout or done.stderr)

# %% tags=["hide-cell"]
in_python = deconvolve(image, psf, "wiener").image
from_shell = read_image(folder / "from_shell.tif")
assert done.returncode == 0 and from_shell.voxel_size == image.voxel_size
# rounded, and another process's threads
assert np.abs(from_shell.data - in_python).max() < 1.01

# %% [markdown]
# ## Long training runs
#
# With `checkpoint=`, the training is saved every 100 steps, and the same call resumes from there. The notebook's
# stop button ends it early, and returns the result so far. Here a callback imitates the button at step 110 of 120.
# (8 features instead of 16, to be quick: this shows the mechanism, not the quality.)


# %%
def stop_button(run):
    if run.step == 110:
        raise KeyboardInterrupt


small = {"features": 8, "steps": 120, "progress": False}
small["checkpoint"] = folder / "training.pt"
small["checkpoint"].unlink(missing_ok=True)  # where this cell has run before
partial = deconvolve(image, psf, "noise2same_d", callback=stop_button, **small)
resumed = deconvolve(image, psf, "noise2same_d", **small)
for result in (partial, resumed):
    print({k: result.settings[k] for k in ("interrupted", "steps_done")})
print("steps taken by this notebook:", steps_taken())

# %% tags=["hide-cell"]
assert steps_taken() == 130 or tier_name() != "lab"
assert partial.settings["interrupted"] and partial.settings["steps_done"] == 110
assert not resumed.settings["interrupted"] and resumed.settings["steps_done"] == 120
assert len(resumed.history) == 120

# %% [markdown]
# 110 steps and then 20: the second call resumed from step 100, the last one saved, not from 110.
#
# ## Summary
#
# - `read_image` keeps counts, axes and voxel size; the PSF takes its pixel size from there.
# - `inspect` the image and the kernel before the restoration: a kernel can be mended, saturated light is lost.
# - Without the truth: own residual, held-out residual, agreement. Each misses some failures.
# - Tiles overlap and are blended with pyramid weights; without overlap they leave seams.
# - `save` keeps the voxel size and writes every setting; the command line does the same.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=130)
