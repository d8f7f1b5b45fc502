"""What a training run leaves behind: its losses."""

import numpy as np
import torch
from torch import Tensor


class History:
    """Every loss term by name, one value a step.

    Examples
    --------
    >>> history = History()
    >>> history.record({"total": torch.tensor(3.0), "rec": torch.tensor(1.0)})
    >>> len(history), history["rec"].tolist()
    (1, [1.0])
    """

    def __init__(self, terms: dict[str, Tensor] | None = None):
        # tensors, turned into numbers only when looked at: asking a GPU at each step would stall it
        self._terms = {name: list(values.unbind()) for name, values in (terms or {}).items()}

    def record(self, terms: dict[str, Tensor]) -> None:
        """Append one step's terms."""
        for name, value in terms.items():
            self._terms.setdefault(name, []).append(value.detach())

    def __len__(self) -> int:
        return len(next(iter(self._terms.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.state()[name].numpy()

    def names(self) -> tuple[str, ...]:
        """Return the names of the recorded terms, "total" first."""
        return tuple(self._terms)

    def state(self) -> dict[str, Tensor]:
        """Return the terms as tensors on the CPU, for a checkpoint."""
        return {name: torch.stack(values).float().cpu() for name, values in self._terms.items()}
