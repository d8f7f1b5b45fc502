# %% [markdown]
# # Convolution by Fourier transform
#
# Nearly every method in this course blurs its estimate with the kernel many times. In this notebook you build that
# step, $g$, with the fast Fourier transform (FFT), meet three ways to get it wrong (an off-centre kernel,
# a flipped kernel, borders that wrap around), and measure when the FFT is faster.
#
# | | |
# |---|---|
# | After it you can | convolve by FFT; tell a convolution from a correlation; choose what lies beyond the border; predict and measure the cost |
# | Before it | Python and NumPy; what the kernel of a microscope is (notebook 01), and that a Fourier transform splits an image into waves |
# | Reading | 25 minutes |
# | Running | 10 seconds and 0 training steps, on two CPU cores |

# %%
import time

import numpy as np
import torch
from siamdecon import PSFConvolution, load_sample, paper_psf
from siamdecon.files import filaments
from siamdecon.lab import ask, checks, gallery, lines, predictions

# %% [markdown] tags=["equation:convolution-theorem"]
# ## A product instead of a sum
#
# Let $\hat y$ be an estimate of the specimen. A convolution puts a copy of the kernel $k$ at every pixel $i$ of it,
# scaled by the pixel's value, and adds the copies up:
#
# $$(\hat y * k)_i = \sum_p k_p\, \hat y_{i - p}.$$
#
# Here $p$ is the position in the kernel, counted from its centre. A wave $e^{2 \pi \mathrm{i}\, u \cdot i}$ of frequency $u$ comes out
# as the same wave times a number, because shifting a wave only changes its phase. That number,
# $F(k)_u = \sum_p k_p e^{-2 \pi \mathrm{i}\, u \cdot p}$, is the kernel's *transfer function*. The Fourier transform $F$ writes an image as
# a sum of waves, so that
#
# $$\hat y * k = F^{-1}(F(\hat y) \odot F(k)).$$
#
# (Section 2, "Fast Fourier Transform Convolution".) In an array, the centre of a kernel of odd size $N$ has
# index $N // 2$. The transform counts positions from index 0.

# %% [markdown]
# ### Exercise 1: the transfer function (5 minutes)
#
# Put `kernel` on a grid of zeros of the given shape, so that its centre lies at index (0, 0), and transform it. Negative
# indices count from the end: -1 is the last row. `np.roll(array, (rows, columns), axis=(0, 1))` shifts with wrap-around.


# %% tags=["task"]
def transfer_function(kernel, shape):
    rows, columns = kernel.shape
    grid = np.zeros(shape)
    grid[:rows, :columns] = kernel
    grid = ...
    return ...


