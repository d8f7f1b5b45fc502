# %% [markdown]
# # Degradation: what a microscope does to an image
#
# A measurement is the specimen, blurred by the point-spread function (PSF), plus noise, rounded and
# clipped by a camera. To reverse this, one must first be able to simulate it.
#
# | | |
# |---|---|
# | After it you can | say why fluorescence blurs as a convolution; build a PSF from the optics; choose a pixel size; tell photon noise from a detector's; say what clipping does to the mean |
# | Before it | Python and NumPy; what a complex exponential is |
# | Reading | 25 minutes |
# | Running | 10 seconds and 0 training steps, on two CPU cores |

# %%
import numpy as np
from scipy.special import j0, j1
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

# %% [markdown]
# ## Light that does not interfere
#
# A fluorescent molecule absorbs light and a few nanoseconds later emits a photon of a longer wavelength,
# which a filter lets through to the camera. Each molecule emits at a random moment, so the waves of two
# molecules have no fixed phase relation: where they meet they are in step at one moment and out of step at
# the next, many times during an exposure. Their interference averages to nothing, and the *intensities*
# add up. Such light is called **incoherent**.
#
# The light of *one* molecule does interfere with itself, since it passes all parts of the objective at
# once. So the image of a point is the square of a sum of waves (the PSF), and the image of a specimen is a
# sum of such images, one for each point: a convolution. If the waves of different points did add up, as in
# a laser's light, no PSF of intensities would describe the image, as these two points in focus show:

# %%
position = np.linspace(-1.2, 1.2, 240)  # um
rayleigh = 0.61 * 0.6 / 0.8


def wave(distance):
    phase = 2 * np.pi / 0.6 * 0.8 * distance
    return 2 * j1(phase) / phase


left, right = (wave(position + shift) for shift in (-rayleigh / 2, rayleigh / 2))
curves = {
    "intensities add up": left**2 + right**2,
    "waves add up": (left + right) ** 2,
}
lines(
    position,
    {name: curve / curve.max() for name, curve in curves.items()},
    xlabel="position (µm)",
    ylabel="brightness",
    alt="Two points: added intensities have two peaks, added waves have one.",
)

# %% tags=["hide-cell"]
dip = {name: curve[119:121].mean() / curve.max() for name, curve in curves.items()}
assert dip["intensities add up"] < 0.8 and dip["waves add up"] > 0.99

# %% [markdown]
# The course's first image, a stained tissue section, was taken in transmitted light. It stands in for a
# fluorescent specimen.

# %% [markdown] tags=["equation:psf"]
# ## Where the blur comes from
#
# A point of light reaches the camera through all points $\rho$ of the objective's pupil (0 in the middle,
# length 1 at the rim). At a position $p$ in the image, counted from the axis, and at a distance $z$ from the focus, each of these waves arrives
# with its own phase. The PSF is the squared modulus of their sum:
#
# $$k(p, z) \propto \left| \int_{|\rho| \le 1} e^{\,\mathrm{i} \kappa \left( \mathrm{NA}\, \rho \cdot p \;+\;
# z \sqrt{\mathrm{index}^2 - \mathrm{NA}^2 |\rho|^2} \right)}\, d\rho \right|^2, \qquad
# \kappa = 2\pi / \text{wavelength},$$
#
# with NA the numerical aperture and index the refractive index of the medium between objective and specimen:
# 1 for air, 1.33 for water, 1.518 for oil. The NA is the index times the sine of the angle at which the outermost
# light enters.
# In focus, $z = 0$, all waves agree on the axis, and the spot is bright. (The package multiplies the first
# NA by 0.999, for the finite magnification of 16.)

# %% [markdown]
# ### Exercise 1: the defocus (4 minutes)
#
# Write the part of the exponential that depends on $z$, for an array `rho` of distances $|\rho|$. The result
# is complex. All lengths are in micrometres.


# %% tags=["task"]
def defocus_phase(rho, z, na, index, wavelength):
    wavenumber = ...
    return ...


# %% tags=["solution"]
def defocus_phase(rho, z, na, index, wavelength):
    wavenumber = 2 * np.pi / wavelength
    return np.exp(1j * wavenumber * z * np.sqrt(index**2 - (na * rho) ** 2))


