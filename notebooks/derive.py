"""Derive the notebooks from their sources: edit notebooks/source/*.py, then run `make notebooks`.

Each percent source gives two notebooks without outputs: the learner's in notebooks/, without the
cells tagged "solution", and the solved one in notebooks/solutions/, without those tagged "task".
Both begin with a cell that loads the package, on Colab after installing it, and ask the notebook's open
questions before the summary. The same source gives the same bytes.
`--nbgrader FOLDER` writes a course for nbgrader (docs/teaching.md); --answers and --seed belong to it.
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
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
COLAB = f"""\
# Only on Colab: install this package, and leave torch and numpy as they are.
import sys
from importlib.metadata import version

if "google.colab" in sys.modules:
    kept = " ".join(f"{{name}}=={{version(name)}}" for name in ("torch", "numpy"))
    %pip install --quiet git+{REPOSITORY} {{kept}}

import siamdecon  # before torch: so its waiting threads sleep, and a busy machine slows them less"""

# a row of a table is one line
# ruff: noqa: E501
SYMBOLS = r"""| symbol | meaning |
|---|---|
| $x$ | the measurement: blurred, noisy, the network's input |
| $y$ | the clean image, which is known in simulations only |
| $f(x)$, $\hat y$ | an estimate of it: by the network $f$, or by a classical method |
| $k$, $g$ | the PSF (the kernel), and the convolution with it: $g(\hat y) = \hat y * k$; $\tilde k$ is the flipped kernel, $g^T$ the transpose of $g$ |
| $F$, $u$ | the Fourier transform, and a spatial frequency; $F(k)$ is the transfer function |
| $v$, $w$ | any two images, and $\langle v, w \rangle$ the sum of their product |
| $i$, $p$ | indices of pixels; $p$ is also a position in the kernel, from its centre, and $z$ a distance from the focus |
| $\rho$, $\kappa$ | a position in the pupil, 1 at its rim, and the wavenumber, $2 \pi$ / wavelength |
| $n$ | the number of an iteration |
| $M$, $N$, $d$ | sides of an image and of a kernel, in pixels, and the number of dimensions |
| $J$, $J^c$, $x_{J^c}$ | the masked pixels, all others, and the input with other values, such as noise, at $J$ |
| $m(\cdot)$ | the mean that the camera measures for a given noise-free value, and $m'$ its derivative; $m$ without an argument is the number of pixels, as in Eq. 1 |
| $\mu$, $\Phi$, $\varphi$ | a noise-free value, the normal distribution and its density |
| $\alpha$, $\sigma$, $\varepsilon$ | the photon noise's variance per unit of signal, the standard deviation of the other noise, a normal random number |
| $q$ | a number of photons |
| $E$ | a mean: over images and their noise, over draws of $J$ |
| $L$, $\lambda$ | loss terms and their weights; $min = 0$ and $max = 1$ |
| $\beta$, $l$, $h$ | the weight of smoothness, the Laplacian, a function that is quadratic for small and linear for large differences |
| $r$ | the residual: measurement minus blurred estimate |
| $R$, MSE | the data range, and the mean square error |
| $a$ | the factor by which an estimate fits the clean image best |
| $t$, $\omega$ | the number of a tile, and the weights of its pixels |
| $D_s$, $c(\cdot)$, $G$ | the reduction to a copy $s$ times smaller, clipping to [0, 1], a Gaussian |
"""


def links(name: str) -> str:
    """Return links that open a notebook on Colab and on Binder."""
    repository, path = REPOSITORY.removeprefix("https://github.com/"), f"notebooks/{name}.ipynb"
    return (
        f"[Open in Colab](https://colab.research.google.com/github/{repository}/blob/main/{path}) | "
        f"[Run on Binder](https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/{path})"
    )


#: In a cell of its own, or at the end of one.
SUMMARY = r"\s*^(?:# %% \[markdown\]|#)\n# ## Summary\n"
OPEN = """\
# %% [markdown]
# ## In your own words
#
# Two questions that no check answers. What you write is kept in `{stem}.answers.json` beside this
# notebook, with your predictions.

# %%
from siamdecon.lab import open_questions

open_questions("{number}")
"""


