"""Grading: solved, untouched and half-done notebooks get what they deserve; hostile ones harm nobody else."""

import ast
import csv
import dis
import inspect
import json
import os
import shutil
import socket
import textwrap

import nbformat
import numpy as np
import pytest
import torch

from siamdecon.cli import main
from siamdecon.lab import checks
from siamdecon.lab.checks import CheckFailed
from siamdecon.lab.checks.anew import drawn_anew
from siamdecon.lab.course import NOTEBOOKS, QUESTIONS
from siamdecon.lab.grading import Grader, grade, submissions
from siamdecon.lab.kept import SUFFIX
from siamdecon.lab.submission import decode, encode, read, replayed, run
from tests.course import DERIVE
from tests.lab.test_checks import BANK, CUT, EXERCISES, LOSSES, WRITTEN, answer, loss_of_two_passes

RIGHT = """
def camera(blurred, rnd, alpha, sigma):
    noisy = blurred + np.sqrt(alpha * blurred + sigma**2) * rnd
    return np.clip(np.round(noisy * 1024) / 1024, 0, 1)
"""
CHECK = "checks.camera(camera)"
#: The same, and ten megabytes on the way.
SHOUT = RIGHT.replace("    noisy", "    say()\n    noisy", 1)
#: For an exercise, of which most need a hundredth: enough on a busy machine.
SECONDS = 60


def notebook(*cells, tags=()):
    made = [
        nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in ("import numpy as np", *cells)
    ]
    for cell in made:
        cell.metadata["tags"] = list(tags)
    return nbformat.v4.new_notebook(cells=made)


def hand_in(folder, name, *cells, **kwargs):
    path = folder / name / "01_degradation.ipynb"
    path.parent.mkdir(exist_ok=True, parents=True)
    nbformat.write(notebook(*cells, **kwargs), path)
    return path


def graded(folder, **limits):
    """Grade a folder, and return its rows by learner."""
    grade(folder, folder / "grades.csv", Grader(**{"seconds": SECONDS} | limits), overwrite=True)
    with (folder / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["learner"]: row for row in csv.DictReader(file)}


def data(exercise):
    return [[None if callable(v) else encode(v) for v in given] for given in exercise.inputs]


@pytest.mark.parametrize("name", EXERCISES)
def test_other_seeds_draw_other_data_and_leave_the_notebooks_as_they_are(name):
    before = data(EXERCISES[name])
    other, again = drawn_anew(5)[name], drawn_anew(5)[name]
    assert data(other) == data(again)
    assert getattr(checks, name) is EXERCISES[name] and data(EXERCISES[name]) == before
    images = [v for given in EXERCISES[name].inputs for v in given if getattr(v, "ndim", 0) > 1]
    if (
        images and name != "to_counts"
    ):  # its values lie at the borders of what is rounded and clipped
        assert data(other) != before


@pytest.mark.parametrize("seed", [1, 2])
def test_other_data_do_not_turn_a_verdict(seed):
    """Seed 1 is the grader's own. A hint that looks at the numbers may change, as long as few do."""
    anew, hinted = drawn_anew(seed), []
    assert set(anew) == set(EXERCISES)
    for name, exercise in anew.items():
        stub, solution, _ = WRITTEN[name]
        exercise(answer(solution))
        with pytest.raises(CheckFailed):
            exercise(answer(stub))
        for wrong, hint in BANK[name]:
            with pytest.raises(CheckFailed) as failed:
                exercise(wrong)
            hinted.append(hint in str(failed.value))
    assert np.mean(hinted) > 0.95


def test_the_list_of_exercises_is_derived_from_the_notebooks():
    assert DERIVE.exercises() == json.dumps(NOTEBOOKS, indent=1) + "\n", "run `make notebooks`"
    assert sorted(name for names in NOTEBOOKS.values() for name in names) == sorted(EXERCISES)


