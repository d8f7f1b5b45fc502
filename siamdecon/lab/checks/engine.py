"""How an exercise is checked: against an independent reference, and against known mistakes."""

import copy
import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from siamdecon.lab.checks.mutants import mutants
from siamdecon.lab.checks.relations import advice, place, relation, relation_to, unfinished, whole


class CheckFailed(AssertionError):
    """An answer that is not right yet; a notebook shows only the message, without a traceback.

    Examples
    --------
    >>> CheckFailed("the kernel is not flipped")._render_traceback_()
    ['Not yet. the kernel is not flipped']
    """

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet. {self}"]


@dataclass(frozen=True)
class Exercise:
    """A function that the learner writes, and everything needed to check it.

    Calling the exercise with the learner's function prints that it is right, or raises `CheckFailed`
    with the likely mistake.

    Attributes
    ----------
    name : str
        What the function computes, in a few words.
    oracle : callable
        Computes the right answer independently of the package.
    inputs : tuple of tuple
        Arguments of each call.
    mistakes : dict of str to callable
        Hints, and for each a function that makes the mistake the hint names.
    rtol, atol : float
        Relative and absolute tolerance of a right answer.
    solution : callable, optional
        A right answer, defined by `def`. If none of the mistakes fits, small changes of it are compared:
        a lost pair of parentheses, a missing factor, an exchanged name.

    Examples
    --------
    >>> double = Exercise("twice x", lambda x: 2 * x, ((np.arange(3.0),),), {"x^2 is": lambda x: x**2})
    >>> double(lambda x: x + x)
    twice x: right.
    >>> double(lambda x: x * x)
    Traceback (most recent call last):
    siamdecon.lab.checks.engine.CheckFailed: Wrong values: x^2 is
    """

    name: str
    oracle: Callable
    inputs: tuple[tuple, ...]
    mistakes: dict[str, Callable]
    rtol: float = 1e-4
    atol: float = 1e-6
    solution: Callable | None = None

    def __call__(self, answer: Callable) -> None:
        """Check the learner's function."""
        if not callable(answer):
            raise CheckFailed(
                f"Expected a function, got {type(answer).__name__}; pass it by name, without calling it."
            )
        expected = [as_array(self.oracle(*copy.deepcopy(arguments))) for arguments in self.inputs]
        got = [self._answered(answer, *pair) for pair in zip(self.inputs, expected, strict=True)]
        pairs = zip(got, expected, strict=True)
        wrong = next((i for i, pair in enumerate(pairs) if not self._close(*pair)), None)
        if wrong is None:
            print(f"{self.name}: right.")
            return
        if left := unfinished(answer):
            raise CheckFailed(f"Nothing to check yet: {left} is still to be written.")
        problem = self._problem(got[wrong], expected[wrong])
        hint = next(self._hints(answer, got, expected, wrong), None)
        if hint and all(a.size == 1 and whole(a) for a in (*got, *expected)):
            hint = f"possibly, {hint}"  # other mistakes may lead to the same index
        raise CheckFailed(f"{problem.split(':')[0]}: {hint}" if hint else problem)

    def _answered(self, answer: Callable, arguments: tuple, expected: np.ndarray) -> np.ndarray:
        """Return what the learner's function makes of one input."""
        given, left = copy.deepcopy(arguments), unfinished(answer)
        try:
            answered = answer(*given)
        except Exception as error:
            if left:
                raise CheckFailed(
                    f"Nothing to check yet: {left} is still to be written."
                ) from error
            told = f"Your function raised {type(error).__name__}: {error}"
            more = advice(error, arguments)
            raise CheckFailed(f"{told.rstrip('.')}.{more}" if more else told) from error
        if answered is None or answered is ...:
            todo = (
                f"{left} is still to be written"
                if left
                else "nothing is returned; return the result"
            )
            raise CheckFailed(f"Nothing to check yet: {todo}.")
        answered = self._outcome(answered, given)
        try:
            got = as_array(answered)
        except (TypeError, ValueError):
            if left:
                raise CheckFailed(f"Nothing to check yet: {left} is still to be written.") from None
            several = f" of {len(answered)}" if isinstance(answered, tuple | list) else ""
            raise CheckFailed(
                f"Expected an array of numbers of shape {expected.shape}, got a "
                f"{type(answered).__name__}{several}."
            ) from None
        if isinstance(answered, tuple) and got.shape != expected.shape:
            raise CheckFailed(
                f"Wrong shape: you returned a tuple of {len(answered)}, expected one array of shape "
                f"{expected.shape}; is there a comma too many?"
            )
        if not _equal(given, arguments):
            raise CheckFailed("Your function changes its input in place; work on a copy.")
        return got

    def _hints(self, answer, got: list, expected: list, wrong: int) -> Iterator[str]:
        """Name the mistake: one that was foreseen, then a known relation to the right result."""
        yield from (hint for hint, mistake in self.mistakes.items() if self._same(got, mistake))
        names = list(inspect.signature(answer).parameters) if self._named(answer) else []
        one = all(g.size == 1 for g in got)  # of a number or two, the same may come by chance
        for right in filter(None, (self.oracle, None if one else self.solution)):
            for i, j in itertools.combinations(range(len(names)), 2):
                order = list(range(len(names)))
                order[i], order[j] = j, i
                if self._same(got, lambda *a, f=right, order=order: f(*[a[k] for k in order])):
                    yield f"`{names[i]}` and `{names[j]}` are exchanged."
        if related := relation(got, expected, self._close):
            yield related
        if not all(
            g.size == 1 and g == got[0] for g in got
        ):  # of equal numbers each may be by chance
            for hint, mutant in mutants(self.solution) if self.solution else ():
                if self._same(got, mutant):
                    yield hint
        arrays = {
            name: [as_array(arguments[i]) for arguments in self.inputs]
            for i, name in enumerate(names)
            if all(
                _is_array(a[i]) and a[i].shape == e.shape != ()
                for a, e in zip(self.inputs, expected, strict=True)
            )
        }
        if related := relation_to(arrays, got, expected, self._close):
            yield related
        if got[wrong].shape == expected[wrong].shape and np.isfinite(got[wrong]).all():
            if where := place(~np.isclose(got[wrong], expected[wrong], self.rtol, self.atol)):
                yield where

    def _same(self, got: list, mistake: Callable) -> bool:
        """Whether a mistake, which may fail, gives the learner's results for all inputs."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for result, arguments in zip(got, self.inputs, strict=True):
                try:
                    if not self._close(result, as_array(mistake(*copy.deepcopy(arguments)))):
                        return False
                except Exception:
                    return False
        return True

    def _named(self, answer: Callable) -> bool:
        """Whether the answer has as many arguments as the check gives it."""
        try:
            return len(inspect.signature(answer).parameters) == len(self.inputs[0])
        except (TypeError, ValueError):
            return False

    def _outcome(self, answered, given: tuple):
        """Return what is compared of a result; a kind of exercise may demand more of it, or look further.

        `given` are the arguments as the learner's function has left them.
        """
        return answered

    def _close(self, a: np.ndarray, b: np.ndarray) -> bool:
        return a.shape == b.shape and np.allclose(a, b, self.rtol, self.atol, equal_nan=True)

    @staticmethod
    def _problem(got: np.ndarray, expected: np.ndarray) -> str:
        if got.shape != expected.shape:
            shapes = [
                f"an array of shape {a.shape}" if a.ndim else "one number" for a in (expected, got)
            ]
            return f"Wrong shape: expected {shapes[0]}, got {shapes[1]}."
        if not np.isfinite(got).all():
            return (
                f"Wrong values: {np.count_nonzero(~np.isfinite(got))} are NaN or infinite; a division by 0, "
                "or the root or logarithm of a negative number, gives them."
            )
        difference = np.abs(got - expected)
        at = tuple(int(i) for i in np.unravel_index(difference.argmax(), got.shape))
        there = f" at {at}" if at else ""
        return (
            f"Wrong values: the largest difference is {difference.max():.3g}{there}, "
            f"where {expected[at]:.4g} was expected."
        )


def _is_array(value) -> bool:
    return hasattr(value, "shape")


def _equal(a, b) -> bool:
    """Whether two arguments hold the same arrays, in lists, too."""
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return not _is_array(a) or np.array_equal(a, b)


def as_array(value) -> np.ndarray:
    """Turn a number, array or tensor into an array of floats (complex numbers stay)."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
