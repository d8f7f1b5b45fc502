"""Measured rows in a file of JSON lines: each is kept as soon as it is measured, and measured once."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


class Rows:
    """The rows of one file that were measured with the same settings; those of others are kept apart.

    Parameters
    ----------
    name : str
        Of the file in benchmarks/results/, without its ending.
    settings : str
        What a row depends on, in short.
    """

    def __init__(self, name: str, settings: str):
        self.path, self.settings = RESULTS / f"{name}.jsonl", settings
        rows = map(json.loads, self.path.open()) if self.path.exists() else ()
        self.rows = [row for row in rows if row["settings"] == settings]

    def has(self, **fields) -> bool:
        """Return whether a row with these fields was measured."""
        return any(all(row.get(k) == v for k, v in fields.items()) for row in self.rows)

    def add(self, rows: list[dict]) -> None:
        """Append rows to the file."""
        rows = [{**row, "settings": self.settings} for row in rows]
        with self.path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        self.rows += rows
