"""What this machine lets a run use: cores, device, precision, memory; arrays to tensors and back."""

import ctypes
import math
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import expect_one_of

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
CGROUP = Path("/sys/fs/cgroup")


def available_cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process may really use.

    A container sees all of its host's cores; its share is the smaller of the scheduler's affinity
    and the control group's quota (version 2, `cpu.max`; version 1, `cpu.cfs_quota_us`).

    Examples
    --------
    >>> 1 <= available_cores() <= os.cpu_count()
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, _quota(cgroup)))


def _quota(cgroup: Path) -> int:
    """Whole cores that the control group grants, rounded up; very many where it sets no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((cgroup / file).read_text() for file in files).split()
            quota, period = map(float, words)
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if quota > 0 and period > 0:
            return math.ceil(quota / period)
    return sys.maxsize


def limit_threads() -> None:
    """Keep torch within `available_cores`; a number that the user has set stays."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), available_cores()))


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step; blocks above 16 MiB go back to the system.

    A training step allocates and frees the same tens of megabytes; fetching their pages anew each time
    costs a quarter of it. Volumes are better given back: kept in pieces, they add up to half as much
    again (a loop over one keeps a `Workspace`). Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(-3, 2**24)  # M_MMAP_THRESHOLD of malloc.h
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of that name; unless one is named, the CUDA device if there is one.

    Raises
    ------
    ValueError
        If there is no such device here.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{device.type} is not supported")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = "'cpu' or 'cuda'" if torch.cuda.is_available() else "'cpu' (no CUDA device is here)"
        raise ValueError(f"device: expected {here}, got {str(name)!r}") from error
    return device


def to_tensor(image: np.ndarray, device: str | torch.device | None = None) -> Tensor:
    """Copy an image ([z,] y, x) to a float32 tensor (1, 1, [z,] y, x) on a device.

    Examples
    --------
    >>> to_tensor(np.eye(3)[::-1], "cpu").shape
    torch.Size([1, 1, 3, 3])
    """
    # a copy: torch takes neither the negative strides of a flipped view nor read-only memory
    return torch.from_numpy(np.array(image, dtype=np.float32))[None, None].to(pick_device(device))


def channels_last(n_dim: int) -> torch.memory_format:
    """Return the memory layout in which convolutions over 2 or 3 axes are fast: a pixel's features together.

    Examples
    --------
    >>> channels_last(2)
    torch.channels_last
    """
    return torch.channels_last if n_dim == 2 else torch.channels_last_3d


def to_array(x: Tensor, clip: bool = False) -> np.ndarray:
    """Copy a tensor (1, 1, [z,] y, x) to an image ([z,] y, x), cut to [0, 1] on request.

    Examples
    --------
    >>> to_array(torch.full((1, 1, 1, 2), 3.0), clip=True)
    array([[1., 1.]], dtype=float32)
    """
    x = x.detach()[0, 0]
    return (x.clamp(0, 1) if clip else x.clone()).cpu().numpy()


def autocast_dtype(device: torch.device, precision="auto", scaled=True) -> torch.dtype | None:
    """Return the dtype to compute convolutions in, or None for plain float32.

    Parameters
    ----------
    device : torch.device
    precision : str
        "auto", "float32", "bfloat16" or "float16". "auto" is bfloat16 where the hardware has it, else
        float16 on a GPU and float32 on a CPU.
    scaled : bool
        Whether a training scales its loss. One that does not gets float32 in place of float16, in which
        small gradients become 0.

    Raises
    ------
    ValueError
        If the precision is unknown, or float16 is asked for on a CPU.

    Examples
    --------
    >>> autocast_dtype(torch.device("cpu"), "float32") is None
    True
    """
    expect_one_of(PRECISIONS, precision=precision)
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision: float16 needs a GPU; use 'bfloat16', 'float32' or 'auto'")
    if precision != "auto":
        return None if precision == "float32" else getattr(torch, precision)
    if device.type == "cuda":
        # torch.cuda.is_bf16_supported is true even where bfloat16 is emulated, slower than float16
        if torch.version.hip or torch.cuda.get_device_capability(device)[0] >= 8:
            return torch.bfloat16
        return torch.float16 if scaled else None
    return torch.bfloat16 if _cpu_has_bfloat16() else None


def precision_used(device: str, precision: str = "auto", scaled: bool = True) -> str:
    """Return the name of the dtype that `autocast_dtype` chooses, for the record of a result.

    Examples
    --------
    >>> precision_used("cpu", "float32")
    'float32'
    """
    dtype = autocast_dtype(torch.device(device), precision, scaled)
    return str(dtype or torch.float32).removeprefix("torch.")


def _cpu_has_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16 itself; emulated, it is slower than float32."""
    # which of them exist depends on the version of torch
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
