"""A whole image through a trained network: flips, contrast."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from siamdecon import Noise, PSFConvolution, TrainingConfig, UNet, deconvolve, train
from siamdecon.methods.ssi import SmallUNet
from siamdecon.microscope.noise import mean_response
from siamdecon.network.inference import estimator_of, fit_contrast, halo_of, predict
from siamdecon.problem import Problem

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


@pytest.fixture
def run():
    torch.manual_seed(0)
    image = np.random.default_rng(0).random((150, 170))
    config = TrainingConfig(
        steps=2, batch_size=1, patch_size=32, precision="float32", ema_decay=0.9
    )
    return train(UNet(features=2), image, np.ones((3, 3)) / 9, config), image


@pytest.mark.parametrize("average_flips", [False, True])
def test_exact_tiles_give_the_whole_image(run, average_flips):
    """Also where the sides, 150 and 170, are no multiples of the network's stride."""
    training, image = run
    how = {"average_flips": average_flips, "calibrate": False}
    psf = np.ones((3, 3)) / 9
    whole = predict(training, image, psf, tile=1000, **how)
    tiled, blended = (
        predict(training, image, psf, tile=96, stitch=stitch, **how)
        for stitch in ("exact", "blend")
    )
    assert np.abs(tiled - whole).max() < 1e-5
    assert np.abs(blended - whole).max() > 1e-5


@pytest.mark.parametrize(
    ("stitch", "tile", "expected"),
    [("blend", None, 64), ("exact", None, 96), ("exact", 64, 64), ("blend", 100, 100)],
)
def test_an_exact_tile_keeps_as_much_as_it_discards(run, stitch, tile, expected, monkeypatch):
    """Of volumes of 32 features it had a side of 64, and 16 were kept: 9 to 15 times the blend's time."""
    monkeypatch.setattr("siamdecon.network.inference.tile_side", lambda *_: 64)
    training, image = run
    problem = Problem.as_it_is(image, PSF, device="cpu")
    found = estimator_of(training, problem, False, False, tile, stitch)
    assert found.tile == expected
    assert found.core == (expected - 48 if stitch == "exact" else None)
    how = {"features": 2, "stitch": stitch, "tile": tile, "tier": "test", "progress": False}
    assert deconvolve(image[:40, :40], PSF, **how).settings["tile"] == expected


@pytest.mark.parametrize("stitch", ["blend", "exact"])
def test_a_full_gpu_halves_the_tiles(run, stitch, monkeypatch):
    training, image = run
    sides, forward = [], training.average.forward

    def limited(x):
        sides.append(max(x.shape[2:]))
        if sides[-1] > 100:
            raise torch.cuda.OutOfMemoryError("full")
        return forward(x)

    monkeypatch.setattr(training.average, "forward", limited)
    with pytest.warns(UserWarning, match="tiles of 80 in place of 160"):
        tiled = predict(
            training, image, average_flips=False, calibrate=False, tile=160, stitch=stitch
        )
    assert tiled.shape == image.shape and max(sides) > 100 >= sides[-1]


def test_a_gpu_that_is_full_whatever_the_tile_is_an_error(run, monkeypatch):
    training, image = run

    def full(x):
        raise torch.cuda.OutOfMemoryError("full")

    monkeypatch.setattr(training.average, "forward", full)
    with pytest.warns(UserWarning), pytest.raises(MemoryError, match="take a part of the image"):
        predict(training, image, average_flips=False, calibrate=False)


@pytest.mark.parametrize("tile", [8.5, "a", 1, -1, 0])
def test_a_tile_that_is_none(run, tile):
    training, image = run
    with pytest.raises(ValueError, match="tile: expected 16 or more pixels"):
        predict(training, image, np.ones((3, 3)) / 9, tile=tile)


def test_an_unknown_way_to_stitch(run):
    with pytest.raises(ValueError, match="stitch: expected one of blend, exact, got 'sew'"):
        predict(*run, average_flips=False, calibrate=False, stitch="sew")


def test_a_network_that_knows_no_border_sees_the_image_mirrored_beyond_it():
    """Photon counts: with zeros there it made up to 2 % of an image's light near the border."""
    image = np.random.default_rng(0).random((37, 50)).astype(np.float32)
    config = TrainingConfig(steps=2, batch_size=1, patch_size=32, padding="valid")
    run = train(UNet(features=2), image, np.ones((3, 3)) / 9, config)
    plain = {"average_flips": False, "calibrate": False}
    found = predict(run, image, **plain)
    run.config = replace(config, padding="replicate")  # such a loss knows the zeros beyond a patch
    beyond = predict(run, np.pad(image, 16, mode="symmetric"), **plain)
    np.testing.assert_array_equal(found, beyond[16:-16, 16:-16])
    assert not np.array_equal(found, predict(run, image, **plain))


class Blocks(nn.Sequential):
    """A network that takes blocks of 4 x 4 pixels together."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 8, 4, stride=4), nn.ConvTranspose2d(8, 1, 4, stride=4))


def trained(model, shape):
    torch.manual_seed(0)
    image = np.random.default_rng(0).random(shape)
    config = TrainingConfig(steps=1, batch_size=1, patch_size=32, precision="float32")
    return train(model, image, PSF, config), image


def test_a_network_that_cuts_an_image_is_refused_unless_it_says_its_stride():
    """The estimate of 70 x 83 pixels had 68 x 80."""
    run, image = trained(Blocks(), (70, 83))
    with pytest.raises(ValueError, match=r"got \(1, 1, 68, 80\); if it takes whole multiples"):
        predict(run, image, PSF)
    run.model.stride = 4
    assert predict(run, image, PSF).shape == image.shape


def halving():
    """A network of max-pooling and upsampling that says its stride."""
    model = SmallUNet(2, features=2)
    model.stride = 4
    return model


@pytest.mark.parametrize(
    "network", [lambda: nn.Conv2d(1, 1, (21, 1), padding=(10, 0)), halving], ids=["tall", "halving"]
)
def test_exact_tiles_of_other_networks_give_the_whole_image(network):
    """Halos were as wide as the network looks along x, and each tile was halved from its own first pixel."""
    run, image = trained(network(), (150, 170))
    how = {"average_flips": False, "calibrate": False}
    whole, tiled = (predict(run, image, tile=n, stitch="exact", **how) for n in (1000, 67))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_network_that_ends_in_a_sigmoid_has_no_exact_tiles():
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid()
    with pytest.raises(ValueError, match="stitch: expected 'blend' for a network whose gradients"):
        halo_of(nn.Sequential(*layers), 2)


def test_a_network_that_halves_an_image_without_a_stride_has_no_exact_tiles():
    run, image = trained(SmallUNet(2, features=2), (150, 170))
    with pytest.raises(ValueError, match=r"stitch: expected 'blend' .* set its attribute `stride`"):
        predict(run, image, PSF, tile=67, stitch="exact")
    assert predict(run, image, PSF, tile=67).shape == image.shape
