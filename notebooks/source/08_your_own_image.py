# %% [markdown]
# # Your own image: from a file to a restored file
#
# Your image has camera counts instead of numbers from 0 to 1, a voxel size, perhaps saturated pixels,
# and no clean version. This notebook takes a TIFF from reading to saving: what to check first, how to
# choose a method without the truth, how large images are tiled, and which metadata is kept.
#
# | | |
# |---|---|
# | After it you can | read and check a TIFF; get a PSF from its voxel size; choose a method without ground truth; tile without seams; save with metadata, from Python and from the command line |
# | Before it | Python and NumPy; what a point-spread function (PSF) is |
# | Reading | 20 minutes |
# | Running | 40 seconds and 250 training steps, on two CPU cores |

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown
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
    total_variation,
    write_image,
)
from siamdecon.lab import ask, checks, gallery, lines, predictions
from siamdecon.methods import tier_name
from siamdecon.microscope import gibson_lanni, noise_level, residual
from siamdecon.network import blend, predict, steps_taken

# %% [markdown]
# ## The file
#
# An example in place of your own: nuclei, blurred and noisy, in counts of a 12-bit camera with an offset of 300.
# Two exposures of the same field are written to a temporary folder.

# %%
folder = Path(tempfile.mkdtemp())
clean = load_sample("nuclei")[:256, :256]
optics = Microscope(
    na=0.8, wavelength=0.6, index=1.33, pixel_size=0.406, defocus=3.045
)
noise = Noise(poisson=0.004, gaussian=0.05, clip=False)
for name, seed in {"cells.tif": 0, "cells_again.tif": 1}.items():
    counts = 300 + 900 * degrade(clean, gibson_lanni(optics), noise, seed)
    counts = np.clip(np.rint(counts), 0, 4095).astype(np.uint16)
    write_image(folder / name, counts, voxel_size=(0.406, 0.406))

# %%
image = read_image(folder / "cells.tif")  # your own file: change this line
print(image)
print("counts from", image.data.min(), "to", image.data.max())

# %% [markdown]
# `read_image` keeps the pixels as they are, and reads the axes and the voxel size in micrometres from the
# metadata of ImageJ, Fiji or OME. The result can be used wherever an array can.
#
# ### Exercise 1: back to counts
#
# Internally, `deconvolve` maps the lowest count to 0 and the highest to 1, and maps the estimate back. To be
# saved as the camera's `uint16`, it must also be rounded and clipped to 0 to 65535: restored peaks may rise
# above the highest count, and the dtype has a limit. Write this conversion.


# %% tags=["task"]
def to_counts(estimate, low, high):
    exact = ...
    return ...


# %% tags=["solution"]
def to_counts(estimate, low, high):
    exact = low + estimate * (high - low)
    return np.clip(np.rint(exact), 0, 65535).astype(np.uint16)


# %%
checks.to_counts(to_counts)

# %% [markdown] tags=["solution"]
# A cast alone cuts off the fraction, half a count on average, and wraps around at the ends: -1 becomes 65535, a
# white pixel in a dark area. `result.save(path, dtype="source")` does the same as your function.

# %% [markdown]
# ## The PSF
#
# It can be computed from the optics: aperture, wavelength, immersion, the distance from the focus, and the
# pixel size, which is in the file. Lengths are in micrometres. A length in nanometres raises an error that
# names the field:

# %%
try:
    Microscope(na=0.8, wavelength=0.6, pixel_size=406)
except ValueError as error:
    print(error)

# %%
pixel_size = image.voxel_size[-1]  # voxel_size is None where the file does not give it
psf = gibson_lanni(
    Microscope(
        na=0.8, wavelength=0.6, index=1.33, pixel_size=pixel_size, defocus=3.045
    )
)

# %% [markdown]
# Or it can be read from a file, measured with beads: `read_image("psf.tif")`. Subtract the background from a
# measured kernel; use an odd size with the peak in the middle, so that the image is not shifted.

