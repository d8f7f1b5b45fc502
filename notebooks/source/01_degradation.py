# %% [markdown]
# # Degradation: what a microscope does to an image
#
# A measurement is the specimen, blurred by the point-spread function (PSF), plus noise, rounded and
# clipped by a camera. To reverse this, one must first be able to simulate it.
#
# | | |
# |---|---|
# | After it you can | build a PSF from the optics; blur an image; add each kind of noise; say what clipping does to the mean |
# | Before it | Python and NumPy; what a complex exponential is |
# | Reading | 20 minutes |
# | Running | 10 seconds and 0 training steps, on two CPU cores |

# %%
import numpy as np
from siamdecon import PAPER_2D, Microscope, Noise, degrade, load_sample, paper_psf
from siamdecon.lab import (
    ask,
    checks,
    gallery,
    lines,
    noise_explorer,
    optics_explorer,
    predictions,
)
from siamdecon.microscope import blur, gibson_lanni, richards_wolf

# %% [markdown] tags=["equation:psf"]
# ## Where the blur comes from
#
# A point of light leaves the objective as a cone of rays. In the image every ray of the cone arrives
# with its own phase, and the waves add up. For a ring of the pupil with radius $\rho$ (0 in the middle,
# 1 at the rim) the phase at distance $z$ from the focus is $k z \sqrt{n^2 - \mathrm{NA}^2 \rho^2}$, with
# $k = 2\pi / \lambda$. The intensity at radius $r$ is
#
# $$h(r, z) = \left| \int_0^1 J_0(k\, a\, r\, \rho)\;
# e^{\,i k z \sqrt{n^2 - \mathrm{NA}^2 \rho^2}}\; \rho\, d\rho \right|^2$$
#
# with $a$ the numerical aperture in the specimen. In focus, $z = 0$, all phases agree.

# %% [markdown]
# ### Exercise 1: the phase
#
# Write the exponential under the integral. All lengths are in micrometres.


# %% tags=["task"]
def defocus_phase(rho, z, na, index, wavelength):
    k = ...
    return ...


# %% tags=["solution"]
def defocus_phase(rho, z, na, index, wavelength):
    k = 2 * np.pi / wavelength
    return np.exp(1j * k * z * np.sqrt(index**2 - (na * rho) ** 2))


# %%
checks.defocus_phase(defocus_phase)

# %% [markdown] tags=["solution"]
# The phase grows with the defocus and is largest in the middle of the pupil. What matters is how much
# it *differs* across the pupil: a phase that all rays share changes no intensity.

# %% [markdown]
# With that line, a PSF takes four more lines for the sum over the pupil. The package's PSF, which is
# sampled more carefully, is shown for comparison.

# %%
from scipy.special import j0

optics = Microscope(
    na=0.8, wavelength=0.6, index=1.33, pixel_size=0.406, size=17, defocus=3.045
)
rho = (np.arange(1000) + 0.5) / 1000
field = np.zeros((17, 17), dtype=complex)
for ring in rho:
    phase = np.exp(2j * np.pi / 0.6 * 3.045 * np.sqrt(1.33**2 - (0.8 * ring) ** 2))
    field += j0(2 * np.pi / 0.6 * 0.8 * optics.radii() * ring) * phase * ring
by_hand = np.abs(field) ** 2 / np.sum(np.abs(field) ** 2)
psf = gibson_lanni(optics)

# %%
gallery(
    {"by hand": by_hand, "gibson_lanni": psf, "in focus": gibson_lanni(Microscope())},
    limits=(0, 0.05),
    alt="Two equal ring-shaped kernels, and the one in focus: a single bright pixel.",
)

# %% tags=["hide-cell"]
# The small difference comes from half-pixel sampling of the profile, which the paper's numbers need.
assert np.abs(by_hand - psf).max() < 0.1 * psf.max()

# %% [markdown]
# In focus one pixel holds most of the light: the image is hardly blurred, and restoring it would be
# easy. The paper uses the plane 3 µm below the focus, where the kernel is a ring 17 pixels wide.

# %%
focus = ask("01/focus")
focus

# %%
focus.reveal(
    gallery(
        {
            f"{wavelength} µm": gibson_lanni(
                Microscope(wavelength=wavelength, pixel_size=0.1)
            )
            for wavelength in (0.45, 0.6, 0.7)
        },
        limits=(0, 0.05),
        alt=focus.alt,
    )
)

# %% [markdown]
# ### Explorer: the optics
#
# Left: the kernel. Right: an image blurred by it. Below: $|F(k)|$, the share of each spatial frequency
# that the kernel passes. Where it reaches zero, that detail is lost. Try lowering the defocus from 3 to 0,
# then an NA of 1.2 in air (index 1).

# %%
optics_explorer()

