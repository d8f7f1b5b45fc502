# %% [markdown]
# # Beyond the paper: learning from the image's own coarser scales
#
# The paper's networks learn from the noisy image by hiding pixels. The same image offers other training data: a
# copy of its restoration, made two or three times smaller, is sharp and clean at its own pixel size. Blurred and
# with noise added, it gives a pair of measurement and truth. This notebook builds such training pairs, trains on
# them, and looks for the method's errors. It is not the paper's method.
#
# | | |
# |---|---|
# | After it you can | make training pairs from a single image; say why coarser copies are sharper; restore with them; name two ways in which they mislead |
# | Before it | Python and NumPy; what a point-spread function (PSF) is; helpful: notebooks 03 and 07 |
# | Reading | 15 minutes |
# | Running | 60 seconds and 600 training steps, on two CPU cores |

# %%
import numpy as np
from IPython.display import Markdown
from siamdecon import (
    PAPER_2D,
    deconvolve,
    degrade,
    fourier_ring_correlation,
    load_sample,
    paper_psf,
    radial_power,
    score,
    wiener,
)
from siamdecon.lab import (
    ask,
    checks,
    gallery,
    lines,
    predictions,
    scales_explorer,
    score_table,
)
from siamdecon.methods import downsample, find_noise, match_coarse
from siamdecon.microscope import residual

# %% [markdown]
# ## The idea in one figure
#
# The walls of cells (a synthetic sample), measured as in the paper, and its Wiener estimate, which is still blurred
# and grainy.

# %%
clean, psf = load_sample("membranes"), paper_psf(2)
noisy = degrade(clean, psf, seed=0)
estimate = wiener(noisy, psf)
third = downsample(estimate, 3, (1, 1))
part = np.s_[16:112, 16:112]
gallery(
    {
        "measured": noisy[part],
        "Wiener": estimate[part],
        "Wiener, 3 times smaller": third[part],
    },
    limits=(0, 0.7),
    alt="The measurement is blurred grain, its Wiener estimate soft; the small copy has crisp walls.",
)

# %% tags=["hide-cell"]
assert third.shape == (127, 127)

# %% [markdown]
# All three windows are 96 pixels wide. In the third, an edge is about a pixel wide and the noise is gone: nine pixels were
# averaged into one. The copy shows more of the scene, but the method assumes that walls look alike at many sizes.
# Zero-shot super-resolution (Shocher, Cohen and Irani, 2018) makes this assumption too, and so does scale-equivariant imaging
# (Scanvic, Davies, Abry and Tachella, 2023).
#
# ### Exercise 1: a coarser copy
#
# Make an image `factor` times smaller: each new pixel is the mean of a block of `factor` x `factor` pixels. Leave out
# rows and columns at the end that fill no block.


# %% tags=["task"]
def shrink(image, factor):
    ny, nx = image.shape[0] // factor, image.shape[1] // factor
    blocks = ...
    return ...


# %% tags=["solution"]
def shrink(image, factor):
    ny, nx = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor)
    return blocks.mean(axis=(1, 3))


# %%
checks.shrink(shrink)

# %% [markdown] tags=["solution"]
# Averaging $s^2$ pixels divides the standard deviation of independent noise by $s$. The package's `downsample` uses a
# Gaussian in place of the block: it takes any factor and any sub-pixel offset, which gives many different copies of
# one image.

# %% [markdown] tags=["equation:self-scale"]
# ## A training pair
#
# With $D_s$ the downsampling by $s$, $\hat x$ an estimate of the image, $k$ the kernel and $n$ the noise,
#
# $$t_s = D_s(\hat x), \qquad y_s = n(t_s * k).$$
#
# $y_s$ is what this microscope would measure of the small image, and $t_s$ is the truth. A network $f$ minimises
#
# $$L = \mathrm{mean}\,\bigl(c(f(y_s)) - t_s\bigr)^2$$
#
# with $c$ the clipping to $[0, 1]$. This is supervised learning, with a truth made from the noisy image alone.

# %% [markdown]
# ### Exercise 2: in the right order
#
# Return the pair, stacked: the network's input, then the truth. `shrink`, `blur` and `noise` are functions of an image.


# %% tags=["task"]
def training_pair(estimate, shrink, blur, noise):
    truth = ...
    seen = ...
    return np.stack([seen, truth])