# %%
write_image(folder / "psf.tif", psf, overwrite=True)
from_file = np.asarray(read_image(folder / "psf.tif"), dtype=np.float64)
middle = tuple(n // 2 for n in from_file.shape)
centre = [float((from_file.sum(axis=1 - a) * np.arange(17)).sum()) for a in (0, 1)]
print(f"sum {from_file.sum():.6f}, smallest {from_file.min():.1e}")
print(f"middle {middle}, centre of gravity ({centre[0]:.3f}, {centre[1]:.3f})")

# %% tags=["hide-cell"]
assert np.abs(from_file - psf).max() < 1e-8
assert np.allclose(centre, middle, atol=1e-3)
assert image.voxel_size == (0.406, 0.406) and image.dtype == np.uint16

# %% [markdown]
# ## What the package sees in your file
#
# `inspect` looks at an image and its kernel as `deconvolve` does, and restores nothing. On the command line,
# `siamdecon inspect cells.tif --psf psf.tif` prints the same.

# %%
seen = inspect(image, psf)
print(seen)

# %% [markdown]
# - **image**: the shape, the axes and the voxel size. If the axes are wrong, planes are taken for channels. If the
#   voxel size is unknown, so is the pixel size that a computed PSF needs.
# - **range**: these two counts become 0 and 1. The lowest is taken for "no light"; here it lies below the
#   camera's offset of 300, because noise reaches below the offset.
# - **noise**: its standard deviation, in counts. Noise of photons grows with the signal, and its variance then tells
#   what one photon counts. Here the camera's own noise outweighs it, so no number is given.
# - **clipping**: whether the noise is cut off at the lowest or the highest count. What is cut off was not measured.
# - **defects**: hot or dead pixels. They are left out, so that they do not stretch the range.
# - **psf**: the kernel's shape and width. Detail much finer than that width is not in the image.
#
# What stands in the way of a good result follows in lines that begin with `mind`. Two faulty inputs show it:
# a kernel that is two pixels off the centre, and a copy of the image that is overexposed, clipped at 700 counts.

# %%
off_centre = inspect(image, np.roll(psf, 2, axis=1))
print(*off_centre.findings, sep="\n")

# %%
overexposed = np.minimum(image.data, 700)
print("clipped:", seen.clipping, "and", inspect(overexposed).clipping)
saturated = [np.mean(counts == counts.max()) for counts in (image.data, overexposed)]
print(f"pixels at the highest count: {saturated[0]:.2%} and {saturated[1]:.2%}")

# %% tags=["hide-cell"]
true_noise = 900 * 0.05
assert saturated[0] < 0.001 < 0.005 < saturated[1]
assert 0.95 < seen.noise / true_noise < 1.15
assert not seen.clipping and inspect(overexposed).clipping == "white"
assert (
    not seen.findings
    and "+2.0 pixels off the centre along x" in off_centre.findings[0]
)

# %% [markdown]
# Many pixels at the highest count mean light that was not measured. No method can recover it: use a shorter
# exposure.
#
# The functions that `deconvolve` calls expect values in $[0, 1]$, and raise an error otherwise:

# %%
try:
    total_variation(image.data, psf)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Choosing a method without the truth
#
# There are five candidates. Four numbers can be computed without a clean image:
#
# - **own**: the residual's standard deviation, divided by the noise. Above 1, structure is missing.
#   Below 1, noise has been fitted.
# - **held out**: the residual of the same estimate against the *second exposure*.
# - **halves**: for one exposure only. For Gaussian noise of standard deviation $s$ and $z$ drawn with the
#   same $s$, the noise of $y + z$ and of $y - z$ is independent, each with twice the variance. Restore one,
#   test on the other.
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
    np.asarray(read_image(folder / n), dtype=np.float32)
    for n in ("cells.tif", "cells_again.tif")
)
level = noise_level(first)
z = np.random.default_rng(0).normal(scale=level, size=first.shape).astype(np.float32)
inner = np.s_[16:-16, 16:-16]  # near the border, unmeasured light has an effect


# %%
def spread(estimate, measured):
    return residual(estimate, measured, psf)[inner].std() / level


restored, table = {}, {}
for name, (method, options) in candidates.items():
    one, two, half = (
        deconvolve(y, psf, method, **options).image for y in (first, second, first + z)
    )
    restored[name] = one
    agreement = (one - two)[inner].std() / level
    halves = spread(half, first - z) / np.sqrt(2)  # y - z has twice the variance
    row = spread(one, first), spread(one, second), halves, agreement
    table[name] = dict(
        zip(("own", "held out", "halves", "agreement"), row, strict=True)
    )

