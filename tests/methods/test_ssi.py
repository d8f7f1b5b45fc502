"""SSI: what is hidden stays hidden, the loss is its formula, a run repeats, and it restores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from siamdecon import deconvolve, degrade, load_sample, paper_psf, score
from siamdecon.files.images import Image
from siamdecon.hardware import to_array
from siamdecon.methods.ssi import SSI, SmallUNet, bounds, hide
from siamdecon.microscope import blur
from siamdecon.network.losses import mean_square
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import TILE

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6


def ssi(image, psf, *, seed=0, callback=None, clip=True, voxel_size=None, **options):
    """Restore an image in [0, 1] as it is, at the lab tier."""
    problem = Problem.as_it_is(image, psf, device="cpu", limited=clip)
    source = replace(problem.source, voxel_size=voxel_size)
    method = SSI.of_tier("lab", problem.ndim, {"clip": clip, **options})
    problem = replace(problem, seed=seed, source=source)
    estimator = method.fit(problem, Watch(callback))  # `restore` refuses an interrupted training
    return to_array(estimator.whole(problem.whole))


@pytest.mark.parametrize("shape", [(2, 1, 9, 11), (1, 1, 6, 7, 8)])
@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_no_hidden_pixel_can_be_read_off_the_input(shape, density):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, requires_grad=True)
    mask = torch.rand(shape, generator=generator) < density
    hidden = hide(x, mask)
    assert torch.equal(hidden[~mask], x[~mask])
    (seen,) = torch.autograd.grad(hidden.square().sum(), x)
    assert (seen[mask] == 0).all()


def test_a_hidden_pixel_is_the_mean_of_the_neighbours_that_are_seen():
    rng = np.random.default_rng(0)
    x, mask = rng.random((8, 9)), rng.random((8, 9)) < 0.4
    got = hide(torch.from_numpy(x)[None, None], torch.from_numpy(mask)[None, None])[0, 0]
    for i, j in zip(*mask.nonzero(), strict=True):
        part = (slice(max(0, i - 1), i + 2), slice(max(0, j - 1), j + 2))
        seen = x[part][~mask[part]]
        assert got[i, j] == pytest.approx(seen.mean() if seen.size else x[~mask].mean())


def test_the_loss_is_its_formula():
    rng = np.random.default_rng(0)
    f, g, x = (rng.normal(size=(5, 6)) for _ in range(3))
    mask = rng.random((5, 6)) < 0.3
    tensors = [torch.from_numpy(a) for a in (g, x, mask)]
    assert mean_square(*tensors).item() == pytest.approx(np.mean((g - x)[mask] ** 2))
    outside = np.where(f < 0, -f, np.where(f > 1, f - 1, 0))
    assert bounds(torch.from_numpy(f)).item() == pytest.approx(outside.mean())


def test_the_network_has_the_papers_size():
    parameters = sum(p.numel() for p in SmallUNet(2, 20).parameters())
    assert parameters == pytest.approx(0.55e6, rel=0.1)


@pytest.mark.parametrize("shape", [(33, 46), (5, 18, 21)])
def test_a_seed_gives_one_image(shape):
    image = np.random.default_rng(0).random(shape)
    psf = np.ones((3,) * len(shape)) / 3 ** len(shape)
    small = {"steps": 2, "features": 2, "batch_size": 2, "patch_size": 16}
    before = torch.get_rng_state()
    first, again, other = (ssi(image, psf, seed=seed, **small) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == shape
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    via = deconvolve(image, psf, "ssi", seed=1, limits=(0, 1), progress=False, **small)
    np.testing.assert_allclose(via.image, other, atol=1e-6)
    assert via.settings["options"]["steps"] == 2


def test_it_restores():
    clean, psf = load_sample("nuclei")[:96, :96], paper_psf(2)
    noisy = degrade(clean, psf)
    restored = ssi(noisy, psf, steps=60, features=8, batch_size=4)
    assert score(clean, restored)["psnr"] > score(clean, noisy)["psnr"] + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: expected a whole number of 1 or more, got 0"),
        ({"features": 2.5}, "features: expected a whole number"),
        ({"psf": np.ones((3, 3, 3)) / 27}, "expected 2 axes"),
        ({"image": np.ones((40, 40))}, "every pixel is 1"),
        ({"image": 255 * np.eye(40)}, r"expected values in \[0, 1\]"),
    ],
)
def test_what_cannot_be_restored(options, message):
    with pytest.raises(ValueError, match=message):
        ssi(**{"image": np.eye(40), "psf": PSF, **options})


def test_oblong_pixels_are_not_turned(monkeypatch):
    # in float32: two steps change the image by 7e-5, and bfloat16 rounds 0.6 to steps of 2^-8 = 4e-3
    monkeypatch.setattr("siamdecon.hardware._cpu_has_bfloat16", lambda: False)
    image = np.random.default_rng(0).random((40, 40))
    small = {"steps": 2, "features": 2, "batch_size": 2, "patch_size": 16}
    square, oblong = (ssi(image, PSF, voxel_size=size, **small) for size in (None, (0.4, 0.2)))
    assert not np.array_equal(square, oblong)
    source = Image(image, "YX", (0.4, 0.2))
    via = deconvolve(source, PSF, "ssi", limits=(0, 1), progress=False, **small)
    np.testing.assert_allclose(via.image, oblong, atol=1e-6)


def test_a_large_image_is_restored_in_tiles(monkeypatch):
    monkeypatch.setitem(TILE, 2, 48)
    sizes, forward = [], SmallUNet.forward
    monkeypatch.setattr(
        SmallUNet, "forward", lambda f, x: sizes.append(max(x.shape[2:])) or forward(f, x)
    )
    image = np.random.default_rng(0).random((60, 100))
    assert ssi(image, PSF, steps=1, features=2, patch_size=16).shape == image.shape
    assert max(sizes) == 48 and len(sizes) > 2


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("peak", [2, 10, 100])
def test_the_light_of_photon_counts_is_kept(peak, background):
    """By hardly trained networks, too: what shifts their brightness is taken back."""
    clean, psf = load_sample("cell")[:128, :128], paper_psf(2)
    light = background + peak * clean
    counts = np.random.default_rng(0).poisson(background + peak * blur(clean, psf).clip(0))
    found = deconvolve(counts, psf, "ssi", steps=10, progress=False).image
    inner = np.s_[17:-17, 17:-17]
    # the counts' own total is uncertain by the root of their number
    counted = abs(counts[inner].sum() / light[inner].sum() - 1)
    assert abs(found[inner].sum() / light[inner].sum() - 1) < 0.02 + counted


@pytest.mark.parametrize("planes", [1, 2])
def test_neighbours_of_thin_stacks_are_those_that_there_are(planes):
    """torch refuses to pool fewer planes than the window has."""
    x = torch.arange(planes * 16.0).view(1, 1, planes, 4, 4)
    mask = torch.zeros(x.shape, dtype=torch.bool)
    mask[..., 0, 1, 1] = True
    around = x[..., :2, 0:3, 0:3]
    expected = (around.sum() - x[..., 0, 1, 1].sum()) / (around.numel() - 1)
    assert torch.allclose(hide(x, mask)[mask], expected)
