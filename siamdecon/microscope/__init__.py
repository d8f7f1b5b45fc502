"""What a microscope does to an image: its kernel, the convolution g, noise, a whole degradation."""

from siamdecon.microscope.beads import BeadPSF, psf_from_beads
from siamdecon.microscope.camera import cut_at
from siamdecon.microscope.convolution import PSFConvolution, reconvolve
from siamdecon.microscope.degradation import blur, degrade, residual
from siamdecon.microscope.noise import (
    PAPER_2D,
    PAPER_3D,
    Noise,
    add_noise,
    estimate_noise,
    noise_level,
)
from siamdecon.microscope.psf import (
    Microscope,
    gaussian,
    gibson_lanni,
    paper_psf,
    psf_for,
    richards_wolf,
)
