"""What runs in a process of its own: a learner's notebook is read, and the code of one exercise is run.

The grader trusts nothing that comes from here. It gets data alone: what the learner's function returned, or
what it raised. The verdict is made in the grader's own process (`siamdecon.lab.grading`): the learner's
code may overwrite the checks, or the whole package, and changes nothing.
"""

import ast
import base64
import ctypes
import hashlib
import inspect
import json
import os
import symtable
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np
import torch

from siamdecon.lab.checks.anew import drawn_anew
from siamdecon.lab.checks.siamese import gradient

#: Events of Python's audit hooks that are closed to a learner's code.
CLOSED = frozenset(
    """socket.connect socket.bind socket.sendto socket.sendmsg
    socket.getaddrinfo socket.gethostbyname socket.gethostbyaddr
    subprocess.Popen os.system os.exec os.posix_spawn os.spawn
    os.fork os.forkpty os.kill os.killpg""".split()
)
#: Events that change files: where among their arguments the paths are, and their folders' descriptors.
CHANGES = {
    "os.remove": {0: 1},
    "os.rmdir": {0: 1},
    "os.mkdir": {0: 2},
    "os.rename": {0: 2, 1: 3},
    "os.link": {1: 3},
    "os.symlink": {1: 2},
    "os.chmod": {0: 2},
    "os.chown": {0: 3},
    "os.truncate": {0: None},
    "shutil.rmtree": {0: None},
}
WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: In the metadata of a notebook that the course has solved: the checksum of its code cells.
SOLVED = "siamdecon_solved"
LARGEST_FILE = 2**24  # bytes that a learner's code, and its answer, may write into one file


class Unanswered(Exception):
    """There is nothing to check; the message says why."""


def read(notebooks: list[Path], exercises: list[str]) -> dict[str, dict]:
    r"""Find each exercise in a learner's notebooks, and the code that it needs; nothing of it is run.

    Parameters
    ----------
    notebooks : list of Path
        If an exercise is in several, the last one counts.
    exercises : list of str
        Names of checks.

    Returns
    -------
    dict
        By exercise: `program`, pairs of a cell's number and a statement, and `arguments`, what the check is
        called with; or `unanswered`, why there is nothing to check. An exercise that no notebook has is
        left out. Under an empty name: notebooks that can't be read, and why; and those that the course has
        solved, which count only if they were changed.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "x.ipynb")
    >>> import nbformat.v4 as nb
    >>> cells = map(nb.new_code_cell, ("def f(x): return 2 * x", "checks.twice(f)"))
    >>> _ = path.write_text(json.dumps(nb.new_notebook(cells=list(cells))))
    >>> read([path], ["twice", "thrice"])["twice"]
    {'program': [(1, 'def f(x):\n    return 2 * x')], 'arguments': ['f']}
    """
    import nbformat

    found, notes, solved = {}, {}, {True: [], False: []}
    for path in notebooks:
        try:
            notebook = nbformat.read(path, as_version=4)
            cells, mark = list(_code(notebook)), notebook.metadata.get(SOLVED)
            as_it_was = bool(mark) and mark == checksum(notebook)
        except Exception as error:  # whatever a file can be
            notes[path.name] = f"not a notebook: {type(error).__name__}: {str(error)[:200]}"
            continue
        if mark:
            solved[as_it_was].append(path.name)
        if as_it_was:  # in a clone of the course, beside the learner's own
            continue
        called = _checked(cells)
        for name in exercises:
            try:
                if (plan := _plan(cells, called, name)) is not None:
                    found[name] = plan
            except Unanswered as error:
                found[name] = {"unanswered": str(error)}
            except Exception as error:  # this exercise alone, whatever its cells can be
                found[name] = {"unanswered": f"It can't be read: {_said(error)}"}
    for as_it_was, names in solved.items():
        if names:
            how = "unchanged, so left out" if as_it_was else "but changed, so counted"
            notes[f"solved by the course, {how}"] = ", ".join(names)
    return found | ({"": notes} if notes else {})


