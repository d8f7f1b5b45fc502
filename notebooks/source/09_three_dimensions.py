# %% [markdown]
# # Three dimensions
#
# A volume is not a stack of images that can be restored one by one: each plane also shows what lies above and
# below it. This notebook blurs a volume, trains the course's network on a part of it, and looks at what is
# different in 3D: the cost of the kernel, a kernel that has an up and a down, scores that have a floor, and
# volumes that fit neither the network nor the memory at once.
#
# | | |
# |---|---|
# | After it you can | look at a volume honestly; write a loss in 3D; restore a stack in tiles without seams, and one larger than the memory; read a score with a floor |
# | Before it | Python and NumPy; what a point-spread function (PSF) is; helpful: notebooks 03 and 05 |
# | Reading | 20 minutes |
# | Running | 70 seconds and 300 training steps, on two CPU cores |

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown

from siamdecon import (
    PAPER_3D,
    PSFConvolution,
    affine_score,
    deconvolve,
    deconvolve_file,
    degrade,
    load_volume,
    paper_psf,
    read_image,
    richardson_lucy,
    score,
    write_image,
)
from siamdecon.lab import Question, checks, gallery, predictions, score_table, slices_explorer
from siamdecon.microscope import residual
from siamdecon.network import halo_of, predict, symmetries, tile_starts, windows

# %% [markdown]
# ## A volume
#
# The paper's volume shows microtubules, the thin tubes of a cell's skeleton. It may not be passed on, so
# `load_volume` draws a synthetic one of the same size: curved tubes, thinner than a voxel, brightness in [0, 1]. (A
# copy of the paper's volume is read in its place where the environment variable `SIAMDECON_VOLUME` names the
# file.) No score here can be compared with the paper's.

# %%
volume = load_volume()
print(volume.shape, f"{volume.nbytes / 2**20:.0f} MB as float32, mean {volume.mean():.3f}")
gallery(
    {"plane z = 64": volume[64], "highest value along z": volume.max(axis=0)},
    limits=(0, 0.7),
    alt="One plane shows short pieces of tubes, the projection a dense network of long ones.",
)

# %% tags=["hide-cell"]
assert volume.dtype == np.float32 and volume.min() == 0 and volume.max() == 1
assert volume.mean() < 0.02 < 0.5 < volume.max(axis=0).mean() + 0.4

# %% [markdown]
# A screen shows two dimensions, so a picture of a volume always leaves something out. A plane is true but shows
# little of a tube that crosses it. The *maximum projection* shows each column's brightest voxel, the *mean
# projection* its average.
#
# ## The microscope in 3D
#
# The kernel is a stack too: 17 planes, the focus between the seventh and the eighth, rings above and below.
# Clean volume, convolution, noise: as in 2D, but without impulses (`PAPER_3D`).

# %%
psf = paper_psf(3)
noisy = degrade(volume, psf, PAPER_3D)
gallery(
    {f"plane {z} of the kernel": psf[z] ** 0.25 for z in (0, 4, 7, 8, 16)},
    limits=(0, 0.8),
    alt="Fourth roots of five kernel planes: rings outside, a sharp spot in planes 7 and 8.",
)

# %%
projection = Question(
    "The noisy volume, 128 planes. Which projection along z shows the tubes better?",
    ["The highest value of each column", "The mean of each column", "Both show them equally"],
    answer=1,
    because="The highest of 128 noisy values is a large noise value. The mean lets noise cancel.",
)
projection


# %%
def stretched(image):
    low, high = np.percentile(image, (1, 99.5))
    return (image - low) / (high - low)


projection.reveal(
    gallery(
        {name: stretched(getattr(noisy, name)(axis=0)) for name in ("max", "mean")},
        alt="The maximum projection is noise with traces of tubes, the mean shows a blurred network.",
    )
)

# %% tags=["hide-cell"]
truth = volume.mean(axis=0).ravel()
seen = {name: getattr(noisy, name)(axis=0).ravel() for name in ("max", "mean")}
assert np.corrcoef(truth, seen["mean"])[0, 1] > np.corrcoef(truth, seen["max"])[0, 1] + 0.1

