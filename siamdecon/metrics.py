"""Scores of an estimate against the ground truth: pixel by pixel and by spatial frequency."""

import numpy as np
import scipy  # which loads scipy.signal, and scikit-image its metrics, when they are first used
from scipy import ndimage
from scipy.fft import dctn
from skimage import metrics

from siamdecon.expect import Words, expect, expect_unit_range, warn
from siamdecon.hardware import as_array


def score(clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Score an estimate as the paper's Tables 1 and 2 do.

    The estimate is clipped to [0, 1], and the data range is fixed at 1: a range taken from the data
    would make scores incomparable. An estimate of which more than 1 % lies beyond -0.5 or 1.5 is most
    likely on another scale, as a camera's counts are, and is warned of.

    Parameters
    ----------
    clean : ndarray, shape ([z,] y, x)
        The ground truth, in [0, 1].
    estimate : ndarray, shape as `clean`
        The restored image on the same scale.

    Returns
    -------
    dict
        "psnr" (dB), "ssim", "rmse", "mi" and "smi" (normalised mutual information of the pixels,
        and of their cosine transforms). Higher is better except for "rmse".

    Raises
    ------
    ValueError
        If the shapes differ or a value is not finite.

    Examples
    --------
    Introduced in notebook 00, taken apart in notebook 07.

    >>> clean = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    >>> {name: round(value, 2) for name, value in score(clean, clean + 0.1).items() if name != "smi"}
    {'psnr': 20.3, 'ssim': 0.93, 'rmse': 0.1, 'mi': 0.8}
    """
    clean, estimate = _comparable(clean, estimate, np.float32)
    expect_unit_range(clean, "clean")
    if (far := np.mean(np.abs(estimate - 0.5) > 1)) > 0.01:
        mend = "score it on the scale of the clean image"
        warn(f"estimate: {far:.0%} of it lies far beyond [0, 1] and is clipped; {mend}")
    estimate = estimate.clip(0, 1)
    mi = mutual_information(clean, estimate)
    smi = mutual_information(_spectrum(clean), _spectrum(estimate))
    return {**_pixel_scores(clean, estimate), "mi": mi, "smi": smi}


def affine_score(clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    r"""Score an estimate up to its contrast, as the paper's Tables 3, 4 and S2 do for the volume.

    The truth is scaled such that its percentiles 0.1 and 99.9 become 0 and 1; the mean of both volumes is
    subtracted; the estimate is scaled by the factor a that best fits the truth y. The data range is 1.

    .. math:: a = \langle \hat y, y \rangle / \langle \hat y, \hat y \rangle, \qquad
        \mathrm{PSNR} = -10 \log_{10} \mathrm{mean}\,(y - a \hat y)^2

    This score has a floor: a flat estimate has a = 0 and scores -20 log10 of the truth's standard
    deviation. A sparse volume has a high floor, so only the distance to the floor is meaningful.

    Parameters
    ----------
    clean : ndarray, shape ([z,] y, x)
        The ground truth.
    estimate : ndarray, shape as `clean`

    Returns
    -------
    dict
        "psnr", "ssim", "rmse", and "floor", the PSNR of a flat estimate.

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, or the truth is flat.

    Examples
    --------
    Introduced in notebook 09. Contrast and offset do not matter, and a flat estimate scores the floor.

    >>> clean = np.random.default_rng(0).uniform(size=(8, 16, 16))
    >>> noisy = clean + np.random.default_rng(1).normal(size=clean.shape)
    >>> [round(affine_score(clean, e)["psnr"], 6) for e in (noisy, 3 * noisy + 5)] == [
    ...     round(affine_score(clean, noisy)["psnr"], 6)] * 2
    True
    >>> flat = affine_score(clean, np.ones_like(clean))
    >>> flat["psnr"] == flat["floor"]
    True
    """
    clean, estimate = _comparable(clean, estimate, np.float64)
    low, high = np.percentile(clean, (0.1, 99.9))
    expect(low != high, "clean", "an image with contrast", Words("one that is flat"))
    t = (clean - low) / (high - low)
    t, e = t - t.mean(), estimate - estimate.mean()
    energy = np.vdot(e, e)
    # flat: no contrast but what rounding to float32 leaves
    flat = energy <= e.size * (np.finfo(np.float32).eps * np.abs(estimate).max()) ** 2
    fitted = np.zeros_like(e) if flat else e * (np.vdot(e, t) / energy)
    return {**_pixel_scores(t, fitted), "floor": float(-20 * np.log10(t.std()))}


def _comparable(clean, estimate, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return both images in one dtype, or raise ValueError if they cannot be compared."""
    clean = as_array(clean, "clean").astype(dtype)
    estimate = as_array(estimate, "estimate").astype(dtype)
    same = clean.shape == estimate.shape
    expect(same, "estimate", f"the shape of the clean image {clean.shape}", estimate.shape)
    expected = "(y, x) or (z, y, x) of 7 or more pixels along every axis, as SSIM's window has"
    expect(clean.ndim in (2, 3) and min(clean.shape) >= 7, "clean", expected, clean.shape)
    if not (np.isfinite(clean).all() and np.isfinite(estimate).all()):
        raise ValueError("expected finite values in both images, got NaN or infinity")
    return clean, estimate


def _pixel_scores(clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return PSNR, SSIM and RMSE for a data range of 1."""
    with np.errstate(divide="ignore"):  # an estimate without error has an infinite PSNR
        psnr = metrics.peak_signal_noise_ratio(clean, estimate, data_range=1)
    ssim = metrics.structural_similarity(clean, estimate, data_range=1)
    rmse = np.sqrt(np.mean((clean - estimate) ** 2, dtype=np.float64))
    return {"psnr": float(psnr), "ssim": float(ssim), "rmse": float(rmse)}


def mutual_information(a: np.ndarray, b: np.ndarray, bins: int = 256) -> float:
    r"""Mutual information of two images, divided by their joint entropy.

    .. math:: I(a; b) / H(a, b), \quad I = H(a) + H(b) - H(a, b)

    with entropies in bits, from a joint histogram.

    Parameters
    ----------
    a, b : ndarray, same shape
    bins : int
        Number of histogram bins along each axis.

    Returns
    -------
    float
        0 for independent images, 1 where each determines the other.

    References
    ----------
    Russakoff et al., "Image similarity using mutual information of regions", ECCV 2004.

    Examples
    --------
    >>> ramp = np.arange(256.0)
    >>> round(mutual_information(ramp, -ramp), 6)
    1.0
    """
    with np.errstate(invalid="ignore"):  # two flat images have no entropy to divide by
        information = metrics.normalized_mutual_information(a, b, bins=bins) - 1
    return float(np.clip(np.nan_to_num(information, nan=1.0), 0, 1))


def _spectrum(image: np.ndarray) -> np.ndarray:
    """Type-II cosine transform of an image of unit energy."""
    energy = np.linalg.norm(image)
    return dctn(image / energy if energy > 0 else image, type=2)


def radial_power(image: np.ndarray, bins: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Average the power spectrum over rings of equal spatial frequency.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        A Hann window is applied first, to avoid artefacts of the periodic border.
    bins : int
        Number of rings between frequency 0 and the Nyquist frequency, 0.5 per pixel.

    Returns
    -------
    frequency : ndarray, shape (bins,)
        The middle of each ring, in cycles per pixel.
    power : ndarray, shape (bins,)

    Raises
    ------
    ValueError
        If the image is not 2D, or too small for that many rings.

    Examples
    --------
    Introduced in notebook 07.

    >>> stripes = np.cos(2 * np.pi * 0.25 * np.arange(64)) * np.ones((64, 1))
    >>> frequency, power = radial_power(stripes)
    >>> float(frequency[power.argmax()])
    0.2578125
    """
    ring, frequency = _rings(np.shape(image), bins)
    return frequency, ndimage.mean(np.abs(_transform(image)) ** 2, ring, range(bins))


def fourier_ring_correlation(a, b, bins: int = 32) -> tuple[np.ndarray, np.ndarray]:
    r"""Correlate two images in each ring of spatial frequency.

    .. math:: FRC(u) = \frac{\mathrm{Re} \sum F(v) \overline{F(w)}}{\sqrt{\sum |F(v)|^2 \sum |F(w)|^2}}

    with v and w the two images, and sums over the frequencies of the ring, which are as long as u.

    Against the clean image, 1 means that an estimate's detail of that size is correct, 0 that it is
    unrelated to the truth, however sharp it looks.

    Parameters
    ----------
    a, b : ndarray, shape (y, x)
    bins : int
        Number of rings, see `radial_power`.

    Returns
    -------
    frequency : ndarray, shape (bins,)
        The middle of each ring, in cycles per pixel.
    correlation : ndarray, shape (bins,), in [-1, 1]
        0 where an image has no power.

    Raises
    ------
    ValueError
        If the images differ in shape, are not 2D, or are too small for that many rings.

    References
    ----------
    Van Heel, "Similarity measures between images", Ultramicroscopy 21 (1987); Nieuwenhuizen et al.,
    "Measuring image resolution in optical nanoscopy", Nature Methods 10 (2013).

    Examples
    --------
    Introduced in notebook 07.

    >>> image = np.random.default_rng(0).random((64, 64))
    >>> round(float(fourier_ring_correlation(image, 2 * image)[1].min()), 6)
    1.0
    """
    expect(np.shape(a) == np.shape(b), "b", f"the shape of the other, {np.shape(a)}", np.shape(b))
    ring, frequency = _rings(np.shape(a), bins)
    u, v = _transform(a), _transform(b)
    parts = ((u * v.conj()).real, np.abs(u) ** 2, np.abs(v) ** 2)
    cross, first, second = (ndimage.mean(part, ring, range(bins)) for part in parts)
    power = np.sqrt(first * second)
    return frequency, np.divide(cross, power, out=np.zeros(bins), where=power > 0)


def _transform(image: np.ndarray) -> np.ndarray:
    """Return the spectrum of an image without its mean; 0 where there is only what rounding leaves."""
    image = as_array(image).astype(np.float64)
    expect(np.isfinite(image).all(), "image", "finite values", Words("NaN or infinity"))
    window = np.outer(*map(scipy.signal.windows.hann, image.shape))
    spectrum = np.fft.fft2((image - image.mean()) * window)
    # a mean of N values is off by up to eps log2(N) of the largest, alike in all pixels
    off = np.finfo(float).eps * np.log2(image.size) * np.abs(image).max() * window.sum()
    return np.where(np.abs(spectrum) > off, spectrum, 0)


def _rings(shape: tuple[int, ...], bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the ring of each frequency (`bins` beyond Nyquist), and the rings' middles."""
    expect(len(shape) == 2, "image", "an image (y, x)", Words(f"shape {shape}"))
    expected = f"{2 * bins} or more pixels along both axes for {bins} rings"
    expect(min(shape) >= 2 * bins, "image", expected, shape, "pass fewer bins")
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    ring = np.minimum((radius * 2 * bins).astype(int), bins)
    return ring, (np.arange(bins) + 0.5) / (2 * bins)
