"""Cores, memory, device and precision of this machine; conversion between arrays and tensors."""

import ctypes
import gc
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import Words, expect, expect_module, expect_one_of, warn

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
#: What to do where memory does not suffice.
TAKE_LESS = "take a part of the image, restore it from disk to disk, or set device='cpu'"
_WITHOUT_BFLOAT16 = "SSE41 AVX AVX2 AVX2_VNNI AVX512_CORE AVX512_CORE_VNNI".split()
CGROUP = Path("/sys/fs/cgroup")
#: Number of parts that are computed side by side at most; each takes memory.
SIDE_BY_SIDE = 4
_QUEUE = 2**14  # parts that a scheduler has at once
_alone = threading.Lock()


class OutOfMemory(MemoryError):
    """Memory did not suffice; the message says what to set."""


class _Here(threading.local):
    """How many parts this thread may compute side by side; None outside of `one_thread_each`."""

    workers: int | None = None


_here = _Here()


class _Inside:
    """How many blocks of `one_thread_each` run, of all threads, and what was set before the first began."""

    lock, blocks, threads, precision = threading.Lock(), 0, 1, None


def available_cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process may use.

    A container sees all cores of its host, but may use only the smaller of the scheduler's affinity
    and the control group's quota (version 2, `cpu.max`; version 1, `cpu.cfs_quota_us`).

    Examples
    --------
    >>> 1 <= available_cores() <= os.cpu_count()
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # no such file, or "max"
            words = " ".join((cgroup / file).read_text() for file in files).split()
            quota, period = map(float, words)
            if quota > 0 and period > 0:
                cores = min(cores, math.ceil(quota / period))
    return max(1, cores)