# %% [markdown]
# ## The price of a third dimension
#
# Direct convolution takes one product for each voxel of the kernel, $17^3 = 4913$ of them, for each voxel of the
# volume; by FFT the price hardly depends on the kernel (notebook 03). For this volume:

# %%
voxels, taps = volume.size, psf.size
grid = np.prod([m + n - 1 for m, n in zip(volume.shape, psf.shape, strict=True)])
by_fft = 2 * 2.5 * grid * np.log2(grid) + 6 * grid
print(f"direct: {2 * voxels * taps / 1e9:.0f} billion operations, by FFT about {by_fft / 1e9:.1f}")
for n in (9, 17, 31):
    print(f"kernel {n:2} voxels a side: {n**3:6} products a voxel, {n**2:4} in a plane of it")

# %% tags=["hide-cell"]
assert 30 < 2 * voxels * taps / by_fft < 80

# %% [markdown]
# Operations are not seconds. Measured on two cores, for a batch of four patches of $64^3$ voxels with this kernel, forward
# and backward, `conv3d` took more than 400 times as long as $g$ by FFT (`python -m benchmarks convolution`).
#
# ## A kernel with an up and a down
#
# The focus does not lie in the middle of this kernel. `conv3d` computes a correlation, with the kernel
# turned over, and so moves the focus from a little above the middle to a little below. How far off is that?

# %%
part = (slice(48, 80), slice(80, 176), slice(208, 304))
clean, measured = volume[part], noisy[part]
g = PSFConvolution(psf, padding="zero")
x = torch.from_numpy(np.ascontiguousarray(clean))[None, None]
right, turned = g(x)[0, 0].numpy(), g.correlate(x)[0, 0].numpy()
error = np.linalg.norm(turned - right) / np.linalg.norm(right)
print(f"error of the correlation: {error:.0%} of the blurred volume")

# %% [markdown]
# (For separate points it is 34 %, see notebook 03: where tubes overlap, errors cancel.) What does a restoration with the wrong model do?


# %%
def offset(estimate):
    """Best shift along z: the vertex of a parabola through the correlations at -1, 0, 1 planes."""
    a, b, c = (
        np.corrcoef(clean[2:-2].ravel(), np.roll(estimate, -s, axis=0)[2:-2].ravel())[0, 1]
        for s in (-1, 0, 1)
    )
    return (c - a) / (2 * (2 * b - a - c))


flipped = np.ascontiguousarray(psf[::-1, ::-1, ::-1])
models, off = {}, {}
for name, kernel in {"convolution": psf, "correlation": flipped}.items():
    models[name] = richardson_lucy(measured, kernel, 5, prefilter="median")
    off[name] = residual(models[name], measured, kernel).std()
    print(f"{name}: {offset(models[name]):+.2f} planes off, residual {off[name]:.4f}")

# %% tags=["hide-cell"]
assert 0.05 < error < 0.3
assert abs(offset(models["convolution"])) < 0.1 < 0.3 < abs(offset(models["correlation"])) < 1
assert abs(off["correlation"] / off["convolution"] - 1) < 0.02

# %% [markdown]
# It explains the measurement as well, and puts everything half a plane off. No residual shows that; only the truth, or
# a bead at a known depth, does.

# %% [markdown]
# ## The loss
#
# Nothing in the loss knows the number of dimensions. Noise2Same, which the paper finds best in 3D, is Eq. 3 with $g$ the
# blur of a volume, $J$ voxels hidden in boxes of $6^3$, and $m$ and $|J|$ numbers of voxels:
#
# $$L = \frac{1}{m} \lVert g(f(x)) - x \rVert^2
#   + \lambda_{inv} \Big( \frac{1}{|J|} \lVert g(f(x))_J - g(f(x_{J^c}))_J \rVert^2 \Big)^{1/2}.$$
#
# ### Exercise 1: Noise2Same for a volume
#
# All arguments are arrays (z, y, x); `mask` is True at $J$, `f` is $f(x)$, `f_masked` is $f(x_{J^c})$. `blur` is
# given: it turns arrays into tensors (1, 1, z, y, x) and back.


