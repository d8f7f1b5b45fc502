"""The page for who changes the code: its example of a method runs, in memory and from disk to disk."""

import re

import numpy as np
import pytest

from siamdecon import PSFConvolution, deconvolve, deconvolve_file, read_image, write_image
from siamdecon.hardware import to_array, to_tensor
from siamdecon.methods import METHODS
from tests.course import ROOT

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6


@pytest.fixture
def method():
    """The class of the example, entered in the list of methods as long as a test runs."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.S)
    space = {"__name__": "example"}
    exec(code, space)
    yield space["VanCittert"]
    del METHODS["van_cittert"]


def test_the_example_is_a_method(method, tmp_path):
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    result = deconvolve(image, PSF, "van_cittert", iterations=2, progress=False)
    g = PSFConvolution(PSF, padding="symmetric")
    y = to_tensor(image, "cpu")
    x = y + (y - g(y))
    expected = to_array(x + (y - g(x)))
    # each convolution rounds by some eps of the values, which lie below 2 or so
    np.testing.assert_allclose(result.image, expected, rtol=0, atol=64 * np.finfo("f4").eps)
    assert result.settings["options"] == {"iterations": 2}
    path = write_image(tmp_path / "in.tif", image)
    done = deconvolve_file(
        path, PSF, tmp_path / "out.tif", "van_cittert", iterations=2, tile=16, progress=False
    )
    np.testing.assert_allclose(
        read_image(done).data, result.image, rtol=0, atol=64 * np.finfo("f4").eps
    )
    with pytest.raises(ValueError, match="van_cittert has no option steps; it takes iterations"):
        deconvolve(image, PSF, "van_cittert", steps=3)
    with pytest.raises(ValueError, match="iterations: expected 1 or more, got 0"):
        deconvolve(image, PSF, "van_cittert", iterations=0)


def test_the_page_names_what_there_is():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:siamdecon|notebooks|tests|benchmarks|docs|data)/[\w./]+)`", page)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
