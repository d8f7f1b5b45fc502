"""Checks of the course's exercises: each says that the answer is right, or names the likely mistake.

A notebook passes the function that the learner wrote: `checks.camera(camera)`.
"""

from siamdecon.lab.checks.classical import landweber_update, lucy_richardson_update, stop
from siamdecon.lab.checks.deconvolved import noise2same_d_loss, paired
from siamdecon.lab.checks.engine import CheckFailed, Exercise
from siamdecon.lab.checks.files import pick, pyramid_weights
from siamdecon.lab.checks.fourier import fft_convolve, transfer_function, transpose
from siamdecon.lab.checks.judging import judge, psnr, relative_power, ring_correlation
from siamdecon.lab.checks.optics import camera, defocus_phase, largest_pixel
from siamdecon.lab.checks.quickstart import best_estimate, residual
from siamdecon.lab.checks.real import choose, two_exposures
from siamdecon.lab.checks.scales import shrink, training_pair
from siamdecon.lab.checks.siamese import (
    blind_spot_loss,
    choose_run,
    fit,
    hide,
    j_invariant,
    two_pass_loss,
)
from siamdecon.lab.checks.volumes import allowed, stitch

__all__ = [
    "CheckFailed",
    "Exercise",
    "allowed",
    "best_estimate",
    "blind_spot_loss",
    "camera",
    "choose",
    "choose_run",
    "defocus_phase",
    "fft_convolve",
    "fit",
    "hide",
    "j_invariant",
    "judge",
    "landweber_update",
    "largest_pixel",
    "lucy_richardson_update",
    "noise2same_d_loss",
    "paired",
    "pick",
    "psnr",
    "pyramid_weights",
    "relative_power",
    "residual",
    "ring_correlation",
    "shrink",
    "stitch",
    "stop",
    "training_pair",
    "transfer_function",
    "transpose",
    "two_exposures",
    "two_pass_loss",
]
