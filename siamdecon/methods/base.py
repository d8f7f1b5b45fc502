"""What every method is: options that are checked once, and a fit that gives what restores a window."""

import os
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch

from siamdecon.expect import expect
from siamdecon.hardware import one_thread_each, to_array
from siamdecon.microscope.noise import Noise
from siamdecon.network.training import Watch
from siamdecon.problem import Problem
from siamdecon.tiles import Estimator

#: How big a run is: a few steps, for structure alone; what two CPU cores train in about a minute; the
#: paper's own settings, for a GPU, and of what is not the paper's, a longer training.
TIERS = ("test", "lab", "full")
#: Every method by its name; a class that sets a name enters itself.
METHODS: dict[str, type["Method"]] = {}


@dataclass(frozen=True)
class Method:
    """A method: a frozen dataclass whose fields are its options.

    A new one sets `name`, says its sizes if it trains, and defines `fit`; see CONTRIBUTING.md.

    Attributes
    ----------
    name : str
        What `deconvolve` calls it.
    sizes : dict
        Options by tier and number of dimensions, where nothing is given.
    choices : tuple of str
        Arguments of `deconvolve` that only some methods have.
    in_windows : bool
        Whether it can restore an image on disk, window by window.
    """

    name: ClassVar[str]
    sizes: ClassVar[dict[str, dict[int, dict]]] = {}
    choices: ClassVar[tuple[str, ...]] = ()
    in_windows: ClassVar[bool] = False

    def __init_subclass__(cls):
        if "name" in vars(cls):
            METHODS[cls.name] = cls

    def fit(self, problem: Problem, watch: Watch) -> Estimator:
        """Look at a problem, train what is to be trained, and return what restores a window of it."""
        raise NotImplementedError

    @classmethod
    def option_names(cls) -> set[str]:
        """Return the names of the options that `deconvolve` passes on."""
        return {field.name for field in fields(cls)}

    @classmethod
    def of_tier(cls, tier: str | None, n_dim: int, options: dict) -> "Method":
        """Return the method with a tier's sizes, and the options given in their place."""
        return cls(**cls.resolved(tier, n_dim, options))

    @classmethod
    def resolved(cls, tier: str | None, n_dim: int, options: dict) -> dict:
        """Return a tier's sizes with the options given in their place; None leaves a size as it is."""
        size, given = cls.size(tier, n_dim), cls.checked(options).items()
        return {**size, **{k: v for k, v in given if v is not None or k not in size}}

    @classmethod
    def size(cls, tier: str | None, n_dim: int) -> dict:
        """Return the options of a tier; none for a method that has no sizes."""
        name = tier_name(tier)
        mend = "an argument or the environment variable SIAMDECON_TIER says it"
        expect(name in TIERS, "tier", f"one of {', '.join(TIERS)}", name, mend)
        return cls.sizes[name][n_dim] if cls.sizes else {}

    @classmethod
    def checked(cls, options: dict) -> dict:
        """Return the options if the method takes them, NumPy's numbers as Python's, for the record."""
        known = cls.option_names()
        if unknown := sorted(set(options) - known - set(cls.choices)):
            raise ValueError(
                f"{cls.name} has no option {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
            )
        return {name: v.item() if isinstance(v, np.generic) else v for name, v in options.items()}

    def check_noise(self) -> None:
        """Raise ValueError unless the option `noise` is a `Noise`, "auto" or None."""
        known = self.noise is None or self.noise == "auto" or isinstance(self.noise, Noise)
        expect(known, "noise", "'auto', a Noise or None", self.noise)

    def clips(self, problem: Problem) -> bool:
        """Tell whether to cut to [0, 1]: as the option `clip` says, else where the measurement is cut."""
        return problem.bounded if self.clip is None else self.clip

    def record(self, **resolved) -> dict:
        """Return the options for the record, those that were resolved among them."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"options": plain(options | resolved)}

    @one_thread_each()
    def restore(self, problem: Problem, watch: Watch) -> np.ndarray:
        """Restore an image in memory, or raise KeyboardInterrupt if that has ended a training early."""
        estimator = self.fit(problem, watch)
        if estimator.used.get("interrupted"):
            raise KeyboardInterrupt  # what is compared with others must be whole
        with torch.inference_mode():
            return to_array(estimator.whole(problem.whole))


def tier_name(name: str | None = None) -> str:
    """Return the name given, else the environment's `SIAMDECON_TIER`, else "lab".

    Examples
    --------
    >>> tier_name("full")
    'full'
    """
    return name or os.environ.get("SIAMDECON_TIER") or "lab"


def plain(settings: dict) -> dict:
    """Keep what JSON can hold; a function or an array leaves its description.

    Examples
    --------
    >>> plain({"iterations": 5, "start": np.zeros(2)})
    {'iterations': 5, 'start': 'array([0., 0.])'}
    """
    simple = (str, int, float, bool, type(None), dict, list, tuple)
    return {k: v if isinstance(v, simple) else repr(v)[:200] for k, v in settings.items()}
