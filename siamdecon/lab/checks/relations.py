"""How a wrong result is related to the right one: a factor, a sign, a part of it, its border, an error."""

import dis
import itertools
from collections.abc import Callable, Iterator

import numpy as np

Arrays = list[np.ndarray]

#: What is made of the right result, and how it is told.
_MADE = {
    "that is its conjugate: the sign of the imaginary part is reversed.": np.conj,
    "that is its real part; the result is complex.": np.real,
    "that is its imaginary part; the result is complex.": np.imag,
    "that is its modulus; the result is complex.": np.abs,
    "that is its phase alone.": np.angle,
    "that is its square.": np.square,
    "that is the square of its modulus.": lambda a: np.abs(a) ** 2,
    "that is its root; no root is needed here.": np.sqrt,
    "that is 1 divided by it.": lambda a: 1 / a,
    "that is its logarithm.": np.log,
    "that is its exponential.": np.exp,
    "negative values are cut to 0.": lambda a: np.maximum(a.real, 0),
    "values outside [0, 1] are cut.": lambda a: np.clip(a.real, 0, 1),
    "it is rounded to whole numbers.": lambda a: np.round(a),
    "the numbers after the point are cut off.": lambda a: np.trunc(a.real),
    "it is rounded; leave all digits.": lambda a: np.round(a, 2),
    "rows and columns are exchanged.": np.transpose,
    "it is turned upside down.": lambda a: np.flip(a, 0),
    "left and right are exchanged.": lambda a: np.flip(a, -1),
    "it is flipped along every axis.": np.flip,
    "its corner was moved to the middle, or its middle to the corner, as fftshift does.": np.fft.fftshift,
    "its corner was moved to the middle, or its middle to the corner, as ifftshift does.": np.fft.ifftshift,
    "its mean is subtracted.": lambda a: a - a.mean(),
    "it is divided by its sum.": lambda a: a / a.sum(),
    "it is divided by its largest value.": lambda a: a / a.max(),
    "it is divided by its norm.": lambda a: a / np.linalg.norm(a),
    "it is multiplied by the number of values: a sum where a mean belongs.": lambda a: a * a.size,
    "it is divided by the number of values: a mean where a sum belongs.": lambda a: a / a.size,
    "that is its mean: one number, where an array was expected.": np.mean,
    "that is its sum: one number, where an array was expected.": np.sum,
    "that is its standard deviation: one number, where an array was expected.": np.std,
    "that is its largest value: one number, where an array was expected.": np.max,
    "that is its first row alone.": lambda a: a[0],
    "it has an axis of length 1 too many.": lambda a: a[None],
    "it has one axis only: the others were lost by ravel or flatten.": np.ravel,
}


#: What is made of the right result and one of the arguments, and how it is told.
_MADE_WITH = {
    "that is `{}` itself, unchanged.": lambda e, a: a + 0 * e,
    "`{}` is added to the right result.": lambda e, a: e + a,
    "`{}` is subtracted from the right result.": lambda e, a: e - a,
    "the right result is subtracted from `{}`.": lambda e, a: a - e,
    "the right result is multiplied by `{}`, once too often.": lambda e, a: e * a,
    "the right result is divided by `{}`: that factor is missing, or too much.": lambda e, a: e / a,
    "that is the mean of `{}` and the right result.": lambda e, a: (e + a) / 2,
}


def relation(got: Arrays, expected: Arrays, close: Callable) -> str | None:
    """Name what relates all results to the right ones; None if nothing known does.

    Examples
    --------
    >>> right, close = [np.array([1.0, 2.0, 4.0])], np.allclose
    >>> relation([2 * right[0]], right, close)
    'your result is 2 times the right one.'
    >>> relation([np.sqrt(right[0])], right, close)
    'of the right result, that is its root; no root is needed here.'
    """
    if all(e.size == 1 and whole(e) for e in expected):  # an index: any number is related to it
        if not all(g.size == 1 and whole(g) for g in got):
            return "expected one whole number, an index or a count."
        return None
    with np.errstate(all="ignore"):
        if not any(np.any(g) for g in got):
            return "the result is 0 everywhere."
        if len(got) > 1 and all(g.ndim == 0 and g == got[0] for g in got):
            return "the result does not depend on the arguments."
        if any(map(np.iscomplexobj, got)) and _all_close(
            [g.real for g in got], expected, np.array, close
        ):
            return "its real part is right; the imaginary part does not belong to it."
        for hint, make in _MADE.items():
            if _all_close(got, expected, make, close):
                return f"of the right result, {hint}"
        if [g.shape for g in got] != [e.shape for e in expected]:
            return None
        return _factor(got, expected, close)


