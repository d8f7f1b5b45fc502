"""Checks of the course's exercises: right, or the likely mistake.

A notebook passes the function that the learner wrote: `checks.camera(camera)`.
"""

from siamdecon.lab.checks.engine import CheckFailed, Exercise
from siamdecon.lab.checks.optics import camera, defocus_phase

__all__ = ["CheckFailed", "Exercise", "camera", "defocus_phase"]
