# %% [markdown]
# # Noise2Self: learning from hidden pixels
#
# A network that is trained to reproduce a noisy image also learns its noise. It can't if the pixels that
# the loss compares are hidden from it: their neighbours carry information about the signal, but not about
# the noise of the hidden pixels. This notebook hides pixels, proves that they are hidden, trains with the
# paper's Eq. 2, and shows what that loss misses.
#
# | | |
# |---|---|
# | After it you can | hide pixels; write the blind-spot loss; say why its expectation is the true error plus a constant, and when it is not; train with it |
# | Before it | Python and a little PyTorch; what a PSF does (notebook 01) |
# | Reading | 20 minutes |
# | Running | 40 seconds and 400 training steps, on two CPU cores |

# %%
import numpy as np
import torch
from IPython.display import Markdown, display
from scipy.ndimage import convolve
from siamdecon import (
    PAPER_2D,
    PAPER_3D,
    Noise,
    PSFConvolution,
    UNet,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    score,
)
from siamdecon.lab import (
    LiveTraining,
    ask,
    checks,
    gallery,
    lines,
    loss_curves,
    predictions,
    score_table,
)
from siamdecon.microscope import blur
from siamdecon.network import losses, stratified_mask, to_tensor

# %%
clean, psf = load_sample("histology"), paper_psf(2)
noisy = degrade(clean, psf, seed=0)
mean, std = noisy.mean(), noisy.std()
x = to_tensor((noisy - mean) / std, "cpu")  # (1, 1, y, x), standardised

# %% [markdown] tags=["equation:mask"]
# ## Hiding pixels
#
# $J$ is a set of pixels, drawn again in every training step: one at a random place in each box of 14 x 14,
# which gives 0.5 %, evenly spread. In the network's input they are replaced by
# Gaussian noise of standard deviation 0.2 (of the standardised image):
#
# $$(x_{J^c})_j = \begin{cases} \varepsilon_j,\; \varepsilon_j \sim N(0, 0.2^2) & j \in J \\ x_j & j \notin J \end{cases}$$
#
# ### Exercise 1: hide them
#
# The three arguments are tensors of the same shape; `mask` is True at $J$.


# %% tags=["task"]
def hide(x, mask, noise):
    return ...


# %% tags=["solution"]
def hide(x, mask, noise):
    return torch.where(mask, noise, x)


# %%
checks.hide(hide)

# %% [markdown] tags=["solution"]
# The values are replaced, not disturbed: $x_{J^c}$ is the same whatever $x_J$ was. If the noise were added
# instead, the input would still depend on the hidden values.

# %%
generator = torch.Generator().manual_seed(0)
mask = stratified_mask(tuple(x.shape), percent=0.5, generator=generator)
noise = 0.2 * torch.randn(x.shape, generator=generator)
x_hidden = torch.where(mask, noise, x)
print(f"{int(mask.sum())} of {mask.numel()} pixels hidden, {mask.float().mean():.2%}")

# %%
gallery(
    {
        "$x$": noisy,
        "$J$: one pixel in each box": mask[0, 0].float().numpy(),
        "$x_{J^c}$": x_hidden[0, 0].numpy() * std + mean,
    },
    zoom=(462, 406, 28),
    alt="A measurement, scattered single pixels, and the measurement with those pixels mid-grey.",
)

# %% [markdown]
# ## Proof by derivative
#
# A function is *J-invariant* if its output at $J$ does not depend on its input at $J$. Automatic
# differentiation can prove it: the derivatives of one output pixel $j$ with respect to all input pixels
# are a row of the Jacobian, which can be shown as an image.

# %%
seen = ask("04/seen")
seen

# %%
torch.manual_seed(0)
f, g = (
    UNet(features=8).eval(),
    PSFConvolution(psf),
)  # not trained yet: it holds for any weights
part = (..., slice(200, 264), slice(200, 264))
z = x[part].clone().requires_grad_()
J, noise_part = mask[part], noise[part]
j = min(
    J[0, 0].nonzero().tolist(),
    key=lambda place: np.hypot(place[0] - 32, place[1] - 32),
)


def jacobian_row(h):
    return torch.autograd.grad(h(z)[0, 0, j[0], j[1]], z)[0][0, 0].abs().numpy()