# %% tags=["task"]
def noise2same_loss(x, mask, f, f_masked, psf):
    g = PSFConvolution(psf)

    def blur(estimate):
        return g(torch.from_numpy(estimate)[None, None])[0, 0].numpy()

    reconstruction = ...
    invariance = ...
    return reconstruction + 2 * invariance


# %% tags=["solution"]
def noise2same_loss(x, mask, f, f_masked, psf):
    g = PSFConvolution(psf)

    def blur(estimate):
        return g(torch.from_numpy(estimate)[None, None])[0, 0].numpy()

    reconstruction = np.mean((blur(f) - x) ** 2)
    invariance = np.sqrt(np.mean((blur(f) - blur(f_masked))[mask] ** 2))
    return reconstruction + 2 * invariance


# %%
checks.noise2same_loss(noise2same_loss)

# %% [markdown] tags=["solution"]
# The code is that of two dimensions, and this is the point: blur, mask and means take any number of axes. What
# changes is the price, and how much of a patch its border is: of a patch of 32 voxels a side, half lie
# within 3 voxels of the border; of a 2D patch, a third.

# %% [markdown]
# ### Which turns are allowed?
#
# Patches are turned and mirrored in training, but only such that the kernel stays as it is: otherwise the
# network would see a blur that the microscope does not make. A cube has 48 turns and mirror images.

# %%
cube, coarse = np.ones((5, 5, 5)), np.ones((3, 5, 5))
for name, kernel in {"a cube": cube, "coarser along z": coarse, "the paper's": psf}.items():
    found = symmetries(kernel)
    print(f"{name}: {len(found)} of 48, {sum(0 in turn.flips for turn in found)} of them mirror z")

# %% tags=["hide-cell"]
assert [len(symmetries(k)) for k in (cube, coarse, psf)] == [48, 16, 8]
assert not any(0 in turn.flips or turn.order[0] != 0 for turn in symmetries(psf))

# %% [markdown]
# In a real stack the planes are mostly further apart than the pixels, and no turn may exchange z with x. In the
# paper's kernel even up and down differ. The package reads this off the kernel.
#
# ## Restore
#
# The network learns from a part of 32 x 96 x 96 voxels, so that two cores need less than a minute. Its
# opponents get the same part.

# %%
network = deconvolve(measured, psf, "noise2same", progress=True)
estimates = {
    "measured": measured,
    "Lucy-Richardson, n = 2": richardson_lucy(measured, psf, 2),
    "median + Lucy-Richardson, n = 5": models["convolution"],
    "Noise2Same": network.image,
}

# %%
floor = affine_score(clean, np.zeros_like(clean))
rows = {"nothing at all (black)": score(clean, np.zeros_like(clean))}
rows |= {name: score(clean, estimate) for name, estimate in estimates.items()}
Markdown(score_table(rows))

# %% [markdown]
# Look at the first row. Most of this volume is black, so an estimate that is black everywhere scores higher
# than the measurement and hardly less than the best. A score of 25 dB means nothing without that row.

# %%
scale = Question(
    "The paper's score for volumes first scales the estimate to fit the truth best. What does it give an "
    "estimate that is the same everywhere?",
    [
        "Minus infinity",
        "0 dB",
        "What black gets: it depends on the truth alone",
    ],
    answer=2,
    because="The best scale of a flat estimate is 0. What is left is the truth's own spread.",
)
scale

# %% [markdown] tags=["equation:affine-score"]
# That score scales the truth $t$ to its percentiles 0.1 and 99.9, takes the means away, and compares with $a\,e$, where $a$ is
# the number that fits best:
#
# $$a = \frac{\langle e, t \rangle}{\langle e, e \rangle}, \qquad
#   \mathrm{PSNR} = -10 \log_{10} \mathrm{mean}\,(t - a e)^2 \;\ge\; -20 \log_{10} \mathrm{std}(t).$$
#
# The bound on the right is its *floor*: what an estimate gets that shows nothing. Only the distance to it counts.