# %% tags=["hide-cell"]
explorer = optics_explorer()
sharp, blurred_frame = [
    explorer.frame_at((0.8, 0.6, 1.33, 0.406, defocus)) for defocus in (0.0, 3.0)
]
assert min(sharp.curves["|F(k)|"]) > 0.3 > min(blurred_frame.curves["|F(k)|"])
explorer.set(na=1.2, index=1.0)
assert "no such objective" in explorer.frame.text

# %% [markdown]
# ### Two models
#
# The paper's kernel is scalar: it ignores the polarisation of light. At a high numerical aperture
# polarisation matters, and the vectorial model of Richards and Wolf is more accurate. (The paper
# calls its scalar kernel "Richards & Wolf"; here each has its own name.)

# %%
difference = {}
for na in (0.3, 0.6, 0.9, 1.2):
    optics = Microscope(na=na, pixel_size=0.1, size=33)
    scalar, vectorial = gibson_lanni(optics), richards_wolf(optics)
    difference[na] = np.abs(scalar - vectorial).max() / scalar.max()
print({na: f"{share:.1%}" for na, share in difference.items()})

# %% [markdown] tags=["equation:degradation"]
# ## Blur, then noise
#
# The measurement $y$ of a clean image $x$ is (Section 3 of the paper)
#
# $$y = x * k + \sqrt{\alpha\,(x * k) + \sigma^2}\; n, \qquad n \sim N(0, 1),$$
#
# with $\alpha = 0.001$ and $\sigma = 0.1$, then 1 % of the pixels replaced by random values, then
# rounded to 10 bits and clipped to $[0, 1]$. `*` is a convolution.

# %%
clean, psf = load_sample("histology"), paper_psf(2)
steps = {
    "clean": clean,
    "blurred": blur(clean, psf),
    "+ Gaussian": degrade(clean, psf, Noise(poisson=0.001, gaussian=0.1)),
    "+ impulses": degrade(clean, psf, PAPER_2D),
}

# %%
gallery(
    steps,
    zoom=(180, 180, 96),
    alt="A tissue section, blurred, with grain, and with impulses.",
)

# %% [markdown]
# ### Exercise 2: the camera
#
# Write a function that takes the blurred image and `rnd`, standard normal numbers of the same shape, and
# returns the camera's image: values in steps of 1/1024, none below 0 or above 1. (Impulses are left out.)


# %% tags=["task"]
def camera(blurred, rnd, alpha, sigma):
    noisy = ...
    return ...


# %% tags=["solution"]
def camera(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.round(noisy * 1024) / 1024, 0, 1)


# %%
checks.camera(camera)

# %% [markdown] tags=["solution"]
# Variances of independent noise add, standard deviations don't. Clipping comes last, and it is the only
# step that changes the mean: it cuts off one side of the noise of a black pixel.

# %%
black = ask("01/black")
black

# %% [markdown] tags=["equation:clipped-mean"]
# For a noise-free value $\mu$, noise of standard deviation $s$, $a = -\mu / s$ and $b = (1 - \mu) / s$,
# the mean after clipping is
#
# $$E[y] = \mu\,(\Phi(b) - \Phi(a)) + s\,(\varphi(a) - \varphi(b)) + 1 - \Phi(b).$$

# %%
level = np.linspace(0, 1, 21)
rng = np.random.default_rng(0)
noisy = np.clip(level + 0.1 * rng.normal(size=(20_000, 21)), 0, 1)
black.reveal(
    lines(
        level,
        {
            "measured mean": noisy.mean(axis=0),
            "E[y]": Noise(gaussian=0.1).mean(level),
            "no noise": level,
        },
        xlabel="value without noise",
        ylabel="mean",
        alt=black.alt,
    )
)

# %% tags=["hide-cell"]
assert np.abs(noisy.mean(axis=0) - Noise(gaussian=0.1).mean(level)).max() < 0.005
assert abs(noisy[:, 0].mean() - 0.04) < 0.003

# %% [markdown]
# A method that fits this mean without a correction makes black areas grey. The network of notebook 00
# models the clipping; the paper's does not.
#
# ### Explorer: the noise
#
# Left: the blurred image. Right: the measurement. Below: its mean. Try it without clipping. Then set a
# large Poisson part: where is the noise strongest now?

# %%
noise_explorer()

# %% tags=["hide-cell"]
explorer = noise_explorer()
explorer.set(clip=False, salt_and_pepper=0.0)
assert explorer.frame.curves["mean measured"] == explorer.frame.curves["noise-free"]
explorer.set(clip=True, gaussian=0.2)
assert "0.080" in explorer.frame.text

# %% [markdown]
# ## Summary
#
# - The PSF follows from NA, wavelength, refractive index, pixel size and defocus: `Microscope`, `gibson_lanni`.
# - `degrade(clean, psf, noise, seed)` blurs, adds noise, rounds and clips.
# - Clipping shifts the mean of dark and bright pixels: to 0.04 at black for a noise of 0.1.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=0)
