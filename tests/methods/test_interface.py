"""What every method must keep to: it runs over all of `METHODS`, and a new one is in it by its name."""

import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from siamdecon import deconvolve, load_sample, read_image, write_image
from siamdecon.files.images import Image
from siamdecon.files.phantoms import filaments
from siamdecon.hardware import one_thread_each, to_array
from siamdecon.methods import METHODS
from siamdecon.methods.base import TIERS
from siamdecon.microscope.noise import Noise
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import TILE, blend, exact

PSF = {2: np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6, 3: np.ones((3, 3, 3)) / 27}
CLEAN = load_sample("vesicles")[:60, :52]
DOUBLE = CLEAN.astype(np.float64)
IMAGE = {2: CLEAN / CLEAN.max(), 3: filaments((18, 40, 44), 1)}
EACH = pytest.mark.parametrize("method", METHODS)
BOTH = pytest.mark.parametrize("n_dim", (2, 3))
TRAINED = [name for name, kind in METHODS.items() if kind.sizes and name != "auto"]


@pytest.fixture(autouse=True)
def test_tier(monkeypatch):
    monkeypatch.setenv("SIAMDECON_TIER", "test")


def restore(method, n_dim=2, **options):
    return deconvolve(IMAGE[n_dim], PSF[n_dim], method, progress=False, **options)


@one_thread_each()
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
@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_caller_has_set_of_gradients_and_autocast_changes_nothing(method, threads):
    expected, before = restore(method).image, torch.get_num_threads()
    autocast = torch.autocast("cpu", torch.bfloat16)
    try:
        torch.set_num_threads(threads)
        for context in (torch.no_grad(), torch.inference_mode(), autocast):
            with context:
                np.testing.assert_array_equal(restore(method).image, expected)
    finally:
        torch.set_num_threads(before)


@EACH
@pytest.mark.parametrize("noise", [None, Noise(gaussian=0.1)])
def test_a_result_can_go_to_another_process(method, noise):
    options = {"noise": noise} if "weights" in METHODS[method].option_names() else {}
    result = restore(method, **options)
    found = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(found.image, result.image)
    if result.run:
        x = torch.linspace(-1, 2, 99)
        assert torch.equal(found.run.response(x), result.run.response(x))


@EACH
@BOTH
def test_torchs_default_dtype_changes_nothing(method, n_dim):
    expected = restore(method, n_dim).image
    torch.set_default_dtype(torch.float64)
    try:
        found = restore(method, n_dim).image
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


def test_a_callback_may_train():
    expected, found = restore("noise2self").image, []

    def callback(step, _):
        weight = torch.ones(1, requires_grad=True)
        (2 * weight).backward()
        found.append((step, float(weight.grad), restore("noise2self").image))

    restore("richardson_lucy", iterations=2, callback=callback)
    assert [one[:2] for one in found] == [(1, 2.0), (2, 2.0)]
    for *_, image in found:
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("method", TRAINED)
def test_the_settings_say_how_small_the_tiles_have_become(method, monkeypatch):
    def limited(f, x, tile, overlap=32):
        if tile > 64:
            raise torch.OutOfMemoryError("full")
        return blend(f, x, tile, overlap)

    monkeypatch.setattr("siamdecon.tiles.blend", limited)
    monkeypatch.setitem(TILE, 2, 128)
    options = {"tile": 128} if "tile" in METHODS[method].choices else {}
    image = np.tile(IMAGE[2], (1, 4))
    with pytest.warns(UserWarning, match="tiles of 64 in place of 128"):
        found = deconvolve(image, PSF[2], method, progress=False, **options)
    assert found.settings["tile"] == 64


@EACH
def test_another_seed_matters_where_something_is_trained(method):
    same = np.array_equal(restore(method).image, restore(method, seed=1).image)
    assert same == (method not in TRAINED)


@EACH
@BOTH
@one_thread_each()
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


@EACH
def test_a_tier_that_is_none(method):
    with pytest.raises(ValueError, match="tier: expected one of test, lab, full, got 'huge'"):
        restore(method, tier="huge")


@EACH
@BOTH
def test_none_leaves_the_tiers_size(method, n_dim):
    """`features=None` trained the paper's 96 features in place of the tier's 16."""
    kind = METHODS[method]
    given = dict.fromkeys(name for name in kind.size("lab", n_dim) if name in kind.option_names())
    assert kind.of_tier("lab", n_dim, given) == kind.of_tier("lab", n_dim, {})


CLIPPED = [name for name in METHODS if "clip" in METHODS[name].option_names()]


@BOTH
@pytest.mark.parametrize("method", CLIPPED)
def test_clipped_on_request_it_keeps_to_the_range(method, n_dim):
    """Also where the measurement is not cut, and a contrast is fitted or light made up for."""
    noisy = 100 + 50 * IMAGE[n_dim] + np.random.default_rng(0).normal(0, 1, IMAGE[n_dim].shape)
    found = deconvolve(noisy, PSF[n_dim], method, clip=True, limits=(None, None), progress=False)
    rounding = np.finfo(np.float32).eps * noisy.max()
    assert noisy.min() - rounding <= found.image.min()
    assert found.image.max() <= noisy.max() + rounding


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


