"""Self-supervised single-image deconvolution with Siamese neural networks, as a course and a package.

The code and the notation follow Papkov, Palo and Parts, "Self-Supervised Single-Image Deconvolution
with Siamese Neural Networks" (2023), https://arxiv.org/abs/2308.09426.
"""

import os

import lazy_loader

# Threads that wait must sleep: where they spin, one busy neighbour slows a training step several times.
# Falling asleep at once costs a third of a step on an idle machine, so they look around for some
# microseconds first. OpenMP reads both when torch is loaded, so they come first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What Apple's GPUs lack is computed on the CPU; torch reads this, too, when it is loaded.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

# Names and rooms are imported from where __init__.pyi says when they are first asked for: so the command line
# answers Ctrl-C while torch is loaded.
__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
_ROOMS = (
    "expect files hardware inspection methods metrics microscope network problem restoration tiles"
)
__all__ = [name for name in _names if name not in _ROOMS.split()]
