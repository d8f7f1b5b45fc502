"""The GPU's path on a machine without one; `pretend_cuda` says what of it is real.

Its operations are the CPU's own kernels, called in the same order, and no part of this package computes
something else on a GPU. So there is nothing to round, and images and weights agree bit for bit.
"""

import inspect
import itertools
import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from siamdecon import (
    LossWeights,
    Noise,
    TrainingConfig,
    compare,
    deconvolve,
    deconvolve_file,
    read_image,
    train,
    wiener,
    write_image,
)
from siamdecon.cli import main
from siamdecon.files.phantoms import filaments
from siamdecon.hardware import autocast_dtype, one_thread_each, pick_device
from siamdecon.methods import METHODS
from siamdecon.methods.self_scale import ScalePairs, SelfScale
from siamdecon.methods.siamese import SiameseTraining
from siamdecon.methods.ssi import SSI, SSITraining
from siamdecon.methods.total_variation import TotalVariation
from siamdecon.microscope.convolution import PADDINGS
from siamdecon.network.inference import estimator_of, guess
from siamdecon.network.training import Training
from siamdecon.network.unet import UNet, seeded
from siamdecon.problem import Problem
from tests import test_gpu
from tests.pretend_cuda import OnDevice, PretendCuda, tf32_is_on

pytestmark = pytest.mark.filterwarnings("ignore:not enough memory")

