"""The one training loop: it takes steps and knows nothing of the network or the loss."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from siamdecon.hardware import autocast_dtype, keep_freed_memory, one_thread_each, side_by_side
from siamdecon.problem import Problem

_taken = 0


def steps_taken() -> int:
    """Return how many training steps this process has taken; a notebook's budget is held against it.

    Examples
    --------
    >>> steps_taken() >= 0
    True
    """
    return _taken


@dataclass
class Watch:
    """The one hook of all methods: a progress bar, the caller's callback, and where to save a training.

    Parameters
    ----------
    callback : callable, optional
        Called with the `Training` after each step, or with a number and the estimate so far.
    progress : bool
        Show a progress bar.
    checkpoint : path, optional
        File that a training is saved to, and goes on from.
    checkpoint_every : int
        Number of steps between two saves.

    Examples
    --------
    >>> Watch(callback=print).report(1, "an estimate")
    1 an estimate
    """

    callback: Callable | None = None
    progress: bool = False
    checkpoint: str | Path | None = None
    checkpoint_every: int = 100
    _bar = None

    def report(self, *seen) -> None:
        """Hand what has been reached to the caller's callback."""
        if self.callback is not None:
            self.callback(*seen)

    @contextmanager
    def bar(self, total: int, name: str | None = None, unit: str = "step") -> Iterator[None]:
        """Show a progress bar, if it is asked for, which `advance` moves."""
        # tqdm's lock, which forked processes share, may be held by one that was killed
        if not self.progress:
            yield
            return
        from tqdm.auto import tqdm  # here, since in a notebook it imports ipywidgets

        with tqdm(total=total, desc=name, unit=unit, mininterval=0.25) as self._bar:
            yield
        self._bar = None

    def advance(self, steps: int = 1) -> None:
        """Move the progress bar, if one is shown."""
        if self._bar is not None:
            self._bar.update(steps)


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

    def extend(self, other: "History") -> None:
        """Append the steps of another history."""
        for name, values in other._terms.items():
            self._terms.setdefault(name, []).extend(values)

    def __len__(self) -> int:
        return len(next(iter(self._terms.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return _stacked(self._terms[name]).numpy()

    def names(self) -> tuple[str, ...]:
        """Return the names of the recorded terms, "total" first."""
        return tuple(self._terms)

    def last(self, name: str) -> Tensor:
        """Return a term of the last step."""
        return self._terms[name][-1]

    def state(self) -> dict[str, Tensor]:
        """Return the terms as tensors on the CPU, for a checkpoint."""
        return {name: _stacked(values) for name, values in self._terms.items()}


def _stacked(values: list[Tensor]) -> Tensor:
    """Return the values of a term on the CPU, (steps,)."""
    return torch.stack(values).float().cpu()


class Training:
    """A run in progress, as a callback sees it, and its result when it is done.

    A subclass says what is trained: it makes `optimizer` and defines `draw` and `terms`, and may define
    `rate`, `on_gradients` and `on_step`.

    Each batch is cut into the same parts on every machine, each is computed by one thread, and the
    gradients are summed in a fixed order: a result does not depend on the number of cores.

    Parameters
    ----------
    model : nn.Module
        The network that is trained; its last weights.
    problem : Problem
    average : nn.Module, optional
        The network to restore with: a moving average of the weights; `model` itself unless given.
    precision : str
        See `siamdecon.hardware.autocast_dtype`.
    scaled : bool
        Whether the loss is scaled where convolutions run in float16.
    parts : int
        Into how many parts a batch is cut at most; batch normalisation sees one at a time.

    Attributes
    ----------
    replicas : list of nn.Module
        `model` and its twins, one for each part, with the same weights and gradients of their own.
    history : History
    step : int
        Number of steps done.
    interrupted : bool
        Whether KeyboardInterrupt ended the run early.

    Examples
    --------
    >>> class Halving(Training):
    ...     def __init__(self, model, problem):
    ...         super().__init__(model, problem)
    ...         self.optimizer = torch.optim.Adam(model.parameters(), 0.1)
    ...     def draw(self):
    ...         return (torch.ones(4, 1),)
    ...     def terms(self, model, x):
    ...         return {"total": model(x).square().mean()}
    >>> problem = Problem.look(np.eye(3), np.ones((1, 1)), device="cpu")
    >>> Halving(nn.Linear(1, 1), problem).run(3, Watch(lambda run: print(run.step, end=" ")))
    1 2 3
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        average: nn.Module | None = None,
        precision: str = "auto",
        scaled: bool = False,
        parts: int = 1,
    ):
        keep_freed_memory()
        self.model, self.average, self.device = model, average or model, problem.device
        self.dtype = autocast_dtype(self.device, precision, scaled)
        half = scaled and self.dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.generator = torch.Generator().manual_seed(problem.seed)
        self.history, self.step, self.interrupted = History(), 0, False
        self.parts, self.replicas = parts, [model]

    def draw(self) -> tuple[Tensor, ...]:
        """Draw a batch: what `terms` takes, each with the patches along its first axis."""
        raise NotImplementedError

    def terms(self, model: nn.Module, *batch: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss for a part of a batch, "total" first; each is a mean."""
        raise NotImplementedError

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def on_gradients(self) -> None:
        """Change the gradients before the optimiser sees them."""

    def on_step(self, watch: Watch) -> None:
        """Show what a step has reached."""
        watch.report(self)

    @one_thread_each("set a smaller batch_size, patch_size or features, or device='cpu'")
    def take_step(self) -> None:
        """Compute the loss and its gradients, and let the optimiser take a step."""
        global _taken
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        batch = self.draw()
        n = min(self.parts, len(batch[0]))
        self.replicas += [_twin(self.model) for _ in range(n - len(self.replicas))]
        dealt = _deal(batch[0], n)
        parts = [[tensor[which] for which in dealt] for tensor in batch]
        shares = [len(part) / len(batch[0]) for part in parts[0]]
        terms = side_by_side(self._learn, self.replicas, shares, *parts, device=self.device)
        _meet(self.replicas, shares)
        self.on_gradients()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not self.model:
            self.average.update_parameters(self.model)
        self.history.record({name: sum(part[name] for part in terms) for name in terms[0]})
        self.step += 1
        _taken += 1

    def _learn(self, model: nn.Module, share: float, *part: Tensor) -> dict[str, Tensor]:
        """Compute the gradients of a part of a batch; return its share of each term."""
        model.zero_grad()
        terms = self.terms(model, *part)
        self.scaler.scale(share * terms["total"]).backward()
        return {name: share * term.detach() for name, term in terms.items()}

    def run(self, steps: int, watch: Watch) -> None:
        """Train until `steps` steps are done; KeyboardInterrupt ends the run early."""
        watch.advance(self.step)
        try:
            while self.step < steps:
                self.take_step()
                watch.advance()
                self.on_step(watch)
        except KeyboardInterrupt:
            self.interrupted = True

    def used(self) -> dict:
        """Describe the run for the record of a result."""
        precision = str(self.dtype or torch.float32).removeprefix("torch.")
        return dict(precision=precision, steps_done=self.step, interrupted=self.interrupted)


def _deal(batch: Tensor, parts: int) -> list[Tensor]:
    """Deal the patches out by their contrast, back and forth, so that parts have like statistics.

    Batch normalisation sees a part alone; one of background only would have noise for its unit.
    """
    if parts == len(batch):
        return list(torch.arange(parts, device=batch.device).split(1))
    order = batch.flatten(1).std(dim=1, correction=0).argsort(descending=True, stable=True)
    rounds = [row if i % 2 == 0 else row.flip(0) for i, row in enumerate(order.split(parts))]
    return [torch.stack([row[i] for row in rounds if i < len(row)]) for i in range(parts)]


def _twin(model: nn.Module) -> nn.Module:
    """Return a copy with the model's own weights, and gradients and batch statistics apart."""
    twin = copy.deepcopy(model)
    for theirs, ours in zip(twin.parameters(), model.parameters(), strict=True):
        theirs.data = ours.data
    return twin


def _meet(replicas: list[nn.Module], shares: list[float]) -> None:
    """Sum the gradients into the first replica's, and give all the mean of their batch statistics."""
    weights = zip(*(replica.parameters() for replica in replicas), strict=True)
    used = [same for same in weights if same[0].grad is not None]
    statistics = zip(*(replica.buffers() for replica in replicas), strict=True)
    kept = [same for same in statistics if same[0].is_floating_point()]
    means = [same[0].clone() for same in kept]
    for i, share in enumerate(shares[1:], start=1):
        torch._foreach_add_([same[0].grad for same in used], [same[i].grad for same in used])
        if kept:  # what has not changed stays as it is, to the bit
            change = torch._foreach_sub([same[i] for same in kept], [same[0] for same in kept])
            torch._foreach_add_(means, change, alpha=share)
    for i in range(len(shares) if kept else 0):
        torch._foreach_copy_([same[i] for same in kept], means)


class MovingAverage(AveragedModel):
    """An exponential moving average of a network's weights, which starts short.

    A fixed decay would keep the first, random weights in the average for some 1 / (1 - decay) steps;
    it grows like (1 + n) / (10 + n) up to `decay` instead.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = MovingAverage(model, 0.99)
    >>> for weight in (0.0, 1.1):
    ...     _ = nn.init.constant_(model.weight, weight)
    ...     average.update_parameters(model)
    >>> average.module.weight.data
    tensor([[0.9000]])
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take up a model's weights; `AveragedModel` itself waits for the GPU each time."""
        n = int(self.n_averaged)  # on the CPU
        share = 1 - min(self.decay, (1 + n) / (10 + n)) if n else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            ours.copy_(theirs)
        self.n_averaged += 1
