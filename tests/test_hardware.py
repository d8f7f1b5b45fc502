"""Cores, precision: what a machine grants, not what it shows."""

import os
import subprocess
import sys

import pytest
import torch

from siamdecon.hardware import autocast_dtype, available_cores, limit_threads


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "nonsense"}, 64),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_cores_follow_the_quota(tmp_path, many_cores, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cores(tmp_path) == cores


def test_cores_follow_the_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert available_cores(tmp_path) == 1


def test_precision():
    cpu = torch.device("cpu")
    assert autocast_dtype(cpu, "bfloat16") == torch.bfloat16
    assert autocast_dtype(cpu, "auto") in (None, torch.bfloat16)
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        autocast_dtype(cpu, "float16")
    with pytest.raises(ValueError, match="expected one of auto"):
        autocast_dtype(cpu, "half")


@pytest.mark.parametrize(
    ("limit", "expected"), [("AVX2", None), ("avx512_core", None), ("", torch.bfloat16)]
)
def test_bfloat16_is_not_emulated_where_onednn_does_without(monkeypatch, limit, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert autocast_dtype(torch.device("cpu")) is expected


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_lean():
    """Notebook and plotting libraries belong to the course, not to the package."""
    heavy = "matplotlib", "IPython", "ipywidgets", "pooch", "tqdm.notebook"
    code = f"import sys, siamdecon; print([m for m in {heavy} if m in sys.modules])"
    assert run_python(code) == "[]"


def test_waiting_threads_sleep():
    code = "import os, siamdecon; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "PASSIVE"


@pytest.mark.parametrize(("set_by_user", "expected"), [(None, 1), ("2", 2)])
def test_threads_are_limited_unless_the_user_has_set_them(monkeypatch, set_by_user, expected):
    before = torch.get_num_threads()
    monkeypatch.setattr("siamdecon.hardware.available_cores", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by_user:
        monkeypatch.setenv("OMP_NUM_THREADS", set_by_user)
    try:
        torch.set_num_threads(2)
        limit_threads()
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_public_names():
    import siamdecon

    for name in siamdecon.__all__:
        assert getattr(siamdecon, name).__doc__ or name.startswith("PAPER")
    promised = """Microscope paper_psf Noise PAPER_2D PAPER_3D degrade PSFConvolution richardson_lucy
        wiener total_variation UNet LossWeights TrainingConfig train deconvolve Restoration score
        load_benchmark load_sample read_image write_image
        affine_score deconvolve_file load_volume fourier_ring_correlation radial_power
        inspect compare psf_from_beads"""
    assert {*promised.split(), "__version__"} == set(siamdecon.__all__)


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), torch.bfloat16), ((7, 5), None)])
def test_float16_is_for_trainings_that_scale_their_loss(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    device = torch.device("cuda")
    assert autocast_dtype(device, scaled=False) is expected
    assert autocast_dtype(device) is (expected or torch.float16)
