# %% [markdown]
# # Noise2Same: a second pass instead of a blind spot
#
# A blind-spot network never uses the value of the pixel that it predicts. Noise2Same compares the whole
# output with the whole measurement, and a second pass, with some pixels hidden, keeps the network from
# copying the noise. This notebook explains the terms of the paper's Eq. 3: reconstruction, invariance, boundary.
#
# | | |
# |---|---|
# | After it you can | say what reconstruction alone learns; write the invariance and the boundary term; say why there is a root, and which two errors lambda_inv balances |
# | Before it | Python and a little PyTorch; what a blind spot is (notebook 04) helps |
# | Reading | 20 minutes |
# | Running | 115 seconds and 1050 training steps, on two CPU cores |

# %%
import numpy as np
import torch
from IPython.display import Markdown
from scipy.ndimage import convolve
from siamdecon import (
    LossWeights,
    Noise,
    PSFConvolution,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    score,
)
from siamdecon.lab import ask, checks, gallery, lines, predictions, score_table
from siamdecon.microscope import blur, noise_level
from siamdecon.network import losses, predict, stratified_mask, to_array, to_tensor

# %% [markdown]
# The image is small, to keep the training runs short. The noise is the paper's; it is known exactly here,
# so its standard deviation can be computed.

# %%
clean, psf = load_sample("histology")[128:384, 128:384], paper_psf(2)
noisy = degrade(clean, psf, seed=0)
blurred = blur(clean, psf)
noise_std = (noisy - blurred).std()
print(f"standard deviation of the noise {noise_std:.4f}")

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
# ### Exercise 1: the invariance term
#
# `a` is $g(f(x))$, `b` is $g(f(x_{J^c}))$, and `mask` is True at $J$; all are tensors of one shape.


# %% tags=["task"]
def invariance(a, b, mask):
    square = ...
    return ...


# %% tags=["solution"]
def invariance(a, b, mask):
    square = (a - b)[mask] ** 2
    return square.mean().sqrt()


# %%
checks.invariance(invariance)

# %% [markdown] tags=["solution"]
# The term does not contain the measurement. Two equal outputs have an invariance loss of 0, whether they are
# right or not: the term is only useful together with the reconstruction loss.

# %% [markdown]
# ## Why a root: a bound on the true error
#
# The error to the noise-free blurred image $y$ can't be measured, and the reconstruction loss alone does not
# show it. Let $h = g(f(x))$, and let the noise $n = x - y$ have mean 0 and standard deviation $\sigma$, each
# pixel independent of the others. Then
#
# $$E\|h - y\|^2 / m = L_{rec} - \sigma^2 + 2\, E\langle h, n \rangle / m.$$
#
# The last term measures how much of the noise was copied. The prediction of the masked pass at $J$ is
# independent of the noise there, so it can be subtracted, and the Cauchy-Schwarz inequality gives
#
# $$E\|h - y\|^2 / m \;\le\; L_{rec} - \sigma^2 + 2 \sigma L_{inv}.$$
#
# (Xie, Wang and Ji, "Noise2Same", NeurIPS 2020.) The root comes from the inequality, and so does the 2: in a
# standardised image $\sigma$ is at most 1, which makes $\lambda_{inv} = 2$ the safe choice.
#
# A filter shows this without any training. It mixes a pixel with the mean of its neighbours: at a share
# of 0 the pixel's own value is not used, at 1 it is copied.


# %%
def mix(image, share):
    y, x = np.mgrid[-2:3, -2:3]
    kernel = (np.hypot(y, x) <= 2) * 1.0
    kernel[2, 2] = 0
    return share * image + (1 - share) * convolve(image, kernel / kernel.sum())


# %%
sigma = 0.1
y = degrade(clean, psf, Noise(gaussian=sigma, clip=False), seed=0)
generator = torch.Generator().manual_seed(0)
mask = stratified_mask((1, 1, *y.shape), 0.5, generator)
filling = 0.2 * torch.randn(
    mask.shape, generator=generator
)  # in units of the standardised image
J = mask[0, 0].numpy()
y_hidden = np.where(J, filling[0, 0].numpy() * y.std() + y.mean(), y)

# %%
share = np.linspace(0, 1, 21)
rec, inv, error = np.zeros((3, 21))
for i, s in enumerate(share):
    h = mix(y, s)
    rec[i] = np.mean((h - y) ** 2)
    inv[i] = np.sqrt(np.mean((h - mix(y_hidden, s))[J] ** 2))
    error[i] = np.mean((h - blurred) ** 2)

