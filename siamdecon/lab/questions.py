"""Predict, then run: questions that show the answer after the learner's."""

import base64
import html
import io

import ipywidgets as widgets
import PIL.Image
from IPython.display import Image

from siamdecon.expect import expect_one_of
from siamdecon.lab.automatic import automatic
from siamdecon.lab.course import QUESTIONS
from siamdecon.lab.kept import keep, kept, path_of
from siamdecon.lab.views import live_or_static

_asked: dict[str, "Question"] = {}  # by text; running a cell again replaces its question


class Question:
    """A question with options; the result is hidden until one is chosen.

    A notebook shows it if it is the last line of a cell. Automatic runs choose the first option at once.

    Parameters
    ----------
    text : str
    options : list of str
        At least two.
    answer : int
        Index of the right one.
    because : str
        Why it is right.
    picture : IPython.display.Image, optional
        Shown with the question; its alt text must not reveal the answer.
    alt : str
        Alt text for the picture that the answer reveals; `reveal` does not read it.
    key : str, optional
        Under which the first choice is kept beside the notebook, for when the question is asked again.

    Attributes
    ----------
    predicted : int or None
        Index of the option that was chosen first, before the answer was shown.

    Raises
    ------
    ValueError
        If there are fewer than two options, or the answer is not one of them.

    Examples
    --------
    >>> question = Question("Does a blur keep the sum?", ["yes", "no"], 0, "the kernel sums to 1")
    >>> question.choose(0)
    >>> question.verdict
    'Right: yes. the kernel sums to 1'
    """

    def __init__(
        self,
        text: str,
        options: list[str],
        answer: int,
        because: str,
        picture: Image | None = None,
        alt: str = "",
        key: str | None = None,
    ):
        if len(options) < 2:
            raise ValueError(f"options: expected two or more, got {options!r}")
        if answer not in range(len(options)):
            raise ValueError(
                f"answer: expected an index below {len(options)}, counted from 0, got {answer!r}"
            )
        self.text, self.options, self.answer, self.because = text, list(options), answer, because
        self.picture, self.alt, self.key = picture, alt, key
        self.radio = widgets.RadioButtons(
            options=[(option, index) for index, option in enumerate(options)],
            index=None,
            layout=widgets.Layout(width="auto"),
        )
        self.predicted: int | None = None
        self._verdict, self._note = widgets.HTML(), ""
        shown = [_captioned(picture)] if picture else []
        self.view = widgets.VBox(
            [widgets.HTML(f"<b>{html.escape(text)}</b>"), *shown, self.radio, self._verdict]
        )
        self.radio.observe(self._answered, names="index")
        _asked[text] = self
        if automatic():
            self.choose(0)
        elif key and (before := kept(key)) in self.options:
            self.predicted = self.options.index(before)
            self.choose(self.predicted)

    @property
    def chosen(self) -> int | None:
        """Index of the chosen option; None before a choice."""
        return self.radio.index

    @property
    def verdict(self) -> str:
        """The text shown after a choice; empty before."""
        if self.chosen is None:
            return ""
        word = "Right" if self.chosen == self.answer else "No"
        return f"{word}: {self.options[self.answer]}. {self.because}"

    def choose(self, index: int) -> None:
        """Choose an option, as a click does."""
        self.radio.index = index

    def reveal(self, picture: Image) -> "Reveal":
        """Return the picture, hidden until an option is chosen.

        Parameters
        ----------
        picture : IPython.display.Image
            With alt text, as `siamdecon.lab.plots` makes them.
        """
        return Reveal(self, picture)

    def _answered(self, change=None) -> None:
        if self.predicted is None and self.chosen is not None:
            self.predicted = self.chosen
            self._note = keep(self.key, self.options[self.chosen]) if self.key else ""
        note = f"<br><small>{html.escape(self._note)}</small>" if self._note else ""
        self._verdict.value = f"<div role='status'>{html.escape(self.verdict)}{note}</div>"

    def _static(self) -> str:
        options = "".join(f"<li>{html.escape(option)}</li>" for option in self.options)
        right = html.escape(f"{self.options[self.answer]}. {self.because}")
        return (
            f"<div><b>{html.escape(self.text)}</b>{_tag(self.picture)}<ul>{options}</ul>"
            f"<details><summary>Answer</summary>{right}</details></div>"
        )

    def _repr_mimebundle_(self, **kwargs) -> dict:
        return live_or_static(self.view, self._static())


def ask(key: str) -> Question:
    """Ask a question of the course, whose answer stands in questions.toml and not in the notebook.

    Parameters
    ----------
    key : str
        The notebook's number and the question's name, as "03/more".

    Raises
    ------
    ValueError
        If there is no such question.

    Examples
    --------
    >>> ask("02/wrap").chosen is None
    True
    """
    known = {name: entry for name, entry in QUESTIONS.items() if "options" in entry}
    if key not in known:
        raise ValueError(f"there is no question {key!r}; there are {', '.join(known)}")
    entry = known[key]
    return Question(**entry | {"answer": entry["options"].index(entry["answer"])}, key=key)


