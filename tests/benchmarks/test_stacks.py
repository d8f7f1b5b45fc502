"""The cameras that the stacks of the benchmark are measured with."""

import numpy as np
import pytest

from benchmarks.stacks import camera, photons


@pytest.mark.parametrize("peak", [10, 100])
def test_photons_are_counted_up_to_their_peak(peak):
    grey = np.full((20, 60, 60), 0.5)
    grey[0] = 0.25
    counts = photons(grey, peak, np.random.default_rng(0))
    for part, mean in ((counts[0], peak / 2), (counts[1:], peak)):
        # five standard errors of a mean, and of a Poisson variance, about mean * sqrt(2 / n)
        assert abs(part.mean() - mean) < 5 * np.sqrt(mean / part.size)
        assert abs(part.var() - mean) < 5 * np.sqrt((mean + 2 * mean**2) / part.size)


def test_the_camera_adds_its_offset_gain_and_read_noise():
    levels = camera(np.ones((20, 60, 60)), np.random.default_rng(0))
    mean, variance = 100 + 2 * 105, 4 * 105 + 9 + 1 / 12
    assert abs(levels.mean() - mean) < 5 * np.sqrt(variance / levels.size)
    assert abs(levels.var() - variance) < 5 * variance * np.sqrt(2 / levels.size)
