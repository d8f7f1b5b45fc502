# %% [markdown]
# # Judging results: consistent does not mean true
#
# A restored image looks sharp. Is its detail real? If the clean image is known, a score answers this, if it
# is computed with care. Without it there are tests, and each misses some failures. In this notebook you write
# a score and three tests, judge six restorations by them, and see images that no such test can tell apart.
#
# | | |
# |---|---|
# | After it you can | find the fault in a score; test a residual; read a Fourier ring correlation; say which test detects which failure, and which failure no test detects |
# | Before it | Python, NumPy and the Fourier transform; what a point-spread function (PSF) is |
# | Reading | 25 minutes |
# | Running | 20 seconds and 150 training steps, on two CPU cores |

# %%
import numpy as np
from IPython.display import Markdown, display
from scipy.ndimage import gaussian_filter
from siamdecon import (
    LossWeights,
    Microscope,
    deconvolve,
    degrade,
    fourier_ring_correlation,
    load_sample,
    paper_psf,
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

# %% [markdown] tags=["equation:psnr"]
# ## A score that prefers grain
#
# The peak signal-to-noise ratio compares the mean square error (MSE) of all pixels with the data range $R$, the
# difference between the highest and the lowest possible value:
#
# $$\mathrm{PSNR} = 10 \log_{10} \frac{R^2}{\mathrm{MSE}}\ \mathrm{dB}.$$
#
# A tissue section is restored by a Wiener filter, by one that smooths too much, and by 100 iterations of
# Lucy-Richardson, which are far too many. `faulty_psnr` puts the grain first.

# %%
clean, psf = load_sample("histology")[128:384, 128:384], paper_psf(2)
noisy = degrade(clean, psf, seed=0)
methods = {
    "Wiener": ("wiener", {}),
    "too smooth": ("wiener", {"balance": 200.0}),
    "100 iterations": ("richardson_lucy", {"iterations": 100, "clip": False}),
}
estimates = {
    name: deconvolve(noisy, psf, method, **options).image
    for name, (method, options) in methods.items()
}
gallery(
    estimates,
    alt="A tissue section: restored by Wiener, too smooth, and covered with grain.",
)


# %%
def faulty_psnr(clean, estimate):
    data_range = estimate.max() - estimate.min()
    error = np.mean((clean - estimate) ** 2)
    return 10 * np.log10(data_range**2 / error)


for name, estimate in estimates.items():
    print(f"{name:14} {faulty_psnr(clean, estimate):5.2f} dB")

# %% [markdown]
# ### Exercise 1: find the faults (4 minutes)
#
# A clean image lies in $[0, 1]$, and so does whatever a screen shows of an estimate. `faulty_psnr` ignores this in two
# places: one lets the grain win, the other counts errors that nobody can see. Write `psnr` without these faults.


# %% tags=["task"]
def psnr(clean, estimate):
    estimate = ...
    error = np.mean((clean - estimate) ** 2)
    return ...


# %% tags=["solution"]
def psnr(clean, estimate):
    estimate = np.clip(estimate, 0, 1)
    error = np.mean((clean - estimate) ** 2)
    return 10 * np.log10(1 / error)


# %%
checks.psnr(psnr)

# %% [markdown] tags=["solution"]
# The data range was that of the estimate, so that outliers increased $R$: the stronger the grain, the higher the
# score. And values below 0 or above 1 counted in full, although every display and every 8-bit file cuts them off.

# %%
flat = np.full_like(clean, clean.mean())
for name, estimate in {**estimates, "flat grey": flat}.items():
    print(f"{name:14} {psnr(clean, estimate):5.2f} dB")

# %% tags=["hide-cell"]
plain = {name: psnr(clean, image) for name, image in estimates.items()}
faulty = {name: faulty_psnr(clean, image) for name, image in estimates.items()}
assert faulty["100 iterations"] > max(faulty["Wiener"], faulty["too smooth"]) + 0.5
assert plain["Wiener"] > psnr(clean, flat) + 5 > plain["100 iterations"] + 5
assert abs(plain["Wiener"] - score(clean, estimates["Wiener"])["psnr"]) < 1e-3

# %% [markdown]
# A flat grey image scores higher than the grain. `score` of this package computes the PSNR as you did. Scores that
# were computed with different settings can't be compared.
#
# The PSNR counts the size of an error, not its kind. The structural similarity (SSIM) compares brightness, contrast
# and pattern in windows of 7 x 7 pixels; 1 means the same image, 0 that the patterns have nothing in common. Two
# errors of the same size:

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
# Without the clean image, only the measurement $x$ is left to compare with. The residual of an estimate $\hat y$,
#
# $$r = x - g(\hat y),$$
#
# should be the noise. Noise with the standard deviation $\sigma$ that is independent from pixel to pixel has the same
# power at all frequencies: the mean of $|F(r)|^2$ is $m \sigma^2$, with $m$ the number of pixels. More power at some
# frequency means that the structure there is wrong or missing, less that the estimate has fitted the noise.

# %%
inner = np.s_[16:-16, 16:-16]  # no method here models the dark border
sigma = residual(clean, noisy, psf)[inner].std()
print(f"noise {sigma:.4f}; estimated from the measurement {noise_level(noisy):.4f}")

radius = np.hypot(np.fft.fftfreq(224)[:, None], np.fft.fftfreq(224)[None])
rings = [(radius >= i / 32) & (radius < (i + 1) / 32) for i in range(16)]
frequency = (np.arange(16) + 0.5) / 32  # the middle of each ring

# %% [markdown]
# ### Exercise 2: the power of a residual (4 minutes)
#
# `ring` is a mask of the same shape as the residual's Fourier transform, True at the frequencies of one ring. Return the
# mean power of the residual in the ring, in units of that of independent noise: 1 means noise.


# %% tags=["task"]
def relative_power(residual, sigma, ring):
    power = ...
    return ...


# %% tags=["solution"]
def relative_power(residual, sigma, ring):
    power = np.abs(np.fft.fft2(residual)) ** 2
    return power[ring].mean() / (residual.size * sigma**2)


# %%
checks.relative_power(relative_power)

# %% [markdown] tags=["solution"]
# The average over all rings would be the variance of the residual, divided by $\sigma^2$ (Parseval). One number can
# be right by chance: too much power in one ring, too little in another. The rings show both.

# %%
smoothing = ask("07/smoothing")
smoothing

# %%
left = {name: residual(e, noisy, psf)[inner] for name, e in estimates.items()}
smoothing.reveal(
    gallery(
        {
            f"{name}: {r.std() / sigma:.2f} of the noise": gaussian_filter(r, 1.5)
            for name, r in left.items()
        },
        limits=(-0.08, 0.08),
        alt=smoothing.alt,
    )
)

# %%
lines(
    frequency,
    {
        name: [relative_power(r - r.mean(), sigma, ring) for ring in rings]
        for name, r in left.items()
    },
    xlabel="spatial frequency (cycles per pixel)",
    ylabel="power of the residual (noise: 1)",
    log="y",
    alt="Below 0.1 too smooth is above 1, the others below; then all are near 1.",
)

# %% tags=["hide-cell"]
spectra = {
    n: [relative_power(r - r.mean(), sigma, k) for k in rings] for n, r in left.items()
}
assert left["too smooth"].std() > 1.03 * sigma
assert left["100 iterations"].std() < 0.9 * sigma
assert np.mean(spectra["too smooth"][1:4]) > 2
assert np.allclose(spectra["too smooth"][5:], spectra["Wiener"][5:], atol=0.1)
assert np.allclose(spectra["Wiener"][5:], 1, atol=0.15)
assert abs(noise_level(noisy) / sigma - 1) < 0.04

# %% [markdown]
# The residuals are smoothed here (Gaussian, 1.5 pixels), so that structure shows through the noise: that of the too
# smooth estimate shows the tissue. The iterations have fitted the noise up to 0.12 cycles per pixel, the Wiener filter
# fits it only at low frequencies, where the tissue is much stronger.
#
# Beyond 0.15 cycles per pixel the residuals of the Wiener filter and of the too smooth estimate are the same noise. The PSF
# passes almost no such detail, so **detail of this size hardly changes the residual, right or wrong**.
#
# ## Three numbers and a rule
#
# A second measurement of the same specimen (here: another seed) is a further test: noise that was fitted in the
# first one does not occur in the second.

# %%
second = degrade(clean, psf, seed=1)


def three_numbers(estimate, kernel=psf):
    r, r2 = (residual(estimate, x, kernel)[inner] for x in (noisy, second))
    coarse = [relative_power(r - r.mean(), sigma, ring) for ring in rings[1:4]]
    return r.std() / sigma, r2.std() / sigma, np.mean(coarse)


for name, estimate in estimates.items():
    own, other, coarse = three_numbers(estimate)
    print(f"{name:14} own {own:.2f}   second {other:.2f}   coarse {coarse:.2f}")

# %% [markdown]
# `own` is the residual's standard deviation, `second` is that against the second measurement, both in units of $\sigma$.
# `coarse` is the residual's power between 0.03 and 0.13 cycles per pixel, 1 for noise. Chance changes `own` and
# `second` by less than 0.01, `coarse` by about 0.05. In practice $\sigma$ is estimated, too: if it is wrong by 4 %,
# `own` and `second` are both wrong by 4 %, in the same direction, and `coarse` by 8 %.
#
# ### Exercise 3: which estimate has fitted the noise? (4 minutes)
#
# Turn the numbers into a rule for any restoration. It returns "structure left" if the residual has structure as well as
# noise, else "noise fitted" if the estimate explains the first measurement better than the second (allow 5 %, as every
# estimate fits a little of the noise), else "consistent".


# %% tags=["task"]
def judge(own, second, coarse):
    if ...:
        return "structure left"
    if ...:
        return "noise fitted"
    return "consistent"


# %% tags=["solution"]
def judge(own, second, coarse):
    if coarse > 1.2:
        return "structure left"
    if second > 1.05 * own:
        return "noise fitted"
    return "consistent"


# %%
checks.judge(judge)

# %% [markdown] tags=["solution"]
# A small residual alone proves nothing if $\sigma$ is not known exactly. The ratio of `second` and `own` does not depend
# on $\sigma$: an estimate that is closer to the first measurement than to the second has fitted its noise.

# %% [markdown] tags=["equation:frc"]
# ## How much of each detail is right
#
# The Fourier ring correlation (FRC) of two images $v$ and $w$ is their correlation coefficient in one ring of
# frequencies: 1 means that they have the same detail of this size, 0 that their details are unrelated, and below 0
# that bright and dark are exchanged.
#
# $$\mathrm{FRC}(u) = \frac{\mathrm{Re} \sum F(v)\, \overline{F(w)}}
# {\sqrt{\sum |F(v)|^2 \; \sum |F(w)|^2}}$$
#
# The sums run over the frequencies of the ring, which are all as long as $u$.

# %% [markdown]
# ### Exercise 4: one ring (4 minutes)
#
# `fv` and `fw` are the Fourier transforms of two images, `ring` is a mask as above.


# %% tags=["task"]
def ring_correlation(fv, fw, ring):
    cross = ...
    power = ...
    return cross / power


# %% tags=["solution"]
def ring_correlation(fv, fw, ring):
    cross = np.sum((fv * fw.conj())[ring]).real
    power = np.sqrt(np.sum(np.abs(fv[ring]) ** 2) * np.sum(np.abs(fw[ring]) ** 2))
    return cross / power


# %%
checks.ring_correlation(ring_correlation)

# %% [markdown] tags=["solution"]
# The strength of the detail cancels: an estimate with faint but correct detail has a correlation of 1, one with strong
# but wrong detail has 0. So look at its power, too.

# %%
fine = ask("07/fine")
fine

# %%
window = np.outer(np.hanning(224), np.hanning(224))  # or the border would add detail


def transform(image):
    image = image[inner]
    return np.fft.fft2((image - image.mean()) * window)


def frc(v, w):
    fv, fw = transform(v), transform(w)
    return np.array([ring_correlation(fv, fw, ring) for ring in rings])


high = np.any(rings[11:], axis=0)  # beyond 0.34 cycles per pixel
power = {n: np.mean(np.abs(transform(e)[high]) ** 2) for n, e in estimates.items()}
of_clean = np.mean(np.abs(transform(clean)[high]) ** 2)
for name, found in power.items():
    print(f"{name:14} {found / of_clean:12.6f} times the power of the clean image")

# %%
correlation = {"xlabel": "spatial frequency (cycles per pixel)"}
correlation["ylabel"] = "correlation with the clean image"
fine.reveal(
    lines(
        frequency,
        {name: frc(clean, estimate) for name, estimate in estimates.items()},
        **correlation,
        alt=fine.alt,
    )
)

# %% tags=["hide-cell"]
check = fourier_ring_correlation(clean[inner], estimates["Wiener"][inner], 16)[1]
assert np.allclose(frc(clean, estimates["Wiener"]), check, atol=1e-6)
assert 200 < power["100 iterations"] / of_clean < 3000
assert power["Wiener"] / of_clean < 0.05
for estimate in estimates.values():
    curve = frc(clean, estimate)
    assert curve[:2].min() > 0.8 and abs(curve[5:]).max() < 0.2
assert np.abs(np.fft.fft2(psf, s=(256, 256)))[0, 90:128].max() < 0.06  # beyond 0.35

# %% [markdown]
# All three restore about the same detail: the correlation has fallen to 0 at 0.15 cycles per pixel. Beyond that the
# Wiener filter shows next to nothing, whereas the iterations show much. **Power without correlation is invented detail.**
#
# ## Laboratory: four restorations that look like tissue
#
# 1. **Wiener**, as above.
# 2. **Wrong PSF**: a Wiener filter for 5 µm out of focus instead of 3.
# 3. **Reconstruction only**: a network trained with $L_{rec}$ alone, 150 steps. Nothing keeps it from
#    producing detail that the PSF removes.
# 4. **Borrowed**: wherever the PSF passes less than 8 %, the frequencies come from another part of the tissue.

# %%
wrong_psf = gibson_lanni(Microscope(defocus=-5.0, size=33))
passed = np.abs(np.fft.fft2(psf, s=clean.shape))
other = load_sample("histology")[256:512, 256:512]


def borrow(image, other):
    """Keep what the PSF passes of one image, take the rest from another."""
    mixed = np.where(passed < 0.08, np.fft.fft2(other), np.fft.fft2(image))
    return np.fft.ifft2(mixed).real.clip(0, 1)


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
    "reconstruction only": (rec_only.image, psf),
    "borrowed": (borrow(estimates["Wiener"], other), psf),
}

