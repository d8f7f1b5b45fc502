"""What must hold on a real CUDA device; skipped where there is none. `test_pretend_cuda` needs none.

Each test's first line says what it proves, and `make test-gpu` prints them with their figures.
"""

import time

import numpy as np
import pytest
import torch

from siamdecon import (
    PSFConvolution,
    TrainingConfig,
    UNet,
    deconvolve,
    deconvolve_file,
    degrade,
    load_sample,
    paper_psf,
    read_image,
    richardson_lucy,
    score,
    total_variation,
    train,
    wiener,
    write_image,
)
from siamdecon.files.phantoms import filaments
from siamdecon.hardware import one_thread_each
from siamdecon.methods import METHODS
from siamdecon.methods.siamese import Noise2SameD, SiameseTraining
from siamdecon.methods.ssi import SSI, SSITraining
from siamdecon.network.inference import predict
from siamdecon.network.unet import seeded
from siamdecon.problem import Problem

pytestmark = pytest.mark.gpu

PSF = paper_psf(2)
EPS = np.finfo(np.float32).eps
SMALL_PSF = np.array([[0, 1, 1], [1, 3, 1], [0, 2, 0]]) / 9


@pytest.fixture(autouse=True)
def claim(request, record_property):
    record_property("claim", request.function.__doc__.splitlines()[0])


@pytest.fixture(scope="module")
def noisy():
    return degrade(load_sample("vesicles"), PSF)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_convolution_agrees_with_the_cpu(n_dim, record_property):
    """The PSF convolution gives the CPU's numbers."""
    g = PSFConvolution(paper_psf(n_dim))
    x = torch.rand(2, 1, *[40] * n_dim)
    on_gpu, on_cpu = g.to("cuda")(x.cuda()).cpu(), g.to("cpu")(x)
    record_property("largest difference", f"{(on_gpu - on_cpu).abs().max().item():.1e}")
    torch.testing.assert_close(on_gpu, on_cpu, atol=1e-5, rtol=1e-4)


def test_convolution_stays_in_float32_under_autocast():
    """The PSF convolution stays in float32 where the network runs in bfloat16."""
    with torch.autocast("cuda", torch.bfloat16):
        assert PSFConvolution(PSF).cuda()(torch.rand(1, 1, 64, 64).cuda()).dtype == torch.float32


@pytest.mark.parametrize("n_dim", [2, 3])
def test_float32_is_no_tf32(n_dim, record_property):
    """Convolutions in float32 keep 24 bits: TF32, which keeps 11, is off, forward and backward."""
    kind, side = (torch.nn.Conv2d, 24) if n_dim == 2 else (torch.nn.Conv3d, 12)
    conv = kind(16, 16, 3, padding=1).cuda()
    x, upstream = (torch.randn(2, 16, *[side] * n_dim, device="cuda") for _ in range(2))

    def passed(conv, x, upstream):
        y = conv(x.requires_grad_())
        return y, *torch.autograd.grad(y, (x, conv.weight), upstream)

    with one_thread_each():
        found = passed(conv, x, upstream)
    expected = passed(conv.double(), x.detach().double(), upstream.double())
    for single, double in zip(found, expected, strict=True):
        error = ((single - double).abs().max() / double.abs().max()).item()
        record_property("error", f"{error:.1e}")
        # TF32 rounds each factor by up to 2^-12, of which the sum of random products keeps 2^-12 or so;
        # float32 by 2^-25, and the sums of up to 3456 products by sqrt(3456) times that: 2^-19
        assert error < 2**-16


@pytest.mark.parametrize("method", [richardson_lucy, wiener, total_variation])
def test_classical_methods_agree_with_the_cpu(noisy, method, record_property):
    """The classical methods give the CPU's images."""
    on_gpu, on_cpu = (method(noisy, PSF, device=device) for device in ("cuda", "cpu"))
    record_property(method.__name__, f"{np.abs(on_gpu - on_cpu).max():.1e}")
    np.testing.assert_allclose(on_gpu, on_cpu, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_dim", [2, 3])
def test_every_method_restores(method, n_dim):
    """Every method runs in 2D and in 3D."""
    image = load_sample("vesicles")[:60, :52] if n_dim == 2 else filaments((18, 40, 44), 1)
    psf = SMALL_PSF if n_dim == 2 else np.ones((3, 3, 3)) / 27
    found = deconvolve(image, psf, method, tier="test", progress=False)
    assert found.settings["device"].startswith("cuda") and np.isfinite(found.image).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_trains(noisy, precision, record_property):
    """A network learns in float32, bfloat16 and float16."""
    config = Noise2SameD.of_tier("lab", 2, {"steps": 30, "precision": precision}).config
    run = train(seeded(0, UNet, 2, 16), noisy, PSF, config, device="cuda")
    first, last = run.history["rec"][:5].mean(), run.history["rec"][-5:].mean()
    record_property(precision, f"rec {first:.3f} to {last:.3f}")
    assert np.isfinite(run.history["total"]).all() and last < first
    assert np.isfinite(predict(run, noisy, PSF)).all()


def test_a_checkpoint_moves_from_gpu_to_cpu(noisy, tmp_path):
    """A checkpoint written on the GPU goes on on the CPU."""
    config = TrainingConfig(steps=4, batch_size=2, patch_size=32, precision="float32")

    def stop(run):
        if run.step == 2:
            raise KeyboardInterrupt

    saved = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 1}
    train(UNet(features=4), noisy, PSF, config, device="cuda", callback=stop, **saved)
    assert train(UNet(features=4), noisy, PSF, config, device="cpu", **saved).step == 4


