# %% [markdown]
# # Judging results: consistent does not mean true
#
# A restored image looks sharp. Is the detail real? If the clean image is known, a score answers this, if it
# is computed with care. Without it there are tests, and each misses some failures. This notebook shows how
# scores and tests fail, and ends with images that no test of the measurement can tell apart.
#
# | | |
# |---|---|
# | After it you can | compute a PSNR that can be compared; test a residual; read a Fourier ring correlation; say which test detects which failure, and which failure no test detects |
# | Before it | Python, NumPy and the Fourier transform; what a point-spread function (PSF) is |
# | Reading | 20 minutes |
# | Running | 25 seconds and 150 training steps, on two CPU cores |

# %%
import numpy as np
from IPython.display import Markdown, display
from siamdecon import (
    LossWeights,
    Microscope,
    deconvolve,
    degrade,
    fourier_ring_correlation,
    load_sample,
    paper_psf,
    radial_power,
    score,
)
from siamdecon.lab import (
    Question,
    ask,
    checks,
    gallery,
    lines,
    predictions,
    score_table,
)
from siamdecon.microscope import blur, gibson_lanni, noise_level, residual
from skimage.metrics import peak_signal_noise_ratio

# %% [markdown] tags=["equation:psnr"]
# ## A score and its settings
#
# The peak signal-to-noise ratio of an estimate $\hat x$ of the clean image $x$, with $n$ pixels, is
#
# $$\mathrm{PSNR} = 10 \log_{10} \frac{R^2}{\frac{1}{n} \sum (x - \hat x)^2}\ \mathrm{dB}.$$
#
# $R$ is the data range: a convention, not a measurement. Images here lie in $[0, 1]$, so $R = 1$ for
# every image and every method, and the estimate is clipped to $[0, 1]$ first.

# %% [markdown]
# ### Exercise 1: the score
#
# Write the PSNR in dB, with data range 1 and the estimate clipped.


# %% tags=["task"]
def psnr(clean, estimate):
    error = ...
    return ...


# %% tags=["solution"]
def psnr(clean, estimate):
    error = np.mean((clean - np.clip(estimate, 0, 1)) ** 2)
    return 10 * np.log10(1 / error)


# %%
checks.psnr(psnr)

# %% [markdown] tags=["solution"]
# 10 dB are a factor of 10 in the mean square error, 6 dB a factor of 2 in its root. At data range 1
# the score is simply the error on a logarithmic scale.

# %% [markdown]
# Two estimates of a tissue section: a Wiener filter, and 50 iterations of Lucy-Richardson, which are
# far too many. The residuals (measurement minus blurred estimate) are shown below, with their own grey scale.

# %%
clean, psf = load_sample("histology")[128:384, 128:384], paper_psf(2)
noisy = degrade(clean, psf, seed=0)
fair = deconvolve(noisy, psf, "wiener").image
grainy = deconvolve(noisy, psf, "richardson_lucy", iterations=50, clip=False).image
gallery(
    {"clean": clean, "noisy": noisy, "Wiener": fair, "50 iterations": grainy},
    alt="A tissue section, noisy, restored smoothly by Wiener, and as strong grain by 50 iterations.",
)

# %%
gallery(
    {
        "residual, Wiener": residual(fair, noisy, psf),
        "50 iterations": residual(grainy, noisy, psf),
    },
    limits=(-0.3, 0.3),
    zoom=(96, 96, 64),
    alt="Two residuals that look alike: noise.",
)

# %%
flat = np.full_like(clean, clean.mean())


def in_dB(image, data_range):
    return peak_signal_noise_ratio(clean, image, data_range=float(data_range))


table = {"Wiener": fair, "50 iterations": grainy, "flat grey": flat}
for name, image in table.items():
    print(
        f"{name:14} PSNR {score(clean, image)['psnr']:5.2f}   not clipped {in_dB(image, 1):5.2f}"
    )
for name in ("Wiener", "50 iterations"):  # what a library may guess from the data
    print(
        f"{name:14} with its own range {in_dB(table[name], np.ptp(table[name])):5.2f}"
    )