# %%
part = np.s_[80:176, 80:176]
crops = {"clean": clean[part]} | {
    name: image[part] for name, (image, _) in lab.items()
}
display(
    gallery(
        {name: crops[name] for name in ("clean", "Wiener", "wrong PSF")},
        alt="The clean image; Wiener, smooth; the wrong PSF, with stronger spots.",
    ),
    gallery(
        {name: crops[name] for name in ("clean", "reconstruction only", "borrowed")},
        alt="The clean image; the network, with a checkered grain; borrowed, sharp.",
    ),
)

# %%
lines(
    frequency,
    {name: frc(clean, image) for name, (image, _) in lab.items()},
    **correlation,
    alt="The wrong PSF's correlation is negative at 0.11; the others fall to 0.",
)

# %% [markdown]
# Now your tools judge all of them. The last column is the correlation with the clean image around 0.11 cycles per pixel.

# %%
judged = {**{name: (e, psf) for name, e in estimates.items()}, **lab}
head = "| | own | second | coarse | your verdict | PSNR (dB) | FRC at 0.11 |"
table = [head, "|---" * 7 + "|"]
for name, (image, kernel) in judged.items():
    numbers = three_numbers(image, kernel)
    told = " | ".join(f"{number:.2f}" for number in numbers)
    truth = f"{psnr(clean, image):.2f} | {frc(clean, image)[3]:.2f}"
    table.append(f"| {name} | {told} | {judge(*numbers)} | {truth} |")
