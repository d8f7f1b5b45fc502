"""What must hold on a CUDA device too; skipped where there is none."""

import dataclasses

import numpy as np
import pytest
import torch

from siamdecon import (
    PSFConvolution,
    UNet,
    deconvolve,
    degrade,
    load_sample,
    paper_psf,
    richardson_lucy,
    score,
    total_variation,
    train,
    wiener,
)
from siamdecon.methods.siamese import Noise2SameD
from siamdecon.network.inference import predict

pytestmark = pytest.mark.gpu

PSF = paper_psf(2)


@pytest.fixture(scope="module")
def noisy():
    return degrade(load_sample("vesicles"), PSF)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_convolution_agrees_with_the_cpu(n_dim):
    g = PSFConvolution(paper_psf(n_dim))
    x = torch.rand(2, 1, *[40] * n_dim)
    on_gpu = g.to("cuda")(x.cuda()).cpu()
    torch.testing.assert_close(on_gpu, g.to("cpu")(x), atol=1e-5, rtol=1e-4)


def test_convolution_stays_in_float32_under_autocast():
    with torch.autocast("cuda", torch.bfloat16):
        assert PSFConvolution(PSF).cuda()(torch.rand(1, 1, 64, 64).cuda()).dtype == torch.float32


@pytest.mark.parametrize("method", [richardson_lucy, wiener, total_variation])
def test_classical_methods_agree_with_the_cpu(noisy, method):
    on_gpu, on_cpu = (method(noisy, PSF, device=device) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_trains(noisy, precision):
    config = dataclasses.replace(
        Noise2SameD.of_tier("lab", 2, {}).config, steps=30, precision=precision
    )
    run = train(UNet(features=16), noisy, PSF, config, device="cuda")
    assert np.isfinite(run.history["total"]).all()
    assert run.history["rec"][-5:].mean() < run.history["rec"][:5].mean()
    assert np.isfinite(predict(run, noisy, PSF)).all()


def test_a_checkpoint_moves_from_gpu_to_cpu(noisy, tmp_path):
    config = dataclasses.replace(Noise2SameD.of_tier("test", 2, {}).config, precision="float32")
    saved = {"checkpoint": tmp_path / "run.pt"}
    train(UNet(features=4), noisy, PSF, config, device="cuda", **saved)
    assert train(UNet(features=4), noisy, PSF, config, device="cpu", **saved).step == config.steps


@pytest.mark.parametrize("method", ["ssi", "self_scale"])
def test_methods_with_a_network_of_their_own_restore(noisy, method):
    clean = load_sample("vesicles")
    result = deconvolve(noisy, PSF, method, device="cuda", progress=False)
    assert score(clean, result.image)["psnr"] > score(clean, noisy)["psnr"] + 2


def test_the_full_tier_beats_lucy_richardson(noisy):
    clean = load_sample("vesicles")
    network = score(clean, deconvolve(noisy, PSF, tier="full", progress=False).image)["psnr"]
    assert network > max(score(clean, richardson_lucy(noisy, PSF, n))["psnr"] for n in (2, 5, 10))
