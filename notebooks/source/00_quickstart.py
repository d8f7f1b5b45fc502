# %% [markdown]
# # Quickstart: restore an image in ten lines
#
# A microscope blurs what it sees and adds noise. This notebook degrades a real image on purpose,
# restores it with a classical method and with the paper's network, which learns from that one noisy
# image alone, and asks how far the result can be trusted.
#
# | | |
# |---|---|
# | After it you can | restore an image with `siamdecon.deconvolve`, compare methods by score and residual, say which detail can't be restored |
# | Before it | some Python and NumPy |
# | Reading | 10 minutes |
# | Running | 70 seconds and 400 training steps, on two CPU cores |

# %%
import numpy as np
import torch
from IPython.display import Markdown
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
# `load_sample` gives a stained tissue section that scikit-image ships. `paper_psf(2)` is the
# point-spread function (PSF) of a 0.8 NA, 16x objective, 3 µm out of focus. `degrade` convolves the two
# and adds what the paper's experiments add: Gaussian noise with a standard deviation of 0.1, a little
# signal-dependent noise, and 1 % of pixels with random values.

# %%
clean = load_sample("histology")
psf = paper_psf(2)
noisy = degrade(clean, psf, seed=0)

# %%
gallery(
    {"clean": clean, "noisy: the only input": noisy},
    zoom=(180, 180, 128),
    alt="A tissue section beside its blurred, noisy version; the enlarged part has lost its fine lines.",
)

# %% [markdown]
# ## Two restorations
#
# Lucy-Richardson is the classical method: it sharpens step by step and amplifies the noise as it goes.
# Here it runs for the number of iterations that is best for this image, which can't be known without the
# clean image. "Best" is the highest peak signal-to-noise ratio (PSNR), which is the smallest mean square error.
#
# ### Exercise 1: the best of several
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
richardson = max(
    (deconvolve(noisy, psf, "richardson_lucy", iterations=n) for n in (2, 5, 10, 20)),
    key=lambda result: score(clean, result.image)["psnr"],
)

# %% [markdown]
# `noise2same_d` is the paper's method (Eq. 4). A network $f$ estimates the sharp image, the known PSF $g$
# blurs the estimate, and the result must match the measurement. A second pass, with some pixels
# replaced by noise, must give the same estimate: this keeps the network from copying the noise.
#
# The package adds one thing to the paper's method. The camera clips values at black and white, so a black
# pixel measures 0.044 on average. The blurred estimate passes through the same clipping before the
# comparison. `noise=None` leaves this out.

# %%
network = deconvolve(noisy, psf, "noise2same_d", seed=1)

# %% tags=["figure:quickstart"]
gallery(
    {
        "noisy": noisy,
        "Lucy-Richardson": richardson.image,
        "Noise2Same (d)": network.image,
        "clean": clean,
    },
    zoom=(180, 180, 128),
    alt="The noisy tissue section, restored by Lucy-Richardson and by Noise2Same (d), and the clean one.",
)

# %% [markdown]
# The curves show the loss terms. The reconstruction loss $L_{rec}$ falls to the level of the noise and must
# not fall further; the invariance loss $L_{inv (d)}$ compares the two estimates.

# %%
loss_curves(network.history)

# %% [markdown]
# ## Classical baselines
#
# A 3 x 3 median filter before Lucy-Richardson, a Wiener filter, and total variation (the flattest image
# that explains the data) take seconds and need no training. Total variation models the clipping, as the
# network does. No comparison in this course leaves them out.

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
Markdown(score_table(scores))

# %% tags=["hide-cell"]
# The tests run this cell to check what the notebook says.
psnr = {name: row["psnr"] for name, row in scores.items()}
assert (
    psnr["Noise2Same (d), clipping modelled"]
    > psnr["Lucy-Richardson, best iteration"]
    > psnr["noisy"]
)

# %% [markdown]
# Patches and first weights are random, and a short training depends on them: on this image the seeds 0 to 3 give
# 22.5, 22.9, 23.0 and 22.3 dB. A margin smaller than that says little.
#
# ## Look at the residual
#
# The residual is the measurement minus the blurred estimate: the part that the estimate does not explain.
# If it looks like noise, the estimate is *consistent* with the measurement. If it shows structure of the
# specimen, the estimate lacks that structure or contains false structure.
#
# ### Exercise 2: the residual
#
# Write the residual. `g` is a function that blurs an image with the PSF.


# %% tags=["task"]
def residual(noisy, estimate, g):
    return ...


# %% tags=["solution"]
def residual(noisy, estimate, g):
    return noisy - g(estimate)


# %%
checks.residual(residual)

# %% [markdown] tags=["solution"]
# The residual of a perfect estimate would be the noise: all of it, and nothing else.

# %%
winner.reveal(
    gallery(
        {name.split(",")[0]: result.residual for name, result in estimates.items()},
        limits=(-0.3, 0.3),
        zoom=(180, 180, 128),
        alt=winner.alt,
    )
)

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
g = PSFConvolution(psf)
blurred_stripes = g(torch.from_numpy(stripes)[None, None].float())[0, 0].numpy()
print(f"amplitude before the PSF {np.ptp(stripes[:, 50:-50]) / 2:.3f}")
print(f"amplitude after it       {np.ptp(blurred_stripes[:, 50:-50]) / 2:.3f}")

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
