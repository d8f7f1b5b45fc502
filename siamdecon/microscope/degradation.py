"""What a microscope does to an image: blur, then noise."""

import numpy as np

from siamdecon.expect import Words, expect
from siamdecon.hardware import as_array, one_thread_each, to_array, to_tensor
from siamdecon.microscope.convolution import PSFConvolution, reconvolve
from siamdecon.microscope.noise import PAPER_2D, Noise, add_noise, mean_response


@one_thread_each()
def blur(clean: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolve an image with a kernel, with zeros beyond the border.

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


@one_thread_each()
def residual(estimate, noisy, psf, noise: Noise | None = None) -> np.ndarray:
    """Return the residual of an estimate: the measurement minus the blurred estimate.

    It should contain only noise; any structure in it is missing from the estimate or spurious there.

    Parameters
    ----------
    estimate, noisy : ndarray, shape ([z,] y, x)
        The restored image and the measurement, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
    noise : Noise, optional
        If given, `Noise.mean` is applied to the blurred estimate, to account for clipping.

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
    noisy, expected = as_array(noisy, "noisy"), mean_response(noise)(reconvolve(estimate, psf))
    same = noisy.shape == np.shape(estimate)
    expect(same, "noisy", f"the shape of the estimate {np.shape(estimate)}", noisy.shape)
    return noisy.astype(np.float32) - to_array(expected)


def degrade(clean, psf, noise: Noise = PAPER_2D, seed: int = 0) -> np.ndarray:
    r"""Blur a clean image and add noise, as in the paper's experiments.

    .. math:: x = y * k + \sqrt{\alpha\,(y * k) + \sigma^2}\;\varepsilon, \quad \varepsilon \sim N(0, 1)

    with y the clean image; then a fraction of the pixels is replaced by uniform values, and the result
    is quantised and clipped (Section 3).

    Parameters
    ----------
    clean : ndarray, shape ([z,] y, x)
        The ground truth, in [0, 1].
    psf : ndarray, shape ([z,] y, x)
        The kernel, with as many axes as the image.
    noise : Noise
        `PAPER_2D`, `PAPER_3D` or your own.
    seed : int
        Seed of NumPy's legacy generator, as used by the paper's code.

    Returns
    -------
    noisy : ndarray of float32, shape as `clean`

    Raises
    ------
    ValueError
        If the image is not 2D or 3D, or has values that are not finite or outside [0, 1].

    Examples
    --------
    Introduced in notebook 01.

    >>> clean = np.zeros((64, 64)); clean[32, 32] = 1
    >>> noisy = degrade(clean, np.ones((3, 3)) / 9, Noise(gaussian=0.01), seed=1)
    >>> noisy.shape, noisy.dtype, bool(abs(noisy[32, 32] - 1 / 9) < 0.05)
    ((64, 64), dtype('float32'), True)
    """
    clean = as_array(clean, "clean").astype(np.float32)
    expect(clean.ndim in (2, 3), "clean", "an image (y, x) or a volume (z, y, x)", clean.shape)
    expect(np.isfinite(clean).all(), "clean", "finite values", Words("NaN or infinity"))
    low, high = clean.min(), clean.max()
    got = Words(f"{low:.4g} to {high:.4g}")
    mend = "the noise is given in units of that range, so scale the image first"
    expect(low >= -1e-4 and high <= 1 + 1e-4, "clean", "values in [0, 1]", got, mend)
    # the generator of the paper's code, and its order of draws
    return add_noise(blur(clean, psf), noise, np.random.RandomState(seed))
