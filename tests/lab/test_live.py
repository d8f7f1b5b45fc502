"""A live view shows terms, estimate and time left, seldom enough, and changes nothing."""

import numpy as np
import pytest
import torch

from siamdecon import TrainingConfig, UNet, train
from siamdecon.lab import live as module
from siamdecon.lab.live import LiveTraining

IMAGE = np.random.default_rng(0).random((48, 48))


@pytest.fixture(autouse=True)
def a_person(monkeypatch):
    monkeypatch.delenv("SIAMDECON_AUTO", raising=False)


def run(callback, steps=6):
    torch.manual_seed(0)
    config = TrainingConfig(steps=steps, batch_size=1, patch_size=32)
    return train(UNet(features=2), IMAGE, np.ones((3, 3)) / 9, config, callback=callback)


def test_it_names_the_terms_and_shows_the_estimate():
    live = LiveTraining(IMAGE)
    before = live.view.children[1].value
    run(live)
    assert live.text.startswith("step 6 of 6, done: rec ")
    assert "inv_d" in live.text and "bound_d" in live.text
    assert live.view.children[1].value != before
    assert live.view.children[2].value.count("<polyline") == 3


def test_it_tells_the_time_left(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    live, seen = LiveTraining(IMAGE), []

    def step(training):
        clock[0] += 1.0
        live(training)
        seen.append(live.text.split(":")[0])

    run(step)
    assert seen[1:] == [
        "step 2 of 6, 4 s left",
        "step 3 of 6, 3 s left",
        "step 4 of 6, 2 s left",
        "step 5 of 6, 1 s left",
        "step 6 of 6, done",
    ]


def test_at_most_four_updates_a_second(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    live = LiveTraining(IMAGE)

    def step(training):
        clock[0] += 0.05
        live(training)

    run(step, steps=40)
    assert 7 <= live.updates <= 2 + 40 * 0.05 / 0.25


def test_an_automatic_run_shows_the_end_alone(monkeypatch):
    monkeypatch.setenv("SIAMDECON_AUTO", "1")
    live = LiveTraining(IMAGE)
    run(live)
    assert live.updates == 1


def test_a_second_training_starts_its_clock_anew():
    live = LiveTraining(IMAGE)
    run(live)
    run(live, steps=3)
    assert live.text.startswith("step 3 of 3, done")


def test_looking_changes_nothing():
    looked, alone = run(LiveTraining(IMAGE)), run(None)
    pairs = zip(looked.model.parameters(), alone.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_guess_in_training_is_as_good_as_the_result():
    """Early in a run the running statistics would still be those of the first, random weights."""
    clean = np.kron(np.random.default_rng(1).random((6, 6)), np.ones((16, 16))).astype(np.float32)
    psf = np.ones((3, 3)) / 9
    torch.manual_seed(0)
    config = TrainingConfig(steps=60, batch_size=4, patch_size=32, learning_rate=4e-3)
    guesses = {}

    def look(training):
        guesses[training.step] = np.mean((module.guess(training, clean) - clean) ** 2)

    result = train(UNet(features=4), clean, psf, config, callback=look)
    assert guesses[60] < 0.3 * clean.var()
    assert guesses[60] < guesses[5]
    assert result.step == 60
