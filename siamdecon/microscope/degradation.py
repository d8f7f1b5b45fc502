"""What a microscope does to a picture: blur, noise, quantisation, clipping."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from siamdecon.arrays import to_array, to_tensor
from siamdecon.microscope.convolution import PSFConvolution, reconvolve


@dataclass(frozen=True)
class Noise:
    """The noise of the paper's Section 3; every strength is in units of the image's range, 1.

    Parameters
    ----------
    poisson : float
        alpha: the variance that grows with the signal, alpha * signal (Gaussian, as in the paper's
        code).
    gaussian : float
        sigma: the standard deviation of the noise that does not.
    salt_and_pepper : float
        p: the share of pixels replaced by a value uniform in [0, 1].
    bits : int or None
        Values are rounded to multiples of 2^-bits; None leaves them as they are.
    clip : bool
        Cut values to [0, 1] at the end, as a camera does.

    Examples
    --------
    >>> Noise(gaussian=0.05).salt_and_pepper
    0.0
    """

    poisson: float = 0.0
    gaussian: float = 0.0
    salt_and_pepper: float = 0.0
    bits: int | None = None
    clip: bool = True

    def __post_init__(self):
        for name in ("poisson", "gaussian", "salt_and_pepper"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(
                    f"{name}: expected a number of 0 or more, got {getattr(self, name)!r}"
                )
        if self.salt_and_pepper > 1:
            raise ValueError(
                f"salt_and_pepper: expected a share up to 1, got {self.salt_and_pepper}"
            )
        if self.bits is not None and (type(self.bits) is not int or not 1 <= self.bits <= 16):
            raise ValueError(f"bits: expected 1 to 16, or None, got {self.bits!r}")

    def mean(self, blurred: np.ndarray) -> np.ndarray:
        r"""Return the expected measurement for a noise-free one, shape as `blurred`.

        Clipping biases the noise: with sigma 0.1 a black pixel measures 0.04 on average. For
        normal noise of standard deviation s around mu, clipped to [0, 1], with Phi and phi the
        normal distribution and density at a = -mu / s, b = (1 - mu) / s,

        .. math:: E[y] = \mu\,(\Phi(b) - \Phi(a)) + s\,(\phi(a) - \phi(b)) + 1 - \Phi(b)

        Examples
        --------
        >>> PAPER_2D.mean(np.array([0.0, 0.5, 1.0])).round(3)
        array([0.044, 0.5  , 0.954])
        """
        mu = np.asarray(blurred, dtype=np.float64)
        s = np.sqrt(self.poisson * mu.clip(0) + self.gaussian**2)
        if not self.clip or self.poisson == self.gaussian == 0:
            expected = mu.clip(0, 1) if self.clip else mu
        else:
            s = np.maximum(s, 1e-12)
            a, b = -mu / s, (1 - mu) / s
            phi_a, phi_b = (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) for x in (a, b))
            expected = mu * (ndtr(b) - ndtr(a)) + s * (phi_a - phi_b) + ndtr(-b)
        return (1 - self.salt_and_pepper) * expected + self.salt_and_pepper * 0.5


def mean_response(noise: Noise | None) -> Callable[[Tensor], Tensor]:
    """Return `Noise.mean` as a differentiable function of tensors; the identity for None.

    A method that compares m(g(x)) with the measurement knows what clipping did to it.

    Raises
    ------
    ValueError
        If the noise is anything else.

    Examples
    --------
    >>> m = mean_response(Noise(gaussian=0.1))
    >>> m(torch.tensor([0.0, 0.5, 1.0])).round(decimals=3)
    tensor([0.0400, 0.5000, 0.9600])
    """
    if noise is None:
        return lambda x: x
    if not isinstance(noise, Noise):
        raise ValueError(f"noise: expected a Noise or None, got {noise!r}")
    low, high, bins = -0.5, 1.5, 2000
    table = torch.from_numpy(noise.mean(np.linspace(low, high, bins + 1))).float()

    def response(x: Tensor) -> Tensor:
        place = (x - low) / (high - low) * bins
        left = place.detach().nan_to_num().clamp(0, bins - 1).long()
        values = table.to(x)
        # linear between the knots, and past both ends
        return torch.lerp(values[left], values[left + 1], place - left)

    return response


#: Section 3: Poisson alpha 0.001, Gaussian sigma 0.1, impulses p 0.01, 10 bits.
PAPER_2D = Noise(poisson=0.001, gaussian=0.1, salt_and_pepper=0.01, bits=10)
#: The same without impulses ("only for 2D images").
PAPER_3D = Noise(poisson=0.001, gaussian=0.1, bits=10)


def blur(clean: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolve an image with a kernel; beyond the border it is dark.

    Parameters
    ----------
    clean : ndarray, shape ([z,] y, x)
    psf : ndarray, shape ([z,] y, x)

    Returns
    -------
    blurred : ndarray of float32, shape as `clean`

    Examples
    --------
    >>> blur(np.eye(3), np.full((1, 1), 1.0)).round(6).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    g = PSFConvolution(psf, np.ndim(clean), padding="zero")
    return to_array(g(to_tensor(clean, "cpu")))


def residual(
    estimate: np.ndarray, noisy: np.ndarray, psf: np.ndarray, noise: Noise | None = None
) -> np.ndarray:
    """Return what an estimate leaves unexplained: measurement minus blurred estimate.

    Structure in it is structure that the estimate lacks or has invented; what should be left is noise.

    Parameters
    ----------
    estimate, noisy : ndarray, shape ([z,] y, x)
        The restored image and the measurement, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
    noise : Noise, optional
        If it is known, its mean is taken of the blurred estimate first (`Noise.mean`): clipping shifts it.

    Returns
    -------
    residual : ndarray of float32, shape as `noisy`

    Examples
    --------
    Introduced in notebook 07.

    >>> clean = np.random.rand(20, 20)
    >>> noisy = degrade(clean, np.ones((1, 1)), Noise(gaussian=0.01, clip=False))
    >>> bool(abs(residual(clean, noisy, np.ones((1, 1))).std() - 0.01) < 0.001)
    True
    """
    expected = mean_response(noise)(reconvolve(estimate, psf))
    return np.asarray(noisy, dtype=np.float32) - to_array(expected)


def degrade(
    clean: np.ndarray, psf: np.ndarray, noise: Noise = PAPER_2D, seed: int = 0
) -> np.ndarray:
    r"""Blur a clean image and add noise, as in the paper's experiments.

    .. math:: y = x * k + \sqrt{\alpha\,(x * k) + \sigma^2}\; n, \quad n \sim N(0, 1)

    then a share p of the pixels is replaced by uniform values, and the result is rounded and
    clipped (Section 3).

    Parameters
    ----------
    clean : ndarray, shape ([z,] y, x)
        The ground truth, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
        The kernel, with as many axes as the image.
    noise : Noise
        `PAPER_2D`, `PAPER_3D` or your own.
    seed : int
        Seed of NumPy's legacy generator, which the paper's code uses.

    Returns
    -------
    noisy : ndarray of float32, shape as `clean`

    Raises
    ------
    ValueError
        If the image is not 2D or 3D, not finite, or leaves [0, 1].

    Examples
    --------
    Introduced in notebook 01.

    >>> clean = np.zeros((64, 64)); clean[32, 32] = 1
    >>> noisy = degrade(clean, np.ones((3, 3)) / 9, Noise(gaussian=0.01), seed=1)
    >>> noisy.shape, noisy.dtype, bool(abs(noisy[32, 32] - 1 / 9) < 0.05)
    ((64, 64), dtype('float32'), True)
    """
    clean = np.asarray(clean, dtype=np.float32)
    if clean.ndim not in (2, 3):
        raise ValueError(
            f"clean: expected an image (y, x) or a volume (z, y, x), got {clean.shape}"
        )
    if not np.isfinite(clean).all():
        raise ValueError("clean: expected finite values, got NaN or infinity")
    if clean.min() < -1e-4 or clean.max() > 1 + 1e-4:
        raise ValueError(
            f"clean: expected values in [0, 1], got {clean.min():.4g} to {clean.max():.4g}; "
            "the noise is given in units of that range, so scale the image first"
        )
    blurred = blur(clean, psf)
    rng = np.random.RandomState(seed)  # the protocol's generator, in the protocol's order
    return add_noise(blurred, noise, rng)


def add_noise(
    blurred: np.ndarray, noise: Noise, rng: np.random.RandomState | np.random.Generator
) -> np.ndarray:
    """Add noise to a blurred image; the second half of `degrade`.

    Examples
    --------
    >>> add_noise(np.full((2, 2), 0.3), Noise(bits=1), np.random.default_rng(0)).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    # a volume part by part, in the order in which all of it would be drawn
    count = min(len(blurred), math.ceil(blurred.size / 2**20))
    noisy = np.empty(blurred.shape, np.float32)
    parts = list(zip(np.array_split(noisy, count), np.array_split(blurred, count), strict=True))
    for out, x in parts:
        deviation = np.sqrt(noise.poisson * x.clip(0) + noise.gaussian**2)
        out[:] = _recorded(x + deviation * rng.normal(size=x.shape), noise)
    hits = [rng.uniform(size=x.shape) < noise.salt_and_pepper for _, x in parts]
    for (out, x), hit in zip(parts, hits, strict=True):
        out[hit] = _recorded(rng.uniform(size=x.shape)[hit], noise)
    return noisy


def _recorded(x: np.ndarray, noise: Noise) -> np.ndarray:
    """Round to the camera's steps, and cut at black and white, where it does so."""
    if noise.bits is not None:
        x = np.round(x * 2**noise.bits) / 2**noise.bits
    return x.clip(0, 1) if noise.clip else x