# %% tags=["solution"]
def transfer_function(kernel, shape):
    rows, columns = kernel.shape
    grid = np.zeros(shape)
    grid[:rows, :columns] = kernel
    grid = np.roll(grid, (-(rows // 2), -(columns // 2)), axis=(0, 1))
    return np.fft.fft2(grid)


# %%
checks.transfer_function(transfer_function)

# %% [markdown] tags=["solution"]
# $F(k)$ is a complex number for each frequency: its modulus says how much of the wave is left, its phase how far the
# wave is shifted. A kernel that is symmetric about index 0 shifts nothing, and its $F(k)$ is real.

# %% [markdown]
# Your function blurs an image. The paper's kernel is symmetric about its centre. With its corner at index 0
# instead, it shifts the image by half its width, and no error is raised: the image is as sharp as the correct one.

# %%
clean, psf = load_sample("histology")[128:384, 128:384], paper_psf(2)


def circular(image, kernel):
    spectrum = np.fft.fft2(image) * transfer_function(kernel, image.shape)
    return np.fft.ifft2(spectrum).real


centred = circular(clean, psf)
cornered = np.fft.ifft2(np.fft.fft2(clean) * np.fft.fft2(psf, clean.shape)).real
gallery(
    {"clean": clean, "centre at index 0": centred, "corner at index 0": cornered},
    zoom=(100, 100, 64),
    alt="Both are equally soft, but the second is shifted down and right by 8 pixels.",
)

# %% tags=["hide-cell"]
assert np.abs(np.roll(centred, (8, 8), axis=(0, 1)) - cornered).max() < 1e-5
assert np.abs(centred - cornered).max() > 0.3
assert np.array_equal(psf, psf[::-1, ::-1])

# %% [markdown]
# ## Borders wrap around
#
# The waves of a Fourier transform are periodic. Here are three points of light; predict the result before you look.

# %%
wrap = ask("02/wrap")
wrap

# %%
points = np.zeros((64, 64))
points[[32, 32, 61], [32, 62, 12]] = 1
wrapped = circular(points, psf)
wrap.reveal(
    gallery({"points": points, "blurred": wrapped}, limits=(0, 0.04), alt=wrap.alt)
)

# %% [markdown]
# Padding prevents this. An image of $M$ pixels and a kernel of $N$ give a result of $M + N - 1$. On a grid of that size,
# padded with zeros, nothing wraps around, and the image's own pixels can be cropped afterwards.
#
# ### Exercise 2: convolution with a dark border (5 minutes)
#
# Convolve `image` with `kernel` (odd sizes, not symmetric) and return an array of the image's shape. `np.fft.rfft2(a, shape)`
# pads with zeros at the end of each axis, so the kernel's corner lies at index 0 this time: which pixels of
# the full result are those of the image? (`rfft2` is the transform of real numbers, with half the work.)


# %% tags=["task"]
def fft_convolve(image, kernel):
    shape = ...
    spectrum = ...
    full = np.fft.irfft2(spectrum, shape)
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    return ...


# %% tags=["solution"]
def fft_convolve(image, kernel):
    shape = np.add(image.shape, kernel.shape) - 1
    spectrum = np.fft.rfft2(image, shape) * np.fft.rfft2(kernel, shape)
    full = np.fft.irfft2(spectrum, shape)
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    return full[top : top + image.shape[0], left : left + image.shape[1]]


# %%
checks.fft_convolve(fft_convolve)

# %% [markdown] tags=["solution"]
# Cropping replaces the roll of exercise 1: the full result is shifted by half a kernel, and the crop shifts it back.

# %% [markdown]
# From here on your function is $g$. With zeros beyond the border, light that leaves the image is lost:


# %%
def g(image):
    return fft_convolve(image, psf)


print(f"light kept: circular {wrapped.sum() / 3:.3f}, zeros {g(points).sum() / 3:.3f}")

# %% tags=["hide-cell"]
assert abs(wrapped.sum() - 3) < 1e-4 and g(points).sum() < 2.8
assert wrapped[20:44, :4].sum() > 0.1 > 1e-4 > g(points)[20:44, :4].sum()

# %% [markdown]
# ### What lies beyond the border?
#
# A specimen does not turn black at the border. What lies beyond is unknown and must be assumed: the image is continued
# by `np.pad` before it is blurred. Here the truth is known, since the image is a part of a larger one: blur that, crop the
# part, and compare. More than 8 pixels from the border all agree: the kernel doesn't reach farther.

# %%
truth = g(load_sample("histology"))[128:384, 128:384]
frame = np.ones(clean.shape, dtype=bool)
frame[8:-8, 8:-8] = False
guesses = {}
for beyond in ("constant", "wrap", "edge", "symmetric", "reflect"):
    guesses[beyond] = g(np.pad(clean, 8, mode=beyond))[8:-8, 8:-8]
    off = np.sqrt(np.mean((guesses[beyond] - truth)[frame] ** 2))
    print(f"{beyond:10} error near the border {off:.3f}")

# %%
corner = (slice(0, 48), slice(0, 48))
gallery(
    {"truth": truth[corner], "zeros": guesses["constant"][corner]}
    | {mode: guesses[mode][corner] for mode in ("wrap", "edge")},
    limits=(0.1, 0.6),
    alt="The image's corner: zeros darken it, wrap adds tissue, edge looks right.",
)

# %% tags=["hide-cell"]
off = {m: np.sqrt(np.mean((e - truth)[frame] ** 2)) for m, e in guesses.items()}
assert off["constant"] > 1.5 * off["wrap"] > 1.5 * 2 * off["symmetric"]
assert off["edge"] < off["symmetric"] < off["reflect"] < 0.02
assert 8 * off["edge"] < off["constant"]
for guess in guesses.values():
    assert np.abs(guess - truth)[~frame].max() < 1e-5
names = {"zero": "constant", "replicate": "edge", "symmetric": "symmetric"}
for padding, mode in names.items():
    theirs = PSFConvolution(psf, padding=padding)(torch.from_numpy(clean)[None, None])
    assert np.abs(theirs[0, 0].numpy() - guesses[mode]).max() < 1e-5

# %% [markdown]
# Repeating the edge pixel or mirroring the image is about ten times more accurate than zeros. But
# `degrade` uses zeros, because the paper's experiments do: its measurements are dark at the border, and a method
# that repeats the edge is slightly wrong there. The package's $g$, `PSFConvolution(psf, padding=...)`, gives the same
# images, in 2D and 3D, and keeps $F(k)$ for the next call.

# %% [markdown]
# ## Convolution or correlation?
#
# A correlation uses the flipped kernel: $\sum_p k_p\, \hat y_{i + p}$. PyTorch's `conv2d` and `conv3d` compute a
# correlation, and for a kernel that is learned it makes no difference. Ours is given by the optics.
# The paper's 3D kernel is a stack of 17 planes, and the focus lies between two of them: along z it is not symmetric.
# We take a section of it along z and x.

# %%
flip = ask("02/flip")
flip

# %%
stack = paper_psf(3)
section = stack[:, 8] / stack[:, 8].sum()  # (z, x)
point = np.zeros((33, 33))
point[16, 16] = 1
weight = torch.from_numpy(section)[None, None]
correlated = torch.nn.functional.conv2d(
    torch.from_numpy(point)[None, None], weight, padding=8
)[0, 0].numpy()
convolved = fft_convolve(point, section)
flip.reveal(
    gallery(
        {
            name: image.clip(0) ** 0.25  # fourth roots: the outer planes are faint
            for name, image in {
                "kernel": section,
                "your convolution": convolved[8:25, 8:25],
                "conv2d": correlated[8:25, 8:25],
            }.items()
        },
        alt=flip.alt,
    )
)

# %% tags=["hide-cell"]
assert np.abs(convolved[8:25, 8:25] - section).max() < 1e-12
assert np.abs(correlated[8:25, 8:25] - section[::-1, ::-1]).max() < 1e-12
assert np.abs(stack - stack[:, ::-1, ::-1]).max() < 1e-12

# %% [markdown]
# (z runs down, x across.) The focus lies a little above the middle of the kernel, and a little below it after
# `conv2d`: as if the whole stack had been shifted by a plane. How wrong is a forward model that correlates? As a share of
# the blurred volume (root mean squares), for separate points and for a network of filaments, in 3D:

# %%
rng = np.random.default_rng(0)
dots = np.zeros((32, 64, 64), dtype=np.float32)
dots[tuple(rng.integers(0, side, 60) for side in dots.shape)] = 1
g3, wrong = PSFConvolution(stack, padding="zero"), {}
for name, volume in {"points": dots, "filaments": filaments((32, 64, 64))}.items():
    volume = torch.from_numpy(volume)[None, None]
    blurred = g3(volume)
    error = (g3.correlate(volume) - blurred).norm() / blurred.norm()
    wrong[name] = error.item()
    print(f"{name}: {error:.0%}")

# %% tags=["hide-cell"]
assert 0.3 < wrong["points"] < 0.38 and 0.09 < wrong["filaments"] < 0.15

# %% [markdown]
# A method that fits such a model to convolved data fits structure that isn't there. With the symmetric 2D kernel the mistake
# has no effect, and no test in 2D can find it.
#
# ### Where the correlation is needed
#
# As a matrix, $g$ spreads the light of each pixel over its neighbours. Its transpose $g^T$ (the *adjoint*) collects from the
# neighbours the light that may have come from the pixel. For all images $v$ and $w$, with $\langle v, w \rangle = \sum_i v_i w_i$,
#
# $$\langle g(v), w \rangle = \langle v, g^T(w) \rangle.$$
#
# Lucy-Richardson (notebook 03) uses it, and so does each training step, when PyTorch takes the gradient through $g$.
#
# ### Exercise 3: find the fault (4 minutes)
#
# This transpose passes every test with the paper's 2D kernel. It is wrong. Run the cell below your function, which compares
# both sides of the equation for the section of the 3D kernel, and mend it. `convolve` is your `fft_convolve`.


# %% tags=["task"]
def transpose(image, kernel, convolve):
    return convolve(image, kernel)


# %% tags=["solution"]
def transpose(image, kernel, convolve):
    return convolve(image, kernel[::-1, ::-1])


# %%
v, w = rng.random((2, 40, 50))
for name, kernel in {"2D kernel": psf, "section of 3D": section}.items():
    forth = np.sum(fft_convolve(v, kernel) * w)
    back = np.sum(v * transpose(w, kernel, fft_convolve))
    print(f"{name:14} <g(v), w> = {forth:.4f}   <v, transpose(w)> = {back:.4f}")

# %%
checks.transpose(transpose)

# %% [markdown] tags=["solution"]
# Row $i$ of the matrix says where pixel $i$ gets its light from; row $i$ of the transpose says where its light goes: the same
# offsets with the opposite sign. A symmetric kernel hides the mistake, so test with one that is not.

# %% [markdown]
# PyTorch agrees: the gradient of $\langle g(v), w \rangle$ with respect to $v$ is your transpose of $w$.

# %%
tensor = torch.from_numpy(v)[None, None].requires_grad_()
blurred = PSFConvolution(section, padding="zero")(tensor)
(gradient,) = torch.autograd.grad((blurred[0, 0] * torch.from_numpy(w)).sum(), tensor)
difference = gradient[0, 0].numpy() - transpose(w, section, fft_convolve)
print(f"largest difference {np.abs(difference).max():.0e}")

# %% tags=["hide-cell"]
assert np.abs(difference).max() < 1e-9
assert abs(forth - back) < 1e-9 * forth
assert abs(forth - np.sum(v * fft_convolve(w, section))) > 1e-4 * forth  # not flipped

# %% [markdown] tags=["equation:cost"]
# ## What it costs
#
# The sum takes $N^d$ products for each of $M^d$ pixels. The fast Fourier transform of $M^d$ pixels takes a multiple of
# $M^d \log M^d = M^d\, d \log M$ steps, and the product in between $M^d$. So
#
# $$\text{direct: } O(M^d N^d), \qquad \text{by FFT: } O(M^d\, d \log M),$$
#
# and the second does not depend on the kernel. (It does, a little: padding enlarges the grid to $M + N - 1$.)

# %%
cost = ask("02/cost")
cost

# %% [markdown]
# Time is measured as processor time on one core, the best of three, so that other programs have little effect. The first
# call is not counted: the package's $g$ computes $F(k)$ in it.


# %%
def seconds(function, *arguments):
    took = []
    for _ in range(4):
        begin = time.process_time()
        function(*arguments)
        took.append(time.process_time() - begin)
    return max(min(took[1:]), 1e-6)


def race(image, sizes):
    dims = image.ndim - 2
    direct = getattr(torch.nn.functional, f"conv{dims}d")
    times = {"direct": [], "g of the package": []}
    for size in sizes:
        kernel = torch.full((size,) * dims, 1 / size**dims)
        pad = [size // 2] * 2 * dims
        larger = torch.nn.functional.pad(image, pad)
        times["direct"].append(seconds(direct, larger, kernel[None, None]))
        g_fft = PSFConvolution(kernel.numpy(), padding="zero")
        times["g of the package"].append(seconds(g_fft, image))
    return {name: np.array(values) for name, values in times.items()}


# %%
sizes = {"2D": (3, 5, 9, 17, 25, 33, 49), "3D": (3, 5, 7, 9, 13, 17)}
threads = torch.get_num_threads()
torch.set_num_threads(1)
with torch.inference_mode():
    plane = torch.rand(1, 1, 256, 256)
    times = {"2D": race(plane, sizes["2D"])}
    times["3D"] = race(torch.rand(1, 1, 48, 48, 48), sizes["3D"])
torch.set_num_threads(threads)
kernels = [np.full((size, size), 1 / size**2) for size in sizes["2D"]]
yours = [seconds(fft_convolve, plane[0, 0].numpy(), kernel) for kernel in kernels]

# %%
cost.reveal(
    lines(
        np.array(sizes["2D"]),
        {
            name: 1000 * values
            for name, values in (times["2D"] | {"yours": np.array(yours)}).items()
        },
        xlabel="kernel size N (pixels)",
        ylabel="milliseconds",
        log="y",
        alt=cost.alt,
    )
)

# %%
for name, pair in times.items():
    ratios = pair["direct"] / pair["g of the package"]
    print(f"{name}: the direct sum takes", end=" ")
    print(
        ", ".join(
            f"{r:.1f} (N = {n})" for n, r in zip(sizes[name], ratios, strict=True)
        )
    )
print("times as long as g of the package")

# %% tags=["hide-cell"]
direct, by_fft = times["2D"].values()
assert direct[-1] > 5 * direct[2] and by_fft[-1] < 3 * by_fft[2]
assert times["3D"]["direct"][-1] > 3 * times["3D"]["g of the package"][-1]

# %% [markdown]
# The numbers are those of your machine. On the one this was written on, the FFT was faster from N = 5 in 2D and from N = 3 in
# 3D: 11 times with the paper's 17 x 17 pixels and 60 times with its 17 x 17 x 17 (one run). The paper cites a
# recommendation to use the FFT for N > 25 in 2D and N > 9 in 3D; those limits are those of another machine and library. The
# trend holds everywhere: the larger the kernel, and the more dimensions, the greater the FFT's advantage.

# %% [markdown]
# ## Summary
#
# - A convolution is a product of Fourier transforms; `PSFConvolution(psf, padding=...)` is the package's $g$.
# - The kernel's centre belongs at index 0; a corner there shifts the image.
# - Without padding, opposite borders wrap around. Repeating the edge pixel is a good assumption about what lies beyond.
# - `conv2d` and `conv3d` correlate. With an asymmetric kernel that is a wrong forward model; it is the transpose, which
#   Lucy-Richardson and gradients need.
# - Direct convolution costs $M^d N^d$, the FFT $M^d\, d \log M$, whatever the kernel.

# %%
predictions()

# %% tags=["hide-cell"]
from siamdecon.lab import check_budget

check_budget(training_steps=0)
