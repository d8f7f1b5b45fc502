"""The one form of an error: what was expected, what arrived, how to mend it; and of a warning."""

import contextlib
import os
import sys
import warnings
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

#: What takes the place of pixels that are none.
NO_ZEROS = (
    "put numpy.nanmedian(image) or a median of their neighbours there; zeros would make an edge"
)

#: Files of this package, and of the decorators around its functions.
_NO_CALLERS = (f"{Path(__file__).parent}{os.sep}", contextlib.__file__)


def expect(ok: bool, name: str, expected: str, got: Any, mend: str = "") -> None:
    """Raise ValueError unless `ok`; the message names the argument.

    Parameters
    ----------
    ok : bool
    name : str
        The argument, as the user wrote it.
    expected : str
    got : object
        Shown as `repr` does; a sentence of one's own goes in as it is with `Words`.
    mend : str
        How to mend it, if that is not plain.

    Examples
    --------
    >>> expect(-1 > 0, "weight", "a positive number", -1)
    Traceback (most recent call last):
    ...
    ValueError: weight: expected a positive number, got -1
    """
    if not ok:
        shown = got if isinstance(got, Words) else repr(got)
        raise ValueError(f"{name}: expected {expected}, got {shown}{mend and '; '}{mend}")


def warn(message: str) -> None:
    """Warn at the line outside of this package that called it: Python shows a warning once a line.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     warn("image: dark")
    >>> caught[0].category.__name__, str(caught[0].message)
    ('UserWarning', 'image: dark')
    """
    frame, depth = sys._getframe(1), 2
    while frame.f_back and frame.f_code.co_filename.startswith(_NO_CALLERS):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, stacklevel=depth)


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite real number; True and False are none.

    Examples
    --------
    >>> is_number(np.float32(0.5)), is_number(float("nan")), is_number("0.5"), is_number(True)
    (True, False, False, False)
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and bool(-float("inf") < value < float("inf"))


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number; True and False, which count as 1 and 0 in Python, are none.

    Examples
    --------
    >>> is_whole(np.int64(3)), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


class Words(str):
    """What arrived, in words: shown without quotation marks."""


def expect_one_of(choices, **named) -> None:
    """Raise ValueError unless a named value is one of the choices.

    Examples
    --------
    >>> expect_one_of(("blend", "exact"), stitch="sew")
    Traceback (most recent call last):
    ...
    ValueError: stitch: expected one of blend, exact, got 'sew'
    """
    for name, value in named.items():
        expect(
            isinstance(value, str) and value in choices, name, f"one of {', '.join(choices)}", value
        )


def expect_counts(**numbers) -> None:
    """Raise ValueError unless each is a whole number of 1 or more.

    Examples
    --------
    >>> expect_counts(steps=100, features=0)
    Traceback (most recent call last):
    ...
    ValueError: features: expected a whole number of 1 or more, got 0
    """
    for name, n in numbers.items():
        expect(is_whole(n) and n >= 1, name, "a whole number of 1 or more", n)


def expect_seed(seed: Any) -> None:
    """Raise ValueError unless random numbers can be drawn from a seed.

    Examples
    --------
    >>> expect_seed(-1)
    Traceback (most recent call last):
    ...
    ValueError: seed: expected a whole number of 0 or more, below 2^63, got -1
    """
    drawn = is_whole(seed) and 0 <= seed < 2**63
    expect(drawn, "seed", "a whole number of 0 or more, below 2^63", seed)


def expect_positive(**numbers) -> None:
    """Raise ValueError unless each is a number above 0.

    Examples
    --------
    >>> expect_positive(learning_rate=-1)
    Traceback (most recent call last):
    ...
    ValueError: learning_rate: expected a positive number, got -1
    """
    for name, n in numbers.items():
        expect(is_number(n) and n > 0, name, "a positive number", n)


def expect_index(name: str, index: Any, size: int, owner: str, names=(), mend: str = "") -> int:
    """Return the index, from 0, of a part of a file, by it or by name; None if there is one only.

    Examples
    --------
    >>> expect_index("channel", 1, 2, "a.tif")
    1
    >>> expect_index("channel", "GFP", 2, "a.tif", ["DAPI", "GFP"])
    1
    >>> expect_index("channel", None, 2, "a.tif", ["DAPI", "GFP"])
    Traceback (most recent call last):
    ...
    ValueError: channel: expected one to take of a.tif, got 2 of them (DAPI, GFP); channel=0 takes the first
    """
    known = f" ({', '.join(map(str, names))})" if len(names) else ""
    if index is None:
        got = Words(f"{size} of them{known}")
        expect(size == 1, name, f"one to take of {owner}", got, f"{name}=0 takes the first{mend}")
        return 0
    if isinstance(index, str):
        several = list(names).count(index) > 1
        expect(not several, name, "one by its number, as several have this name", index)
        if index in names:
            return list(names).index(index)
        index = int(index) if index.isdecimal() else index  # a command line has only words
    good = is_whole(index) and 0 <= index < size
    expect(good, name, f"0 to {size - 1}, as {owner} has {size}{known}", index)
    return int(index)


def expect_module(name: str, user: str, extra: str) -> ModuleType:
    """Import a package that few runs need, or raise ValueError that says how to get it.

    Examples
    --------
    >>> expect_module("no_such_package", "a.zarr", "zarr")
    Traceback (most recent call last):
    ...
    ValueError: a.zarr: it needs the package no_such_package, which is not here; pip install "siamdecon[zarr]"
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = f"{user}: it needs the package {error.name or name}, which is not here"
        raise ValueError(f'{missing}; pip install "siamdecon[{extra}]"') from error


def expect_unit_range(image: np.ndarray, name: str = "image", mend: str = "") -> None:
    """Raise ValueError unless an image lies in [0, 1], give or take some noise.

    Examples
    --------
    >>> expect_unit_range(np.array([0.0, 255.0]))
    Traceback (most recent call last):
    ...
    ValueError: image: expected values in [0, 1], got 0 to 255; scale it, or call ...
    """
    low, high = float(image.min()), float(image.max())
    mend = f"scale it, or call siamdecon.deconvolve, which does{mend}"
    span = Words(f"{low:.4g} to {high:.4g}")
    expect(-1 <= low and high <= 2, name, "values in [0, 1]", span, mend)
