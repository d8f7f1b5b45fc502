"""Slides: what of a notebook they show, what they only say, and that they load nothing from elsewhere."""

import importlib.util
import re
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.course import DERIVE, ROOT


@pytest.fixture(scope="module")
def slides():
    sys.modules["derive"] = DERIVE  # a script beside it
    spec = importlib.util.spec_from_file_location("slides", ROOT / "notebooks" / "slides.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["derive"]


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def shows(tags=(), metadata=None, **data):
    mime = {name.replace("_", "/"): value for name, value in data.items()}
    output = new_output("display_data", mime, metadata=metadata or {})
    return new_code_cell(
        "code_that_is_not_shown()", outputs=[output], metadata={"tags": list(tags)}
    )


NOTEBOOK = new_notebook(
    cells=[
        new_markdown_cell(
            "# A title\n\nSome text.\n\n| | |\n|---|---|\n| After it you can | do it |"
        ),
        new_markdown_cell("## A section\n\nIts text.\n\n$$a = b$$\n\nMore."),
        shows(image_png=PIXEL, metadata={"image/png": {"alt": 'a "dot"'}}),
        shows(text_html="<script>an_explorer()</script><table></table>"),
        shows(
            text_html="<div>Why?<ul><li>A</li></ul><details><summary>Answer</summary>A</details></div>"
        ),
        shows(
            text_html="<details><summary>Show the picture</summary><img alt='x' src='data:,'></details>"
        ),
        shows(text_html="<table><tr><td>22.5</td></tr></table>"),
        shows(text_markdown="| | dB |\n|---|---|\n| a | 20 |"),
        shows(["hide-cell"], text_html="<table><tr><td>of the tests</td></tr></table>"),
        new_markdown_cell("## Only a question\n\nText."),
        shows(text_html="<table><tr><td>1</td></tr></table>"),
        new_markdown_cell("### Exercise 1: add\n\nAdd two numbers."),
        new_markdown_cell("```python\ndef add(a, b):\n    return ...\n```"),
        new_code_cell("def add(a, b): return a + b", metadata={"tags": ["solution"]}),
        new_markdown_cell("A sum is a sum.", metadata={"tags": ["solution"]}),
        shows(image_png=PIXEL),
        new_markdown_cell("## A last section\n\nIts text.\n\n### Exercise 2: halve\n\nHalve it."),
        new_markdown_cell("```python\ndef half(a):\n    return ...\n```"),
        new_markdown_cell("## Summary\n\n- One thing."),
    ]
)


def test_what_is_shown_and_what_is_only_said(slides):
    deck = slides.deck(NOTEBOOK, "Ask for votes.")
    nbformat.validate(deck)
    kinds = [cell.metadata.slideshow.slide_type for cell in deck.cells]
    shown = [c.source for c, kind in zip(deck.cells, kinds, strict=True) if kind != "notes"]
    said = "\n".join(c.source for c, kind in zip(deck.cells, kinds, strict=True) if kind == "notes")
    assert shown == [
        "# A title\n\ndo it",
        "## A section\n\n$$a = b$$",
        f'## A section\n\n<img alt="a &quot;dot&quot;" src="data:image/png;base64,{PIXEL}">',
        f"## A section\n\n{NOTEBOOK.cells[4].outputs[0].data['text/html']}",
        "## A section\n\n<img alt='x' src='data:,'>",
        "## A section\n\n<table><tr><td>22.5</td></tr></table>",
        "## A section\n\n| | dB |\n|---|---|\n| a | 20 |",
        "## Only a question\n\n<table><tr><td>1</td></tr></table>",
        "## Exercise 1: add\n\nAdd two numbers.",
        NOTEBOOK.cells[12].source,
        f'## Only a question\n\n<img alt="" src="data:image/png;base64,{PIXEL}">',
        "## Exercise 2: halve\n\nHalve it.",
        NOTEBOOK.cells[17].source,
        "## Summary\n\n- One thing.",
    ]
    assert kinds[:2] == ["slide", "notes"] and kinds.count("slide") == 5
    assert all(words in said for words in ("Ask for votes.", "Its text.", "Add two numbers."))


def test_a_page_loads_nothing_from_elsewhere(slides):
    page = slides.render(slides.deck(NOTEBOOK))
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)|@import[^;]*|url\((http[^)]*)""", page)
    files = {name for name, _ in loaded if not name.startswith(("data:", "#"))}
    assert files == {
        "mathjax/tex-svg.js",
        "reveal.js/dist/reveal.css",
        "reveal.js/dist/reveal.js",
        "reveal.js/dist/theme/white.css",
        "reveal.js/plugin/notes/notes.js",
    }
    assert "require(" not in page and "<script src=" in page
    assert page.count('<aside class="notes">') == 7


def test_every_notebook_has_its_notes(slides):
    page = (ROOT / "docs" / "teaching-notes.md").read_text("utf-8")
    heads = re.findall(r"^## (\d\d) (.*)$", page, re.M)
    assert [number for number, _ in heads] == [s.stem.split("_")[0] for s in DERIVE.SOURCES]
    for source, (number, head) in zip(DERIVE.SOURCES, heads, strict=True):
        title = re.search(r"^# # (.*)$", source.read_text("utf-8"), re.M)[1]
        assert title.split(":")[0] == head, source.stem
        notes = slides.lecturers_notes(number)
        parts = ("What learners get wrong.", "What to say.", "When to move on.")
        assert [part for part in parts if f"**{part}**" not in notes] == []
        assert 120 < len(notes.split()) < 400


def test_reveal_and_mathjax_are_laid_beside_the_decks(slides, tmp_path):
    for package in ("sphinx_revealjs", "sphinx-mathjax-offline"):
        if importlib.util.find_spec(package) is None:
            pytest.skip('needs pip install "siamdecon[slides]"')
    slides.beside(tmp_path)
    for name in ("dist/reveal.js", "dist/reveal.css", "dist/theme/white.css", "LICENSE"):
        assert (tmp_path / "reveal.js" / name).stat().st_size > 500
    assert (tmp_path / "reveal.js" / "plugin" / "notes" / "notes.js").exists()
    assert (tmp_path / "mathjax" / "tex-svg.js").exists()
    for css in (tmp_path / "reveal.js").rglob("*.css"):
        assert not re.search(r"(url|@import)\W*https?:", css.read_text("utf-8")), css
