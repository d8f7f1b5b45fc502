"""Own coarser scales: pairs are what they claim, nothing random is left open, and it beats its start."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve

from siamdecon import PAPER_2D, Noise, deconvolve, degrade, load_sample, paper_psf, score
from siamdecon.files.phantoms import filaments
from siamdecon.hardware import to_array
from siamdecon.methods.self_scale import (
    BALANCES,
    ScalePairs,
    SelfScale,
    _cut,
    downsample,
    find_noise,
    match_coarse,
)
from siamdecon.microscope.degradation import blur
from siamdecon.microscope.noise import add_noise
from siamdecon.network.training import Watch, steps_taken
from siamdecon.problem import Problem

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6
QUICK = {"scales": ((2,),), "steps": 2, "features": 2, "patch_size": 32}


def self_scale(image, psf, *, seed=0, callback=None, clip=True, voxel_size=None, **options):
    """Restore an image in [0, 1] as it is, at the lab tier."""
    problem = Problem.as_it_is(image, psf, device="cpu", limited=clip)
    source = replace(problem.source, voxel_size=voxel_size)
    method = SelfScale.of_tier("lab", problem.ndim, {"clip": clip, **options})
    problem = replace(problem, seed=seed, source=source)
    estimator = method.fit(problem, Watch(callback))  # `restore` refuses an interrupted training
    return to_array(estimator.whole(problem.whole))


def test_a_coarser_copy_of_a_smooth_scene_is_the_scene_on_a_coarser_grid():
    y, x = np.mgrid[:90, :120]

    def scene(y, x):
        return 0.5 + 0.2 * np.sin(2 * np.pi * y / 60) * np.cos(2 * np.pi * x / 45)

    copy = downsample(scene(y, x), 2.5, (0.5, 1.25))
    ny, nx = np.mgrid[: copy.shape[0], : copy.shape[1]]
    expected = scene(0.5 + 2.5 * ny, 1.25 + 2.5 * nx)
    # the blur before the reduction takes a little of the contrast
    assert np.abs(copy - expected)[3:-3, 3:-3].max() < 0.03


@given(
    shape=st.tuples(st.integers(20, 60), st.integers(20, 60)),
    scale=st.floats(1, 4),
    place=st.floats(0, 0.999),
)
@settings(max_examples=30, deadline=None)
def test_a_copy_stays_within_the_values_of_its_image(shape, scale, place):
    image = np.random.default_rng(0).random(shape)
    copy = downsample(image, scale, (place * scale,) * 2)
    assert copy.shape == tuple(int((n - 1) // scale) for n in shape)
    assert image.min() - 1e-6 <= copy.min() and copy.max() <= image.max() + 1e-6


def test_noise_of_a_copy_is_averaged_away():
    noise = np.random.default_rng(0).normal(size=(300, 300))
    # white noise under a Gaussian of deviation s has 1 / (2 s sqrt(pi)) of it left
    s = 0.5 * np.sqrt(8)
    assert downsample(noise, 3, (0, 0)).std() == pytest.approx(
        1 / (2 * s * np.sqrt(np.pi)), rel=0.05
    )


def test_a_training_pair_is_the_copy_and_its_degradation():
    clean = load_sample("nuclei")[:160, :160]
    noise = Noise(gaussian=0.05, clip=False)
    method = SelfScale(((2,),), copies=3)
    pairs = ScalePairs(Problem.as_it_is(clean, PSF, device="cpu"), method, noise)
    pairs.prepare(clean, (2,))
    assert len(pairs.pairs) == 3
    for pair in pairs.pairs:
        assert pair.shape == (1 + len(BALANCES) + 1 + 1 + 1, 79, 79)  # the room and the truth last
        seen, truth = pair[0].numpy(), pair[-1].numpy()
        assert truth.max() == pytest.approx(clean.max(), abs=1e-5)
        blurred = convolve(np.pad(truth, 1, mode="symmetric"), PSF, mode="valid", method="direct")
        left = seen - blurred
        assert left.std() == pytest.approx(0.05, rel=0.05) and abs(left.mean()) < 0.003
    firsts = [pair[0].numpy() for pair in pairs.pairs]
    assert np.abs(firsts[0] - firsts[1]).max() > 0.1  # other places, other noise


def test_the_cut_lets_what_fell_below_black_come_back():
    x = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    cut = _cut(x, 1.0)
    assert cut.tolist() == [0, 0.5, 1]
    cut.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_match_coarse_is_its_formula():
    rng = np.random.default_rng(0)
    estimate, image = rng.uniform(0.3, 0.7, (2, 40, 50))
    got = match_coarse(estimate, image, PSF, None, 5)
    blurred = convolve(np.pad(estimate, 1, mode="symmetric"), PSF, mode="valid", method="direct")
    left = (image - blurred).clip(-0.3, 0.3)
    assert got == pytest.approx(estimate + gaussian_filter(left, 5), abs=1e-4)


def test_match_coarse_keeps_to_its_top():
    """Made up for after the cut, the light lost at black raised the bright half above it."""
    image = np.zeros((64, 64))
    image[:, 32:] = 1
    estimate = image.copy()
    estimate[::2, 32:] = 0.8
    uncut = Noise(gaussian=0.01, clip=False)
    assert match_coarse(estimate, image, np.ones((1, 1)), uncut, 8.0, 1.0).max() == 1


def test_match_coarse_finds_the_brightness_behind_clipping():
    clean = np.full((80, 80), 0.05)
    noisy = add_noise(clean, PAPER_2D, np.random.default_rng(0))
    assert noisy.mean() > 0.065  # clipping has lifted it
    found = match_coarse(clean + 0.04, noisy, PSF, PAPER_2D)
    assert found.mean() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    "truth", [PAPER_2D, Noise(gaussian=0.03), Noise(gaussian=0.05, salt_and_pepper=0.03)]
)
@pytest.mark.parametrize("sample", ["histology", "nuclei"])
def test_the_noise_is_found(sample, truth):
    noisy = degrade(load_sample(sample), paper_psf(2), truth)
    found = find_noise(noisy, paper_psf(2))
    deviation = np.sqrt(found.gaussian**2 + 0.4 * found.poisson)
    assert deviation == pytest.approx(np.sqrt(truth.gaussian**2 + 0.4 * truth.poisson), rel=0.1)
    assert found.salt_and_pepper == pytest.approx(truth.salt_and_pepper, abs=0.01)
    black, white = (np.mean(noisy == end) > 0.005 for end in (0, 1))
    assert found.ends[0] == 0 or not black
    assert found.ends[1] == 1 or not white


@pytest.mark.parametrize("psf", [PSF, paper_psf(2)], ids=["narrow", "wide"])
def test_noise_that_is_not_clipped_is_not_said_to_be(psf):
    clean = 0.3 + 0.4 * load_sample("nuclei")
    found = find_noise(degrade(clean, psf, Noise(gaussian=0.02, clip=False)), psf)
    deviation = np.sqrt(found.gaussian**2 + 0.5 * found.poisson)
    assert not found.clip and deviation == pytest.approx(0.02, rel=0.1)


def test_the_same_seed_gives_the_same_image():
    image = degrade(load_sample("histology")[:96, :96], PSF, Noise(gaussian=0.05))
    a, b, c = (self_scale(image, PSF, seed=seed, **QUICK) for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_it_beats_its_start_and_counts_its_steps():
    clean, before = load_sample("histology")[128:384, 128:384], steps_taken()
    noisy, seen = degrade(clean, paper_psf(2)), []
    result = self_scale(
        noisy,
        paper_psf(2),
        steps=40,
        callback=lambda i, x: seen.append((i, score(clean, x)["psnr"])),
    )
    assert steps_taken() - before == 80
    assert [i for i, _ in seen] == [0, 1, 2]
    assert score(clean, result)["psnr"] == pytest.approx(seen[-1][1])
    assert seen[-1][1] > seen[0][1] + 0.1


def test_a_volume_comes_back():
    volume = degrade(filaments((24, 56, 60)), paper_psf(3), Noise(gaussian=0.05))
    estimate = self_scale(volume, paper_psf(3), scales=((2,),), steps=2, features=2)
    assert estimate.shape == volume.shape and np.isfinite(estimate).all()


def test_through_deconvolve_in_other_units():
    clean = load_sample("nuclei")[:128, :128]
    counts = (100 + 1000 * degrade(clean, PSF, Noise(gaussian=0.02, clip=False))).astype(np.uint16)
    result = deconvolve(counts, PSF, "self_scale", progress=False, **QUICK)
    assert result.image.mean() == pytest.approx(counts.mean(), rel=0.05)
    assert isinstance(result.noise, Noise) and not result.noise.clip
    assert result.settings["options"]["steps"] == 2


def test_behind_a_narrow_kernel_it_starts_from_what_has_not_explained_the_noise():
    clean = load_sample("nuclei")[:192, :192]
    noisy = degrade(clean, PSF, Noise(gaussian=0.1, clip=False))
    starts = {}
    for start in ("auto", "total_variation", "wiener"):
        self_scale(
            noisy.clip(0, 1),
            PSF,
            start=start,
            callback=lambda i, x, start=start: starts.setdefault(start, x),
            **QUICK,
        )
    assert np.array_equal(starts["auto"], starts["wiener"])
    errors = {name: np.mean((x - clean) ** 2) for name, x in starts.items()}
    assert errors["wiener"] < errors["total_variation"]


def test_a_training_that_has_diverged_and_stays_finite_says_so():
    """Muon's steps have one size: the weights did not overflow, and the image came back too bright."""
    image = degrade(load_sample("cell")[:96, :96], paper_psf(2))
    words = "before it learned: the training has diverged; try another seed, or in Python a smaller"
    with pytest.raises(FloatingPointError, match=words):
        self_scale(image, paper_psf(2), noise=PAPER_2D, learning_rate=2, **QUICK)