# %% tags=["hide-cell"]
plain = {name: score(clean, image)["psnr"] for name, image in table.items()}
assert (
    plain["Wiener"] > plain["flat grey"] + 7
    and plain["50 iterations"] < plain["flat grey"] + 0.1
)
own = {name: in_dB(image, np.ptp(image)) for name, image in list(table.items())[:2]}
assert (
    own["50 iterations"] > plain["50 iterations"] + 6
)  # the wider the grain, the higher the score
assert own["50 iterations"] > own["Wiener"]
assert plain["50 iterations"] > in_dB(grainy, 1) + 0.8

# %% [markdown]
# With the range of the estimate itself, grain is rewarded: its outliers increase $R$, the score rises by 8 dB
# and exceeds that of the Wiener filter. At range 1 the grainy estimate scores no more than a flat grey image.
# Clipping before scoring changes its score by more than 1 dB. Scores from different settings can't be compared.
#
# ### A score with two free parameters
#
# For volumes the paper's authors subtract both means and scale the estimate by least squares before they
# score it, because brightness units often differ. This ignores more errors than one might expect.

# %%
negative = ask("07/negative")
negative


# %%
def affine_psnr(estimate):
    x, y = clean - clean.mean(), estimate - estimate.mean()
    scale = np.sum(x * y) / max(
        np.sum(y * y), 1e-12
    )  # a flat estimate has no contrast to scale
    return -10 * np.log10(np.mean((x - scale * y) ** 2))


candidates = {
    "estimate": fair,
    "dimmed": 0.2 * fair,
    "negative": 1 - fair,
    "flat grey": flat,
}
for name, image in candidates.items():
    print(
        f"{name:9} plain {score(clean, image)['psnr']:5.2f}   affine {affine_psnr(image):5.2f} dB"
    )
for spread in (clean.std(), 0.06):
    print(
        f"standard deviation {spread:.3f}: -20 log10 of it is {-20 * np.log10(spread):.2f} dB"
    )

# %%
negative.reveal(
    gallery(
        {f"{n}: {affine_psnr(c):.2f} dB": c for n, c in candidates.items()},
        alt=negative.alt,
    )
)

# %% tags=["hide-cell"]
assert abs(affine_psnr(1 - fair) - affine_psnr(fair)) < 1e-3
assert abs(affine_psnr(0.2 * fair) - affine_psnr(fair)) < 1e-3
assert score(clean, 1 - fair)["psnr"] < 9 and score(clean, 0.2 * fair)["psnr"] < 9
assert abs(affine_psnr(flat) + 20 * np.log10(clean.std())) < 1e-3

# %% [markdown]
# A flat estimate scores $-20 \log_{10} \mathrm{std}(x)$: 13.80 dB here, and 24.44 dB for a volume so
# empty that its standard deviation is 0.06. Compare an affine score with that floor, and with the plain score.
#
# ### Two errors of the same size
#
# The PSNR counts the size of an error, not its kind. The structural similarity (SSIM) compares mean,
# contrast and pattern in windows of 7 pixels.

# %%
rng = np.random.default_rng(0)
same_size = {
    "clean + 0.1": clean + 0.1,
    "clean + noise of 0.1": clean + rng.normal(scale=0.1, size=clean.shape),
}
rows = {name: score(clean, image) for name, image in same_size.items()}
Markdown(
    score_table({n: {k: row[k] for k in ("psnr", "ssim")} for n, row in rows.items()})
)

# %% tags=["hide-cell"]
shift, grain = rows.values()
assert abs(shift["psnr"] - grain["psnr"]) < 0.3
assert shift["ssim"] > 0.95 and grain["ssim"] < 0.6

# %% [markdown] tags=["equation:residual"]
# ## Is the residual noise?
#
# Without the clean image, only the measurement $y$ is available. The residual $r = y - \hat x * k$ of a good
# estimate is the noise: it has the known standard deviation and no structure. Structure shows in the
# autocorrelation at a shift $d$,
#
# $$c(d) = \frac{\sum_p r(p)\, r(p + d)}{\sum_p r(p)^2}, \qquad
# c = \frac{\mathcal F^{-1} |\mathcal F(r)|^2}{\sum_p r(p)^2},$$
#
# after the mean is subtracted. Noise that is independent from pixel to pixel has $c = 0$ except at $d = 0$;
# its spectrum is flat.

