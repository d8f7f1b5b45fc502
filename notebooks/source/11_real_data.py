# %% [markdown]
# # Real data: from beads to a restored grid
#
# In the other notebooks blur and noise were simulated, so the truth was known. Here it is not: beads and a grid
# of lines from one confocal microscope, and a worm from another. (A confocal microscope moves a focused laser over
# the specimen, point by point, and a pinhole keeps out most of the light from other planes.) You measure the PSF with the beads, restore the
# grid with it, and choose the restoration by a second exposure that you make out of the first.
#
# | | |
# |---|---|
# | After it you can | measure a PSF with beads; tell whether a count is a photon; make two exposures of one; choose by the second; find a kernel with a wrong pixel size |
# | Before it | Python and NumPy; Lucy-Richardson (notebook 03); what a residual is (notebooks 07 and 08) |
# | Reading | 25 minutes |
# | Running | 15 seconds and 0 training steps, on two CPU cores |
#
# Of the reading time, exercise 1 takes about 6 minutes and exercise 2 about 4.

# %%
import numpy as np
from IPython.display import Markdown
from scipy.ndimage import gaussian_filter, zoom
from siamdecon import (
    Microscope,
    deconvolve,
    inspect,
    psf_from_beads,
    radial_power,
)
from siamdecon.lab import (
    ask,
    checks,
    gallery,
    lines,
    predictions,
    real_or_simulated,
    volume_explorer,
)
from siamdecon.microscope import gibson_lanni, residual

# %% [markdown]
# ## The images
#
# `load_real` downloads an image from its authors' repository, once, and checks it against its SHA-256.
# The environment variable `SIAMDECON_REAL` can name a folder with copies instead. `real_or_simulated` does the
# same; if there is neither a network nor a copy, it draws simulated images of the same size and noise, and
# says so. The text below speaks of the real ones.

# %%
images, real = real_or_simulated("beads", "grid", "celegans")
beads, grid, worm = images.values()
print(f"the images are {'real' if real else 'simulated'}")

# %%
gallery(
    {"beads": beads},
    limits=(1, 60),
    alt="Spots, longer along z than in the plane: a plane, two cuts, and the highest values.",
)

# %% [markdown]
# Above: the middle plane, and the cuts through the middle along z. Below: the highest values along each axis.
# All are at the true aspect: planes lie 125 nm apart, pixels 22 nm.
#
# ## From beads to a PSF
#
# A bead that is smaller than the resolution is nearly a point, so its image is the PSF. One bead is noisy, and
# it seldom lies in the middle of a pixel. `psf_from_beads` cuts out the beads that lie apart from
# each other, aligns them to a fraction of a pixel, averages them and subtracts the background.

# %%
measured = psf_from_beads(beads)
psf = measured.psf
print(measured)

# %%
gallery(
    {"PSF, square root": np.sqrt(psf / psf.max())},
    voxel_size=beads.voxel_size,
    alt="The measured kernel: an oval in the plane, three times as long along z.",
)

# %% tags=["hide-cell"]
assert measured.used >= 3 and measured.spread < 0.05 and abs(psf.sum() - 1) < 1e-9
assert all(n % 2 for n in psf.shape)
long, high, wide = (
    w * s for w, s in zip(measured.fwhm, beads.voxel_size, strict=True)
)
assert 0.4 < long < 0.6 and 0.18 < high < 0.26 and 0.12 < wide < 0.2

# %% [markdown]
# One of the four beads lies too near to another or to the border, and is left out. The full width at half
# maximum is 0.49 µm along z, 0.22 µm along y and 0.16 µm along x. A PSF computed from the optics would be
# round in the plane. This one is not, which only a measurement shows. And the files tell neither
# aperture nor wavelength.
#
# ## Is a count a photon?
#
# The grid's file holds whole numbers from 1 to 8. They look like counts of photons.

# %%
gallery(
    {"grid": grid},
    limits=(1, 7),
    alt="Bright lines along y in strong noise; in the middle, two of them nearly merge.",
)

# %%
photons = ask("11/photons")
photons

# %% [markdown]
# Photons arrive independently, so their number follows the Poisson distribution, and its variance is
# its mean. Here the mean is easily had: the lines run along y, so 150 voxels along y have nearly the same light.
# The variance follows from second differences along y, $x_{i - 1} - 2 x_i + x_{i + 1}$, which cancel what changes
# slowly. Their variance is $1 + 4 + 1 = 6$ times that of a count.


