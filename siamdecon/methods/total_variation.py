"""Restoration by the flattest image that explains the data: the strongest classical baseline."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch import Tensor
from torch.nn.functional import huber_loss

from siamdecon.expect import expect, is_number
from siamdecon.files.on_disk import Window
from siamdecon.hardware import keep_freed_memory, side_by_side, to_array, to_tensor
from siamdecon.methods.base import Method
from siamdecon.methods.classical import Callback, RichardsonLucy, check_iterations, halos
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.noise import Noise, finest_detail, mean_response, noise_level
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator, bands, within

#: Weight of the total variation, in units of the noise's standard deviation. Chosen once, on the
#: benchmark's images at the paper's noise.
TV_WEIGHT = 0.2
#: From here on the Huber function is linear.
DELTA = 0.1
#: How far a peak may rise that blur has lowered.
SHARP = RichardsonLucy(50, prefilter="median")


@dataclass(frozen=True)
class TotalVariation(Method):
    """Total variation; the options are the arguments of `total_variation`, and `noise` may be "auto"."""

    name: ClassVar = "total_variation"

    weight: float | None = None
    iterations: int = 100
    noise: Noise | str | None = None
    padding: str = "symmetric"

    def __post_init__(self):
        check_iterations(self.iterations, self.padding)
        # a larger one overflows Adam's squares
        known = self.weight is None or (is_number(self.weight) and 0 < self.weight <= 1e10)
        expect(known, "weight", "a positive number up to 1e10", self.weight)
        self.check_noise()

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Return the minimisation; there is nothing to train."""
        noise = problem.noise_seen() if isinstance(self.noise, str) else self.noise
        how = (problem.psf, noise, problem.bounded, watch.callback)

        def contrast(estimate: Tensor) -> tuple[float, float]:
            light = float(problem.x.mean())  # skewed noise, of few photons, takes some
            return light / max(float(estimate.mean()), 1e-9), 0.0

        found = {"used": self.record(noise=noise), "noise": noise}
        found["contrast"] = None if problem.clipping else contrast  # some light is cut off
        return Estimator(lambda y: self.restored(y, *how), **found)

    def restored(self, y: Tensor, psf: np.ndarray, noise, bounded: bool, callback=None) -> Tensor:
        """Minimise by Adam, (1, 1, [z,] y, x) to the same shape; the noise is a `Noise` or None."""
        keep_freed_memory()
        image, m = to_array(y), mean_response(noise)  # image: ([z,] y, x)
        g = PSFConvolution(psf, image.ndim, self.padding)
        # an image without noise needs some weight, too
        weight = self.weight or TV_WEIGHT * max(noise_level(image), 1e-3)
        if bounded:
            start = to_tensor(median_filter(image, size=3), y.device).clamp(0, 1)
            delta, top, room = DELTA, 1.0, torch.ones_like(start)
        else:
            # a peak that blur has lowered has far to rise: its steps are as large as it may become
            start = SHARP.restored(y, psf, clip=False)  # (1, 1, [z,] y, x)
            # the noise of few photons is skewed: within the quadratic part it pulls to neither side
            delta, top = max(DELTA, 4 * float(finest_detail(image).std())), np.inf
            room = start.clamp(min=1)
        with torch.inference_mode(False), torch.enable_grad():
            y, start, room = to_tensor(image, y.device), start.clone(), room.clone()
            share = start / room
            share.grad = torch.empty_like(share)
            adam = torch.optim.Adam([share], betas=(0.9, 0.99), fused=True)
            cuts = bands(image.shape, halos(psf, image.shape, self.padding))

            def gradient(core: Window, window: Window) -> Tensor:
                """Return the gradient of a band of the objective, by all pixels that it depends on."""
                x = (share[(..., *window)] * room[(..., *window)]).requires_grad_()
                inside = (..., *within(core, window))
                data = huber_loss(m(g(x))[inside], y[(..., *core)], reduction="sum", delta=delta)
                return torch.autograd.grad(data, x)[0].add_(
                    _variation_gradient(x.detach(), inside), alpha=weight
                )

            for i in range(self.iterations):
                adam.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + np.cos(np.pi * i / self.iterations))
                share.grad.zero_()
                parts = side_by_side(gradient, *zip(*cuts, strict=True), device=y.device)
                for (_, window), part in zip(cuts, parts, strict=True):
                    share.grad[(..., *window)] += part
                share.grad.mul_(room / y.numel())
                adam.step()
                share.clamp_(0, top)
                if callback:
                    callback(i + 1, to_array(share * room))
        return share * room


def total_variation(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    weight: float | None = None,
    iterations: int = 100,
    noise: Noise | None = None,
    padding: str = "symmetric",
    callback: Callback | None = None,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore the image with the least total variation that explains the data robustly.

    .. math:: \hat y = \arg\min_{\hat y \in [0, 1]} \; \overline{h_\delta(m(k * \hat y) - x)}
              + \lambda\, \overline{\sqrt{|\nabla \hat y|^2 + \epsilon^2}}

    with h the Huber function, quadratic up to delta and linear beyond, so that an impulse pulls no
    harder than any outlier.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        The noisy image, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
    weight : float, optional
        lambda; unless given it follows the noise level estimated from the image.
    iterations : int
        Number of Adam steps on the objective.
    noise : Noise, optional
        If the noise is known, m is its mean (`Noise.mean`), which knows that clipping lifts the dark and
        lowers the bright; otherwise m is the identity.
    padding : str
        What lies beyond the border; see `PSFConvolution`.
    callback : callable, optional
        Called after each step with its number, from 1, and the estimate so far.
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If image and kernel don't fit each other, or an option is out of range.

    References
    ----------
    Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60
    (1992); Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35 (1964).

    Examples
    --------
    Introduced in notebook 03.

    >>> step = np.repeat([[0.2] * 16 + [0.8] * 16], 32, axis=0)
    >>> estimate = total_variation(step, np.ones((1, 1)), weight=0.001)
    >>> bool(abs(estimate - step).max() < 0.05)
    True
    """
    problem = Problem.as_it_is(image, psf, device=device)
    return TotalVariation(weight, iterations, noise, padding).restore(problem, Watch(callback))


def _variation_gradient(x: Tensor, inside: tuple) -> Tensor:
    """Return the derivative of the variation of the pixels inside by each of `x`, (1, 1, [z,] y, x).

    The variation of a pixel is the length of the gradient there, rounded off at 0.
    """
    axes = range(2, x.ndim)
    rises = [torch.diff(x, dim=axis, append=x.narrow(axis, x.shape[axis] - 1, 1)) for axis in axes]
    square = sum(rise[inside].square() for rise in rises)
    slope, gradient = torch.zeros_like(x), torch.zeros_like(x)
    slope[inside] = square.add_(1e-4).rsqrt_()
    for axis, rise in zip(axes, rises, strict=True):
        pull, n = rise.mul_(slope), x.shape[axis] - 1  # none at the last pixel
        gradient.sub_(pull).narrow(axis, 1, n).add_(pull.narrow(axis, 0, n))
    return gradient
