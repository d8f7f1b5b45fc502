"""Response time of the explorers, as a share of 100 ms, a delay that a user does not notice."""

import itertools
import statistics
import time

from siamdecon.lab import (
    LambdaExplorer,
    iterations_explorer,
    noise_explorer,
    optics_explorer,
)

LIMIT = 0.1  # seconds


def measure(args) -> dict:
    """Move each control through all its values; print and return the median and the slowest move."""
    results = {}
    for make in (optics_explorer, noise_explorer, iterations_explorer, LambdaExplorer):
        begin = time.perf_counter()
        explorer = make()
        opened = time.perf_counter() - begin
        shares = []
        moves = [(name, v) for name, values in explorer.grid.items() for v in values]
        for name, value in itertools.chain(moves, reversed(moves)):
            begin = time.perf_counter()
            explorer.set(**{name: value})
            shares.append((time.perf_counter() - begin) / LIMIT)
        results[make.__name__] = {
            "median": statistics.median(shares),
            "slowest": max(shares),
            "opened": opened / LIMIT,
        }
        print(
            f"{make.__name__}: a move takes {results[make.__name__]['median']:.3f} of 100 ms "
            f"(the slowest of {len(shares)}: {max(shares):.2f}; opening: {opened / LIMIT:.1f})"
        )
    return {"share_of_100_ms": results}
