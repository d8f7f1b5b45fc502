# %% [markdown]
# # Quickstart: restore an image in ten lines
#
# A microscope blurs what it sees and adds noise. This notebook degrades a real image on purpose, restores it
# with a classical method and with a neural network, which learns from that one noisy image alone, and asks how
# far the result can be trusted. The network is that of a paper, which this course follows and calls *the paper*:
# Papkov, Palo and Parts, [*Self-Supervised Single-Image Deconvolution with Siamese Neural
# Networks*](https://arxiv.org/abs/2308.09426) (2023).
#
# | | |
# |---|---|
# | After it you can | restore an image with `siamdecon.deconvolve`, compare methods by score and residual, say which detail can't be restored |
# | Before it | some Python and NumPy |
# | Reading | 15 minutes |
# | Running | 45 seconds and 400 training steps, on two CPU cores |

# %%
import numpy as np
import torch
from IPython.display import Markdown
from scipy.ndimage import gaussian_filter
from siamdecon import (
    PSFConvolution,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    score,
)
from siamdecon.lab import ask, checks, gallery, loss_curves, predictions, score_table

# %% [markdown]
# ## A real image, degraded
#
# `load_sample` gives a stained tissue section that scikit-image ships, with values from 0 (black) to 1 (white).
# The image of a single point of light is called the point-spread function (PSF). `paper_psf(2)` is that of an
# objective that magnifies 16 times and has a numerical aperture (NA, how wide a cone of light it collects) of 0.8,
# 3 µm out of focus. `degrade` puts a copy of the PSF in the place of each pixel, scaled by the pixel's value, which
# is a convolution. Then it adds the noise of the paper's experiments: Gaussian noise with a standard deviation of 0.1,
# a little noise that grows with the signal, and 1 % of pixels with random values.

# %%
clean = load_sample("histology")
psf = paper_psf(2)
noisy = degrade(clean, psf, seed=0)

# %%
gallery(
    {"clean": clean, "noisy: the only input": noisy},
    zoom=(180, 180, 128),
    alt="A tissue section, and the same blurred and noisy, without its fine lines.",
)

# %% [markdown]
# ## Two restorations
#
# Lucy-Richardson is the classical method: it sharpens step by step and amplifies the noise as it goes. Which
# number of steps is best depends on the image, and can't be known without the clean image. Here we have it.
# "Best" is the highest peak signal-to-noise ratio (PSNR, in decibels), which is the smallest mean square error.
#
# ### Exercise 1: the best of several (3 minutes)
#
# Write a function that takes the clean image and a list of estimates and returns the index of the best one.


# %% tags=["task"]
def best_estimate(clean, candidates):
    errors = ...
    return ...


# %% tags=["solution"]
def best_estimate(clean, candidates):
    errors = [np.mean((estimate - clean) ** 2) for estimate in candidates]
    return np.argmin(errors)


# %%
checks.best_estimate(best_estimate)

# %% [markdown] tags=["solution"]
# The clean image is known only in a simulation. Notebooks 07 and 08 show how to choose without it.

# %%
counts = (2, 5, 10, 20)
candidates = [deconvolve(noisy, psf, "richardson_lucy", iterations=n) for n in counts]
best = best_estimate(clean, [candidate.image for candidate in candidates])
richardson = candidates[best]
print(f"Lucy-Richardson is best after {counts[best]} of {counts} iterations")

# %% [markdown]
# `noise2same_d` is the paper's method (Eq. 4). A network $f$ estimates the sharp image, the known PSF $g$
# blurs the estimate, and the result must match the measurement. A second pass, with some pixels
# replaced by noise, must give the same estimate: this keeps the network from copying the noise.
#
# The package adds one thing to the paper's method. The camera clips values at black and white, so a black
# pixel measures 0.044 on average (notebook 01 shows why). The blurred estimate passes through the same clipping before the
# comparison. `noise=None` leaves this out.

