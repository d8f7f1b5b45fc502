"""Self-Supervised Inversion (SSI), the learned baseline of the paper's Tables 2 and 4, for comparison."""

from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from siamdecon.hardware import autocast_dtype, keep_freed_memory, pick_device, to_array, to_tensor
from siamdecon.methods.classical import Callback
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import (
    check_counts,
    check_image,
    check_not_diverged,
    check_psf,
    check_unit_range,
)
from siamdecon.network.losses import mean_square
from siamdecon.network.patches import random_patches, symmetries
from siamdecon.network.run import History, count_step
from siamdecon.network.unet import CONV, seeded
from siamdecon.tiles import TILE, blend

POOL = {2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}
#: Share of hidden pixels, and deviation of the noise added to the input: at the first step and at the last.
MASK_DENSITY, INPUT_NOISE = (0.5, 0.05), (0.2, 0.0)
#: Deviation of the noise added to a gradient, as a share of its own root mean square, at the first step.
GRADIENT_NOISE = 0.2
LAMBDA_BOUNDS = 0.1
#: What is not given, by number of dimensions, for two cores: convolutions of 5 x 5 x 5 take their time.
DEFAULTS = {
    2: {"features": 16, "batch_size": 8, "patch_size": 64},
    3: {"features": 8, "batch_size": 2, "patch_size": 32},
}


