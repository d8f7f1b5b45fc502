"""Restore a whole image with a trained network: the unmasked pass, without the PSF."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import curve_fit
from torch import Tensor, nn

from siamdecon.hardware import autocast_dtype, channels_last, to_array, to_tensor
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.kernel import check_image, check_not_diverged
from siamdecon.microscope.noise import mean_response
from siamdecon.network.patches import symmetries
from siamdecon.network.run import Training
from siamdecon.network.unet import receptive_field
from siamdecon.tiles import blend, exact

#: Features that one pass holds at a time, in units of the first layer's, measured on the U-Net.
_LAYERS_ALIVE = 8
STITCHES = ("blend", "exact")
SMALLEST_TILE = 32


def predict(
    run: Training,
    image: np.ndarray,
    psf: np.ndarray | None = None,
    *,
    average_flips: bool = True,
    calibrate: bool = True,
    tile: int | None = None,
    stitch: str = "blend",
) -> np.ndarray:
    """Return f(x) for a whole image (Section 2, "Inference").

    With both options False and `stitch` "blend" this is the paper's inference; each is an improvement
    of its own.

    Parameters
    ----------
    run : Training
        What `train` returned, or a run in progress as a callback sees it.
    image : ndarray, shape ([z,] y, x)
        The noisy image that it was trained on.
    psf : ndarray, optional
        The kernel; both options need it.
    average_flips : bool
        Average the estimates of all rotations and mirror images that leave the kernel as it is.
    calibrate : bool
        Give the estimate the scale and the offset with which, blurred again, it explains the image best.
        After a short training the batch normalisation leaves both a few per cent off.
    tile : int, optional
        Side of the tiles that a large image is restored in; chosen by the free memory unless given. If a
        GPU's memory does not suffice, it is halved until it does.
    stitch : str
        How tiles are put together: "blend", the paper's pyramid weights, or "exact", with a halo of the
        network's receptive field, equal to the whole image. See `siamdecon.tiles`.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If an option needs the kernel and none is given, or `stitch` is neither.
    FloatingPointError
        If the training has diverged: the network gives NaN or infinity.

    Examples
    --------
    Introduced in notebook 00.

    >>> from siamdecon import TrainingConfig, UNet, train
    >>> image, psf = np.random.rand(40, 50), np.ones((3, 3)) / 9
    >>> config = TrainingConfig(steps=1, batch_size=1, patch_size=32)
    >>> predict(train(UNet(features=2), image, psf, config), image, psf).shape
    (40, 50)
    """
    if psf is None and (average_flips or calibrate):
        raise ValueError("psf: expected the kernel, to average flips and to calibrate with")
    if stitch not in STITCHES:
        raise ValueError(f"stitch: expected one of {', '.join(STITCHES)}, got {stitch!r}")
    x = to_tensor(check_image(image), next(run.average.parameters()).device)  # (1, 1, [z,] y, x)
    with torch.inference_mode():
        f = estimator(run, psf if average_flips else None)
        in_tiles = _stitcher(run.model, x.ndim - 2, stitch)
        estimate = _with_room(in_tiles, f, x, tile or tile_side(run, x.ndim - 2))
    if calibrate:
        scale, offset = fit_contrast(estimate, image, psf, mean_response(run.config.noise))
        estimate = scale * estimate + offset
    return to_array(estimate)


def estimator(run: Training, psf: np.ndarray | None = None) -> Callable[[Tensor], Tensor]:
    """Return the function that restores an image, or a part of it, with a trained network.

    Parameters
    ----------
    run : Training
    psf : ndarray, optional
        Average the estimates of all rotations and mirror images that leave this kernel as it is.

    Returns
    -------
    callable
        Maps (1, 1, [z,] y, x) to the same shape, both in units of the image.
    """
    network, stride = run.average, getattr(run.model, "stride", 1)
    device = next(network.parameters()).device
    dtype = autocast_dtype(device, run.config.precision)

    def f(x: Tensor) -> Tensor:
        was_training = network.training
        network.eval()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            y = network(x.contiguous(memory_format=channels_last(x.ndim - 2))).float()
        network.train(was_training)
        return y

    turns = symmetries(psf, run.config.voxel_size) if psf is not None else None

    def restore(image: Tensor) -> Tensor:
        x = (image.to(device) - run.mean) / run.std  # (1, 1, [z,] y, x)
        # whole strides, so that the network halves an image at the same places whichever way it is turned
        fill = [w for m in reversed(x.shape[2:]) for w in (0, -m % stride)]
        padded = nn.functional.pad(x, fill, mode="replicate") if any(fill) else x
        if turns is None:
            y = f(padded)
        else:
            y = sum(turn.undo(f(turn(padded))) for turn in turns) / len(turns)
        y = y[(..., *(slice(m) for m in x.shape[2:]))]  # (1, 1, [z,] y, x)
        return check_not_diverged(y * run.std + run.mean)

    return restore


def _stitcher(model: nn.Module, n_dim: int, stitch: str) -> Callable[..., Tensor]:
    """Return what applies a function to a tensor in tiles of a given side."""
    if stitch == "blend":
        return lambda f, x, tile: blend(f, x, tile, min(32, tile // 2))
    halo, stride = halo_of(model, n_dim)

    def in_exact_tiles(f: Callable[[Tensor], Tensor], x: Tensor, tile: int) -> Tensor:
        if max(x.shape[2:]) <= tile:
            return f(x)
        return exact(f, x, max(stride, tile - 2 * halo), halo, stride)

    return in_exact_tiles


def halo_of(model: nn.Module, n_dim: int) -> tuple[int, int]:
    """Return the halo and the stride of tiles that equal the whole image; see `exact`.

    Examples
    --------
    >>> from siamdecon import UNet
    >>> halo_of(UNet(features=2), 2)
    (24, 4)
    """
    stride = getattr(model, "stride", 1)
    return receptive_field(model, n_dim, stride), stride


def _with_room(in_tiles: Callable[..., Tensor], f, x: Tensor, tile: int) -> Tensor:
    """Return f(x) by tiles of a side that a GPU's memory has room for."""
    try:
        return in_tiles(f, x, tile)
    except torch.cuda.OutOfMemoryError:
        if tile < 2 * SMALLEST_TILE:
            raise
        torch.cuda.empty_cache()
        warnings.warn(
            f"not enough GPU memory: tiles of {tile // 2} in place of {tile}", stacklevel=3
        )
    return _with_room(in_tiles, f, x, tile // 2)


def fit_contrast(
    estimate: Tensor, image: np.ndarray, psf: np.ndarray, m=lambda x: x
) -> tuple[float, float]:
    """Return the scale a and the offset b that minimise the squared error of m(g(a f + b)).

    Parameters
    ----------
    estimate : Tensor, shape (1, 1, [z,] y, x)
        f(x).
    image : ndarray, shape ([z,] y, x)
        The measurement; what a kernel's width of the border hides is left out.
    psf : ndarray, shape ([z,] y, x)
    m : callable
        What the noise does to the mean, see `siamdecon.microscope.noise.mean_response`.

    Returns
    -------
    tuple of float
        Scale and offset; 1 and 0 where the image is too small to tell.

    Examples
    --------
    >>> f = torch.rand(1, 1, 20, 20)
    >>> [round(v, 3) for v in fit_contrast(f, 2 * f[0, 0].numpy() + 0.5, np.ones((1, 1)))]
    [2.0, 0.5]
    """
    g = PSFConvolution(psf, padding="symmetric")
    inside = (..., *(slice(n // 2, -(n // 2) or None) for n in psf.shape))
    blurred = g(estimate)[inside].double().flatten().cpu()
    measured = np.asarray(image, dtype=np.float64)[inside].ravel()
    if len(measured) < 100 or blurred.std() == 0:
        return 1.0, 0.0

    def model(x, scale, offset):
        return m(scale * torch.from_numpy(x) + offset).numpy()

    try:
        scale, offset = curve_fit(model, blurred.numpy(), measured, p0=(1.0, 0.0))[0]
    except (RuntimeError, ValueError) as error:
        warnings.warn(f"the estimate's contrast could not be fitted: {error}", stacklevel=2)
        return 1.0, 0.0
    return float(scale), float(offset)


def tile_side(run: Training, n_dim: int) -> int:
    """Choose a side so that a pass over one tile stays within half a gigabyte, or a GPU's half.

    Examples
    --------
    >>> from siamdecon import TrainingConfig, UNet
    >>> model = UNet(n_dim=3, features=16)
    >>> tile_side(Training(model, model, TrainingConfig(), 0.0, 1.0), 3)
    96
    """
    device = next(run.model.parameters()).device
    budget = 2**29
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what training has left cached counts as taken
        budget = min(torch.cuda.mem_get_info(device)[0] // 2, 2**33)
    widths = [p.shape[0] for p in run.model.parameters() if p.ndim > 2 and p.shape[1] == 1]
    features = max(widths, default=64)
    pixels = budget / (4 * features * _LAYERS_ALIVE)
    return max(64, int(pixels ** (1 / n_dim)) // 32 * 32)
