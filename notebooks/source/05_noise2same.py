# %% [markdown]
# # Noise2Same: a second pass instead of a blind spot
#
# A blind-spot network never uses the pixel that it is judged by. Noise2Same compares the whole guess
# with the whole measurement, and a second pass, with some pixels hidden, keeps the network from copying
# the noise. This notebook takes the paper's Eq. 3 apart: reconstruction, invariance, boundary.
#
# | | |
# |---|---|
# | After it you can | say what reconstruction alone learns; write the invariance and the boundary term; say why there is a root, and what lambda_inv trades |
# | Before it | Python and a little PyTorch; what a blind spot is (notebook 04) helps |
# | Reading | 20 minutes |
# | Running | 130 seconds and 1000 training steps, on two CPU cores |

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
    losses,
    paper_psf,
    score,
)
from siamdecon.arrays import to_array, to_tensor
from siamdecon.degradation import blur, residual
from siamdecon.inference import predict
from siamdecon.lab import checks
from siamdecon.lab.plots import gallery, lines, score_table
from siamdecon.lab.questions import Question, predictions
from siamdecon.patches import stratified_mask

# %% [markdown]
# The image is small, to keep the trainings short. The noise is the paper's; what it really was is known
# here, so its standard deviation can be taken.

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
# replaced by noise. Both guesses are blurred by $g$. Of the unmasked one the **reconstruction loss** asks
# that it explains all $m$ pixels of the measurement,
#
# $$L_{rec} = E\, \|g(f(x)) - x\|^2 / m,$$
#
# and the **invariance loss** asks that hiding a pixel changes nothing there:
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
# The term does not know the measurement. Two equal outputs have an invariance loss of 0, whether they are
# right or not: only together with the reconstruction does it mean anything.

# %% [markdown]
# ## Why a root: a bound on what can't be measured
#
# The error to the noise-free blurred image $y$ can't be measured, and the reconstruction loss alone misses
# it. Let $h = g(f(x))$, and let the noise $n = x - y$ have mean 0 and standard deviation $\sigma$, each
# pixel independent of the others. Then
#
# $$E\|h - y\|^2 / m = L_{rec} - \sigma^2 + 2\, E\langle h, n \rangle / m.$$
#
# The last part says how much of the noise was copied. What the masked pass predicts at $J$ has not seen
# the noise there, so it can be subtracted, and the Cauchy-Schwarz inequality gives
#
# $$E\|h - y\|^2 / m \;\le\; L_{rec} - \sigma^2 + 2 \sigma L_{inv}.$$
#
# (Xie, Wang and Ji, "Noise2Same", NeurIPS 2020.) The root is the inequality's, and so is the 2: in a
# standardised image $\sigma$ is at most 1, which makes $\lambda_{inv} = 2$ the safe choice.
#
# A filter shows it without any training. It mixes a pixel with the mean of its neighbours: at a share
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
filling = 0.2 * torch.randn(mask.shape, generator=generator)  # in units of the standardised image
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
assert (np.diff(rec) < 0).all()  # copying always looks better to the reconstruction loss alone
bound = rec - sigma**2 + 2 * sigma * inv
assert (error < bound + 5e-4).all() and bound.argmin() == 0
assert 0 < share[error.argmin()] < 0.2

# %% [markdown]
# The reconstruction loss is lowest where the noise is copied. The bound holds the filter back. It is
# cautious: the true error is smallest at a share above 0, since the pixel's own value does tell
# something. This is what a blind spot throws away, and what a smaller $\lambda_{inv}$ may use.

# %%
gradient = Question(
    "Training makes the two outputs alike. What happens to the gradient of the root of the mean square?",
    ["It falls to 0 with the difference", "It stays as large as it was", "It grows without bound"],
    answer=1,
    because="The root is proportional to the difference, so its slope does not depend on its size.",
)
gradient

# %%
size = torch.logspace(-3, 0, 20)
slope = {"root of the mean square": [], "mean square": []}
for s in size:
    a, b = torch.full((1, 1, 8, 8), float(s), requires_grad=True), torch.zeros(1, 1, 8, 8)
    everywhere = torch.ones_like(b, dtype=torch.bool)
    for term, values in zip((losses.invariance, losses.mean_square), slope.values(), strict=True):
        values.append(float(torch.autograd.grad(term(a, b, everywhere), a)[0].sum()))

# %%
gradient.reveal(
    lines(
        size.numpy(),
        slope,
        log="xy",
        xlabel="difference of the two outputs",
        ylabel="slope",
        alt="The slope of the root is 1 at every difference; that of the mean square falls in proportion.",
    )
)

