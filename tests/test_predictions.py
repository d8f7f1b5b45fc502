"""Predict, then run: the reveal waits, and the summary follows."""

import matplotlib.pyplot as plt
import pytest

from siamdecon.lab import questions
from siamdecon.lab.plots import picture
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
