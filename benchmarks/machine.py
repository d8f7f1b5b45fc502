"""The machine that measurements come from, and this process's memory."""

import platform
from pathlib import Path

import torch

import siamdecon
from siamdecon.hardware import available_cores


def machine() -> dict:
    """Describe the machine that the measurements come from."""
    return {
        "cpu": cpu(),
        "cores": available_cores(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "siamdecon": siamdecon.__version__,
    }


def cpu() -> str:
    """Name the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.open() if "model name" in line]
        if models:
            return models[0]
    return platform.processor() or platform.machine()


class PeakMemory:
    """Peak of the process's resident memory, or of the GPU's, while the block runs; in bytes, as `peak`.

    `before` is the memory in use at the start of the block. None if the system does not report it.
    """

    def __enter__(self):
        self.peak = self.before = None
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        elif Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            self.before = _status("VmRSS")
        return self

    def __exit__(self, *_):
        if torch.cuda.is_available():
            self.peak = torch.cuda.max_memory_allocated()
        elif self.before is not None:
            self.peak = _status("VmHWM")


def _status(field: str) -> int:
    """Return a line of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))
