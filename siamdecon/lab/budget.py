"""Resources that a notebook has used: training steps and memory, compared with what it declares."""

import re
import sys
from pathlib import Path

import torch

from siamdecon.lab.automatic import automatic
from siamdecon.methods.base import tier_name
from siamdecon.network.training import steps_taken

#: A notebook must fit in the memory of a 2 GB machine.
MAX_BYTES = 1_500_000_000


def peak_memory() -> int:
    """Return the peak memory of this process, in bytes; 0 where that is not known.

    Examples
    --------
    >>> peak_memory() < 10**12
    True
    """
    try:  # Linux: getrusage would begin at the peak of whatever launched this process
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    except (OSError, TypeError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def check_budget(training_steps: int) -> None:
    """Raise if an automatic run has used more steps or memory than a notebook may at the lab tier.

    A learner may run a cell any number of times, and the memory of CUDA's libraries does not count.

    Parameters
    ----------
    training_steps : int
        The number that the notebook declares in its first cell.

    Raises
    ------
    AssertionError
        If it used more steps, or more than `MAX_BYTES`.

    Examples
    --------
    >>> check_budget(training_steps=10**9)
    """
    if tier_name() != "lab" or not automatic():
        return
    assert steps_taken() <= training_steps, (
        f"declared {training_steps} training steps, took {steps_taken()}"
    )
    assert torch.cuda.is_available() or peak_memory() < MAX_BYTES, (
        f"expected less than {MAX_BYTES / 1e9:.1f} GB, took {peak_memory() / 1e9:.2f} GB"
    )
