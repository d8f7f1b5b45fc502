"""The layout of the package: arrows point down, rooms are few, methods are known by their interface alone."""

import ast
import re
from pathlib import Path

import pytest

import siamdecon
from siamdecon.methods import METHODS

PACKAGE = Path(siamdecon.__file__).parent
SOURCES = PACKAGE.parent / "notebooks" / "source"
#: Rooms from the lowest floor up; a room imports from floors below its own alone.
FLOORS = [
    {"_version", "expect"},
    {"hardware", "files"},
    {"microscope", "tiles", "metrics"},
    {"problem"},
    {"network"},
    {"methods"},
    {"restoration", "inspection", "lab"},
    {"cli", "__init__"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "siamdecon":
            found |= {f"siamdecon.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "data" not in path.parts)
OUTSIDE_LAB = [path for path in FILES if room_of(path) != "lab"]


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_the_rooms_are_those_of_the_plan():
    assert {room_of(path) for path in FILES} == set(FLOOR)
    assert len(FLOOR) <= 16 and len(FLOORS) <= 9


def test_the_plan_for_those_who_change_the_code_names_every_file():
    plan = (PACKAGE.parent / "CONTRIBUTING.md").read_text().partition("## What is where")[2]
    files = {path.name for path in OUTSIDE_LAB if not path.name.startswith("_")}
    assert files - set(re.findall(r"`(\w+\.py)`", plan)) == set()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_arrows_point_down(path):
    mine = room_of(path)
    rooms = {module.split(".")[1] for module in imported(path) if module.startswith("siamdecon.")}
    # names of the package itself, such as `from siamdecon import deconvolve`, are on its own floor
    rooms = {room if room in FLOOR else "__init__" for room in rooms}
    assert {room for room in rooms - {mine} if FLOOR[room] >= FLOOR[mine]} == set()


@pytest.mark.parametrize("path", OUTSIDE_LAB, ids=name)
def test_what_draws_and_what_shows_controls_belongs_to_the_lab(path):
    libraries = {module.split(".")[0] for module in imported(path)}
    assert not libraries & {"ipywidgets", "IPython", "matplotlib"}


@pytest.mark.parametrize("path", OUTSIDE_LAB, ids=name)
def test_no_room_but_methods_compares_the_name_of_a_method(path):
    if room_of(path) == "methods":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            words = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            # "auto" is a word of precision and noise, too
            assert not words & (set(METHODS) - {"auto"}), f"line {node.lineno}"


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.py")), ids=lambda path: path.stem)
def test_notebooks_import_from_a_room_not_from_its_files(path):
    modules = re.findall(r"^(?:# )?from (siamdecon[\w.]*) import", path.read_text(), re.M)
    rooms = {"microscope", "network", "methods", "files", "lab"}
    assert set(modules) <= {"siamdecon", *(f"siamdecon.{room}" for room in rooms)}


@pytest.mark.parametrize("path", OUTSIDE_LAB, ids=name)
def test_warnings_point_at_the_caller(path):
    """A depth of calls that is counted by hand is wrong when a function moves."""
    assert "warnings.warn(" not in path.read_text() or path.name == "expect.py"