@pytest.mark.parametrize("method", ["noise2self", "noise2same_d", "ssi"])
def test_no_step_waits_for_the_gpu(noisy, method):
    """No training step waits for the GPU: torch raises where one would. SSI's looks at its last loss."""
    problem = Problem.look(noisy, PSF, device="cuda")
    if method == "ssi":
        run = SSITraining(problem, SSI.of_tier("test", 2, {}))
        run.rate = lambda: 1e-3  # the schedule is what looks
    else:
        config = METHODS[method].of_tier("test", 2, {}).config
        run = SiameseTraining(seeded(0, UNet, 2, 4), problem, config)
    run.take_step()
    try:
        torch.cuda.set_sync_debug_mode("error")
        run.take_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", ["richardson_lucy", "noise2same_d"])
def test_from_disk_to_disk(method, tmp_path, record_property):
    """A file is restored window by window, as on the CPU."""
    path = write_image(tmp_path / "in.tif", filaments((20, 60, 64), 0))
    psf, images = np.ones((3, 3, 3)) / 27, []
    options = {"precision": "float32", "steps": 1} if method == "noise2same_d" else {}
    for device in ("cpu", "cuda"):
        how = {"device": device, "tile": 32, "progress": False, "tier": "test", **options}
        out = deconvolve_file(path, psf, tmp_path / f"{device}.tif", method, **how)
        images.append(read_image(out).data)
    record_property(method, f"{np.abs(images[0] - images[1]).max():.1e}")
    np.testing.assert_allclose(*images, atol=2e-3)


def test_a_full_memory_halves_the_tiles(record_property):
    """A GPU that is full restores in smaller tiles, and the settings say so; a step says what to set."""
    image = np.tile(load_sample("vesicles")[:128, :128], (8, 8))
    free, total = torch.cuda.mem_get_info()
    taken = torch.cuda.memory_reserved()
    try:
        torch.cuda.set_per_process_memory_fraction((taken + 2**28) / total)  # 256 MiB
        options = {"steps": 1, "batch_size": 1, "patch_size": 32, "features": 64, "noise": None}
        with pytest.warns(UserWarning, match="not enough memory: tiles of"):
            found = deconvolve(
                image, SMALL_PSF, tile=1024, calibrate=False, progress=False, **options
            )
        record_property("tile", found.settings["tile"])
        assert found.settings["tile"] < 1024 and np.isfinite(found.image).all()
        with pytest.raises(MemoryError, match="set a smaller batch_size"):
            deconvolve(
                image, SMALL_PSF, progress=False, **options | {"batch_size": 64, "patch_size": 256}
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert free > 0


def test_the_full_tier_restores_a_volume_in_the_papers_tiles(record_property):
    """The paper's 3D network takes its steps, and restores in tiles of 128 overlapping by 32."""
    volume = filaments((64, 200, 200), 0)
    begin = time.perf_counter()
    found = deconvolve(volume, paper_psf(3), tier="full", steps=10, progress=False)
    record_property("10 steps and the image", f"{time.perf_counter() - begin:.0f} s")
    record_property("memory", f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    assert found.settings["tile"] == 128 and np.isfinite(found.image).all()


@pytest.mark.parametrize("method", ["ssi", "self_scale"])
def test_methods_with_a_network_of_their_own_restore(noisy, method, record_property):
    """SSI and self_scale gain 2 dB and more over the measurement at the lab tier."""
    clean = load_sample("vesicles")
    result = deconvolve(noisy, PSF, method, device="cuda", progress=False)
    gain = score(clean, result.image)["psnr"] - score(clean, noisy)["psnr"]
    record_property(method, f"+{gain:.2f} dB")
    assert gain > 2


def test_the_full_tier_beats_lucy_richardson(noisy, record_property):
    """The paper's 2D network, trained in full, beats Lucy-Richardson's best iteration."""
    clean, begin = load_sample("vesicles"), time.perf_counter()
    network = score(clean, deconvolve(noisy, PSF, tier="full", progress=False).image)["psnr"]
    record_property("3000 steps", f"{time.perf_counter() - begin:.0f} s")
    best = max(score(clean, richardson_lucy(noisy, PSF, n))["psnr"] for n in (2, 5, 10))
    record_property("dB", f"{network:.2f} against {best:.2f}")
    assert network > best
