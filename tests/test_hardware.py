"""Cores, precision: what a machine grants, not what it shows."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from siamdecon.hardware import (
    autocast_dtype,
    available_cores,
    limit_threads,
    one_thread_each,
    side_by_side,
)


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
    code = f"import sys; from siamdecon import *; print([m for m in {heavy} if m in sys.modules])"
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
        inspect compare psf_from_beads load_real"""
    assert {*promised.split(), "__version__"} == set(siamdecon.__all__)


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), torch.bfloat16), ((7, 5), None)])
def test_float16_is_for_trainings_that_scale_their_loss(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    device = torch.device("cuda")
    assert autocast_dtype(device, scaled=False) is expected
    assert autocast_dtype(device) is (expected or torch.float16)


CPU = torch.device("cpu")


def test_parts_are_computed_at_once_and_come_in_order():
    """Two that wait for each other end only if they run side by side."""
    meeting = threading.Barrier(2)

    def work(i):
        meeting.wait(timeout=60)
        return i, torch.get_num_threads()

    torch.set_num_threads(max(2, torch.get_num_threads()))
    assert side_by_side(work, [0, 1], device=CPU) == [(0, 1), (1, 1)]


def test_helpers_keep_to_one_thread_whatever_is_set_after_they_began():
    """The first part does without torch; only then does the main thread ask for more threads."""
    code = (
        "import threading, torch; from siamdecon.hardware import side_by_side\n"
        "torch.set_num_threads(2)\n"
        "both, cpu = threading.Barrier(2), torch.device('cpu')\n"
        "side_by_side(lambda i: both.wait(60), [0, 1], device=cpu)\n"
        "torch.set_num_threads(3)\n"
        "f = lambda i: (both.wait(60), torch.get_num_threads())[1]\n"
        "assert side_by_side(f, [0, 1], device=cpu) == [1, 1]"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": "2"}
    )


def test_one_thread_each_is_over_when_it_is_over():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread_each():
        with one_thread_each():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_blocks_of_two_threads_that_overlap_keep_and_leave_what_is_set():
    """One enters, two enters, one leaves, two leaves."""
    dnn = torch.backends.cudnn
    switch = (dnn.conv, "fp32_precision") if hasattr(dnn, "conv") else (dnn, "allow_tf32")
    before, kept = (torch.get_num_threads(), getattr(*switch)), []
    torch.set_num_threads(3)
    two_is_in, one_is_out = threading.Event(), threading.Event()

    def two():
        both = threading.Barrier(2)
        with one_thread_each():
            two_is_in.set()
            assert one_is_out.wait(60)
            side_by_side(
                lambda _: both.wait(60), [0, 1], device=CPU
            )  # it has its share of the cores
            kept.append((torch.get_num_threads(), getattr(*switch)))
        kept.append((torch.get_num_threads(), getattr(*switch)))

    second = threading.Thread(target=two)
    try:
        with one_thread_each():
            second.start()
            assert two_is_in.wait(60)
        assert torch.get_num_threads() == 3
        one_is_out.set()
        second.join()
        new = threading.Thread(
            target=lambda: kept.append((torch.get_num_threads(), getattr(*switch)))
        )
        new.start(), new.join()
        exact = "ieee" if hasattr(dnn, "conv") else False
        assert kept == [(1, exact), (3, before[1]), (3, before[1])]
    finally:
        torch.set_num_threads(before[0])
        setattr(*switch, before[1])


def test_an_error_in_a_part_waits_for_the_others():
    ended = []

    def work(i):
        if i == 0:
            raise RuntimeError("the first")
        time.sleep(0.05)
        ended.append(i)

    torch.set_num_threads(max(2, torch.get_num_threads()))
    with pytest.raises(RuntimeError, match="the first"):
        side_by_side(work, [0, 1], device=CPU)
    assert ended in ([1], [])  # it has ended, or was never begun
    now = list(ended)
    time.sleep(0.1)
    assert ended == now


def test_parts_know_of_gradients_what_their_caller_knows():
    def state(_):
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    torch.set_num_threads(max(2, torch.get_num_threads()))
    assert side_by_side(state, [0, 1], device=CPU) == [(False, True)] * 2
    with torch.no_grad():
        assert side_by_side(state, [0, 1], device=CPU) == [(False, False)] * 2
    with torch.inference_mode():
        assert side_by_side(state, [0, 1], device=CPU) == [(True, False)] * 2


def test_parts_of_parts_do_not_wait_for_a_free_thread():
    def outer(i):
        return side_by_side(lambda j: 10 * i + j, range(4), device=CPU)

    assert side_by_side(outer, range(4), device=CPU) == [
        [10 * i + j for j in range(4)] for i in range(4)
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_makes_threads_of_its_own():
    code = """
import os, torch
from siamdecon.hardware import side_by_side
cpu = torch.device("cpu")
torch.set_num_threads(2)
print(side_by_side(abs, [-1, 2], device=cpu), flush=True)
if os.fork() == 0:
    print(side_by_side(abs, [-3, 4], device=cpu), flush=True)
    os._exit(0)
os.wait()
"""
    assert run_python(code) == "[1, 2]\n[3, 4]"
