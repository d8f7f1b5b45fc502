"""The one call: every method, every kind of image, settings that repeat, errors before any work."""

import json
import os

import numpy as np
import pytest
import torch

import siamdecon
from siamdecon import LossWeights, deconvolve, load_sample, paper_psf, read_image, richardson_lucy
from siamdecon.files.images import Image
from siamdecon.files.phantoms import filaments
from siamdecon.methods import METHODS
from siamdecon.methods.siamese import Noise2SameD
from siamdecon.network.inference import predict
from siamdecon.network.patches import random_patches
from siamdecon.restoration import check_output

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6
CLEAN = load_sample("vesicles")[:60, :52]
CLEAN = (CLEAN - CLEAN.min()) / (CLEAN.max() - CLEAN.min())
VOLUME = filaments((10, 20, 24), 1)


@pytest.fixture(autouse=True)
def test_tier(monkeypatch):
    monkeypatch.setenv("SIAMDECON_TIER", "test")


def restore(image=CLEAN, psf=PSF, method="noise2same_d", **options):
    return deconvolve(image, psf, method, progress=False, **options)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_restores_a_plane_and_repeats(method):
    first, second = restore(method=method), restore(method=method)
    assert first.image.shape == CLEAN.shape
    assert first.image.dtype == np.float32
    assert np.isfinite(first.image).all()
    np.testing.assert_array_equal(first.image, second.image)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_restores_a_volume(method):
    volume = np.random.default_rng(0).uniform(size=(18, 40, 44))
    result = restore(volume, np.ones((3, 3, 3)) / 27, method)
    assert result.image.shape == volume.shape


def test_another_seed_is_another_image():
    assert not np.array_equal(restore().image, restore(seed=1).image)


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "noise2same_d"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_keep_their_range(method, dtype):
    top = {np.uint8: 255, np.uint16: 4095}[dtype]
    image = np.rint(CLEAN * top).astype(dtype)
    scaled = restore(image, method=method).image
    # nothing is clipped at the brightest value measured: blur has lowered the peaks
    options = {} if method.startswith("noise") else {"clip": False}
    unit = restore((image / np.float32(top)).clip(0, 1), method=method, **options).image
    np.testing.assert_allclose(scaled / top, unit, atol=1e-5)


def test_a_camera_offset_comes_back():
    image = 100 + 50 * CLEAN
    result = restore(image, method="richardson_lucy", iterations=3)
    expected = 100 + 50 * richardson_lucy(CLEAN, PSF, 3, clip=False)
    np.testing.assert_allclose(result.image, expected, atol=50 * 1e-3)


def test_the_residual_is_measurement_minus_blurred_estimate():
    from scipy.signal import convolve2d

    result = restore(method="wiener")
    expected = CLEAN - convolve2d(result.image, PSF, mode="same", boundary="symm")
    np.testing.assert_allclose(result.residual, expected, atol=1e-5)


def test_options_reach_the_method():
    direct = richardson_lucy(CLEAN, PSF, 3, prefilter="median", clip=False)
    result = restore(method="richardson_lucy", iterations=3, prefilter="median")
    np.testing.assert_allclose(result.image, direct, atol=1e-6)
    weights = LossWeights.noise2same_d(lambda_inv_d=5)
    run = restore(weights=weights, steps=3, features=6).run
    assert run.config.weights == weights
    assert (run.step, run.model.first.out_channels) == (3, 6)


def test_the_settings_name_everything_that_was_used():
    settings = restore(seed=3).settings
    assert (settings["method"], settings["tier"], settings["seed"]) == ("noise2same_d", "test", 3)
    assert settings["training"]["weights"]["lambda_inv_d"] == 2
    assert (
        settings["training"]["steps"]
        == settings["steps_done"]
        == Noise2SameD.size("test", 2)["steps"]
    )
    assert settings["versions"]["torch"] == torch.__version__
    assert settings["image"]["shape"] == list(CLEAN.shape)
    json.dumps(settings)


def test_a_callback_sees_every_step_and_the_history_every_loss():
    steps = []
    result = restore(callback=lambda run: steps.append(run.step))
    assert steps == [1, 2, 3, 4]
    assert result.history.names() == ("total", "rec", "inv_d", "bound_d")
    iterations = []
    restore(method="richardson_lucy", iterations=3, callback=lambda i, x: iterations.append(i))
    assert iterations == [1, 2, 3]


