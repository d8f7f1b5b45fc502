"""The curves of cost are of what they name: each thing that is timed runs."""

import pytest

from benchmarks import growth


@pytest.mark.parametrize(
    "curve", [growth.step_by_features, growth.pass_by_side], ids=lambda curve: curve.__name__
)
def test_what_is_timed_runs(curve, monkeypatch):
    monkeypatch.setattr(growth, "SIDES", (32,))
    smallest = next(iter(curve().values()))
    smallest()