# %%
def along_lines(counts):
    """Noise alone, with the variance that a count has."""
    return np.diff(counts, 2, axis=1) / np.sqrt(6)


counts = np.asarray(grid, dtype=float)
dark = counts.min()  # what is measured without light
level = counts.mean(axis=1).ravel()
variance = (along_lines(counts) ** 2).mean(axis=1).ravel()
group = np.digitize(level, np.linspace(level.min(), np.quantile(level, 0.998), 14))
at, scatter = (
    np.array([of[group == n].mean() for n in range(1, 14)]) for of in (level, variance)
)

# %%
photons.reveal(
    lines(
        at,
        {"measured": scatter, "if a count were a photon": at - dark},
        xlabel="mean (counts)",
        ylabel="variance (counts²)",
        alt=photons.alt,
    )
)

# %% tags=["hide-cell"]
bright = at > 3.5
assert bright.sum() >= 3 and counts.min() == 1 and counts.max() <= 9
assert np.all(scatter[bright] < 0.25 * (at - dark)[bright])
slope = np.polyfit(at[at > 2.5], scatter[at > 2.5], 1)[0]
assert 0.05 < slope < 0.2
near_two = scatter[np.abs(at - 2).argmin()]
assert near_two < 0.6 * max(scatter[0], scatter[np.abs(at - 2.5).argmin()])

# %% [markdown]
# The variance grows by about 0.1 a count instead of 1. So about ten photons make one count: the microscope
# scaled its signal and rounded it to whole numbers before it was saved. Rounding shows in the dip at 2, where
# nearly all values round to 2 and the noise is lost.
#
# ## Two exposures of one
#
# A second exposure of the same field would tell which restoration predicts it (notebook 08). There is none.
# But photons can be dealt out: toss a coin for each, and put it into the first or the second exposure.
# If $q$ photons were counted, and $q_1$ of them fall into the first exposure and $q_2$ into the second, then
#
# $$q_1 \sim \mathrm{Binomial}(q, \tfrac12), \qquad q_2 = q - q_1, \qquad
#   \mathrm{cov}(q_1,\, q_2) = \tfrac14\,\big(\mathrm{var}\,q - \mathrm{mean}\,q\big).$$
#
# For photons the two exposures are independent, because variance and mean are equal. This is called *binomial
# thinning*. If $q$ is not a number of photons, they are not independent, and the second proves nothing.
#
# ### Exercise 1: deal out the photons (6 minutes)
#
# `unit` is what one photon adds to a count, `dark` the count without light. Turn counts into whole numbers of
# photons, draw the first exposure with `rng.binomial`, and give the rest to the second. Both should be in counts,
# and as bright as the measurement.


# %% tags=["task"]
def two_exposures(counts, dark, unit, rng):
    n_photons = ...
    n_first = ...
    first = ...
    second = ...
    return first, second


# %% tags=["solution"]
def two_exposures(counts, dark, unit, rng):
    n_photons = np.rint((counts - dark) / unit).astype(int)
    n_first = rng.binomial(n_photons, 0.5)
    first = dark + 2 * unit * n_first
    second = dark + 2 * unit * (n_photons - n_first)
    return first, second


# %%
checks.two_exposures(two_exposures)

# %% [markdown] tags=["solution"]
# Each exposure has half the photons, so each is noisier than the measurement: the price of a second one. Drawing the
# second anew instead of taking the rest would be wrong: then some photons are in both, and others in neither.

# %%
thinned = ask("11/thinned")
thinned

# %%
units = np.array([0.05, 0.1, 0.14, 0.2, 0.28, 0.5, 1.0])


def correlation(unit):
    pair = two_exposures(counts, dark, unit, np.random.default_rng(0))
    first, second = (along_lines(exposure).ravel() for exposure in pair)
    return np.corrcoef(first, second)[0, 1]


correlations = np.array([correlation(unit) for unit in units])
unit = float(np.interp(0, -correlations, units))
print(f"the two exposures are uncorrelated if a photon adds {unit:.2f} counts")