def test_an_interrupted_run_gives_a_partial_result():
    def stop(run):
        if run.step == 2:
            raise KeyboardInterrupt

    result = restore(callback=stop)
    assert result.settings["interrupted"]
    assert result.settings["steps_done"] == 2
    assert np.isfinite(result.image).all()


def test_a_method_with_a_network_of_its_own_records_its_losses_and_can_be_interrupted():
    seen = {}

    def stop(i, estimate):
        seen[i] = estimate
        if i == 1:
            raise KeyboardInterrupt

    small = {"scales": ((2,), (1.5,)), "steps": 3, "clip": True}
    whole = restore(method="self_scale", **small)
    assert len(whole.history) == whole.settings["steps_done"] == 6
    assert not whole.settings["interrupted"]
    assert np.isfinite(whole.history["total"]).all()
    half = restore(method="self_scale", callback=stop, **small)
    assert half.settings["interrupted"] and half.settings["steps_done"] == len(half.history) == 3
    np.testing.assert_array_equal(half.image, seen[1])
    np.testing.assert_array_equal(half.history["total"], whole.history["total"][:3])


def test_an_interrupted_ssi_returns_what_it_has_reached(monkeypatch):
    taken = []

    def interrupted(patches, *args):
        taken.append(1)
        if len(taken) == 3:
            raise KeyboardInterrupt
        return random_patches(patches, *args)

    monkeypatch.setattr("siamdecon.methods.ssi.random_patches", interrupted)
    result = restore(method="ssi")
    assert result.settings["interrupted"] and result.settings["steps_done"] == 2
    assert len(result.history) == 2 and np.isfinite(result.image).all()


def test_flips_are_averaged_over_the_kernels_symmetries():
    """The average commutes with the symmetries that it runs over, a single pass does not."""
    run = restore().run
    average = predict(run, CLEAN, PSF)
    turned = predict(run, np.ascontiguousarray(CLEAN[::-1].T), PSF)
    np.testing.assert_allclose(turned, average[::-1].T, atol=2e-3)
    single = predict(run, CLEAN, PSF, average_flips=False)
    turned = predict(run, np.ascontiguousarray(CLEAN[::-1].T), PSF, average_flips=False)
    assert abs(turned - single[::-1].T).max() > 1e-2


def test_tiles_that_overlap_leave_less_of_a_seam_than_tiles_that_touch():
    image = load_sample("vesicles")[:192, :192]
    run = restore(image, steps=20).run
    whole = predict(run, image, PSF, average_flips=False)
    overlapping = predict(run, image, PSF, average_flips=False, tile=96)  # by 32
    touching = np.empty_like(whole)
    for y in (0, 96):
        for x in (0, 96):
            quarter = np.s_[y : y + 96, x : x + 96]
            touching[quarter] = predict(run, image[quarter], PSF, average_flips=False)
    seam = abs(np.diff(touching - whole, axis=0))[95].mean()
    assert abs(np.diff(overlapping - whole, axis=0))[95].mean() < 0.3 * seam
    np.testing.assert_allclose(overlapping[:32, :32], whole[:32, :32], atol=0.02)


@pytest.mark.parametrize("shape", [(30, 26), (5, 18, 40)])
def test_an_image_smaller_than_a_patch_trains_a_network(shape):
    result = restore(filaments(shape, 1), np.ones((3,) * len(shape)) / 3 ** len(shape))
    assert result.image.shape == shape
    assert np.isfinite(result.image).all()


def test_a_stack_is_not_turned_out_of_its_planes():
    """The kernel alone would allow it; the voxels do not."""
    cube, volume = np.ones((3, 3, 3)) / 27, filaments((20, 20, 20), 1)
    flat, equal = (Image(volume, "ZYX", size) for size in ((0.5, 0.1, 0.1), (0.1, 0.1, 0.1)))
    runs = [restore(image, cube).run for image in (flat, equal)]
    assert runs[0].config.voxel_size == (0.5, 0.1, 0.1)
    assert not np.array_equal(runs[0].history["total"], runs[1].history["total"])


def test_a_wide_kernel_changes_the_padding():
    """A 17-pixel kernel in a 32-pixel patch leaves "valid" half of it; a wider one would leave less."""
    assert restore(psf=np.ones((15, 15)) / 225).run.config.padding == "valid"
    assert restore(psf=np.ones((25, 25)) / 625).run.config.padding == "replicate"