# %%
checks.defocus_phase(defocus_phase)

# %% [markdown] tags=["solution"]
# The phase grows with the defocus and is largest in the middle of the pupil. What matters is how much
# it *differs* across the pupil: a phase that all waves share changes no intensity.

# %% [markdown]
# Your function is what a PSF needs beside a sum over the pupil. On a ring of the pupil, the other part of
# the exponential averages to a Bessel function, `j0`. The package samples the same integral more carefully.

# %%
optics = Microscope(
    na=0.8, wavelength=0.6, index=1.33, pixel_size=0.406, size=17, defocus=3.045
)
rho = (np.arange(1000) + 0.5) / 1000
phase = defocus_phase(rho, 3.045, 0.8, 1.33, 0.6)
rings = j0(2 * np.pi / 0.6 * 0.8 * optics.radii()[..., None] * rho)  # (y, x, rho)
intensity = np.abs((rings * phase * rho).sum(axis=-1)) ** 2
yours = intensity / intensity.sum()
psf = gibson_lanni(optics)

# %%
gallery(
    {"yours": yours, "gibson_lanni": psf, "in focus": gibson_lanni(Microscope())},
    limits=(0, 0.05),
    alt="Two equal ring-shaped kernels, and the one in focus: a single bright pixel.",
)

# %% tags=["hide-cell"]
# The package samples the profile every half pixel, as the paper's code does.
assert np.abs(yours - psf).max() < 0.1 * psf.max()

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
# The paper's kernel is scalar: it ignores the polarisation of light. At a high NA the vectorial model of
# Richards and Wolf is more accurate. (The paper calls its scalar kernel "Richards & Wolf"; here each has
# its own name.)

# %%
difference = {}
for na in (0.3, 0.6, 0.9, 1.2):
    optics = Microscope(na=na, pixel_size=0.1, size=33)
    scalar, vectorial = gibson_lanni(optics), richards_wolf(optics)
    difference[na] = np.abs(scalar - vectorial).max() / scalar.max()
print({na: f"{share:.1%}" for na, share in difference.items()})

# %% tags=["hide-cell"]
assert 10 * difference[0.3] < difference[1.2]

# %% [markdown]
# ## How small must a pixel be?
#
# The pupil is a disc, so the waves above hold spatial frequencies up to NA / wavelength. Squaring a wave
# doubles the highest frequency: an image of incoherent light has none beyond 2 NA / wavelength. The sampling
# theorem (Nyquist) asks for more than two samples in the period of the highest frequency. With fewer, that
# detail appears as a coarser pattern that is not there: *aliasing*.
#
# ### Exercise 2: the largest pixel (3 minutes)
#
# From these two facts, which is the largest pixel that loses nothing, in the units of the wavelength?


# %% tags=["task"]
def largest_pixel(wavelength, na):
    return ...


# %% tags=["solution"]
def largest_pixel(wavelength, na):
    return wavelength / (4 * na)


# %%
checks.largest_pixel(largest_pixel)

# %% [markdown] tags=["solution"]
# The shortest period is wavelength / (2 NA), and each needs two pixels. Rayleigh's distance,
# 0.61 wavelength / NA, says when two points look like two; it is 2.4 such pixels.

# %%
for na, wavelength in ((0.3, 0.6), (0.8, 0.6), (0.8, 0.52), (1.2, 0.52)):
    limit = largest_pixel(wavelength, na)
    verdict = "enough" if limit >= 0.406 else f"{0.406 / limit:.1f} times too large"
    print(f"NA {na}, {wavelength} µm: {limit:.3f} µm at most; 0.406 is {verdict}")

# %% [markdown]
# The paper has NA 0.8 and pixels of 0.406 µm; it names no wavelength, and the kernel of its code has 0.6 µm. Its
# images are **undersampled**: a pixel is 0.54 wavelength / NA wide, and 0.25 is the limit. How much does
# this cost? The curves show the share that the optics pass along one axis, in focus and 3 µm below.

