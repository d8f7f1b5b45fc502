"""The notebooks are what their sources say, carry no outputs, and lint."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def derive():
    spec = importlib.util.spec_from_file_location("derive", ROOT / "notebooks" / "derive.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
        '# %% tags=["task"]\ny = ...\n\n# %% tags=["solution"]\ny = 2\n\n# %%\nprint(y)\n'
    )
    learner, solved = (
        [cell.source for cell in derive.derive(source, drop).cells] for drop in ("solution", "task")
    )
    assert learner == ["y = ...", "print(y)"]
    assert solved == ["y = 2", "print(y)"]


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
