"""Choosing a method by pixels that it has not seen."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy.ndimage import convolve

from siamdecon import Noise, compare, deconvolve, degrade, load_sample, paper_psf, score
from siamdecon.hardware import to_tensor
from siamdecon.inspection import Comparison
from siamdecon.methods import METHODS
from siamdecon.methods.auto import STRONGEST, HeldOut, chosen, hold_out, judge
from siamdecon.methods.base import Method
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator

CLEAN = load_sample("nuclei")[:128, :144]
PSF = paper_psf(2)


@pytest.fixture
def known():
    """A method that returns an estimate that it is told, and is gone after the test."""

    @dataclass(frozen=True)
    class Known(Method):
        name: ClassVar = "known"
        estimate: np.ndarray | None = None

        def fit(self, problem, watch):
            seen = problem.whole if self.estimate is None else to_tensor(self.estimate)
            return Estimator(lambda _: seen)

    yield Known
    del METHODS["known"]


@pytest.mark.parametrize(("shape", "step"), [((13, 18), 4), ((7, 9, 10), 3), ((1, 16), 4)])
def test_only_the_grid_is_replaced_by_the_median_of_what_surrounds_it(shape, step):
    x = np.random.default_rng(0).random(shape)
    seen, grid = hold_out(x)
    hidden = np.zeros(shape, bool)
    hidden[grid] = True
    assert np.array_equal(seen[~hidden], x[~hidden])
    assert hidden.sum() == np.prod([-(-(n - min(step // 2, n - 1)) // step) for n in shape])
    for place in np.argwhere(hidden):
        near = tuple(slice(p - 1, p + 2) for p in place)
        if all(0 < p < n - 1 for p, n in zip(place, shape, strict=True)):
            around = np.delete(x[near].ravel(), 3 ** len(shape) // 2)
            # of an even number, the filter takes the upper one of the middle two
            assert seen[tuple(place)] == np.sort(around)[len(around) // 2]


def test_the_truth_leaves_the_noise_and_nothing_predicts_better(known):
    """Even behind a camera that cuts at black and white, whose mean is not the light's."""
    noisy = degrade(CLEAN, PSF, Noise(gaussian=0.1), seed=1)
    problem = Problem.look(noisy, PSF, limits=(0, 1), device="cpu")
    truth = judge(problem, known(CLEAN), Watch())
    blurred = convolve(CLEAN.astype(float), PSF, mode="reflect")
    expected = np.square(noisy - Noise(gaussian=0.1).mean(blurred))[hold_out(noisy)[1]][4:-4, 4:-4]
    # the noise is found from the image, to some per cent
    assert truth.score == pytest.approx(expected.mean(), rel=0.02)
    for wrong in (0.9 * CLEAN, np.roll(CLEAN, 1, axis=1), CLEAN + 0.05):
        more, error = judge(problem, known(wrong), Watch()).behind(truth)
        assert more > 2 * error


def test_what_is_wrong_near_the_border_only_does_not_count(known):
    """There an estimate explains the light of what lies beyond: a benchmark's zeros, or other cells."""
    noisy = degrade(CLEAN, PSF, Noise(gaussian=0.1), seed=1)
    problem = Problem.look(noisy, PSF, limits=(0, 1), device="cpu")
    frame = np.ones_like(CLEAN)
    frame[8:-8, 8:-8] = CLEAN[8:-8, 8:-8]  # half a kernel wide; its blur reaches as far again
    truth, bright = (judge(problem, known(image), Watch()).errors for image in (CLEAN, frame))
    rounding = np.finfo(np.float32).eps * np.log2(CLEAN.size)  # of a transform of values up to 1
    assert abs(np.sqrt(truth) - np.sqrt(bright)).max() <= rounding
    small = Problem.look(noisy[:20, :20], PSF, limits=(0, 1), device="cpu")
    assert judge(small, known(CLEAN[:20, :20]), Watch()).errors.shape == (9,)  # of 25


def test_a_method_that_returns_the_noise_does_not_see_what_it_is_judged_by(known):
    """Without blur the measurement explains itself wholly; the held-out pixels tell."""
    noisy = degrade(CLEAN, np.ones((1, 1)), Noise(gaussian=0.1, clip=False), seed=1)
    problem = Problem.look(noisy, np.ones((1, 1)), device="cpu")
    truth = judge(problem, known((CLEAN - problem.low) / (problem.high - problem.low)), Watch())
    itself = judge(problem, known(), Watch())
    more, error = itself.behind(truth)
    assert itself.score > 0 and more > 5 * error


def test_the_standard_error_is_that_of_paired_differences():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 4000) ** 2
    a, b = HeldOut("a", noise, 0.0), HeldOut("b", noise + rng.normal(0.1, 0.2, 4000), 0.0)
    more, error = b.behind(a)
    assert abs(more - 0.1) < 3 * error and error == pytest.approx(0.2 / np.sqrt(4000), rel=0.1)


