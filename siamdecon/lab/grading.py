"""Grade a class's notebooks: one row a learner, one column an exercise, and the hint that its check gave.

The notebooks are read, and each exercise is run, in a process of its own (`siamdecon.lab.submission`), with
limits of time and memory, no network, and a fresh copy of the learner's files. Only data come back: what
the learner's function returned. They are judged here, by the course's own checks, with data from another
seed than a notebook's.
"""

import csv
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

from siamdecon.expect import expect_counts
from siamdecon.files.atomic import check_writable, claimed, write_atomically
from siamdecon.lab.checks.anew import drawn_anew
from siamdecon.lab.checks.engine import CheckFailed, Exercise
from siamdecon.lab.course import NOTEBOOKS, QUESTIONS
from siamdecon.lab.kept import read_answers
from siamdecon.lab.submission import LARGEST_FILE, replayed, work

COPIED = 2**20  # bytes of a file beside a notebook, up to which an exercise may read it
LONGEST = 10_000  # letters of a cell of the table
PACKED = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz"}
AGAIN = r"(?: ?\(\d+\)|-Copy\d+)*"  # at the end of a second download, or of a copy in Jupyter
#: The names of notebooks and answers; some browsers and file systems add an ending, or change the case.
NOTEBOOK = re.compile(rf"\.ipynb{AGAIN}(?:\.txt|\.json)?$", re.I)
ANSWERS = re.compile(rf"\.answers{AGAIN}\.json(?:\.txt)?$", re.I)
OURS = re.compile(r"\.ipynb|\.answers", re.I)
STARTING = 120  # seconds that a process may take before it is at the learner's code


@dataclass(frozen=True)
class Verdict:
    """What became of an exercise: whether it is right, None if it was not handed in, and the hint."""

    right: bool | None
    hint: str = ""


ABSENT = Verdict(None, "Not handed in.")


@dataclass
class Submission:
    """What a learner has handed in: the folder, if there is one, the notebooks, and the answers' files.

    `notes` say what of it was left out.
    """

    root: Path | None
    notebooks: list[Path] = field(default_factory=list)
    answers: list[Path] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)

    def add(self, path: Path) -> None:
        """Take a file, if it is a notebook or holds answers; no links, which may point anywhere."""
        kinds = (NOTEBOOK, self.notebooks), (ANSWERS, self.answers)
        files = next((files for ending, files in kinds if ending.search(path.name)), None)
        if path.suffix.lower() in PACKED:
            self.notes.add(f"has {path.name}, which is not opened")
        elif files is not None and path.is_file() and not path.is_symlink():
            files.append(path)
        elif OURS.search(path.name):
            self.notes.add(f"has {path.name}, which is not read")

    def said(self) -> tuple[dict[str, str], str]:
        """Return the answers by the questions' keys, and which files can't be read."""
        said, broken = {}, []
        for path in sorted(self.answers, key=_changed):
            try:
                if path.stat().st_size > COPIED:
                    raise ValueError(f"{path.name}: expected less than {COPIED} bytes")
                said |= read_answers(path)
            except (ValueError, OSError) as error:
                broken.append(str(error))
        return said, "; ".join(broken)


@dataclass(frozen=True)
class Grader:
    """Runs and judges exercises.

    Attributes
    ----------
    seconds : int
        For one exercise.
    submission_seconds : int
        For all exercises of a learner.
    memory : int
        MiB for one exercise, beyond what Python and PyTorch take.
    seed : int
        Of the data that the checks draw.

    Raises
    ------
    ValueError
        If one of them is not a whole number of 1 or more.

    Examples
    --------
    >>> Grader(seconds=0)
    Traceback (most recent call last):
    ValueError: seconds: expected a whole number of 1 or more, got 0
    """

    seconds: int = 20
    submission_seconds: int = 300
    memory: int = 1024
    seed: int = 1

    def __post_init__(self):
        expect_counts(**vars(self))

    @cached_property
    def exercises(self) -> dict[str, Exercise]:
        """The checks, with their data drawn anew."""
        return drawn_anew(self.seed)

    @cached_property
    def in_force(self) -> dict[str, bool]:
        """Whether this machine's kernel takes the network away, and limits memory."""
        task = {"limits": self._limits | {"namespace": True}}
        said, _ = _in_a_process(task, None, self.seconds)
        return {name: bool(said and said.get(name)) for name in ("network", "memory")}

    @property
    def _limits(self) -> dict:
        return {"seconds": self.seconds, "memory": self.memory * 2**20}

    def learner(self, submission: Submission) -> dict[str, Verdict]:
        """Return the verdicts on a learner's exercises; those that no notebook has are left out.

        Under an empty name, what else is to be said.
        """
        limits = self._limits | {"namespace": self.in_force["network"]}
        paths = [str(path.resolve()) for path in sorted(submission.notebooks, key=_changed)]
        task = {"notebooks": paths, "exercises": list(self.exercises), "limits": limits}
        plans, broken = _in_a_process(task, None, self.seconds)
        if plans is None:
            return {"": Verdict(None, f"The notebooks could not be read: {broken}")}
        verdicts, until = {}, time.monotonic() + self.submission_seconds
        if unread := plans.pop("", None):
            said = "; ".join(f"{name}: {why}" for name, why in unread.items())
            verdicts[""] = Verdict(None, said)
        for name, plan in plans.items():
            left = until - time.monotonic()
            if "unanswered" in plan:
                verdicts[name] = Verdict(False, plan["unanswered"])
            elif left <= 0:
                said = f"Not run: the {self.submission_seconds} seconds of a learner were over."
                verdicts[name] = Verdict(False, said)
            else:
                task = {"limits": limits, "exercise": name, "seed": self.seed, **plan}
                answer, broken = _in_a_process(task, submission, min(self.seconds, left))
                verdicts[name] = (
                    self.judge(name, answer, plan) if answer else Verdict(False, broken)
                )
        return verdicts

    def judge(self, name: str, answer: dict, plan: dict) -> Verdict:
        """Judge what a learner's functions have returned; `answer` may hold anything that JSON can.

        `plan` is what `read` has found.

        Examples
        --------
        >>> Grader().judge("camera", {"unanswered": "What it needs fails in code cell 3: ..."}, {}).right
        False
        """
        if "unanswered" in answer:
            return Verdict(False, str(answer["unanswered"]))
        try:
            arguments = replayed(answer, plan["program"], plan["arguments"])
            with redirect_stdout(io.StringIO()):
                self.exercises[name](*arguments)
        except CheckFailed as failed:
            return Verdict(False, str(failed))
        except Exception as error:
            return Verdict(False, f"The check can't judge this: {type(error).__name__}: {error}")
        return Verdict(True)