# %%
head = "| | own | held out | halves | agreement |\n|---|---|---|---|---|"
rows = [
    f"| {n} | " + " | ".join(f"{v:.3f}" for v in r.values()) + " |"
    for n, r in table.items()
]
Markdown("\n".join([head, *rows]))

# %%
choice = ask("08/choice")
choice

# %% [markdown]
# For this example the clean image is known, so the choice can be judged. The estimates come first, then their
# residuals.

# %%
unit = {n: (e - 300) / 900 for n, e in restored.items()}
psnr = {n: score(clean, e)["psnr"] for n, e in unit.items()}
choice.reveal(
    gallery(
        {"clean": clean} | {f"{n}\n{psnr[n]:.1f} dB": e for n, e in unit.items()},
        zoom=(64, 64, 96),
        alt=choice.alt,
    )
)

# %%
gallery(
    {n: residual(e, first, psf) for n, e in restored.items()},
    limits=(-150, 150),
    zoom=(64, 64, 96),
    alt="Residuals: outlines of nuclei in that of Wiener at 20, noise in the others.",
)

# %% tags=["hide-cell"]
column = {
    k: {n: r[k] for n, r in table.items()}
    for k in ("own", "held out", "halves", "agreement")
}
best = max(psnr, key=psnr.get)
assert best == "total variation" == min(column["held out"], key=column["held out"].get)
assert best == min(column["halves"], key=column["halves"].get)
assert column["own"]["Lucy-Richardson, 50"] == min(column["own"].values()) < 0.95
assert column["own"]["Wiener, 20"] == max(column["own"].values()) > 1.05
assert column["held out"]["Lucy-Richardson, 50"] < column["held out"]["Wiener, 20"]
assert psnr["Lucy-Richardson, 50"] < psnr["Wiener, 20"] - 2
assert (
    column["agreement"]["Lucy-Richardson, 50"]
    > 3 * column["agreement"]["total variation"]
)

# %% [markdown]
# The held-out columns find the best estimate, by a small margin. They do not rank the rest: 50 iterations look
# better there than the blurred Wiener estimate, and are far worse. Their grain is fine detail that the PSF does
# not pass, so it hardly changes the residual. The agreement shows it: their two restorations differ by several
# times the noise. But agreement does not measure truth either: the blurred estimate agrees best.
#
# | you see | it means | do |
# |---|---|---|
# | own residual above 1, or outlines in it | structure is missing | less smoothing, more iterations; check the PSF |
# | own residual below 1, held out above it | noise was fitted | fewer iterations, more smoothing |
# | restorations of two exposures, or two seeds, differ by more than the noise | detail is invented | the same, or ignore that detail |
# | all of these are good | the estimate is consistent | report it as consistent, not as true |
#
# No number in this table detects a PSF that is slightly wrong, or detail that the method always adds.
#
# ### The same in one call
#
# `compare` needs no second exposure. It hides one pixel in sixteen, on a grid: each gets the median of its neighbours.
# Every method restores that image, and its blurred result is compared with the measured values at the hidden
# pixels. A method that fits noise predicts them badly, and so does one that smooths structure away. `siamdecon compare
# cells.tif --psf psf.tif -o compared.png` does the same, and `deconvolve(..., method="auto")` takes the choice.

# %%
found = compare(
    first, psf, ("wiener", "richardson_lucy", "total_variation"), progress=False
)
print(found)

# %%
gallery(
    found.residuals,
    limits=(-150, 150),
    zoom=(64, 64, 96),
    alt="Residuals of the three methods: noise, and few outlines.",
)

# %% tags=["hide-cell"]
assert found.best == "total_variation"
assert len(found.held_out) == 3 and found.held_out[1].behind(found.held_out[0])[0] > 0

# %% [markdown]
# Most of the error is noise, which is the same for all, so the differences are small. Each is given with its
# standard error: a difference below twice that says nothing. The pixels are compared after the blur, so grain that
# the PSF does not pass is not seen: look at the pictures too, and prefer the simpler of two equals.
#
# ## Tiles
#
# A large image is restored in tiles, and each tile has a border where the image continues. In the paper, tiles
# overlap and are averaged with weights that fall towards the tile's border.

