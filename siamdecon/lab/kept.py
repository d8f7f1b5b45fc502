"""What a learner has chosen and written, kept in a file beside the notebook for after a restart."""

import json
import os
from pathlib import Path

from siamdecon.files.atomic import write_atomically
from siamdecon.lab.automatic import automatic
from siamdecon.lab.course import NOTEBOOKS

SUFFIX = ".answers.json"


def path_of(key: str) -> Path:
    """Return the file for the answers to a notebook's questions.

    It has the name that the course gives the notebook, and lies beside it: Jupyter tells a kernel where its
    notebook is, other programs start it there.

    Parameters
    ----------
    key : str
        Of a question, such as "03/more".

    Examples
    --------
    >>> path_of("00/winner").name
    '00_quickstart.answers.json'
    """
    notebook = Path(os.environ.get("JPY_SESSION_NAME", ""))  # set by Jupyter's server
    folder = notebook.parent if notebook.suffix == ".ipynb" and notebook.is_file() else Path.cwd()
    number = key.split("/")[0]
    stem = next((name for name in NOTEBOOKS if name.split("_")[0] == number), number)
    return folder / f"{stem}{SUFFIX}"


def read_answers(path: Path) -> dict[str, str]:
    """Read what `keep` has written: text by key; nothing if there is no file.

    Raises
    ------
    ValueError
        If the file holds something else.
    OSError
        If it can't be read.
    """
    if not path.exists():
        return {}
    try:
        said = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        said = None
    if not (isinstance(said, dict) and all(isinstance(value, str) for value in said.values())):
        mend = "correct it, or delete it and answer again"
        raise ValueError(f"{path.name}: expected answers by the questions' keys; {mend}")
    return said


def kept(key: str) -> str | None:
    """Return what was kept of a question; None if there is nothing, or a notebook runs without a person."""
    try:
        return None if automatic() else read_answers(path_of(key)).get(key)
    except (ValueError, OSError):  # said when an answer is to be kept
        return None


def keep(key: str, said: str) -> str:
    """Keep an answer; return an empty string, or why it could not be kept: answering goes on without.

    Nothing is written where a notebook runs without a person.

    Parameters
    ----------
    key : str
    said : str
        The option that was chosen, or what was written.
    """
    if automatic():
        return ""
    path = path_of(key)
    try:
        answers = dict(sorted((read_answers(path) | {key: said}).items()))
        text = json.dumps(answers, indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, lambda part: part.write_text(text, "utf-8"))
    except (ValueError, OSError) as error:
        return f"Not kept for later: {error}"
    return ""