# %%
thinned.reveal(
    lines(
        units,
        {"correlation of the noise": correlations, "independent": 0 * units},
        xlabel="counts per photon",
        ylabel="first and second exposure",
        log="x",
        alt=thinned.alt,
    )
)

# %% tags=["hide-cell"]
assert correlations[0] > 0.3 and correlations[-1] < -0.5
assert np.all(np.diff(correlations) < 0) and 0.12 < unit < 0.3
assert abs(correlation(unit)) < 0.03
pair = two_exposures(counts, dark, unit, np.random.default_rng(0))
first, second = (along_lines(exposure) for exposure in pair)
level = np.broadcast_to(counts.mean(axis=1, keepdims=True), first.shape)
dim, bright = (
    np.corrcoef(first[part], second[part])[0, 1] for part in (level < 1.75, level > 3)
)
assert dim > 0.1 and -0.4 < bright < -0.1

# %% [markdown]
# With one photon per count the two exposures contradict each other: what is missing from one is in the other. At
# about 0.2 counts they are uncorrelated. That is more than the 0.1 above, because rounding adds noise that no
# photon caused. And it holds on the whole only: in the dimmest columns, where rounding is most of the noise, the
# correlation is 0.4, in the bright ones -0.2. No unit makes rounded counts into photons. This one makes a second
# exposure that is right on average; small differences should not be built on it.
#
# ## Choose by the second exposure
#
# Five restorations of the first exposure: Lucy-Richardson with few and with many iterations, and the Wiener filter.

# %%
first, second = two_exposures(counts, dark, unit, np.random.default_rng(0))
estimates = {
    f"{n} iterations": deconvolve(first, psf, "richardson_lucy", iterations=n).image
    for n in (3, 10, 30, 100)
}
estimates["Wiener"] = deconvolve(first, psf, "wiener").image

# %% [markdown]
# ### Exercise 2: which one? (4 minutes)
#
# Return the index of the estimate that predicts the second exposure best. `residual(estimate, exposure, psf)` is
# an exposure minus the blurred estimate.


# %% tags=["task"]
def choose(estimates, psf, second):
    errors = ...
    return ...


# %% tags=["solution"]
def choose(estimates, psf, second):
    errors = [np.mean(residual(estimate, second, psf) ** 2) for estimate in estimates]
    return np.argmin(errors)


# %%
checks.choose(choose)

# %% [markdown] tags=["solution"]
# The noise of the second exposure is the same for all, and independent of each estimate. So the estimate with the
# lowest error is the one whose blurred version is nearest to the light that arrived.

# %%
names = list(estimates)
chosen = names[choose(list(estimates.values()), psf, second)]
print("chosen:", chosen)


# %%
def squares(name, exposure):
    return (residual(estimates[name], exposure, psf) ** 2).ravel()


rows = [
    "| | first exposure | second exposure | behind the chosen one |",
    "|---" * 4 + "|",
]
behind = {}
for name in names:
    off = squares(name, second) - squares(chosen, second)
    behind[name] = off.mean(), off.std() / np.sqrt(off.size)
    own, held_out = (np.sqrt(squares(name, x).mean()) for x in (first, second))
    text = "" if name == chosen else "{:.4f} ± {:.4f}".format(*behind[name])
    rows.append(f"| {name} | {own:.4f} | {held_out:.4f} | {text} |")
Markdown("\n".join(rows))

# %% tags=["hide-cell"]
held = [squares(name, second).mean() for name in names]
own = [squares(name, first).mean() for name in names]
assert chosen == names[int(np.argmin(held))] == "30 iterations"
assert np.all(np.diff(own[:4]) < 0), (
    "more iterations fit the first exposure better and better"
)
assert all(behind[name][0] > 0 for name in names if name != chosen)
assert all(
    behind[name][0] > 5 * behind[name][1]
    for name in ("3 iterations", "10 iterations", "Wiener")
)

# %% [markdown]
# The first two columns are residuals (root mean square, in counts), the last a difference of mean squares with
# its standard error. The residual of the *first* exposure falls with every iteration, because noise is fitted.
# That of the second falls and rises again. Nearly all of both is noise, so the differences are small, but those of 3
# and 10 iterations and of Wiener are many times their standard error. 30 and 100 iterations are nearly equal: with
# a unit of 0.11 counts, 100 would be ahead. Of two equals take the one with fewer iterations.
#
# Now the same with all photons, and what was chosen against too few and too many iterations:

# %%
middle = len(counts) // 2
plane = {"measured": counts} | {
    name: estimates[name] for name in ("3 iterations", "100 iterations")
}
restored = deconvolve(grid, psf, "richardson_lucy", iterations=30)
plane["all photons, 30"] = restored.image
gallery(
    {name: of[middle] for name, of in plane.items()},
    limits=(1, 12),
    zoom=(50, 50, 60),
    alt="Noisy lines; after 3 iterations wide; after 100 thin and knotty; with all photons thin and smoother.",
)

# %% [markdown]
# All photons leave less noise than half of them, after the same number of iterations. Move through the stack, and look
# at the lines in depth, too:

# %%
volume_explorer({"measured": grid, "restored": restored}, limits=(1, 10))

# %% tags=["hide-cell"]
assert restored.image.shape == counts.shape and restored.image.min() > -1
assert abs(restored.image.sum() / counts.sum() - 1) < 0.02, "light is kept"
knots = {name: np.std(np.diff(of[middle], 2, axis=0)) for name, of in plane.items()}
assert knots["all photons, 30"] < knots["100 iterations"] < knots["measured"]

# %% [markdown]
# ### Line profiles
#
# The mean along the lines of the middle plane. How deep is the gap between the two lines in the middle?

# %%
profiles = {name: of[middle].mean(axis=0) for name, of in plane.items()}
position = np.arange(counts.shape[2]) * grid.voxel_size[-1]


def depth(profile):
    """How far the gap lies below the lower of its two lines, in shares of their height."""
    left, gap, right = profile[66:77].max(), profile[74:82].min(), profile[79:90].max()
    return 1 - (gap - profile.min()) / (min(left, right) - profile.min())


for name, profile in profiles.items():
    print(f"{name}: {depth(profile):.0%} deep, brightest {profile.max():.1f} counts")

# %%
lines(
    position,
    profiles,
    xlabel="x (µm)",
    ylabel="mean along y (counts)",
    alt="Four peaks: low and wide as measured, higher and narrower with more iterations.",
)

# %% tags=["hide-cell"]
deep = {name: depth(profile) for name, profile in profiles.items()}
assert deep["measured"] < 0.45 < deep["all photons, 30"] < deep["100 iterations"]
assert deep["3 iterations"] < deep["all photons, 30"] - 0.1

# %% [markdown]
# Two lines that are 0.27 µm apart are separated. But the gap goes on deepening with the iterations, past the
# number that the second exposure chose, so a deeper gap is not yet a truer one. And a mean along the lines does not show
# their knots.
#
# ## Find the fault: a wrong pixel size
#
# Where a file does not tell the pixel size, somebody types it in. Suppose that of the beads was wrong by a factor
# of two, one way or the other. So there are three kernels, one of them right. The grid is restored with each. The
# residuals are smoothed, so that what noise hides can be seen.


