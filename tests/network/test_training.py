"""The training loop that all networks share: its losses by name, its average, an interrupt."""

import numpy as np
import pytest
import torch
from torch import nn

from siamdecon.network.training import (
    History,
    MovingAverage,
    Training,
    Watch,
    _deal,
    steps_taken,
)
from siamdecon.problem import Problem


class Line(Training):
    """One weight that is to become 3; what the hooks are told is kept."""

    def __init__(self, decay=0.9, **how):
        torch.manual_seed(0)
        model = nn.Linear(1, 1, bias=False)
        average = MovingAverage(model, decay)
        problem = Problem.look(np.eye(3), np.ones((1, 1)), device="cpu", seed=5)
        super().__init__(model, problem, average, **how)
        self.optimizer = torch.optim.Adam(model.parameters(), 1.0)
        self.weights, self.gradients = [], []

    def rate(self):
        return 0.5 / (1 + self.step)

    def draw(self):
        return (torch.ones(4, 1),)

    def terms(self, model, x):
        far = (model(x) - 3 * x).square().mean()
        return {"total": 2 * far, "far": far}

    def on_gradients(self):
        self.gradients.append(self.model.weight.grad.item())
        self.model.weight.grad.fill_(1.0)

    def on_step(self, watch):
        self.weights.append(self.model.weight.detach().clone())
        super().on_step(watch)


def test_an_empty_history():
    assert len(History()) == 0
    assert History().names() == ()


def test_a_history_goes_on_from_its_state_and_takes_another():
    first, second = History(), History()
    for i in range(3):
        first.record({"total": torch.tensor(2.0 * i), "rec": torch.tensor(float(i))})
    second.record({"total": torch.tensor(7.0), "rec": torch.tensor(5.0)})
    again = History(first.state())
    again.extend(second)
    assert again.names() == ("total", "rec")
    assert again["total"].tolist() == [0, 2, 4, 7] and again["rec"].tolist() == [0, 1, 2, 5]
    assert len(first) == 3 and len(again) == 4


def test_a_term_of_a_history_is_had_without_the_others():
    """Each was stacked to return one; a tensor on the device "meta" has no values that could be."""
    history = History()
    history.record({"total": torch.tensor(2.0), "rec": torch.empty((), device="meta")})
    assert history["total"].tolist() == [2] and history["total"].dtype == np.float32


def test_the_average_is_the_moving_average_of_the_weights():
    """Against the recursion written out: w_avg <- d w_avg + (1 - d) w, with d growing to the decay."""
    run = Line(decay=0.5)
    run.run(30, Watch())
    expected = run.weights[0]
    for n, weight in enumerate(run.weights[1:], start=1):
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(next(run.average.parameters()), expected)


def test_a_step_takes_its_rate_its_terms_and_its_gradients_from_the_subclass():
    run, before, seen = Line(), steps_taken(), []
    start = run.model.weight.item()
    run.run(4, Watch(lambda run: seen.append(run.step)))
    assert seen == [1, 2, 3, 4] and run.step == len(run.history) == steps_taken() - before == 4
    assert run.history.names() == ("total", "far")
    places = [start, *(weight.item() for weight in run.weights)]
    assert run.history["far"] == pytest.approx([(w - 3) ** 2 for w in places[:4]], rel=1e-5)
    assert run.gradients == pytest.approx([4 * (w - 3) for w in places[:4]], rel=1e-5)
    # Adam under a constant gradient moves by the rate
    assert -np.diff(places) == pytest.approx([0.5, 0.25, 0.5 / 3, 0.125], rel=1e-4)


def test_an_interrupt_ends_a_run_with_what_it_has():
    def stop(run):
        if run.step == 2:
            raise KeyboardInterrupt

    run = Line(precision="float32")
    run.run(5, Watch(stop))
    assert run.interrupted and run.step == len(run.history) == 2
    assert run.used() == {"precision": "float32", "steps_done": 2, "interrupted": True}
    run = Line()
    run.run(5, Watch())
    assert not run.interrupted and run.step == 5


def test_the_draws_have_the_problems_seed():
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.rand(3, generator=Line().generator), expected)


class Batches(Training):
    """A small network with batch normalisation, fitted to fixed batches."""

    def __init__(self, parts, norm=True):
        torch.manual_seed(0)
        first = nn.Conv2d(1, 5, 3, padding=1)
        layers = [first, nn.BatchNorm2d(5)] if norm else [first]
        model = nn.Sequential(*layers, nn.LeakyReLU(), nn.Conv2d(5, 1, 1))
        problem = Problem.look(np.eye(3), np.ones((1, 1)), device="cpu")
        super().__init__(model, problem, parts=parts)
        self.optimizer = torch.optim.Adam(model.parameters(), 0.1)

    def draw(self):
        x = torch.randn(10, 1, 6, 6, generator=self.generator)
        return x, x.square()

    def terms(self, model, x, y):
        return {"total": (model(x) - y).square().mean(), "mean": y.mean()}


def test_parts_without_batch_statistics_are_the_whole_batch():
    """Parts of 10 in 4 are 3, 3, 2 and 2: each counts by its size."""
    whole, parts = Batches(1, norm=False), Batches(4, norm=False)
    for run in (whole, parts):
        run.run(5, Watch())
    for name in ("total", "mean"):
        np.testing.assert_allclose(parts.history[name], whole.history[name], rtol=1e-4)
    for ours, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        # gradients that differ by rounding move Adam's steps by as little, apart from those near 0
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_batch_statistics_are_the_mean_of_the_parts():
    run, (x, _) = Batches(2), Batches(2).draw()
    halves = [run.model[0](x[which]).detach() for which in _deal(x, 2)]
    run.take_step()
    norm = run.model[1]
    mean = sum(half.mean(dim=(0, 2, 3)) for half in halves) / 2
    variance = sum(half.var(dim=(0, 2, 3)) for half in halves) / 2
    torch.testing.assert_close(norm.running_mean, norm.momentum * mean)
    torch.testing.assert_close(norm.running_var, 1 - norm.momentum + norm.momentum * variance)
    for twin in run.replicas:
        assert torch.equal(twin[1].running_mean, norm.running_mean)
        assert twin[0].weight.data_ptr() == run.model[0].weight.data_ptr()


@pytest.mark.parametrize("n", [1, 4, 6, 16])
def test_patches_are_dealt_out_by_their_contrast(n):
    batch = torch.randn(n, 1, 8, 8) * torch.randperm(n).view(n, 1, 1, 1)
    dealt = _deal(batch, 2 if n > 1 else 1)
    assert sorted(torch.cat(dealt).tolist()) == list(range(n))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    brightest = batch.flatten(1).std(dim=1).argsort(descending=True).tolist()
    # back and forth: the first and the fourth to one part, the second and the third to the other
    assert dealt[0].tolist()[:2] == [brightest[0], *brightest[3:4]][: len(dealt[0])]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_training_is_the_same_on_any_number_of_threads(parts):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            run = Batches(parts)
            run.run(5, Watch())
            found.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_without_a_progress_bar_nothing_waits_for_the_bars_of_other_processes(monkeypatch):
    """Forked processes share tqdm's lock; one that was killed as it held it stopped all others for good."""
    monkeypatch.setattr(
        "tqdm.std.TqdmDefaultWriteLock.acquire", lambda *_, **__: pytest.fail("waits")
    )
    watch = Watch()
    with watch.bar(2):
        watch.advance()
    with pytest.raises(pytest.fail.Exception), Watch(progress=True).bar(2):
        pass