# %% [markdown]
# ### Exercise 2: the autocorrelation
#
# Compute $c$ for all shifts at once with `np.fft.fft2`, where shifts wrap around the border; shift 0 is
# at index `[0, 0]`, where $c$ is 1.


# %% tags=["task"]
def autocorrelation(residual):
    power = ...
    shifts = ...
    return ...


# %% tags=["solution"]
def autocorrelation(residual):
    power = np.abs(np.fft.fft2(residual - residual.mean())) ** 2
    shifts = np.fft.ifft2(power).real
    return shifts / shifts[0, 0]


# %%
checks.autocorrelation(autocorrelation)

# %% [markdown] tags=["solution"]
# The autocorrelation and the power spectrum contain the same information (Wiener and Khinchin). A bump around
# shift 0 means too much power at low frequencies: the estimate lacks coarse structure. Negative
# neighbours mean too little of it: the estimate has fitted noise.

# %% [markdown]
# Three estimates: the Wiener filter, one that is too smooth, and Lucy-Richardson after 100 iterations. The
# border is left out: the measurement is dark there, and no method here models that.

# %%
smoothing = ask("07/smoothing")
smoothing

# %%
methods = {
    "Wiener": ("wiener", {}),
    "too smooth": ("wiener", {"balance": 200.0}),
    "100 iterations": ("richardson_lucy", {"iterations": 100, "clip": False}),
}
inner = np.s_[16:-16, 16:-16]
estimates = {
    n: deconvolve(noisy, psf, method, **o).image for n, (method, o) in methods.items()
}
residuals = {n: residual(e, noisy, psf)[inner] for n, e in estimates.items()}
noise = residual(clean, noisy, psf)[
    inner
].std()  # the strength of the noise, from the truth
print(f"noise {noise:.4f}, estimated without the truth: {noise_level(noisy):.4f}")
print("residuals", {n: f"{r.std():.4f}" for n, r in residuals.items()})

# %%
smoothing.reveal(
    gallery(
        {f"{n}: {r.std():.3f}": r for n, r in residuals.items()},
        limits=(-0.3, 0.3),
        alt=smoothing.alt,
    )
)

# %%
bins = 16
frequency = radial_power(clean, bins)[0]
grains = rng.normal(scale=noise, size=(9, 224, 224))
white = np.mean(
    [radial_power(grain, bins)[1] for grain in grains]
)  # flat, so one number
lines(
    frequency,
    {n: radial_power(r, bins)[1] / white for n, r in residuals.items()}
    | {"white noise": np.ones(bins)},
    xlabel="spatial frequency (cycles per pixel)",
    ylabel="power, relative to white noise",
    log="y",
    alt="Residuals' power: the too smooth one rises at low frequencies, 100 iterations fall below 1.",
)

# %% tags=["hide-cell"]
low = {n: radial_power(r, bins)[1][1:3].mean() / white for n, r in residuals.items()}
assert (
    low["too smooth"] > 3 and low["100 iterations"] < 0.2 and 0.2 < low["Wiener"] < 1.2
)
assert residuals["too smooth"].std() > 1.03 * noise > noise
assert residuals["100 iterations"].std() < 0.9 * noise
assert abs(residuals["Wiener"].std() / noise - 1) < 0.03
assert abs(noise_level(noisy) / noise - 1) < 0.04

# %% [markdown]
# The residual's standard deviation tells all three apart: that of the too smooth estimate is above the noise,
# that of the over-iterated one far below. The spectrum shows why: too much, or too little, power below 0.1
# cycles per pixel.
#
# Beyond 0.15 the Wiener filter and the too smooth estimate leave the same residual, that of noise. The next
# section shows how different their power is there. The PSF passes almost none of it, so **whatever an
# estimate shows there hardly changes the residual**.

