"""Learn to deblur from the image's own coarser scales: an improvement on the paper, not its method."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from siamdecon.hardware import keep_freed_memory, pick_device, to_array
from siamdecon.methods.classical import Callback, wiener
from siamdecon.methods.coarser_scales import BALANCES, SMALLEST, Lesson, match_coarse
from siamdecon.methods.total_variation import total_variation
from siamdecon.microscope.convolution import reconvolve
from siamdecon.microscope.kernel import check_counts, check_image, check_psf, check_unit_range
from siamdecon.microscope.noise import PILE_UP, Noise, estimate_noise, fit_noise, overfits_noise
from siamdecon.network.run import History, moving_average
from siamdecon.network.unet import seeded_unet

#: What is not given, by number of dimensions; of the patches, what two cores have time for.
DEFAULTS = {
    2: {"scales": ((2, 3), (1.5,)), "batch_size": 4, "patch_size": 96},
    3: {"scales": ((1.5, 2), (1.5,)), "batch_size": 2, "patch_size": 32},
}


def self_scale(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    scales: Sequence[Sequence[float]] | None = None,
    steps: int = 300,
    features: int = 16,
    batch_size: int | None = None,
    patch_size: int | None = None,
    learning_rate: float = 2e-3,
    copies: int = 4,
    coarse: float = 8.0,
    start: str = "auto",
    noise: Noise | str = "auto",
    seed: int = 0,
    clip: bool = True,
    voxel_size: tuple[float | None, ...] | None = None,
    callback: Callback | None = None,
    history: History | None = None,
    progress: bool = False,
    device: str | torch.device | None = None,
) -> np.ndarray:
    r"""Restore by a network that learns to deblur coarser copies of the image's own estimate.

    An estimate of the image, made s times smaller, is a picture of the same scene that is sharper and
    cleaner at its own pixel scale. Degraded with the known kernel and the noise, it becomes a training
    pair: what the microscope would have measured, and the truth.

    .. math:: t_s = D_s(\hat x),\quad y_s = n(t_s * k),\qquad
              L = E\,\overline{\left(c(f(y_s)) - t_s\right)^2}

    with D_s the reduction by s at a random place between the pixels, n the noise, c the cut to [0, 1]
    (a network that may fall below black finds it), and the mean away from a patch's border. f sees the image
    and four classical estimates of it, and corrects one of them. After a round, f restores the image, what
    the blurred result leaves unexplained at a scale of `coarse` pixels is added, and the next round's
    targets come from that; f goes on with the same weights. The first estimate has to be made much smaller
    to be sharp; the next one is better, and copies closer to the image's own scale look more like it.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        The noisy image, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
    scales : sequence of (sequence of float), optional
        The factors s, 1 or more, of each round: ((2, 3), (1.5,)) in 2D, ((1.5, 2), (1.5,)) in 3D unless
        given. One that leaves a side of fewer than 24 pixels is left out.
    steps : int
        Adam steps in each round, with a rate that falls along a cosine.
    features : int
        Of the U-Net's first level.
    batch_size, patch_size : int, optional
        4 and 96 in 2D, 2 and 32 in 3D unless given.
    learning_rate : float
    copies : int
        Degraded copies of each target in a round, each at its own place between the pixels, with its own
        noise.
    coarse : float
        Size in pixels of the structures that are taken from the measurement at the end of a round (see
        `match_coarse`); 0 leaves that out.
    start : str
        Where the first targets come from: "total_variation", "wiener", or "auto": the first, unless it
        has explained noise as specimen, as it does behind a narrow kernel.
    noise : Noise or "auto"
        The noise to degrade the targets with; "auto" estimates it from the image (`fit_noise`).
    seed : int
        Of weights, patches, places and noise.
    clip : bool
        Cut the result to [0, 1]. Without, it may reach 2: blur lowers peaks.
    voxel_size : tuple of (float or None), optional
        um along each axis; see `symmetries`.
    callback : callable, optional
        Called with 0 and the start, then after each round with its number and the estimate.
    history : History, optional
        Takes the loss of each step of a whole round, as "total".
    progress : bool
        Show a progress bar.
    device : str, optional
        "cpu" or "cuda"; the best one there is unless given.

    Returns
    -------
    estimate : ndarray of float32, shape as `image`
        KeyboardInterrupt ends the run early and returns that of the last whole round, or the start.

    Raises
    ------
    ValueError
        If image and kernel don't fit each other, an option is out of range, or the image is too small.
    FloatingPointError
        If the training has diverged.

    References
    ----------
    Shocher, Cohen, Irani, "Zero-shot super-resolution using deep internal learning", CVPR (2018);
    Scanvic, Davies, Abry, Tachella, "Self-supervised learning for image super-resolution and deblurring",
    arXiv:2312.11232 (2023).

    Examples
    --------
    Introduced in notebook 10.

    >>> image = np.random.rand(64, 64)
    >>> self_scale(image, np.ones((3, 3)) / 9, scales=[(2,)], steps=2, features=2).shape
    (64, 64)
    """
    image = check_image(image)
    if clip:
        check_unit_range(image)
    psf, device = check_psf(psf, image.ndim), pick_device(device)
    given = {"scales": scales, "batch_size": batch_size, "patch_size": patch_size}
    sizes = {name: DEFAULTS[image.ndim][name] if v is None else v for name, v in given.items()}
    scales = sizes.pop("scales")
    numbers = {"steps": steps, "features": features, "copies": copies, **sizes}
    _check(image, scales, start, noise, coarse, numbers)
    keep_freed_memory()
    if noise == "auto":
        noise = find_noise(image, psf, device=device)
    # the work is done in [0, 1]; blur lowers peaks, so an image that is not cut off above needs room there
    room = 1.0 if clip or np.mean(image >= 1) > PILE_UP else 2.0
    image = image / np.float32(room)
    noise = replace(noise, poisson=noise.poisson / room, gaussian=noise.gaussian / room)
    lesson = Lesson(psf, noise, copies, seed, voxel_size, device)
    report = (lambda i, x: callback(i, x * room)) if callback else lambda i, x: None
    estimate = _first_estimate(start, image, psf, noise, device)
    report(0, estimate)
    network = seeded_unet(seed, image.ndim, features, channels=2 + len(BALANCES), momentum=0.1).to(
        device
    )
    torch.nn.init.zeros_(network.head[-1].weight)  # it begins with the estimate that it corrects
    average = AveragedModel(network, multi_avg_fn=moving_average(0.99))
    from tqdm.auto import tqdm  # here, since in a notebook it imports ipywidgets

    total, history = len(scales) * steps, History() if history is None else history
    with (
        tqdm(total=total, desc="self_scale", unit="step", disable=not progress) as bar,
        suppress(KeyboardInterrupt),
    ):
        for i, factors in enumerate(scales):
            lesson.prepare(estimate, factors)
            losses = lesson.teach(network, average, steps, learning_rate, sizes, bar.update)
            restored = lesson.restore(average, image)
            estimate = match_coarse(restored, image, psf, noise, coarse) if coarse else restored
            for loss in losses:
                history.record({"total": loss})
            report(i + 1, estimate)
    return estimate * np.float32(room)


def find_noise(
    image: np.ndarray, psf: np.ndarray, *, device: str | torch.device | None = None
) -> Noise:
    """Estimate the noise of an image, known only by its kernel, by what total variation leaves unexplained.

    Parameters
    ----------
    image : ndarray, shape ([z,] y, x)
        In [0, 1].
    psf : ndarray, shape ([z,] y, x)
    device : str, optional

    Returns
    -------
    Noise
        See `siamdecon.microscope.noise.fit_noise`.

    Examples
    --------
    >>> ramp = np.linspace(0.2, 0.8, 100) * np.ones((100, 1))
    >>> noisy = np.random.default_rng(0).normal(ramp, 0.05)
    >>> noise = find_noise(noisy, np.ones((3, 3)) / 9)
    >>> round((noise.gaussian**2 + 0.5 * noise.poisson) ** 0.5, 2)
    0.05
    """
    first = total_variation(image, psf, noise=estimate_noise(image), device=device)
    return fit_noise(image, to_array(reconvolve(first, psf, device)))


def _first_estimate(start: str, image: np.ndarray, psf, noise: Noise, device) -> np.ndarray:
    if start != "wiener":
        estimate = total_variation(image, psf, noise=noise, device=device)
        if start == "total_variation":
            return estimate
        if not overfits_noise(image, to_array(reconvolve(estimate, psf, device)), noise):
            return estimate
    return wiener(image, psf, device=device)


def _check(
    image: np.ndarray, scales, start: str, noise, coarse: float, numbers: dict[str, int]
) -> None:
    if noise != "auto" and not isinstance(noise, Noise):
        raise ValueError(f"noise: expected 'auto' or a Noise, got {noise!r}")
    check_counts(**numbers)
    if start not in ("auto", "total_variation", "wiener"):
        raise ValueError(f"start: expected 'auto', 'total_variation' or 'wiener', got {start!r}")
    try:
        good = len(scales) and all(len(s) and all(1 <= x < math.inf for x in s) for s in scales)
    except TypeError:
        good = False
    if not good:
        raise ValueError(
            "scales: expected factors of 1 or more, a sequence of them for each round, such as "
            f"((2, 3), (1.5,)), got {scales!r}"
        )
    if not 0 <= coarse < math.inf:
        raise ValueError(f"coarse: expected 0 or more pixels, got {coarse!r}")
    needed = max(min(factors) for factors in scales)
    if min(image.shape[-2:]) < SMALLEST * needed:
        raise ValueError(
            f"image: expected {SMALLEST * needed:g} or more pixels along y and x, so that a copy "
            f"{needed:g} times smaller shows something, got {image.shape}; wiener takes any size"
        )
