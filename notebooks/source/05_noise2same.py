# %% [markdown]
# # Noise2Same: a second pass instead of a blind spot
#
# A blind-spot network is trained without the value of the pixel that it predicts. Noise2Same compares the whole
# output with the whole measurement, and a second pass, with some pixels hidden, keeps the network from
# copying the noise. In this notebook you extend the training of notebook 04 by the second pass, see
# what each of the two terms does, and choose between runs without a clean image.
#
# | | |
# |---|---|
# | After it you can | write the loss of two passes and train with it; say what reconstruction alone learns, why there is a root, and which two errors lambda_inv balances; choose a run without the truth |
# | Before it | Python and a little PyTorch; notebook 04 |
# | Reading | 20 minutes |
# | Running | 80 seconds and 1270 training steps, on two CPU cores |

# %%
import time
from functools import partial

import numpy as np
import torch
from IPython.display import Markdown
from scipy.ndimage import convolve, gaussian_filter
from siamdecon import (
    Noise,
    PSFConvolution,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    score,
)
from siamdecon.lab import ask, checks, gallery, lines, predictions, score_table
from siamdecon.microscope import blur
from siamdecon.network import (
    losses,
    random_patches,
    stratified_mask,
    symmetries,
    to_array,
    to_tensor,
)
from torch import nn

# %% [markdown]
# The image is small, to keep the training runs short. The noise is the paper's; it is known exactly here,
# so its standard deviation $\sigma$ can be computed.

# %%
clean, psf = load_sample("histology")[128:384, 128:384], paper_psf(2)
noisy = degrade(clean, psf, seed=0)
blurred = blur(clean, psf)
sigma = (noisy - blurred).std()
print(f"standard deviation of the noise {sigma:.4f}")

# %% [markdown]
# ## Given: what you wrote in notebook 04
#
# The network, the batches and the loop, unchanged. `fit` takes any loss of `f`, `g`, `x`, `x_hidden` and `mask`.

# %%
convolution = partial(nn.Conv2d, kernel_size=3, padding=1)


def convolutions(a, b):
    return nn.Sequential(convolution(a, b), nn.ReLU(), convolution(b, b), nn.ReLU())


class SmallUNet(nn.Module):
    def __init__(self, n=16):
        super().__init__()
        self.fine, self.coarse = convolutions(1, n), convolutions(n, 2 * n)
        self.merge, self.last = convolutions(3 * n, n), nn.Conv2d(n, 1, 1)

    def forward(self, x):  # (batch, 1, y, x)
        fine = self.fine(x)  # (batch, n, y, x)
        coarse = self.coarse(
            nn.functional.max_pool2d(fine, 2)
        )  # (batch, 2n, y/2, x/2)
        double = nn.functional.interpolate(coarse, scale_factor=2)
        return self.last(self.merge(torch.cat((double, fine), dim=1)))