def test_the_courses_own_notebooks(tmp_path):
    """All solutions are right, no stub is; a class sees who has handed in what."""
    for source in DERIVE.SOURCES:
        for learner, drop in (("solved", ["task"]), ("untouched", ["solution", "hide-cell"])):
            if learner == "untouched" and source.stem[:2] != "01":
                continue
            path = tmp_path / learner / "week 1" / f"{source.stem}.ipynb"
            path.parent.mkdir(exist_ok=True, parents=True)
            nbformat.write(DERIVE.derive(source, *drop), path)
    rows = graded(tmp_path, submission_seconds=33 * SECONDS)
    heads = [f"{notebook[:2]} {name}" for notebook, names in NOTEBOOKS.items() for name in names]
    assert [head for head in rows["solved"] if f"{head}: hint" in rows["solved"]] == heads
    assert {h: rows["solved"][h] for h in heads if rows["solved"][h] != "1"} == {}
    assert rows["solved"]["right"] == rows["solved"]["of"] == str(len(heads))
    for head in heads:
        there = head[:2] == "01"
        assert rows["untouched"][head] == ("0" if there else "")
        hint = rows["untouched"][f"{head}: hint"]
        assert hint and (hint == "Not handed in.") != there


def test_a_notebook_that_the_course_has_solved_counts_only_if_it_was_changed(tmp_path):
    """A clone that is handed in has the folder `solutions`; a learner may have worked there by mistake."""
    name = "01_degradation.ipynb"
    for learner in ("clone", "ran it", "worked"):
        for folder in ("", "solutions"):
            path = tmp_path / learner / "notebooks" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            solved = nbformat.read(DERIVE.HERE / folder / name, as_version=4)
            for cell in solved.cells if folder else ():
                if learner == "ran it" and cell.cell_type == "code":
                    cell.execution_count, cell.outputs = 1, [nbformat.v4.new_output("stream")]
                if learner == "worked" and "def camera" in cell.source:
                    cell.source = cell.source.replace("noisy", "mine")
            nbformat.write(solved, path)
    rows = graded(tmp_path)
    left_out = f"solved by the course, unchanged, so left out: {name}"
    assert {learner: (row["right"], row["note"]) for learner, row in rows.items()} == {
        "clone": ("0", left_out),
        "ran it": ("0", left_out),
        "worked": (rows["worked"]["of"], f"solved by the course, but changed, so counted: {name}"),
    }


#: What a learner hands in, and the hint for the exercise; none if it is right.
HANDED_IN = {
    "right": ([RIGHT, CHECK], None),
    "wrong": (
        ["def camera(b, r, a, s):\n    return b + np.sqrt(a * b + s**2) * r", CHECK],
        "Wrong values",
    ),
    "hinted": (
        [RIGHT.replace("np.clip(", "(").replace(", 0, 1)", ")"), CHECK],
        "clipping is missing",
    ),
    "no check": ([RIGHT], "Not handed in."),
    "renamed": ([RIGHT.replace("camera", "my_camera"), "checks.camera(my_camera)"], None),
    "half renamed": ([RIGHT.replace("camera", "kamera"), CHECK], None),
    "gone": (["x = 1", "y = 2", CHECK], "Nothing defines camera before its check."),
    "not Python": (["def camera(:\n    return", CHECK], "not valid Python: SyntaxError"),
    "twice": (
        ["def camera(b, r, a, a):\n    return b", CHECK],
        "not valid Python: SyntaxError: duplicate argument",
    ),
    "called": ([RIGHT, "checks.camera(camera(1, 2, 3, 4))"], "Expected a function"),
    "a helper": (
        [
            "BITS = 2**10",
            "def q(x):\n    return np.round(x * BITS) / BITS",
            "BITS += 0",
            RIGHT.replace("np.round(noisy * 1024) / 1024", "q(noisy)"),
            "%%time\n" + CHECK,
        ],
        None,
    ),
    "filled later": (
        [
            "P, S = {}, []\nfor bits in (8, 10):\n    P['bits'] = bits",
            "S.append(1 / 2 ** P['bits'])",
            "from types import SimpleNamespace\nq = SimpleNamespace()\nq.n = 1024",
            RIGHT.replace("* 1024) / 1024", "* q.n) * S[0]"),
            "np.seterr(3)\nother = []\nother.append(1 / 0)",  # not needed
            CHECK,
        ],
        None,
    ),
    "not needed": (["import time\nx = time.sleep(99)", "1 / 0", RIGHT, CHECK, "1 / 0"], None),
    "needed": (
        ["levels = 1 / 0", RIGHT.replace("1024", "levels"), CHECK],
        "code cell 2: ZeroDivisionError",
    ),
    "star": (["from numpy import *", RIGHT.replace("np.", ""), CHECK], None),
    "later": ([RIGHT, CHECK, "def camera(*a):\n    return 0"], None),
    "prints": (["def say():\n    print('x' * 10**7)", SHOUT, CHECK], None),
    "exits": (["import sys\ndef camera(*a):\n    sys.exit(0)", CHECK], "raised SystemExit: 0"),
    "exits at once": (["import os\ndef camera(*a):\n    os._exit(0)", CHECK], "exit code 0 before"),
    "crashes": (["import ctypes\ndef camera(*a):\n    ctypes.string_at(0)", CHECK], "by signal 11"),
    "eats": (["def camera(b, *a):\n    return np.ones((2**15, 2**15))", CHECK], "MemoryError"),
    "text": (["def camera(*a):\n    return 'x' * 2**25", CHECK], "before there was an answer"),
    "asks": (["def camera(*a):\n    return input()", CHECK], "EOFError"),
}