# %%
parts = 21  # finer samples in a pixel, along each axis
fine = {
    name: gibson_lanni(
        Microscope(pixel_size=0.406 / parts, size=17 * parts, defocus=z)
    )
    for name, z in (("in focus", 0.0), ("3 µm below", -3.045))
}
frequency = np.fft.rfftfreq(4096, 0.406 / parts)  # cycles per um
shown = frequency < 3
passed = {
    name: np.abs(np.fft.rfft(k.sum(axis=0), 4096))[shown] for name, k in fine.items()
}
nyquist = 0.5 / 0.406
lines(
    dict.fromkeys(passed, frequency[shown]) | {"limit of the pixel": [nyquist] * 2},
    passed | {"limit of the pixel": [0, 1]},
    xlabel="spatial frequency (cycles per µm)",
    ylabel="passed",
    alt="At the pixel's limit nearly half passes in focus, and hardly any below it.",
)

# %% [markdown]
# In focus, much detail beyond the limit reaches the camera and is aliased. In the paper's plane hardly any
# does: there the blur is wider than the pixels. A second effect of large pixels remains in both: a pixel
# collects light over its whole area, but the paper's kernel takes the PSF's value at the pixel's middle.

# %%
over_area = {
    name: k.reshape(17, parts, 17, parts).sum(axis=(1, 3)) for name, k in fine.items()
}
at_middle = {
    name: k[parts // 2 :: parts, parts // 2 :: parts] for name, k in fine.items()
}
for name in fine:
    point = at_middle[name] / at_middle[name].sum()
    print(f"{name}: the brightest pixel has {point.max():.3f} of the light", end=" ")
    print(f"by its middle, {over_area[name].max():.3f} over its area")

# %% tags=["hide-cell"]
share = {n: np.interp(nyquist, frequency[shown], of) for n, of in passed.items()}
assert share["in focus"] > 0.4 and share["3 µm below"] < 0.03
peaks = {
    name: (at_middle[name].max() / at_middle[name].sum(), over_area[name].max())
    for name in fine
}
assert np.allclose(peaks["in focus"], (0.852, 0.592), atol=0.001)
assert np.allclose(peaks["3 µm below"], (0.041, 0.029), atol=0.001)
wide = gibson_lanni(Microscope(pixel_size=0.406 / parts, size=63 * parts))
whole = wide.reshape(63, parts, 63, parts).sum(axis=(1, 3)).max()
assert abs(whole - 0.58) < 0.005

# %% [markdown]
# In focus the two differ widely: 0.85 by the middle, 0.59 over the area (0.58 if the light beyond the 17 pixels
# is counted). In the paper's plane the bright middle of the rings falls from 0.041 to 0.029. Real images are
# collected over the area. A kernel measured from beads with the same camera takes this into account.

# %% [markdown] tags=["equation:degradation"]
# ## Blur, then noise
#
# Photons arrive one by one, at random moments. If 100 are expected in a pixel, it counts 90 one time and
# 112 another: counts follow a **Poisson distribution**, whose variance is equal to its mean. This *photon
# noise* (shot noise) is a property of light, and no camera avoids it. A **detector adds** its own: it
# misses some photons, its electronics add noise that does not depend on the light (*read noise*), a few
# pixels are defective, and its digits round and clip.
#
# The paper's measurement $x$ of a clean image $y$ (Section 3), with $g(y) = y * k$ its convolution with the
# kernel, is
#
# $$x = g(y) + \sqrt{\alpha\, g(y) + \sigma^2}\;\varepsilon, \qquad \varepsilon \sim N(0, 1),$$
#
# with $\alpha = 0.001$ and $\sigma = 0.1$, then 1 % of the pixels replaced by random values, then
# rounded to 10 bits and clipped to $[0, 1]$. The value 1 thus stands for $1 / \alpha = 1000$ photons, and
# the Poisson distribution is replaced by a normal one of the same variance.

# %%
rng = np.random.default_rng(0)
level = np.array([0.02, 0.2, 0.5, 1.0])
counts = rng.poisson(1000 * level, size=(20_000, 4)) / 1000
for i, mean in enumerate(level):
    photons, share = counts[:, i].var(), 0.001 * mean / (0.001 * mean + 0.1**2)
    print(
        f"value {mean}: photon noise {photons:.6f} (alpha * mean: {0.001 * mean:.6f}),"
    )
    print(f"    {share:.1%} of the paper's variance")

# %% tags=["hide-cell"]
assert np.allclose(counts.var(axis=0), 0.001 * level, rtol=0.1)
assert 0.001 / (0.001 + 0.1**2) < 0.1

# %% [markdown]
# So the paper's noise is mainly that of the detector: even in white pixels 91 % of the variance is Gaussian
# and does not depend on the signal. ($\sigma = 0.1$ is as much as 100 photons; a scientific camera has a read
# noise of one or two.)
#
# ### Exercise 3: find the fault (5 minutes)
#
# This camera takes the blurred image and `rnd`, standard normal numbers of the same shape. At a value of 0.5
# its noise should have a standard deviation of $\sqrt{0.001 \cdot 0.5 + 0.1^2} = 0.102$. Run the cells: what is
# it? Find the line that is wrong, and mend it.


# %% tags=["task"]
def camera(blurred, rnd, alpha, sigma):
    deviation = np.sqrt(alpha * blurred) + sigma
    noisy = blurred + deviation * rnd
    return np.clip(np.round(noisy * 1024) / 1024, 0, 1)


# %% tags=["solution"]
def camera(blurred, rnd, alpha, sigma):
    deviation = np.sqrt(alpha * blurred + sigma**2)
    noisy = blurred + deviation * rnd
    return np.clip(np.round(noisy * 1024) / 1024, 0, 1)


# %%
grey = np.full(100_000, 0.5)
deviation = camera(grey, rng.normal(size=grey.shape), 0.001, 0.1).std()
print(f"standard deviation {deviation:.3f}, expected 0.102")

# %%
checks.camera(camera)

# %% [markdown] tags=["solution"]
# Variances of independent noise add, standard deviations don't. Clipping comes last, and it is the only
# step that changes the mean: it cuts off one side of the noise of a black pixel. (Steps of 1/1024 from 0 to
# 1 are 1025 values; a 10-bit camera has 1024.)

# %%
clean, psf = load_sample("histology"), paper_psf(2)
blurred = blur(clean, psf)
gallery(
    {
        "blurred": blurred,
        "your camera": camera(blurred, rng.normal(size=clean.shape), 0.001, 0.1),
        "degrade: + impulses": degrade(clean, psf, PAPER_2D),
    },
    zoom=(180, 180, 96),
    alt="A blurred tissue section, with grain, and with grain and impulses.",
)

# %%
black = ask("01/black")
black

# %% [markdown] tags=["equation:clipped-mean"]
# For a noise-free value $\mu$ and noise of standard deviation $\sigma$, let $\Phi$ and $\varphi$ be the normal
# distribution and its density. The mean that the camera reports is
#
# $$m(\mu) = \mu \left( \Phi\left(\tfrac{1 - \mu}{\sigma}\right) - \Phi\left(\tfrac{-\mu}{\sigma}\right) \right)
# + \sigma \left( \varphi\left(\tfrac{\mu}{\sigma}\right) - \varphi\left(\tfrac{1 - \mu}{\sigma}\right) \right)
# + \Phi\left(\tfrac{\mu - 1}{\sigma}\right).$$

# %%
level = np.linspace(0, 1, 21)
measured = camera(
    np.tile(level, (20_000, 1)), rng.normal(size=(20_000, 21)), alpha=0, sigma=0.1
)
black.reveal(
    lines(
        level,
        {
            "mean of your camera": measured.mean(axis=0),
            "m": Noise(gaussian=0.1).mean(level),
            "no noise": level,
        },
        xlabel="value without noise",
        ylabel="mean",
        alt=black.alt,
    )
)

# %% tags=["hide-cell"]
assert np.abs(measured.mean(axis=0) - Noise(gaussian=0.1).mean(level)).max() < 0.005
assert abs(measured[:, 0].mean() - 0.04) < 0.003

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
# - Fluorescence is incoherent: intensities add up, and the image is a convolution with the PSF.
# - The PSF follows from NA, wavelength, refractive index, pixel size and defocus: `Microscope`, `gibson_lanni`.
# - A pixel should be at most wavelength / (4 NA); the paper's is twice as large.
# - Photon noise has a variance equal to the mean count; a detector adds noise of its own. Variances add.
# - `degrade(clean, psf, noise, seed)` blurs, adds noise, rounds and clips. Clipping shifts the mean of dark and
#   bright pixels: to 0.04 at black for a noise of 0.1.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=0)
