"""The course for nbgrader: cells that it accepts; grades for solved, untouched and half-done notebooks."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib

import nbformat
import numpy as np
import pytest

from siamdecon.lab.course import NOTEBOOKS, QUESTIONS
from tests.course import DERIVE, ROOT
from tests.lab.test_checks import EXERCISES, WRITTEN, answer

COURSE = pytest.mark.parametrize("source", DERIVE.SOURCES, ids=lambda source: source.stem)
NBGRADER = pytest.mark.skipif(
    not importlib.util.find_spec("nbgrader"), reason='needs pip install "siamdecon[teach]"'
)
OPEN = [key for key, entry in QUESTIONS.items() if "options" not in entry]


def made(source, **kwargs):
    return DERIVE.assignment(source, kwargs.pop("seed", 1), DERIVE.rubrics(None), **kwargs)


def graded(notebook, **wanted):
    """Return the cells whose metadata for nbgrader have these values."""
    about = [(cell, cell.metadata.get("nbgrader", {})) for cell in notebook.cells]
    return [cell for cell, data in about if data and wanted.items() <= data.items()]


@COURSE
def test_every_cell_is_what_nbgraders_schema_asks_for(source):
    """Version 3 of it, as its documentation has it: kinds that may be combined, points, unique names."""
    notebook = made(source)
    nbformat.validate(notebook)
    names = [cell.metadata["nbgrader"]["grade_id"] for cell in graded(notebook)]
    assert len(names) == len(set(names)) and all(re.fullmatch(r"[\w-]+", n) for n in names)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in graded(notebook):
        data = cell.metadata["nbgrader"]
        assert data["schema_version"] == 3 and data["task"] is False
        assert ("points" in data) == data["grade"]
        assert data["grade"] or data["solution"]
        # nbgrader takes a graded, unlocked cell for an answer that a person reads
        assert data["locked"] == (data["grade"] and not data["solution"])
        assert (cell.cell_type == "markdown") == (data["grade"] and data["solution"])


@COURSE
def test_a_task_keeps_its_stub_and_a_test_hides_other_data(source):
    notebook = made(source, seed=77)
    tasks, tests = graded(notebook, solution=True, grade=False), graded(notebook, locked=True)
    assert [t.metadata["nbgrader"]["grade_id"] for t in tasks] == NOTEBOOKS[source.stem]
    for task, test in zip(tasks, tests, strict=True):
        name = task.metadata["nbgrader"]["grade_id"]
        stub, solution, check = WRITTEN[name]
        assert task.source == f"{stub}\n\n\n### BEGIN SOLUTION\n{solution}\n### END SOLUTION"
        assert test.metadata["nbgrader"]["grade_id"] == f"{name}-test"
        shown, hidden = test.source.split("\n### BEGIN HIDDEN TESTS\n")
        assert shown == check
        space = {name: answer(solution)}
        exec(hidden, space)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert text.count('drawn_anew(77)["') == len(tests)
    assert "SystemExit" not in text and not graded(notebook, task=True)


def test_model_answers_come_from_the_lecturers_file_and_stand_nowhere_else(tmp_path):
    """The form that docs/teaching.md shows, with a question of the course."""
    page = (ROOT / "docs" / "teaching.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    (shown,) = tomllib.loads(example).items()
    assert shown[0] == "00/example" and set(shown[1]) == {"points", "model", "rubric"}
    path = tmp_path / "answers.toml"
    path.write_text(example.replace("00/example", OPEN[0]), "utf-8")
    rubrics = DERIVE.rubrics(path)
    assert set(rubrics) == set(OPEN)
    text, said = DERIVE._question(OPEN[0], rubrics[OPEN[0]])
    assert text.source == f"**{QUESTIONS[OPEN[0]]['text']}**"
    assert shown[1]["model"] in said.source and all(r in said.source for r in shown[1]["rubric"])
    assert said.metadata["nbgrader"]["points"] == shown[1]["points"]
    for key in OPEN[1:]:
        _, empty = DERIVE._question(key, rubrics[key])
        assert empty.source == DERIVE.ANSWER and empty.metadata["nbgrader"]["points"] == 2
    assert all(set(QUESTIONS[key]) == {"text"} for key in OPEN)


@pytest.mark.parametrize(
    ("content", "words"),
    [('["00/none"]\n', "no open question"), (f'["{OPEN[0]}"]\nmodell = "x"\n', "has no modell")],
)
def test_a_misspelt_file_is_refused(content, words, tmp_path):
    (tmp_path / "answers.toml").write_text(content)
    with pytest.raises(SystemExit, match=words):
        DERIVE.rubrics(tmp_path / "answers.toml")


def test_a_folder_with_work_in_it_is_left_alone(tmp_path):
    DERIVE.write_course(tmp_path / "course", 1, None)
    there = sorted(path.stem for path in (tmp_path / "course" / "source").rglob("*.ipynb"))
    assert there == [source.stem for source in DERIVE.SOURCES]
    with pytest.raises(SystemExit, match="not empty"):
        DERIVE.write_course(tmp_path / "course", 1, None)


TINY = """\
# %% [markdown]
# # Two exercises
# As in the course.

