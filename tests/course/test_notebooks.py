"""The notebooks are what their sources say, carry no outputs, lint, and keep the course's promises."""

import os
import re
import subprocess
import sys
import tomllib
import types
from importlib.metadata import version

import jupytext
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.course import DERIVE, ROOT

SOURCES = DERIVE.SOURCES
COURSE = pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])


def cells(source, kind=None, tag=None):
    return [
        cell
        for cell in jupytext.read(source, fmt="py:percent").cells
        if kind in (None, cell.cell_type) and (tag is None or tag in cell.metadata.get("tags", []))
    ]


def header(source):
    """Return the rows of the table in a notebook's first cell."""
    rows = re.findall(r"^\| (\w.*?) \| (.*?) \|$", cells(source)[0].source, re.M)
    return dict(rows)


@pytest.fixture(scope="module")
def derive():
    return DERIVE


def test_every_notebook_is_derived_from_its_source_byte_by_byte(derive):
    derived = {}
    for source in derive.SOURCES:
        derived |= derive.targets(source)
    there = {
        path
        for path in (ROOT / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in str(path)
    }
    assert there == set(derived), "run `make notebooks`"
    for path, text in derived.items():
        assert path.read_text() == text, (
            f"{path.name} differs from its source: run `make notebooks`"
        )


def test_notebooks_are_valid_and_carry_no_outputs(derive):
    for source in derive.SOURCES:
        for path in derive.targets(source):
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
            ids = [cell.id for cell in notebook.cells]
            assert len(ids) == len(set(ids))
            for cell in notebook.cells:
                assert not cell.get("outputs")
                assert cell.get("execution_count") is None


def test_a_task_and_its_solution_part_ways(derive, tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "# %% [markdown]\n# # Title\n# Text\n\n"
        '# %% tags=["task"]\ny = ...\n\n# %% tags=["solution"]\ny = 2\n\n'
        '# %%\nprint(y)\n\n# %% tags=["hide-cell"]\nassert y == 2\n'
    )
    learner, solved = (
        [cell.source for cell in nbformat.reads(text, as_version=4).cells]
        for text in derive.targets(source).values()
    )
    assert learner[0] == solved[0] == f"# Title\n\n{derive.links('x')}\nText"
    assert learner[1:] == [derive.COLAB, "y = ...", "print(y)"]
    assert solved[1:] == [derive.COLAB, "y = 2", "print(y)", "assert y == 2"]


def test_the_style_of_the_whole_repository():
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@COURSE
def test_the_first_cell_declares_what_the_learner_needs_to_know(source):
    rows = header(source)
    assert set(rows) == {"After it you can", "Before it", "Reading", "Running"}
    assert 5 <= int(re.fullmatch(r"(\d+) minutes", rows["Reading"])[1]) <= 30
    seconds, steps = map(
        int,
        re.fullmatch(
            r"(\d+) seconds and (\d+) training steps, on two CPU cores", rows["Running"]
        ).groups(),
    )
    assert seconds <= 180
    checked = [re.search(r"check_budget\(training_steps=(\d+)\)", c.source) for c in cells(source)]
    assert [int(found[1]) for found in checked if found] == [steps]


@COURSE
def test_every_notebook_has_exercises_questions_and_a_summary(source):
    tasks, text = cells(source, "code", "task"), source.read_text()
    assert len(tasks) >= 2
    assert len(cells(source, "code", "solution")) == len(tasks)
    assert len(cells(source, "markdown", "solution")) >= len(tasks), "solutions say what they mean"
    assert text.count(" = ask(") >= 1
    assert ".reveal(" in text
    assert "\n# ## Summary\n" in text and "\npredictions()\n" in text
    assert any("assert " in cell.source for cell in cells(source, "code", "hide-cell"))


@COURSE
def test_no_cell_tells_the_answer_to_its_question(source):
    asked = re.findall(r' = ask\("(.*?)"\)', source.read_text())
    assert all(key.startswith(source.stem[:2] + "/") for key in asked)
    for cell in cells(source, "code"):
        assert "answer=" not in cell.source and "because=" not in cell.source
        for key in asked:
            if re.search(rf"\b{key[3:]}\.reveal\(", cell.source):
                assert f"alt={key[3:]}.alt" in cell.source


def test_every_stored_question_is_asked_once():
    asked = re.findall(r' = ask\("(.*?)"\)', "".join(s.read_text() for s in SOURCES))
    stored = tomllib.loads((ROOT / "siamdecon/lab/questions.toml").read_text("utf-8"))
    assert sorted(asked) == sorted(key for key, entry in stored.items() if "options" in entry)


@COURSE
def test_two_open_questions_come_before_the_summary(source, derive):
    """They have a text alone: what a lecturer wants to read there is in no file of the course."""
    number = source.stem[:2]
    asked = {key: q for key, q in derive.open_questions().items() if key.split("/")[0] == number}
    assert len(asked) == 2 and all(set(entry) == {"text"} for entry in asked.values())
    for drop in ("solution", "task"):
        texts = [cell.source for cell in derive.derive(source, drop).cells]
        (at,) = [i for i, text in enumerate(texts) if "open_questions(" in text]
        assert texts[at].endswith(f'\nopen_questions("{number}")')
        assert texts[at - 1].startswith("## In your own words\n")
        assert f"`{source.stem}.answers.json`" in texts[at - 1]
        assert texts[at + 1].startswith("## Summary\n")


def test_every_open_question_belongs_to_a_notebook(derive):
    assert {key[:2] for key in derive.open_questions()} == {source.stem[:2] for source in SOURCES}


@COURSE
def test_every_figure_has_alt_text(source):
    """Figures come from siamdecon.lab.plots, whose functions ask for it; pyplot alone does not."""
    for cell in cells(source, "code"):
        assert "pyplot" not in cell.source and "plt." not in cell.source
        drawn = re.findall(r"\b(?:gallery|lines|picture)\(", cell.source)
        assert cell.source.count("alt=") == len(drawn), cell.source


@COURSE
def test_a_cell_can_be_read_aloud(source):
    for cell in cells(source, "code"):
        assert len(cell.source.splitlines()) <= 32, cell.source


@COURSE
def test_the_learners_notebook_runs_up_to_its_first_stub(source, derive, monkeypatch):
    for name, value in (("TIER", "test"), ("AUTO", "1"), ("OFFLINE", "1")):
        monkeypatch.setenv(f"SIAMDECON_{name}", value)
    notebook = derive.derive(source, "solution", "hide-cell")
    tagged = ["task" in cell.metadata.get("tags", []) for cell in notebook.cells]
    notebook.cells = notebook.cells[: tagged.index(True) + 2]
    check = notebook.cells[-1]
    assert check.source.startswith("checks.")
    # limits for what hangs, far above what a cold and slow machine needs
    limits = {"timeout": 1800, "startup_timeout": 180}
    resources = {"metadata": {"path": ROOT / "notebooks"}}
    client = NotebookClient(notebook, resources=resources, **limits)
    with pytest.raises(CellExecutionError, match=r"Not yet\. "):
        client.execute(env=dict(os.environ))
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert codes[-1] is check and check.outputs[-1].output_type == "error"
    failed = [o for cell in codes[:-1] for o in cell.outputs if o.output_type == "error"]
    assert not failed


@pytest.mark.skipif(not os.environ.get("SIAMDECON_REAL"), reason="names no folder of images")
def test_the_notebook_of_real_data_runs_on_the_real_files(derive, monkeypatch):
    """Without the folder, nbval runs it on simulated ones."""
    monkeypatch.setenv("SIAMDECON_AUTO", "1")
    (source,) = (source for source in SOURCES if source.stem == "11_real_data")
    notebook = derive.derive(source, "task")
    resources = {"metadata": {"path": ROOT / "notebooks"}}
    NotebookClient(notebook, timeout=600, startup_timeout=180, resources=resources).execute()
    said = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    assert "the images are real" in said and "CC BY 4.0" in said


@pytest.mark.parametrize("on_colab", [True, False])
def test_colab_gets_the_package_and_keeps_its_torch_and_numpy(derive, on_colab, monkeypatch):
    """Elsewhere the cell installs nothing."""
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    shell, called = InteractiveShell(), []
    shell.register_magic_function(called.append, magic_name="pip")
    assert shell.run_cell(derive.COLAB).success
    assert bool(called) == on_colab
    if on_colab:
        command, quiet, package, *kept = called[0].split()
        assert (command, quiet) == ("install", "--quiet")
        assert package == f"git+{derive.REPOSITORY}"
        assert kept == [f"{name}=={version(name)}" for name in ("torch", "numpy")]


def test_waiting_threads_sleep_in_a_notebook(derive):
    """OpenMP reads it when torch is loaded, which most notebooks do in their first lines."""
    code = derive.COLAB.replace("%pip", "# %pip")
    code += "\nimport os\nprint('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    unset = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=unset)
    assert done.stdout.split() == ["False", "PASSIVE"]


@COURSE
def test_the_first_code_of_every_notebook_is_that_for_colab(source, derive):
    for drop in ("solution", "task"):
        codes = [cell for cell in derive.derive(source, drop).cells if cell.cell_type == "code"]
        assert [cell.source == derive.COLAB for cell in codes] == [True] + [False] * (
            len(codes) - 1
        )
