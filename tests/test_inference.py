"""A whole image through a trained network: flips, contrast."""

import numpy as np
import pytest
import torch

from siamdecon import Noise, PSFConvolution, TrainingConfig, UNet, train
from siamdecon.degradation import mean_response
from siamdecon.inference import fit_contrast, predict

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6


@pytest.mark.parametrize("noise", [None, Noise(gaussian=0.1)])
def test_contrast_is_found_again(noise):
    """An estimate whose scale and offset were spoilt gets them back from the measurement."""
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.uniform(size=(1, 1, 60, 60))).float()
    m = mean_response(noise)
    measured = m(PSFConvolution(PSF, padding="symmetric")(truth))[0, 0].numpy()
    spoilt = (truth - 0.1) / 1.3
    np.testing.assert_allclose(fit_contrast(spoilt, measured, PSF, m), [1.3, 0.1], atol=1e-3)


def test_calibration_lowers_the_error_in_the_measurement():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(48, 48)).astype(np.float32)
    config = TrainingConfig(steps=3, batch_size=2, patch_size=32)
    run = train(UNet(features=2), image, PSF, config)
    g = PSFConvolution(PSF, padding="symmetric")

    def error(estimate):
        blurred = g(torch.from_numpy(estimate)[None, None])[0, 0].numpy()
        return np.mean((blurred - image)[1:-1, 1:-1] ** 2)

    plain, calibrated = (predict(run, image, PSF, calibrate=c) for c in (False, True))
    assert error(calibrated) < error(plain)


def test_the_kernel_is_asked_for_where_it_is_needed():
    image = np.random.default_rng(0).uniform(size=(40, 40))
    run = train(UNet(features=2), image, PSF, TrainingConfig(steps=1, batch_size=1, patch_size=32))
    with pytest.raises(ValueError, match="psf: expected the kernel"):
        predict(run, image)
    assert predict(run, image, average_flips=False, calibrate=False).shape == (40, 40)
