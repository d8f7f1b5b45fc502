"""Pictures carry a text, show all images in one grey window, and tables mark the best."""

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color

from siamdecon.lab import plots
from siamdecon.lab.plots import (
    PALETTE,
    gallery,
    lines,
    loss_curves,
    orthogonal_views,
    score_table,
)
from siamdecon.network.training import History


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


@pytest.mark.parametrize(("count", "across", "down"), [(3, 3, 1), (4, 2, 2), (5, 3, 2), (6, 3, 2)])
def test_at_most_three_images_stand_in_a_row(count, across, down):
    shown = pixels(gallery({str(i): np.full((40, 40), 0.5) for i in range(count)}, alt="many"))
    grey = shown == 128
    runs = [
        np.flatnonzero(np.diff((grey.sum(axis) > 100).astype(int)) == 1).size for axis in (0, 1)
    ]
    assert runs == [across, down]
    assert grey.sum() == pytest.approx(count * (3 * 110) ** 2, rel=0.1)


def test_of_more_than_three_images_the_part_alone_is_shown():
    images = {name: np.random.default_rng(0).random((32, 32)) for name in "abcd"}
    parts = {name: image[4:12, 8:16] for name, image in images.items()}
    assert gallery(images, zoom=(4, 8, 8), alt="").data == gallery(parts, alt="").data


def test_a_gallery_outlines_pixels_of_the_enlarged_part():
    marked = np.zeros((64, 64), dtype=bool)
    marked[22, 47], marked[5, 5] = True, True  # the second is not in the enlarged part
    picture = gallery({"a": np.zeros((64, 64))}, zoom=(20, 40, 10), outline=marked, alt="one")
    shown = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB")).astype(int)
    lower = shown[shown.shape[0] // 2 + 20 :]
    orange = np.abs(lower - (230, 159, 0)).sum(axis=2) < 30
    image = np.argwhere(orange | (lower.sum(axis=2) == 0))
    (top, left), (bottom, right) = image.min(axis=0), image.max(axis=0)
    middle = (np.argwhere(orange).mean(axis=0) - (top, left)) / (bottom - top, right - left)
    assert np.allclose(middle, (0.25, 0.75), atol=0.02)  # pixel (2, 7) of 10


def test_a_volume_is_shown_by_its_middle_planes_and_its_highest_values():
    _, y, x = shape = (5, 7, 9)
    volume = np.zeros(shape)
    volume[1, 2, 3], volume[2, 4, 6] = 1, 0.5  # only the second lies in a middle plane, that of z
    shown = orthogonal_views(volume)
    planes, highest = np.split(shown, 2)
    assert np.argwhere(planes > 0).tolist() == [[4, 6]]
    places = [[2, 3], [4, 6], [2, x + 2 + 1], [4, x + 2 + 2], [y + 2 + 1, 3], [y + 2 + 2, 6]]
    assert sorted(np.argwhere(highest > 0).tolist()) == sorted(places)
    assert pixels(gallery({"a": volume}, alt="two points")).max() > 0


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


# Machado, Oliveira and Fernandes 2009: linear RGB as seen with each kind of colour blindness.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def closest(palette, blindness):
    """Return the smallest CIEDE2000 difference of two colours, as seen with a colour blindness."""
    srgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in palette])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(blindness), 0, 1)
    shown = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = color.rgb2lab(shown)
    return min(color.deltaE_ciede2000(a, b) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_palette_is_told_apart_with_any_colour_vision(kind):
    """A difference of 2 to 3 is just noticeable; these are drawn as thin lines."""
    assert closest(PALETTE, BLINDNESS[kind]) > 8


def test_red_and_green_would_not_be():
    assert closest(("#d62728", "#2ca02c"), BLINDNESS["deuteranopia"]) < 8


def test_lines_are_told_apart_without_colours_too(monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "picture", lambda figure, alt: drawn.append((figure, alt)))
    x = np.arange(5)
    lines(x, {"a": x, "b": x**2}, xlabel="x", ylabel="y (dB)", log="y", alt="two lines")
    (figure, alt), (axis,) = drawn[0], drawn[0][0].axes
    first, second = axis.lines
    assert alt == "two lines"
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("x", "y (dB)")
    assert (axis.get_xscale(), axis.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]
    plots.plt.close(figure)


def test_more_lines_than_colours_are_refused():
    with pytest.raises(ValueError, match="6 or fewer, got 7"):
        lines(np.arange(2), {str(i): [0, 1] for i in range(7)}, xlabel="", ylabel="", alt="")
