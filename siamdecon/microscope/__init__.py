"""What the instrument does to a picture: its kernel, the convolution g, noise, a whole degradation."""

from siamdecon.microscope.convolution import PSFConvolution, reconvolve
from siamdecon.microscope.degradation import (
    PAPER_2D,
    PAPER_3D,
    Noise,
    add_noise,
    blur,
    degrade,
    mean_response,
    residual,
)
from siamdecon.microscope.noise_estimation import estimate_noise, fit_noise, noise_level
from siamdecon.microscope.optics import Microscope
from siamdecon.microscope.psf import gaussian, gibson_lanni, paper_psf, richards_wolf
