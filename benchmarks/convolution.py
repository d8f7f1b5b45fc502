"""The PSF convolution compared with its FFTs alone, direct convolution and fft-conv-pytorch, in turn."""

import importlib.util
import multiprocessing
import statistics
import time

import numpy as np
import torch
from scipy.fft import next_fast_len
from skimage.restoration import richardson_lucy as skimage_richardson_lucy
from torch.nn.functional import conv2d, conv3d

from benchmarks.machine import PeakMemory, machine
from siamdecon import PSFConvolution, paper_psf, richardson_lucy

CASES = {2: ((16, 1, 128, 128), (5, 9, 17, 31, 63)), 3: ((4, 1, 64, 64, 64), (5, 9, 17, 31))}
#: Direct convolution of larger kernels would take minutes.
DIRECT_UP_TO = {2: 63, 3: 17}


def steps(n_dim: int, shape: tuple, size: int) -> dict:
    """Return the functions to time: each blurs `shape` with a kernel of `size`, forward and backward.

    The border is padded with zeros, the default of the other implementations.
    """
    kernel = np.random.default_rng(0).random((size,) * n_dim)
    kernel /= kernel.sum()
    x = torch.rand(shape, requires_grad=True)
    axes = tuple(range(2, 2 + n_dim))
    weight = torch.from_numpy(kernel).float().flip(tuple(range(n_dim)))[None, None]
    g, repeated = (PSFConvolution(kernel, padding=padding) for padding in ("zero", "replicate"))
    grid = torch.rand(*shape[:2], *(next_fast_len(m + size // 2, real=True) for m in shape[2:]))

    def differentiate(blur):
        def step():
            x.grad = None
            blur(x).sum().backward()

        return step

    def transforms():  # one forward and inverse pair for the value, and one for the derivative
        for _ in range(2):
            torch.fft.irfftn(torch.fft.rfftn(grid, dim=axes), s=grid.shape[2:], dim=axes)

    timed = {
        "siamdecon": differentiate(g),
        "siamdecon, edge repeated": differentiate(repeated),
        "FFTs alone": transforms,
    }
    if size <= DIRECT_UP_TO[n_dim]:
        direct = {2: conv2d, 3: conv3d}[n_dim]
        timed["direct"] = differentiate(lambda x: direct(x, weight, padding=size // 2))
    if importlib.util.find_spec("fft_conv_pytorch"):
        from fft_conv_pytorch import fft_conv

        timed["fft-conv-pytorch"] = differentiate(lambda x: fft_conv(x, weight, padding=size // 2))
    return timed


def in_turn(timed: dict, repeats: int, seconds: float = 20.0) -> dict[str, float]:
    """Return the median seconds of each, timed in turn; slow ones are timed less often."""
    taken = {name: [] for name in timed}
    for name, step in timed.items():
        step()
        begin = time.perf_counter()
        step()
        taken[name].append(time.perf_counter() - begin)
    for _ in range(repeats - 1):
        for name, step in timed.items():
            if sum(taken[name]) + taken[name][0] < seconds:
                begin = time.perf_counter()
                step()
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(args, repeats: int = 11) -> dict:
    """Time all kernels in 2D and 3D, and Lucy-Richardson on a volume; print and return ratios."""
    results = {}
    for n_dim, (shape, sizes) in CASES.items():
        base = None
        for size in sizes:
            seconds = in_turn(steps(n_dim, shape, size), repeats)
            ours = seconds.pop("siamdecon")
            base = base or ours
            row = {f"{name} / siamdecon": value / ours for name, value in seconds.items()}
            row["siamdecon / its smallest kernel"] = ours / base
            results[f"{n_dim}D, kernel {size}"] = row
            figures = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
            print(f"{n_dim}D, kernel {size}: {figures}", flush=True)
    results["Lucy-Richardson, 128 x 256 x 512"] = lucy_richardson()
    return results


def lucy_richardson(repeats: int = 3, iterations: int = 3) -> dict:
    """Time ours and scikit-image's Lucy-Richardson on a volume, each in a separate process, in turn."""
    spawn = multiprocessing.get_context("spawn")
    taken = {"siamdecon": [], "scikit-image": []}
    for _ in range(repeats):
        for name in taken:
            with spawn.Pool(1) as pool:
                taken[name].append(pool.apply(restore, (name, iterations)))
    seconds, volumes = (
        {name: statistics.median(t[i] for t in took) for name, took in taken.items()}
        for i in (0, 1)
    )
    ratio = seconds["scikit-image"] / seconds["siamdecon"]
    print(
        f"Lucy-Richardson, 128 x 256 x 512, kernel 17, {iterations} iterations: scikit-image takes "
        f"{ratio:.2f} times as long; peak memory in volumes: "
        + ", ".join(f"{name} {v:.1f}" for name, v in volumes.items())
    )
    ratios = {"scikit-image / siamdecon": ratio, "peak memory in volumes": volumes}
    return {"machine": machine(), **ratios}


def restore(name: str, iterations: int) -> tuple[float, float]:
    """Return the seconds of the second run, and the peak memory above that at the start, in volumes."""
    volume, psf = np.random.default_rng(0).random((128, 256, 512), dtype=np.float32), paper_psf(3)
    step = {"siamdecon": richardson_lucy, "scikit-image": skimage_richardson_lucy}[name]
    step(volume[:32, :32, :32].copy(), psf, 1, clip=False)
    with PeakMemory() as memory:
        for _ in range(2):
            begin = time.perf_counter()
            step(volume, psf, iterations, clip=False)
            seconds = time.perf_counter() - begin
    return seconds, (memory.peak - memory.before) / volume.nbytes