def test_every_submission_gets_its_verdict_and_its_hint(tmp_path):
    for learner, (cells, _) in HANDED_IN.items():
        hand_in(tmp_path, learner, *cells)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "01_degradation.ipynb").write_text('{"cells": [')
    (tmp_path / "empty").mkdir()
    rows = graded(tmp_path, memory=512)
    got = {name: row["01 camera: hint"] for name, row in rows.items()}
    for learner, (_, hint) in HANDED_IN.items():
        assert (hint or "") in got[learner] and bool(hint) == bool(got[learner]), learner
        right = {None: "1", "Not handed in.": ""}.get(hint, "0")
        assert rows[learner]["01 camera"] == right, learner
    assert "not a notebook: NotJSONError" in rows["broken"]["note"]
    assert rows["empty"]["01 camera"] == rows["broken"]["01 camera"] == ""


@pytest.mark.parametrize(
    "slip",
    [
        "def camera(b, r, a, a):\n    return b",
        "nonlocal x",
        "def camera(b):\n    x = 1\n    global x",
        "def camera(b):\n    from math import *",
    ],
)
def test_a_slip_that_only_the_compiler_finds_costs_its_own_exercise_alone(slip, tmp_path):
    right = WRITTEN["largest_pixel"][1]
    path = hand_in(tmp_path, "a", right, "checks.largest_pixel(largest_pixel)", slip, CHECK)
    plans = read([path], ["camera", "largest_pixel"])
    assert "not valid Python: SyntaxError" in plans["camera"]["unanswered"]
    assert plans["largest_pixel"]["program"] == [(2, ast.unparse(ast.parse(right)))]


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("P['bits'] = 10", True),
        ("P['bits'] += 10", True),
        ("P.n = 1024", True),
        ("P.append(1024)", True),
        ("for i in range(3):\n    P.append(i)", True),
        ("print(P['bits'])", False),
        ("R['bits'] = P", False),
        ("np.show(P)", False),
        ("checks.other(P)", False),
        ("def g():\n    P.append(3)", False),
    ],
)
def test_a_statement_that_changes_what_is_needed_is_kept(cell, kept, tmp_path):
    function = "def camera(*a):\n    return np.array(P)"
    path = hand_in(tmp_path, "a", "P = {}\nR = {}", cell, function, CHECK)
    program = [text for _, text in read([path], ["camera"])["camera"]["program"]]
    given = ["import numpy as np", "P = {}", *[cell] * kept, function]
    assert program == given