# %%
affine = {name: affine_score(clean, estimate) for name, estimate in estimates.items()}
table = ["| | PSNR (dB) | above the floor (dB) |", "|---|---|---|"]
table += [f"| {n} | {s['psnr']:.2f} | {s['psnr'] - s['floor']:.2f} |" for n, s in affine.items()]
scale.reveal(
    gallery(
        {
            "truth": clean.mean(axis=0),
            **{n: e.mean(axis=0) for n, e in list(estimates.items())[2:]},
        },
        limits=(0, 0.08),
        alt="Mean projections: the truth shows thin tubes, both restorations wider and fainter ones.",
    )
)

# %%
Markdown("\n".join(table))

# %% tags=["hide-cell"]
from siamdecon.methods import tier_name

assert abs(floor["psnr"] - floor["floor"]) < 1e-9
assert rows["nothing at all (black)"]["psnr"] > rows["measured"]["psnr"] + 2
best = max(affine_score(clean, richardson_lucy(measured, psf, n))["psnr"] for n in (1, 2, 5))
if tier_name() != "test":
    assert affine["Noise2Same"]["psnr"] > best
    assert rows["Noise2Same"]["psnr"] > rows["Lucy-Richardson, n = 2"]["psnr"] + 0.5
assert all(s["psnr"] >= s["floor"] - 1e-9 for s in affine.values())

# %% [markdown]
# The network is ahead of every iteration of Lucy-Richardson. With a median filter before it, Lucy-Richardson is about as good, in
# less than a second. The paper's Table 4 leaves that opponent out.
#
# ### Plane by plane
#
# Move through the planes. One plane of a restoration shows as much invented as found; the mean of a few planes
# tells the two apart, since tubes go on and noise does not.

# %%
shown = {"median + LR": models["convolution"], "Noise2Same": network.image}
slices_explorer(clean, shown, limits=(0, 0.25))

# %% tags=["hide-cell"]
explorer = slices_explorer(clean, shown, limits=(0, 0.25))
explorer.set(plane=3, planes=5)
assert explorer.frame.text == "mean of planes 1 to 5, around plane 3"
assert len(explorer.to_html()) < 6_000_000

# %% [markdown]
# ## Tiles
#
# A network of 48 features holds eight copies of its first layer at a time: for the whole volume that is

# %%
print(f"{4 * 48 * 8 * volume.size / 2**30:.0f} GB for {volume.nbytes / 2**30:.2f} GB of voxels")
print("tiles of 128 that share 32 start at", [tile_starts(m, 128, 32) for m in volume.shape])

# %% [markdown] tags=["equation:blend"]
# So the paper restores tiles of $128^3$ voxels that overlap by 32, and takes in each voxel the mean of the tiles $e_i$ there,
# weighted with pyramids $w_i$ that fall towards a tile's border (notebook 08):
#
# $$e = \frac{\sum_i w_i\, e_i}{\sum_i w_i}.$$
#
# ### Exercise 2: put tiles together
#
# `parts` are tiles of one shape, `corners` where each begins (z, y, x), `weights` the weights of a tile, and `shape` is
# that of the volume.


# %% tags=["task"]
def stitch(parts, corners, weights, shape):
    total, weight = np.zeros(shape), np.zeros(shape)
    for part, corner in zip(parts, corners, strict=True):
        at = tuple(slice(c, c + n) for c, n in zip(corner, part.shape, strict=True))
        ...
    return ...


# %% tags=["solution"]
def stitch(parts, corners, weights, shape):
    total, weight = np.zeros(shape), np.zeros(shape)
    for part, corner in zip(parts, corners, strict=True):
        at = tuple(slice(c, c + n) for c, n in zip(corner, part.shape, strict=True))
        total[at] += weights * part
        weight[at] += weights
    return total / weight


# %%
checks.stitch(stitch)