def checksum(notebook) -> str:
    """Return a checksum of a notebook's code cells."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class _Statement:
    """A statement of a code cell, and the global names that it binds and looks up."""

    node: ast.stmt

    @cached_property
    def symbols(self) -> tuple[set[str], set[str]]:
        """The names that it binds, and those that it, or a function in it, looks up."""
        top = symtable.symtable(ast.unparse(self.node), "cell", "exec")
        bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
        used = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
        inner = list(top.get_children())
        while inner:
            scope = inner.pop()
            used |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
            inner += scope.get_children()
        return bound, used

    @cached_property
    def changes(self) -> set[str]:
        """The names whose values it changes: it sets a part of them, or calls a method for its effect."""
        found, nodes = set(), [self.node]
        while nodes:
            node = nodes.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                continue  # it is only defined
            nodes += ast.iter_child_nodes(node)
            part = node
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                part = node.value.func
            elif isinstance(getattr(node, "ctx", None), ast.Load):
                continue
            while isinstance(part, ast.Attribute | ast.Subscript):
                part = part.value
                if isinstance(part, ast.Name):
                    found.add(part.id)
        return found

    @property
    def is_star(self) -> bool:
        """Whether it imports all names of a module."""
        return isinstance(self.node, ast.ImportFrom) and self.node.names[0].name == "*"


@dataclass(frozen=True)
class _Cell:
    """A code cell: its tags, its statements, and why it has none."""

    tags: list[str]
    body: list[_Statement]
    broken: str = ""

    def functions(self) -> list[str]:
        return [s.node.name for s in self.body if isinstance(s.node, ast.FunctionDef)]


def _code(notebook) -> Iterator[_Cell]:
    from IPython.core.inputtransformer2 import TransformerManager

    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        lines = cell.source.splitlines()
        while lines and lines[0].startswith("%%"):  # such as %%time
            lines.pop(0)
        tags = list(cell.get("metadata", {}).get("tags", []))
        try:
            tree = ast.parse(TransformerManager().transform_cell("\n".join(lines)))
            body = [_Statement(node) for node in tree.body]
            # finds what `ast.parse` lets pass, such as an argument named twice
            for statement in body:
                _ = statement.symbols
            yield _Cell(tags, body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            said = getattr(error, "msg", None) or error
            yield _Cell(tags, [], f"{type(error).__name__}: {said}")


def _checked(cells: list[_Cell]) -> dict[str, tuple[int, ast.Call]]:
    """Return the last call of each check, `checks.NAME(...)`, and its cell."""
    found = {}
    for number, cell in enumerate(cells):
        for node in (n for statement in cell.body for n in ast.walk(statement.node)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                of = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
                if of == "checks":
                    found[node.func.attr] = number, node
    return found


def _plan(cells: list[_Cell], called: dict[str, tuple[int, ast.Call]], name: str) -> dict | None:
    """Return what the check of an exercise needs, and its arguments; None if the exercise is not there."""
    if name in called:
        end, call = called[name]
        arguments = call.args
    elif any("task" in cell.tags and name in cell.functions() for cell in cells):
        end, arguments = len(cells) - 1, [ast.Name(name, ast.Load())]
    else:
        return None
    before = [(n, statement) for n, cell in enumerate(cells[: end + 1]) for statement in cell.body]
    bound = set().union(*(statement.symbols[0] for _, statement in before))
    if len(arguments) == 1 and isinstance(arguments[0], ast.Name) and arguments[0].id not in bound:
        others = {n for other, (n, _) in called.items() if other != name}
        arguments = [ast.Name(_instead(cells, end, others, arguments[0].id), ast.Load())]
    needed = set().union(*(_Statement(ast.Expr(argument)).symbols[1] for argument in arguments))
    # a call of a module's, such as checks.f(), changes nothing that an exercise needs
    modules = ast.Import | ast.ImportFrom
    own = set().union(*(s.symbols[0] for _, s in before if not isinstance(s.node, modules)))
    kept: set[int] = set()
    while more := {
        i
        for i, (_, statement) in enumerate(before)
        if i not in kept
        and ((statement.symbols[0] | statement.changes & own) & needed or statement.is_star)
    }:
        kept |= more
        needed |= set().union(*(before[i][1].symbols[1] for i in more))
    program = [(before[i][0] + 1, ast.unparse(before[i][1].node)) for i in sorted(kept)]
    return {"program": program, "arguments": [ast.unparse(argument) for argument in arguments]}


def _instead(cells: list[_Cell], end: int, others: set[int], name: str) -> str:
    """Return what a learner has called an exercise's function, in its task or the cell before the check."""
    for number in range(end, -1, -1):
        cell = cells[number]
        if number < end and number in others:  # what comes before belongs to another exercise
            break
        if "task" not in cell.tags and number < end - 1:
            continue
        if cell.broken:
            raise Unanswered(f"Code cell {number + 1} is not valid Python: {cell.broken}.")
        if functions := cell.functions():
            return functions[-1]
    raise Unanswered(f"Nothing defines {name} before its check.")


