# %% [markdown]
# # Deconvolved invariance: compare the estimates before the PSF
#
# Noise2Same compares two estimates after they are blurred again. The paper's contribution is to compare
# them before the blur, where the result is taken. This notebook shows the effect of this change.
#
# | | |
# |---|---|
# | After it you can | write Eq. 4; say what each invariance loss detects; reproduce the order of the paper's Table 1; choose the lambdas |
# | Before it | Python and PyTorch; what a blind spot and an invariance loss are (notebooks 04 and 05) |
# | Reading | 20 minutes |
# | Running | 150 seconds and 1200 training steps, on two CPU cores |

# %%
import numpy as np
import torch
from IPython.display import Markdown, display
from siamdecon import (
    PSFConvolution,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    richardson_lucy,
    score,
)
from siamdecon.lab import (
    LambdaExplorer,
    LiveTraining,
    ask,
    checks,
    gallery,
    predictions,
    score_table,
)
from siamdecon.network import invariance, predict

# %%
square = (slice(128, 384), slice(128, 384))
clean, psf = load_sample("histology")[square], paper_psf(2)
noisy = degrade(clean, psf, seed=0)
g = PSFConvolution(psf)

# %% [markdown]
# ## Two places for one comparison
#
# The network $f$ is applied to the measurement $x$, and to $x_{J^c}$, in which the pixels $J$ are replaced by
# noise. The PSF $g$ blurs both estimates. They can be compared at two places:
#
# $$x \;\xrightarrow{\;f\;}\; \underbrace{f(x)}_{L_{inv (d)}} \;\xrightarrow{\;g\;}\;
# \underbrace{g(f(x))}_{L_{inv}} \;\longleftrightarrow\; x$$
#
# A difference that the PSF removes can't be detected after it. Below, two estimates differ by fine stripes.

# %%
stripes = 0.1 * np.sin(2 * np.pi * 0.268 * np.arange(256)) * np.ones_like(clean)
f = torch.from_numpy(clean)[None, None]  # (1, 1, y, x)
f_striped = f + torch.from_numpy(stripes)[None, None].float()
mask = torch.zeros(f.shape, dtype=torch.bool)
mask[..., 20:-20:7, 20:-20:7] = True
before, after = invariance(f, f_striped, mask), invariance(g(f), g(f_striped), mask)

# %%
places = ask("06/places")
places

# %%
places.reveal(
    gallery(
        {
            "first estimate": f[0, 0].numpy(),
            "second": f_striped[0, 0].numpy(),
            "g(first)": g(f)[0, 0].numpy(),
            "g(second)": g(f_striped)[0, 0].numpy(),
        },
        zoom=(100, 100, 64),
        alt=places.alt,
    )
)

# %%
print(f"L_inv(d), before the PSF: {before:.4f}")
print(f"L_inv,    after the PSF:  {after:.4f}")

# %% tags=["hide-cell"]
assert before > 0.05 > 10 * after

# %% [markdown]
# So Noise2Same allows $f$ to copy noise, as long as $g$ removes it. The deconvolved loss penalises it.

# %% [markdown] tags=["equation:inv-d", "equation:eq4", "equation:bound-d", "equation:eq1"]
# ## Eq. 4
#
# $$L_{inv (d)} = E_J \left( E_x \| f(x)_J - f(x_{J^c})_J \|^2 / |J| \right)^{1/2}$$
#
# $$L = L_{rec} + \lambda_{inv (d)} L_{inv (d)} + \lambda_{bound (d)} L_{bound (d)}$$
#
# The boundary loss moves before the PSF too: $L_{bound (d)} = E(|min - f(x)| + |f(x) - max|)$. The paper
# uses $\lambda_{inv (d)} = 2$ and $\lambda_{bound (d)} = 0.1$. With the blind-spot loss of notebook 04 and the
# terms of notebook 05 this completes Eq. 1, the composition loss:
#
# $$L = \lambda_{bsp} L_{bsp} + \lambda_{rec} L_{rec} + \lambda_{inv} L_{inv} + \lambda_{inv (d)} L_{inv (d)}
# + \lambda_{bound} L_{bound} + \lambda_{bound (d)} L_{bound (d)}$$