# %%
lines(
    share,
    {
        "L_rec - σ²": rec - sigma**2,
        "error to the noise-free image": error,
        "L_rec - σ² + 2 σ L_inv": rec - sigma**2 + 2 * sigma * inv,
    },
    xlabel="share of the pixel's own value",
    ylabel="mean square",
    alt="Against the share, the first curve falls throughout, the error has its minimum near 0.1 "
    "and rises, and the third lies above the error and rises.",
)

# %% tags=["hide-cell"]
assert (
    np.diff(rec) < 0
).all()  # copying always looks better to the reconstruction loss alone
bound = rec - sigma**2 + 2 * sigma * inv
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
slope = {"root of the mean square": [], "mean square": []}
for s in size:
    a, b = (
        torch.full((1, 1, 8, 8), float(s), requires_grad=True),
        torch.zeros(1, 1, 8, 8),
    )
    everywhere = torch.ones_like(b, dtype=torch.bool)
    for term, values in zip(
        (losses.invariance, losses.mean_square), slope.values(), strict=True
    ):
        values.append(float(torch.autograd.grad(term(a, b, everywhere), a)[0].sum()))

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
# First without any invariance, $\lambda_{inv} = 0$: three training runs, of 50, 150 and 400 steps. Clipping is
# not modelled here (`noise=None`), so the losses are those of the paper.
#
# The table gives for each run: the standard deviation of the residual; $L_{inv}$ in grey values; the error of
# $g(f(x))$ to the noise-free blurred image; the pixel-to-pixel grain in the estimate (`noise_level`); its PSNR in dB;
# and the bound derived above, $(L_{rec} - \sigma^2 + 2 \sigma L_{inv})^{1/2}$, which needs the clean image only for $\sigma$.

# %%
hidden = np.where(J, filling[0, 0].numpy() * noisy.std() + noisy.mean(), noisy)
inside = np.s_[8:-8, 8:-8]  # where the kernel lies wholly in the image
g = PSFConvolution(psf, padding="symmetric")


def reblur(image):
    return to_array(g(to_tensor(image, "cpu")))


def train(weights, steps):
    return deconvolve(
        noisy,
        psf,
        "noise2same",
        weights=weights,
        steps=steps,
        noise=None,
        progress=False,
    )


# %%
def figures(result):
    how = {"average_flips": False, "calibrate": False}  # one pass, as in training
    f, f_masked = (predict(result.run, z, **how) for z in (noisy, hidden))
    values = {
        "residual": result.residual[inside].std(),
        "L_inv": np.sqrt(np.mean(reblur(f - f_masked)[J] ** 2)),
        "error after g": (reblur(result.image) - blurred)[inside].std(),
        "grain": noise_level(result.image),
        "PSNR": score(clean, result.image)["psnr"],
    }
    square = values["residual"] ** 2 - noise_std**2 + 2 * noise_std * values["L_inv"]
    values["bound"] = np.sqrt(square.clip(0))
    return {name: round(float(value), 4) for name, value in values.items()}


def table(rows, title):
    head = f"| {title} | " + " | ".join(next(iter(rows.values()))) + " |"
    body = [
        f"| {n} | " + " | ".join(map(str, row.values())) + " |"
        for n, row in rows.items()
    ]
    return Markdown("\n".join([head, "|---" * 7 + "|", *body]))


# %%
falls = ask("05/falls")
falls

# %%
alone = {steps: train(LossWeights(lambda_rec=1), steps) for steps in (50, 150, 400)}

# %%
measured = {steps: figures(result) for steps, result in alone.items()}
table(measured, "steps")

# %%
falls.reveal(
    gallery(
        {"clean": clean, **{f"{steps} steps": r.image for steps, r in alone.items()}},
        zoom=(90, 90, 72),
        alt=falls.alt,
    )
)

# %%
gallery(
    {
        "measurement - blurred truth": noisy - blurred,
        **{f"residual, {steps} steps": r.residual for steps, r in alone.items()},
    },
    limits=(-0.3, 0.3),
    zoom=(90, 90, 72),
    alt="The noise, and three residuals: they look alike, grain without structure.",
)

# %% [markdown]
# The residual's standard deviation falls below that of the noise, so $g(f(x))$ has copied noise. By eye,
# nothing can be seen in the residual. The error of $g(f(x))$ hardly grows; that of $f(x)$ doubles, as 6 dB are
# a factor of 2: errors that $g$ damps change the loss little and the image much.

