"""What one photon counts is told within 20 %, or not at all."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from siamdecon import compare, deconvolve, inspect, read_image, write_image
from siamdecon.cli import main
from siamdecon.methods.siamese import SiameseTraining


def grid(shape, mean):
    """Lines of 4 pixels every 16, blurred, brighter downwards and in the middle planes."""
    lines = (np.arange(shape[-1]) % 16 < 4) * np.linspace(0.4, 1, shape[-2])[:, None]
    planes = np.exp(-0.5 * np.linspace(-2, 2, 21) ** 2)[:, None, None]
    signal = 0.1 + gaussian_filter(lines, 1.5, mode="wrap") * (planes if len(shape) == 3 else 1)
    return mean * signal / signal.mean()


SHAPES = pytest.mark.parametrize("shape", [(512, 512), (21, 150, 150)], ids=["2D", "3D"])


@SHAPES
@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("gain", [1, 4, 0.5])
@pytest.mark.parametrize("mean", [1, 2, 5, 20, 100])
def test_a_photon_counts_its_gain(mean, gain, offset, shape):
    """Of 1 to 8 counts the median of absolute values is a whole number, whatever the noise."""
    image = offset + gain * np.random.default_rng(1).poisson(grid(shape, mean))
    image = image.astype("float32" if gain < 1 else "uint8" if image.max() < 256 else "uint16")
    assert inspect(image).gain == pytest.approx(gain, rel=0.2)


@SHAPES
def test_the_offset_may_lie_above_the_darkest_value_and_a_camera_may_add_its_own_noise(shape):
    rng = np.random.default_rng(2)
    image = rng.normal(100 + 2 * rng.poisson(grid(shape, 20)), 4).astype(np.float32)
    assert inspect(image).gain == pytest.approx(2, rel=0.2)


@SHAPES
@pytest.mark.parametrize(
    "measure",
    [
        lambda signal, rng: rng.poisson(np.full_like(signal, 20)),
        lambda signal, rng: rng.normal(signal, 3),
        lambda signal, rng: rng.normal(signal, 10).clip(0),
        lambda signal, rng: gaussian_filter(rng.poisson(signal) * 1.0, 0.7),
        lambda signal, rng: np.rint(1 + rng.poisson(signal / 2) / 8).astype(np.uint8),
    ],
    ids=["flat", "camera noise", "clipped", "smoothed", "averaged and rounded"],
)
def test_it_is_not_told_where_it_cannot_be(measure, shape):
    seen = inspect(measure(grid(shape, 20), np.random.default_rng(3)))
    assert seen.gain is None
    assert "a photon's count can't be told" in str(seen)


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (2, 40, 40), (3, 40, 40), (5, 9, 9)])
def test_small_images_are_looked_at_too(shape):
    gain = inspect(np.random.default_rng(0).poisson(10, shape)).gain
    assert gain is None


@pytest.mark.parametrize("stopped", ["held out", "whole"])
def test_a_method_whose_training_is_interrupted_is_not_judged(stopped, monkeypatch):
    step, trainings = SiameseTraining.take_step, []

    def take_step(run):
        if run not in trainings:
            trainings.append(run)
        if len(trainings) == 1 + (stopped == "whole") and run.step == 2:
            raise KeyboardInterrupt
        step(run)

    monkeypatch.setattr(SiameseTraining, "take_step", take_step)
    image = np.random.default_rng(0).poisson(grid((40, 48), 50)).astype(float)
    psf, how = np.ones((3, 3)) / 9, {"tier": "test", "progress": False}
    found = compare(image, psf, ("wiener", "noise2self", "richardson_lucy"), **how)
    assert list(found.images) == list(found.residuals) == ["wiener"] and found.best == "wiener"
    assert str(found).splitlines()[-1].startswith("interrupted at noise2self: ")
    whole = compare(image, psf, ("wiener",), **how)
    assert not whole.interrupted and "interrupted" not in str(whole)
    np.testing.assert_array_equal(found.images["wiener"], whole.images["wiener"])
    trainings.clear()
    with pytest.raises(KeyboardInterrupt):  # there is nothing to show
        compare(image, psf, ("noise2self",), **how)
    trainings.clear()
    if stopped == "held out":  # of the choice nothing is known yet
        with pytest.raises(KeyboardInterrupt):
            deconvolve(image, psf, "auto", methods=("noise2self", "wiener"), **how)


@pytest.mark.parametrize("sigma", [0.35, 0.45, 0.7])
def test_the_noise_of_few_whole_numbers_is_found(sigma):
    """A grid of whole numbers from 1 to 8: 0.404 for 0.457, as a median of so few levels is coarse."""
    lines = 2 + 4 * np.exp(-(((np.arange(128) % 45 - 22) / 5) ** 2))
    rng, signal = np.random.default_rng(0), np.tile(lines, (128, 1))
    several = rng.normal(signal, sigma, (99, 128, 128)).round().clip(1, 8)
    truth = np.sqrt(several.var(axis=0).mean())
    # lines 5 pixels wide have hardly any detail
    assert inspect(several[0]).noise == pytest.approx(truth, rel=0.05)


def test_nothing_is_said_of_a_kernel_that_is_not_there():
    seen = inspect(np.random.default_rng(0).poisson(10, (2, 64, 64)))
    assert seen.psf is None and not [said for said in seen.findings if "psf" in said]


def test_a_large_part_without_noise_is_looked_at_in_silence(recwarn):
    """A median of 0 was divided by."""
    image = np.random.default_rng(0).poisson(grid((128, 128), 100))
    image[:, :70] = image.min()
    inspect(image)
    assert not [w for w in recwarn if w.category is RuntimeWarning]


def test_an_image_that_memory_may_not_hold_is_looked_at_on_disk(tmp_path, monkeypatch, capsys):
    """All of it was read; of one on disk, what is estimated is so in its liveliest window."""
    image = np.random.default_rng(1).normal(100 + grid((256, 256), 20), 3).astype(np.float32)
    path = write_image(tmp_path / "a.tif", image)
    for module in ("inspection", "cli"):
        monkeypatch.setattr(f"siamdecon.{module}.LARGE", image.size)
    monkeypatch.setattr("siamdecon.files.on_disk.LargeImage.whole", None)
    seen = inspect(read_image(path, memmap=True))
    assert (seen.low, seen.high, seen.defects) == (image.min(), image.max(), 0)
    assert seen.noise == pytest.approx(3, rel=0.1)
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out == f"{seen}\n"