class SmallUNet(nn.Module):
    """The network of SSI: convolutions of 5 pixels a side, max-pooling, bilinear upsampling.

    Parameters
    ----------
    n_dim : int
        2 or 3.
    features : int
        Of the first level; 20 gives 0.5 M parameters in 2D, as the paper counts for SSI.

    Examples
    --------
    >>> SmallUNet(2, 4)(torch.zeros(1, 1, 24, 30)).shape
    torch.Size([1, 1, 24, 30])
    """

    def __init__(self, n_dim: int, features: int):
        super().__init__()
        self.n_dim = n_dim
        widths = [features, 2 * features, 4 * features]
        self.encoder = nn.ModuleList(
            self._block(i, o) for i, o in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.decoder = nn.ModuleList(self._block(2 * o + o, o) for o in reversed(widths[:-1]))
        self.head = CONV[n_dim](features, 1, 1)

    def _block(self, c_in: int, c_out: int) -> nn.Sequential:
        conv = CONV[self.n_dim]
        return nn.Sequential(
            conv(c_in, c_out, 5, padding=2),
            nn.LeakyReLU(0.01),
            conv(c_out, c_out, 5, padding=2),
            nn.LeakyReLU(0.01),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 1, [z,] y, x) to the same shape."""
        size, skips = x.shape[2:], []
        for level, block in enumerate(self.encoder):
            x = block(POOL[self.n_dim](x, 2, ceil_mode=True) if level else x)  # (n, c, [z,] y, x)
            skips.append(x)
        x = skips.pop()
        mode = "bilinear" if self.n_dim == 2 else "trilinear"
        for block in self.decoder:
            skip = skips.pop()
            x = nn.functional.interpolate(x, size=skip.shape[2:], mode=mode)
            x = block(torch.cat((x, skip), dim=1))
        return self.head(x)[(..., *(slice(m) for m in size))]


def ssi(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    steps: int = 400,
    features: int | None = None,
    batch_size: int | None = None,
    patch_size: int | None = None,
    learning_rate: float = 1e-3,
    seed: int = 0,
    clip: bool = True,
    voxel_size: tuple[float | None, ...] | None = None,
    callback: Callback | None = None,
    history: History | None = None,
    progress: bool = False,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore by a network that predicts hidden pixels through the PSF (Kobayashi et al. 2020).

    .. math:: L = E\,\|g(f(\tilde x))_J - x_J\|^2 / |J| + 0.1\, E\,(\max(0, -f) + \max(0, f - 1))

    x~ is the image with the pixels J replaced by the mean of those neighbours that are seen, and noise
    added. What keeps the network from learning the noise is put into the training, and taken away as it
    goes: the share of hidden pixels falls from 0.5 to 0.05, the noise on the input from 0.2 to 0, and the
    gradients carry noise. Adam, and half the rate where the loss has stalled.

    Written from the paper's description, in the sizes of this package's lab tier; neither numbers nor code
    are the authors'.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        The noisy image, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
    steps : int
    features, batch_size, patch_size : int, optional
        16, 8 and 64 in 2D, 8, 2 and 32 in 3D unless given.
    learning_rate : float
        Where Adam starts.
    seed : int
        Of weights, patches, masks and noise.
    clip : bool
        Cut the result to [0, 1].
    voxel_size : tuple of (float or None), optional
        um along each axis; see `symmetries`.
    callback : callable, optional
        Called after every 50 steps with the step and the estimate so far.
    history : History, optional
        Takes the loss of each step, as "total".
    progress : bool
        Show a progress bar.
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`
        KeyboardInterrupt ends the training early and returns what it has reached.

    Raises
    ------
    ValueError
        If image and kernel don't fit each other, or a number is out of range.
    FloatingPointError
        If the training has diverged.

    References
    ----------
    Kobayashi, Solak, Batson, Royer, "Image deconvolution via noise-tolerant self-supervised inversion",
    arXiv:2006.06156 (2020).

    Examples
    --------
    >>> ssi(np.random.rand(40, 50), np.ones((3, 3)) / 9, steps=2, features=2).shape
    (40, 50)
    """
    image = check_unit_range(check_image(image))
    psf, device = check_psf(psf, image.ndim), pick_device(device)
    given = {"features": features, "batch_size": batch_size, "patch_size": patch_size}
    sizes = {name: DEFAULTS[image.ndim][name] if v is None else v for name, v in given.items()}
    check_counts(steps=steps, **sizes)
    keep_freed_memory()
    g, turns = PSFConvolution(psf, image.ndim), symmetries(psf, voxel_size)
    x, draw = to_tensor(image, device), (sizes["patch_size"], sizes["batch_size"])
    generator = torch.Generator().manual_seed(seed)
    f = seeded(seed, SmallUNet, image.ndim, sizes["features"]).to(device)
    adam = torch.optim.Adam(f.parameters(), learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        adam, factor=0.5, patience=max(10, steps // 10)
    )
    smoothed = None  # patches differ more from each other than steps do
    from tqdm.auto import tqdm  # here, since in a notebook it imports ipywidgets

    dtype = autocast_dtype(device, scaled=False)
    with suppress(KeyboardInterrupt):
        for step in tqdm(
            range(steps), desc="ssi", unit="step", disable=not progress, mininterval=0.25
        ):
            left = 1 - step / steps
            target = random_patches(x[0, 0], *draw, generator, turns)
            mask = _like(target, generator, torch.rand) < _between(MASK_DENSITY, left)
            hidden = hide(target, mask) + _between(INPUT_NOISE, left) * _like(
                target, generator, torch.randn
            )
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                estimate = f(hidden)
            loss = mean_square(g(estimate.float()), target, mask) + LAMBDA_BOUNDS * bounds(estimate)
            adam.zero_grad()
            loss.backward()
            for p in f.parameters():
                noise = _like(p.grad, generator, torch.randn)
                p.grad += GRADIENT_NOISE * left * p.grad.square().mean().sqrt() * noise
            adam.step()
            count_step()
            if history is not None:
                history.record({"total": loss})
            value = loss.item()
            smoothed = value if smoothed is None else 0.95 * smoothed + 0.05 * value
            plateau.step(smoothed)
            if callback is not None and ((step + 1) % 50 == 0 or step + 1 == steps):
                callback(step + 1, to_array(_whole(f, x, dtype), clip))
    return to_array(check_not_diverged(_whole(f, x, dtype)), clip)


def bounds(estimate: Tensor) -> Tensor:
    """Mean of what leaves [0, 1].

    Examples
    --------
    >>> bounds(torch.tensor([-0.5, 0.3, 1.5, 1.0])).item()
    0.25
    """
    return (nn.functional.relu(-estimate) + nn.functional.relu(estimate - 1)).mean()


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """Replace the pixels J by the mean of those neighbours that are not hidden, (n, 1, [z,] y, x).

    No hidden pixel has a part in it, so none can be read off the result; one without a visible
    neighbour becomes the patch's mean.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 3, 3); x[..., 0, 0], x[..., 1, 1] = 8, 5
    >>> mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool); mask[..., 1, 1] = True
    >>> hide(x, mask)[0, 0].tolist()
    [[8.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    n_dim, seen = x.ndim - 2, (~mask).to(x.dtype)
    box = nn.functional.avg_pool2d if n_dim == 2 else nn.functional.avg_pool3d
    total, count = (box(a, 3, stride=1, padding=1) for a in (x * seen, seen))
    every = tuple(range(1, x.ndim))
    mean = (x * seen).sum(every, keepdim=True) / seen.sum(every, keepdim=True).clamp(min=1)
    return torch.where(mask, torch.where(count > 0, total / count.clamp(min=1e-6), mean), x)


def _between(ends: tuple[float, float], left: float) -> float:
    return ends[1] + left * (ends[0] - ends[1])


def _like(x: Tensor, generator: torch.Generator, draw) -> Tensor:
    return draw(x.shape, generator=generator).to(x.device)


def _whole(f: nn.Module, x: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return f of the whole image, shape (1, 1, [z,] y, x), in tiles where it is large."""
    with torch.inference_mode(), torch.autocast(x.device.type, dtype, enabled=dtype is not None):
        return blend(lambda part: f(part).float(), x, TILE[x.ndim - 2])