# %% tags=["hide-cell"]
assert np.allclose(slope["root of the mean square"], 1, atol=1e-3)
assert np.allclose(slope["mean square"], 2 * size.numpy(), rtol=1e-3)

# %% [markdown]
# A square would hardly push once the outputs are nearly alike, and the last bit of copied noise would
# stay.
#
# ## Reconstruction alone
#
# First without any invariance: $\lambda_{inv} = 0$. During the training some figures are taken, all from
# one pass over the image, as the paper restores. Clipping is not modelled here (`noise=None`), so the
# losses are as printed.

# %%
hidden = np.where(J, filling[0, 0].numpy() * noisy.std() + noisy.mean(), noisy)
inside = np.s_[8:-8, 8:-8]  # where the kernel lies wholly in the image
g = PSFConvolution(psf, padding="symmetric")


def figures(run):
    estimate = predict(run, noisy, psf, average_flips=False)
    how = {"average_flips": False, "calibrate": False}
    a, b = (to_array(g(to_tensor(predict(run, z, **how), "cpu"))) for z in (noisy, hidden))
    return {
        "image": estimate,
        "residual": residual(estimate, noisy, psf)[inside].std(),
        "invariance": np.sqrt(np.mean((a - b)[J] ** 2)),
        "psnr": score(clean, estimate)["psnr"],
    }


# %%
STOPS = (10, 25, 50, 100, 200, 400)


def train(weights, steps):
    seen = {}

    def look(run):
        if run.step in STOPS:
            seen[run.step] = figures(run)

    result = deconvolve(
        noisy,
        psf,
        "noise2same",
        weights=weights,
        steps=steps,
        noise=None,
        callback=look,
        progress=False,
    )
    return result, seen


# %%
alone = Question(
    "Trained with the reconstruction loss alone, what does the estimate's PSNR do?",
    ["It rises to a level and stays there", "It rises, then falls", "It falls from the start"],
    answer=1,
    because="The network learns the smooth image first, and the noise later.",
)
alone

# %%
results, seen = {}, {}
results[0], seen[0] = train(LossWeights(lambda_rec=1), steps=400)
history = seen[0]
for step, row in history.items():
    print(f"step {step:3}: PSNR {row['psnr']:.2f} dB, residual {row['residual']:.4f}")

# %%
alone.reveal(
    gallery(
        {
            "clean": clean,
            "step 50": history[50]["image"],
            "step 200": history[200]["image"],
            "step 400": history[400]["image"],
        },
        zoom=(90, 90, 72),
        alt="The clean image, and estimates after 50, 200 and 400 steps: smooth, grainy, noise.",
    )
)

# %% [markdown]
# The residual's standard deviation falls below that of the noise. No correct estimate can do that: what
# is missing in the residual sits in the estimate, and since $g$ damps fine detail, $f$ must put a
# multiple of it there. Nothing in $L_{rec}$ says so, it falls to the end.

# %% tags=["hide-cell"]
psnr = {step: row["psnr"] for step, row in history.items()}
assert history[400]["residual"] < 0.98 * noise_std < history[50]["residual"]
assert psnr[400] < psnr[200] < psnr[50] - 0.5

# %% [markdown]
# ## With the invariance: what lambda_inv trades
#
# Eq. 3 with three weights, 200 steps each, with the small boundary term that the last section explains.

# %%
for weight in (0.5, 2, 8):
    results[weight], seen[weight] = train(LossWeights.noise2same(lambda_inv=weight), steps=200)

# %%
table = ["| lambda_inv | residual | L_inv | PSNR (dB) |", "|---|---|---|---|"]
for weight, rows in seen.items():
    r = rows[200]
    table.append(f"| {weight} | {r['residual']:.4f} | {r['invariance']:.4f} | {r['psnr']:.2f} |")
Markdown("\n".join(table))

# %%
lines(
    {f"lambda_inv = {weight}": list(rows) for weight, rows in seen.items()},
    {
        f"lambda_inv = {weight}": [row["psnr"] for row in rows.values()]
        for weight, rows in seen.items()
    },
    log="x",
    xlabel="training step",
    ylabel="PSNR (dB)",
    alt="PSNR against steps: without invariance it falls after step 50, with it it does not fall as far.",
)

# %%
gallery(
    {f"lambda_inv = {weight}": rows[200]["image"] for weight, rows in seen.items()},
    zoom=(90, 90, 72),
    alt="Four estimates after 200 steps: the grain fades as lambda_inv grows.",
)