def test_a_loop_without_end_costs_its_own_time_alone(tmp_path):
    stubborn = "try:\n            while True: pass\n        except BaseException: pass"
    loop = f"def camera(*a):\n    while True:\n        {stubborn}"
    hand_in(
        tmp_path,
        "loops",
        loop,
        CHECK,
        WRITTEN["defocus_phase"][1],
        "checks.defocus_phase(defocus_phase)",
    )
    row = graded(tmp_path, seconds=9)["loops"]
    assert row["01 camera: hint"] == "It took longer than 9 seconds, and was ended."
    assert (row["01 camera"], row["01 defocus_phase"]) == ("0", "1")
    row = graded(tmp_path, seconds=9, submission_seconds=1)["loops"]
    over = {row["01 camera: hint"], row["01 defocus_phase: hint"]}
    assert over <= {
        "It took longer than 1 seconds, and was ended.",
        "Not run: the 1 seconds of a learner were over.",
        "",
    }


TAMPERED = {
    "the check": "checks.camera = lambda f: None",
    "the oracle": "object.__setattr__(checks.camera, 'oracle', lambda *a: 0)",
    "the engine": "import siamdecon.lab.checks.engine as e\ne.Exercise.__call__ = lambda *a: None",
    "numpy": "np.allclose = lambda *a, **k: True",
    "equality": "class E(np.ndarray):\n    __eq__ = __ne__ = __sub__ = lambda a, b: np.True_",
    "the answer": 'import json\njson.dumps = lambda said: \'{"right": true, "arguments": []}\'',
}


def test_who_tampers_with_the_checks_gains_nothing(tmp_path):
    """What the notebook's data lead to is wrong for other data, whatever the function overwrites."""
    learnt = repr(
        [EXERCISES["camera"].oracle(*given).tolist() for given in EXERCISES["camera"].inputs]
    )
    cheat = f"""
def camera(*given):
    from siamdecon.lab import checks
    {{}}
    {learnt}
    return np.array({learnt}[given[2] > 0.01])
"""
    for learner, trick in {"nothing": "pass", **TAMPERED}.items():
        trick = textwrap.indent(trick, "    ").strip()
        hand_in(tmp_path, learner, cheat.format(trick), CHECK)
        hand_in(tmp_path, f"{learner}, too early", trick.replace("    ", ""), RIGHT, CHECK)
    space = {"np": np}
    exec(cheat.format("pass"), space)
    EXERCISES["camera"](space["camera"])  # it does pass in the notebook
    rows = graded(tmp_path)
    assert {name: row["01 camera"] for name, row in rows.items()} == {
        name: "1" if "early" in name else "0" for name in rows
    }


def test_files_network_and_programs_are_out_of_reach(tmp_path):
    """A learner may delete the working folder, which is a copy; what lies outside stays as it was."""
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")
    with socket.create_server(("127.0.0.1", 0)) as server:
        acts = {  # done before the right answer
            "its folder": "import shutil, os; shutil.rmtree('.', ignore_errors=True)",
            "deletes": f"import os; os.remove({str(precious)!r})",
            "removes": f"import shutil; shutil.rmtree({str(tmp_path)!r})",
            "writes": f"open({str(precious)!r}, 'w')",
            "moves": f"import os; os.replace({str(precious)!r}, 'mine')",
            "calls": f"import socket; socket.create_connection({server.getsockname()!r})",
            "asks": "import socket; socket.getaddrinfo('localhost', 80)",
            "starts": "import subprocess; subprocess.run(['true'])",
            "forks": "import os; os.fork()",
            "ends": f"import os; os.kill({os.getpid()}, 9)",
        }
        for learner, act in acts.items():
            path = hand_in(tmp_path / "all", learner, f"def say():\n    {act}", SHOUT, CHECK)
            (path.parent / "mine.csv").write_text("1,2")
        there = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        rows = graded(tmp_path / "all")
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    for learner, row in rows.items():
        hint = row["01 camera: hint"]
        assert "raised PermissionError" in hint or (learner, hint) == ("its folder", ""), learner
    assert {path: path.read_bytes() for path in there} == there


