"""Pictures carry a text, show all images in one grey window, and tables mark the best."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from siamdecon.lab.plots import PALETTE, gallery, loss_curves, score_table
from siamdecon.run import History


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.data)).convert("L"))


def test_a_gallery_shows_every_image_in_the_same_grey_window():
    """A mid-grey image must come out mid-grey whatever stands beside it."""
    grey, white = np.full((40, 40), 0.5), np.ones((40, 40))
    beside_white = pixels(gallery({"a": grey, "b": white}, alt="two"))
    beside_grey = pixels(gallery({"a": grey, "b": grey}, alt="two"))
    middle = np.s_[beside_white.shape[0] // 2, beside_white.shape[1] // 4]
    assert beside_white[middle] == beside_grey[middle] == 128


def test_a_gallery_enlarges_the_part_asked_for():
    image = np.zeros((64, 64))
    image[20:30, 40:50] = 1
    shown = pixels(gallery({"a": image}, zoom=(20, 40, 10), alt="one"))
    assert shown[int(shown.shape[0] * 0.75), shown.shape[1] // 2] == 255


def test_a_gallery_needs_images_of_one_shape():
    with pytest.raises(ValueError, match=r"expected one shape, got \[\(4, 4\), \(5, 5\)\]"):
        gallery({"a": np.zeros((4, 4)), "b": np.zeros((5, 5))}, alt="")


def test_every_picture_carries_its_text():
    terms = {name: torch.rand(30) for name in ("total", "rec", "inv_d")}
    assert loss_curves(History(terms)).alt.endswith("rec, inv_d.")
    assert gallery({"a": np.eye(4)}, alt="a diagonal").alt == "a diagonal"


def test_a_table_marks_the_best_of_each_column():
    rows = {
        "a": {"psnr": 20.004, "ssim": 0.5, "rmse": 0.2},
        "b": {"psnr": 20.0, "ssim": 0.7, "rmse": 0.1},
    }
    lines = score_table(rows).splitlines()
    assert lines[0] == "| | PSNR (dB) | SSIM | RMSE |"
    assert lines[2:] == [
        "| a | **20.00** | 0.500 | 0.200 |",
        "| b | 20.00 | **0.700** | **0.100** |",
    ]


def test_the_palette_can_be_told_apart_without_red_and_green():
    """Each pair of colours differs for a viewer without long- or medium-wave cones (Viénot 1999)."""
    to_lms = np.array(
        [[17.8824, 43.5161, 4.1194], [3.4557, 27.1554, 3.8671], [0.03, 0.1843, 1.4671]]
    )
    blind = {
        "protan": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
        "deutan": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
    }
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE]) ** 2.2
    for simulate in blind.values():
        seen = rgb @ (np.linalg.inv(to_lms) @ simulate @ to_lms).T
        seen = seen.clip(0, 1) ** (1 / 2.2)
        distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert distance[np.triu_indices(len(PALETTE), 1)].min() > 0.1