# %%
rows = {
    "$f(x)$": jacobian_row(f),
    "$f(x_{J^c})$": jacobian_row(lambda z: f(torch.where(J, noise_part, z))),
    "$g(f(x))$": jacobian_row(lambda z: g(f(z))),
    "$g(f(x_{J^c}))$": jacobian_row(lambda z: g(f(torch.where(J, noise_part, z)))),
}
around = (slice(j[0] - 20, j[0] + 21), slice(j[1] - 20, j[1] + 21))
seen.reveal(
    gallery(
        {name: np.log10(row[around] / row.max() + 1e-9) for name, row in rows.items()},
        limits=(-6, 0),
        alt=seen.alt,
    )
)

# %% [markdown]
# Grey stands for powers of ten, from the largest derivative (white) down to a millionth of it (black). The
# black points in the second and the fourth picture are exactly 0. The output of any function that follows
# $f$, here the PSF, is independent of the hidden values too.

# %% tags=["hide-cell"]
hidden_places = J[0, 0].numpy()
assert rows["$f(x)$"][tuple(j)] > 0 and rows["$g(f(x))$"][tuple(j)] > 0
assert not rows["$f(x_{J^c})$"][hidden_places].any()
assert not rows["$g(f(x_{J^c}))$"][hidden_places].any()
assert (rows["$g(f(x))$"][hidden_places] > 0).all()

# %% [markdown] tags=["equation:bsp", "equation:eq2"]
# ## The blind-spot loss
#
# $f$ estimates the sharp image, $g$ blurs the estimate with the known PSF, and the result is compared with
# the measurement at the hidden pixels. In Noise2Self this is the whole loss (Eq. 2):
#
# $$L(f)_{Noise2Self} = L_{bsp} = E_J\, E_x\, \|g(f(x_{J^c}))_J - x_J\|^2$$
#
# The norm is taken as a mean over the pixels $J$.
#
# ### Exercise 2: the loss
#
# `reconvolved` is $g(f(x_{J^c}))$.


# %% tags=["task"]
def blind_spot_loss(reconvolved, x, mask):
    difference = ...
    return ...


# %% tags=["solution"]
def blind_spot_loss(reconvolved, x, mask):
    difference = (reconvolved - x)[mask]
    return (difference**2).mean()


# %%
checks.blind_spot_loss(blind_spot_loss)

# %% [markdown] tags=["solution"]
# Only the pixels in $J$ count, one in 200. With a new $J$ in each step, every pixel is used in time.

# %% [markdown]
# ## Why the loss measures the error to an unknown image
#
# Let $y$ be the noise-free blurred image, $x = y + n$, and $h$ a prediction for pixel $j$ made without
# $x_j$. Then
#
# $$E(h_j - x_j)^2 = E(h_j - y_j)^2 - 2\,E(h_j - y_j)\,n_j + E\,n_j^2.$$
#
# If the noise has mean 0 and is independent from pixel to pixel, the middle term is 0. The loss is then the
# true error plus the variance of the noise, which is a constant: minimising the loss minimises the error.
#
# Any predictor can show this. Here each pixel is predicted by the mean of its neighbours within a radius,
# without or with the pixel itself, under Gaussian noise that is not clipped.


# %%
def neighbours(radius, own):
    y, x = np.mgrid[-8:9, -8:9]
    kernel = (np.hypot(y, x) <= radius) * 1.0
    kernel[8, 8] = own
    return kernel / kernel.sum()


# %%
blurred = blur(clean, psf)
gaussian = degrade(clean, psf, Noise(gaussian=0.1, clip=False), seed=0)
variance = np.mean((gaussian - blurred) ** 2)
radii = (1, 1.5, 2, 3, 4, 6, 8)
curves = {}
for name, own in {"blind": 0, "with own pixel": 1}.items():
    guesses = [convolve(gaussian, neighbours(radius, own)) for radius in radii]
    loss = np.array([np.mean((h - gaussian) ** 2) for h in guesses])
    curves[f"{name}: loss - variance"] = loss - variance
    curves[f"{name}: true error"] = np.array(
        [np.mean((h - blurred) ** 2) for h in guesses]
    )