# %%
def batches(image, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    turns = symmetries(psf)
    for _ in range(steps):
        patches = random_patches(
            image[0, 0], 64, 8, generator, turns
        )  # (8, 1, 64, 64)
        mask = stratified_mask(tuple(patches.shape), 0.5, generator)
        noise = 0.2 * torch.randn(patches.shape, generator=generator)
        yield patches, torch.where(mask, noise, patches), mask


def fit(f, g, loss, batches, rate=2e-3):
    optimizer = torch.optim.Adam(f.parameters(), lr=rate)
    history = []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


# %%
mean, std = noisy.mean(), noisy.std()
x, g = to_tensor((noisy - mean) / std, "cpu"), PSFConvolution(psf)  # (1, 1, y, x)


def trained(loss, steps, seed=0):
    torch.manual_seed(seed)
    f = SmallUNet()
    fit(f, g, loss, batches(x, steps, seed))
    return f


# %% [markdown] tags=["equation:rec", "equation:inv"]
# ## Two passes
#
# The unmasked pass sees the measurement $x$, the masked pass sees $x_{J^c}$: the same with the pixels $J$
# replaced by noise. Both outputs are blurred by $g$. The **reconstruction loss** requires that the unmasked
# output explains all $m$ pixels of the measurement,
#
# $$L_{rec} = E\, \|g(f(x)) - x\|^2 / m,$$
#
# and the **invariance loss** requires that hiding a pixel changes nothing there:
#
# $$L_{inv} = \left( E\, \|g(f(x))_J - g(f(x_{J^c}))_J\|^2 / |J| \right)^{1/2}.$$
#
# ### Exercise 1: the second pass (5 minutes)
#
# Extend the loss of notebook 04, which was `((g(f(x_hidden)) - x)[mask] ** 2).mean()`: return
# $L_{rec} + \lambda_{inv} L_{inv}$, with two passes through `f` and `g`.


# %% tags=["task"]
def two_pass_loss(f, g, x, x_hidden, mask, lambda_inv):
    unmasked = ...
    masked = ...
    rec = ...
    inv = ...
    return rec + lambda_inv * inv


# %% tags=["solution"]
def two_pass_loss(f, g, x, x_hidden, mask, lambda_inv):
    unmasked = g(f(x))
    masked = g(f(x_hidden))
    rec = ((unmasked - x) ** 2).mean()
    inv = ((unmasked - masked)[mask] ** 2).mean().sqrt()
    return rec + lambda_inv * inv


# %%
checks.two_pass_loss(two_pass_loss)

# %% [markdown] tags=["solution"]
# The invariance does not contain the measurement. Two equal outputs have an invariance loss of 0, whether they are
# right or not: the term is only useful together with the reconstruction loss.

# %% [markdown]
# ## Why a root: a bound on the true error
#
# Let $y$ be the clean image, so that $g(y)$ is the measurement without its noise. The error of $g(f(x))$ to it can't
# be computed, and the reconstruction loss alone does not show it. Let the noise, $x - g(y)$, have mean 0 and
# standard deviation $\sigma$, each pixel independent of the others. Then
#
# $$E\|g(f(x)) - g(y)\|^2 / m = L_{rec} - \sigma^2 + 2\, E\langle g(f(x)) - g(y),\, x - g(y) \rangle / m.$$
#
# The last term measures how much of the noise was copied. The prediction of the masked pass at $J$ is
# independent of the noise there, so it can be subtracted, and the Cauchy-Schwarz inequality gives
#
# $$E\|g(f(x)) - g(y)\|^2 / m \;\le\; L_{rec} - \sigma^2 + 2 \sigma L_{inv}.$$
#
# (Xie, Wang and Ji, "Noise2Same", NeurIPS 2020.) The root comes from the inequality, and so does the 2: in a
# standardised image $\sigma$ is at most 1, which makes $\lambda_{inv} = 2$ the safe choice.
#
# A filter shows this without any training. It mixes a pixel with the mean of its neighbours: at a share
# of 0 the pixel's own value is not used, at 1 it is copied.


# %%
def mix(image, share):
    rows, columns = np.mgrid[-2:3, -2:3]
    kernel = (np.hypot(rows, columns) <= 2) * 1.0
    kernel[2, 2] = 0
    return share * image + (1 - share) * convolve(image, kernel / kernel.sum())


# %%
known = 0.1  # the noise's standard deviation, without clipping
gaussian = degrade(clean, psf, Noise(gaussian=known, clip=False), seed=0)
generator = torch.Generator().manual_seed(0)
mask = stratified_mask((1, 1, *gaussian.shape), 0.5, generator)
filling = 0.2 * torch.randn(mask.shape, generator=generator)  # of a standardised image
J = mask[0, 0].numpy()
hidden = np.where(
    J, filling[0, 0].numpy() * gaussian.std() + gaussian.mean(), gaussian
)

# %%
share = np.linspace(0, 1, 21)
rec, inv, error = np.zeros((3, 21))
for n, s in enumerate(share):
    mixed = mix(gaussian, s)
    rec[n] = np.mean((mixed - gaussian) ** 2)
    inv[n] = np.sqrt(np.mean((mixed - mix(hidden, s))[J] ** 2))
    error[n] = np.mean((mixed - blurred) ** 2)

# %%
lines(
    share,
    {
        "L_rec - σ²": rec - known**2,
        "error to the noise-free image": error,
        "L_rec - σ² + 2 σ L_inv": rec - known**2 + 2 * known * inv,
    },
    xlabel="share of the pixel's own value",
    ylabel="mean square",
    alt="Against the share, the first curve falls throughout, the error has its "
    "minimum near 0.1 and rises, and the third lies above the error and rises.",
)

# %% tags=["hide-cell"]
assert (np.diff(rec) < 0).all()  # copying looks better to the reconstruction alone
bound = rec - known**2 + 2 * known * inv
assert (error < bound + 5e-4).all() and bound.argmin() == 0
assert 0 < share[error.argmin()] < 0.2

# %% [markdown]
# The reconstruction loss is lowest where the noise is copied. The bound prevents the copying. It is
# conservative: the true error is smallest at a share above 0, since the pixel's own value does carry
# information. A blind spot discards this information; a smaller $\lambda_{inv}$ can use it.

# %%
gradient = ask("05/gradient")
gradient

# %%
size = torch.logspace(-3, 0, 20)
kinds = {"root of the mean square": torch.sqrt, "mean square": torch.Tensor.clone}
slope = {name: [] for name in kinds}
for s in size:
    for name, kind in kinds.items():
        difference = torch.full((8, 8), float(s), requires_grad=True)
        term = kind((difference**2).mean())
        slope[name].append(float(torch.autograd.grad(term, difference)[0].sum()))

# %%
gradient.reveal(
    lines(
        size.numpy(),
        slope,
        log="xy",
        xlabel="difference of the two outputs",
        ylabel="slope",
        alt=gradient.alt,
    )
)

# %% tags=["hide-cell"]
assert np.allclose(slope["root of the mean square"], 1, atol=1e-3)
assert np.allclose(slope["mean square"], 2 * size.numpy(), rtol=1e-3)

# %% [markdown]
# A square has almost no gradient once the outputs are nearly alike, and the last bit of copied noise would
# stay.
#
# ## Reconstruction alone
#
# First the reconstruction loss alone, $\lambda_{inv} = 0$, which needs no masked pass: one network,
# looked at after 50, 150 and 400 steps. (Its learning rate is twice the usual one, to see more in less time.)
#
# The tables below have a row for each network. Three columns can be computed from the measurement:
#
# - `residual`, the standard deviation of $x - g(f(x))$;
# - `L_inv`;
# - `bound`, the root of the bound above: $(L_{rec} - \sigma^2 + 2 \sigma L_{inv})^{1/2}$.
#
# Two need the clean image: `error after g`, the standard deviation of $g(f(x)) - g(y)$, and the `PSNR` of $f(x)$ in
# dB. All others are in grey values.

# %%
x_hidden = torch.where(mask, filling, x)
inside = np.s_[8:-8, 8:-8]  # where the kernel lies wholly in the image
mirrored = PSFConvolution(psf, padding="symmetric")


def reblur(image):
    return to_array(mirrored(to_tensor(image, "cpu")))


def figures(f):
    with torch.inference_mode():
        estimate, masked = (to_array(f(seen)) * std + mean for seen in (x, x_hidden))
    residual = (noisy - reblur(estimate))[inside]
    inv = np.sqrt(np.mean(reblur(estimate - masked)[J] ** 2))
    square = residual.var() - sigma**2 + 2 * sigma * inv
    values = {
        "residual": residual.std(),
        "L_inv": inv,
        "bound": np.sqrt(square.clip(0)),
        "error after g": (reblur(estimate) - blurred)[inside].std(),
        "PSNR": score(clean, estimate)["psnr"],
    }
    return estimate, {name: round(float(v), 4) for name, v in values.items()}


# %%
def table(rows, title):
    head = f"| {title} | " + " | ".join(next(iter(rows.values()))) + " |"
    body = [
        f"| {n} | " + " | ".join(map(str, row.values())) + " |"
        for n, row in rows.items()
    ]
    return Markdown("\n".join([head, "|---" * 6 + "|", *body]))


# %%
falls = ask("05/falls")
falls


# %%
def reconstruction(f, g, x, x_hidden, mask):  # two_pass_loss with 0, in half the time
    return ((g(f(x)) - x) ** 2).mean()


torch.manual_seed(0)
f, alone, measured = SmallUNet(), {}, {}
for steps, more in {50: 50, 150: 100, 400: 250}.items():
    fit(f, g, reconstruction, batches(x, more, seed=steps), rate=4e-3)
    alone[steps], measured[steps] = figures(f)
table(measured, "steps")

# %%
falls.reveal(
    gallery(
        {f"{steps} steps": image for steps, image in alone.items()},
        zoom=(90, 90, 72),
        alt=falls.alt,
    )
)

# %% [markdown]
# The residual's standard deviation falls below that of the noise, so $g(f(x))$ has copied noise. The error
# of $g(f(x))$ does not show it, but the PSNR of $f(x)$ falls, by 2 dB here: errors that $g$ damps
# change the loss little and the image much. Early stopping would help, but the measurement alone does not show
# when to stop.

# %% tags=["hide-cell"]
assert measured[400]["residual"] < sigma
assert measured[400]["PSNR"] + 0.7 < max(row["PSNR"] for row in measured.values())
assert all(row["error after g"] < row["bound"] for row in measured.values())

# %% [markdown]
# ## Your loss: the effect of lambda_inv
#
# Three weights, 150 steps each.

# %%
runs, rows = {}, {}
for weight in (0.5, 2, 8):
    f = trained(partial(two_pass_loss, lambda_inv=weight), steps=150)
    runs[weight], rows[weight] = figures(f)
    if weight == 2:
        siamese = f  # for the last section
table(rows, "lambda_inv")

# %%
gallery(
    {f"lambda_inv = {weight}": image for weight, image in runs.items()},
    zoom=(90, 90, 72),
    alt="Three estimates: detailed and a little grainy; softer; pale, with a pattern "
    "of single pixels.",
)

# %%
smoothed = {w: gaussian_filter(noisy - reblur(image), 2) for w, image in runs.items()}
gallery(
    {f"lambda_inv = {weight}": image for weight, image in smoothed.items()},
    limits=(-0.06, 0.06),
    zoom=(90, 90, 72),
    alt="Their residuals, smoothed: the larger the weight, the clearer are the spots "
    "and edges of the tissue.",
)

# %% [markdown]
# As the weight grows, the residual rises and the invariance loss falls. At 8 the smoothed residual shows the tissue most
# clearly: the network leaves structure unexplained. $\lambda_{inv}$ balances two errors, copied noise and missing
# structure. (The pattern of single pixels at 8 is removed by $g$, so that no term sees it. The last section returns to
# this.)

# %% tags=["hide-cell"]
residuals, invariances = (
    [row[name] for row in rows.values()] for name in ("residual", "L_inv")
)
assert (np.diff(residuals) > 5e-4).all() and (np.diff(invariances) < 0).all()
assert all(row["error after g"] < row["bound"] for row in rows.values())
assert rows[8]["error after g"] > 1.2 * rows[0.5]["error after g"]

# %% [markdown]
# ### Exercise 2: choose without the clean image (4 minutes)
#
# With your own image the last two columns are missing. You have $L_{rec}$ and $L_{inv}$ of each
# run, as arrays `rec` and `inv`, and the noise's standard deviation `sigma`. Which run do you take? Return its
# index. Think of what each loss alone would choose.


# %% tags=["task"]
def choose_run(rec, inv, sigma):
    return ...


# %% tags=["solution"]
def choose_run(rec, inv, sigma):
    return np.argmin(rec - sigma**2 + 2 * sigma * inv)


# %%
checks.choose_run(choose_run)

# %% [markdown] tags=["solution"]
# The bound is the only one of the three that knows both errors. $\sigma^2$ is the same for all runs and may be left out.

# %%
every = {f"lambda_inv = 0, {steps} steps": row for steps, row in measured.items()}
every |= {f"lambda_inv = {w}, 150 steps": row for w, row in rows.items()}
rec = np.array([row["residual"] ** 2 for row in every.values()])
inv = np.array([row["L_inv"] for row in every.values()])
names, errors = list(every), [row["error after g"] for row in every.values()]
print("chosen:", names[choose_run(rec, inv, sigma)])
print("smallest error after g:", names[int(np.argmin(errors))])
print("highest PSNR:", max(every, key=lambda name: every[name]["PSNR"]))

# %% tags=["hide-cell"]
chosen = choose_run(rec, inv, sigma)
assert errors[chosen] < 1.7 * min(errors)
assert names[chosen] in ("lambda_inv = 0.5, 150 steps", "lambda_inv = 2, 150 steps")

# %% [markdown]
# The rule passes over the runs that have copied noise and over the one that misses structure. It is about $g(f(x))$, the
# blurred estimate. There, 400 steps without invariance are about as good, and yet the sharp estimate is full of
# noise: its large $L_{inv}$ gives it away.

# %% [markdown] tags=["equation:bound"]
# ## The boundary term
#
# The clean image lies in $[0, 1]$, and values outside are wrong. The paper adds
#
# $$L_{bound} = E\left( |min - g(f(x))| + |g(f(x)) - max| \right), \qquad min = 0,\; max = 1.$$
#
# Inside the bounds the two distances add up to 1, whatever the pixel's value, so only the excess over 1 counts. The
# term works on grey values: the network's output is scaled back first, since a standardised image
# lies outside $[0, 1]$ almost everywhere.

# %%
value = torch.linspace(-1, 2, 301, requires_grad=True)
term = torch.stack([losses.boundary(v) for v in value])
slopes = torch.autograd.grad(term.sum(), value)[0]
lines(
    value.detach().numpy(),
    {
        "|min - value| + |value - max|": term.detach().numpy(),
        "its slope": slopes.numpy(),
    },
    xlabel="value of a pixel",
    ylabel="",
    alt="The term is 1 from 0 to 1 and rises on both sides; its slope is -2, 0 and 2.",
)

# %% tags=["hide-cell"]
at = {float(v): float(s) for v, s in zip(value.detach(), slopes, strict=True)}
assert at[-1.0] == -2 and at[2.0] == 2 and float(slopes[150]) == 0

# %%
kept = ask("05/kept")
kept

# %%
grain = np.random.default_rng(0).normal(0, 0.2, clean.shape).astype(np.float32)
values = {"f(x)": clean + grain, "g(f(x))": reblur(clean + grain)}
for name, image in values.items():
    outside = np.mean((image < 0) | (image > 1))
    bound = losses.boundary(torch.from_numpy(image))
    print(f"{name}: {outside:.1%} outside, L_bound {bound:.3f}")

# %%
edges = np.linspace(-0.5, 1.5, 81)
kept.reveal(
    lines(
        (edges[1:] + edges[:-1]) / 2,
        {name: np.histogram(i, edges, density=True)[0] for name, i in values.items()},
        xlabel="value",
        ylabel="density",
        alt=kept.alt,
    )
)

# %% tags=["hide-cell"]
sharp, soft = values.values()
assert np.mean((sharp < 0) | (sharp > 1)) > 0.05
assert losses.boundary(torch.from_numpy(soft)) < 1.001
assert losses.boundary(torch.from_numpy(sharp)) > 1.01

# %% [markdown]
# After the PSF the term has almost no effect; it can only detect an output that is out of range over large
# areas. Notebook 06 applies it before the PSF.

# %% [markdown] tags=["equation:eq3"]
# ## Eq. 3: your loop and the package's
#
# $$L(f)_{Noise2Same} = L_{rec} + \lambda_{inv} L_{inv} + \lambda_{bound} L_{bound}$$
#
# with $\lambda_{inv} = 2$ and $\lambda_{bound} = 0.1$. Yours has no boundary term; the package trains a larger network
# with all three terms. (Two iterations of Lucy-Richardson are best for this image; only the clean image shows that. SSIM,
# structural similarity, compares the patterns in small windows: 1 for equal images; grain in smooth areas lowers it.)

# %%
begin = time.perf_counter()
trained(partial(two_pass_loss, lambda_inv=2), steps=20)
my_step = (time.perf_counter() - begin) / 20
begin = time.perf_counter()
package = deconvolve(noisy, psf, "noise2same", progress=False)
step = (time.perf_counter() - begin) / package.run.step
print(f"yours {my_step:.3f} s a step, the package {step:.3f} s")
print(f"a step of the package takes {step / my_step:.1f} times as long")

# %%
richardson = deconvolve(noisy, psf, "richardson_lucy", iterations=2)
median = deconvolve(noisy, psf, "richardson_lucy", iterations=5, prefilter="median")
estimates = {
    "Lucy-Richardson, n = 2": richardson.image,
    "median + Lucy-Richardson": median.image,
    "reconstruction alone, yours": alone[400],
    "Noise2Same, yours": runs[2],
    "Noise2Same, the package's": package.image,
}
scores = {"noisy": score(clean, noisy)}
scores |= {name: score(clean, image) for name, image in estimates.items()}
Markdown(score_table(scores))

# %%
gallery(
    {
        "Lucy-Richardson": richardson.image,
        "Noise2Same, yours": runs[2],
        "the package's": package.image,
    },
    zoom=(90, 90, 72),
    alt="Three estimates of a tissue section: two soft ones, and one with more grain.",
)

# %% [markdown]
# With $\lambda_{inv} = 2$ your network is within some tenths of a decibel of the classical methods. The invariance
# has the intended effect: reconstruction alone, trained for long, scores far lower. But the package's larger network, trained
# for longer with the same loss, is below yours: its estimate has more grain. The next section says what Eq. 3 misses.

# %% tags=["hide-cell"]
psnr = {name: row["psnr"] for name, row in scores.items()}
assert psnr["Noise2Same, yours"] > psnr["noisy"] + 3
assert psnr["Noise2Same, yours"] > psnr["reconstruction alone, yours"] + 0.7
assert abs(psnr["Noise2Same, yours"] - psnr["median + Lucy-Richardson"]) < 0.7
assert psnr["noisy"] + 2 < psnr["Noise2Same, the package's"]
assert psnr["Noise2Same, the package's"] + 0.5 < psnr["Noise2Same, yours"]

# %% [markdown]
# ## Where the invariance compares
#
# $L_{inv}$ compares the outputs *after* the PSF. It can't detect what $g$ removes: in such detail the two
# estimates may differ by any amount.

# %%
with torch.inference_mode():
    difference = to_array(siamese(x) - siamese(x_hidden)) * std
before = np.sqrt(np.mean(difference[J] ** 2))
after = np.sqrt(np.mean(reblur(difference)[J] ** 2))
print(f"at J, before the PSF {before:.4f}, after it {after:.4f}")

# %% tags=["hide-cell"]
assert before > 1.7 * after

# %% [markdown]
# At a hidden pixel the two estimates differ by two to three times as much as their blurred versions do: the estimate
# still follows the noise of single pixels, in detail that $g$ hides from the loss, and the longer the training, the more.
# Notebook 06 moves the comparison before the PSF.
#
# ## Summary
#
# - Reconstruction alone learns the image first and then its noise; only early stopping would prevent that.
# - $L_{inv}$ compares the two passes at the hidden pixels; with the root it bounds the error that can't
#   be measured, and its gradient does not shrink with the difference.
# - $\lambda_{inv}$ balances explaining the measurement against copying its noise: too small, and noise is copied;
#   too large, and the residual shows structure. The bound chooses between runs without the clean image.
# - $L_{bound}$ is flat inside $[0, 1]$ and has slope 2 outside, in grey values; in Eq. 3 it acts on $g(f(x))$.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=1270)