def open_questions() -> dict[str, dict]:
    """Return the questions that a person grades, by key."""
    questions = tomllib.loads((HERE.parent / "siamdecon/lab/questions.toml").read_text("utf-8"))
    return {key: entry for key, entry in questions.items() if "options" not in entry}


def read(source: Path) -> str:
    """Return a percent source with a cell for the notebook's open questions before its summary."""
    text, number = source.read_text("utf-8"), source.stem.split("_")[0]
    if any(key.split("/")[0] == number for key in open_questions()):
        asked = OPEN.format(stem=source.stem, number=number)
        before, after = re.split(SUMMARY, text, maxsplit=1, flags=re.M)
        text = f"{before}\n\n{asked}\n# %% [markdown]\n# ## Summary\n{after}"
    return text


def derive(source: Path, *drop: str) -> nbformat.NotebookNode:
    """Read a percent source, leave out cells with one of the tags, and put Colab's before the first code."""
    notebook = jupytext.reads(read(source), fmt="py:percent")
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
    made = {path: derive(source, *drop) for path, drop in kinds.items()}
    solved = made[HERE / "solutions" / name]
    # so that the grader knows it from a learner's, as siamdecon.lab.submission.checksum says
    code = "\0".join(cell.source for cell in solved.cells if cell.cell_type == "code")
    solved.metadata["siamdecon_solved"] = hashlib.sha256(code.encode()).hexdigest()
    return {path: nbformat.writes(notebook) + "\n" for path, notebook in made.items()}


def exercises() -> str:
    """Return what `siamdecon.lab.exercises.json` holds: the checks of each notebook, in its order."""
    found = {}
    for source in SOURCES:
        cells = [c.source for c in derive(source, "task").cells if c.cell_type == "code"]
        called = re.findall(r"^checks\.(\w+)\(", "\n".join(cells), re.M)
        found[source.stem] = list(dict.fromkeys(called))
    return json.dumps(found, indent=1) + "\n"


#: Of a course for nbgrader: what stands for a solution is nothing, as the stub stands above it; and
#: notebooks are run as in a test, with short trainings.
CONFIG = """\
import os

c = get_config()
c.CourseDirectory.course_id = "siamdecon"
c.ClearSolutions.code_stub = {"python": "# Replace each ... above."}
c.ExecutePreprocessor.timeout = 600
os.environ.update(SIAMDECON_AUTO="1", SIAMDECON_TIER="test", SIAMDECON_OFFLINE="1")
"""
ANSWER = "YOUR ANSWER HERE"  # nbgrader's own words


def rubrics(path: Path | None) -> dict[str, dict]:
    """Read a lecturer's model answers to the open questions: `model`, `rubric` and `points` by key."""
    texts = open_questions()
    given = tomllib.loads(path.read_text("utf-8")) if path else {}
    if unknown := given.keys() - texts.keys():
        raise SystemExit(f"{path}: no open question is called {', '.join(sorted(unknown))}")
    for key, entry in given.items():
        if wrong := entry.keys() - {"model", "rubric", "points"}:
            raise SystemExit(f"{path}: {key} has no {', '.join(sorted(wrong))}")
    return {key: {"points": 2} | texts[key] | given.get(key, {}) for key in texts}


