"""The noise read off the image: right where it is known, and silent where nothing is clipped."""

import numpy as np
import pytest

from siamdecon import PAPER_2D, Noise, deconvolve, degrade, load_sample, paper_psf, score
from siamdecon.files.phantoms import filaments
from siamdecon.microscope.noise import add_noise, estimate_noise, fit_noise
from siamdecon.microscope.psf import Microscope, gaussian


@pytest.mark.parametrize("sigma", [0.03, 0.06, 0.1, 0.15])
@pytest.mark.parametrize("sample", ["filaments", "nuclei", "membranes"])
def test_the_deviation_of_clipped_noise_is_found(sample, sigma):
    noisy = degrade(load_sample(sample), paper_psf(2), Noise(gaussian=sigma))
    assert estimate_noise(noisy).gaussian == pytest.approx(sigma, rel=0.1)


def test_impulses_hardly_disturb_it():
    noisy = degrade(load_sample("histology"), paper_psf(2), PAPER_2D)
    assert estimate_noise(noisy).gaussian == pytest.approx(0.1, rel=0.1)


def test_an_image_that_is_not_clipped_has_nothing_to_model():
    clean = 0.3 + 0.4 * load_sample("nuclei")
    noisy = degrade(clean, paper_psf(2), Noise(gaussian=0.02))
    assert estimate_noise(noisy) is None


def test_volumes():
    signal = np.full((20, 40, 40), 0.05)
    rng = np.random.default_rng(0)
    noisy = (signal + 0.4 * rng.uniform(size=(20, 1, 1)) + rng.normal(0, 0.1, signal.shape)).clip(
        0, 1
    )
    assert estimate_noise(noisy).gaussian == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.15])
@pytest.mark.parametrize("bright", [False, True])
def test_an_image_that_is_black_nearly_everywhere(sigma, bright):
    noisy = degrade(
        filaments((16, 64, 64), 1),
        gaussian(Microscope(size=9, planes=9, z_step=0.8), 3),
        Noise(gaussian=sigma),
    )
    estimated = estimate_noise(1 - noisy if bright else noisy)
    assert estimated.gaussian == pytest.approx(sigma, rel=0.1)


def test_deconvolve_resolves_auto_and_says_what_it_used():
    noisy = degrade(load_sample("nuclei")[:64, :64], paper_psf(2))
    arguments = {"tier": "test", "progress": False}
    auto = deconvolve(noisy, paper_psf(2), **arguments)
    assert auto.settings["training"]["noise"]["gaussian"] == pytest.approx(0.1, rel=0.15)
    plain = deconvolve(noisy, paper_psf(2), noise=None, **arguments)
    assert plain.settings["training"]["noise"] is None
    assert not np.array_equal(auto.image, plain.image)
    with pytest.raises(ValueError, match="noise: expected 'auto', a Noise or None, got 'some'"):
        deconvolve(noisy, paper_psf(2), noise="some", **arguments)


def test_knowing_the_clipping_restores_the_black():
    """Where the truth is black, the mean measurement is 0.04; only the informed estimate is darker."""
    clean = load_sample("nuclei")
    noisy = degrade(clean, paper_psf(2))
    naive, informed = (
        deconvolve(noisy, paper_psf(2), "total_variation", noise=noise) for noise in (None, "auto")
    )
    black = clean == 0
    assert noisy[black].mean() > 0.04
    assert abs(informed.image[black].mean()) < 0.5 * abs(naive.image[black].mean())
    assert score(clean, informed.image)["psnr"] > score(clean, naive.image)["psnr"]


@pytest.mark.parametrize("shape", [(200, 200), (9, 90, 90)])
def test_the_noise_of_few_whole_numbers_is_no_impulses(shape):
    """Averaged photon counts, rounded to 1 to 8: two pixels in three have the same value as their neighbours.

    A line grid of the BioImage Analysis Notebooks is such an image: 71 % of it was taken for impulses, and
    nearly all light went.
    """
    x = np.arange(shape[-1])
    signal = 1.3 + 4 * np.exp(-(((x % 45 - 22) / 5) ** 2)) + np.zeros(shape)
    counts = np.random.default_rng(0).normal(signal, 0.5 * np.sqrt(signal)).round().clip(1, 8)
    noise = fit_noise((counts - 1) / 7, (signal - 1) / 7, clip=False)
    assert noise.salt_and_pepper == 0
    deviation = np.sqrt(noise.gaussian**2 + noise.poisson * (signal.mean() - 1) / 7)
    # rounding and the cut at 1 count as noise, or not, by a tenth
    assert deviation == pytest.approx(0.5 * np.sqrt(signal.mean()) / 7, rel=0.15)


@pytest.mark.parametrize("sigma", [0.3, 0.45, 0.7, 1.0])
def test_noise_finer_than_the_grey_levels_is_found(sigma):
    """A stack of whole numbers from 1 to 8: most pixels took one level, the rest counted as impulses."""
    ramp = np.tile(np.linspace(0.2, 0.8, 300), (300, 1))
    counts = np.round(8 * ramp + np.random.default_rng(0).normal(0, sigma, ramp.shape))
    noise = fit_noise(counts / 8, ramp)
    assert noise.salt_and_pepper == 0
    # rounding adds a twelfth; 9000 pixels a bin know a deviation to 1 %
    assert noise.gaussian == pytest.approx(np.sqrt(sigma**2 + 1 / 12) / 8, rel=0.05)


@pytest.mark.parametrize("photons", [30, 200, 1000])
def test_shot_noise_begins_at_black_not_at_the_darkest_pixel(photons):
    """A dark image of a camera: its offset lies some deviations of the read noise above its darkest pixel.

    A line through 0 halved the shot noise of 30 and of 200 photons.
    """
    rng = np.random.default_rng(0)
    light = photons * np.linspace(0, 1, 400) ** 4 * np.ones((400, 1))
    counts = np.round(rng.poisson(light) + rng.normal(100, 1.5, light.shape))
    low, high = counts.min(), counts.max()
    signal = (light + 100 - low) / (high - low)
    noise = fit_noise((counts - low) / (high - low), signal, clip=False)
    assert noise.black == pytest.approx((100 - low) / (high - low), abs=0.01)
    # 16000 pixels a bin know a deviation to 1 %, and rounding adds a twelfth to the variance
    true = np.sqrt(light + 1.5**2 + 1 / 12) / (high - low)
    assert noise.poisson == pytest.approx(1 / (high - low), rel=0.1)
    drawn = add_noise(signal, noise, rng) - signal
    for part in (slice(0, 100), slice(200, 250), slice(350, 400)):
        expected = np.sqrt(np.mean(true[:, part] ** 2))
        assert drawn[:, part].std() == pytest.approx(expected, rel=0.1)
