"""A question may show a picture, in the live view and in a static page alike."""

import base64

import ipywidgets as widgets
import numpy as np
import pytest

from siamdecon.lab.plots import gallery
from siamdecon.lab.questions import Question

PICTURE = gallery({"A": np.eye(8), "B": 1 - np.eye(8)}, alt='a "diagonal" & its negative')


def parts(widget):
    return [widget, *(p for child in getattr(widget, "children", ()) for p in parts(child))]


@pytest.fixture
def question(monkeypatch):
    monkeypatch.delenv("SIAMDECON_AUTO", raising=False)
    return Question("Which one?", ["A", "B"], 1, "it is the negative", picture=PICTURE)


def test_the_picture_stands_in_the_live_view_before_any_answer(question):
    images = [w for w in parts(question.view) if isinstance(w, widgets.Image)]
    assert [image.value for image in images] == [PICTURE.data]
    assert images[0].layout.display != "none"
    assert question.chosen is None


def test_the_static_page_shows_the_picture_and_hides_the_answer(question):
    page = question._repr_mimebundle_()["text/html"]
    shown, hidden = page.split("<details>")
    assert base64.b64encode(PICTURE.data).decode() in shown
    assert 'alt="a &quot;diagonal&quot; &amp; its negative"' in shown
    assert "negative." not in shown and "it is the negative" in hidden


def test_a_question_without_a_picture_shows_none(monkeypatch):
    monkeypatch.delenv("SIAMDECON_AUTO", raising=False)
    plain = Question("Is it?", ["yes", "no"], 0, "it is")
    assert "<img" not in plain._repr_mimebundle_()["text/html"]
    assert not [w for w in parts(plain.view) if isinstance(w, widgets.Image)]


def test_a_reveal_still_waits_for_its_answer(question):
    reveal = question.reveal(PICTURE)
    box = reveal.view.children[1]
    assert box.layout.display == "none"
    question.choose(0)
    assert box.layout.display is None
    assert question.verdict == "No: B. it is the negative"