# %% tags=["solution"]
def training_pair(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    seen = noise(blur(truth))
    return np.stack([seen, truth])


# %%
checks.training_pair(training_pair)

# %% [markdown] tags=["solution"]
# First smaller, then blurred: the kernel stays as wide, in pixels, as in the real measurement. The noise comes last, at
# full strength, as in a camera. The other order gives an easier task, and a network that fails on the real image.

# %% [markdown]
# The noise has to be known for this. `find_noise` estimates it from the image: the residual of a first estimate, against
# the brightness, gives the variances; its outliers give the impulses.

# %%
found = find_noise(noisy, psf)
print(
    f"found: Gaussian {found.gaussian:.3f}, impulses {100 * found.salt_and_pepper:.1f} %"
)
print(
    f"true:  Gaussian {PAPER_2D.gaussian:.3f}, impulses {100 * PAPER_2D.salt_and_pepper:.1f} %"
)

# %% tags=["hide-cell"]
assert abs(found.gaussian - 0.1) < 0.01 and 0.005 < found.salt_and_pepper < 0.03
assert found.clip

# %% [markdown]
# The number of impulses is overestimated here: bright walls that total variation has smoothed away look like impulses. The
# networks of notebook 06 model the clipping only; this one simulates all of the noise, so the estimate matters more.
#
# ## Explorer: which scale?
#
# Move the control. Left: the copy. Right: the same, degraded. Below: how much detail of each size the copy has, compared
# with the clean image at full size. Small copies of a poor estimate come close to the clean image's curve, but they
# have fewer and fewer pixels to learn from.

# %%
explorer = scales_explorer(clean, {"Wiener": estimate, "the clean image": clean}, psf)
explorer

# %% tags=["hide-cell"]
fine = {}
for scale in (1, 2, 3):
    explorer.set(scale=scale, source="Wiener")
    curves = explorer.frame.curves
    fine[scale] = np.mean(curves["copy"][6:12]) - np.mean(curves["clean image"][6:12])
assert fine[1] < fine[2] < fine[3]  # log10 of power: the smaller, the closer

# %% [markdown]
# ## Restore
#
# `self_scale` starts from total variation, makes copies at 1/2 and 1/3, trains for some steps, and restores the image. It
# then continues training with copies of that restoration at 1/1.5, and of the next one at 1/1.25: a better estimate needs less
# downsampling to be sharp, and a copy closer to the image's own scale resembles the image more. Over 12 images of the
# benchmark this gives 26.15 dB. On three of them, copies at 1/2 and 1/3 in all rounds give 0.7 dB less; one of the three, a test
# chart whose edges look alike at every scale, gains 1.3 dB by them.

# %%
gain = ask("10/gain")
gain

# %%
results = {
    "median + Lucy-Richardson": deconvolve(
        noisy, psf, "richardson_lucy", prefilter="median"
    ),
    "total variation": deconvolve(noisy, psf, "total_variation", noise="auto"),
    "own coarser scales": deconvolve(
        noisy, psf, "self_scale", steps=100, progress=False
    ),
}
images = {"Wiener": estimate} | {
    name: result.image for name, result in results.items()
}
Markdown(score_table({name: score(clean, image) for name, image in images.items()}))

# %%
gain.reveal(
    gallery(
        {"clean": clean, **{name: images[name] for name in results}},
        zoom=(150, 150, 96),
        alt=gain.alt,
    )
)

# %% tags=["hide-cell"]
psnr = {name: score(clean, image)["psnr"] for name, image in images.items()}
assert psnr["own coarser scales"] > psnr["total variation"] + 0.2
assert psnr["own coarser scales"] > psnr["median + Lucy-Richardson"] + 0.2

# %% [markdown] tags=["equation:match-coarse"]
# One step remains. The network may get the brightness of a whole region wrong, if the copies had no such region. The
# measurement shows the brightness of large areas well, since neither blur nor noise changes it much. The residual,
# $r = y - m(\hat x * k)$, is averaged with a wide Gaussian $G$ and added:
#
# $$\hat x + \frac{G * (m' r)}{G * m'^2}.$$
#
# $m'$ is small where the measurement is clipped and carries little information.

# %%
darker = (images["own coarser scales"] - 0.05).clip(0, 1)
mended = match_coarse(darker, noisy, psf, found)
for name, image in {"0.05 too dark": darker, "matched": mended}.items():
    print(f"{name:14} {score(clean, image)['psnr']:.2f} dB")

# %% tags=["hide-cell"]
assert score(clean, mended)["psnr"] > score(clean, darker)["psnr"] + 0.4

# %% [markdown]
# ## Where it fails
#
# The assumption is that the scene looks alike at several sizes. The tissue section of the other notebooks has fine texture
# that its coarser copies lack:

# %%
tissue = load_sample("histology")
section = degrade(tissue, psf, seed=0)
woven = {
    "Wiener": wiener(section, psf),
    "own coarser scales": deconvolve(
        section, psf, "self_scale", steps=100, progress=False
    ).image,
}
Markdown(score_table({name: score(tissue, image) for name, image in woven.items()}))

# %%
gallery(
    {"clean": tissue, "measured": section, **woven},
    zoom=(290, 270, 96),
    alt="A gland; measured, grainy; Wiener, soft; own coarser scales, with bright specks that are not there.",
)

# %% tags=["hide-cell"]
lost = (
    score(tissue, woven["Wiener"])["psnr"]
    - score(tissue, woven["own coarser scales"])["psnr"]
)
assert -0.1 < lost < 0.5

# %% [markdown]
# Here the network is no better than the Wiener filter. The gland in the window shows why: the network adds bright
# specks where the tissue has grey cells with dark borders. Its copies have small bright places with sharp borders,
# so it produces them here, too. A method that is best on most images may still fail on yours.
#
# ## What it may invent
#
# Notebook 07 tested which detail of an estimate is right, with the Fourier ring correlation, and whether noise was
# fitted, with a second measurement. Here are the same tests:

# %%
second = degrade(clean, psf, seed=1)
bins = 16
curves = {
    name: fourier_ring_correlation(clean, image, bins)[1]
    for name, image in images.items()
}
of_tissue = {n: fourier_ring_correlation(tissue, x, bins)[1] for n, x in woven.items()}
curves["own coarser scales, tissue"] = of_tissue["own coarser scales"]
frequency = fourier_ring_correlation(clean, clean, bins)[0]
lines(
    frequency,
    curves,
    xlabel="spatial frequency (cycles per pixel)",
    ylabel="correlation with the truth",
    alt="All fall from 1 towards 0: own coarser scales last on the walls, and early on the tissue.",
)

# %%
fitted = {}
for name, image in images.items():
    own, other = (residual(image, y, psf, found).std() for y in (noisy, second))
    fitted[name] = other - own
    print(f"{name:26} residual {own:.4f}, of a second measurement {other:.4f}")

# %% tags=["hide-cell"]
own, others = (
    curves["own coarser scales"],
    ("Wiener", "median + Lucy-Richardson", "total variation"),
)
coarse, lost = (
    (frequency > 0.1) & (frequency < 0.2),
    (frequency > 0.15) & (frequency < 0.25),
)
assert own[frequency < 0.25].min() > 0.5
assert all(curves[name][coarse].mean() < own[coarse].mean() - 0.05 for name in others)
assert curves["total variation"][coarse].min() < -0.3
assert max(abs(c[lost]).max() for c in of_tissue.values()) < 0.2
assert max(fitted.values()) < 0.002

# %% [markdown]
# On the walls the detail is right up to 0.25 cycles per pixel, whereas Lucy-Richardson has lost half of it at 0.17 and
# total variation shows it with inverted contrast. On the tissue the correlation is gone at 0.15. Where the Wiener filter
# knows nothing, it shows nothing. What does the network show there?

# %%
fine = (frequency > 0.15) & (frequency < 0.25)
power = {name: radial_power(image, bins)[1][fine] for name, image in woven.items()}
times = (power["own coarser scales"] / power["Wiener"]).min()
print(
    f"0.15 to 0.25 cycles per pixel: at least {times:.0f} times the power of Wiener's estimate"
)

# %% tags=["hide-cell"]
assert times > 20

# %% [markdown]
# These are the specks: sharp, and wrong. A second measurement would not detect them: the kernel passes less than a tenth of
# such detail, so that it hardly shows in a residual. On the walls, too, the method fits the noise no more than the others do.
#
# ## Summary
#
# - A copy of an estimate, two or three times smaller, is sharper and cleaner at its own pixels.
# - Degraded with the known kernel and the noise found in the image, it makes training pairs. No other image is needed.
# - Downsample first, then blur, then add noise: any other order is a different task.
# - The brightness of large areas is taken from the measurement, which is reliable there.
# - The scene has to look alike at several sizes. Where it does not, the network adds structure from its copies.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=600)