# %%
gallery(
    {
        f"lambda_inv = {weight}": residual(rows[200]["image"], noisy, psf)
        for weight, rows in seen.items()
    },
    limits=(-0.3, 0.3),
    zoom=(90, 90, 72),
    alt="Their residuals.",
)

# %% [markdown] tags=["equation:bound"]
# ## The boundary term
#
# The clean image lies in $[0, 1]$, and values beyond are wrong. The paper adds
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
# Inside the bounds the two distances add up to max - min, wherever the pixel lies. The value of 1 means
# nothing; only what exceeds it does.

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
# image leaves $[0, 1]$ almost everywhere, and the term would press it flat.

# %%
standardised = (noisy - noisy.mean()) / noisy.std()
for name, image in {"grey values": noisy, "standardised": standardised}.items():
    outside = np.mean((image < 0) | (image > 1))
    print(f"{name}: {outside:.0%} outside, L_bound {losses.boundary(torch.from_numpy(image)):.3f}")

# %%
kept = Question(
    "Eq. 3 bounds g(f(x)). Does that keep the estimate f(x) within [0, 1]?",
    ["Yes", "No: its blurred version may lie within while it does not"],
    answer=1,
    because="g averages neighbours: values above 1 and below 0 cancel in the mean.",
)
kept

# %%
deconvolved = results[2].image
reconvolved = to_array(g(to_tensor(deconvolved, "cpu")))
edges = np.linspace(-0.5, 1.5, 81)
values = {"f(x)": deconvolved, "g(f(x))": reconvolved}
for name, image in values.items():
    print(f"{name}: {np.mean((image < 0) | (image > 1)):.2%} outside [0, 1]")
kept.reveal(
    lines(
        (edges[1:] + edges[:-1]) / 2,
        {name: np.histogram(i, edges, density=True)[0] for name, i in values.items()},
        xlabel="value",
        ylabel="density",
        alt="Histograms: the values of f(x) spread more widely than those of g(f(x)).",
    )
)

# %% [markdown] tags=["equation:eq3"]
# ## Eq. 3, and its opponents
#
# $$L(f)_{Noise2Same} = L_{rec} + \lambda_{inv} L_{inv} + \lambda_{bound} L_{bound}$$
#
# with $\lambda_{inv} = 2$ and $\lambda_{bound} = 0.1$. Now the estimate is averaged over flips and
# rotations, as the package does at this size of run, and stands beside the classical methods.

# %%
estimates = {
    "Lucy-Richardson, n = 2": deconvolve(noisy, psf, "richardson_lucy", iterations=2),
    "median + Lucy-Richardson": deconvolve(
        noisy, psf, "richardson_lucy", iterations=5, prefilter="median"
    ),
    "reconstruction alone": results[0],
    "Noise2Same": results[2],
}
scores = {"noisy": score(clean, noisy)}
scores |= {name: score(clean, r.image) for name, r in estimates.items()}
Markdown(score_table(scores))

# %%
gallery(
    {name: r.image for name, r in estimates.items()},
    zoom=(90, 90, 72),
    alt="Four estimates.",
)

# %%
gallery(
    {name: r.residual for name, r in estimates.items()},
    limits=(-0.3, 0.3),
    zoom=(90, 90, 72),
    alt="Four residuals.",
)

# %% [markdown]
# ## Where the invariance looks
#
# $L_{inv}$ compares the outputs *after* the PSF. What $g$ removes it can't see: the two guesses may
# differ there as they like.

# %%
how = {"average_flips": False, "calibrate": False}
f, f_masked = (predict(results[2].run, z, **how) for z in (noisy, hidden))
difference = f - f_masked
print(f"before the PSF, at J: {np.sqrt(np.mean(difference[J] ** 2)):.4f}")
print(f"after the PSF, at J:  {np.sqrt(np.mean(blur(difference, psf)[J] ** 2)):.4f}")

# %% [markdown]
# Notebook 06 moves the comparison before the PSF.
#
# ## Summary
#
# - Reconstruction alone learns the image first and then its noise; only early stopping would save it.
# - $L_{inv}$ compares the two passes at the hidden pixels; with the root it bounds the error that can't
#   be measured, and it pushes as long as there is a difference.
# - $\lambda_{inv}$ trades explaining the measurement against copying its noise.
# - $L_{bound}$ is flat inside $[0, 1]$ and has slope 2 outside, in grey values; in Eq. 3 it acts on $g(f(x))$.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab.budget import check_budget

check_budget(training_steps=1000)
