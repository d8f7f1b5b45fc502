"""Derive the notebooks from their sources: edit notebooks/source/*.py, then run `make notebooks`.

Each percent source gives two notebooks without outputs: the learner's in notebooks/, without the
cells tagged "solution", and the solved one in notebooks/solutions/, without those tagged "task".
Both begin with a cell that installs the package on Colab. The same source gives the same bytes.
`--figures` runs the solved notebooks and saves the pictures of cells tagged "figure:NAME" as docs/NAME.png.

docs/notation.md is derived from notebooks/equations.toml, and siamdecon/lab/exercises.json, the checks that
each notebook calls, from the sources.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE / "source").glob("*.py"))
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
COLAB = f"""\
# Only on Colab: install this package, and leave torch and numpy as they are. Elsewhere nothing happens.
import sys
from importlib.metadata import version

if "google.colab" in sys.modules:
    kept = " ".join(f"{{name}}=={{version(name)}}" for name in ("torch", "numpy"))
    %pip install --quiet git+{REPOSITORY} {{kept}}"""


def links(name: str) -> str:
    """Return links that open a notebook on Colab and on Binder."""
    repository, path = REPOSITORY.removeprefix("https://github.com/"), f"notebooks/{name}.ipynb"
    return (
        f"[Open in Colab](https://colab.research.google.com/github/{repository}/blob/main/{path}) | "
        f"[Run on Binder](https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/{path})"
    )


def derive(source: Path, *drop: str) -> nbformat.NotebookNode:
    """Read a percent source, leave out cells with one of the tags, and put Colab's before the first code."""
    notebook = jupytext.read(source, fmt="py:percent")
    cells = [c for c in notebook.cells if not set(drop) & set(c.metadata.get("tags", []))]
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    cells.insert(first, nbformat.v4.new_code_cell(COLAB, metadata={"tags": ["colab", "hide-cell"]}))
    title, rest = cells[0].source.split("\n", 1)
    cells[0].source = f"{title}\n\n{links(source.stem)}\n{rest}"
    for index, cell in enumerate(cells):
        cell["id"] = hashlib.sha256(f"{source.stem}/{index}".encode()).hexdigest()[:12]
        tags = cell.metadata.get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def targets(source: Path) -> dict[Path, str]:
    """Return what a source becomes: each file, and its content."""
    name = f"{source.stem}.ipynb"
    # the course's own tests run in the solved form; a learner may change a number and go on
    kinds = {HERE / name: ("solution", "hide-cell"), HERE / "solutions" / name: ("task",)}
    return {path: nbformat.writes(derive(source, *drop)) + "\n" for path, drop in kinds.items()}


def exercises() -> str:
    """Return what `siamdecon.lab.exercises.json` holds: the checks of each notebook, in its order."""
    found = {}
    for source in SOURCES:
        cells = [c.source for c in derive(source, "task").cells if c.cell_type == "code"]
        called = re.findall(r"^checks\.(\w+)\(", "\n".join(cells), re.M)
        found[source.stem] = list(dict.fromkeys(called))
    return json.dumps(found, indent=1) + "\n"


def equations() -> list[dict]:
    """Read the ledger of equations."""
    return tomllib.loads((HERE / "equations.toml").read_text())["equation"]


def notation() -> str:
    """Return the page of notation: each equation, and where it is computed, shown and tested."""
    parts = [
        "# Notation and equations\n",
        "Made from `notebooks/equations.toml` by `make notebooks`. $x$ is the network's input, the "
        "measurement ($y$ where a classical method restores $x$ from it), $f$ the network, $g$ the "
        "convolution with the PSF $k$, $J$ the masked pixels, $m$ the number of all pixels; $min = 0$ "
        "and $max = 1$. With an argument, $m(\\cdot)$ is the mean that a camera measures for a given "
        "noise-free value, and $m'$ its derivative; $n(\\cdot)$ adds the noise, $c(\\cdot)$ clips to "
        "[0, 1], $D_s$ makes a copy $s$ times smaller, $G$ is a Gaussian, $\\hat x$ an estimate.\n",
    ]
    for entry in equations():
        module, name = entry["function"].split(":")
        parts.append(
            f"## {entry['name']}\n\n$$\n{entry['tex']}\n$$\n\n"
            f"- Source: {entry['source']}\n"
            f"- Computed by `{module}.{name}`\n"
            f"- Shown in notebook `{entry['notebook']}`\n"
            f"- Tested by `{entry['test']}`\n"
        )
    return "\n".join(parts)


def draw_figures(source: Path, folder: Path) -> None:
    """Run a solved notebook and write the picture of each cell tagged figure:NAME."""
    from nbclient import NotebookClient

    notebook = derive(source, "task")
    names = {
        cell.id: tag.removeprefix("figure:")
        for cell in notebook.cells
        for tag in cell.metadata.get("tags", [])
        if tag.startswith("figure:")
    }
    if names:
        os.environ |= {"SIAMDECON_AUTO": "1", "SIAMDECON_TIER": "lab"}
        NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": HERE}}).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if cell.id in names and png:
                (folder / f"{names[cell.id]}.png").write_bytes(base64.b64decode(png))


def main() -> None:
    """Derive all notebooks, or draw the figures of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", action="store_true", help="draw docs/*.png")
    if parser.parse_args().figures:
        for source in SOURCES:
            draw_figures(source, HERE.parent / "docs")
        return
    (HERE / "solutions").mkdir(exist_ok=True)
    for source in SOURCES:
        for path, text in targets(source).items():
            path.write_text(text)
            print(path.relative_to(HERE.parent))
    (HERE.parent / "docs" / "notation.md").write_text(notation())
    (HERE.parent / "siamdecon" / "lab" / "exercises.json").write_text(exercises())


if __name__ == "__main__":
    main()
