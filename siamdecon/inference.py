"""Restore a whole image with a trained network: the unmasked pass, without the PSF."""

import numpy as np
import torch
from torch import Tensor

from siamdecon.arrays import to_array, to_tensor
from siamdecon.hardware import autocast_dtype
from siamdecon.patches import symmetries
from siamdecon.run import Training
from siamdecon.stitching import blend
from siamdecon.validation import check_image

#: Features that one pass holds at a time, in units of the first layer's, measured on the U-Net.
_LAYERS_ALIVE = 8


def predict(
    run: Training,
    image: np.ndarray,
    psf: np.ndarray | None = None,
    *,
    average_flips: bool = True,
    tile: int | None = None,
) -> np.ndarray:
    """Return f(x) for a whole image (Section 2, "Inference").

    Parameters
    ----------
    run : Training
        What `train` returned, or a run in progress as a callback sees it.
    image : ndarray, shape ([z,] y, x)
        The noisy image that it was trained on.
    psf : ndarray, optional
        The kernel; needed to know by which symmetries to average.
    average_flips : bool
        Average the estimates of all rotations and mirror images that leave the kernel as it is; False
        is the paper's inference.
    tile : int, optional
        Side of the overlapping tiles that a large image is restored in; chosen by size unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If flips are to be averaged and no kernel is given.

    Examples
    --------
    Introduced in notebook 00.

    >>> from siamdecon import TrainingConfig, UNet, train
    >>> image, psf = np.random.rand(40, 50), np.ones((3, 3)) / 9
    >>> config = TrainingConfig(steps=1, batch_size=1, patch_size=32)
    >>> predict(train(UNet(features=2), image, psf, config), image, psf).shape
    (40, 50)
    """
    if average_flips and psf is None:
        raise ValueError("psf: expected the kernel, whose symmetries decide which flips to average")
    weights = next(run.average.parameters())
    x = (to_tensor(check_image(image), weights.device) - run.mean) / run.std  # (1, 1, [z,] y, x)
    tile = tile or _tile_side(x, run)
    dtype = autocast_dtype(weights.device, run.config.precision)
    layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d

    def f(part: Tensor) -> Tensor:
        with torch.autocast(weights.device.type, dtype, enabled=dtype is not None):
            return run.average(part.contiguous(memory_format=layout)).float()

    turns = symmetries(psf) if average_flips else [lambda y: y]
    undo = [turn.undo for turn in turns] if average_flips else turns
    was_training = run.average.training
    run.average.eval()
    with torch.inference_mode():
        total = torch.zeros_like(x)
        for turn, back in zip(turns, undo, strict=True):
            total += back(blend(f, turn(x), tile, min(32, tile // 2)))
    run.average.train(was_training)
    return to_array(total / len(turns) * run.std + run.mean)


def _tile_side(x: Tensor, run: Training) -> int:
    """Choose a side so that a pass over one tile stays within half a gigabyte, or a GPU's half."""
    budget = 2**29
    if x.device.type == "cuda":
        budget = torch.cuda.mem_get_info(x.device)[0] // 2
    features = max(p.shape[0] for p in run.model.parameters() if p.ndim > 2 and p.shape[1] == 1)
    pixels = budget / (4 * features * _LAYERS_ALIVE)
    side = int(pixels ** (1 / (x.ndim - 2)))
    return max(64, side // 32 * 32)