Markdown("\n".join(table))

# %% tags=["hide-cell"]
numbers = {name: three_numbers(*both) for name, both in judged.items()}
verdicts = {name: judge(*three) for name, three in numbers.items()}
assert verdicts["too smooth"] == verdicts["wrong PSF"] == "structure left"
assert verdicts["100 iterations"] == "noise fitted"
assert {verdicts[n] for n in ("Wiener", "reconstruction only", "borrowed")} == {
    "consistent"
}
assert numbers["wrong PSF"][2] > 1.3 and abs(numbers["wrong PSF"][0] - 1) < 0.03
assert psnr(clean, lab["borrowed"][0]) < psnr(clean, estimates["Wiener"]) - 1
assert frc(clean, lab["wrong PSF"][0])[3] < -0.2
grain = np.mean(np.abs(transform(lab["reconstruction only"][0])[high]) ** 2) / of_clean
assert grain > 0.1

# %% [markdown]
# Without the clean image, the last two columns would be missing.
#
# - **Too smooth**: the residual is too large and has structure.
# - **100 iterations**: the residual is too small, and much larger for the second measurement.
# - **Wrong PSF**: only the coarse part of the residual reveals it. The correlation is negative: dark lines where there
#   are bright ones.
# - **Reconstruction only** and **borrowed**: no test of the measurement detects them.
#
# Two measurements may also be restored independently, and the results compared. Where they agree, noise did not make
# the detail. But was it in the specimen?

