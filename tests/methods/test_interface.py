"""What every method must keep to: it runs over all of `METHODS`, and a new one is in it by its name."""

import inspect
import json

import numpy as np
import pytest
import torch

from siamdecon import deconvolve, load_sample
from siamdecon.files.phantoms import filaments
from siamdecon.hardware import to_array
from siamdecon.methods import METHODS
from siamdecon.methods.base import TIERS
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import exact

PSF = {2: np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6, 3: np.ones((3, 3, 3)) / 27}
CLEAN = load_sample("vesicles")[:60, :52]
IMAGE = {2: CLEAN / CLEAN.max(), 3: filaments((18, 40, 44), 1)}
EACH = pytest.mark.parametrize("method", METHODS)
BOTH = pytest.mark.parametrize("n_dim", (2, 3))
TRAINED = [name for name, kind in METHODS.items() if kind.sizes]


@pytest.fixture(autouse=True)
def test_tier(monkeypatch):
    monkeypatch.setenv("SIAMDECON_TIER", "test")


def restore(method, n_dim=2, **options):
    return deconvolve(IMAGE[n_dim], PSF[n_dim], method, progress=False, **options)


def fitted(method, n_dim, **options):
    problem = Problem.look(IMAGE[n_dim], PSF[n_dim], device="cpu")
    return METHODS[method].of_tier("test", n_dim, options).fit(problem, Watch()), problem


@EACH
@BOTH
def test_it_restores_and_repeats(method, n_dim):
    first, second = restore(method, n_dim), restore(method, n_dim)
    assert first.image.shape == IMAGE[n_dim].shape
    assert first.image.dtype == np.float32
    assert np.isfinite(first.image).all()
    np.testing.assert_array_equal(first.image, second.image)


@EACH
def test_another_seed_matters_where_something_is_trained(method):
    same = np.array_equal(restore(method).image, restore(method, seed=1).image)
    assert same == (method not in TRAINED)


@EACH
@BOTH
def test_its_estimator_is_what_the_one_call_uses(method, n_dim):
    estimator, problem = fitted(method, n_dim)
    with torch.inference_mode():
        whole = to_array(estimator.whole(problem.whole))
    expected = problem.restored_scale(whole).astype(np.float32)
    np.testing.assert_array_equal(restore(method, n_dim).image, expected)


@EACH
def test_every_option_can_be_given_and_no_other(method):
    kind = METHODS[method]
    usual = restore(method)
    recorded = usual.settings.get("options") or usual.settings["training"]
    for option in sorted(kind.option_names() & set(recorded)):
        value = recorded[option]
        if not isinstance(value, dict | str) or option in ("padding", "start", "schedule"):
            again = restore(method, **{option: value})
            np.testing.assert_array_equal(again.image, usual.image, err_msg=option)
    with pytest.raises(ValueError, match=f"{method} has no option magic; it takes "):
        restore(method, magic=1)
    assert inspect.getdoc(kind)


@EACH
def test_the_settings_are_json(method):
    settings = json.loads(json.dumps(restore(method, seed=3).settings, default=str))
    assert (settings["method"], settings["seed"]) == (method, 3)
    assert ("steps_done" in settings) == (method in TRAINED)


@pytest.mark.parametrize("method", TRAINED)
def test_sizes_name_every_tier_and_both_dimensions(method):
    kind = METHODS[method]
    assert set(kind.sizes) == set(TIERS)
    for tier in TIERS:
        assert set(kind.sizes[tier]) == {2, 3}
        for n_dim in (2, 3):
            kind.of_tier(tier, n_dim, {})
    with pytest.raises(ValueError, match="tier: expected one of test, lab, full, got 'huge'"):
        kind.of_tier("huge", 2, {})


@pytest.mark.parametrize("method", TRAINED)
def test_an_interrupt_gives_what_has_been_reached(method):
    steps = {"steps": 60} if method == "ssi" else {}  # it reports after 50

    def stop(*seen):
        if len(seen) == 1 or seen[0] > 0:
            raise KeyboardInterrupt

    rounds = {"scales": ((2,), (1.5,))} if method == "self_scale" else {}
    result = restore(method, callback=stop, **steps, **rounds)
    assert result.settings["interrupted"]
    assert result.settings["steps_done"] == len(result.history)
    assert np.isfinite(result.image).all()


@pytest.mark.parametrize("method", [name for name, kind in METHODS.items() if kind.in_windows])
@BOTH
def test_windows_with_its_halo_are_the_whole(method, n_dim):
    """Each window shares none of its arithmetic with the whole but the function itself."""
    options = {}
    if method in TRAINED:
        options = {"precision": "float32", "calibrate": False, "stitch": "exact"}
    estimator, problem = fitted(method, n_dim, **options)
    x = problem.whole
    tile = 24 // estimator.stride * estimator.stride
    with torch.inference_mode():
        whole = estimator.restore(x)
        tiled = exact(estimator.restore, x, tile, estimator.halo, estimator.stride)
    scale = whole.abs().max().item()
    # some 40 layers of sums of up to 432 terms, each of which rounds by half an eps of its own size and
    # whose errors add up like a random walk: 40 * sqrt(432) / 2 eps
    assert (tiled - whole).abs().max().item() < 416 * np.finfo(np.float32).eps * scale