# %% tags=["hide-cell"]
assert measured[400]["residual"] < 0.98 * noise_std
assert measured[400]["PSNR"] + 2 < measured[150]["PSNR"] < measured[50]["PSNR"]
assert measured[400]["error after g"] < 1.5 * measured[50]["error after g"]
assert all(row["error after g"] < row["bound"] for row in measured.values())

# %% [markdown]
# ## With the invariance: the effect of lambda_inv
#
# Eq. 3 with three weights, 150 steps each, with the small boundary term that is explained further below.

# %%
runs = {0: alone[150]}
for weight in (0.5, 2, 8):
    runs[weight] = train(LossWeights.noise2same(lambda_inv=weight), steps=150)

# %%
rows = {weight: figures(result) for weight, result in runs.items()}
table(rows, "lambda_inv")

# %%
gallery(
    {f"lambda_inv = {weight}": result.image for weight, result in runs.items()},
    zoom=(90, 90, 72),
    alt="Four estimates: the coarse grain fades as lambda_inv grows, and a grain of single pixels appears.",
)

# %%
gallery(
    {f"lambda_inv = {weight}": result.residual for weight, result in runs.items()},
    limits=(-0.3, 0.3),
    zoom=(90, 90, 72),
    alt="Their residuals: noise alone at first, outlines of the tissue at lambda_inv = 8.",
)

# %% [markdown]
# As the weight grows, the residual rises and the invariance loss falls. At 8 the residual shows the tissue: the
# network leaves structure unexplained. Both the error after $g$ and the PSNR are best at 0.5 here, and the
# bound holds in every run.
#
# The estimates for 2 and 8 have a grain of single pixels. $g$ removes it, so no term of Eq. 3 penalises it;
# the last section returns to this.
#
# Reconstruction alone did as well after 50 steps as the best of these. But early stopping must happen at the
# right step, and the measurement does not show which one that is.

# %% tags=["hide-cell"]
residuals, invariances = (
    [row[name] for row in rows.values()] for name in ("residual", "L_inv")
)
assert (np.diff(residuals) > 2e-4).all() and (np.diff(invariances) < 0).all()
assert max(rows, key=lambda weight: rows[weight]["PSNR"]) == 0.5
assert min(rows, key=lambda weight: rows[weight]["error after g"]) == 0.5
assert all(row["error after g"] < row["bound"] for row in rows.values())
assert rows[8]["grain"] > 2 * rows[0.5]["grain"]
assert measured[50]["PSNR"] > rows[0.5]["PSNR"] - 0.3

# %% [markdown] tags=["equation:bound"]
# ## The boundary term
#
# The clean image lies in $[0, 1]$, and values outside are wrong. The paper adds
#
# $$L_{bound} = E\left( |min - g(f(x))| + |g(f(x)) - max| \right), \qquad min = 0,\; max = 1.$$
#
# ### Exercise 2: the boundary term
#
# Write it for any tensor `x`, as the mean over its pixels.


# %% tags=["task"]
def boundary(x, low, high):
    distance = ...
    return ...


# %% tags=["solution"]
def boundary(x, low, high):
    distance = (low - x).abs() + (x - high).abs()
    return distance.mean()


# %%
checks.boundary(boundary)

# %% [markdown] tags=["solution"]
# Inside the bounds the two distances add up to max - min, whatever the pixel's value. A term of 1 is
# therefore its minimum; only the excess over 1 counts.

# %%
value = torch.linspace(-1, 2, 301, requires_grad=True)
term = torch.stack([losses.boundary(v) for v in value])
slopes = torch.autograd.grad(term.sum(), value)[0]
lines(
    value.detach().numpy(),
    {"|min - x| + |x - max|": term.detach().numpy(), "its slope": slopes.numpy()},
    xlabel="value of a pixel",
    ylabel="",
    alt="The term is 1 from 0 to 1 and rises on both sides; its slope is -2, 0 and 2.",
)

# %% tags=["hide-cell"]
at = {float(v): float(s) for v, s in zip(value.detach(), slopes, strict=True)}
assert at[-1.0] == -2 and at[2.0] == 2 and float(slopes[150]) == 0

# %% [markdown]
# The term works on grey values, so the network's output is destandardised first: a standardised
# image lies outside $[0, 1]$ almost everywhere, and the term would flatten it.

# %%
standardised = (noisy - noisy.mean()) / noisy.std()
for name, image in {"grey values": noisy, "standardised": standardised}.items():
    outside = np.mean((image < 0) | (image > 1))
    print(
        f"{name}: {outside:.0%} outside, L_bound {losses.boundary(torch.from_numpy(image)):.3f}"
    )

