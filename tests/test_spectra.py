"""Spectra against sums over the rings, one frequency at a time."""

import numpy as np
import pytest

from siamdecon.metrics import fourier_ring_correlation, radial_power


def by_hand(a, b, bins):
    """Ring by ring, with a discrete Fourier transform written as a matrix."""
    n = a.shape[0]
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / (n - 1))
    u, v = (dft @ ((x - x.mean()) * np.outer(taper, taper)) @ dft for x in (a, b))
    power, correlation = [], []
    frequency = np.fft.fftfreq(n)
    for k in range(bins):
        ring = [
            (i, j)
            for i in range(n)
            for j in range(n)
            if k <= 2 * bins * np.hypot(frequency[i], frequency[j]) < k + 1
        ]
        pairs = [(u[p], v[p]) for p in ring]
        power.append(np.mean([abs(p) ** 2 for p, _ in pairs]))
        cross = sum((p * np.conj(q)).real for p, q in pairs)
        scale = sum(abs(p) ** 2 for p, _ in pairs) * sum(abs(q) ** 2 for _, q in pairs)
        correlation.append(cross / scale**0.5)
    return np.array(power), np.array(correlation)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 20, 20))


def test_power_and_correlation_are_sums_over_rings(images):
    power, correlation = by_hand(*images, bins=5)
    np.testing.assert_allclose(radial_power(images[0], 5)[1], power, rtol=1e-9)
    np.testing.assert_allclose(fourier_ring_correlation(*images, 5)[1], correlation, rtol=1e-9)


def test_correlation_ignores_brightness_and_contrast(images):
    a, b = images
    expected = fourier_ring_correlation(a, b, 5)[1]
    np.testing.assert_allclose(
        fourier_ring_correlation(3 * a + 1, 0.2 * b - 4, 5)[1], expected, rtol=1e-9
    )
    np.testing.assert_allclose(fourier_ring_correlation(a, -b, 5)[1], -expected, rtol=1e-9)


def test_independent_noise_is_uncorrelated():
    a, b = np.random.default_rng(1).normal(size=(2, 256, 256))
    assert np.abs(fourier_ring_correlation(a, b)[1][4:]).max() < 0.15


def test_white_noise_has_a_flat_spectrum():
    power = radial_power(np.random.default_rng(2).normal(size=(512, 512)))[1]
    assert power[4:].std() < 0.1 * power.mean()


def test_a_flat_image_has_no_power_and_no_correlation(images):
    flat = np.full((20, 20), 0.5)
    assert not radial_power(flat, 5)[1].any()
    assert not fourier_ring_correlation(flat, images[0], 5)[1].any()


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((20, 20), (20, 21)), "one shape"),
        (((20, 20, 20),) * 2, r"an image \(y, x\)"),
        (((8, 20),) * 2, "pass fewer bins"),
    ],
)
def test_unfit_images_are_refused(shapes, words):
    with pytest.raises(ValueError, match=words):
        fourier_ring_correlation(*map(np.zeros, shapes), 5)