# %%
again = {
    "Wiener": deconvolve(second, psf, "wiener").image,
    "wrong PSF": deconvolve(second, wrong_psf, "wiener").image,
}
again["borrowed"] = borrow(again["Wiener"], other)
for name, image in again.items():
    first = lab[name][0]
    print(
        f"{name:10} FRC at 0.11: of two restorations {frc(first, image)[3]:5.2f}, "
        f"with the clean image {frc(first, clean)[3]:5.2f}"
    )

# %% tags=["hide-cell"]
agree = {name: frc(lab[name][0], image)[3] for name, image in again.items()}
assert agree["wrong PSF"] > agree["Wiener"] - 0.1
assert agree["borrowed"] > agree["Wiener"] - 0.1

# %% [markdown]
# The two restorations with the wrong PSF agree almost as well as those with the right one, and both are wrong. An error
# that both share looks like a result.
#
# ## Which one is real?
#
# Below are three pairs of a clean patch and the same patch with borrowed detail, then a pair of restorations,
# one with the right PSF and one with the wrong one. Choose before you read on.

# %%
faked = borrow(clean, other)
gap = np.std(blur(clean, psf)[inner] - blur(faked, psf)[inner])
same = f"Blurred, the two differ by {gap:.4f} (RMS); the noise is {sigma:.3f}."