# %% [markdown] tags=["equation:frc"]
# ## How much of each detail is right
#
# The power spectrum shows how much detail of each size an image has. The Fourier ring correlation (FRC) shows
# how much of it is shared with another image. Over a ring of spatial frequencies,
#
# $$\mathrm{FRC} = \frac{\mathrm{Re} \sum_{k} \hat u(k)\, \overline{\hat v(k)}}
# {\sqrt{\sum_{k} |\hat u(k)|^2 \; \sum_{k} |\hat v(k)|^2}}$$
#
# with $\hat u$, $\hat v$ the transforms of the two images. 1: the same detail; 0: unrelated; below 0: inverted
# contrast.

# %% [markdown]
# ### Exercise 3: one ring
#
# `u` and `v` are complex spectra, `ring` is a mask of the same shape, True in the ring.


# %% tags=["task"]
def ring_correlation(u, v, ring):
    cross = ...
    power = ...
    return cross / power


# %% tags=["solution"]
def ring_correlation(u, v, ring):
    cross = np.sum((u * v.conj())[ring]).real
    power = np.sqrt(np.sum(np.abs(u[ring]) ** 2) * np.sum(np.abs(v[ring]) ** 2))
    return cross / power


# %%
checks.ring_correlation(ring_correlation)

# %% [markdown] tags=["solution"]
# The power cancels: an estimate with faint but correct detail has a correlation of 1, one with strong but
# wrong detail has 0. Hence both curves are needed.

# %% [markdown]
# `radial_power` and `fourier_ring_correlation` do this for all rings. Against the clean image:

# %%
fine = ask("07/fine")
fine

# %%
power = {n: radial_power(e, bins)[1] for n, e in {**estimates, "clean": clean}.items()}
frc = {n: fourier_ring_correlation(clean, e, bins)[1] for n, e in estimates.items()}
lines(
    frequency,
    power,
    xlabel="spatial frequency (cycles per pixel)",
    ylabel="power",
    log="y",
    alt="Power: the Wiener filter falls below the clean image, 100 iterations stay far above it.",
)

# %%
fine.reveal(
    lines(
        frequency,
        frc,
        xlabel="spatial frequency (cycles per pixel)",
        ylabel="correlation with the truth",
        alt=fine.alt,
    )
)

# %% tags=["hide-cell"]
high = frequency > 0.35
times = power["100 iterations"][high] / power["clean"][high]
assert 200 < np.median(times) < 3000
assert (
    np.abs(np.fft.fft2(psf, s=clean.shape))[0, 90:128].max() < 0.06
)  # 0.35 to 0.5 cycles per pixel
assert abs(frc["100 iterations"][high].mean()) < 0.1
assert power["Wiener"][high].mean() / power["clean"][high].mean() < 0.05
assert all(curve[frequency > 0.15].max() < 0.2 for curve in frc.values())
assert all(curve[:2].min() > 0.8 for curve in frc.values())

# %% [markdown]
# All three recover about the same detail: the correlation has fallen to 0 at 0.15 cycles per pixel. They
# differ beyond that: the Wiener filter has no power there, the iterations have much. **Power without
# correlation is invented detail.**
#
# ## Examples of hallucinated detail
#
# Three more ways to go wrong, none of which looks like noise.
#
# 1. A **wrong PSF**: 5 µm out of focus instead of 3.
# 2. A network with **extreme lambdas**: the reconstruction loss alone, $\lambda_{inv (d)} = 0$. Nothing keeps
#    it from producing detail that the PSF removes. (150 steps, one pass each.)
# 3. **Borrowed detail**: wherever the PSF passes less than 8 %, the frequencies come from another part of the tissue.

# %%
wrong_psf = gibson_lanni(Microscope(defocus=-5.0))
passed = np.abs(np.fft.fft2(psf, s=clean.shape))
other = load_sample("histology")[256:512, 256:512]


def borrow(image, other):
    """Keep what the PSF passes of one image, take the rest from another."""
    mixed = np.where(passed < 0.08, np.fft.fft2(other), np.fft.fft2(image))
    return np.fft.ifft2(mixed).real.clip(0, 1)


# %%
rec_only = deconvolve(
    noisy,
    psf,
    "noise2same_d",
    weights=LossWeights(lambda_rec=1),
    steps=150,
    progress=False,
)
lab = {
    "Wiener": (estimates["Wiener"], psf),
    "wrong PSF": (deconvolve(noisy, wrong_psf, "wiener").image, wrong_psf),
    "rec alone": (rec_only.image, psf),
    "borrowed": (borrow(estimates["Wiener"], other), psf),
}

