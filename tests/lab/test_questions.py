"""Predict, then run: the reveal waits, the summary follows, and a question may show a picture."""

import base64
import io
import re

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest

from siamdecon.lab import questions
from siamdecon.lab.plots import gallery, picture
from siamdecon.lab.questions import Question, predictions


@pytest.fixture(autouse=True)
def a_person(monkeypatch):
    monkeypatch.delenv("SIAMDECON_AUTO", raising=False)
    monkeypatch.setattr(questions, "_asked", {})


@pytest.fixture
def question():
    return Question("Is <b> bold?", ["yes", "no"], 1, "it is escaped")


@pytest.fixture
def shown():
    return picture(plt.subplots()[0], "an empty plot")


def test_the_answer_is_not_told_before_a_choice(question):
    assert question.chosen is None
    assert question.verdict == ""
    assert "escaped" not in question.view.children[-1].value


@pytest.mark.parametrize(("index", "verdict"), [(1, "Right: no."), (0, "No: no.")])
def test_a_choice_is_judged_and_explained(question, index, verdict):
    question.choose(index)
    assert question.verdict == f"{verdict} it is escaped"
    assert "it is escaped" in question.view.children[-1].value


def test_the_reveal_waits_for_a_choice(question, shown):
    hint, box = question.reveal(shown).view.children
    assert (hint.layout.display, box.layout.display) == (None, "none")
    question.choose(0)
    assert (hint.layout.display, box.layout.display) == ("none", None)
    assert box.children[0].value == shown.data


def test_a_reveal_made_after_the_choice_is_open(question, shown):
    question.choose(0)
    hint, box = question.reveal(shown).view.children
    assert (hint.layout.display, box.layout.display) == ("none", None)


def test_an_automatic_run_answers_by_itself(monkeypatch):
    monkeypatch.setenv("SIAMDECON_AUTO", "1")
    assert Question("?", ["a", "b"], 1, "").chosen == 0


def test_the_summary_follows_later_answers(question):
    other = Question("And this?", ["a", "b"], 0, "")
    table = predictions()
    assert table.view.value.count("not answered yet") == 2
    other.choose(0)
    question.choose(0)
    assert "1 of 2 predicted" in table.view.value
    assert "Is &lt;b&gt; bold?" in table.view.value


def test_asking_again_replaces_the_question(question):
    Question(question.text, ["yes", "no"], 1, "")
    assert len(predictions().questions) == 1


def test_a_page_without_a_kernel_folds_the_answer_away(question, shown):
    page = question._repr_mimebundle_()["text/html"]
    assert "<details>" in page and "Is &lt;b&gt; bold?" in page
    page = question.reveal(shown)._repr_mimebundle_()["text/html"]
    assert 'alt="an empty plot"' in page and page.startswith("<details>")


@pytest.mark.parametrize(
    ("options", "answer", "words"),
    [(["one"], 0, "two or more"), (["a", "b"], 2, "an index below 2")],
)
def test_impossible_questions(options, answer, words):
    with pytest.raises(ValueError, match=words):
        Question("?", options, answer, "")


PICTURE = gallery({"A": np.eye(8), "B": 1 - np.eye(8)}, alt='a "diagonal" & its negative')


def parts(widget):
    return [widget, *(p for child in getattr(widget, "children", ()) for p in parts(child))]


@pytest.fixture
def pictured():
    return Question("Which one?", ["A", "B"], 1, "it is the negative", picture=PICTURE)


def test_the_picture_stands_in_the_live_view_before_any_answer(pictured):
    images = [w for w in parts(pictured.view) if isinstance(w, widgets.Image)]
    assert [image.value for image in images] == [PICTURE.data]
    assert images[0].layout.display != "none"
    assert pictured.chosen is None


def test_the_static_page_shows_the_picture_and_hides_the_answer(pictured):
    page = pictured._repr_mimebundle_()["text/html"]
    shown, hidden = page.split("<details>")
    pixels = np.asarray(PIL.Image.open(io.BytesIO(PICTURE.data)).convert("RGBA"))
    embedded = base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", shown)[1])
    np.testing.assert_array_equal(PIL.Image.open(io.BytesIO(embedded)).convert("RGBA"), pixels)
    assert 'alt="a &quot;diagonal&quot; &amp; its negative"' in shown
    assert "negative." not in shown and "it is the negative" in hidden


def test_a_question_without_a_picture_shows_none():
    plain = Question("Is it?", ["yes", "no"], 0, "it is")
    assert "<img" not in plain._repr_mimebundle_()["text/html"]
    assert not [w for w in parts(plain.view) if isinstance(w, widgets.Image)]


def test_a_reveal_still_waits_for_its_answer(pictured):
    reveal = pictured.reveal(PICTURE)
    box = reveal.view.children[1]
    assert box.layout.display == "none"
    pictured.choose(0)
    assert box.layout.display is None
    assert pictured.verdict == "No: B. it is the negative"
