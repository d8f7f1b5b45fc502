"""Restore a whole image with a trained network: the unmasked pass, without the PSF."""

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy  # which loads scipy.optimize when it is first used
import torch
from torch import Tensor, nn
from torch.func import functional_call

from siamdecon.expect import expect, expect_one_of, is_whole, warn
from siamdecon.hardware import one_thread_each, side_by_side, to_array, to_tensor
from siamdecon.microscope.convolution import Continued, PSFConvolution
from siamdecon.microscope.noise import mean_response
from siamdecon.network.patches import symmetries
from siamdecon.network.training import Training
from siamdecon.network.unet import compute, cropped, receptive_field, whole_strides
from siamdecon.problem import Problem
from siamdecon.tiles import STITCHES, Estimator, check_tile

#: Pixels by which an image is continued, mirrored, for a network that knows no border; 32 do no more.
MARGIN = 16
#: Features that one pass holds at a time, in units of the first layer's, measured on the U-Net.
_LAYERS_ALIVE = 8


@one_thread_each()
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
    of its own. After a training with `padding="valid"`, whose loss leaves out what zeros beyond a patch's
    border do to the network, an image (no volume) is continued, mirrored, by 16 pixels.

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
        Side of the tiles that a large image is restored in; chosen by the network's size, and its receptive
        field where they are "exact", unless given. Where memory does not suffice, it is halved until it does.
    stitch : str
        How tiles are put together: "blend", the paper's pyramid weights, or "exact", with a halo of the
        network's receptive field, equal to the whole image; a network that halves an image says so by its
        attribute `stride`, see `train`. See `siamdecon.tiles`.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`

    Raises
    ------
    ValueError
        If an option needs the kernel and none is given, `stitch` is neither, or a tile has below 16 pixels;
        if the network changes an image's shape, or is none for "exact".
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
    needed = average_flips or calibrate
    kernel = "the kernel, to average flips and to calibrate with"
    expect(psf is not None or not needed, "psf", kernel, psf)
    psf = np.ones((1,) * np.ndim(image)) if psf is None else psf
    problem = Problem.as_it_is(image, psf, device=run.device, limited=False)
    estimator = estimator_of(run, problem, average_flips, calibrate, tile, stitch)
    with torch.inference_mode():
        return to_array(estimator.whole(problem.whole))


def estimator_of(
    run: Training,
    problem: Problem,
    average_flips: bool,
    calibrate: bool,
    tile: int | None = None,
    stitch: str = "blend",
    **result,
) -> Estimator:
    """Return what restores windows of an image with a network trained on it; see `predict`."""
    expect_one_of(STITCHES, stitch=stitch)
    check_tile(tile)
    f = restorer(run, problem.psf if average_flips else None)
    side, m = tile or tile_side(run.model, problem.ndim), mean_response(run.config.noise)
    halo, core, stride = None, None, 1
    if stitch == "exact":  # measuring the halo takes its time, and a blend needs none
        halo, stride = halo_of(run.model, problem.ndim)
        side = tile or max(side, 4 * halo)  # of a smaller tile, nearly all would be discarded
        core = max(stride, side - 2 * halo)
    contrast = (lambda y: fit_contrast(y, problem.seen(), problem.psf, m)) if calibrate else None
    result |= {"run": run, "history": run.history}
    return Estimator(f, halo, stride, side, core, stitch, contrast, **result)


def restorer(run: Training, psf: np.ndarray | None = None) -> Callable[[Tensor], Tensor]:
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
    # a copy, since a training may go on
    network, stride = copy.deepcopy(run.average).eval(), stride_of(run.model)
    turns = symmetries(psf, run.config.voxel_size) if psf is not None else None
    # with "valid" no loss has seen what the network makes of the zeros beyond a patch: none are shown to it
    beyond = -(-MARGIN // stride) * stride if run.config.padding == "valid" else 0
    # not the run itself, since what restores may go to another process
    mean, std, device, f = run.mean, run.std, run.device, partial(compute, network, dtype=run.dtype)

    def restore(image: Tensor) -> Tensor:
        x = (image.to(device) - mean) / std  # (1, 1, [z,] y, x)
        margin = beyond if x.ndim == 4 else 0  # a stack of few planes would become one of many
        if margin:
            x = Continued.apply(x, "symmetric", [(margin, margin)] * 2)
        # whole strides, so that the network halves an image at the same places whichever way it is turned
        x = whole_strides(x, stride)
        y = average_turns(f, x, turns) if turns else f(x)
        return check_not_diverged(cropped(y, image.shape[2:], margin) * std + mean)

    return restore


def average_turns(f: Callable[[Tensor], Tensor], x: Tensor, turns: list) -> Tensor:
    """Average f over turns of `x`, each turned back, shape (n, c, [z,] y, x)."""
    estimates = side_by_side(lambda turn: turn.undo(f(turn(x))), turns, device=x.device)
    return sum(estimates) / len(turns)


@one_thread_each()
def guess(run: Training, part: np.ndarray) -> np.ndarray:
    """Restore a part of the image with a network in training, and leave the training as it is.

    The running batch statistics lag behind the weights until a training ends, so the network takes the
    statistics of the part itself.

    Parameters
    ----------
    run : Training
    part : ndarray, shape ([z,] y, x)
        In [0, 1].

    Returns
    -------
    ndarray of float32, shape as `part`

    Examples
    --------
    >>> from siamdecon import TrainingConfig, UNet, train
    >>> image, psf = np.random.rand(32, 32), np.ones((3, 3)) / 9
    >>> seen = []
    >>> run = train(UNet(features=2), image, psf, TrainingConfig(steps=1, batch_size=1, patch_size=32),
    ...             callback=lambda run: seen.append(guess(run, image)))
    >>> seen[0].shape
    (32, 32)
    """
    network, was_training = run.average, run.average.training
    x = (to_tensor(part, run.device) - run.mean) / run.std  # (1, 1, [z,] y, x)
    # batch normalisation writes its running statistics: into a copy of them
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    with torch.inference_mode():
        estimate = functional_call(network.train(), buffers, (x,))
    network.train(was_training)
    return to_array(estimate * run.std + run.mean)


def check_not_diverged(estimate: Tensor) -> Tensor:
    """Return what a trained network gives, or raise FloatingPointError if any of it is NaN or infinite.

    Examples
    --------
    >>> check_not_diverged(Tensor([0.5, float("nan")]))
    Traceback (most recent call last):
    ...
    FloatingPointError: the network's estimate is not finite: the training has diverged; try another ...
    """
    if not estimate.isfinite().all():
        raise diverged("the network's estimate is not finite")
    return estimate


def diverged(sign: str) -> FloatingPointError:
    """Return the error of a training that has diverged, by what tells it."""
    mend = "try another seed, or in Python a smaller learning_rate"
    return FloatingPointError(f"{sign}: the training has diverged; {mend}")


def halo_of(model: nn.Module, n_dim: int) -> tuple[int, int]:
    """Return the halo and the stride of tiles that equal the whole image; see `exact`.

    Examples
    --------
    >>> from siamdecon import UNet
    >>> halo_of(UNet(features=2), 2)
    (24, 4)
    """
    stride = stride_of(model)
    return receptive_field(model, n_dim, stride), stride


def stride_of(model: nn.Module) -> int:
    """Return a network's attribute `stride`; 1 if it has none, or is a layer of torch, which has one a side.

    Examples
    --------
    >>> stride_of(nn.Conv2d(1, 1, 3)), stride_of(nn.Sequential())
    (1, 1)
    """
    stride = getattr(model, "stride", 1)
    return stride if is_whole(stride) else 1


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
    blurred = g(estimate)[inside].cpu().double().flatten()
    measured = np.asarray(image, dtype=np.float64)[inside].ravel()
    if len(measured) < 100 or blurred.std() == 0:
        return 1.0, 0.0

    def model(x, scale, offset):
        return m(scale * torch.from_numpy(x) + offset).numpy()

    try:
        scale, offset = scipy.optimize.curve_fit(model, blurred.numpy(), measured, p0=(1.0, 0.0))[0]
    except (RuntimeError, ValueError) as error:
        warn(f"the estimate's contrast could not be fitted: {error}")
        return 1.0, 0.0
    return float(scale), float(offset)


def tile_side(model: nn.Module, n_dim: int) -> int:
    """Choose a side so that a pass over one tile stays within half a gigabyte, on any device.

    Examples
    --------
    >>> from siamdecon import UNet
    >>> tile_side(UNet(n_dim=3, features=16), 3)
    96
    """
    widths = [p.shape[0] for p in model.parameters() if p.ndim > 2 and p.shape[1] == 1]
    features = max(widths, default=64)
    pixels = 2**29 / (4 * features * _LAYERS_ALIVE)
    return max(64, int(pixels ** (1 / n_dim)) // 32 * 32)