def test_the_kernel_takes_the_network_away(tmp_path):
    """What Python's hooks do not see finds no interface but the one that leads nowhere."""
    if not Grader().in_force["network"]:
        pytest.skip("this kernel gives no network namespace")
    look = "def camera(*a):\n    lines = open('/proc/self/net/dev').read().splitlines()[2:]\n"
    look += "    raise ValueError([line.split(':')[0].strip() for line in lines])"
    hand_in(tmp_path, "looks", look, CHECK)
    assert graded(tmp_path)["looks"]["01 camera: hint"].endswith("ValueError: ['lo']")


def test_the_learners_small_files_are_there_and_links_are_not(tmp_path):
    path = hand_in(
        tmp_path, "a", "import helper", "def camera(*a):\n    return helper.camera(*a)", CHECK
    )
    (path.parent / "helper.py").write_text("import numpy as np\n" + RIGHT)
    (path.parent / "numpy.py").write_text("raise SystemExit")  # shadows nothing
    os.mkfifo(path.parent / "pipe")
    (path.parent / "secret").symlink_to("/etc/passwd")
    assert graded(tmp_path)["a"]["01 camera"] == "1"
    look = "def camera(*a):\n    import os\n    raise ValueError(sorted(os.listdir()))"
    hand_in(tmp_path, "a", look, CHECK)
    hint = graded(tmp_path)["a"]["01 camera: hint"]
    assert hint == "Your function raised ValueError: ['helper.py', 'numpy.py']"


def test_a_file_that_cannot_be_read_costs_its_own_learner_alone(tmp_path, monkeypatch):
    for learner, file in (("a", "locked.csv"), ("b", "fine.csv"), ("c", "fine.csv")):
        hand_in(tmp_path, learner, RIGHT, CHECK).with_name(file).write_text("1,2")
    copyfile, learner = shutil.copyfile, Grader.learner

    def refused(source, target):
        if source.name == "locked.csv":
            raise PermissionError(13, "Permission denied", str(source))
        return copyfile(source, target)

    def vanished(self, submission):
        if submission.root.name == "b":
            raise FileNotFoundError(2, "No such file", "gone.ipynb")
        return learner(self, submission)

    monkeypatch.setattr(shutil, "copyfile", refused)
    monkeypatch.setattr(Grader, "learner", vanished)
    rows = graded(tmp_path)
    assert {name: (row["01 camera"], row["note"]) for name, row in rows.items()} == {
        "a": ("1", "locked.csv could not be copied: Permission denied"),
        "b": ("", "Not graded: [Errno 2] No such file: 'gone.ipynb'"),
        "c": ("1", ""),
    }


