"""Whether a notebook runs without a person: the only place that reads SIAMDECON_AUTO."""

import os


def automatic() -> bool:
    """Return True where a notebook runs without a person: in tests and when figures are drawn.

    Questions are then answered automatically and live views are not updated. Set by the environment
    variable SIAMDECON_AUTO (any value but 0).

    Examples
    --------
    >>> isinstance(automatic(), bool)
    True
    """
    return os.environ.get("SIAMDECON_AUTO", "0") not in ("", "0")
