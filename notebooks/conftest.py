"""For nbval: a notebook's cells tagged gpu are skipped where there is none, and nothing is downloaded."""

import os

import pytest
import torch

os.environ.setdefault(
    "SIAMDECON_OFFLINE", "1"
)  # SIAMDECON_REAL=FOLDER gives real images all the same


def pytest_collection_modifyitems(items):
    """Skip what this machine can't run."""
    if torch.cuda.is_available():
        return
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is not None and "gpu" in cell.metadata.get("tags", []):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