def _changed(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime if path.exists() else 0, str(path)  # it may have vanished


def _in_a_process(
    task: dict, submission: Submission | None, seconds: float
) -> tuple[dict | None, str]:
    """Do a task of `work` in a process of its own; return its result, or None and what became of it.

    Of a submission, the process gets a copy of its files.
    """
    # a server that has imported the package once; each task is a copy of it
    servers = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if servers else "spawn")
    if servers:
        context.set_forkserver_preload([__name__, "nbformat", "IPython.core.inputtransformer2"])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, result = Path(name).resolve(), Path(name).resolve() / "result.json"
        (folder / "work").mkdir()
        if submission and submission.root:
            _copy(submission, folder / "work")
        process = context.Process(target=_begin, args=(task, folder, result), daemon=True)
        process.start()
        try:
            started = folder / "started"
            _wait(process, STARTING, started.exists)
            process.join(seconds)
            late = process.is_alive()
        finally:
            _end(process)
        whole = result.is_file() and not result.is_symlink()
        if whole and result.stat().st_size < LARGEST_FILE:
            try:
                said = json.loads(result.read_bytes())
            except (ValueError, RecursionError):
                said = None
            if isinstance(said, dict):
                return said, ""
    if late:
        return None, f"It took longer than {seconds:.0f} seconds, and was ended."
    code = process.exitcode
    how = f"by signal {-code}" if code and code < 0 else f"with exit code {code}"
    return None, f"Its process ended {how} before there was an answer."


def _begin(task: dict, folder: Path, result: Path) -> None:
    (folder / "started").touch()
    work(task, folder, result)