# %%
network = deconvolve(noisy, psf, "noise2same_d", seed=1)

# %%
gallery(
    {
        "noisy": noisy,
        "Lucy-Richardson": richardson.image,
        "Noise2Same (d)": network.image,
        "clean": clean,
    },
    zoom=(180, 180, 128),
    alt="The noisy tissue, restored by Lucy-Richardson and Noise2Same (d), and clean.",
)

# %% [markdown]
# The curves show what the training made smaller: how far the blurred estimate is from the measurement
# ($L_{rec}$, which falls to the level of the noise and must not fall further), how far the two passes differ
# ($L_{inv (d)}$), and how far values lie outside [0, 1] ($L_{bound (d)}$, which is 1 if none does).

# %%
loss_curves(network.history)

# %% [markdown]
# ## Classical baselines
#
# Three more methods take seconds and need no training: a median filter before Lucy-Richardson (each pixel becomes
# the median of its 3 x 3 neighbours), a Wiener filter (each spatial frequency is amplified by what the PSF took
# from it, unless noise is stronger there), and total variation (the flattest image that explains the data). Total
# variation models the clipping, as the network does. Notebook 03 explains all of them.

# %%
winner = ask("00/winner")
winner

# %%
median = deconvolve(noisy, psf, "richardson_lucy", iterations=5, prefilter="median")
wiener = deconvolve(noisy, psf, "wiener")
variation = deconvolve(noisy, psf, "total_variation", noise="auto")

# %%
estimates = {
    "Lucy-Richardson, best iteration": richardson,
    "median filter + Lucy-Richardson": median,
    "Wiener": wiener,
    "total variation, clipping modelled": variation,
    "Noise2Same (d), clipping modelled": network,
}
scores = {"noisy": score(clean, noisy)}
scores |= {name: score(clean, result.image) for name, result in estimates.items()}

# %% [markdown]
# The absolute error of three of them, smoothed by a Gaussian of 1.5 pixels: bright is wrong.

# %%
shown = {
    "Lucy-Richardson": richardson.image,
    "Wiener": wiener.image,
    "Noise2Same (d)": network.image,
}
winner.reveal(
    gallery(
        {
            name: gaussian_filter(np.abs(image - clean), 1.5)
            for name, image in shown.items()
        },
        limits=(0, 0.25),
        zoom=(180, 180, 128),
        alt=winner.alt,
    )
)

# %% [markdown]
# Beside the PSNR, the table has the structural similarity (SSIM): it compares means, contrasts and patterns in
# small windows, and is 1 for equal images. RMSE is the root of the mean square error. The table is of one
# run, with one seed of the noise and one of the network.

# %%
Markdown(score_table(scores))

# %% tags=["hide-cell"]
# The tests run this cell to check what the notebook says.
psnr = {name: row["psnr"] for name, row in scores.items()}
restored = {name: value for name, value in psnr.items() if name != "noisy"}
assert min(restored.values()) > psnr["noisy"] + 4
assert max(restored.values()) - min(restored.values()) < 1.3
assert 22.3 < psnr["Lucy-Richardson, best iteration"] < 22.7
assert 22.3 < psnr["Wiener"] < 22.7

# %% [markdown]
# Does the order hold? Other noise changes the classical methods by less than 0.2 dB: the next cell measures two of
# them with three seeds. The network also depends on the random numbers that it starts from, and on the parts of the
# image that each training step draws: on this image its seeds 0 to 3 gave 22.5, 22.9, 23.0 and 22.3 dB (measured once). A margin smaller than that says little.

# %%
others = {}
for method, options in (("richardson_lucy", {"iterations": 2}), ("wiener", {})):
    for seed in range(3):
        other = degrade(clean, psf, seed=seed)
        estimate = deconvolve(other, psf, method, **options).image
        others.setdefault(method, []).append(score(clean, estimate)["psnr"])
    print(f"{method}: {min(others[method]):.2f} to {max(others[method]):.2f} dB")

