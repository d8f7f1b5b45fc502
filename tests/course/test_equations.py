"""The ledger of equations has no gap and nothing that dangles."""

import importlib
import re
from functools import reduce

import jupytext
import pytest

from tests.course import DERIVE, ROOT

LEDGER = DERIVE.equations()
EACH = pytest.mark.parametrize("entry", LEDGER, ids=[entry["id"] for entry in LEDGER])


def tagged() -> dict[str, list[str]]:
    """Return the notebooks that show each equation, by the tags of their cells."""
    found = {}
    for source in DERIVE.SOURCES:
        for cell in jupytext.read(source, fmt="py:percent").cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("equation:"):
                    found.setdefault(tag.removeprefix("equation:"), []).append(source.stem)
    return found


def test_the_papers_equations_and_all_terms_of_the_first_are_there():
    assert {entry["paper"] for entry in LEDGER if "paper" in entry} == {"1", "2", "3", "4"}
    terms = {"bsp", "rec", "inv", "inv-d", "bound", "bound-d"}
    assert terms <= {entry["id"] for entry in LEDGER if entry.get("paper") == "1"}


def test_no_equation_is_listed_twice():
    ids = [entry["id"] for entry in LEDGER]
    assert len(ids) == len(set(ids))


def test_every_tagged_cell_is_listed_and_every_entry_is_shown_once():
    assert tagged() == {entry["id"]: [entry["notebook"]] for entry in LEDGER}


@EACH
def test_the_function_exists_and_is_documented(entry):
    module, path = entry["function"].split(":")
    function = reduce(getattr, path.split("."), importlib.import_module(module))
    assert function.__doc__


@EACH
def test_the_test_exists(entry):
    file, name = entry["test"].split("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M)


@EACH
def test_the_cell_shows_an_equation(entry):
    source = ROOT / "notebooks" / "source" / f"{entry['notebook']}.py"
    (cell,) = (
        cell
        for cell in jupytext.read(source, fmt="py:percent").cells
        if f"equation:{entry['id']}" in cell.metadata.get("tags", [])
    )
    assert cell.cell_type == "markdown" and "$" in cell.source


def test_the_page_of_notation_is_made_from_the_ledger():
    page = (ROOT / "docs" / "notation.md").read_text()
    assert page == DERIVE.notation(), "run `make notebooks`"
    assert all(entry["tex"] in page for entry in LEDGER)
