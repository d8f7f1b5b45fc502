"""What a notebook has used: training steps and memory, held against what it declares."""

import sys

import torch

from siamdecon.lab.automatic import automatic
from siamdecon.methods.base import tier_name
from siamdecon.network.training import steps_taken

#: A notebook must leave room on a machine of 2 GB.
MAX_BYTES = 1_500_000_000


def peak_memory() -> int:
    """Return the largest memory that this process has held, in bytes; 0 where that is not known.

    Examples
    --------
    >>> peak_memory() < 10**12
    True
    """
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def check_budget(training_steps: int) -> None:
    """Raise if an automatic run has trained or held more than a notebook may at the lab tier.

    A learner may run a cell as often as they like, and what CUDA's libraries hold is not the notebook's.

    Parameters
    ----------
    training_steps : int
        What the notebook declares in its first cell.

    Raises
    ------
    AssertionError
        If it took more steps, or more than `MAX_BYTES`.

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