# %%
def resized(kernel, factor):
    """The same kernel with pixels `factor` times smaller in the plane."""
    sides = [int(n * factor) // 2 * 2 + 1 for n in kernel.shape[1:]]
    ratio = np.divide(sides, kernel.shape[1:])
    wide = zoom(kernel, (1, *ratio), order=1).clip(0)
    return wide / wide.sum()


kernels = {"A": resized(psf, 0.5), "B": resized(psf, 2), "C": psf}
by_kernel = {
    name: deconvolve(first, kernel, "richardson_lucy", iterations=30).image
    for name, kernel in kernels.items()
}
left = {
    name: gaussian_filter(residual(by_kernel[name], first, kernel), 2)
    for name, kernel in kernels.items()
}
gallery(
    {name: of[middle] for name, of in left.items()},
    limits=(-0.2, 0.2),
    alt="Smoothed residuals: faint traces of the lines in A and C, strong stripes in B.",
)

# %%
pixel = ask("11/pixel")
pixel

# %%
pixel.reveal(
    gallery(
        {name: of[middle] for name, of in by_kernel.items()},
        limits=(1, 10),
        alt=pixel.alt,
    )
)

# %%
against = {
    name: residual(by_kernel[name], second, kernel) ** 2
    for name, kernel in kernels.items()
}
for name in kernels:
    off = against[name] - against["C"]
    error = off.std() / np.sqrt(off.size)
    print(
        f"{name}: residual, smoothed {left[name].std():.3f}; "
        f"second exposure: {off.mean():.4f} ± {error:.4f} behind C"
    )

# %% tags=["hide-cell"]
assert (
    left["B"].std() > 1.5 * left["C"].std() and left["A"].std() < 1.1 * left["C"].std()
)
for name in "AB":
    off = against[name] - against["C"]
    assert off.mean() > 3 * off.std() / np.sqrt(off.size)

# %% [markdown]
# With B, lines as narrow as the measured ones can't be made: stripes are left. With A they always can, from an
# estimate that is still blurred. A's residual is even smaller than that of the right kernel, C, because A fits
# more of the noise; too many iterations would do the same. **The residual finds a kernel that is too wide, not
# one that is too narrow.** The second exposure finds both here: it does not repeat the noise that A has fitted.
#
# ## A real image without beads
#
# The gut of a worm, from an Airyscan microscope: a confocal one with several small detectors in place of the pinhole.
# The file tells the size of its pixels, 43 nm, but neither aperture
# nor wavelength. What can be found out?

# %%
print(inspect(worm))

# %%
frequency, power = radial_power(np.asarray(worm, dtype=float), 24)
lines(
    frequency / worm.voxel_size[-1],
    {"worm": power / power[-8:].mean()},
    xlabel="spatial frequency (cycles per µm)",
    ylabel="power (noise = 1)",
    log="y",
    alt="The power falls steeply, and is level from about 6 cycles per micrometre on.",
)

# %% [markdown]
# Where the curve is level there is only noise. Detail is seen up to about 5.4 cycles per µm. In a microscope that
# lights the whole field at once (widefield) nothing passes above 2 NA / wavelength (notebook 01), which is 5.4 at an aperture of 1.4 and 0.52 µm; a
# scanning microscope may pass more. So the aperture stays unknown, but the kernel can't be wide. Here are kernels of
# four widths (full width at half maximum, 0.51 wavelength / NA):

# %%
widths = {}
for na in (0.5, 0.8, 1.2, 1.4):
    optics = Microscope(
        na=na, wavelength=0.52, index=1.518, pixel_size=worm.voxel_size[-1], size=41
    )
    widths[f"{0.51 * 0.52 / na:.2f} µm"] = deconvolve(
        worm, gibson_lanni(optics), "richardson_lucy", iterations=20
    )
inside = np.s_[20:-20, 20:-20]
for name, of in widths.items():
    smooth = gaussian_filter(of.residual, 2)[inside]
    print(f"{name} wide: smoothed residual {smooth.std():.1f}")

# %%
gallery(
    {name: gaussian_filter(of.residual, 1) for name, of in widths.items()},
    limits=(-100, 100),
    alt="Smoothed residuals: strong outlines with the widest kernel, fewer with the next, faint ones with the two narrow kernels.",
)

# %%
gallery(
    {"measured": worm, **{n: widths[n].image for n in ("0.53 µm", "0.19 µm")}},
    limits=(300, 6000),
    zoom=(100, 100, 90),
    alt="The worm's gut: blurred as measured, smeared with the wide kernel, with thin dark ribs with the narrow one.",
)

# %% tags=["hide-cell"]
smooth = [gaussian_filter(of.residual, 2)[inside].std() for of in widths.values()]
assert smooth[0] > 2 * smooth[1] > 6 * smooth[2] > 6 * smooth[3]
beyond = frequency / worm.voxel_size[-1] > 8
assert np.ptp(np.log10(power[beyond])) < 0.3

# %% [markdown]
# Kernels of 0.53 and 0.33 µm are refuted: outlines are left. Of the rest, the narrowest leaves least, but one that
# is narrower still would leave even less. No test replaces what is missing here: the optics, noted with the image, or
# beads.
#
# ## Summary
#
# - Beads give the PSF that the microscope really has, oval or not. It belongs to one objective and one pixel size.
# - Whole numbers need not be photons: compare variance and mean before you rely on it.
# - Binomial thinning makes a second exposure of photons. Check that the noise of the two is uncorrelated.
# - The second exposure chooses the number of iterations; the first one's residual always asks for more.
# - A residual finds a kernel that is too wide, not one that is too narrow.
# - `credit` says who made an image and under which licence: name them where you show it.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=0)
