"""How an exercise is checked: against an independent reference, and against known mistakes."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


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

    def __call__(self, answer: Callable) -> None:
        """Check the learner's function."""
        if not callable(answer):
            raise CheckFailed(
                f"Expected a function, got {type(answer).__name__}; pass it by name, without calling it."
            )
        for arguments in self.inputs:
            self._check(answer, arguments)
        print(f"{self.name}: right.")

    def _check(self, answer: Callable, arguments: tuple) -> None:
        expected = _array(self.oracle(*copy.deepcopy(arguments)))
        given = copy.deepcopy(arguments)
        try:
            answered = answer(*given)
        except Exception as error:
            raise CheckFailed(f"Your function raised {type(error).__name__}: {error}") from error
        if answered is None or answered is ...:
            raise CheckFailed("Nothing to check yet: replace the ... and return the result.")
        try:
            got = _array(answered)
        except (TypeError, ValueError):
            raise CheckFailed(
                f"Expected an array of numbers of shape {expected.shape}, got {type(answered).__name__}."
            ) from None
        if not all(
            np.array_equal(a, b) for a, b in zip(given, arguments, strict=True) if _is_array(a)
        ):
            raise CheckFailed("Your function changes its input in place; work on a copy.")
        if self._close(got, expected):
            return
        problem = self._problem(got, expected)
        for hint, mistake in self.mistakes.items():
            if self._close(got, _array(mistake(*copy.deepcopy(arguments)))):
                raise CheckFailed(f"{problem.split(':')[0]}: {hint}")
        raise CheckFailed(problem)

    def _close(self, a: np.ndarray, b: np.ndarray) -> bool:
        return a.shape == b.shape and np.allclose(a, b, self.rtol, self.atol, equal_nan=True)

    @staticmethod
    def _problem(got: np.ndarray, expected: np.ndarray) -> str:
        if got.shape != expected.shape:
            return f"Wrong shape: expected {expected.shape}, got {got.shape}."
        if not np.isfinite(got).all():
            return f"Wrong values: {np.count_nonzero(~np.isfinite(got))} are NaN or infinite."
        difference = np.abs(got - expected)
        place = tuple(int(i) for i in np.unravel_index(difference.argmax(), got.shape))
        where = f" at {place}" if place else ""
        return (
            f"Wrong values: the largest difference is {difference.max():.3g}{where}, "
            f"where {expected[place]:.4g} was expected."
        )


def _is_array(value) -> bool:
    return hasattr(value, "shape")


def _array(value) -> np.ndarray:
    """Turn a number, array or tensor into an array of floats (complex numbers stay)."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