def camera(n_dim, peak=500, offset=100):
    """Counts of an offset camera, as whole numbers."""
    rng, signal = np.random.default_rng(0), IMAGE[n_dim] / IMAGE[n_dim].max()
    return (offset + rng.poisson(peak * signal) + rng.normal(0, 3, signal.shape)).round()


def of(image, method, **options):
    psf = PSF[image.ndim]
    return deconvolve(image, psf, method, progress=False, **options).image.astype(np.float64)


@EACH
@BOTH
def test_the_unit_of_an_image_does_not_matter(method, n_dim):
    """scikit-image#2551, #7477, deconwolf#78: the same numbers in any dtype give the same bits."""
    image = camera(n_dim)
    expected = of(image, method)
    for dtype in ("u2", ">u2", "i4", "f4", ">f8"):
        np.testing.assert_array_equal(of(image.astype(dtype), method), expected)
    for gain in (2.0, 2.0**-12):  # powers of two: no rounding
        np.testing.assert_array_equal(of(gain * image, method), gain * expected)


@EACH
@BOTH
def test_gain_and_offset_are_those_of_the_result(method, n_dim):
    """f(a x + b) = a f(x) + b."""
    image = camera(n_dim)
    expected, contrast = of(image, method), np.ptp(image)
    for a, b in (
        (1 / np.ptp(image), 0.0),
        (1.02 / np.ptp(image), 0.3),
        (30.0, -5000.0),
        (0.01, 1e4),
    ):
        moved = (of(a * image + b, method) - b) / a
        # the result is float32: half a unit of its last place, in units of the image
        rounding = np.spacing(np.float32(abs(b) + a * np.abs(expected).max())) / a
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-4 * contrast + rounding)


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "total_variation"])
def test_a_large_offset_does_not_round_the_result(method, tmp_path):
    """At 1e9 two neighbours in float32 are 64 apart."""
    image = camera(2).astype(np.uint32)
    plain = deconvolve(image, PSF[2], method)
    high = deconvolve(image + np.uint32(10**9), PSF[2], method)
    assert (plain.image.dtype, high.image.dtype) == (np.float32, np.float64)
    rounding = np.spacing(np.float32(plain.image.max()))
    np.testing.assert_allclose(high.image - 1e9, plain.image, rtol=0, atol=rounding)
    np.testing.assert_allclose(high.residual, plain.residual, rtol=0, atol=4 * rounding)
    with pytest.raises(ValueError, match="would be rounded to few; save it as float32"):
        high.save(tmp_path / "a.tif")
    high.save(tmp_path / "a.tif", dtype="source")
    written = np.asarray(read_image(tmp_path / "a.tif")).astype(np.float64)
    np.testing.assert_allclose(written, high.image, rtol=0, atol=0.5)


@EACH
@BOTH
def test_a_defective_pixel_changes_nothing_beyond_its_reach(method, n_dim, recwarn):
    """spatialdata-plot#725: RMSE rose eightfold, far away from the pixel."""
    image = camera(n_dim)
    hot = image.copy()
    place = (3,) * n_dim
    hot[place] = 65535
    # beyond what a small kernel and the largest network here reach
    far = np.ones(image.shape, bool)
    far[(slice(None),) * (n_dim - 2) + (slice(0, 30),) * 2] = False
    expected, found = of(image, method), of(hot, method)
    difference = (found - expected)[far]
    assert np.sqrt(np.mean(difference**2)) < 0.01 * np.ptp(image)
    assert [str(w.message)[:21] for w in recwarn] == [f"image: 1 of {image.size} pixels"[:21]]


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "total_variation", "self_scale"])
@BOTH
@pytest.mark.parametrize(("peak", "background"), [(2, 0), (30, 1)])
def test_no_light_of_photon_counts_is_lost_or_made(method, n_dim, peak, background):
    """Total variation lost 11 % of 2 photons in 3D; networks are held to the light of the middle."""
    signal = IMAGE[n_dim] / IMAGE[n_dim].max()
    counts = np.random.default_rng(0).poisson(peak * signal + background)
    assert of(counts, method).sum() == pytest.approx(counts.sum(), rel=0.02)


@EACH
@pytest.mark.parametrize("limits", [(0, 4095), (None, None), (90, None)])
def test_the_limits_of_the_camera_can_be_said(method, limits):
    result = deconvolve(camera(2), PSF[2], method, limits=limits, progress=False)
    assert np.isfinite(result.image).all()
    low = camera(2).min() if limits[0] is None else limits[0]
    assert result.settings["range"][0] == low


@EACH
def test_the_white_of_a_camera_that_a_dim_image_does_not_reach_changes_nothing(method):
    """The unit of the network and of the noise was a hundred times the image's range."""
    found = [
        deconvolve(camera(2), PSF[2], method, limits=(None, white), progress=False).image
        for white in (None, 65535)
    ]
    np.testing.assert_array_equal(*found)