RNG = np.random.default_rng(0)
# a kernel of few symmetries: each is a pass of the network
PSF = {
    2: np.array([[0, 1, 1], [1, 3, 1], [0, 2, 0]]) / 9,
    3: RNG.dirichlet(np.ones(27)).reshape(3, 3, 3),
}
IMAGE = {
    n_dim: np.clip(clean + RNG.normal(0, 0.1, clean.shape), 0, 1).astype(np.float32)
    for n_dim, clean in ((2, filaments((9, 44, 40), 0)[4]), (3, filaments((12, 40, 36), 1)))
}
BOTH = pytest.mark.parametrize("n_dim", [2, 3])
CPU = torch.device("cpu")
#: What takes the time out of a method and leaves its path: few iterations, no search for the noise.
QUICK = {
    "total_variation": {"iterations": 4},
    "self_scale": {"copies": 1, "noise": Noise(gaussian=0.1)},
    "noise2self": {"precision": "float32"},
    "noise2same": {"precision": "float32"},
    "noise2same_d": {"precision": "float32"},
}
#: A GPU on which convolutions run in the CPU's precision.
LIKE_CPU = (7, 0) if autocast_dtype(CPU) is None else (9, 0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("SIAMDECON_TIER", "test")
    short = partial(TotalVariation, None, 4)
    monkeypatch.setattr("siamdecon.methods.self_scale.TotalVariation", short)


def restore(method, n_dim, device, **options):
    options = QUICK.get(method, {}) | options
    return deconvolve(IMAGE[n_dim], PSF[n_dim], method, device=device, progress=False, **options)


@pytest.mark.parametrize("method", METHODS)
@BOTH
def test_every_method_gives_the_cpus_image(method, n_dim):
    expected = restore(method, n_dim, "cpu")
    with PretendCuda(LIKE_CPU) as gpu:
        found = restore(method, n_dim, None)  # a GPU that is there is taken
        losses = found.history and {name: found.history[name] for name in found.history.names()}
    np.testing.assert_array_equal(found.image, expected.image)
    for name in losses or ():
        np.testing.assert_array_equal(losses[name], expected.history[name])
    assert found.settings == expected.settings | {"device": "cuda"}
    assert gpu.allocations > 20 and gpu.tf32 <= {False}


@pytest.mark.parametrize("method", ["wiener", "self_scale", "noise2same_d", "ssi"])
@BOTH
def test_apples_gpu_is_taken_on_request_and_called_untested(method, n_dim):
    """It has no float64; the pretended one refuses it, as the real one does."""
    options = {"precision": "float32"} if method == "noise2same_d" else {}
    with PretendCuda(kind="mps"), pytest.warns(UserWarning, match="mps is untested"):
        found = restore(method, n_dim, "mps", **options)
    assert found.settings["device"] == "mps" and np.isfinite(found.image).all()
    assert found.settings.get("precision", "float32") == "float32"


@pytest.mark.parametrize("term", [name for name in vars(LossWeights.noise2same_d())])
@BOTH
def test_every_loss_trains_to_the_cpus_weights(term, n_dim):
    weights = LossWeights(**{term: 1.0})
    config = TrainingConfig(weights, 2, 2, 16, precision="float32", parts=2, ema_decay=0.9)
    config = TrainingConfig(**{**vars(config), "noise": Noise(gaussian=0.1)})
    expected = train(seeded(0, UNet, n_dim, 2), IMAGE[n_dim], PSF[n_dim], config, device="cpu")
    with PretendCuda():
        found = train(seeded(0, UNet, n_dim, 2), IMAGE[n_dim], PSF[n_dim], config, device="cuda")
        state = {name: value.cpu() for name, value in found.average.state_dict().items()}
    for name, value in expected.average.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize("padding", PADDINGS)
def test_every_padding_trains_to_the_cpus_weights(padding):
    psf = RNG.dirichlet(np.ones(9 * 21)).reshape(
        9, 21
    )  # wider than the patch: its margins are gathered one pixel at a time
    config = TrainingConfig(
        steps=2, batch_size=2, patch_size=24, padding=padding, precision="float32"
    )
    expected = train(seeded(0, UNet, 2, 2), IMAGE[2], psf, config, device="cpu")
    with PretendCuda():
        found = train(seeded(0, UNet, 2, 2), IMAGE[2], psf, config, device="cuda")
        weight = found.model.first.weight.cpu()
    assert torch.equal(weight, expected.model.first.weight)


@pytest.mark.parametrize(
    ("capability", "precision", "expected"),
    [
        ((9, 0), "auto", "bfloat16"),
        ((7, 5), "auto", "float16"),
        ((7, 5), "bfloat16", "bfloat16"),
        ((9, 0), "float32", "float32"),
    ],
)
def test_every_precision_trains(capability, precision, expected):
    with PretendCuda(capability) as gpu:
        found = restore("noise2same_d", 2, "cuda", precision=precision)
        assert found.run.scaler.is_enabled() == (expected == "float16")
        assert np.isfinite(found.history["total"]).all() and np.isfinite(found.image).all()
    assert found.settings["precision"] == expected
    assert gpu.tf32 == {False}


def test_the_switch_for_tf32_is_put_back():
    before = tf32_is_on()
    with one_thread_each():
        assert not tf32_is_on()
        with one_thread_each():
            assert not tf32_is_on()
        assert not tf32_is_on()
    assert tf32_is_on() == before


@pytest.mark.parametrize(
    "method", ["noise2self", "noise2same", "noise2same_d", "ssi", "self_scale"]
)
@pytest.mark.parametrize("capability", [(9, 0), (7, 5)])  # the second scales its loss
def test_no_step_waits_for_the_gpu(method, capability, monkeypatch):
    """But SSI's, whose schedule looks at the loss of the step before."""
    waits, step = [], Training.take_step

    def counted(run):
        before = gpu.waits
        step(run)
        waits.append(gpu.waits - before)

    monkeypatch.setattr(Training, "take_step", counted)
    options = {"precision": "auto"} if method.startswith("noise2") else {}
    with PretendCuda(capability) as gpu:
        restore(method, 2, "cuda", steps=4, **options)
    first, *others = waits
    assert others == [method == "ssi"] * 3
    assert first <= 1  # the kernel's transform is made there


@BOTH
def test_the_full_tier_restores_in_the_papers_tiles(n_dim, monkeypatch):
    """The start of its training, with the paper's network and a small batch; then tiles of 128."""
    tiles, image = [], np.tile(IMAGE[n_dim], (4, 4) if n_dim == 2 else (1, 4, 1))
    forward = UNet.forward

    def seen(network, x):
        if not network.training:
            tiles.append(tuple(x.shape[2:]))
            return x
        return forward(network, x)

    monkeypatch.setattr(UNet, "forward", seen)
    options = {"steps": 1, "batch_size": 1, "patch_size": 16, "tier": "full"}
    with PretendCuda() as gpu, pytest.MonkeyPatch.context() as memory:
        memory.setattr(torch.cuda, "mem_get_info", None)  # what is free decides nothing
        found = deconvolve(image, PSF[n_dim], device="cuda", progress=False, **options)
    assert found.settings["features"] == {2: 96, 3: 48}[n_dim] and gpu.tf32 <= {False}
    assert (found.settings["tile"], found.settings["stitch"]) == (128, "blend")
    counts = [math.ceil((m - 32) / (128 - 32)) if m > 128 else 1 for m in image.shape]
    assert tiles == [tuple(min(128, m) for m in image.shape)] * math.prod(counts)
    np.testing.assert_allclose(found.image, image, atol=1e-5)  # the network was the identity


def test_a_checkpoint_goes_from_the_gpu_to_the_gpu_and_to_the_cpu(tmp_path):
    config = TrainingConfig(
        steps=6, batch_size=2, patch_size=16, precision="float32", parts=2, ema_decay=0.9
    )

    def run(device, until, **how):
        def stop(training):
            if training.step == until:
                raise KeyboardInterrupt

        how |= {"callback": stop, "checkpoint_every": 1, "device": device}
        return train(seeded(0, UNet, 2, 2), IMAGE[2], PSF[2], config, **how)

    expected = run("cpu", None)
    saved = {"checkpoint": tmp_path / "run.pt"}
    with PretendCuda():
        assert run("cuda", 2, **saved).step == 2
    with PretendCuda():
        again = run("cuda", 4, **saved)
        assert again.step == 4 and isinstance(again.model.first.weight, OnDevice)
    found = run("cpu", None, **saved)
    assert torch.equal(found.average.module.first.weight, expected.average.module.first.weight)
    np.testing.assert_array_equal(found.history["total"], expected.history["total"])


def test_callbacks_and_the_live_view_see_a_run():
    from siamdecon.lab import LiveTraining

    seen, shown = [], LiveTraining(IMAGE[2])

    def look(training):
        shown(training)
        seen.append(guess(training, IMAGE[2]))

    with PretendCuda():
        restore("noise2same_d", 2, "cuda", callback=look)
        steps = []
        restore("richardson_lucy", 2, "cuda", iterations=2, callback=lambda i, x: steps.append(x))
        restore("ssi", 2, "cuda", callback=lambda i, x: steps.append(x))
        restore("self_scale", 2, "cuda", callback=lambda i, x: steps.append(x))
        found = compare(
            IMAGE[2], PSF[2], ("wiener", "richardson_lucy"), device="cuda", progress=False
        )
    assert len(seen) == 4 and shown.text.startswith("step 4 of 4, done")
    assert all(isinstance(x, np.ndarray) and x.shape == IMAGE[2].shape for x in (*seen, *steps))
    assert np.isfinite(found.images[found.best]).all()


@pytest.mark.parametrize("method", [name for name, kind in METHODS.items() if kind.in_windows])
@BOTH
def test_from_disk_to_disk(method, n_dim, tmp_path):
    path = write_image(tmp_path / "in.tif", IMAGE[n_dim])
    images = []
    for device in ("cpu", "cuda"):
        how = {"tile": 16, "device": device, "progress": False} | QUICK.get(method, {})
        with PretendCuda() as gpu:
            out = deconvolve_file(path, PSF[n_dim], tmp_path / f"{device}.tif", method, **how)
        assert (gpu.allocations > 50) == (device == "cuda")
        images.append(read_image(out).data)
    np.testing.assert_array_equal(*images)


# Memory: `full` lets it run out at one allocation after the other.


def full(work, gpu, lasting=False, every=1):
    """Yield what `work` gives or raises, if memory runs out at its first allocation, its second, ..."""
    for number in itertools.count(1, every):
        gpu.allocations, gpu.full_at, gpu.lasting = 0, number, lasting
        try:
            result = work()
        except MemoryError as error:
            result = error
        gpu.full_at = None
        if gpu.allocations < number:
            return
        yield result


def training(method, n_dim):
    problem = Problem.look(IMAGE[n_dim], PSF[n_dim], device="cuda")
    if method == "ssi":
        return SSITraining(problem, SSI.of_tier("test", n_dim, {}))
    if method == "self_scale":
        made = SelfScale.of_tier("test", n_dim, QUICK["self_scale"])
        run = ScalePairs(problem, made, made.noise)
        run.prepare(IMAGE[n_dim], (1.5,))
        return run
    config = METHODS[method].of_tier("test", n_dim, {}).config
    return SiameseTraining(seeded(0, UNet, n_dim, 2), problem, config)


def shallow(n_dim, image, tile=None, **how):
    """Return the estimator of a network of few operations, and a problem."""
    config = TrainingConfig(steps=1, batch_size=1, patch_size=16, precision="float32")
    run = train(seeded(0, UNet, n_dim, 1, depth=1), image, PSF[n_dim], config, device="cuda")
    problem = Problem.as_it_is(image, PSF[n_dim], device="cuda")
    return estimator_of(run, problem, average_flips=False, tile=tile, used={}, **how), problem


SET = "set a smaller batch_size, patch_size or features, or device='cpu'"
TAKE = "take a part of the image, restore it from disk to disk, or set device='cpu'"


@BOTH
def test_a_full_memory_at_each_allocation_of_a_step(n_dim):
    """Of a network of one level, trained in two parts; deeper ones do the same more often."""
    config = TrainingConfig(steps=9, batch_size=2, patch_size=16, parts=2, ema_decay=0.9)
    with PretendCuda() as gpu:
        problem = Problem.look(IMAGE[n_dim], PSF[n_dim], device="cuda")
        run = SiameseTraining(seeded(0, UNet, n_dim, 1, depth=1), problem, config)
        run.take_step()
        found = list(full(run.take_step, gpu, every=1 if n_dim == 2 else 13))
        assert len(found) > 20
        for error in found:
            assert str(error).startswith("memory: CUDA out of memory. Tried to allocate")
            assert str(error).endswith(f"MiB; {SET}")
        done = run.step
        run.take_step()  # there is room again
        assert run.step == done + 1


@pytest.mark.parametrize(
    "method", ["noise2self", "noise2same", "noise2same_d", "ssi", "self_scale"]
)
def test_a_full_memory_in_a_step_of_each_method(method):
    with PretendCuda() as gpu:
        run = training(method, 2)
        run.take_step()
        found = list(full(run.take_step, gpu, every=41))
        assert len(found) > 10 and all(SET in str(error) for error in found)


@pytest.mark.parametrize("stitch", ["blend", "exact"])
@BOTH
def test_a_full_memory_in_a_restoration_halves_the_tile(stitch, n_dim):
    image = np.tile(IMAGE[n_dim], (3, 3) if n_dim == 2 else (1, 3, 1))  # 132 x 120, 12 x 120 x 36
    first = min(128, max(image.shape))
    with PretendCuda() as gpu:
        estimator, problem = shallow(n_dim, image, tile=128, calibrate=False, stitch=stitch)

        @one_thread_each()
        def whole():
            estimator.used.clear()
            with torch.inference_mode():
                return estimator.whole(problem.whole).cpu()

        estimator.tile = first // 2
        expected, estimator.tile = whole(), 128
        count = 0
        for found in full(whole, gpu):
            assert estimator.used == {"tile": first // 2}
            assert torch.equal(found, expected)
            count += 1
        assert count > 20
        for error in full(whole, gpu, lasting=True, every=5):
            assert str(error).endswith(f"MiB; {TAKE}")


def test_a_full_memory_in_the_calibration():
    """The window that is restored for it is cut; what its blur has no room for is said."""
    with PretendCuda() as gpu:
        estimator, problem = shallow(2, IMAGE[2], stitch="exact", calibrate=True)

        @one_thread_each()
        def calibrated():
            with torch.inference_mode():
                return estimator.calibrated(problem.whole)(problem.whole).cpu()

        expected, restored = calibrated(), 0
        for found in full(calibrated, gpu):
            if isinstance(found, MemoryError):
                assert str(found).endswith(TAKE)
            else:
                restored += 1
                # two windows in place of one: 2 layers of 9 products and one of 1, each rounded
                np.testing.assert_allclose(found, expected, atol=40 * np.finfo(np.float32).eps)
        assert restored > 10


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "total_variation"])
@BOTH
def test_a_full_memory_at_each_allocation_of_a_classical_method(method, n_dim):
    options = {"limits": (0, 1)} | ({} if method == "wiener" else {"iterations": 1})
    expected = restore(method, n_dim, "cpu", **options)
    cut = 0
    with PretendCuda() as gpu:
        work = partial(restore, method, n_dim, None, **options)
        for found in full(work, gpu):
            if isinstance(found, MemoryError):
                assert str(found).endswith(TAKE)
                continue
            if found.settings["device"] == "cpu":  # the GPU had no room for one number
                np.testing.assert_array_equal(found.image, expected.image)
                continue
            assert (
                method == "richardson_lucy"
                and found.settings["tile"] == max(IMAGE[n_dim].shape) // 2
            )
            cut += 1
    assert (cut > 20) == (method == "richardson_lucy")


