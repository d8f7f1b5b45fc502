"""Predict, then run: the reveal waits, the summary follows, and a question may show a picture."""

import base64
import html
import io
import json
import re
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest

from siamdecon.lab import questions
from siamdecon.lab.plots import gallery, picture
from siamdecon.lab.questions import Question, ask, open_questions, predictions


@pytest.fixture(autouse=True)
def a_person(monkeypatch, tmp_path):
    monkeypatch.delenv("SIAMDECON_AUTO", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
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


def test_the_first_choice_is_the_prediction(question):
    """The second one has seen the answer."""
    table = predictions()
    question.choose(0)
    question.choose(1)
    assert (question.chosen, question.predicted) == (1, 0)
    assert "0 of 1 predicted" in table.view.value


def test_a_choice_is_there_again_after_a_restart(tmp_path, monkeypatch, shown):
    first = ask("02/wrap")
    assert list(tmp_path.iterdir()) == []  # asking keeps nothing
    first.choose(2)
    first.choose(first.answer)
    path = tmp_path / "02_fft_convolution.answers.json"
    assert json.loads(path.read_text("utf-8")) == {"02/wrap": first.options[2]}
    ask("02/flip").choose(0)
    monkeypatch.setattr(questions, "_asked", {})
    again = ask("02/wrap")
    assert (again.chosen, again.predicted) == (2, 2)
    assert html.escape(again.verdict) in again.view.children[-1].value
    assert again.reveal(shown).box.layout.display is None
    assert "0 of 1 predicted" in predictions().view.value
    assert len(json.loads(path.read_text("utf-8"))) == 2


def test_an_option_that_the_course_no_longer_has_is_forgotten(tmp_path):
    path = tmp_path / "02_fft_convolution.answers.json"
    path.write_text('{"02/wrap": "It goes to Mars"}')
    question = ask("02/wrap")
    assert question.chosen is None
    question.choose(0)
    assert json.loads(path.read_text("utf-8")) == {"02/wrap": question.options[0]}


def test_answers_lie_beside_the_notebook_that_jupyter_names(tmp_path, monkeypatch):
    notebook = tmp_path / "course" / "my copy.ipynb"
    notebook.parent.mkdir()
    notebook.touch()
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    ask("02/wrap").choose(0)
    assert (tmp_path / "course" / "02_fft_convolution.answers.json").exists()
    monkeypatch.setenv("JPY_SESSION_NAME", "console 3")
    ask("02/wrap").choose(0)
    assert (tmp_path / "02_fft_convolution.answers.json").exists()


def test_an_automatic_run_keeps_nothing_and_restores_nothing(tmp_path, monkeypatch):
    path = tmp_path / "02_fft_convolution.answers.json"
    path.write_text(json.dumps({"02/wrap": ask("02/wrap").options[2]}))
    before = path.read_bytes()
    monkeypatch.setenv("SIAMDECON_AUTO", "1")
    assert ask("02/wrap").chosen == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["[", "[1]", '{"02/wrap": 3}', "\xff"])
def test_a_broken_file_is_left_alone_and_said(content, tmp_path):
    path = tmp_path / "02_fft_convolution.answers.json"
    path.write_text(content, "latin-1")
    before = path.read_bytes()
    question = ask("02/wrap")
    question.choose(0)
    assert question.chosen == 0 and question.verdict.startswith("No: ")
    note = "Not kept for later: 02_fft_convolution.answers.json: expected answers"
    assert note in question.view.children[-1].value
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_where_nothing_can_be_written_answering_goes_on(monkeypatch):
    monkeypatch.chdir("/proc")
    question = ask("02/wrap")
    question.choose(question.answer)
    assert question.verdict.startswith("Right: ")
    assert "Not kept for later: cannot write" in question.view.children[-1].value


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


def test_an_open_answer_is_kept_and_there_again(tmp_path):
    asked = open_questions("02").questions
    assert len(asked) == 2 and list(tmp_path.iterdir()) == []
    asked[0].area.value = "Zero padding, <b>and</b>\nthe centre at index 0: µ.\n"
    path = tmp_path / "02_fft_convolution.answers.json"
    kept = {"02/fault": "Zero padding, <b>and</b>\nthe centre at index 0: µ."}
    assert json.loads(path.read_text("utf-8")) == kept
    assert "Kept in 02_fft_convolution.answers.json." in asked[0].view.children[-1].value
    ask("02/wrap").choose(0)
    again = open_questions("02").questions
    assert [question.area.value for question in again] == [kept["02/fault"], ""]
    again[0].area.value = "Something else."
    assert json.loads(path.read_text("utf-8"))["02/fault"] == "Something else."


def test_open_questions_without_a_kernel_and_for_no_notebook(monkeypatch, tmp_path):
    page = open_questions("00")._repr_mimebundle_()["text/html"]
    assert page.count("<li>") == 2
    monkeypatch.setenv("SIAMDECON_AUTO", "1")
    open_questions("00").questions[0].area.value = "not by a person"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="number: expected one of 00, 01"):
        open_questions("0")
    with pytest.raises(ValueError, match="there is no question '02/fault'"):
        ask("02/fault")


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