# %%
gallery(
    {"clean": clean, **{n: e for n, (e, _) in lab.items()}},
    zoom=(96, 96, 64),
    alt="Clean; Wiener, smooth; wrong PSF, with rings; network, with grain; borrowed, sharp.",
)

# %%
left = {n: residual(e, noisy, k) for n, (e, k) in lab.items()}
gallery(
    {f"residual: {n}": r for n, r in left.items()},
    limits=(-0.3, 0.3),
    zoom=(96, 96, 64),
    alt="Four residuals of noise; that of the wrong PSF shows faint bundles of lines.",
)

# %%
curves = {n: fourier_ring_correlation(clean, e, bins)[1] for n, (e, _) in lab.items()}
lines(
    frequency,
    curves,
    xlabel="spatial frequency (cycles per pixel)",
    ylabel="correlation with the truth",
    alt="The wrong PSF's correlation falls below 0 around 0.11; the others fall from 1 to 0.",
)

# %%
for name, (estimate, _) in lab.items():
    share = radial_power(estimate, bins)[1][5:] / power["clean"][5:]
    print(
        f"{name:10} PSNR {score(clean, estimate)['psnr']:5.2f} dB   residual "
        f"{left[name][inner].std():.4f} (noise {noise:.4f})   power beyond 0.16: {share.mean():.2f}"
    )

# %% tags=["hide-cell"]
psnrs = {n: score(clean, e)["psnr"] for n, (e, _) in lab.items()}
assert all(abs(r[inner].std() / noise - 1) < 0.03 for r in left.values())
assert (
    psnrs["Wiener"] > psnrs["wrong PSF"] + 1
    and psnrs["Wiener"] > psnrs["borrowed"] + 1
)
assert curves["wrong PSF"][3] < -0.2 and curves["Wiener"][3] > 0.3
invented = {
    n: (radial_power(e, bins)[1][5:] / power["clean"][5:]).mean()
    for n, (e, _) in lab.items()
}
assert (
    invented["Wiener"] < 0.05
    and invented["rec alone"] > 0.1
    and invented["borrowed"] > 0.3
)
assert abs(curves["rec alone"][5:].mean()) < 0.1

# %% [markdown]
# The standard deviation of all four residuals equals that of the noise within 3 %. The wrong PSF has *inverted
# the contrast* of detail around 0.11 cycles per pixel: dark lines where there are bright ones. The network
# adds power beyond 0.16, and none of it correlates with the truth. The borrowed detail looks the sharpest,
# but comes from another part of the tissue.
#
# ## Which one is real?
#
# Below are three pairs of a clean patch and the same patch with borrowed detail, then a pair of restorations,
# one with the right PSF and one with the wrong one. Choose before you read on.

# %%
faked = borrow(clean, other)
gap = np.std(blur(clean, psf)[inner] - blur(faked, psf)[inner])
same = f"Blurred, the two differ by {gap:.4f} (standard deviation); the noise is {noise:.3f}."


def pair(text, y, x, images=(clean, faked), why=same):
    part = np.s_[y : y + 64, x : x + 64]
    truth = int(np.random.default_rng(y + x).integers(2))
    a, b = images if truth == 0 else images[::-1]
    picture = gallery({"A": a[part], "B": b[part]}, alt="Two patches, A and B.")
    return Question(text, ["A", "B"], truth, why, picture)


# %%
restored = (lab["Wiener"][0], lab["wrong PSF"][0])
turned = f"Around 0.11 cycles per pixel the other's correlation is {curves['wrong PSF'][3]:.2f}."
display(
    pair("Pair 1: which patch is real?", 20, 96),
    pair("Pair 2: which patch is real?", 120, 20),
    pair("Pair 3: which patch is real?", 16, 40),
    pair("Pair 4: which restoration used the right PSF?", 96, 96, restored, turned),
)

# %% tags=["hide-cell"]
assert gap < 0.005 and noise > 20 * gap
assert (
    np.std(clean - faked) > 0.05
)  # a large difference, all of it where the PSF passes little
assert score(clean, faked)["psnr"] < 24