# %%
import numpy as np

from siamdecon.lab import checks

# %% tags=["task"]
{0[0]}

# %% tags=["solution"]
{0[1]}

# %%
{0[2]}

# %% tags=["task"]
{1[0]}

# %% tags=["solution"]
{1[1]}

# %%
{1[2]}

# %% [markdown]
# ## Summary
"""


@NBGRADER
def test_nbgrader_grades_solved_untouched_and_half_done(tmp_path, monkeypatch):
    """In the half-done one, the first exercise returns what the notebook's own data lead to."""
    first, second = "camera", "fft_convolve"
    source = tmp_path / "01_tiny.py"
    source.write_text(TINY.format(WRITTEN[first], WRITTEN[second]))
    monkeypatch.setattr(DERIVE, "SOURCES", [source])
    course = tmp_path / "course"
    DERIVE.write_course(course, 5, None)
    bin_ = os.path.dirname(sys.executable)  # nbgrader calls alembic
    env = os.environ | {"PATH": os.pathsep.join((bin_, os.environ["PATH"]))}

    def nbgrader(*words):
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    nbgrader("generate_assignment", "01_tiny")
    released = course / "release" / "01_tiny" / "01_tiny.ipynb"
    text = released.read_text()
    assert "drawn_anew" not in text and "BEGIN" not in text and "noisy = ..." in text
    by_heart = [EXERCISES[first].oracle(*given).tolist() for given in EXERCISES[first].inputs]
    by_heart = f"def {first}(b, r, a, s):\n    return np.array({by_heart}[int(a > 0.01)])"
    answer_ = {"np": np}
    exec(by_heart, answer_)
    EXERCISES[first](answer_[first])  # right for the notebook's own data
    handed_in = {
        "solved": {
            first: WRITTEN[first][1],
            second: WRITTEN[second][1],
            "01-offset": "It is wrong.",
        },
        "untouched": {},
        "half": {first: by_heart, second: WRITTEN[second][1]},
    }
    for learner, answers in handed_in.items():
        notebook = nbformat.read(released, 4)
        for cell in graded(notebook, locked=False):
            name = cell.metadata["nbgrader"]["grade_id"]
            cell.source = answers.get(name, cell.source)
        path = course / "submitted" / learner / "01_tiny" / "01_tiny.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    nbgrader("autograde", "01_tiny")
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        scores = {name: book.find_submission("01_tiny", name) for name in handed_in}
        tests = {name: found.notebooks[0].code_score for name, found in scores.items()}
        read = {name: found.needs_manual_grade for name, found in scores.items()}
        assert scores["solved"].max_score == 2 + 2 * 2
    assert tests == {"solved": 2, "untouched": 0, "half": 1}
    assert read["solved"]