def assignment(source: Path, seed: int, questions: dict[str, dict]) -> nbformat.NotebookNode:
    """Return a notebook as nbgrader's instructor version: tasks, tests with other data, and open questions.

    Parameters
    ----------
    source : Path
    seed : int
        Of the data of the hidden tests.
    questions : dict
        As `rubrics` returns them.
    """
    notebook, cells, stub, task = derive(source, "hide-cell"), [], "", None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        check = re.match(r"checks\.(\w+)\(", cell.source)
        if "task" in tags:
            stub = cell.source
        elif "solution" in tags and cell.cell_type == "code":
            region = f"### BEGIN SOLUTION\n{cell.source}\n### END SOLUTION"
            cell.source, cell.metadata["tags"] = f"{stub}\n\n\n{region}", ["task"]
            cells.append(task := cell)
        elif "solution" in tags:
            continue
        elif check and cell.cell_type == "code":
            name = check[1]
            _graded(task, name, solution=True)
            anew = cell.source.replace(f"checks.{name}(", f'drawn_anew({seed})["{name}"](', 1)
            hidden = f"from siamdecon.lab.checks.anew import drawn_anew\n\n{anew}"
            cell.source += f"\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
            cells.append(_graded(cell, f"{name}-test", points=1, locked=True))
        elif "open_questions(" in cell.source:
            number = source.stem.split("_")[0]
            for key, entry in questions.items():
                if key.split("/")[0] == number:
                    cells += _question(key, entry)
        else:
            cells.append(cell)
    notebook.cells = cells
    return notebook


def _graded(
    cell: nbformat.NotebookNode, name: str, points: int = 0, **kind
) -> nbformat.NotebookNode:
    """Add what nbgrader must know of a cell; version 3 of its metadata."""
    about = {"grade_id": name, "schema_version": 3, "grade": bool(points), "task": False}
    about |= {"points": points} if points else {}
    cell.metadata["nbgrader"] = {"locked": False, "solution": False} | about | kind
    return cell


def _question(key: str, entry: dict) -> list[nbformat.NotebookNode]:
    """Return an open question's two cells: its text, and the answer, which a person grades."""
    name = key.replace("/", "-")
    rubric = "\n".join(f"- {line}" for line in entry.get("rubric", []))
    answer = "\n\n".join(part for part in (entry.get("model", ""), rubric) if part) or ANSWER
    text, said = (nbformat.v4.new_markdown_cell(t) for t in (f"**{entry['text']}**", answer))
    text["id"], said["id"] = f"{name}-text", name
    return [text, _graded(said, name, points=entry["points"], solution=True)]


def write_course(folder: Path, seed: int, answers: Path | None) -> None:
    """Write a course for nbgrader: its configuration, and an assignment for each notebook."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(
            f"{folder} is not empty: name a new folder, so that no work of yours is lost"
        )
    questions = rubrics(answers)
    made = {"nbgrader_config.py": CONFIG}
    for source in SOURCES:
        notebook = nbformat.writes(assignment(source, seed, questions)) + "\n"
        made[f"source/{source.stem}/{source.stem}.ipynb"] = notebook
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8", newline="\n")
    print(f"{folder}: {len(SOURCES)} assignments; cd there, and nbgrader generate_assignment NAME")


def equations() -> list[dict]:
    """Read the ledger of equations."""
    return tomllib.loads((HERE / "equations.toml").read_text("utf-8"))["equation"]


def notation() -> str:
    """Return the page of notation: each equation, and where it is computed, shown and tested."""
    parts = [
        "# Notation and equations\n",
        "Made from `notebooks/equations.toml` by `make notebooks`. A symbol means the same in the whole course:\n",
        SYMBOLS,
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
    parser.add_argument(
        "--nbgrader", type=Path, metavar="FOLDER", help="write a course for nbgrader"
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="TOML: your model answers, for it"
    )
    parser.add_argument("--seed", type=int, default=1, help="of its hidden tests' data")
    args = parser.parse_args()
    if args.nbgrader:
        write_course(args.nbgrader, args.seed, args.answers)
        return
    if args.figures:
        for source in SOURCES:
            draw_figures(source, HERE.parent / "docs")
        return
    (HERE / "solutions").mkdir(exist_ok=True)
    for source in SOURCES:
        for path, text in targets(source).items():
            path.write_text(text, "utf-8", newline="\n")
            print(path.relative_to(HERE.parent))
    (HERE.parent / "docs" / "notation.md").write_text(notation(), "utf-8", newline="\n")
    (HERE.parent / "siamdecon" / "lab" / "exercises.json").write_text(
        exercises(), "utf-8", newline="\n"
    )


if __name__ == "__main__":
    main()
