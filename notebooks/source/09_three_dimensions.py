# %% [markdown]
# # Three dimensions
#
# A volume is not a stack of images that can be restored one by one: each plane also shows what lies above and
# below it. This notebook blurs a volume, trains the course's network on a part of it, and shows the differences
# in 3D: the cost of the kernel, a kernel that is asymmetric along z, scores that have a floor, and volumes that
# are too large for the network or the memory.
#
# | | |
# |---|---|
# | After it you can | choose a projection to show a volume; tell which rotations a kernel allows; restore a stack in tiles without seams, and one larger than the memory; read a score with a floor |
# | Before it | Python and NumPy; what a point-spread function (PSF) is; helpful: notebooks 02 and 05 |
# | Reading | 20 minutes |
# | Running | 70 seconds and 300 training steps, on two CPU cores |

# %%
import tempfile
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown
from siamdecon import (
    PAPER_3D,
    PSFConvolution,
    UNet,
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
from siamdecon.lab import (
    ask,
    checks,
    gallery,
    predictions,
    score_table,
    slices_explorer,
)

# %%
from siamdecon.microscope import residual
from siamdecon.network import (
    halo_of,
    predict,
    stratified_mask,
    symmetries,
    tile_starts,
    windows,
)

# %% [markdown]
# ## A volume
#
# The paper's volume shows microtubules, the thin tubes of a cell's skeleton. It may not be redistributed, so
# `load_volume` draws a synthetic one of the same size: curved tubes a few voxels wide, brightness in [0, 1]. (If
# the environment variable `SIAMDECON_VOLUME` names a copy of the paper's volume, that copy is read instead.) Width
# and number of the tubes were chosen such that Lucy-Richardson gains as much on it, over an estimate that shows
# nothing, as on the paper's. Only such gains can be compared with the paper's.

# %%
volume = load_volume()
print(
    volume.shape,
    f"{volume.nbytes / 2**20:.0f} MB as float32, mean {volume.mean():.3f}",
)
gallery(
    {"plane z = 64": volume[64], "highest value along z": volume.max(axis=0)},
    limits=(0, 0.7),
    alt="One plane shows short pieces of tubes, the projection a dense network of long ones.",
)

# %% tags=["hide-cell"]
assert volume.dtype == np.float32 and volume.min() == 0 and volume.max() == 1
assert volume.mean() < 0.02 < 0.5 < volume.max(axis=0).mean() + 0.4

# %% [markdown]
# A screen shows two dimensions, so a picture of a volume always leaves something out. A plane is exact but shows
# little of a tube that crosses it. The *maximum projection* shows each column's brightest voxel, the *mean
# projection* its average.
#
# ## The microscope in 3D
#
# The kernel is a stack too: 17 planes, with the focus between planes 7 and 8, counted from 0, and rings above and
# below. The simulation is that of 2D (clean volume, convolution, noise) without impulses (`PAPER_3D`).

# %%
psf = paper_psf(3)
noisy = degrade(volume, psf, PAPER_3D)
gallery(
    {f"plane {z} of the kernel": psf[z] ** 0.25 for z in (0, 4, 7, 8, 16)},
    limits=(0, 0.8),
    alt="Fourth roots of five kernel planes: rings outside, a sharp spot in planes 7 and 8.",
)

# %%
projection = ask("09/projection")
projection


# %%
def stretched(image):
    low, high = np.percentile(image, (1, 99.5))
    return (image - low) / (high - low)


projection.reveal(
    gallery(
        {name: stretched(getattr(noisy, name)(axis=0)) for name in ("max", "mean")},
        alt=projection.alt,
    )
)

# %% tags=["hide-cell"]
truth = volume.mean(axis=0).ravel()
seen = {name: getattr(noisy, name)(axis=0).ravel() for name in ("max", "mean")}
assert (
    np.corrcoef(truth, seen["mean"])[0, 1]
    > np.corrcoef(truth, seen["max"])[0, 1] + 0.1
)

# %% [markdown]
# ## The cost of a third dimension
#
# Direct convolution takes one product for each voxel of the kernel, $17^3 = 4913$ of them, for each voxel of the
# volume; by FFT the cost hardly depends on the kernel (notebook 02). For this volume:

# %%
voxels, taps = volume.size, psf.size
grid = np.prod([m + n - 1 for m, n in zip(volume.shape, psf.shape, strict=True)])
by_fft = 2 * 2.5 * grid * np.log2(grid) + 6 * grid
print(
    f"direct: {2 * voxels * taps / 1e9:.0f} billion operations, by FFT about {by_fft / 1e9:.1f}"
)
for n in (9, 17, 31):
    print(
        f"kernel {n:2} voxels a side: {n**3:6} products a voxel, {n**2:4} in a plane of it"
    )

# %% tags=["hide-cell"]
assert 30 < 2 * voxels * taps / by_fft < 80

# %% [markdown]
# Operations are not seconds. Measured on two cores, for a batch of four patches of $64^3$ voxels with this kernel, forward
# and backward, `conv3d` took more than 400 times as long as $g$ by FFT (`python -m benchmarks convolution`).
#
# ## A kernel that is asymmetric along z
#
# The focus does not lie in the middle of this kernel. `conv3d` computes a correlation, with the kernel
# flipped, and so shifts the focus from a little above the middle to a little below. How large is the error?

# %%
part = (slice(48, 80), slice(64, 192), slice(192, 320))
clean, measured = volume[part], noisy[part]
g = PSFConvolution(psf, padding="zero")
x = torch.from_numpy(np.ascontiguousarray(clean))[None, None]
right, turned = g(x)[0, 0].numpy(), g.correlate(x)[0, 0].numpy()
error = np.linalg.norm(turned - right) / np.linalg.norm(right)
print(f"error of the correlation: {error:.0%} of the blurred volume")

# %% [markdown]
# (For separate points it is 34 %, see notebook 02: along a tube, errors cancel.) What does a restoration with the wrong model do?


# %%
def offset(estimate):
    """Best shift along z: the vertex of a parabola through the correlations at -1, 0, 1 planes."""
    a, b, c = (
        np.corrcoef(clean[2:-2].ravel(), np.roll(estimate, -s, axis=0)[2:-2].ravel())[
            0, 1
        ]
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
assert (
    abs(offset(models["convolution"]))
    < 0.1
    < 0.25
    < abs(offset(models["correlation"]))
    < 1
)
assert abs(off["correlation"] / off["convolution"] - 1) < 0.02

# %% [markdown]
# It explains the measurement equally well, and shifts everything by a third of a plane. No residual shows this; only
# the truth, or a bead at a known depth, does.

# %% [markdown]
# ## The loss
#
# The loss does not depend on the number of dimensions. Noise2Same, which the paper finds best in 3D, is Eq. 3 with $g$
# the blur of a volume, $J$ the voxels hidden (one in each box of $6^3$), and $m$ and $|J|$ numbers of voxels. This is
# the loss of notebook 05, unchanged, with a network that is not trained yet, for a plane and for a volume:


# %%
def two_pass_loss(f, g, x, x_hidden, mask, lambda_inv):
    unmasked = g(f(x))
    masked = g(f(x_hidden))
    rec = ((unmasked - x) ** 2).mean()
    inv = ((unmasked - masked)[mask] ** 2).mean().sqrt()
    return rec + lambda_inv * inv


torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
for kernel, shape in ((paper_psf(2), (1, 1, 64, 64)), (psf, (1, 1, 32, 32, 32))):
    x = torch.randn(shape)
    mask = stratified_mask(shape, 0.5, generator)
    x_hidden = torch.where(mask, 0.2 * torch.randn(shape), x)
    f = UNet(n_dim=kernel.ndim, features=4)
    loss = two_pass_loss(f, PSFConvolution(kernel), x, x_hidden, mask, lambda_inv=2)
    loss.backward()
    print(
        f"{kernel.ndim}D: loss {loss.item():.2f}, {int(mask.sum())} hidden of {x.numel()}"
    )

# %% tags=["hide-cell"]
assert all(p.grad is not None for p in f.parameters()) and torch.isfinite(loss)

# %% [markdown]
# Only the cost changes, and the border's share of a patch: of a patch of 32 voxels a side, half lie within 3 voxels of
# the border; of a 2D patch, a third.

# %%
for n_dim in (2, 3):
    print(f"{n_dim}D: {1 - (26 / 32) ** n_dim:.0%} lie within 3 of the border")

# %% [markdown]
# ### Exercise 1: which turns are allowed? (4 minutes)
#
# Patches are rotated and mirrored in training, but only in ways that leave the kernel unchanged: otherwise the network
# would be trained on a blur that the microscope does not cause. `turn` is a function that rotates or mirrors an array,
# and may exchange its axes. Return whether it may be used with `kernel`. (`np.allclose` compares two arrays of one
# shape and allows for rounding.)


# %% tags=["task"]
def allowed(kernel, turn):
    turned = turn(kernel)
    return ...


# %% tags=["solution"]
def allowed(kernel, turn):
    turned = turn(kernel)
    return turned.shape == kernel.shape and np.allclose(turned, kernel)


# %%
checks.allowed(allowed)

# %% [markdown] tags=["solution"]
# If the turned kernel is the same, turning the specimen and then blurring it gives the same as blurring it and then
# turning the result. So a turned patch is a measurement that the microscope could have made.

# %% [markdown]
# A cube has 48 rotations and reflections: each exchanges the axes in some order, and mirrors some of them. Your
# function tells which of them three kernels allow; `symmetries` of the package finds the same.

# %%
turns = [
    lambda a, order=order, axes=axes: np.flip(a.transpose(order), axes)
    for order in permutations(range(3))
    for count in range(4)
    for axes in combinations(range(3), count)
]
kernels = {
    "a cube": np.ones((5, 5, 5)),
    "coarser along z": np.ones((3, 5, 5)),
    "the paper's": psf,
}
for name, kernel in kernels.items():
    yours, found = sum(allowed(kernel, turn) for turn in turns), symmetries(kernel)
    mirrored = sum(0 in turn.flips for turn in found)
    print(f"{name}: {yours} of 48, by the package {len(found)}; {mirrored} mirror z")

# %% tags=["hide-cell"]
for kernel, count in zip(kernels.values(), (48, 16, 8), strict=True):
    yours = sum(allowed(kernel, turn) for turn in turns)
    assert yours == len(symmetries(kernel)) == count
assert not any(0 in turn.flips or turn.order[0] != 0 for turn in symmetries(psf))

# %% [markdown]
# In a real stack the planes are usually further apart than the pixels, so no rotation may exchange z with x. In
# the paper's kernel even up and down differ. The package finds the allowed ones from the kernel.
#
# ## Restore
#
# The network learns from a part of 32 x 128 x 128 voxels, so that two cores need about a minute. The
# classical baselines restore the same part.

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
# than the measurement, and higher than Lucy-Richardson. A score of 25 dB means nothing without that row.

# %%
scale = ask("09/scale")
scale

# %% [markdown] tags=["equation:affine-score"]
# That score scales the clean volume $y$ such that its percentiles 0.1 and 99.9 become 0 and 1, subtracts from $y$ and from the
# estimate $\hat y$ their means, and compares $y$ with $a\,\hat y$, where $a$ is the factor that fits best:
#
# $$a = \frac{\langle \hat y, y \rangle}{\langle \hat y, \hat y \rangle}, \qquad
#   \mathrm{PSNR} = -10 \log_{10} \mathrm{mean}\,(y - a \hat y)^2 \;\ge\; -20 \log_{10} \mathrm{std}(y).$$
#
# The bound on the right is its *floor*: the score of an estimate that shows nothing. Only the distance to it counts.

# %%
affine = {name: affine_score(clean, estimate) for name, estimate in estimates.items()}
table = ["| | PSNR (dB) | above the floor (dB) |", "|---|---|---|"]
table += [
    f"| {n} | {s['psnr']:.2f} | {s['psnr'] - s['floor']:.2f} |"
    for n, s in affine.items()
]
scale.reveal(
    gallery(
        {"truth": clean, **dict(list(estimates.items())[2:])},
        limits=(0, 0.3),
        alt=scale.alt,
    )
)

# %%
Markdown("\n".join(table))

# %% tags=["hide-cell"]
from siamdecon.methods import tier_name

assert abs(floor["psnr"] - floor["floor"]) < 1e-9
assert rows["nothing at all (black)"]["psnr"] > rows["measured"]["psnr"] + 2
assert rows["nothing at all (black)"]["psnr"] > rows["Lucy-Richardson, n = 2"]["psnr"]
best = max(
    affine_score(clean, richardson_lucy(measured, psf, n))["psnr"] for n in (1, 2, 5)
)
if tier_name() != "test":
    assert affine["Noise2Same"]["psnr"] > best + 0.5
    assert rows["Noise2Same"]["psnr"] > rows["Lucy-Richardson, n = 2"]["psnr"] + 0.5
assert all(s["psnr"] >= s["floor"] - 1e-9 for s in affine.values())

# %% [markdown]
# The network gains about twice as much as Lucy-Richardson, which is the paper's result. With a median filter before
# it, Lucy-Richardson is as good, in less than a second. The paper's Table 4 does not include that baseline. On three
# such volumes of 64 x 160 x 160 voxels (`make tables`), Lucy-Richardson gains 1.45 dB, the paper's 1.35;
# Noise2Same 2.54, and 3.05 if clipping is not modelled, as in the paper, whose gain is 3.03; with the median filter
# Lucy-Richardson gains 3.20, and `self_scale` (notebook 10) 6.00.
#
# ### Explorer: plane by plane
#
# Move through the planes. In one plane of a restoration, tubes and noise look alike; the mean of a few planes
# separates them, since tubes continue from plane to plane and noise does not.

# %%
shown = {"median + LR": models["convolution"], "Noise2Same": network.image}
slices_explorer(clean, shown, limits=(0, 0.25))

# %% tags=["hide-cell"]
explorer = slices_explorer(clean, shown, limits=(0, 0.25))
explorer.set(plane=3, planes=5)
assert explorer.frame.text == "mean of planes 1 to 5, around plane 3"
assert len(explorer.to_html()) < 6_000_000

# %% [markdown]
# ## Planes further apart than pixels
#
# So far voxels were cubes. The planes of a real stack usually lie further apart. Here are planes 3 pixels apart: every
# third plane of the measurement, and of the kernel. An `Image` carries the size of its voxels (z, y, x) in µm.

# %%
from siamdecon.files import Image
from siamdecon.lab import volume_explorer

every, step = slice(1, None, 3), 3 * 0.406
stack = Image(measured[every], "ZYX", voxel_size=(step, 0.406, 0.406))
kernel = psf[2::3] / psf[2::3].sum()
restored = deconvolve(stack, kernel, "richardson_lucy", prefilter="median")


def gain(estimate):
    found = affine_score(clean[every], estimate)
    return found["psnr"] - found["floor"]


print(f"above the floor, on {len(clean[every])} planes:")
print(f"restored from all planes {gain(models['convolution'][every]):.2f} dB")
print(f"restored from these alone {gain(restored.image):.2f} dB")

# %% [markdown]
# Without the planes between, the same method gains about half as much. What becomes of the depth? In the explorer, the
# cut at x is to the right of the plane, the cut at y below it, both as deep as the stack is. Compare how far a tube
# reaches in a plane and in depth, and then look at the highest values.

# %%
cuts = {"measured": stack, "median + LR": restored, "truth": clean[every]}
in_depth = volume_explorer(cuts, limits=(0, 0.4))
in_depth


# %%
def alike(estimate, axis):
    """Correlation of values that are 1.2 µm apart: one plane, or three pixels."""
    pairs = np.moveaxis(np.asarray(estimate), axis, 0)
    lag = 1 if axis == 0 else 3
    return np.corrcoef(pairs[lag:].ravel(), pairs[:-lag].ravel())[0, 1]


for name, shown in {"truth": clean[every], "median + LR": restored.image}.items():
    print(f"{name}: {alike(shown, 0):.2f} along z, {alike(shown, 2):.2f} along x")
light = {"z": psf.sum(axis=(1, 2)), "x": psf.sum(axis=(0, 1))}
spread = {
    axis: 0.406 * np.cov(np.arange(17), aweights=of, ddof=0) ** 0.5
    for axis, of in light.items()
}
print(
    f"standard deviation of the kernel: {spread['z']:.1f} µm along z, {spread['x']:.1f} µm along x"
)

# %% tags=["hide-cell"]
assert 0.4 < gain(restored.image) / gain(models["convolution"][every]) < 0.65
assert spread["z"] > 2 * spread["x"]
assert alike(clean[every], 0) < alike(clean[every], 2) - 0.1
assert (
    alike(restored.image, 0)
    > max(alike(clean[every], 0), alike(restored.image, 2)) + 0.2
)
assert len(in_depth.to_html()) < 3_000_000
in_depth.set(z=2, show="planes")
assert in_depth.frame.text.startswith(
    "measured, median + LR, truth: plane z = 2.436 um;"
)

# %% [markdown]
# In the truth, values 1.2 µm apart are less alike along z than along x; in the restoration they are much more alike
# along z. The kernel is more than twice as long in depth as in the plane, and the restoration stays drawn out in that
# direction. A picture shows this only at the true aspect: drawn as cubes, this stack would be a third as deep, and its
# tubes would look short along z. `gallery` takes the size of the voxels from the stack too; if it is an array, say
# `voxel_size=(1.218, 0.406, 0.406)`. On a computer with a screen, `open_in_napari(restored)` of `siamdecon.lab` shows
# measurement and restoration in napari, which `pip install "siamdecon[view]"` brings.
#
# ## Tiles
#
# A network of 48 features keeps eight copies of its first layer in memory: for the whole volume that is

# %%
print(
    f"{4 * 48 * 8 * volume.size / 2**30:.0f} GB for {volume.nbytes / 2**30:.2f} GB of voxels"
)
print(
    "tiles of 128 that share 32 start at",
    [tile_starts(m, 128, 32) for m in volume.shape],
)

# %% [markdown] tags=["equation:blend"]
# So the paper restores tiles of $128^3$ voxels that overlap by 32. Each voxel is the weighted mean of the tiles $\hat y_t$
# there, with weights $\omega_t$ that fall towards a tile's border like the sides of a pyramid (notebook 08):
#
# $$\hat y = \frac{\sum_t \omega_t\, \hat y_t}{\sum_t \omega_t}.$$
#
# ### Exercise 2: put tiles together (5 minutes)
#
# `parts` are tiles of one shape, `corners` says where each begins (z, y, x), `weights` are the weights of a tile, and
# `shape` is that of the volume.


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
# The weights are divided out in each voxel, so where tiles agree, the weights have no effect. Where tiles disagree,
# the tile in which the voxel lies further inside counts more.

# %% [markdown]
# Tiles disagree because a tile's border is not the volume's. There is another way: give each tile a *halo*, as wide as
# the network's receptive field reaches, compute it and discard it. Then no voxel depends on the tiling.

# %%
halo, stride = halo_of(network.run.model, 3)
print(
    f"this network uses {halo} voxels to each side; its tiles begin at multiples of {stride}"
)
low, high = network.settings["range"]
unit = (measured - low) / (high - low)
how = {"average_flips": False, "calibrate": False}
whole = predict(network.run, unit, tile=128, **how)
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
# (The remaining difference of the exact tiles is rounding.) The halo has a cost: it is computed and then discarded, and
# the smaller the tile, the larger its share.

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
# A stack from a light-sheet microscope has many gigabytes. `deconvolve_file` leaves it on disk: it trains on patches
# read from the whole file and restores one window after another, with a halo, into a new file. The file gets its name
# only when it is complete. Here is an example with the small stack, as 16-bit counts:

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
print(
    f"largest difference from the whole: {np.abs(on_disk - in_memory.clip(0)).max():.2f} counts"
)

# %% tags=["hide-cell"]
assert on_disk.dtype == np.uint16 and np.abs(on_disk - in_memory.clip(0)).max() <= 0.51
assert sorted(path.name for path in folder.iterdir()) == [
    "restored.json",
    "restored.tif",
    "stack.tif",
]

# %% [markdown]
# Half a count is due to rounding. From the command line: `siamdecon stack.tif --psf kernel.tif --method noise2same -o restored.tif`.
# It works on disk automatically from $2^{28}$ voxels on, and always with `--on-disk`.
#
# A volume of a terabyte is an OME-Zarr, a folder of chunks, and many machines restore it: each worker of a Dask cluster
# writes chunks of its own. Three lines do so with two workers on this machine, if the packages are there
# (`pip install "siamdecon[zarr,dask]"`); with the address of a scheduler in place of `cluster`, on any other.

# %%
from importlib.util import find_spec

if find_spec("zarr") and find_spec("distributed"):
    from distributed import LocalCluster

    files = (
        folder / "stack.tif",
        psf,
        folder / "restored.ome.zarr",
        "richardson_lucy",
    )
    how = {"prefilter": "median", "tile": 48, "dtype": "source"}
    with LocalCluster(
        2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        done = deconvolve_file(*files, **how, scheduler=cluster, progress=False)
    print("the bits of one process:", np.array_equal(read_image(done), on_disk))

# %% tags=["hide-cell"]
assert np.array_equal(read_image(done), on_disk)

# %% [markdown]
# ## Summary
#
# - A plane is incomplete, a maximum projection shows noise, a mean projection blurs depth: look at more than one.
# - The kernel is asymmetric along z. A correlation shifts the result by a third of a plane, and no residual shows it.
# - Planes lie further apart than pixels, and a restoration stays drawn out along z: look at it at the true aspect.
# - The loss is the same in 2D and 3D; the kernel decides which rotations and flips are allowed.
# - In a volume that is mostly black, black scores well. State the floor, and the median filter with Lucy-Richardson.
# - Blended tiles average their differences; tiles with a halo have none, but need more computation.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=300)
