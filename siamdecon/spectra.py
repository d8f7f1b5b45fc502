"""Images by spatial frequency: how much of each there is, and how much of it is right."""

import numpy as np
from scipy.signal.windows import hann


def radial_power(image: np.ndarray, bins: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Average the power spectrum over rings of equal spatial frequency.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Tapered to 0 at the border by a Hann window first, so that opposite borders do not meet.
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
        If the image is not 2D, or too small to put a frequency into each ring.

    Examples
    --------
    Introduced in notebook 07.

    >>> stripes = np.cos(2 * np.pi * 0.25 * np.arange(64)) * np.ones((64, 1))
    >>> frequency, power = radial_power(stripes)
    >>> float(frequency[power.argmax()])
    0.2578125
    """
    ring, frequency = _rings(np.shape(image), bins)
    return frequency, _mean(np.abs(_transform(image)) ** 2, ring, bins)


def fourier_ring_correlation(
    a: np.ndarray, b: np.ndarray, bins: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    r"""Correlate two images in each ring of spatial frequency.

    .. math:: FRC(r) = \frac{\mathrm{Re} \sum_r F(a) \overline{F(b)}}
              {\sqrt{\sum_r |F(a)|^2 \sum_r |F(b)|^2}}

    Against the clean image, 1 means that an estimate's detail of that size is right, 0 that it is
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
    if np.shape(a) != np.shape(b):
        raise ValueError(f"expected two images of one shape, got {np.shape(a)} and {np.shape(b)}")
    ring, frequency = _rings(np.shape(a), bins)
    u, v = _transform(a), _transform(b)
    cross = _mean((u * v.conj()).real, ring, bins)
    power = np.sqrt(_mean(np.abs(u) ** 2, ring, bins) * _mean(np.abs(v) ** 2, ring, bins))
    return frequency, np.divide(cross, power, out=np.zeros(bins), where=power > 0)


def _transform(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, dtype=np.float64)
    window = np.outer(hann(image.shape[0]), hann(image.shape[1]))
    return np.fft.fft2((image - image.mean()) * window)


def _rings(shape: tuple[int, ...], bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the ring that each frequency lies in (`bins` past Nyquist), and its middle."""
    if len(shape) != 2:
        raise ValueError(f"expected an image (y, x), got shape {shape}")
    if min(shape) < 2 * bins:
        raise ValueError(
            f"expected {2 * bins} or more pixels along both axes for {bins} rings, got {shape}; "
            "pass fewer bins"
        )
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    ring = np.minimum((radius * 2 * bins).astype(int), bins)
    return ring, (np.arange(bins) + 0.5) / (2 * bins)


def _mean(values: np.ndarray, ring: np.ndarray, bins: int) -> np.ndarray:
    count = np.bincount(ring.ravel(), minlength=bins + 1)
    return (np.bincount(ring.ravel(), values.ravel(), bins + 1) / count.clip(min=1))[:bins]
