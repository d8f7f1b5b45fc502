"""notebooks/derive.py as a module: it lies outside any package, since a person runs it."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_spec = importlib.util.spec_from_file_location("derive", ROOT / "notebooks" / "derive.py")
DERIVE = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(DERIVE)
