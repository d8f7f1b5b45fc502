"""Every exercise: its stub fails, its solution passes, and each plausible wrong answer gets its own hint."""

import importlib
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch

from siamdecon import PSFConvolution
from siamdecon.lab import checks
from siamdecon.lab.checks import CheckFailed, Exercise
from siamdecon.microscope import residual

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = {name: e for name, e in vars(checks).items() if isinstance(e, Exercise)}
BANK = {}
for path in sorted((ROOT / "tests" / "lab" / "wrong_answers").glob("[a-z]*.py")):
    BANK |= importlib.import_module(f"tests.lab.wrong_answers.{path.stem}").BANK


def written() -> dict[str, tuple[str, str, str]]:
    """Return each exercise's stub, solution and check, as the notebooks' sources have them."""
    found = {}
    for source in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        cells = [c for c in jupytext.read(source, fmt="py:percent").cells if c.cell_type == "code"]
        tags = [cell.metadata.get("tags", []) for cell in cells]
        for i, cell in enumerate(cells):
            if "task" in tags[i]:
                assert "solution" in tags[i + 1], f"{source.name}: a task without its solution"
                check = cells[i + 2].source
                name = check.removeprefix("checks.").split("(")[0]
                found[name] = (cell.source, cells[i + 1].source, check)
    return found


WRITTEN = written()


def answer(source: str):
    """Run a cell that defines a function, and return the last one that it defines."""
    space = {"np": np, "torch": torch, "PSFConvolution": PSFConvolution, "residual": residual}
    exec(source, space)
    return [value for name, value in space.items() if callable(value) and name != "__builtins__"][
        -1
    ]


def test_every_exercise_has_a_notebook_a_bank_and_four_wrong_answers():
    assert set(WRITTEN) == set(EXERCISES) == set(BANK)
    assert all(len(wrong) >= 4 for wrong in BANK.values())


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_fails_and_the_solution_passes(name, capsys):
    stub, solution, _ = WRITTEN[name]
    with pytest.raises(CheckFailed):
        EXERCISES[name](answer(stub))
    assert capsys.readouterr().out == ""
    EXERCISES[name](answer(solution))
    assert capsys.readouterr().out.endswith(": right.\n")


@pytest.mark.parametrize("name", EXERCISES)
def test_every_line_of_a_stub_occurs_in_its_solution(name):
    stub, solution, _ = WRITTEN[name]
    kept = solution.splitlines()
    for line in stub.splitlines():
        if "..." in line:
            start = line.split("...")[0].rstrip()
            assert any(other.startswith(start) for other in kept), line
        elif line.strip() and not line.strip().startswith("#"):
            assert line in kept, line


@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        pytest.param(name, wrong, hint, id=f"{name}-{wrong.__name__}")
        for name, answers in BANK.items()
        for wrong, hint in answers
    ],
)
def test_a_wrong_answer_gets_its_own_hint(name, wrong, hint):
    with pytest.raises(CheckFailed) as failed:
        EXERCISES[name](wrong)
    assert hint in str(failed.value)
    assert sum(hint == other for _, other in BANK[name]) == 1, "hints must tell mistakes apart"


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_differs_from_the_right_answer(name):
    exercise = EXERCISES[name]
    for hint, mistake in exercise.mistakes.items():
        with pytest.raises(CheckFailed) as failed:
            exercise(mistake)
        assert hint in str(failed.value), f"another hint comes first: {failed.value}"


class TestEngine:
    twice = Exercise("twice x", lambda x: 2 * x, ((np.arange(3.0),),), {"squared": lambda x: x**2})

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (5, "Expected a function, got int"),
            (lambda x: None, "Nothing to check yet"),
            (lambda x: ..., "Nothing to check yet"),
            (lambda x: x / None, "Your function raised TypeError"),
            (lambda x: "six", "Expected an array of numbers"),
            (lambda x: x[:2], r"Wrong shape: expected \(3,\), got \(2,\)"),
            (lambda x: x * np.nan, "3 are NaN"),
            (lambda x: x**2, "Wrong values: squared"),
            (lambda x: 3 * x, r"largest difference is 2 at \(2,\), where 4 was expected"),
            (lambda x: np.multiply(x, 2, out=x), "in place"),
        ],
    )
    def test_messages(self, wrong, words):
        with pytest.raises(CheckFailed, match=words):
            self.twice(wrong)

    def test_tensors_and_lists_are_numbers_too(self, capsys):
        self.twice(lambda x: torch.from_numpy(2 * x))
        self.twice(lambda x: [0.0, 2.0, 4.0])
        assert capsys.readouterr().out == 2 * "twice x: right.\n"

    def test_a_notebook_shows_the_message_alone(self):
        assert CheckFailed("hint")._render_traceback_() == ["Not yet. hint"]
