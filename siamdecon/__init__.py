"""Self-supervised single-image deconvolution with Siamese neural networks, as a course and a package.

The code and the notation follow Papkov, Palo and Parts, "Self-Supervised Single-Image Deconvolution
with Siamese Neural Networks" (2023), https://arxiv.org/abs/2308.09426.
"""

import os

# Threads that wait must sleep: where they spin, one busy neighbour slows a training step several times.
# Falling asleep at once costs a third of a step on an idle machine, so they look around for some
# microseconds first. OpenMP reads both when torch is loaded, so they come first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What Apple's GPUs lack is computed on the CPU; torch reads this, too, when it is loaded.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

from siamdecon._version import __version__
from siamdecon.files.images import read_image, write_image
from siamdecon.files.samples import load_benchmark, load_real, load_sample, load_volume
from siamdecon.hardware import limit_threads
from siamdecon.inspection import compare, inspect
from siamdecon.methods.classical import richardson_lucy, wiener
from siamdecon.methods.siamese import TrainingConfig, train
from siamdecon.methods.total_variation import total_variation
from siamdecon.metrics import affine_score, fourier_ring_correlation, radial_power, score
from siamdecon.microscope.beads import psf_from_beads
from siamdecon.microscope.convolution import PSFConvolution
from siamdecon.microscope.degradation import degrade
from siamdecon.microscope.noise import PAPER_2D, PAPER_3D, Noise
from siamdecon.microscope.psf import Microscope, paper_psf
from siamdecon.network.losses import LossWeights
from siamdecon.network.unet import UNet
from siamdecon.restoration import Restoration, deconvolve, deconvolve_file

limit_threads()

__all__ = [
    "PAPER_2D",
    "PAPER_3D",
    "LossWeights",
    "Microscope",
    "Noise",
    "PSFConvolution",
    "Restoration",
    "TrainingConfig",
    "UNet",
    "__version__",
    "affine_score",
    "compare",
    "deconvolve",
    "deconvolve_file",
    "degrade",
    "fourier_ring_correlation",
    "inspect",
    "load_benchmark",
    "load_real",
    "load_sample",
    "load_volume",
    "paper_psf",
    "psf_from_beads",
    "radial_power",
    "read_image",
    "richardson_lucy",
    "score",
    "total_variation",
    "train",
    "wiener",
    "write_image",
]
