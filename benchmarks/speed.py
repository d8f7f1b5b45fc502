"""A training step of the lab tier compared with a straightforward version of it, in turn, in one run.

The plain step runs in a separate process: the package makes the C library keep freed memory, which
affects the whole process, and a straightforward version would not do so.
"""

import dataclasses
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import numpy as np
import torch
from torch.nn.functional import mse_loss, pad

from siamdecon import PAPER_3D, UNet, degrade, load_sample, load_volume, paper_psf
from siamdecon.hardware import available_cores
from siamdecon.methods.siamese import Noise2Same, Noise2SameD, SiameseTraining
from siamdecon.microscope.noise import estimate_noise
from siamdecon.network import unet
from siamdecon.problem import Problem


def plain_step(model, adam, x: torch.Tensor, psf: torch.Tensor, mask: torch.Tensor) -> None:
    """Take a straightforward step of Eq. 4: float32, contiguous, F(k) computed each time."""
    n, size = psf.shape[-1], x.shape[-1]

    def g(y):
        y = pad(y, [n // 2] * 4, mode="replicate")
        shape = [size + n - 1] * 2
        spectrum = torch.fft.rfft2(y, s=shape) * torch.fft.rfft2(psf, s=shape)
        return torch.fft.irfft2(spectrum, s=shape)[..., n - 1 :, n - 1 :]

    noise = torch.randn_like(x) * 0.2
    f, f_masked = model(x), model(torch.where(mask, noise, x))
    loss = mse_loss(g(f), x) + 2 * (f[mask] - f_masked[mask]).square().mean().sqrt()
    image = f * 0.2 + 0.3
    loss = loss + 0.1 * (image.abs() + (image - 1).abs()).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()


def plain_steps(pipe, features: int, psf: np.ndarray) -> None:
    """In a separate process: take a plain step for each (x, mask) received, and send back its seconds."""
    torch.set_num_threads(available_cores())
    model = UNet(2, features).train()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    kernel = torch.from_numpy(psf.astype(np.float32))
    while (arrived := pipe.recv()) is not None:
        x, mask = map(torch.from_numpy, arrived)
        begin = time.perf_counter()
        plain_step(model, adam, x, kernel, mask)
        pipe.send(time.perf_counter() - begin)


def measure(args, steps: int = 40) -> dict:
    """Time both kinds of step, on images and on volumes."""
    tier = Noise2SameD.of_tier("lab", 2, {})
    psf = paper_psf(2)
    noisy = degrade(load_sample("histology"), psf)
    config = dataclasses.replace(tier.config, noise=estimate_noise(noisy))
    problem = Problem.as_it_is(noisy, psf, device="cpu")
    loop = SiameseTraining(UNet(2, tier.features), problem, config)
    spawn = multiprocessing.get_context("spawn")
    pipe, end = spawn.Pipe()
    worker = spawn.Process(target=plain_steps, args=(end, tier.features, psf), daemon=True)
    worker.start()

    def plain() -> float:
        x = loop.patches()
        pipe.send((x.numpy(), loop.hide(x)[0].numpy()))
        return pipe.recv()

    package = partial(timed, loop.take_step)
    result = compared("training step, lab tier", plain, package, steps)
    pipe.send(None)
    worker.join()
    return {**result, "volumes": compared("on volumes, in float32", *volume_steps(), steps)}


def volume_steps() -> list[Callable[[], float]]:
    """Return what times a step on volumes in float32: with torch's convolution, and with ours."""
    tier = Noise2Same.of_tier("lab", 3, {"precision": "float32"})
    noisy = degrade(load_volume(), paper_psf(3), PAPER_3D)
    problem = Problem.as_it_is(noisy, paper_psf(3), device="cpu")
    steps = []
    for conv in (torch.nn.Conv3d, unet.CONV[3]):
        with mock.patch.dict(unet.CONV, {3: conv}):
            steps.append(SiameseTraining(tier.network(3, seed=0), problem, tier.config).take_step)
    return [partial(timed, step) for step in steps]


def timed(step: Callable) -> float:
    """Return how many seconds a step takes."""
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def compared(name: str, plain: Callable, package: Callable, steps: int) -> dict:
    """Time both in turn; print and return median and quartiles of their ratio."""
    pairs = [(plain(), package()) for _ in range(steps + 5)][5:]  # the first are a warm-up
    low, median, high = (
        float(q) for q in np.quantile([a / b for a, b in pairs], (0.25, 0.5, 0.75))
    )
    print(
        f"{name}: plain takes {median:.2f} times as long ({low:.2f} to {high:.2f}, {steps} pairs)"
    )
    return {"steps": steps, "ratio_median": median, "ratio_quartiles": [low, high]}