def test_compare_ranks_and_auto_takes_the_first():
    noisy = degrade(CLEAN, PSF, seed=1)
    names = ("wiener", "richardson_lucy", "total_variation")
    found = compare(noisy, PSF, names, limits=(0, 1), progress=False)
    scores = [one.score for one in found.held_out]
    assert scores == sorted(scores) and {one.method for one in found.held_out} == set(names)
    best = deconvolve(noisy, PSF, "auto", methods=names, limits=(0, 1), progress=False)
    assert best.settings["chosen"] == found.best == "total_variation"
    assert best.settings["held_out"] == {one.method: one.score for one in found.held_out}
    np.testing.assert_array_equal(best.image, found.images[found.best])
    psnr = {name: score(CLEAN, image)["psnr"] for name, image in found.images.items()}
    assert max(psnr, key=psnr.get) == found.best
    for name in names:
        assert found.residuals[name].std() < noisy.std()
    table = str(found).splitlines()
    assert len(table) == 4 and table[1].startswith("total_variation ")
    assert found.picture().shape == (2 * 132, 4 * 148)


def test_a_comparison_without_an_error_is_shown():
    # a held-out part without light can be predicted exactly; a share of no error is no number
    exact, other = HeldOut("wiener", np.zeros(4), 1.0), HeldOut("ssi", np.ones(4), 1.0)
    table = str(Comparison([exact, other], {}, {}, None, 1.0)).splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["wiener", "0"], ["ssi", "1"]]


def test_the_strongest_are_in_the_order_of_their_scores():
    """The table is held against the measured rows by tests/course/test_documentation.py."""
    page = (Path(__file__).parents[2] / "docs" / "choose.md").read_text()
    rows = re.findall(r"^\| (.*?) \| (\d\d\.\d\d) / ", page, re.MULTILINE)
    named, best = "", {}
    for cell, psnr in rows:
        found = re.match(r"`(\w+)`", cell)
        named = found[1] if found else named  # "the same", with another option
        best[named] = max(float(psnr), best.get(named, 0))
    assert sorted(best, key=best.get, reverse=True) == list(STRONGEST)


def test_what_the_pixels_can_not_tell_apart_the_benchmark_decides():
    assert sorted(STRONGEST) == sorted(set(METHODS) - {"auto"})
    noise, spread = np.random.default_rng(0).random(100), np.tile([0.01, -0.01], 50)
    first = HeldOut("wiener", noise, 0.0)  # the standard error of a difference is 0.001
    near = HeldOut("self_scale", noise + spread + 0.0029, 0.0)
    far = HeldOut("self_scale", noise + spread + 0.0031, 0.0)
    assert chosen([first, near]) is near and chosen([near, first]) is near
    assert chosen([first, far]) is first and chosen([far, first]) is first
    own = HeldOut("van_cittert", noise, 0.0)  # a user's method, on which the benchmark is silent
    assert chosen([own, first]) is first and chosen([own, far]) is own


@pytest.mark.parametrize("methods", [(), ("magic",), ("auto",), ("wiener", 3)])
def test_what_can_not_be_compared_is_refused(methods):
    with pytest.raises(ValueError, match="methods: expected one or more of richardson_lucy"):
        compare(CLEAN, PSF, methods, progress=False)
    with pytest.raises(ValueError, match="methods: expected one or more of richardson_lucy"):
        deconvolve(CLEAN, PSF, "auto", methods=methods, progress=False)


@pytest.mark.parametrize("shape", [(30, 30), (10, 300)])
def test_a_default_candidate_that_does_not_take_the_image_is_left_out(shape, monkeypatch):
    """`self_scale` refused a small image, with the advice to take wiener, after all the others' work."""
    monkeypatch.setenv("SIAMDECON_TIER", "test")
    image = np.random.default_rng(0).poisson(50 + 50 * np.indices(shape).sum(axis=0))
    kernel = np.ones((3, 3)) / 9
    with pytest.warns(UserWarning, match="self_scale is left out; image: expected 36 or more pix"):
        found = compare(image, kernel, progress=False)
    assert sorted(found.images) == ["richardson_lucy", "total_variation", "wiener"]
    with pytest.raises(ValueError, match="image: expected 36 or more pixels"):
        compare(image, kernel, ["wiener", "self_scale"], progress=False)
    monkeypatch.setenv("SIAMDECON_TIER", "lab")
    with pytest.warns(UserWarning, match="self_scale is left out"):
        result = deconvolve(image, kernel, "auto", progress=False)
    assert result.settings["chosen"] == found.best


def test_a_defective_pixel_does_not_decide():
    noisy = 1000 * degrade(CLEAN, PSF, Noise(gaussian=0.05, clip=False), seed=1) + 100
    grid = hold_out(noisy)[1]
    noisy[grid[0].start, grid[1].start] = 60000  # one that is held out
    names = ("wiener", "total_variation")
    with pytest.warns(UserWarning, match="1 of 18432 pixels stand out"):
        found = compare(noisy, PSF, names, progress=False)
    assert found.best == "total_variation" and found.held_out[0].score < 0.02