def relation_to(
    arguments: dict[str, Arrays], got: Arrays, expected: Arrays, close: Callable
) -> str | None:
    """Name what relates all results to the right ones and to one of the arguments.

    Examples
    --------
    >>> x, y = [np.arange(4.0)], [np.arange(4.0) ** 2]
    >>> relation_to({"x": x}, [y[0] - x[0]], y, np.allclose)
    '`x` is subtracted from the right result.'
    """
    with np.errstate(all="ignore"):
        for name, values in arguments.items():
            for hint, make in _MADE_WITH.items():
                made = [make(e, a) for e, a in zip(expected, values, strict=True)]
                if all(m.shape == g.shape and close(g, m) for g, m in zip(got, made, strict=True)):
                    return hint.format(name)
    return None


def _all_close(got: Arrays, expected: Arrays, make: Callable, close: Callable) -> bool:
    try:
        made = [np.asarray(make(e)) for e in expected]
    except (ValueError, TypeError, IndexError):
        return False
    return all(m.shape == g.shape and close(g, m) for g, m in zip(got, made, strict=True))


def _factor(got: Arrays, expected: Arrays, close: Callable) -> str | None:
    a, b = (np.concatenate([each.ravel() for each in arrays]) for arrays in (got, expected))
    if a.size < 2 or not np.isfinite(a).all() or np.abs(b - b[0]).max() < 1e-6 * np.abs(b).max():
        return None
    factor = np.vdot(b, a) / np.vdot(b, b)
    # of few numbers the ratio may be the same by chance: only a simple one counts
    single = a.size == len(got)
    few = single and a.size < 3
    if not single and len(got) > 1:
        each = [np.vdot(e, g) / np.vdot(e, e) for g, e in zip(got, expected, strict=True)]
        if not np.allclose(each, factor) and all(
            abs(f) > 1e-6 and close(g, f * e) for f, g, e in zip(each, got, expected, strict=True)
        ):
            numbers = " and ".join(map(_number, each))
            return (
                f"your result is the right one times a number that depends on the input: {numbers}."
            )
    simple = any(
        np.isclose(12 * factor / unit, np.round(12 * factor / unit), 1e-4) for unit in (1, np.pi)
    )
    if abs(factor) > 1e-6 and all(close(g, factor * e) for g, e in zip(got, expected, strict=True)):
        if np.isclose(factor, -1):
            return "the sign is reversed."
        if simple or not few:
            return f"your result is {_number(factor)} times the right one."
    offset = (a - b).mean()
    if not few and all(close(g, e + offset) for g, e in zip(got, expected, strict=True)):
        return f"{_number(offset)} is added to the right result, everywhere."
    return None


def _number(value) -> str:
    value = complex(value)
    return f"{value.real:.4g}" if abs(value.imag) < 1e-6 * abs(value) else f"{value:.4g}"


def whole(values: np.ndarray) -> bool:
    """Whether all values are whole numbers."""
    return bool(np.all(values == np.round(values.real)))