class OpenQuestion:
    """A question to which the learner writes an answer, kept beside the notebook for the lecturer to read.

    Parameters
    ----------
    text : str
    key : str
        Under which the answer is kept.

    Examples
    --------
    >>> OpenQuestion("Why is the sky blue?", "00/sky").area.value
    ''
    """

    def __init__(self, text: str, key: str):
        self.text, self.key = text, key
        wide = widgets.Layout(width="auto", height="8em")
        shown = "Two to five sentences. What you write is kept when you leave the box."
        self.area = widgets.Textarea(
            kept(key) or "",
            description="Your answer",
            placeholder=shown,
            continuous_update=False,
            layout=wide,
        )
        self._note = widgets.HTML()
        self.view = widgets.VBox(
            [widgets.HTML(f"<b>{html.escape(text)}</b>"), self.area, self._note]
        )
        self.area.observe(self._answered, names="value")

    def _answered(self, change=None) -> None:
        said = keep(self.key, self.area.value.strip()) or f"Kept in {path_of(self.key).name}."
        self._note.value = f"<div role='status'><small>{html.escape(said)}</small></div>"


class OpenQuestions:
    """The open questions of a notebook; it shows them if they are the last line of a cell."""

    def __init__(self, questions: list[OpenQuestion]):
        self.questions = questions
        self.view = widgets.VBox([question.view for question in questions])

    def _repr_mimebundle_(self, **kwargs) -> dict:
        texts = "".join(f"<li>{html.escape(question.text)}</li>" for question in self.questions)
        return live_or_static(self.view, f"<ul>{texts}</ul>")


def open_questions(number: str) -> OpenQuestions:
    """Ask a notebook's open questions, which a person grades.

    Parameters
    ----------
    number : str
        The notebook's, as "03".

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> [question.key for question in open_questions("02").questions]
    ['02/fault', '02/beyond']
    """
    numbers = sorted({key.split("/")[0] for key, q in QUESTIONS.items() if "options" not in q})
    expect_one_of(numbers, number=number)
    return OpenQuestions(
        [
            OpenQuestion(entry["text"], key)
            for key, entry in QUESTIONS.items()
            if key.split("/")[0] == number and "options" not in entry
        ]
    )


class Reveal:
    """A picture that is hidden until a question is answered."""

    def __init__(self, question: Question, picture: Image):
        self.question, self.picture = question, picture
        self.hint = widgets.HTML("<i>Answer the question above to see this.</i>")
        self.box = _captioned(picture)
        self.view = widgets.VBox([self.hint, self.box])
        question.radio.observe(self._answered, names="index")
        self._answered()

    def _answered(self, change=None) -> None:
        answered = self.question.chosen is not None
        self.hint.layout.display = "none" if answered else None
        self.box.layout.display = None if answered else "none"

    def _repr_mimebundle_(self, **kwargs) -> dict:
        static = f"<details><summary>Show the picture</summary>{_tag(self.picture)}</details>"
        return live_or_static(self.view, static)


class Predictions:
    """A table of this notebook's questions: the prediction and the answer, updated by later answers.

    Examples
    --------
    >>> question = Question("Is noise kept?", ["no", "yes"], 1, "it is clipped only")
    >>> table = Predictions([question])
    >>> question.choose(1)
    >>> "1 of 1 predicted" in table.view.value
    True
    """

    def __init__(self, questions: list[Question]):
        self.questions = questions
        self.view = widgets.HTML()
        for question in questions:
            question.radio.observe(self._update, names="index")
        self._update()

    def _update(self, change=None) -> None:
        rows = "".join(_row(question) for question in self.questions)
        right = sum(question.predicted == question.answer for question in self.questions)
        head = "<tr><th>question</th><th>you predicted</th><th>it is</th></tr>"
        count = f"<p>{right} of {len(self.questions)} predicted.</p>"
        self.view.value = f"<table>{head}{rows}</table>{count}"

    def _repr_mimebundle_(self, **kwargs) -> dict:
        static = "<i>In a running notebook, your predictions are listed here.</i>"
        return live_or_static(self.view, static)


def predictions() -> Predictions:
    """Return the table of all questions that this notebook has asked so far.

    Examples
    --------
    >>> type(predictions()).__name__
    'Predictions'
    """
    return Predictions(list(_asked.values()))


def _row(question: Question) -> str:
    first = question.predicted
    predicted = "not answered yet" if first is None else question.options[first]
    truth = "?" if first is None else question.options[question.answer]
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in (question.text, predicted, truth))
    return f"<tr>{cells}</tr>"


def _captioned(picture: Image) -> widgets.VBox:
    """Return a picture as a widget, its alt text below it."""
    image = widgets.Image(value=picture.data, format="png")
    image.layout = widgets.Layout(max_width="100%", object_fit="contain")
    caption = widgets.HTML(f"<small>{html.escape(picture.alt or '')}</small>")
    return widgets.VBox([image, caption])


def _tag(picture: Image | None) -> str:
    """Return a picture as HTML, as lossless WebP, a third smaller; an empty string without a picture."""
    if picture is None:
        return ""
    webp = io.BytesIO()
    PIL.Image.open(io.BytesIO(picture.data)).save(webp, "webp", lossless=True)
    data = base64.b64encode(webp.getvalue()).decode()
    alt = html.escape(picture.alt or "", quote=True)
    return f'<img alt="{alt}" src="data:image/webp;base64,{data}">'