def test_save_writes_the_image_and_every_setting(tmp_path):
    source = Image(np.rint(CLEAN * 4000).astype(np.uint16), "YX", (0.2, 0.2))
    result = restore(source, method="wiener")
    path = result.save(tmp_path / "out.tif")
    saved = read_image(path)
    np.testing.assert_array_equal(saved.data, result.image)
    assert saved.axes == "YX"
    assert saved.voxel_size == pytest.approx((0.2, 0.2))
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["method"] == "wiener"
    assert record["versions"]["siamdecon"] == siamdecon.__version__
    assert sorted(os.listdir(tmp_path)) == ["out.json", "out.tif"]
    integers = read_image(result.save(tmp_path / "integers.tif", dtype="source"))
    assert integers.dtype == np.uint16
    np.testing.assert_allclose(integers.data, result.image.clip(min=0), atol=0.5)


@pytest.mark.parametrize("taken", ["out.tif", "out.json"])
def test_save_replaces_nothing_unasked(tmp_path, taken):
    (tmp_path / taken).write_text("precious")
    result = restore(method="wiener")
    with pytest.raises(FileExistsError, match=taken):
        result.save(tmp_path / "out.tif")
    assert os.listdir(tmp_path) == [taken]
    assert (tmp_path / taken).read_text() == "precious"
    result.save(tmp_path / "out.tif", overwrite=True)


def test_dtypes_by_any_name(tmp_path):
    """A comma was a SyntaxError, q a riddle of the Zarr library, and another byte order was refused."""
    source = Image((200 * CLEAN).astype(">u2"), "YX")
    for dtype, found in ((">u2", "u2"), ("source", "u2"), ("q", "i8"), (">f4", "f4")):
        name = "a.zarr" if dtype == "q" else "a.ome.tif"
        got = check_output(tmp_path / name, source, dtype, False)
        assert (got.str, got.char) == (np.dtype(found).str, np.dtype(found).char)
    for dtype in (",", "(", "no such", "2u2"):
        with pytest.raises(ValueError, match="dtype: expected float32, source, or an integer"):
            check_output(tmp_path / "a.tif", source, dtype, False)


def test_a_png_takes_the_dtype_of_the_source(tmp_path):
    result = restore(np.rint(CLEAN * 255).astype(np.uint8), method="wiener")
    assert read_image(result.save(tmp_path / "out.png")).dtype == np.uint8