def place(wrong: np.ndarray) -> str | None:
    """Say where a result is wrong, if it is right elsewhere; None if most of it is wrong.

    Parameters
    ----------
    wrong : ndarray of bool

    Examples
    --------
    >>> wrong = np.ones((5, 6), dtype=bool); wrong[1:-1, 1:-1] = False
    >>> place(wrong)
    'right inside, wrong within 1 pixel of the border: what lies beyond the border?'
    >>> place(np.arange(8) == 3)
    '7 of 8 values are right; the first wrong one is at (3,).'
    """
    if wrong.ndim == 0 or wrong.all():
        return None
    index = np.indices(wrong.shape)
    last = np.reshape(wrong.shape, (-1,) + (1,) * wrong.ndim) - 1
    depth = np.minimum(index, last - index).min(axis=0)  # distance from the border
    reach = int(depth[wrong].max()) + 1
    if (
        wrong.ndim > 1
        and wrong.sum() > 1
        and (depth >= reach).any()
        and wrong[depth < reach].mean() > 0.3
    ):
        pixels = "1 pixel" if reach == 1 else f"{reach} pixels"
        return f"right inside, wrong within {pixels} of the border: what lies beyond the border?"
    right = wrong.size - int(wrong.sum())
    if 2 * right < wrong.size:
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{right} of {wrong.size} values are right; the first wrong one is at {first}."


def unfinished(function: Callable) -> str | None:
    """Return the line that is still `...` in a function; None if there is none.

    Examples
    --------
    >>> def half(x):
    ...     y = ...
    ...     return 2 * x
    >>> unfinished(half), unfinished(lambda x: x[..., 0])
    ('`y = ...`', None)
    >>> def filled(x):
    ...     x[...] = 1
    >>> unfinished(filled)
    """
    steps = list(_instructions(function))
    for this, after in itertools.pairwise(steps):
        named = after.opname.startswith("STORE") and after.argval is not None  # not y[...] = x
        if this.argval is Ellipsis and named:
            name = after.argval[0] if isinstance(after.argval, tuple) else after.argval
            return f"`{name} = ...`"
        if this.argval is Ellipsis and after.opname.startswith("RETURN"):
            return "`return ...`"
    if any(s.opname == "RETURN_CONST" and s.argval is Ellipsis for s in steps):
        return "`return ...`"
    return None


def _instructions(function: Callable) -> Iterator[dis.Instruction]:
    return dis.get_instructions(function) if hasattr(function, "__code__") else iter(())


def advice(error: Exception, arguments: tuple) -> str:
    """Say what an error in a learner's function usually means; empty if that is not known.

    Examples
    --------
    >>> advice(AttributeError("'numpy.ndarray' object has no attribute 'clone'"), (np.zeros(2),))
    ' The arguments are NumPy arrays: use `np.` functions and `.copy()`.'
    """
    tensors = [hasattr(a, "detach") for a in arguments if hasattr(a, "shape")]
    text = str(error)
    if isinstance(error, NameError) and getattr(error, "name", "") in ("i", "j"):
        return " Python's imaginary unit is 1j."
    if "converted to Python scalars" in text:
        return " float(), int() and the functions of `math` take one number; use NumPy's, such as np.exp."
    if isinstance(error, NameError):
        return " Only the arguments and what the notebook has defined above are known here."
    if "truth value" in text or "Boolean value of" in text:
        return (
            " An array has no single truth value: combine masks by & and |, not by `and` and `or`."
        )
    if isinstance(error, TypeError) and "positional argument" in text:
        return " The check calls it with the arguments that the given first line has."
    if isinstance(error, TypeError) and "'list'" in text:
        return " A list is no array: np.array(...) of it can be compared and computed with."
    if isinstance(error, TypeError) and "'tuple'" in text:
        return " A comma makes a tuple: is there one too many?"
    if "Cannot cast array data" in text and "to dtype('int" in text:
        return " Whole numbers are needed: round, then .astype(int)."
    if isinstance(error, AttributeError | TypeError) and any(tensors):
        return " The arguments are PyTorch tensors: use `torch.` functions and `.clone()`, not NumPy's."
    if isinstance(error, AttributeError | TypeError) and tensors:
        return " The arguments are NumPy arrays: use `np.` functions and `.copy()`."
    if "cannot reshape" in text:
        return " The new shape must hold as many values: leave out what does not fit first."
    if "must have the same shape" in text:
        return " Arrays that are stacked have one shape: print them."
    if "broadcast" in text or "must match the size" in text:
        return " The shapes of two arrays do not fit: print them."
    if isinstance(error, IndexError):
        return " An index lies outside its array: print the array's shape."
    return ""