def run(program: list, arguments: list[str], check: Callable) -> dict:
    """Run the code of an exercise, and record what the learner's functions return when they are checked.

    Parameters
    ----------
    program, arguments
        As `read` has found them.
    check : callable
        Called with the arguments, in whose place stand recorders; what it says is not used.

    Returns
    -------
    dict
        `arguments`, for `replayed`; or `unanswered`.

    Examples
    --------
    >>> answer = run([(1, "def f(x): return 2 * x")], ["f"], lambda f: f(21))
    >>> replayed(answer)[0]("whatever")
    42
    """
    space = {"__name__": "__main__", "display": lambda *shown, **options: None}
    try:
        for number, statement in program:
            exec(compile(statement, f"code cell {number}", "exec"), space)
        number = None
        values = [eval(argument, space) for argument in arguments]
    except BaseException as error:  # SystemExit, too
        where = f"code cell {number}" if number else "the check's line"
        return {"unanswered": f"What it needs fails in {where}: {_said(error)}"}
    recorded = [_Recorder(value) if callable(value) else value for value in values]
    try:
        check(*recorded)
    except BaseException:  # the grader finds out by itself
        pass
    return {
        "arguments": [
            {"calls": r.calls} if isinstance(r, _Recorder) else encode(r) for r in recorded
        ]
    }


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


class _Recorder:
    """A learner's function; keeps what it returns, raises, and changes in its arguments."""

    def __init__(self, function: Callable):
        self.function, self.calls = function, []

    def __call__(self, *arguments):
        before, call = [_state(a) for a in arguments], {}
        try:
            answered = self.function(*arguments)
            call["returned"] = encode(answered)
            networks = [a for a in arguments if isinstance(a, torch.nn.Module)]
            if isinstance(answered, torch.Tensor) and answered.requires_grad and networks:
                if answered.numel() == 1:
                    call["gradient"] = encode(gradient(answered, networks[0]))
            return answered
        except BaseException as error:
            call["raised"] = [type(error).__name__, str(error)[:300]]
            raise
        finally:
            pairs = enumerate(zip(before, map(_state, arguments), strict=True))
            call["changed"] = {str(i): new for i, (old, new) in pairs if old != new}
            self.calls.append(call)


def _state(argument) -> dict | list | None:
    """Return what a function can change in an argument: arrays' values, a network's weights."""
    if isinstance(argument, list | tuple):
        return [_state(item) for item in argument]
    if isinstance(argument, torch.nn.Module):
        return {name: encode(value) for name, value in argument.state_dict().items()}
    return encode(argument) if hasattr(argument, "shape") else None


def _change(argument, coded: dict | list | None) -> None:
    """Give an argument the state that `_state` has returned."""
    if isinstance(argument, list | tuple):
        for item, state in zip(argument, coded, strict=False):  # it may have got shorter
            _change(item, state)
    elif coded is None:
        return
    elif isinstance(argument, torch.nn.Module):
        argument.load_state_dict({name: decode(value) for name, value in coded.items()})
    else:
        argument[...] = decode(coded)


