"""A file of measurements, one JSON line each, that several runs may append to."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from siamdecon._version import __version__
from siamdecon.methods import METHODS

#: The fields that identify a measurement, and those that each must have.
KEY = ("image", "method", "seed", "tier", "code")
FIELDS = (*KEY, "psnr", "ssim", "rmse")
#: Rows measured before a change that leaves their method as it was keep the checksums of their time; a row
#: that is measured anew takes the place of the old one.
FROZEN = {"577ce474": "a3bf0ee5", "12866f8f": "8bdc7209", "84325d00": "5bfa7c05"}


def code_version(tier: str) -> str:
    """Return the package's version, with a checksum of the tier's settings, to keep different rows apart."""
    methods = {name: METHODS[name] for name in ("noise2self", "noise2same_d", "ssi", "self_scale")}
    settings = [
        (name, sorted(asdict(method.of_tier(tier, n_dim, {})).items()))
        for name, method in methods.items()
        for n_dim in (2, 3)
    ]
    checksum = hashlib.sha256(repr(settings).encode()).hexdigest()[:8]
    return f"{__version__}-{FROZEN.get(checksum, checksum)}"


class Measurements:
    """The rows of a results file; new rows are read at every call.

    Parameters
    ----------
    path : Path
        Created with the first row, in an existing folder. A file of the same name with ".lock" added is
        locked during writing.

    Raises
    ------
    FileNotFoundError
        If its folder is missing.
    ValueError
        If the file holds anything but measurements.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {self.path.parent}; make it first")
        self._lock = FileLock(self.path.with_name(f"{self.path.name}.lock"))
        self._read, self._known = 0, {}
        self.rows()

    def rows(self) -> list[dict]:
        """Return all rows, including those of other runs; the last of each key counts."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]  # a line still being written has no newline yet
            for line in whole.splitlines():
                if (row := self._parsed(line)) is not None:
                    self._known[tuple(row[k] for k in KEY)] = row
            self._read += len(whole)
        return list(self._known.values())

    def has(self, cell: dict) -> bool:
        """Return whether a cell was measured."""
        self.rows()
        return tuple(cell[k] for k in KEY) in self._known

    def add(self, row: dict) -> None:
        """Append a row; other runs wait, since a half-written line would look incomplete."""
        line = (json.dumps(row) + "\n").encode()
        with self._lock, self.path.open("ab", buffering=0) as file:
            if self._torn():
                line = b"\n" + line  # the remains of a killed run stay on a separate line
            file.write(line)

    def _torn(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(0, 2)
            if file.tell() == 0:
                return False
            file.seek(-1, 2)
            return file.read(1) != b"\n"

    def _parsed(self, line: bytes) -> dict | None:
        try:
            row = json.loads(line)
            if not all(field in row for field in FIELDS):
                raise TypeError
        except (ValueError, TypeError) as error:
            if self._known and isinstance(error, ValueError):
                return None  # an incomplete line, left by a killed run
            raise ValueError(
                f"{self.path} is no results file of this benchmark: expected lines with "
                f"{', '.join(FIELDS)}, got {line[:60]!r}; name another file"
            ) from None
        return row