# %%
choice = ask("04/choice")
choice

# %%
choice.reveal(
    lines(
        radii,
        curves,
        xlabel="radius (pixels)",
        ylabel="mean square",
        alt=choice.alt,
    )
)

# %% tags=["hide-cell"]
blind_loss, blind_error, own_loss, own_error = curves.values()
assert np.abs(blind_loss - blind_error).max() < 1e-4
assert blind_loss.argmin() == blind_error.argmin() == radii.index(4)
assert own_loss.argmin() == 0 != own_error.argmin()
assert (own_error < blind_error).all() and own_error[0] < 0.9 * blind_error[0]

# %% [markdown]
# The blind loss finds the best radius without the clean image. But blindness has a cost: with the pixel
# itself the filter is *better*, by a fifth at the smallest radius, and no blind loss can detect that.
#
# ## Training
#
# `deconvolve` trains $f$ on this one image: patches, a new $J$ for each, Adam. The view below shows the
# measurement and the current estimate. (The package adds one thing to Eq. 2: it passes $g(f(x_{J^c}))$
# through the camera's clipping before the comparison. The section on clipping below says why.)

# %%
live = LiveTraining(noisy)
display(live)

# %%
network = deconvolve(noisy, psf, "noise2self", callback=live, progress=False)

# %%
loss_curves(network.history)

# %%
floor = np.var(noisy - blurred) / std**2
first, last = network.history["bsp"][10:60].mean(), network.history["bsp"][-50:].mean()
print(
    f"noise alone {floor:.3f}, steps 11 to 60 {first:.3f}, the last 50 steps {last:.3f}"
)

# %% tags=["hide-cell"]
assert floor < last < 1.2 * floor and last < first

# %% [markdown]
# The loss is given in units of the image's variance. Nine tenths of it are noise that can't be predicted;
# only the small rest can be learned. Each step uses some 190 hidden pixels, hence the scatter: the curve
# alone does not show when to stop.
#
# ## What the loss misses
#
# ### What the PSF removes
#
# The loss depends on $g(f(x_{J^c}))$. A pattern in $f$ that $g$ removes does not change it.

# %%
stripes = 0.25 * np.sin(2 * np.pi * 0.1523 * np.arange(512)) * np.ones((512, 512))
unseen = ask("04/unseen")
unseen

# %%
g = PSFConvolution(
    psf, padding="valid"
)  # leaves the border out, where the stripes end
inside = np.s_[8:-8, 8:-8]
device = next(network.run.average.parameters()).device  # where it was trained
with torch.inference_mode():
    deconvolved = network.run.average(x_hidden.to(device)).cpu()
    x_inside, mask_inside = g.interior(x), g.interior(mask)
    for name, extra in {"as trained": 0 * stripes, "with stripes": stripes}.items():
        estimate = deconvolved + to_tensor(extra / std, "cpu")
        loss = losses.mean_square(g(estimate), x_inside, mask_inside)
        figures = score(clean[inside], (estimate[0, 0].numpy() * std + mean)[inside])
        print(f"{name}: loss {loss:.5f}, PSNR {figures['psnr']:.2f} dB")

# %%
striped = network.image + stripes.astype(np.float32)
reblurred = {
    f"g({name})": g(to_tensor(image, "cpu"))[0, 0].numpy()
    for name, image in {"estimate": network.image, "with stripes": striped}.items()
}
unseen.reveal(
    gallery(
        {
            "estimate": network.image[inside],
            "estimate + stripes": striped[inside],
            **reblurred,
        },
        zoom=(180, 180, 96),
        alt=unseen.alt,
    )
)

# %% tags=["hide-cell"]
first, second = reblurred.values()
assert np.abs(first - second).max() < 1e-3
assert figures["psnr"] < score(clean, network.image)["psnr"] - 5

# %% [markdown]
# Nothing in Eq. 2 prevents such stripes. The network produces none here, but not because of the loss.
#
# ### Impulses
#
# One pixel in a hundred holds a random value. Its neighbours can't predict it, so the loss counts the
# whole difference, squared. `PAPER_3D` is the same noise without impulses, which shows where they are.