def encode(value) -> dict:
    """Return a value as JSON has it: numbers, text, arrays, tensors, lists and dicts of them; else its type.

    Examples
    --------
    >>> decode(encode([1, np.arange(3.0)]))
    [1, array([0., 1., 2.])]
    """
    if value is None or type(value) in (bool, int, float, str):
        return {"plain": value}
    if isinstance(value, np.str_):  # an entry of an array of words
        return {"plain": str(value)}
    if value is ...:
        return {"ellipsis": True}
    if type(value) in (list, tuple):
        return {type(value).__name__: [encode(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[encode(item) for item in pair] for pair in value.items()]}
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
        return encode(array) | {"gradient": value.requires_grad}
    if isinstance(value, (np.ndarray, np.generic, complex)):
        array = np.asarray(value)
        if array.dtype.kind in "biufc":
            data = base64.b64encode(array.tobytes()).decode()
            return {"array": data, "dtype": array.dtype.str, "shape": array.shape}
    return {"other": type(value).__name__}


def decode(coded: dict):
    """Return the value that `encode` was given; in place of any other one an object of a type of that name.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it is not what `encode` returns.
    """
    if "plain" in coded:
        if not isinstance(coded["plain"], (bool, int, float, str, type(None))):
            raise TypeError(f"expected a number or text, got {type(coded['plain']).__name__}")
        return coded["plain"]
    if "ellipsis" in coded:
        return ...
    for kind in (list, tuple):
        if kind.__name__ in coded:
            return kind(decode(item) for item in coded[kind.__name__])
    if "dict" in coded:
        return {decode(key): decode(item) for key, item in coded["dict"]}
    if "other" in coded:
        return type(str(coded["other"])[:80], (), {})()
    dtype = np.dtype(str(coded["dtype"]))
    if dtype.kind not in "biufc":
        raise ValueError(f"expected an array of numbers, got {dtype}")
    raw = base64.b64decode(coded["array"], validate=True)
    array = np.frombuffer(raw, dtype).reshape([int(n) for n in coded["shape"]]).copy()
    if "gradient" in coded:
        return torch.from_numpy(array).requires_grad_(bool(coded["gradient"]))
    return array


class _Replay:
    """A function that returns, call by call, what the learner's has returned in its own process.

    A check may look at its signature, and at its code for what is still to be written; none of it is run.
    """

    def __init__(self, calls: list[dict], outline: FunctionType | None):
        self.calls = iter(calls)
        if outline:
            self.__code__, self.__signature__ = outline.__code__, inspect.signature(outline)

    def __call__(self, *arguments):
        call = next(self.calls, None)
        if call is None:
            raise LookupError("it gave no answer")
        for place, new in call["changed"].items():
            _change(arguments[int(place)], new)
        if "raised" in call:
            kind, message = map(str, call["raised"])
            raise type(kind[:80], (Exception,), {})(message)
        answered = decode(call["returned"])
        if "gradient" in call:
            # a loss with the learner's value and gradient, at this network's weights
            network = next(a for a in arguments if isinstance(a, torch.nn.Module))
            weights = torch.cat([w.flatten() for w in network.parameters()])
            answered = answered.detach() + decode(call["gradient"]) @ (weights - weights.detach())
        return answered


def replayed(answer: dict, program: Sequence = (), names: Sequence[str] = ()) -> list:
    """Return the arguments of a check as a learner's process has recorded them.

    Parameters
    ----------
    answer : dict
        Of `run`.
    program, names
        As `read` has found them, for the outlines of the functions.
    """
    outlines = dict(zip(range(len(names)), (_outline(program, n) for n in names), strict=True))
    return [
        _Replay(a["calls"], outlines.get(i)) if "calls" in a else decode(a)
        for i, a in enumerate(answer["arguments"])
    ]


def _outline(program: Sequence, name: str) -> FunctionType | None:
    """Return a learner's function as its text defines it, without its defaults; it must not be called."""
    for _, statement in reversed(program):
        for node in ast.parse(statement).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                node.decorator_list.clear()
                constants = compile(ast.Module([node], []), "outline", "exec").co_consts
                code = next(c for c in constants if isinstance(c, CodeType) and c.co_name == name)
                # a function that uses no outer variable needs none
                return None if code.co_freevars else FunctionType(code, {})
    return None


def confine(folder: Path, seconds: float, memory: int, namespace: bool) -> dict[str, bool]:
    """Limit this process for good: its time, memory and files, and no network; return what is in force.

    Parameters
    ----------
    folder : Path
        The only place where files may be changed; its folder `work` becomes the working folder and the home.
    seconds : float
        Of processor time: the grader ends the process before, unless it is gone itself.
    memory : int
        Bytes beyond those that the process has already.
    namespace : bool
        Whether to ask the kernel for a network of its own, in which nothing is connected.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, which is ended as a whole
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    home = folder / "work"
    os.chdir(home)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    os.environ.clear()
    os.environ.update(kept, HOME=str(home), TMPDIR=str(home), SIAMDECON_AUTO="1")
    sys.dont_write_bytecode, tempfile.tempdir = True, str(home)
    # last, so that no file there stands for a module of the package; "" would be the working folder
    sys.path[:] = [*filter(None, sys.path), str(home)]
    torch.set_num_threads(1)
    said = {"network": namespace and _leave_the_network(), "memory": _limit(seconds, memory)}
    _guard(os.path.realpath(folder))
    return said


def _leave_the_network() -> bool:
    """Move into a network namespace of its own, with or without privileges; tell whether that worked."""
    new_user, new_network = 0x10000000, 0x40000000
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(new_network) == 0:
            return True
        user, group = os.getuid(), os.getgid()
        if libc.unshare(new_user | new_network):
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except (OSError, AttributeError, TypeError):  # not Linux, or forbidden
        return False
    return True


def _limit(seconds: float, memory: int) -> bool:
    """Set the kernel's limits; tell whether memory is limited, for which the process's size must be known."""
    try:
        import resource

        for kind, size in (
            (resource.RLIMIT_CPU, int(seconds) + 30),
            (resource.RLIMIT_FSIZE, LARGEST_FILE),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(kind, (size, size))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    except (ImportError, OSError, ValueError):  # Windows; macOS has no /proc
        return False
    return True


def _guard(folder: str) -> None:
    """Close the network, other programs, and files outside a folder, as far as Python can; for good."""
    realpath, join, decode_name = os.path.realpath, os.path.join, os.fsdecode
    inside = (folder + os.sep, os.devnull)

    def may_change(path, descriptor=None) -> bool:
        if path is None or isinstance(path, int):
            return True  # what is open already
        path = decode_name(path)
        if isinstance(descriptor, int) and descriptor >= 0:
            path = join(f"/proc/self/fd/{descriptor}", path)
        return (realpath(path) + os.sep).startswith(inside)

    def hook(event: str, arguments: tuple) -> None:
        if event in CLOSED:
            raise PermissionError(f"{event} is closed to an exercise")
        if event == "open":
            path, _, flags = arguments
            if flags & WRITE and not may_change(path):
                raise PermissionError(f"an exercise writes into its own folder alone, not {path}")
        for place, at in CHANGES.get(event, {}).items():
            if not may_change(arguments[place], None if at is None else arguments[at]):
                raise PermissionError(f"{event}: an exercise changes files in its own folder alone")

    sys.addaudithook(hook)


def work(task: dict, folder: Path, result: Path) -> None:
    """Do one task and end this process: read notebooks, run an exercise, or look at the limits.

    Parameters
    ----------
    task : dict
        `limits` of `confine`; and `notebooks` and `exercises` to read, or `program`, `arguments`, `exercise`
        and `seed` to run.
    folder : Path
        Holds the folder `work`, with the learner's files.
    result : Path
        The file that the result is written to, as JSON; in `folder`.
    """
    check = drawn_anew(task["seed"])[task["exercise"]] if "program" in task else None
    said = confine(folder, **task["limits"])
    if "program" in task:
        said = run(task["program"], task["arguments"], check)
    elif "notebooks" in task:
        said = read([Path(path) for path in task["notebooks"]], task["exercises"])
    part = result.with_suffix(".part")
    part.write_text(json.dumps(said))
    part.replace(result)
    os._exit(0)  # without what the learner's code may have left to be done at the end
