"""The checks with other data than a notebook's: for grades, and for tests that learners do not see."""

import importlib.util
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from siamdecon.lab.checks.engine import Exercise

HERE = Path(__file__).parent


def drawn_anew(seed: int) -> dict[str, Exercise]:
    """Return all exercises with data from other seeds, for which an answer learnt by heart is wrong.

    Parameters
    ----------
    seed : int
        The same one gives the same data.

    Examples
    --------
    >>> other = drawn_anew(7)["camera"]
    >>> other(lambda blurred, rnd, alpha, sigma: 0.5)
    Traceback (most recent call last):
    siamdecon.lab.checks.engine.CheckFailed: Wrong shape: the result does not depend on the arguments.
    """
    found = {}
    with _other_seeds(seed):
        for module in pkgutil.iter_modules([str(HERE)]):
            if module.name not in ("anew", "engine"):
                # a copy, so that the notebook's own checks stay as they are
                name, path = f"{__package__}.{module.name}", HERE / f"{module.name}.py"
                spec = importlib.util.spec_from_file_location(name, path)
                copy = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(copy)
                found |= {n: e for n, e in vars(copy).items() if isinstance(e, Exercise)}
    return found


@contextmanager
def _other_seeds(seed: int) -> Iterator[None]:
    """Let generators of random numbers that are made with a seed get another one."""
    numpys, torchs = np.random.default_rng, torch.Generator

    class Generator(torchs):
        def manual_seed(self, given):
            return super().manual_seed(
                int(np.random.SeedSequence([seed, given]).generate_state(1)[0])
            )

    np.random.default_rng = lambda given=None: numpys(None if given is None else [seed, given])
    torch.Generator = Generator
    try:
        yield
    finally:
        np.random.default_rng, torch.Generator = numpys, torchs