# %%
impulse = noisy != degrade(clean, psf, PAPER_3D, seed=0)
square = network.residual**2
print(
    f"impulses: {impulse.mean():.1%} of the pixels, {square[impulse].sum() / square.sum():.0%} of the loss"
)

# %% tags=["hide-cell"]
assert square[impulse].sum() > 5 * impulse.mean() * square.sum()

# %% [markdown]
# Impulses carry no information but a tenth of the squared error, which the network can't lower. A median
# filter removes them before Lucy-Richardson starts; a mean-square loss is sensitive to them.
#
# ### Clipping
#
# The noise of a clipped pixel does not have mean 0: a black one measures 0.044 on average (notebook 01).
# Then the loss is lowest for an image that is not the true one. Here it is computed for the noise-free image
# itself, and for the same image shifted by what clipping adds, on a sample with a black background.

# %%
nuclei = load_sample("nuclei")
measured, truth = degrade(nuclei, psf, seed=0), blur(nuclei, psf)
shifted = PAPER_2D.mean(truth)  # black is 0.044 here, white 0.954
for name, guess in {"the truth": truth, "shifted": shifted}.items():
    dark = guess[truth < 0.02].mean()
    print(
        f"{name}: loss {np.mean((guess - measured) ** 2):.5f}, mean of the black areas {dark:.3f}"
    )

# %% tags=["hide-cell"]
assert np.mean((shifted - measured) ** 2) < 0.95 * np.mean((truth - measured) ** 2)

# %% [markdown]
# The wrong image has the lower loss. Eq. 2 as printed makes black areas grey. `deconvolve` therefore
# compares the *mean that the camera would measure* of $g(f(x_{J^c}))$; `noise=None` leaves that out.
#
# ## How good is the result?
#
# For the restoration, $f$ is applied to the whole image with nothing hidden, without $g$; the package averages
# over the flips and rotations that the kernel allows. The result is compared with the best of several
# Lucy-Richardson runs, chosen with the clean image, and with a median filter before five iterations.

# %%
richardson = max(
    (
        deconvolve(noisy, psf, "richardson_lucy", iterations=n)
        for n in (1, 2, 3, 5, 10)
    ),
    key=lambda result: score(clean, result.image)["psnr"],
)
median = deconvolve(noisy, psf, "richardson_lucy", iterations=5, prefilter="median")
estimates = {
    "Lucy-Richardson, best": richardson,
    "median + Lucy-Richardson": median,
    "Noise2Self": network,
}
scores = {"noisy": score(clean, noisy)}
scores |= {name: score(clean, result.image) for name, result in estimates.items()}
Markdown(score_table(scores))

# %% tags=["hide-cell"]
psnr, ssim = (
    {name: row[key] for name, row in scores.items()} for key in ("psnr", "ssim")
)
assert psnr["Noise2Self"] > psnr["noisy"] + 3
assert max(list(psnr.values())[1:]) - min(list(psnr.values())[1:]) < 0.4
assert ssim["Noise2Self"] < ssim["median + Lucy-Richardson"]

# %%
gallery(
    {**{name: result.image for name, result in estimates.items()}, "clean": clean},
    zoom=(180, 180, 96),
    alt="Three estimates of a tissue section, and the clean one.",
)

# %%
gallery(
    {
        **{name: result.residual for name, result in estimates.items()},
        "measurement - blurred truth": noisy - blurred,
    },
    limits=(-0.3, 0.3),
    zoom=(180, 180, 96),
    alt="Three residuals, and the noise itself: all look alike.",
)

# %% [markdown]
# On this image and after this short training the three lie within a few tenths of a decibel, and the median
# filter with Lucy-Richardson has the higher SSIM. Only Lucy-Richardson was stopped with the help of the clean
# image. None of the residuals shows the specimen: all three estimates are consistent with the measurement, yet
# they differ from one another.

# %% [markdown]
# ## Summary
#
# - Hidden pixels can't be copied: the derivative of the output at $J$ with respect to $x_J$ is exactly 0.
# - For independent noise of mean 0 the blind-spot loss is the true error plus the noise's variance.
# - It depends on $f$ only through $g$, never rewards the use of a pixel's own value, and is affected by
#   clipping and impulses.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=400)