def test_an_interruption_before_the_first_round_gives_the_start():
    def stop(i, x):
        shown.append(x)
        raise KeyboardInterrupt

    shown = []
    image = degrade(load_sample("nuclei")[:80, :80], PSF, Noise(gaussian=0.05))
    found = self_scale(image, PSF, noise=Noise(gaussian=0.05), callback=stop, **QUICK)
    np.testing.assert_array_equal(found, shown[0])


def test_an_estimate_that_explains_nothing_is_not_returned(monkeypatch):
    """Weights too large for bright pixels, of which the checked training pair had none."""
    image = degrade(load_sample("cell")[:96, :96], PSF, Noise(gaussian=0.02, clip=False))
    monkeypatch.setattr(ScalePairs, "restore", lambda *_: np.full(image.shape, 10, np.float32))
    with pytest.raises(FloatingPointError, match="worse than a flat one: the training has diverge"):
        self_scale(image, PSF, coarse=0, noise=Noise(gaussian=0.02, clip=False), **QUICK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scales": ((0.5,),)}, "factors of 1 or more"),
        ({"scales": ()}, "factors of 1 or more"),
        ({"scales": ((2,), ())}, "factors of 1 or more"),
        ({"scales": (2, 3)}, "a sequence of them for each round, such as"),
        ({"steps": 0}, "steps: expected a whole number"),
        ({"copies": 1.5}, "copies: expected a whole number"),
        ({"start": "guess"}, "start: expected one of auto, total_variation, wiener"),
        ({"noise": None}, "noise: expected 'auto' or a Noise"),
        ({"coarse": -1}, "coarse: expected 0 to 1000 pixels"),
        ({"scales": ((2,), (4, 5))}, "expected 96 or more pixels"),
    ],
)
def test_what_cannot_be_used_is_an_error(options, words):
    with pytest.raises(ValueError, match=words):
        self_scale(np.random.default_rng(0).random((64, 64)), PSF, **options)