# %%
kept = ask("05/kept")
kept

# %%
deconvolved = alone[400].image
values = {"f(x)": deconvolved, "g(f(x))": reblur(deconvolved)}
for name, image in values.items():
    outside = np.mean((image < 0) | (image > 1))
    print(
        f"{name}: {outside:.1%} outside, L_bound {losses.boundary(torch.from_numpy(image)):.3f}"
    )

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
assert np.mean((deconvolved < 0) | (deconvolved > 1)) > 0.03
assert losses.boundary(torch.from_numpy(reblur(deconvolved))) < 1.001

# %% [markdown]
# After the PSF the term has almost no effect; it can only detect an output that is out of range over large
# areas. Notebook 06 applies it before the PSF.

# %% [markdown] tags=["equation:eq3"]
# ## Eq. 3 compared with the classical methods
#
# $$L(f)_{Noise2Same} = L_{rec} + \lambda_{inv} L_{inv} + \lambda_{bound} L_{bound}$$
#
# with $\lambda_{inv} = 2$ and $\lambda_{bound} = 0.1$. (Two iterations of Lucy-Richardson are best for this
# image; only the clean image shows that.)

# %%
estimates = {
    "Lucy-Richardson, n = 2": deconvolve(noisy, psf, "richardson_lucy", iterations=2),
    "median + Lucy-Richardson": deconvolve(
        noisy, psf, "richardson_lucy", iterations=5, prefilter="median"
    ),
    "reconstruction alone": alone[400],
    "Noise2Same": runs[2],
}
scores = {"noisy": score(clean, noisy)}
scores |= {name: score(clean, r.image) for name, r in estimates.items()}
Markdown(score_table(scores))

# %%
gallery(
    {name: r.image for name, r in estimates.items()},
    zoom=(90, 90, 72),
    alt="Four estimates: two smooth ones, one of noise and pattern, and Noise2Same with a grain of pixels.",
)

# %%
gallery(
    {name: r.residual for name, r in estimates.items()},
    limits=(-0.3, 0.3),
    zoom=(90, 90, 72),
    alt="Four residuals, mostly noise; faint tissue in that of Noise2Same.",
)

# %% [markdown]
# After 150 steps Eq. 3 does about as well as the classical methods by PSNR, and worse by SSIM because of the
# grain. The invariance has the intended effect: reconstruction alone scores far lower.

# %% tags=["hide-cell"]
psnr, ssim = (
    {name: row[key] for name, row in scores.items()} for key in ("psnr", "ssim")
)
assert (
    psnr["Noise2Same"] > psnr["noisy"] + 3
    and psnr["Noise2Same"] > psnr["reconstruction alone"] + 2
)
assert abs(psnr["Noise2Same"] - psnr["median + Lucy-Richardson"]) < 0.5
assert psnr["Noise2Same"] < psnr["Lucy-Richardson, n = 2"]
assert ssim["Noise2Same"] < ssim["Lucy-Richardson, n = 2"]

# %% [markdown]
# ## Where the invariance compares
#
# $L_{inv}$ compares the outputs *after* the PSF. It can't detect what $g$ removes: in such detail the two
# estimates may differ by any amount.

# %%
how = {"average_flips": False, "calibrate": False}
f, f_masked = (predict(runs[2].run, z, **how) for z in (noisy, hidden))
difference = f - f_masked
before = np.sqrt(np.mean(difference[J] ** 2))
after = np.sqrt(np.mean(reblur(difference)[J] ** 2))
print(f"at J, before the PSF {before:.4f}, after it {after:.4f}")

# %% tags=["hide-cell"]
assert before > 5 * after

# %% [markdown]
# At a hidden pixel the two estimates differ by ten times as much as their blurred versions do: the estimate
# still follows the noise of single pixels, in detail that $g$ hides from the loss. Notebook 06 moves the
# comparison before the PSF.
#
# ## Summary
#
# - Reconstruction alone learns the image first and then its noise; only early stopping would prevent that.
# - $L_{inv}$ compares the two passes at the hidden pixels; with the root it bounds the error that can't
#   be measured, and its gradient does not shrink with the difference.
# - $\lambda_{inv}$ balances explaining the measurement against copying its noise: too small, and noise is copied;
#   too large, and the residual shows structure.
# - $L_{bound}$ is flat inside $[0, 1]$ and has slope 2 outside, in grey values; in Eq. 3 it acts on $g(f(x))$.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=1050)