def test_what_numpy_reads_is_an_image():
    """Tensors of any kind, Dask arrays, and whatever else has __array__."""
    import dask.array

    image = camera(2).astype(np.float32)
    expected = of(image, "wiener")
    for given in (
        torch.from_numpy(image).requires_grad_(),
        torch.from_numpy(image).to(torch.bfloat16),  # counts below 256 are whole in it
        torch.from_numpy(image).to_sparse(),
        dask.array.from_array(image, chunks=16),
        np.ma.array(image),
        memoryview(image),
    ):
        found = deconvolve(given, PSF[2], "wiener").image
        exact = not (isinstance(given, torch.Tensor) and given.dtype == torch.bfloat16)
        np.testing.assert_allclose(found, expected, atol=0 if exact else 4)


def test_a_masked_array_is_refused(tmp_path):
    """astropy#8136, numpy#6458: the mask was dropped in silence."""
    import dask.array

    image = np.ma.masked_greater(camera(2), 500)
    for given in (image, dask.array.from_array(image, chunks=16)):
        with pytest.raises(ValueError, match="image: expected pixels without a mask, got"):
            deconvolve(given, PSF[2], "wiener")
    for use in (lambda: Image(image, "YX"), lambda: write_image(tmp_path / "a.tif", image)):
        with pytest.raises(ValueError, match="expected pixels without a mask"):
            use()


@pytest.mark.parametrize("none", [Path("cells.tif"), "cells.tif", None])
def test_a_path_is_no_image(none):
    for given in ((none, PSF[2]), (camera(2), none)):
        with pytest.raises(
            ValueError, match=r"expected an array, .*read a file by siamdecon.read_image"
        ):
            deconvolve(*given, "wiener")


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3)])
def test_a_seed_is_any_whole_number(seed):
    expected = restore("ssi", seed=3)
    found = restore("ssi", seed=seed)
    np.testing.assert_array_equal(found.image, expected.image)
    json.dumps(found.settings)


@pytest.mark.parametrize("seed", [-1, 2.5, "3", None, True, 2**64])
def test_a_seed_that_is_none(seed):
    with pytest.raises(ValueError, match="seed: expected a whole number of 0 or more"):
        restore("ssi", seed=seed)


@EACH
@BOTH
def test_the_image_is_the_same_on_any_number_of_threads(method, n_dim):
    """Issue: "on a CPU the same seed gives the same image" was false across thread counts."""
    before, found = torch.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 4, 8):
            torch.set_num_threads(threads)
            found[threads] = restore(method, n_dim).image
    finally:
        torch.set_num_threads(before)
    for threads, image in found.items():
        np.testing.assert_array_equal(image, found[1], err_msg=f"{threads} threads")


def test_the_image_is_the_same_whatever_the_process_may_use():
    """Each in a process of its own: the threads that the user allows, and the cores that the system does."""
    code = """
import hashlib, os, sys
if sys.argv[1] == "one core" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
from siamdecon import deconvolve, degrade, load_sample, paper_psf
from siamdecon.methods import METHODS
psf = paper_psf(2)
noisy = degrade(load_sample("cell")[:72, :80], psf)
images = [deconvolve(noisy, psf, method, progress=False).image for method in METHODS]
print(hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest())
"""
    found = set()
    for name, threads in (("one core", None), ("all cores", "1"), ("all cores", "3")):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        environment |= {"OMP_NUM_THREADS": threads} if threads else {}
        command = [sys.executable, "-W", "ignore", "-c", code, name]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("noise2same", "learning_rate", {}),
        ("noise2same", "ema_decay", []),
        ("noise2same", "weights", {"lambda_rec": 1}),
        ("noise2same", "mask_sigma", "3"),
        ("noise2same", "padding", {}),
        ("noise2same", "mask_percent", 1e-9),  # a mask of 100 GB
        ("noise2same", "patch_size", 2),  # of which the lowest level would see nothing
        ("total_variation", "weight", "3"),
        ("wiener", "balance", {}),
        ("self_scale", "coarse", 1e6),  # no answer in 20 s
        ("self_scale", "scales", (("2",),)),
        ("self_scale", "learning_rate", float("nan")),
        ("ssi", "learning_rate", -1),
        ("richardson_lucy", "prefilter", {}),
        ("auto", "methods", 5),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_option(method, option, value):
    with pytest.raises(ValueError, match=f"^{option}: expected"):
        restore(method, **{option: value})


@pytest.mark.parametrize("device", [2.5, ["cpu"]])
def test_a_device_that_is_none(device):
    with pytest.raises(ValueError, match=r"^device: expected"):
        restore("wiener", device=device)


@pytest.mark.parametrize(
    ("image", "limits", "name"),
    [
        (DOUBLE * 1e308, None, "image: expected values within"),
        (DOUBLE * 1e-40, None, "image: expected a contrast"),
        (DOUBLE, (-1e30, 1e30), "limits: expected levels"),
        (DOUBLE, (0, 1e-30), "limits: expected levels"),
    ],
)
def test_what_float32_cannot_show_is_refused(image, limits, name):
    """It came back flat or infinite."""
    with pytest.raises(ValueError, match=f"^{name}"):
        deconvolve(image, PSF[2], "wiener", limits=limits)