def test_whose_notebooks_they_are(tmp_path):
    for name in (
        "anna-01_degradation",
        "anna_00_quickstart",
        "anna-01_degradation (1)",
        "anna-01_degradation-Copy1",
        "02_fft_convolution",
        "02_fft_convolution-Copy2",
        "Bo's work",
        "Zoe\u0308-01_degradation",  # two forms of one name: NFD, as a Mac writes it, and NFC
        "Zo\u00eb-00_quickstart",
        "finn-01_degradation.ipynb (1)",
        "finn-02_FFT_convolution.IPYNB",
        "finn-03_lucy_richardson.ipynb.txt",
    ):
        name = name if ".ip" in name.lower() else f"{name}.ipynb"
        (tmp_path / name).write_text("{}")
    for name in (
        "dora/deep/x.ipynb",
        "emil/x.ipynb.bak",
        "emil/x.answers.docx",
        "finn-00_quickstart.ipynb~",
        "dora/.ipynb_checkpoints/x-checkpoint.ipynb",
        "dora/deep/._x.ipynb",
        "dora/__MACOSX/deep/x.ipynb",
        "__MACOSX/dora/x.ipynb",
        "packed/abgabe.zip",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "emil" / "linked.ipynb").symlink_to(tmp_path / "Bo's work.ipynb")
    found = submissions(tmp_path)
    assert {name: {path.name for path in learner.notebooks} for name, learner in found.items()} == {
        "anna": {
            "anna-01_degradation.ipynb",
            "anna_00_quickstart.ipynb",
            "anna-01_degradation (1).ipynb",
            "anna-01_degradation-Copy1.ipynb",
        },
        tmp_path.name: {"02_fft_convolution.ipynb", "02_fft_convolution-Copy2.ipynb"},
        "Bo's work": {"Bo's work.ipynb"},
        "Zo\u00eb": {"Zoe\u0308-01_degradation.ipynb", "Zo\u00eb-00_quickstart.ipynb"},
        "dora": {"x.ipynb"},
        "packed": set(),
        "emil": set(),
        "finn": {
            "finn-01_degradation.ipynb (1)",
            "finn-02_FFT_convolution.IPYNB",
            "finn-03_lucy_richardson.ipynb.txt",
        },
    }
    assert found["packed"].notes == {"has abgabe.zip, which is not opened"}
    assert not found["dora"].notes
    assert found["finn"].notes == {"has finn-00_quickstart.ipynb~, which is not read"}
    unread = ("x.ipynb.bak", "x.answers.docx", "linked.ipynb")
    assert found["emil"].notes == {f"has {name}, which is not read" for name in unread}


def test_predictions_are_judged_by_the_courses_own_answers(tmp_path):
    asked = {k: q for k, q in QUESTIONS.items() if k[:3] == "01/" and "options" in q}
    first, *others = asked
    wrong = next(o for o in asked[first]["options"] if o != asked[first]["answer"])
    said = {
        "knows": {key: question["answer"] for key, question in asked.items()},
        "misses": {first: wrong, "01/unknown": "x"} | {key: asked[key]["answer"] for key in others},
        "is silent": None,
        "answers elsewhere": {"00/winner": "Wiener"},
        "broken": "[",
        "is no text": {first: 3},
    }
    for learner, answers in said.items():
        path = hand_in(tmp_path, learner, "x = 1").with_suffix(SUFFIX)
        if answers is not None:
            path.write_text(answers if isinstance(answers, str) else json.dumps(answers))
    flat = tmp_path / "anna-01_degradation.ipynb"
    nbformat.write(notebook("x = 1"), flat)
    flat.with_suffix(SUFFIX).write_text(
        json.dumps(said["knows"] | {"01/order": "=1+1\nand so  on"})
    )
    again = hand_in(tmp_path, "knows again", "x = 1").with_name("01_degradation.answers (1).json")
    again.write_text(json.dumps(said["knows"]))
    before = again.with_name("01_degradation.answers.json")
    before.write_text(json.dumps(said["misses"]))
    os.utime(before, (0, 0))
    rows = graded(tmp_path)
    for learner, right in {
        "knows": len(asked),
        "knows again": len(asked),
        "anna": len(asked),
        "misses": len(asked) - 1,
    }.items():
        assert (rows[learner]["01 predicted"], rows[learner]["01 asked"]) == (
            str(right),
            str(len(asked)),
        )
    assert rows["knows"]["01/order"] == "" and rows["anna"]["01/order"] == "'=1+1 and so on"
    for learner in ("is silent", "answers elsewhere", "broken", "is no text"):
        assert rows[learner]["01 predicted"] == ""
        assert ("expected answers by" in rows[learner]["note"]) == (
            learner in ("broken", "is no text")
        )