def limit_threads() -> None:
    """Limit torch's threads to `available_cores`, unless the user has set OMP_NUM_THREADS."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), available_cores()))


@contextmanager
def one_thread_each(mend: str = TAKE_LESS) -> Iterator[None]:
    """Compute every operation in this block on one thread, and float32 in full, without TF32.

    `side_by_side` uses the other cores. Threads that meet within each operation wait for each other's time
    slices where the machine has anything else to do, and the last digits of a sum depend on their number.
    What the caller has set of gradients and autocast does not count in the block: a training needs gradients,
    and chooses its own precision.

    Parameters
    ----------
    mend : str
        What to do where memory does not suffice.

    Raises
    ------
    OutOfMemory
        If it does not, a GPU's or the computer's.

    Examples
    --------
    >>> with one_thread_each():
    ...     torch.get_num_threads()
    1
    >>> with one_thread_each("take less"):
    ...     raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
    Traceback (most recent call last):
    ...
    siamdecon.hardware.OutOfMemory: memory: CUDA out of memory. Tried to allocate 2.00 GiB; take less
    """
    # asked in any case: a thread that has not yet takes, at its first operation, what another has set since
    threads, outer = torch.get_num_threads(), _here.workers
    # a GPU's convolutions use 10 bits of each number unless told otherwise; from torch 2.9 on by "conv"
    dnn, new = torch.backends.cudnn, hasattr(torch.backends.cudnn, "conv")
    switch = (dnn.conv, "fp32_precision") if new else (dnn, "allow_tf32")
    # both are the process's: the first of all threads' blocks notes them, and the last puts them back
    with _Inside.lock:
        if not _Inside.blocks:
            _Inside.threads, _Inside.precision = threads, getattr(*switch)
        _Inside.blocks += 1
        torch.set_num_threads(1)
        setattr(*switch, "ieee" if new else False)
        _here.workers = outer or _Inside.threads
    try:
        with torch.inference_mode(False), _own_precision():
            yield
    except (MemoryError, RuntimeError) as error:
        if not is_full(error):
            raise
        said = ". ".join(str(error).split(". ")[:2]).strip(" .") or "full"
        raise OutOfMemory(f"memory: {said}; {mend}") from error
    finally:
        with _Inside.lock:
            _Inside.blocks -= 1
            if not _Inside.blocks:
                setattr(*switch, _Inside.precision)
            if outer is None:  # this sets the number of this thread, and of threads that are new
                torch.set_num_threads(_Inside.threads)
            _here.workers = outer


def _own_precision() -> ExitStack:
    """Return the context that ends any autocast around it; it may be entered once."""
    contexts = ExitStack()
    for kind in ("cpu", "cuda", "mps"):
        if torch.is_autocast_enabled(kind):
            contexts.enter_context(torch.autocast(kind, enabled=False))
    return contexts


def is_full(error: Exception) -> bool:
    """Tell whether an error says that memory did not suffice, and nobody has said yet what to set.

    Examples
    --------
    >>> is_full(RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED")), is_full(OutOfMemory("take less"))
    (True, False)
    """
    # torch raises a plain RuntimeError on a CPU, and where a library finds no room
    said = re.search("out of memory|can't allocate memory|ALLOC_FAILED", str(error))
    full = isinstance(error, MemoryError | torch.OutOfMemoryError) or said is not None
    return full and not isinstance(error, OutOfMemory)


def side_by_side(f: Callable, *parts: Sequence, device: torch.device) -> list:
    """Return `f` of each part, in order: on a CPU each on one thread, several at once.

    How many are computed at once depends on the machine, the results do not. Parts of a part, and those
    of a GPU, are computed one after the other.

    Parameters
    ----------
    f : callable
    *parts : sequence
        Of one length; the arguments of `f`.
    device : torch.device
        Where `f` computes.

    Examples
    --------
    >>> side_by_side(lambda x, y: x + y, [1, 2, 3], [4, 5, 6], device=torch.device("cpu"))
    [5, 7, 9]
    """
    workers = min(_here.workers or torch.get_num_threads(), len(parts[0]), SIDE_BY_SIDE)
    if workers < 2 or device.type != "cpu":
        return list(map(f, *parts))
    # what a thread is told of gradients, its helpers do not know
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work(*part):
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return f(*part)

    futures = [_pool(workers, os.getpid()).submit(work, *part) for part in zip(*parts, strict=True)]
    try:
        return [future.result() for future in futures]
    finally:  # an error or Ctrl-C must not leave parts behind that are still at work
        wait([future for future in futures if not future.cancel()])


def cluster(scheduler) -> AbstractContextManager:
    """Connect to a Dask scheduler, given by its address or as a cluster; enter for the client, None for None.

    Raises
    ------
    ValueError
        If there is none, or the package distributed is missing.

    Examples
    --------
    >>> with cluster(None) as client:
    ...     print(client)
    None
    """
    if scheduler is None:
        return nullcontext()
    distributed = expect_module("distributed", "scheduler", "dask")
    try:  # a busy machine answers late
        return distributed.Client(scheduler, timeout=20, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        said = str(error)
    # the client that has failed ends here, not in a thread of the next one, which would wait for it forever
    gc.collect()
    kinds = "the address of a Dask scheduler, such as tcp://host:8786, or a cluster"
    raise ValueError(f"scheduler: expected {kinds}, got {scheduler!r} ({said})")


def over_workers(work: Callable, parts: Sequence, client=None) -> Iterator[None]:
    """Call `work` of each part, and yield when one is done: here in order, or by the workers of a cluster.

    A worker process computes one part at a time; the parts of one that dies go to others.

    Raises
    ------
    ValueError
        If the scheduler is lost, or too many workers die at one part.

    Examples
    --------
    >>> for _ in over_workers(print, "ab"):
    ...     print("done")
    a
    done
    b
    done
    """
    if client is None:
        yield from map(work, parts)
        return
    from distributed import CancelledError, KilledWorker, as_completed

    # a task of its own, which is computed again if it is lost with a worker
    shared, futures = client.submit(lambda: work, pure=False), set()
    try:
        for some in (parts[i : i + _QUEUE] for i in range(0, len(parts), _QUEUE)):
            futures = set(client.map(_on_worker, some, work=shared, pure=False))
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
                futures.remove(future)  # what is kept would be done again for a worker that dies
    except KilledWorker as error:
        mend = "give workers more memory, or pass a smaller tile"
        raise ValueError(f"scheduler: several workers died at the same part; {mend}") from error
    except OutOfMemory as error:  # of a worker's; with smaller tiles it may suffice
        raise MemoryError(str(error).removeprefix("memory: ").split(";")[0]) from error
    except CancelledError as error:
        raise ValueError("scheduler: lost; start it again, and run the same again") from error
    finally:
        client.cancel([shared, *futures])


def _on_worker(part, work: Callable) -> None:
    """Call `work` of a part in a worker."""
    with _alone, one_thread_each():
        work(part)


@lru_cache(maxsize=1)
def _pool(workers: int, _process: int) -> ThreadPoolExecutor:
    """Return threads that wait for work; a forked process has none of its parent's."""

    def begin():
        # a thread that has not asked yet takes, at its first operation, what another thread has set since
        torch.get_num_threads()
        torch.set_num_threads(1)
        _here.workers = 1

    return ThreadPoolExecutor(workers, "siamdecon", begin)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for reuse, except blocks above 16 MiB.

    A training step allocates and frees the same tens of megabytes; returning them to the system each time
    takes a quarter of the step. Larger blocks are still returned: kept, their fragments would increase
    memory by half (loops over volumes use a `Workspace`). Does nothing with another C library.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-3, 2**24)  # M_MMAP_THRESHOLD of malloc.h
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of that name; without a name, the CUDA device if this torch can use it, else the CPU.

    Apple's "mps" is taken on request only: nobody has tested it.

    Raises
    ------
    ValueError
        If the device is not available, or this build of torch can't compute on it.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name is None and not torch.cuda.is_available():
        return torch.device("cpu")
    try:
        device = torch.device("cuda" if name is None else name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(f"{device.type} is not supported")
        # a build of torch has code for some GPUs only, which the first computation tells
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        why = str(error).split("\n")[0]
        if name is None:
            warn(f"device: the CPU, as torch can't use the GPU here ({why})")
            return torch.device("cpu")
        got = f"got {str(name)!r} ({why})"
        raise ValueError(f"device: expected 'cpu', 'cuda' or 'mps', {got}") from error
    if device.type == "mps":
        warn("device: mps is untested; compare a result with the CPU's")
    return device


def as_array(image, name: str = "image") -> np.ndarray:
    """Return anything that NumPy can read, tensors of any kind included, as an array.

    Raises
    ------
    ValueError
        If it holds no real numbers, or is a masked array with pixels masked: the mask would be lost; or no
        array, as a path.

    Examples
    --------
    >>> as_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
    array([1., 1.], dtype=float32)
    >>> as_array(np.ma.masked_less([-1.0, 1.0], 0))
    Traceback (most recent call last):
    ...
    ValueError: image: expected pixels without a mask, got 1 of 2 masked; put values in their place, ...
    """
    if isinstance(image, Tensor):
        image = image.detach().cpu().resolve_conj().resolve_neg()
        try:
            image = image.numpy()
        except TypeError:  # bfloat16 and smaller, sparse
            image = image.to_dense().float().numpy()
    compute = getattr(image, "compute", lambda: image)  # Dask's own conversion would lose a mask
    try:
        image = np.asanyarray(compute())
    except (TypeError, ValueError) as error:  # such as a list of rows of different lengths
        raise ValueError(f"{name}: expected an array of numbers; {error}") from error
    if np.ma.is_masked(image):
        mend = "put values in their place, for example image.filled(numpy.ma.median(image))"
        got = Words(f"{np.count_nonzero(image.mask)} of {image.size} masked")
        expect(False, name, "pixels without a mask", got, mend)
    if image.ndim == 0 and image.dtype.kind in "UO":
        expect(False, name, "an array", image.item(), "read a file by siamdecon.read_image")
    expect(image.dtype.kind in "buif", name, "real numbers", Words(f"dtype {image.dtype}"))
    return np.asarray(image)


def to_tensor(image: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """Copy an image ([z,] y, x) to a float32 tensor (1, 1, [z,] y, x) on a device.

    Examples
    --------
    >>> to_tensor(np.eye(3)[::-1], "cpu").shape
    torch.Size([1, 1, 3, 3])
    """
    # a copy: torch supports neither negative strides (flipped views) nor read-only memory
    return torch.from_numpy(np.array(image, dtype=np.float32))[None, None].to(device)


def channels_last(n_dim: int) -> torch.memory_format:
    """Return the channels-last memory format for convolutions over 2 or 3 axes, in which they are faster.

    Examples
    --------
    >>> channels_last(2)
    torch.channels_last
    """
    return torch.channels_last if n_dim == 2 else torch.channels_last_3d


def to_array(x: Tensor, clip: bool = False) -> np.ndarray:
    """Copy a tensor (1, 1, [z,] y, x) to an image ([z,] y, x), optionally clipped to [0, 1].

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
        "auto", "float32", "bfloat16" or "float16". "auto" is bfloat16 where the hardware supports it,
        else float16 on a CUDA device and float32 elsewhere. "float32" is never TF32.
    scaled : bool
        Whether the training scales its loss. Without scaling, "auto" is never float16, in which small
        gradients underflow to 0.

    Raises
    ------
    ValueError
        If the precision is unknown, or float16 is requested on a CPU.

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
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bfloat16() else None


def _cpu_has_bfloat16() -> bool:
    """Tell whether the CPU supports bfloat16 natively; emulated, it is slower than float32."""
    # oneDNN, which computes convolutions, may be told to do without
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_BFLOAT16:
        return False
    # which of them exist depends on the version of torch
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


limit_threads()