def test_noise_that_leaves_the_range_far_is_learned_from():
    noise = Noise(gaussian=0.4, clip=False)
    image = degrade(load_sample("nuclei")[:80, :80], PSF, Noise(gaussian=0.05))
    assert np.isfinite(self_scale(image, PSF, noise=noise, **QUICK)).all()


def test_each_round_has_its_scales(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "siamdecon.methods.self_scale.downsample",
        lambda x, s, c: seen.append(s) or downsample(x, s, c),
    )
    image = degrade(load_sample("nuclei")[:70, :70], PSF, Noise(gaussian=0.05))
    # a third of 70 pixels is too small to be learned from
    self_scale(image, PSF, **{**QUICK, "scales": ((2, 3), (1.5,)), "copies": 2})
    assert seen == [2, 2, 1.5, 1.5]


@pytest.mark.parametrize("peak", [2, 5, 30])
@pytest.mark.parametrize("name", ["cell", "filaments", "histology"])
def test_few_photons_keep_their_light(name, peak):
    """PPN2V#8, n2v#74: photons on black were taken for impulses, and the image came back black."""
    mean = blur(load_sample(name)[:96, :96], paper_psf(2)).clip(0)
    counts = np.random.default_rng(0).poisson(peak * mean)
    restored = deconvolve(counts, paper_psf(2), "self_scale", tier="test", progress=False)
    assert restored.noise.salt_and_pepper == 0
    assert restored.image.sum() == pytest.approx(counts.sum(), rel=0.02)


@pytest.mark.parametrize("peak", [2, 5, 30])
def test_photon_noise_is_found_where_most_pixels_have_no_photon(peak):
    """The dark pixels, whose signal a blurred estimate can't tell from 0, outweighed all others."""
    mean = blur(load_sample("filaments")[:128, :128], paper_psf(2)).clip(0)
    counts = np.random.default_rng(0).poisson(peak * mean)
    found = find_noise(counts / counts.max(), paper_psf(2))
    assert found.poisson == pytest.approx(1 / counts.max(), rel=0.25)