def test_a_full_memory_where_the_noise_is_looked_for(monkeypatch):
    # each iteration allocates what the first one does
    monkeypatch.setattr("siamdecon.methods.self_scale._START", {2: TotalVariation(iterations=3)})
    with PretendCuda() as gpu:
        problem = Problem.look(IMAGE[2][:24, :24], PSF[2], device="cuda")
        method = SelfScale.of_tier("test", 2, {})
        look = one_thread_each()(lambda: method._begin(replace(problem, cut=True))[0])
        expected = look()
        found = list(full(look, gpu))
        assert len(found) > 50 and all(str(error).endswith(TAKE) for error in found)
        assert look() == expected


def test_a_full_memory_on_disk_halves_what_a_window_holds(tmp_path):
    image = np.tile(IMAGE[3], (1, 3, 1))
    path = write_image(tmp_path / "in.tif", image)
    how = {"tile": 64, "progress": False, "precision": "float32", "calibrate": False}
    outs = []
    # 4 features of a window of 12 x (64 + 24) x 36 voxels, in halves of 8 planes (`Conv3d`), take 811 kB, of
    # one of 12 x (32 + 2 * 24) x 36 737 kB
    for device, largest in (("cpu", None), ("cuda", 780_000)):
        with PretendCuda(largest=largest):
            out = tmp_path / f"{device}.tif"
            outs.append(deconvolve_file(path, PSF[3], out, device=device, **how))
    record = json.loads(outs[1].with_suffix(".json").read_text())
    assert record["tile"] == 32 and record["device"] == "cuda"
    # windows of another size: some 40 layers of up to 432 products each, as in test_interface
    bound = 416 * np.finfo(np.float32).eps * np.ptp(image)
    np.testing.assert_allclose(*(read_image(out).data for out in outs), atol=bound)


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("noise2same_d", []),
        ("total_variation", []),
        ("richardson_lucy", []),
        ("ssi", []),
        ("noise2same_d", ["--on-disk"]),
        ("richardson_lucy", ["--on-disk"]),
    ],
)
def test_a_full_memory_is_one_line_on_the_command_line(method, where, tmp_path, capsys):
    write_image(tmp_path / "in.tif", IMAGE[2])
    write_image(tmp_path / "psf.tif", PSF[2].astype(np.float32))
    words = [
        tmp_path / "in.tif",
        "--psf",
        tmp_path / "psf.tif",
        "-o",
        tmp_path / "out.tif",
        "--quiet",
    ]
    words = [str(word) for word in [*words, "--method", method, *where]]
    with PretendCuda(full_at=20, lasting=True):
        assert main(words) == 2
    *warned, line = capsys.readouterr().err.splitlines()
    assert line.startswith("siamdecon: memory: CUDA out of memory. Tried to allocate")
    assert line.endswith("--device cpu")
    assert all("tiles of" in one for one in warned)
    assert not (tmp_path / "out.tif").exists()


