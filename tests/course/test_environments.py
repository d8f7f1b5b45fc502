"""pyproject.toml, environment.yml and binder/ ask for the same packages within the same bounds."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
#: What conda calls a package of another name; pytorch-cpu brings no CUDA libraries.
CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


def asked() -> dict[str, str]:
    """Return what the package and its lab need, by conda's names, with their bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    found = dict(re.fullmatch(r"([\w-]+)(.*)", line).groups() for line in needed)
    return {CONDA.get(name, name): bounds for name, bounds in found.items()} | {
        "python": project["requires-python"]
    }


def granted(path: Path) -> dict[str, str]:
    """Return what a conda environment holds, with bounds; pip itself is left out."""
    lines = [d for d in yaml.safe_load(path.read_text())["dependencies"] if isinstance(d, str)]
    found = dict(re.fullmatch(r"([\w-]+)(.*)", line).groups() for line in lines)
    return {name: bounds for name, bounds in found.items() if name != "pip"}


@pytest.mark.parametrize("name", ["environment.yml", "binder/environment.yml"])
def test_names_and_bounds_agree(name):
    assert granted(ROOT / name) == asked()


@pytest.mark.parametrize("name", ["environment.yml", "binder/environment.yml"])
def test_only_cpu_builds_and_one_channel(name):
    text = (ROOT / name).read_text()
    assert yaml.safe_load(text)["channels"] == ["conda-forge"]
    assert not re.search(r"cuda|cudnn|pytorch-gpu|pytorch>", text)


def test_conda_users_get_the_package_itself():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert {"pip": ["--editable ."]} in dependencies and "pip" in dependencies


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binder_scripts_run(name, tmp_path):
    """`start` limits the threads of what it starts; both are executable and valid shell."""
    script = ROOT / "binder" / name
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)
    if name == "start":
        command = [script, "bash", "-c", "echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS"]
        out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        assert out.stdout.split() == ["2", "2"]