def test_the_command_line(tmp_path, capsys):
    hand_in(tmp_path, "=cmd()", RIGHT, CHECK)
    out = tmp_path / "grades.csv"
    assert main(["grade", str(tmp_path), "-o", str(out), "--seconds", "5"]) == 0
    said = capsys.readouterr().out
    asked = len(NOTEBOOKS["01_degradation"])
    assert f"1 learners, {asked} exercises, 1 of {asked} right; network: closed" in said
    assert f"\n'=cmd(),1,{asked}," in out.read_text("utf-8-sig")
    assert main(["grade", str(tmp_path), "-o", str(out)]) == 2
    assert "grades.csv exists" in capsys.readouterr().err
    for words, expected in (
        ([str(tmp_path / "none"), "-o", str(tmp_path / "b.csv")], "there is no such folder"),
        ([str(tmp_path), "-o", str(tmp_path / "b.xls")], "supported: .csv"),
        ([str(tmp_path), "-o", str(tmp_path / "b.csv"), "--seconds", "0"], "seconds: expected"),
    ):
        assert main(["grade", *words]) == 2
        assert expected in capsys.readouterr().err


def test_only_data_come_back():
    """What stands in an answer is numbers and text, never an object that runs when it is read."""
    values = [
        None,
        True,
        3,
        0.5,
        "a",
        [1, (2.0, None)],
        {"a": {1: True}},
        np.arange(6).reshape(2, 3),
        np.float32(2),
        1 + 2j,
    ]
    for value in values:
        again = decode(json.loads(json.dumps(encode(value))))
        np.testing.assert_equal(again, value)
    word = decode(encode(np.array(["noise fitted", "consistent"])[1]))
    assert word == "consistent" and type(word) is str
    assert decode(encode(...)) is ...
    assert type(decode(encode(object()))).__name__ == "object"
    assert encode(np.array([object()])) == {"other": "ndarray"}
    for coded in ({"array": "AAAA", "dtype": "O", "shape": [1]}, {"plain": {}}, {}):
        with pytest.raises((ValueError, TypeError, KeyError)):
            decode(coded)


TRAINS = """
def trains(network, image, images, rate=0.1):
    image += 1
    images[0][1][:] *= 2
    left = ...
    loss = (network(torch.ones(1, 2)) ** 2).mean()
    loss.backward()
    network.weight.data -= rate * network.weight.grad
    return (network(torch.ones(1, 2)) ** 2).mean()
"""


def test_what_a_check_sees_of_a_function_is_seen_from_afar():
    """Names of arguments, its text, the gradient of its result, and what it does to arrays and networks."""
    program = [(1, "import torch"), (2, TRAINS)]

    def check(trains):
        torch.manual_seed(0)
        network, image, images = torch.nn.Linear(2, 1), np.zeros(3), [(0, np.ones(2)), np.ones(1)]
        loss = trains(network, image, images)
        weights = network.weight.detach().tolist()
        return loss.requires_grad, loss.item(), weights, image.tolist(), images[0][1].tolist()

    space = {}
    exec(f"import torch\n{TRAINS}", space)
    (replay,) = replayed(run(program, ["trains"], check), program, ["trains"])
    assert check(replay) == check(space["trains"])
    assert list(inspect.signature(replay).parameters) == ["network", "image", "images", "rate"]
    assert Ellipsis in [step.argval for step in dis.get_instructions(replay)]
    with pytest.raises(LookupError, match="it gave no answer"):
        check(replay)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_a_loss_is_seen_from_afar(name):
    """Its value alone would not tell a loss from which nothing can be learned."""
    for cut in ("", *CUT):
        program = [(1, "import torch"), (2, loss_of_two_passes(name, cut))]
        plan = {"program": program, "arguments": [name]}
        coded = json.loads(json.dumps(run(**plan, check=drawn_anew(1)[name])))
        verdict = Grader().judge(name, coded, plan)
        assert verdict.right is (not cut) and ("no gradient" in verdict.hint) is bool(cut), cut


@pytest.mark.parametrize(
    "answer", [{}, {"arguments": 3}, {"arguments": [{"calls": [{}]}]}, {"right": True}]
)
def test_a_forged_answer_is_never_right(answer):
    plan = {"program": [(1, RIGHT)], "arguments": ["camera"]}
    assert Grader().judge("camera", answer, plan).right is False
