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
        if item.get_closest_marker("gpu"):  # its keywords hold the names of folders, too
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_terminal_summary(terminalreporter):
    """Print what the tests on a GPU have proved, and their figures."""
    proved = {}
    for outcome in ("failed", "passed"):
        for report in terminalreporter.getreports(outcome):
            told = dict(report.user_properties)
            if report.when == "call" and (claim := told.pop("claim", None)):
                state, figures = proved.setdefault(claim, [outcome, []])
                figures += [f"{name} {value}" for name, value in told.items()]
    if proved:
        gpu = torch.cuda.get_device_properties(0)
        device = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, torch {torch.__version__}"
        terminalreporter.section(f"on {device}")
    for claim, (state, figures) in proved.items():
        word = "proved" if state == "passed" else "FAILED"
        terminalreporter.write_line(f"{word}  {claim} {'; '.join(figures)}")
