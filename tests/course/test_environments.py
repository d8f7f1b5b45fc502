"""pyproject.toml, environment.yml and binder/ ask for the same packages within the same bounds."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.servers import served

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


def load_install_torch():
    spec = importlib.util.spec_from_file_location("install_torch", ROOT / "install_torch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def on_linux(monkeypatch):
    """The script, on Linux without torch and without a driver."""
    module = load_install_torch()
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    monkeypatch.setattr(module, "installed", lambda: False)
    monkeypatch.setattr(module, "DRIVER", ROOT / "no such file")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    return module


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index of wheels that holds one of torch, a CPU build of the pinned version, without content."""
    folder = tmp_path / "index" / "torch"
    folder.mkdir(parents=True)
    name = f"torch-{load_install_torch().PIN}+cpu"
    about = f"{name}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {name[6:]}\n"
        wheel.writestr("torch/__init__.py", "")
        wheel.writestr(f"{about}/METADATA", metadata + "Requires-Dist: there-is-no-such-package\n")
        tag = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tag)
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(tmp_path / "index") as (address, _):
        yield address.rstrip("/")


def test_without_a_driver_the_cpu_build_is_taken(on_linux, index):
    assert on_linux.choose("auto", index)[0]
    assert not on_linux.choose("default", index)[0]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DRIVER", Path(__file__), "NVIDIA driver"),
        ("installed", lambda: True, "already"),
        ("platform", type("", (), {"system": staticmethod(lambda: "Darwin")}), "Darwin"),
    ],
)
def test_where_pips_default_is_right_it_is_left(on_linux, index, monkeypatch, name, value, why):
    monkeypatch.setattr(on_linux, name, value)
    cpu, reason = on_linux.choose("auto", index)
    assert not cpu and why in reason


def test_an_index_that_does_not_answer_is_left_alone(on_linux):
    cpu, reason = on_linux.choose("auto", "http://127.0.0.1:9")
    assert not cpu and "http://127.0.0.1:9 does not answer" in reason
    assert on_linux.choose("cpu", "http://127.0.0.1:9")[0]


def test_a_wish_that_there_is_not():
    with pytest.raises(SystemExit, match="expected auto, cpu or default, got 'gpu'"):
        load_install_torch().choose("gpu", "")


def test_the_cpu_build_is_installed_alone_and_in_its_pinned_version(index, tmp_path):
    """Its dependencies come later, from where pip looks for the rest."""
    site = tmp_path / "site"
    command = [sys.executable, ROOT / "install_torch.py", "cpu", index]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PIP_TARGET": str(site)},
    )
    assert done.stdout.startswith("PyTorch: the CPU build")
    [found] = importlib.metadata.distributions(path=[str(site)])
    assert (found.name, found.version) == ("torch", f"{load_install_torch().PIN}+cpu")