def pair(text, y, x, images=(clean, faked), why=same):
    part = np.s_[y : y + 64, x : x + 64]
    truth = int(np.random.default_rng(y + x).integers(2))
    a, b = images if truth == 0 else images[::-1]
    picture = gallery({"A": a[part], "B": b[part]}, alt="Two patches, A and B.")
    return Question(text, ["A", "B"], truth, why, picture)


restored = (lab["Wiener"][0], lab["wrong PSF"][0])
turned = "With the wrong PSF, detail of some 9 pixels has bright and dark exchanged."
display(
    pair("Pair 1: which patch is real?", 20, 96),
    pair("Pair 2: which patch is real?", 120, 20),
    pair("Pair 3: which patch is real?", 16, 40),
    pair("Pair 4: which restoration used the right PSF?", 96, 96, restored, turned),
)

# %% tags=["hide-cell"]
assert gap < 0.005 and sigma > 20 * gap
assert np.std(clean - faked) > 0.05  # a large difference, where the PSF passes little

# %% [markdown]
# If you could tell, you used a prior: how tissue usually looks. The measurement does not show it. Blurred,
# real and invented detail differ by a thirtieth of the noise, so a method can only guess which one is real.
#
# ## Summary
#
# - A score needs one data range for all images, here 1, and estimates that are clipped to it.
# - A residual with more power than noise lacks structure; one with less has fitted noise. A second measurement shows
#   fitted noise, too, and does not need to know $\sigma$.
# - Power without correlation is invented detail: the Fourier ring correlation shows it, if the clean image is known.
# - Two measurements do not expose an error that both share: a wrong PSF, a prior.
# - Consistent does not mean true: no test of the measurement can judge detail that the PSF does not pass.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=150)