# %% [markdown]
# If you could tell, you used a prior: how tissue usually looks. The measurement does not show it. Blurred,
# real and invented detail differ by a thirtieth of the noise, so a method can only guess which one is real.
#
# ## Which test detects which failure
#
# **A second measurement** of the same specimen (here another seed) can test the first estimate: noise that
# was fitted in the first does not appear in the second. Two measurements restored **independently** can be
# compared by the FRC, without any truth.

# %%
second = degrade(clean, psf, seed=1)
again = {
    n: deconvolve(second, psf, method, **o).image for n, (method, o) in methods.items()
}
again["wrong PSF"] = deconvolve(second, wrong_psf, "wiener").image
again["borrowed"] = borrow(again["Wiener"], other)
judged = {n: (e, psf) for n, e in estimates.items()} | {
    n: lab[n] for n in ("wrong PSF", "borrowed")
}
band = 3  # the ring from 0.094 to 0.125 cycles per pixel


# %%
def tests(name):
    estimate, kernel = judged[name]
    own, held_out = (
        residual(estimate, y, kernel)[inner].std() for y in (noisy, second)
    )
    coarse = (
        radial_power(residual(estimate, noisy, kernel)[inner], bins)[1][1:4].mean()
        / white
    )
    ring = [
        fourier_ring_correlation(estimate, v, bins)[1][band]
        for v in (again[name], clean)
    ]
    return score(clean, estimate)["psnr"], own / noise, held_out / noise, coarse, *ring


head = "| | PSNR (dB) | own residual | second measurement | coarse part | FRC of two | FRC, truth |"
results = {name: tests(name) for name in judged}
body = [
    f"| {n} | " + " | ".join(f"{v:.2f}" for v in row) + " |"
    for n, row in results.items()
]
Markdown("\n".join([head, "|---" * 7 + "|", *body]))

# %% [markdown]
# Residuals are divided by the noise: 1 is right. "Coarse part" is the residual's power between 0.03 and 0.13
# cycles per pixel, 1 for white noise. Both FRC columns are for the ring around 0.11. Where the noise is known
# (`noise_level` is within 4 %), only the first and the last column need the truth.
#
# - **Too smooth**: the residual is too large and coarse.
# - **Over-iterated**: the residual is too small; against the second measurement it is larger than that of the
#   Wiener filter. The better fit to the first measurement is a fit to its noise.
# - **Wrong PSF**: the size of the residual and the second measurement show nothing. The two restorations agree
#   at 0.11 and are both wrong: an error that both share looks like a result. Only the coarse part of the
#   residual reveals it.
# - **Borrowed**: no test without the truth detects it.

# %% tags=["hide-cell"]
columns = ("psnr", "own", "held", "coarse", "two", "truth")
rows = {n: dict(zip(columns, row, strict=True)) for n, row in results.items()}
good, smooth, over = rows["Wiener"], rows["too smooth"], rows["100 iterations"]
wrong, fake = rows["wrong PSF"], rows["borrowed"]
assert smooth["own"] > 1.04 and smooth["coarse"] > 2
assert over["own"] < 0.9 and over["held"] > good["held"] + 0.01
assert abs(wrong["own"] - 1) < 0.03 and wrong["held"] < good["held"] + 0.02
assert (
    wrong["two"] > 0.25
    and wrong["truth"] < -0.2
    and wrong["coarse"] > 1.3 * good["coarse"]
)
assert (
    abs(fake["own"] - good["own"]) < 0.01 and abs(fake["held"] - good["held"]) < 0.01
)
assert fake["two"] > good["two"] - 0.05 and fake["psnr"] < good["psnr"] - 1

# %% [markdown]
# ## Summary
#
# - One convention for scores: data range 1, clipped; an affine score only beside the plain one and its floor.
# - The residual shows missing structure and fitted noise. It can be too small.
# - Power without correlation is invented detail; `radial_power` and `fourier_ring_correlation` show both.
# - A second measurement exposes fitted noise. It does not expose an error that both share: a wrong PSF, a prior.
# - Consistent does not mean true: no test of the measurement can judge detail that the PSF does not pass.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=150)