# %% [markdown]
# ### Exercise 1: the loss
#
# Write Eq. 4 without its boundary loss: `x` is the measurement, `f` and `f_masked` are $f(x)$ and
# $f(x_{J^c})$, `g_f` is $g(f(x))$; `mask` is True at $J$. All are NumPy arrays of one shape.


# %% tags=["task"]
def noise2same_d_loss(x, mask, f, f_masked, g_f, lambda_inv_d):
    rec = ...
    inv_d = ...
    return ...


# %% tags=["solution"]
def noise2same_d_loss(x, mask, f, f_masked, g_f, lambda_inv_d):
    rec = np.mean((g_f - x) ** 2)
    inv_d = np.sqrt(np.mean((f[mask] - f_masked[mask]) ** 2))
    return rec + lambda_inv_d * inv_d


# %%
checks.noise2same_d_loss(noise2same_d_loss)

# %% [markdown] tags=["solution"]
# `g_f` appears in the reconstruction only. That is why Eq. 4 needs one blur a step where Eq. 3 needs two:
# the masked estimate is never blurred.

# %% [markdown]
# ## The order of Table 1, on a laptop
#
# In the paper's Table 1, Noise2Same (21.49 dB) is below Noise2Self (22.49), which is below Noise2Same (d)
# (22.79), as means over 22 images. Here we use one crop of one image and a sixth of the features, with the
# paper's losses and the paper's inference: a single pass, `noise=None`, nothing averaged.

# %%
order = ask("06/order")
order

# %%
live = LiveTraining(noisy)
live

# %%
paper = {"noise": None, "average_flips": False, "calibrate": False, "progress": False}
runs = {
    "Noise2Self": deconvolve(noisy, psf, "noise2self", callback=live, **paper),
    "Noise2Same": deconvolve(noisy, psf, "noise2same", callback=live, **paper),
    "Noise2Same (d)": deconvolve(noisy, psf, "noise2same_d", callback=live, **paper),
}

# %%
single = {name: score(clean, run.image) for name, run in runs.items()}
display(Markdown(score_table(single)))
order.reveal(
    gallery(
        {name: run.image for name, run in runs.items()} | {"clean": clean},
        zoom=(64, 64, 96),
        alt=order.alt,
    )
)

# %% tags=["hide-cell"]
psnr = {name: row["psnr"] for name, row in single.items()}
assert psnr["Noise2Same"] < psnr["Noise2Self"] < psnr["Noise2Same (d)"]

# %% [markdown]
# The residuals of the three are alike: each estimate explains the measurement. The estimates differ in detail
# that the PSF does not pass.

# %%
gallery(
    {name: run.residual for name, run in runs.items()},
    limits=(-0.3, 0.3),
    zoom=(64, 64, 96),
    alt="Three residuals that look like noise.",
)

# %% [markdown]
# ### Exercise 2: average over rotations and flips
#
# The kernel is a ring: a rotated image has the same blur. So the network can restore the image in eight
# orientations (four rotations of the image, and four of its mirror image), and the mean of the results, each
# rotated back, has less of the noise that depends on the orientation. This is not in the paper. `restore` takes
# and returns a square array; `np.rot90(image, turn)` rotates it, `np.flip(image, 0)` mirrors it.


# %% tags=["task"]
def average_turns(restore, image):
    results = []
    for flip in (False, True):
        for turn in range(4):
            seen = np.rot90(np.flip(image, 0) if flip else image, turn)
            back = ...
            results.append(np.flip(back, 0) if flip else back)
    return ...