# %% [markdown] tags=["equation:pyramid"]
# For a tile of side $n$ and the pixel $i = 0 \ldots n - 1$ of an axis, the ramp and the pyramid are
#
# $$r(i) = \frac{\min(i,\, n - 1 - i) + 1}{\lceil n / 2 \rceil}, \qquad w(i, j) = \min(r(i),\, r(j)),$$
#
# and the blend of the tiles $t$ with estimates $\hat x_t$ is $\sum_t w_t \hat x_t / \sum_t w_t$.

# %% [markdown]
# ### Exercise 2: the pyramid
#
# Write the weights of a square tile, shape `(size, size)`.


# %% tags=["task"]
def pyramid_weights(size):
    i = np.arange(size)
    ramp = ...
    return ...


# %% tags=["solution"]
def pyramid_weights(size):
    i = np.arange(size)
    ramp = (np.minimum(i, size - 1 - i) + 1) / ((size + 1) // 2)
    return np.minimum(ramp[:, None], ramp[None, :])


# %%
checks.pyramid_weights(pyramid_weights)

# %% [markdown] tags=["solution"]
# The weights start at 1 / ceil(n / 2), not at 0: a pixel at the image's own border lies in one tile only, and is
# divided by that tile's weight. Where tiles overlap, one blends into the next without a step.

# %% [markdown]
# `blend` does this for any function of a tensor. Here the Wiener filter works on tiles of 64 pixels, with
# and without overlap, and is compared with the Wiener filter of the whole image.


# %%
def wiener_tile(x):
    estimate = deconvolve(x[0, 0].numpy(), psf, "wiener", balance=0.3).image
    return torch.from_numpy(estimate)[None, None]


y = torch.from_numpy(first)[None, None]
tiled = {
    overlap: blend(wiener_tile, y, 64, overlap)[0, 0].numpy() for overlap in (0, 32)
}
whole = restored["Wiener, 0.3"]

# %%
gallery(
    {
        "no overlap": tiled[0] - whole,
        "overlap 32": tiled[32] - whole,
    },
    limits=(-50, 50),
    alt="Difference from the whole image: a grid of seams without overlap, faint spots with it.",
)

# %%
column_error = {
    f"overlap {n}": np.abs(t - whole).mean(axis=0) for n, t in tiled.items()
}
lines(
    np.arange(256),
    column_error,
    xlabel="column (pixels)",
    ylabel="mean difference (counts)",
    alt="Without overlap the difference peaks at columns 64, 128 and 192; with it, it stays low.",
)

# %% tags=["hide-cell"]
seams = [column_error["overlap 0"][c - 1 : c + 1].mean() for c in (64, 128, 192)]
assert min(seams) > 3 * np.median(column_error["overlap 0"])
assert max(column_error["overlap 32"]) < 0.5 * min(seams)
assert (tiled[32] - whole).std() < 0.5 * (tiled[0] - whole).std()

# %% [markdown]
# For the networks, `deconvolve(..., tile=256)` sets the side of the tiles, with an overlap of 32; by default it is
# chosen to fit the memory. The training is not tiled: it uses patches anyway. A classical method restores the
# whole image at once.
#
# ## Saving
#
# `save` writes the image with the axes and the voxel size of the source, and beside it a JSON record.

# %%
chosen = deconvolve(image, psf, "total_variation")
chosen.save(folder / "restored.tif", dtype="source", overwrite=True)
back = read_image(folder / "restored.tif")
print(back)
print(f"largest rounding: {np.abs(back.data - chosen.image).max():.2f} counts")

# %%
record = json.loads((folder / "restored.json").read_text())
print(
    json.dumps(
        {k: record[k] for k in ("method", "seed", "range", "options")}, indent=1
    )[:400]
)
print("image", record["image"]["sha256_of_pixels"][:12], record["versions"])

# %% tags=["hide-cell"]
assert back.voxel_size == image.voxel_size and back.axes == image.axes
assert back.dtype == np.uint16 and np.abs(back.data - chosen.image).max() <= 0.5
assert record["image"]["shape"] == [256, 256]

# %% [markdown]
# Without `dtype`, a TIFF stores the estimate as float32. An existing file is not replaced unless
# `overwrite=True`; this is checked before the restoration starts.
#
# ### The same from the command line
#
# The pixel size is read from the file. `python -m siamdecon` and `siamdecon` are the same command.

# %%
arguments = "cells.tif --na 0.8 --wavelength 0.6 --index 1.33 --defocus 3.045 --psf-size 17 --method wiener"
command = [
    "-m",
    "siamdecon",
    *arguments.split(),
    "--dtype",
    "source",
    "-o",
    "from_shell.tif",
    "--overwrite",
]
done = subprocess.run(
    [sys.executable, *command], cwd=folder, capture_output=True, text=True
)
print(done.stdout or done.stderr)

# %% tags=["hide-cell"]
in_python = deconvolve(image, psf, "wiener").image
from_shell = read_image(folder / "from_shell.tif")
assert done.returncode == 0 and from_shell.voxel_size == image.voxel_size
assert (
    np.abs(from_shell.data - in_python).max() < 1.01
)  # rounded, and another process's threads

# %% [markdown]
# ## Long training runs: checkpoint and interrupt
#
# With `checkpoint=`, the training is saved every 100 steps, and the same call resumes from there. The notebook's
# stop button ends it early, and returns the result so far. Here a callback imitates the button at step 110 of 120.
# (8 features instead of 16, to be quick: this shows the mechanism, not the quality.)


# %%
def stop_button(run):
    if run.step == 110:
        raise KeyboardInterrupt


small = {
    "features": 8,
    "steps": 120,
    "progress": False,
    "checkpoint": folder / "training.pt",
}
small["checkpoint"].unlink(missing_ok=True)  # where this cell has run before
partial = deconvolve(image, psf, "noise2same_d", callback=stop_button, **small)
resumed = deconvolve(image, psf, "noise2same_d", **small)
for result in (partial, resumed):
    print({k: result.settings[k] for k in ("interrupted", "steps_done")})
print("steps taken by this notebook:", steps_taken())

# %% [markdown]
# 110 steps and then 20: the second call resumed from step 100, the last one saved, not from 110.
#
# ### Another seed
#
# One more training run, with another seed, shows which detail depends on chance. Detail that differs
# between seeds is not in the measurement.

# %%
small["checkpoint"] = folder / "training_1.pt"
small["checkpoint"].unlink(missing_ok=True)
other_seed = deconvolve(image, psf, "noise2same_d", seed=1, **small)
difference = (resumed.image - other_seed.image)[inner]
print(f"seeds differ by {difference.std():.1f} counts, the noise is {level:.1f}")
print(
    "PSNR",
    [
        f"{score(clean, (r.image - 300) / 900)['psnr']:.2f}"
        for r in (resumed, other_seed)
    ],
)

# %%
low, high = resumed.settings["range"]
scaled = (first - low) / (high - low)
in_tiles = predict(resumed.run, scaled, psf, tile=64) * (high - low) + low
gallery(
    {
        "seed 0": resumed.image - 750,
        "residual": resumed.residual,
        "seed 1 - seed 0": other_seed.image - resumed.image,
        "in tiles - whole": in_tiles - resumed.image,
    },
    limits=(-450, 450),
    alt="An estimate, its residual, the difference between seeds, and, nearly blank, that of tiles.",
)

# %% [markdown]
# The seeds differ by a fraction of the noise, but mostly at the outlines of nuclei, and both score below total
# variation. The residual shows outlines, too: 120 steps with 8 features are too few. Agreement
# between two results shows that they are stable, not that they are good.

# %% tags=["hide-cell"]
assert steps_taken() == 250 or tier_name() != "lab"
assert (
    max(score(clean, (r.image - 300) / 900)["psnr"] for r in (resumed, other_seed))
    < psnr[best]
)
assert partial.settings["interrupted"] and partial.settings["steps_done"] == 110
assert not resumed.settings["interrupted"] and resumed.settings["steps_done"] == 120
assert len(resumed.history) == 120
assert 0 < difference.std() < level
assert (in_tiles - resumed.image)[inner].std() < difference.std()

# %% [markdown]
# ## Summary
#
# - `read_image` keeps counts, axes and voxel size; the PSF takes its pixel size from there.
# - `inspect` the image and the kernel before the restoration: saturated light is lost.
# - Without the truth: own residual, held-out residual, agreement. Each misses some failures.
# - Tiles overlap and are blended with pyramid weights; without overlap they leave seams.
# - `save` keeps the voxel size and writes every setting; the command line does the same.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=250)