def spot(n_dim, n=9):
    """A bright pixel with its neighbours, in the middle."""
    kernel = np.pad(np.ones((3,) * n_dim), n // 2 - 1)
    return kernel / kernel.sum()


BAD = {
    "NaN": ({"image": np.full((40, 40), np.nan)}, "1600 NaN or infinite pixels of 1600"),
    "infinite": ({"image": np.where(CLEAN > 0.9, np.inf, CLEAN)}, "NaN or infinite pixels"),
    "constant": ({"image": np.ones((40, 40))}, "every pixel is 1"),
    "tiny": ({"image": CLEAN[:9, :9]}, r"16 or more pixels .* got \(9, 9\); a classical method"),
    "few planes": (
        {"image": VOLUME[:3], "psf": np.ones((3, 3, 3)) / 27},
        r"4 or more planes, .* got \(3, 20, 24\)",
    ),
    "thin PSF": (
        {"image": VOLUME, "psf": PSF[None]},
        r"3 planes or more .* \(1, 3, 3\); .*planes=",
    ),
    "PSF in the corner": (
        {"image": VOLUME, "psf": np.fft.ifftshift(spot(3))},
        r"around the middle, got it .* along z in shape \(9, 9, 9\); .* numpy.fft.fftshift",
    ),
    "PSF beside the middle": (
        {"psf": np.roll(spot(2), 3, axis=1)},
        r"got it \+3.0 pixels off along x",
    ),
    "colour": ({"image": np.zeros((40, 40, 3))}, "looks like colour; take one channel"),
    "4D": ({"image": np.zeros((2, 3, 40, 40))}, r"got shape \(2, 3, 40, 40\); pick one channel"),
    "complex": ({"image": CLEAN * 1j}, "expected real numbers, got dtype complex"),
    "negative PSF": ({"psf": PSF - 0.1}, "values of 0 or more, got a minimum of -0.1"),
    "zero PSF": ({"psf": np.zeros((3, 3))}, "expected a positive sum"),
    "NaN PSF": ({"psf": PSF * np.nan}, "psf: expected finite values"),
    "3D PSF": (
        {"psf": paper_psf(3)},
        r"expected 2 axes, as the image has, got shape \(17, 17, 17\)",
    ),
    "method": ({"method": "magic"}, "method: expected one of richardson_lucy, .*, got 'magic'"),
    "tier": ({"tier": "huge"}, "tier: expected one of test, lab, full, got 'huge'"),
    "renorm": ({"renorm": "yes"}, "renorm: expected True or False, got 'yes'"),
    "noise": ({"noise": 0.1}, "noise: expected 'auto', a Noise or None, got 0.1"),
    "option": ({"iterations": 3}, "noise2same_d has no option iterations; it takes batch_size,"),
    "classical option": (
        {"method": "wiener", "steps": 3},
        "wiener has no option steps; it takes balance, clip",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_error_before_any_work(case, monkeypatch):
    def no_work(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("siamdecon.methods.siamese.SiameseTraining", no_work)
    changes, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        restore(**changes)


def test_an_unnormalised_kernel_is_normalised_with_a_warning():
    with pytest.warns(UserWarning, match="normalised to sum 1, it was 6"):
        result = restore(psf=6 * PSF, method="wiener")
    np.testing.assert_allclose(result.image, restore(method="wiener").image, atol=1e-6)


def test_the_full_tier_is_the_papers():
    """One place says how big a run is, and the full tier is the paper's Section 2."""
    full = Noise2SameD.of_tier("full", 2, {})
    assert (full.features, full.config.steps, full.config.batch_size) == (96, 3000, 16)
    assert (full.config.patch_size, full.config.learning_rate) == (128, 4e-4)
    assert (full.config.schedule, full.config.halve_every) == ("step", 500)
    assert (full.average_flips, full.calibrate, full.noise) == (False, False, None)
    volume = Noise2SameD.of_tier("full", 3, {}).config
    assert (volume.steps, volume.batch_size, volume.patch_size) == (15000, 4, 64)
    assert volume.halve_every == 2000
    here = Noise2SameD.of_tier(None, 2, {})  # from the environment
    assert here == Noise2SameD.of_tier("test", 2, {})


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    restore()
    assert torch.equal(torch.rand(3), expected)


def test_an_image_without_noise_has_no_clipping_to_model():
    assert restore(np.where(CLEAN > 0.5, CLEAN, 0)).run.config.noise is None


@pytest.mark.parametrize(
    "option",
    [{"tile": 64}, {"checkpoint": "run.pt"}, {"average_flips": True}, {"calibrate": False}],
)
def test_what_only_a_network_has_is_not_ignored_by_a_classical_method(option):
    image = np.random.default_rng(0).random((40, 40))
    with pytest.raises(ValueError, match=f"{next(iter(option))}: wiener has no such choice"):
        deconvolve(image, np.ones((3, 3)) / 9, "wiener", **option)


# a rate that overflows float32 in the fused Adam's step, or one that a plain Adam still takes
@pytest.mark.parametrize(
    ("method", "rate"),
    [("noise2self", 1e38), ("noise2same_d", 1e38), ("self_scale", 1e38), ("ssi", 1e30)],
)
def test_a_training_that_diverges_says_so(method, rate):
    with pytest.raises(FloatingPointError, match="has diverged; try another seed, or in Python"):
        restore(method=method, learning_rate=rate)


@pytest.mark.parametrize("method", ["noise2same_d", "ssi", "self_scale"])
def test_the_settings_say_what_auto_has_become(method, monkeypatch):
    for native, name in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("siamdecon.hardware._cpu_has_bfloat16", lambda native=native: native)
        assert restore(method=method, device="cpu").settings["precision"] == name


def test_the_settings_say_what_none_has_become():
    assert restore().settings["tile"] >= 64
    assert restore(method="ssi").settings["options"]["batch_size"] == 8
    options = restore(method="self_scale", scales=None, steps=1).settings["options"]
    assert options["scales"] == ((1.5,),) and options["batch_size"] == 4  # the tier's


def test_numbers_of_numpy_are_numbers(tmp_path):
    sizes = {"steps": np.int64(2), "patch_size": np.int32(32), "features": np.int16(4)}
    for method in ("noise2self", "ssi", "self_scale"):
        result = restore(method=method, **sizes)
        assert result.settings["steps_done"] == 2
        result.save(tmp_path / f"{method}.tif")
        record = json.loads((tmp_path / f"{method}.json").read_text())
        assert record.get("training", record.get("options"))["patch_size"] == 32