# %% tags=["hide-cell"]
assert all(np.ptp(values) < 0.2 for values in others.values())

# %% [markdown]
# ## Look at the residual
#
# The residual is what the estimate does not explain of the measurement. If it looks like noise, the estimate is
# *consistent* with the measurement. If it shows structure of the specimen, the estimate lacks that structure or
# contains false structure.
#
# ### Exercise 2: find the fault (3 minutes)
#
# Run the next cells: with this function the residual of the Wiener filter shows the outlines of all glands, and that
# of Lucy-Richardson hardly any, though the two estimates are about equally good. What is wrong? Mend it. `g` is a
# function that blurs an image with the PSF. (The figure is smoothed by a Gaussian of 1.5 pixels, which averages the
# noise and leaves structure.)


# %% tags=["task"]
def residual(noisy, estimate, g):
    return noisy - estimate


# %% tags=["solution"]
def residual(noisy, estimate, g):
    return noisy - g(estimate)


# %%
convolution = PSFConvolution(psf)


def g(image):
    image = torch.from_numpy(image).float()[None, None]  # (1, 1, y, x)
    return convolution(image)[0, 0].numpy()


gallery(
    {
        name: gaussian_filter(residual(noisy, image, g), 1.5)
        for name, image in shown.items()
    },
    limits=(-0.1, 0.1),
    zoom=(180, 180, 128),
    alt="Smoothed residuals: traces of tissue in all but the Wiener filter's.",
)

# %%
checks.residual(residual)

# %% [markdown] tags=["solution"]
# The measurement is blurred, so the estimate must be blurred before the two are compared. The residual of a
# perfect estimate would be the noise: all of it, and nothing else. Now the residuals of Lucy-Richardson and of the network have
# traces of the tissue, which both estimates lack; that of the Wiener filter has hardly any.

# %% [markdown]
# ## Detail that can't be restored
#
# Consistent does not mean true. The PSF passes little or nothing of some spatial frequencies: detail that
# an estimate shows there did not come from the measurement. Here a fine stripe pattern is blurred with
# the PSF; almost nothing of it is left.

# %%
stripes = (
    0.25 * np.sin(2 * np.pi * 0.268 * np.arange(clean.shape[1])) * np.ones_like(clean)
)
blurred_stripes = g(stripes)
print(f"amplitude before the PSF {np.ptp(stripes[:, 50:-50]) / 2:.3f}")
print(f"amplitude after it       {np.ptp(blurred_stripes[:, 50:-50]) / 2:.3f}")

# %% tags=["hide-cell"]
assert np.ptp(blurred_stripes[:, 50:-50]) < 0.02 * np.ptp(stripes)

# %% [markdown]
# Two images that differ by those stripes give the same measurement, up to the noise. No method can tell
# them apart, and a method that shows such detail has guessed it. Notebook 07 returns to this.

# %% [markdown]
# ## Your own image
#
# ```python
# from siamdecon import Microscope, deconvolve, read_image
# from siamdecon.microscope import gibson_lanni
#
# image = read_image("cells.tif")
# psf = gibson_lanni(Microscope(na=0.8, wavelength=0.6, index=1.33, pixel_size=0.406, defocus=1.0))
# deconvolve(image, psf).save("restored.tif")
# ```
#
# `save` writes a TIFF with the axes and the voxel size of the source, and beside it a JSON file with
# every setting, seed and version. The same from the command line:
#
# ```
# siamdecon cells.tif --na 0.8 --wavelength 0.6 --pixel 0.406 --defocus 1.0 -o restored.tif
# ```
#
# ## Summary
#
# - `deconvolve(image, psf, method)` runs every method; `noise2same_d` is the paper's.
# - The network learns from one noisy image and the PSF, and nothing else.
# - Compute scores where the clean image is known; otherwise look at the residual.
# - What the PSF has removed can't be restored, only guessed.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=400)