# Devices


def test_a_gpu_that_computes_nothing_is_not_taken():
    with PretendCuda(full_at=1, lasting=True):
        with pytest.warns(UserWarning, match=r"the CPU, as torch can't use the GPU here .CUDA out"):
            assert pick_device() == CPU
        with pytest.raises(ValueError, match=r"got 'cuda' .CUDA out of memory"):
            pick_device("cuda")


def test_the_pretended_device_is_strict():
    """What would make every test here prove nothing."""
    with PretendCuda() as gpu:
        x = torch.rand(3, device="cuda")
        for wrong in (lambda: x + torch.rand(3), x.numpy, lambda: np.asarray(x)):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()
        before = gpu.waits
        for waiting in (
            x.cpu,
            x[0].item,
            lambda: x[x > 0],
            lambda: torch.rand(3).to("cuda"),
            x.nonzero,
        ):
            waiting()
            assert gpu.waits == (before := before + 1)
        torch.rand(3).to("cuda", non_blocking=True)
        assert gpu.waits == before
    with PretendCuda(kind="mps"), pytest.raises(TypeError, match="float64"):
        torch.rand(3, dtype=torch.float64).to("mps")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("convolution_agrees_with_the_cpu", {"n_dim": 2}),
        ("float32_is_no_tf32", {"n_dim": 3}),
        ("classical_methods_agree_with_the_cpu", {"method": wiener}),
        ("every_method_restores", {"method": "richardson_lucy", "n_dim": 3}),
        ("a_checkpoint_moves_from_gpu_to_cpu", {}),
        ("no_step_waits_for_the_gpu", {"method": "ssi"}),
        ("from_disk_to_disk", {"method": "richardson_lucy"}),
    ],
)
def test_the_tests_for_a_gpu_run(name, how, tmp_path):
    """They have never met one; what they call is there, and takes what they hand it."""
    test = getattr(test_gpu, f"test_{name}")
    known = {"noisy": IMAGE[2], "tmp_path": tmp_path, "record_property": lambda *_: None} | how
    with PretendCuda():
        test(**{each: known[each] for each in inspect.signature(test).parameters})
