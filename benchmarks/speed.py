"""A training step of the lab tier beside the same step written plainly, in turn, in one process."""

import dataclasses
import statistics
import time

import numpy as np
import torch
from torch.nn.functional import mse_loss, pad

from siamdecon import UNet, degrade, load_sample, paper_psf
from siamdecon.noise_estimation import estimate_noise
from siamdecon.tiers import get_tier
from siamdecon.training import TrainingLoop


def plain_step(model, adam, x: torch.Tensor, psf: torch.Tensor, mask: torch.Tensor) -> None:
    """Take a step of Eq. 4 as a first draft would: float32, contiguous, F(k) computed each time."""
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


def measure(args, steps: int = 40) -> dict:
    """Time both kinds of step in turn; print and return medians and their ratio."""
    tier = get_tier("lab", 2)
    psf = paper_psf(2)
    noisy = degrade(load_sample("histology"), psf)
    config = dataclasses.replace(tier.training, noise=estimate_noise(noisy))
    loop = TrainingLoop(UNet(2, tier.features), noisy, psf, config, torch.device("cpu"))
    plain = UNet(2, tier.features).train()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3)
    kernel = torch.from_numpy(psf.astype(np.float32))

    def one_plain_step():
        x = loop.patches()
        mask, _ = loop.hide(x)
        plain_step(plain, adam, x, kernel, mask)

    seconds = {"plain": [], "package": []}
    for step in range(steps + 5):
        for name, take in (("plain", one_plain_step), ("package", loop.take_step)):
            begin = time.perf_counter()
            take()
            if step >= 5:  # the first ones warm up caches and the allocator
                seconds[name].append(time.perf_counter() - begin)
    ratios = [a / b for a, b in zip(seconds["plain"], seconds["package"], strict=True)]
    result = {
        "steps": steps,
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": [float(q) for q in np.quantile(ratios, (0.25, 0.75))],
    }
    low, high = result["ratio_quartiles"]
    print(
        f"training step, lab tier: the plain one takes {result['ratio_median']:.2f} times as long "
        f"(quartiles {low:.2f} to {high:.2f}, {steps} pairs)"
    )
    return result