# %% tags=["solution"]
def average_turns(restore, image):
    results = []
    for flip in (False, True):
        for turn in range(4):
            seen = np.rot90(np.flip(image, 0) if flip else image, turn)
            back = np.rot90(restore(seen), -turn)
            results.append(np.flip(back, 0) if flip else back)
    return np.mean(results, axis=0)


# %%
checks.average_turns(average_turns)

# %% [markdown] tags=["solution"]
# With a kernel that is not symmetric this would be wrong: the network would have to undo a blur that the
# microscope does not cause. `siamdecon.network.patches.symmetries` finds the rotations and flips that a kernel allows.

# %%
averaged = {
    name: score(
        clean, predict(run.run, noisy, psf, average_flips=True, calibrate=True)
    )
    for name, run in runs.items()
}
classical = {
    "Lucy-Richardson, best iteration": max(
        (score(clean, richardson_lucy(noisy, psf, n)) for n in (1, 2, 3, 5, 10)),
        key=lambda row: row["psnr"],
    ),
    "median filter + Lucy-Richardson": score(
        clean, richardson_lucy(noisy, psf, 5, prefilter="median")
    ),
}
Markdown(
    score_table(
        {f"{name}, averaged": row for name, row in averaged.items()} | classical
    )
)

# %% [markdown]
# ## Explorer: the lambdas
#
# These controls show 48 training runs on this crop, each recorded at six steps. Left: the estimate. Right:
# the residual. Below: the spectrum. "amplitude / clean" is how much of each frequency the estimate has;
# "correlation with clean" is how much of it is right.
#
# 1. Both lambdas 0, no boundary loss: move through the steps. When is the PSNR highest, and how do residual
#    and spectrum change after that?
# 2. `lambda inv` 2 alone against `lambda inv d` 2 alone, last step: at which frequencies do they differ, and is
#    the first one right there?
# 3. Both at 8: what does the residual show?
# 4. Which setting and step would you have chosen by the residual alone?

# %%
LambdaExplorer()

# %% tags=["hide-cell"]
explorer = LambdaExplorer(tier="test")
explorer.set(lambda_inv=0, lambda_inv_d=0, boundary="none", step=400)
identity = explorer.frame
explorer.set(lambda_inv_d=2)
assert explorer.frame.text != identity.text
residual = [
    float(frame.text.split()[-1].rstrip(".")) for frame in (identity, explorer.frame)
]
assert residual[0] < residual[1]
psnr = [
    float(
        explorer.frame_at((0, weight, "none", 400)).text.split("PSNR ")[1].split()[0]
    )
    for weight in (0, 2, 8)
]
assert np.allclose(psnr, [16.6, 22.9, 22.4], atol=0.1)
amplitude = "amplitude / clean"
assert np.mean(identity.curves[amplitude]) > np.mean(explorer.frame.curves[amplitude])

# %% [markdown]
# ## Summary
#
# - The invariance loss before the PSF detects what the PSF removes; the one after it does not.
# - Eq. 4 costs one blur a step less than Eq. 3.
# - On this crop the order is that of Table 1: Noise2Same, Noise2Self, Noise2Same (d).
# - $\lambda_{inv (d)}$ balances grain against detail: 0 ends with the noise in the estimate (16.6 dB after 400 steps),
#   2 does not (22.9 dB), and 8 leaves detail in the residual (22.4 dB).

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=1200)

# %% tags=["hide-cell"]
# Live training adds a setting to the controls: a few steps here, the lab tier for a learner.
explorer.train(1.0, 1.0, "deconvolved, 0.1")
assert explorer.at == (1.0, 1.0, "deconvolved, 0.1", 4)
assert "step 4" in explorer.frame.text

# %% [markdown]
# With a GPU, the paper's own size: 96 features, 3000 steps. Without one this cell does nothing.

# %% tags=["gpu"]
if torch.cuda.is_available():
    large = deconvolve(
        noisy, psf, "noise2same_d", tier="full", callback=live, progress=False
    )
    print(score(clean, large.image))
