"""A small Sphinx extension: notebooks from their percent sources, alt texts, MathJax beside the pages."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import jupytext
import nbformat
from derive import KERNEL, SOURCES, links  # of notebooks/, which conf.py has put on the path
from derive import read as whole
from myst_nb.core.render import NbElementRenderer


def read(text: str) -> nbformat.NotebookNode:
    """Turn a percent source into the notebook of a page: tasks shown, solutions folded."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = {"kernelspec": KERNEL}
    notebook.cells = [_shown(cell) for cell in notebook.cells]
    return notebook


def _shown(cell):
    tags = cell.metadata.get("tags", [])
    if cell.cell_type == "code":
        if "task" in tags:  # its gaps can't run
            return nbformat.v4.new_markdown_cell(f"```python\n{cell.source}\n```")
        if "solution" in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
            cell.metadata["mystnb"] = {
                "code_prompt_show": "Show the solution",
                "code_prompt_hide": "Hide the solution",
            }
        if "hide-cell" in tags:
            cell.metadata["mystnb"] = {
                "code_prompt_show": "Show what the tests check here",
                "code_prompt_hide": "Hide what the tests check here",
            }
        if "gpu" in tags:
            cell.metadata["tags"] = [*tags, "skip-execution"]
    elif "solution" in tags:
        cell.source = f"::::{{dropdown}} What the solution means\n{cell.source}\n::::"
    return cell


def _sources(app) -> None:
    """Lay the notebooks' sources among the pages; one that has not changed stays, and is not read again."""
    folder = Path(app.srcdir) / "course"
    folder.mkdir(exist_ok=True)
    pages = {source.name: _linked(source) for source in SOURCES}
    for page in folder.glob("*.py"):
        if page.name not in pages:
            page.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def _linked(source: Path) -> str:
    """Put links to Colab and Binder below the title of a percent source."""
    first, title, rest = whole(source).split("\n", 2)
    return f"{first}\n{title}\n#\n# The notebook, with exercises to fill in: {links(source.stem)}\n{rest}"


def _with_text_for_pictures() -> None:
    """Let a picture keep the alt text that the notebook gave it, which MyST-NB drops."""
    original = NbElementRenderer.render_image

    def render_image(self, data):
        nodes = original(self, data)
        if alt := data.output_metadata.get(data.mime_type, {}).get("alt"):
            nodes[0]["alt"] = alt
        return nodes

    NbElementRenderer.render_image = render_image


def _mathjax(app) -> None:
    """Copy MathJax beside the pages, so that formulas need no network."""
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent
    folder = Path(app.outdir) / "_static"
    folder.mkdir(exist_ok=True)
    shutil.copy(package / "static" / "mathjax" / "tex-svg.js", folder)


def setup(app) -> dict:
    """Register with Sphinx."""
    _with_text_for_pictures()
    app.connect("builder-inited", _sources)
    app.connect("builder-inited", _mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
