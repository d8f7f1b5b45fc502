"""What the coarser scales of an image teach: training pairs of its own copies, and a network that learns."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import affine_transform, gaussian_filter
from torch import Tensor

from siamdecon.hardware import autocast_dtype, channels_last, to_array, to_tensor
from siamdecon.methods.classical import richardson_lucy, wiener
from siamdecon.microscope.convolution import PSFConvolution, reconvolve
from siamdecon.microscope.kernel import check_not_diverged
from siamdecon.microscope.noise import Noise, add_noise, mean_response
from siamdecon.network.patches import random_patches, symmetries
from siamdecon.network.run import count_step
from siamdecon.network.unet import BATCH_NORM
from siamdecon.tiles import TILE, blend

#: Weights of the Wiener estimates that the network sees.
BALANCES = (0.5, 2.0, 8.0)
#: Pixels at a patch's border that the loss leaves out: what would explain them lies outside.
MARGIN = 8
#: Side in pixels below which a coarser copy shows too little to learn from.
SMALLEST = 24
#: Which of the network's inputs it corrects: the middle Wiener estimate, or Lucy-Richardson's.
BASE = {2: 2, 3: 4}


class Lesson:
    """Pairs of coarser copies, degraded and sharp, and how a network learns from them."""

    def __init__(self, psf, noise: Noise, copies: int, seed: int, voxel_size, device: torch.device):
        self.psf, self.noise, self.copies, self.device = psf, noise, copies, device
        self.g = PSFConvolution(psf, padding="symmetric")
        self.turns = symmetries(psf, voxel_size)
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = autocast_dtype(device, scaled=False)
        self.pairs: list[Tensor] = []

    def prepare(self, estimate: np.ndarray, scales: Sequence[float]) -> None:
        """Make the training pairs from copies of an estimate of the image, shape ([z,] y, x)."""
        self.pairs = []  # (channels + 1, [z,] y, x) each: what the network sees, then the truth
        for scale in scales:
            if min(n / scale for n in estimate.shape[-2:]) < SMALLEST:
                continue
            for _ in range(self.copies):
                target = downsample(estimate, scale, self.rng.uniform(0, scale, estimate.ndim))
                # a thin structure has lost its brightness to its surroundings
                target *= estimate.max() / max(target.max(), 1e-3)
                blurred = to_array(self.g(to_tensor(target, self.device)))
                seen = self.channels(add_noise(blurred, self.noise, self.rng))
                pair = np.concatenate([seen, target[None]])
                self.pairs.append(torch.from_numpy(pair).to(self.device))
        self.sides = [min(sides) for sides in zip(*(p.shape[1:] for p in self.pairs), strict=True)]
        # larger copies are drawn more often
        self.shares = torch.tensor([float(pair[0].numel()) for pair in self.pairs])

    def channels(self, image: np.ndarray) -> np.ndarray:
        """Return what the network sees of an image: itself and classical estimates, (c, [z,] y, x)."""
        stack = [image]
        for balance in BALANCES:
            x = wiener(image, self.psf, balance=balance, clip=False, device=self.device)
            stack.append(x.clip(-0.5, 1.5))
        # not clipped inside: that would refuse an image whose noise leaves [0, 1] far
        x = richardson_lucy(image, self.psf, 5, prefilter="median", clip=False, device=self.device)
        stack.append(x.clip(0, 1))
        return np.stack(stack).astype(np.float32)

    def teach(
        self, network, average, steps: int, rate: float, sizes: dict, each_step: Callable
    ) -> list[Tensor]:
        """Take so many steps of Adam on the pairs, `average` following; return the losses."""
        adam = torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99), fused=True)
        network.train()
        losses = []
        for step in range(steps):
            if step == steps // 2:
                _freeze_statistics(network)
            adam.param_groups[0]["lr"] = rate * (0.52 + 0.48 * math.cos(math.pi * step / steps))
            batch = self.batch(**sizes)  # (n, c + 1, [z,] y, x)
            difference = _cut(self.restored(network, batch[:, :-1])) - batch[:, -1:]
            loss = _inner(difference).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            average.update_parameters(network)
            count_step()
            losses.append(loss.detach())
            each_step()
        for mean, last in zip(average.module.buffers(), network.buffers(), strict=True):
            mean.copy_(last)
        return losses

    def batch(self, batch_size: int, patch_size: int) -> Tensor:
        """Draw patches from the pairs, by their numbers of pixels, shape (n, c + 1, [z,] y, x)."""
        shape, n_dim = [min(patch_size, side) for side in self.sides], self.psf.ndim
        drawn = torch.multinomial(
            self.shares, batch_size, replacement=True, generator=self.generator
        )
        return torch.cat(
            [
                random_patches(self.pairs[i], shape, 1, self.generator, self.turns, n_dim)
                for i in drawn
            ]
        )

    def restored(self, network, seen: Tensor) -> Tensor:
        """Return one of the estimates, corrected by the network, shape (n, 1, [z,] y, x)."""
        x = ((seen - 0.5) / 0.25).contiguous(memory_format=channels_last(seen.ndim - 2))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            correction = network(x)
        base = BASE[seen.ndim - 2]
        return seen[:, base : base + 1] + 0.25 * correction.float()

    def restore(self, average, image: np.ndarray) -> np.ndarray:
        """Restore an image, averaged over the turns that leave the kernel as it is."""
        average.eval()
        seen = torch.from_numpy(self.channels(image))[None].to(self.device)  # (1, c, [z,] y, x)

        def f(x):
            x = sum(turn.undo(self.restored(average, turn(x))) for turn in self.turns)
            return x / len(self.turns)

        with torch.inference_mode():
            return to_array(check_not_diverged(blend(f, seen, TILE[image.ndim])), clip=True)


def downsample(image: np.ndarray, scale: float, corner: Sequence[float]) -> np.ndarray:
    """Make an image `scale` times smaller, blurred first so that it has no detail too fine for that.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
    scale : float
        1 or more.
    corner : sequence of float
        Where the first pixel lies in the image, in its pixels, along each axis: another phase of the same
        scene.

    Returns
    -------
    ndarray of float32, shape (n - 1) // scale along an axis of n

    Examples
    --------
    >>> downsample(np.tile(np.arange(30.0), (30, 1)), 3, (0, 1.5))[4, 1:5].round(1).tolist()
    [4.5, 7.5, 10.5, 13.5]
    """
    smooth = gaussian_filter(image, 0.5 * math.sqrt(scale**2 - 1), mode="nearest")
    shape = tuple(max(1, int((n - 1) // scale)) for n in image.shape)
    small = affine_transform(
        smooth, [scale] * image.ndim, corner, output_shape=shape, order=1, mode="nearest"
    )
    return small.astype(np.float32)


def match_coarse(
    estimate: np.ndarray,
    image: np.ndarray,
    psf: np.ndarray,
    noise: Noise | None,
    width: float = 8.0,
) -> np.ndarray:
    r"""Add to an estimate what it leaves unexplained of the image's coarse structures.

    .. math:: \hat x + \frac{G * (m' r)}{G * m'^2}, \qquad r = y - m(\hat x * k)

    with G a Gaussian wider than the kernel, to which blurring means little, and m' how much the mean of the
    measurement changes with the signal: little where it is clipped. The average over a Gaussian's area
    leaves no noise to speak of.

    Parameters
    ----------
    estimate, image : ndarray, shape ([z,] y, x)
    psf : ndarray, shape ([z,] y, x)
    noise : Noise or None
    width : float
        Standard deviation of G in pixels.

    Returns
    -------
    ndarray of float32, in [0, 1]

    Examples
    --------
    >>> grey, k = np.full((40, 40), 0.4), np.ones((1, 1))
    >>> round(float(match_coarse(grey - 0.1, grey, k, None)[0, 0]), 3)
    0.4
    """
    m, reconvolved = mean_response(noise), reconvolve(estimate, psf)  # (1, 1, [z,] y, x)
    # an impulse says nothing about the coarse structures
    left = (np.asarray(image) - to_array(m(reconvolved))).clip(-0.3, 0.3)
    slope = to_array((m(reconvolved + 0.01) - m(reconvolved - 0.01)) / 0.02).clip(0.05)
    change = gaussian_filter(slope * left, width) / gaussian_filter(slope**2, width)
    return (estimate + change).clip(0, 1).astype(np.float32)


def _freeze_statistics(network: torch.nn.Module) -> None:
    """Let the batch normalisation use its running statistics from here on, in training as later at work.

    The few patches of a batch differ from each other more than the image does from its copies.
    """
    for module in network.modules():
        if isinstance(module, tuple(BATCH_NORM.values())):
            module.eval()


def _cut(x: Tensor) -> Tensor:
    """Cut to [0, 1], with the derivative of the identity: what fell below black can come back."""
    return x + (x.clamp(0, 1) - x).detach()


def _inner(x: Tensor) -> Tensor:
    """Cut the margin off, shape (n, 1, [z,] y, x); at most a quarter of a side, for small patches."""
    cuts = [min(MARGIN, n // 4) for n in x.shape[2:]]
    return x[(..., *(slice(c, n - c) for c, n in zip(cuts, x.shape[2:], strict=True)))]