def _wait(process, seconds: float, done: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.is_alive() and not done():
        time.sleep(0.005)


def _end(process) -> None:
    """End a process and all that it has started."""
    with suppress(OSError, AttributeError):  # it is gone, without a group yet, or on Windows
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join(STARTING)


def _copy(submission: Submission, folder: Path) -> None:
    """Copy a learner's small files, apart from notebooks; no links, which may point anywhere."""
    for path, folders, files in os.walk(submission.root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        target = folder / Path(path).relative_to(submission.root)
        for file in (Path(path, f) for f in files if not f.startswith(".")):
            try:
                if not NOTEBOOK.search(file.name) and not file.is_symlink() and file.is_file():
                    if file.stat().st_size <= COPIED:
                        target.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(file, target / file.name)
            except OSError as error:  # an exercise may not need it
                submission.notes.add(f"{file.name} could not be copied: {error.strerror or error}")


def _counts(name: str) -> bool:
    """Whether a file or folder is a learner's own, not what a Mac or Jupyter lays beside it."""
    return not name.startswith(".") and name != "__MACOSX"


def submissions(folder: Path) -> dict[str, Submission]:
    """Find the notebooks of each learner, and the answers beside them.

    A folder in `folder` is a learner's, with all notebooks in it, at any depth. A notebook beside such
    folders counts, too: `anna-00_quickstart.ipynb` is anna's. One that has the course's own name belongs to
    the learner whose name `folder` has.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to Submission
        By learner.

    Raises
    ------
    NotADirectoryError, FileNotFoundError
        If there is no such folder, or no notebook in it.

    Examples
    --------
    >>> submissions(Path("no/such/folder"))
    Traceback (most recent call last):
    NotADirectoryError: no/such/folder: expected a folder with a folder for each learner, ...
    """
    if not folder.is_dir():
        form = "a folder with a folder for each learner, or with their notebooks"
        raise NotADirectoryError(f"{folder}: expected {form}; there is no such folder")
    named = re.compile(rf"(.*?)[-_ .]*(?:{'|'.join(NOTEBOOKS)}){AGAIN}", re.S | re.I)
    found: dict[str, Submission] = {}
    for path in sorted(folder.iterdir()):
        if not _counts(path.name) or path.is_symlink():
            continue
        if path.is_dir():
            learner = found.setdefault(normalize("NFC", path.name), Submission(path))
            learner.root = learner.root or path
            for at, folders, files in os.walk(path):
                folders[:] = sorted(filter(_counts, folders))
                for file in sorted(filter(_counts, files)):
                    learner.add(Path(at, file))
        elif OURS.search(path.name):
            stem = OURS.split(path.name)[0]
            name = (match[1] if (match := named.fullmatch(stem)) else stem) or folder.resolve().name
            found.setdefault(normalize("NFC", name), Submission(None)).add(path)
    if not any(submission.notebooks for submission in found.values()):
        raise FileNotFoundError(f"{folder}: expected learners' notebooks (*.ipynb); there are none")
    return found


def grade(folder: Path, output: Path, grader: Grader, overwrite: bool = False) -> str:
    """Grade all learners' notebooks in a folder, and write a table.

    Parameters
    ----------
    folder : Path
        As `submissions` reads it.
    output : Path
        CSV, UTF-8 with a byte order mark, as spreadsheets expect it. One row a learner: how many exercises
        are right, and of how many; for each exercise 1, 0, or nothing if it was not handed in, and the
        hint. Then for each notebook how many questions were predicted right, and how many it asks, and what
        was written to its open questions, in one line.
    grader : Grader
    overwrite : bool
        Whether an existing table is replaced.

    Returns
    -------
    str
        A line about what was done, and what was in force.

    Raises
    ------
    ValueError, OSError
        If there are no notebooks, or the table can't be written.
    """
    check_writable(output, overwrite, (".csv",))
    learners = submissions(folder)
    with claimed(output, "-o"):
        graded = {}
        for number, (name, learner) in enumerate(learners.items()):
            print(f"{number + 1} of {len(learners)}: {name}", file=sys.stderr)
            try:
                graded[name] = grader.learner(learner)
            except OSError as error:  # such as a file that has vanished; the others go on
                graded[name] = {"": Verdict(None, f"Not graded: {error}")}
        notebooks = _asked(graded, learners)
        rows = [_row(name, learners[name], graded[name], notebooks) for name in learners]
        write_atomically(output, lambda part: _write(part, rows))
    right, all_ = (sum(row[head] for row in rows) for head in ("right", "of"))
    network = (
        "closed by the kernel, and in Python"
        if grader.in_force["network"]
        else "closed in Python only: this kernel gives no network namespace"
    )
    memory = f"{grader.memory} MiB" if grader.in_force["memory"] else "not limited on this system"
    return (
        f"{output}: {len(rows)} learners, {rows[0]['of']} exercises, {right} of {all_} right; "
        f"network: {network}; memory: {memory}"
    )


def _asked(graded: dict[str, dict[str, Verdict]], learners: dict[str, Submission]) -> list[str]:
    """Return the notebooks that someone has handed in, in the course's order."""
    there = {name for verdicts in graded.values() for name in verdicts}
    stems = [path.stem for learner in learners.values() for path in learner.notebooks]
    return [n for n, names in NOTEBOOKS.items() if there & set(names) or any(n in s for s in stems)]


def _row(
    name: str, learner: Submission, verdicts: dict[str, Verdict], notebooks: list[str]
) -> dict[str, str | int]:
    exercises, predicted = {}, {}
    said, broken = learner.said()
    for notebook in notebooks:
        number = notebook.split("_")[0]
        for exercise in NOTEBOOKS[notebook]:
            verdict, head = verdicts.get(exercise, ABSENT), f"{number} {exercise}"
            exercises[head] = "" if verdict.right is None else int(verdict.right)
            exercises[f"{head}: hint"] = verdict.hint
        ours = {k: q for k, q in QUESTIONS.items() if k.split("/")[0] == number}
        asked = {key: question["answer"] for key, question in ours.items() if "answer" in question}
        right = sum(said.get(key) == answer for key, answer in asked.items())
        predicted[f"{number} predicted"] = right if said.keys() & asked.keys() else ""
        predicted[f"{number} asked"] = len(asked)
        predicted |= {key: said.get(key, "") for key in ours if key not in asked}
    hint = verdicts[""].hint if "" in verdicts else ""
    notes = [note for note in (hint, broken, *sorted(learner.notes)) if note]
    right = sum(value == 1 for value in exercises.values())
    total = {"right": right, "of": len(exercises) // 2, "note": "; ".join(notes)}
    return {"learner": name} | total | exercises | predicted


def _write(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)


def _cell(value):
    """Return text as one line that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = " ".join("".join(c if c.isprintable() else " " for c in value).split())[:LONGEST]
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