# %% [markdown] tags=["solution"]
# Because the weights are divided out in each voxel, tiles that agree give what they agree on, whatever the weights. The
# weights only decide who is heard where tiles disagree: the tile that has the voxel further inside.

# %% [markdown]
# Tiles disagree because a tile's border is not the volume's. There is another way: give each tile a *halo*, as wide as the
# network can see, compute it and throw it away. Then no voxel knows of the tiles.

# %%
halo, stride = halo_of(network.run.model, 3)
print(f"this network sees {halo} voxels to each side; its tiles begin at multiples of {stride}")
low, high = network.settings["range"]
unit = (measured - low) / (high - low)
how = {"average_flips": False, "calibrate": False}
whole = predict(network.run, unit, **how)
in_tiles = {
    stitch: predict(network.run, unit, tile=64, stitch=stitch, **how)
    for stitch in ("blend", "exact")
}
off = {name: np.abs(tiled - whole) for name, tiled in in_tiles.items()}
print({name: f"{difference.max():.1e} at most" for name, difference in off.items()})

# %%
gallery(
    {f"|{name} - whole|": difference.max(axis=0) for name, difference in off.items()},
    limits=(0, 0.1),
    alt="The blended tiles differ from the whole in bands around the seams, the exact ones nowhere.",
)

# %% tags=["hide-cell"]
assert (halo, stride) == (24, 4)
assert off["exact"].max() < 2e-2 * np.ptp(whole) < np.ptp(whole)
assert off["blend"].max() > 3 * off["exact"].max()

# %% [markdown]
# (Where the exact ones are not equal to the last bit, that is rounding.) The halo has its price: it is computed for
# nothing, and the smaller the tile, the more of it there is.

# %%
for side in (16, 64, 128):
    read = sum(
        np.prod([w.stop - w.start for w in window])
        for _, window in windows(volume.shape, side, halo, stride)
    )
    print(f"tiles of {side:3}: {read / volume.size:5.1f} times the volume is computed")

# %% [markdown]
# ## Larger than the memory
#
# A stack of a light-sheet microscope has gigabytes. `deconvolve_file` leaves it on disk: it trains on patches read from
# all over the file and restores one window after the other, with a halo, into a new file that
# appears under its name when it is whole. Here with the small stack, as 16-bit counts:

# %%
folder = Path(tempfile.mkdtemp())
counts = (200 + 3000 * measured).astype(np.uint16)
write_image(folder / "stack.tif", counts, voxel_size=(0.406, 0.406, 0.406))
done = deconvolve_file(
    folder / "stack.tif",
    psf,
    folder / "restored.tif",
    "richardson_lucy",
    prefilter="median",
    tile=48,
    dtype="source",
)
print(read_image(done), sorted(path.name for path in folder.iterdir()))

# %%
in_memory = deconvolve(counts, psf, "richardson_lucy", prefilter="median").image
on_disk = read_image(done).data
print(f"largest difference to the whole: {np.abs(on_disk - in_memory.clip(0)).max():.2f} counts")

# %% tags=["hide-cell"]
assert on_disk.dtype == np.uint16 and np.abs(on_disk - in_memory.clip(0)).max() <= 0.51
assert sorted(path.name for path in folder.iterdir()) == [
    "restored.json",
    "restored.tif",
    "stack.tif",
]

# %% [markdown]
# Half a count is the rounding. From the command line: `siamdecon stack.tif --psf kernel.tif --method noise2same -o restored.tif`; from
# $2^{28}$ voxels on it works on disk by itself, and with `--on-disk` always.
#
# ## Summary
#
# - A plane leaves out, a maximum projection shows noise, a mean projection blurs depth: look at more than one.
# - The kernel has an up and a down. A correlation moves the result by half a plane, and no residual shows it.
# - The loss is the same in 2D and 3D; the kernel decides which turns are allowed.
# - In a volume that is mostly black, black scores well. State the floor, and the median filter with Lucy-Richardson.
# - Blended tiles average their disagreement; tiles with a halo have none, for more work.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=300)
