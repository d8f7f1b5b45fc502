"""Small mistakes in a right answer: each a hint, and the function that has this mistake and no other."""

import ast
import builtins
import copy
import functools
import inspect
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator

_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_SIGNS |= {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
#: What is easily written for an operator or a function.
_MISTAKEN = {
    "+": [ast.Sub], "-": [ast.Add], "*": [ast.Div, ast.Add], "/": [ast.Mult], "**": [ast.Mult],
    "<": [ast.LtE, ast.Gt], "<=": [ast.Lt, ast.GtE], ">": [ast.GtE, ast.Lt], ">=": [ast.Gt, ast.LtE],
    "==": [ast.NotEq], "!=": [ast.Eq],
    "mean": ["sum", "median"], "sum": ["mean"], "argmin": ["argmax"], "argmax": ["argmin"],
    "min": ["max"], "max": ["min"], "maximum": ["minimum"], "minimum": ["maximum"],
    "round": ["floor", "ceil"],
    "fft2": ["ifft2", "fft"], "ifft2": ["fft2", "ifft"], "log": ["log10"], "log10": ["log"],
    "conj": ["real"], "std": ["var"], "var": ["std"],
}  # fmt: skip


@functools.cache
def mutants(function: Callable) -> tuple[tuple[str, Callable], ...]:
    """Return hints, and for each the function with the mistake that the hint names, and no other.

    Parameters
    ----------
    function : callable
        Defined by `def` in a file: its source is read.

    Examples
    --------
    >>> from siamdecon.lab.checks import residual
    >>> dict(mutants(residual.solution))["`g` is missing."](noisy=3, estimate=2, g=None)
    1
    """
    source = textwrap.dedent(inspect.getsource(function))
    forms = dict.fromkeys((ast.unparse(ast.parse(source)), _inlined(source)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a mistake such as 2(x) is no learner's
        return tuple(mutant for form in forms for mutant in _mutants(form, function.__globals__))


def _inlined(source: str) -> str:
    """Return a function with each value that is used once in the place of its name."""
    tree = ast.parse(source)
    body = tree.body[0].body
    for step in body[:-1]:
        if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
            name = step.targets[0].id
            uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name]
            if len(uses) == 2:  # one of them is the assignment
                body.remove(step)
                tree = _Put(uses[1] if uses[0] is step.targets[0] else uses[0], step.value).visit(
                    tree
                )
    return ast.unparse(tree)


def _mutants(source: str, names: dict) -> Iterator[tuple[str, Callable]]:
    tree = ast.parse(source)
    name, text = tree.body[0].name, ast.unparse(tree)
    own = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    own |= {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    changed = [
        (hint, _parsed(text[:a] + text[a + 1 : b] + text[b + 1 :]))
        for a, b in _groups(text)
        for hint in [f"parentheses are missing: {text[a : b + 1]} belongs together."]
    ]
    numbers = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    for number in {n for n in numbers if type(n) is int and numbers.count(n) > 1}:
        for near in (number - 1, number + 1):
            copied = copy.deepcopy(tree)
            for node in ast.walk(copied):
                if isinstance(node, ast.Constant) and node.value == number:
                    node.value = near
            changed.append((f"{near} stands where {number} belongs.", ast.unparse(copied)))
    for changes in (_changes, _additions):  # what is lost or wrong comes before what is too much
        for index, node in enumerate(ast.walk(tree)):
            for hint, new in changes(node, own):
                copied = copy.deepcopy(tree)
                target = list(ast.walk(copied))[index]
                changed.append((hint, ast.unparse(_Put(target, new).visit(copied))))
    for hint, new in changed:
        if new and ast.unparse(ast.parse(new)) != text:
            space = dict(names)
            exec(compile(new, "<mutant>", "exec"), space)
            yield hint, space[name]


class _Put(ast.NodeTransformer):
    def __init__(self, target: ast.AST, new: ast.AST):
        self.target, self.new = target, new

    def visit(self, node: ast.AST) -> ast.AST:
        return copy.deepcopy(self.new) if node is self.target else self.generic_visit(node)


def _parsed(text: str) -> str:
    """Return a source, or nothing if it is not valid."""
    try:
        ast.parse(text)
    except SyntaxError:
        return ""
    return text


def _groups(text: str) -> Iterator[tuple[int, int]]:
    """Return where parentheses begin and end that group terms: those of calls follow a name."""
    opened = []
    for i, sign in enumerate(text):
        if sign == "(":
            opened.append(i)
        elif sign == ")":
            begin = opened.pop()
            before = re.search(r"(\w+|[\])])$", text[:begin])
            if before is None or before[1] in ("return", "in", "and", "or", "not", "if", "else"):
                yield begin, i


def _changes(node: ast.AST, own: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """Yield hints and what stands in place of a node."""
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        yield from _of_operation(node)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SIGNS:
        sign = _SIGNS[type(node.ops[0])]
        for other in _MISTAKEN[sign]:
            yield (
                f"there is {_SIGNS[other]} where {sign} belongs.",
                ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators),
            )
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        near = (-1, 1) if isinstance(node.value, int) else ()
        for new in {*(node.value + n for n in near), 2 * node.value, node.value / 2} - {node.value}:
            new = int(new) if isinstance(node.value, int) and new == int(new) else new
            yield (
                f"one of the numbers is wrong: {new} stands where another belongs.",
                ast.Constant(new),
            )
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in own:
        for other in sorted(own - {node.id}):
            yield f"`{other}` stands where `{node.id}` belongs.", ast.Name(other, ast.Load())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        sign = "-" if isinstance(node.op, ast.USub) else "~"
        yield f"a {sign} is missing, before `{ast.unparse(node.operand)}`.", node.operand
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        chosen = ast.unparse(node.slice)
        yield (
            f"`[{chosen}]` is missing: not all of `{ast.unparse(node.value)}` belongs here.",
            node.value,
        )
        if isinstance(node.slice, ast.Name):
            inverted = ast.UnaryOp(ast.Invert(), node.slice)
            hint = f"the mask is inverted: [{chosen}] belongs here, not [~{chosen}]."
            yield hint, ast.Subscript(node.value, inverted, ast.Load())
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        hint = f"the two parts of ({ast.unparse(node)[1:-1]}) are exchanged."
        yield hint, ast.Tuple(node.elts[::-1], ast.Load())


def _additions(node: ast.AST, own: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """Yield hints and a value with what does not belong to it."""
    loaded = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in own
    if not (loaded or isinstance(node, ast.BinOp | ast.Call)):
        return
    name = ast.unparse(node)
    yield f"`{name}` is squared; it should not be.", ast.BinOp(node, ast.Pow(), ast.Constant(2))
    yield f"the sign of `{name}` is wrong.", ast.UnaryOp(ast.USub(), node)
    yield f"`{name}` is doubled; it should not be.", ast.BinOp(ast.Constant(2), ast.Mult(), node)
    yield f"`{name}` is halved; it should not be.", ast.BinOp(node, ast.Div(), ast.Constant(2))
    absolute = ast.Call(ast.Name("abs", ast.Load()), [node], [])
    yield f"the absolute value of `{name}` is taken; it should not be.", absolute


def _of_operation(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    left, op, right = node.left, node.op, node.right
    a, b, sign = ast.unparse(left), ast.unparse(right), _SIGNS[type(op)]
    if sign in "+-":
        yield f"the term `{b}` is missing.", left
        if sign == "+":
            yield f"the term `{a}` is missing.", right
        else:
            yield f"the difference is the wrong way round: `{a} - {b}`.", ast.BinOp(right, op, left)
    elif sign == "*":
        yield f"the factor `{b}` is missing.", left
        yield f"the factor `{a}` is missing.", right
    elif sign == "/":
        yield f"the division by `{b}` is missing.", left
        yield "the fraction is upside down.", ast.BinOp(right, op, left)
    elif sign == "**":
        yield f"a power is missing: `{a}` ** {b}.", left
        if isinstance(left, ast.BinOp) and type(left.op) in (ast.Add, ast.Sub):
            each = [ast.BinOp(part, op, right) for part in (left.left, left.right)]
            yield (
                f"the power belongs to all of `{a}`, not to each of its terms.",
                ast.BinOp(each[0], left.op, each[1]),
            )
    for other in _MISTAKEN[sign]:
        yield f"there is {_SIGNS[other]} where {sign} belongs.", ast.BinOp(left, other(), right)
    for inner, outer in ((left, right), (right, left)):
        if _of_one(inner):  # f(a) + b: f(a + b)
            parts = (inner.args[0], outer) if inner is left else (outer, inner.args[0])
            yield (
                f"`{ast.unparse(inner.func)}` covers too much; mind where its parentheses end.",
                ast.Call(inner.func, [ast.BinOp(parts[0], op, parts[1])], []),
            )
        if sign in "*/" and isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Pow):
            parts = (inner.left, outer) if inner is left else (outer, inner.left)
            yield (
                f"the power covers too much: it belongs to `{ast.unparse(inner.left)}` alone.",
                ast.BinOp(ast.BinOp(parts[0], op, parts[1]), ast.Pow(), inner.right),
            )


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name, func, args = ast.unparse(node.func), node.func, node.args
    short = func.attr if isinstance(func, ast.Attribute) else name
    for other in _MISTAKEN.get(short, ()):
        known = ast.Attribute(func.value, other, ast.Load()) if short != name else ast.Name(other)
        if short != name or hasattr(builtins, other):
            yield f"`{other}` stands where `{short}` belongs.", ast.Call(known, args, node.keywords)
    for keyword in node.keywords:
        rest = [k for k in node.keywords if k is not keyword]
        yield f"`{keyword.arg}` is missing in `{short}`.", ast.Call(func, args, rest)
    if args and not isinstance(args[0], ast.Starred | ast.GeneratorExp):
        yield f"`{short}` is missing.", args[0]
    elif not args and short != name:
        yield f"`{short}` is missing.", func.value
    if len(args) == 2:
        exchanged = ast.Call(func, args[::-1], node.keywords)
        yield f"the two arguments of `{short}` are exchanged.", exchanged
    inner = args[0] if args else None
    if isinstance(inner, ast.Call) and inner.args:  # f(g(x)): g(f(x))
        within = ast.Call(func, [inner.args[0], *args[1:]], node.keywords)
        hint = f"`{name}` and `{ast.unparse(inner.func)}` are in the wrong order."
        yield hint, ast.Call(inner.func, [within, *inner.args[1:]], inner.keywords)
    if _of_one(node) and isinstance(inner, ast.BinOp):
        left, op, right = inner.left, inner.op, inner.right
        first, second = (ast.Call(func, [part], []) for part in (left, right))
        part = f"`{short}` covers only a part of what it should; mind where its parentheses end."
        yield part, ast.BinOp(first, op, right)
        if not isinstance(op, ast.Pow):
            yield part, ast.BinOp(left, op, second)
            each = f"`{short}` belongs to all of `{ast.unparse(inner)}`, not to each of its parts."
            yield each, ast.BinOp(first, op, second)


def _of_one(node: ast.AST) -> bool:
    """Whether a node is a call of one argument."""
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
        return False
    return not isinstance(node.args[0], ast.Starred | ast.GeneratorExp)
