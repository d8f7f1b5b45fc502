"""Make slides from the notebooks: `make slides`, which writes build/slides.

A deck has the notebook's headings, equations, exercises, questions, tables and figures; its text is in the
speaker notes, as is its section of docs/teaching-notes.md. Outputs come from the runs that `make site`
keeps; a notebook that has not been run yet is run. Nothing is loaded from another machine: reveal.js and
MathJax lie beside the decks.
"""

import argparse
import html
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
from derive import HERE, SOURCES, read
from nbconvert.exporters import SlidesExporter
from nbformat.v4 import new_markdown_cell

DOCS = HERE.parent / "docs"
#: nbconvert's page without what it would load from elsewhere, and with files that lie beside it.
TEMPLATE = """\
{%- extends 'reveal/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
<script>MathJax = {tex: {inlineMath: [['$', '$']]}, options: {enableMenu: false}};</script>
<script defer src="mathjax/tex-svg.js"></script>
<style>
.reveal h1, .reveal h2, .reveal h3 {text-transform: none !important;}
.reveal img {width: 100%; height: 560px; object-fit: contain; margin: 0;}
.reveal b + img {height: 400px;}
.reveal ul {display: block !important;}
.reveal .highlight pre {width: 100%; font-size: 24px !important;}
.reveal .jp-RenderedHTMLCommon {font-size: 28px;}
.reveal .jp-RenderedHTMLCommon table {font-size: 22px;}
.reveal .jp-InputPrompt {display: none;}
</style>
{%- endblock -%}
{%- block footer_js -%}
<script src="reveal.js/dist/reveal.js"></script>
<script src="reveal.js/plugin/notes/notes.js"></script>
<script>Reveal.initialize({hash: true, slideNumber: true, transition: "none", width: 1280, height: 800,
plugins: [RevealNotes]});</script>
{%- endblock -%}
"""


def deck(notebook: nbformat.NotebookNode, notes: str = "") -> nbformat.NotebookNode:
    """Return a deck of slides: a section across, what belongs to it downwards.

    Parameters
    ----------
    notebook : NotebookNode
        As `course_pages.read` returns it, with outputs.
    notes : str
        What the lecturer says at the beginning.
    """
    title, *cells = notebook.cells
    heading = title.source.split("\n", 1)[0]
    able = re.search(r"^\| After it you can \| (.*?) \|$", title.source, re.M)
    slides = [_slide("slide", f"{heading}\n\n{able[1] if able else ''}"), _notes(notes)]
    section, kind = "", "slide"
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if "hide-cell" in tags or "solution" in tags:
            continue
        if cell.cell_type == "code":
            for shown in _shown(cell):
                slides.append(_slide(kind, f"## {section}\n\n{shown}"))
                kind = "subslide"
            continue
        if cell.source.startswith("```"):  # a task
            slides.append(_slide("-", cell.source))
            continue
        for part in filter(None, re.split(r"^(?=##+ )", cell.source, flags=re.M)):
            head, said = section, _equations(part)
            if found := re.match(r"(##+) (.*)", part):
                head, across = found[2], found[1] == "##"
                said = part.removeprefix(found[0]) if not across or head == "Summary" else said
                kind = "slide" if across else kind
                section = section if head.startswith("Exercise") else head
            if said.strip():  # else the first picture or question below it begins the section
                slides.append(_slide(kind, f"## {head}\n\n{said.strip()}"))
                kind = "subslide"
            slides.append(_notes(part))
    return nbformat.v4.new_notebook(cells=slides, metadata={"title": heading.strip("# ")})


def _slide(kind: str, text: str) -> nbformat.NotebookNode:
    return new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}})


def _notes(text: str) -> nbformat.NotebookNode:
    return _slide("notes", re.sub(r"^:::+.*$", "", text, flags=re.M) or "-")


def _equations(text: str) -> str:
    return "\n\n".join(re.findall(r"\$\$.*?\$\$", text, re.S))


def _shown(cell: nbformat.NotebookNode) -> list[str]:
    """Return the pictures, tables and questions that a cell shows."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        page = "".join(data.get("text/html", ""))
        if png := data.get("image/png"):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            encoded = "".join(png.split())
            found.append(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{encoded}">')
        elif table := data.get("text/markdown"):
            found.append("".join(table))
        elif "<script" in page or not page:  # an explorer: open the notebook
            continue
        elif "<summary>Show the picture</summary>" in page:
            found += re.findall(r"<img [^>]*>", page)
        elif re.search("<table|<summary>Answer</summary>|<ul>", page):
            found.append(page)
    return found


def render(notebook: nbformat.NotebookNode) -> str:
    """Return a deck as a page."""
    exporter = SlidesExporter(raw_template=TEMPLATE, reveal_url_prefix="reveal.js")
    exporter.reveal_theme = "white"
    return exporter.from_notebook_node(notebook)[0]


def lecturers_notes(number: str) -> str:
    """Return the section of docs/teaching-notes.md on a notebook."""
    page = (DOCS / "teaching-notes.md").read_text("utf-8")
    found = re.search(rf"^## {number} .*?\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return found[1].strip() if found else ""


def with_outputs(source: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of its last run for the site; else run it."""
    sys.path.insert(0, str(DOCS))
    import conf  # the site's settings, which say where runs are kept, and how long one may take
    from course_pages import read as page
    from jupyter_cache import get_cache
    from nbclient import NotebookClient

    notebook = page(read(source))
    try:
        _, notebook = get_cache(conf.nb_execution_cache_path).merge_match_into_notebook(notebook)
    except KeyError:
        print(f"{source.stem}: no run of `make site` is kept; running it", file=sys.stderr)
        resources = {"metadata": {"path": HERE}}
        NotebookClient(notebook, timeout=conf.nb_execution_timeout, resources=resources).execute()
    return notebook


def beside(folder: Path) -> None:
    """Copy reveal.js, which sphinx-revealjs brings, and MathJax beside the decks."""
    revealjs = Path(find_spec("sphinx_revealjs").origin).parent / "_static" / "revealjs"
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    (folder / "reveal.js" / "dist" / "theme").mkdir(parents=True, exist_ok=True)
    (folder / "mathjax").mkdir(exist_ok=True)
    for part in ("plugin/notes", "dist/theme/fonts/source-sans-pro"):
        shutil.copytree(revealjs / part, folder / "reveal.js" / part, dirs_exist_ok=True)
    for part in ("LICENSE", "dist/reveal.js", "dist/reveal.css", "dist/theme/white.css"):
        shutil.copy(revealjs / part, folder / "reveal.js" / part)
    shutil.copy(mathjax / "tex-svg.js", folder / "mathjax")


def main() -> None:
    """Write the decks of all notebooks, or of those whose numbers are given, and a list of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("numbers", nargs="*", help="of notebooks, such as 03; all unless given")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    beside(args.folder)
    for source in SOURCES:
        number = source.stem.split("_")[0]
        if not args.numbers or number in args.numbers:
            page = render(deck(with_outputs(source), lecturers_notes(number)))
            (args.folder / f"{source.stem}.html").write_text(page, "utf-8")
            print(args.folder / f"{source.stem}.html")
    made = [path.stem for path in sorted(args.folder.glob("[0-9]*.html"))]
    links = "".join(f'<li><a href="{stem}.html">{stem}</a></li>' for stem in made)
    index = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Slides</title><ul>{links}</ul>"
    )
    (args.folder / "index.html").write_text(index, "utf-8")


if __name__ == "__main__":
    main()
