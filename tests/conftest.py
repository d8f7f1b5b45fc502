"""Tests marked gpu are skipped where there is none; no test of examples has a time limit."""

import pytest
import torch
from hypothesis import HealthCheck, settings

# an example may take its time: how long says something about the machine, nothing about the package
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):  # keywords hold the names of folders, too
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
