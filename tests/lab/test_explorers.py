"""Explorers: widgets and page show the same frames, and every move changes picture, curves and text."""

import io
import itertools
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from siamdecon import paper_psf
from siamdecon.files.samples import data_folder
from siamdecon.lab import (
    LambdaExplorer,
    iterations_explorer,
    noise_explorer,
    optics_explorer,
    scales_explorer,
    slices_explorer,
    sweep,
)
from siamdecon.lab.axes import Axes
from siamdecon.lab.explorer import Explorer
from siamdecon.lab.frames import Frame, compress
from siamdecon.lab.sweep import Scene, grid_weights, load_sweep, train_point
from siamdecon.network import inference

GRID = {"grey": (0.0, 0.5, 1.0), "side": (8, 16)}
AXES = Axes((0.0, 0.5, 1.0), "x", "y", (0, 2))


def square(grey, side):
    curves = {"rising": [0.0, grey, 2 * grey], "flat": [1.0] * 3}
    return Frame(compress([np.full((side, side), grey)]), f"grey {grey}, side {side}", curves)


@pytest.fixture
def explorer():
    return Explorer("a square", GRID, square, start={"side": 16}, axes=AXES)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("L"))


def page_data(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


def test_a_move_changes_picture_curves_and_text(explorer):
    assert explorer.at == (0.0, 16)
    explorer.set(grey=1.0, side=8)
    assert explorer.frame.text == "grey 1.0, side 8"
    assert explorer.image.value == explorer.frame.picture
    assert "grey 1.0, side 8" in explorer.text.value
    assert AXES.points([0.0, 1.0, 2.0]) in explorer.text.value
    assert pixels(explorer.image.value).mean() > 250


def test_a_frame_is_made_once_and_only_when_asked_for():
    made = []

    def frame(*at):
        made.append(at)
        return square(*at)

    explorer = Explorer("a square", GRID, frame)
    assert made == [(0.0, 8)]
    explorer.set(grey=0.5)
    explorer.set(grey=0.0)
    explorer.set(grey=0.5)
    assert made == [(0.0, 8), (0.5, 8)]


def test_the_page_holds_every_frame_in_the_order_of_its_controls(explorer):
    data = page_data(explorer.to_html())
    assert data["sizes"] == [3, 2]
    assert data["labels"] == [["0", "0.5", "1"], ["8", "16"]]
    assert data["texts"] == [f"grey {g}, side {s}" for g, s in itertools.product(*GRID.values())]
    assert data["curves"][2][0] == AXES.points([0.0, 0.5, 1.0])
    assert len(data["pictures"]) == 6


def test_the_page_starts_where_the_widget_stands(explorer):
    explorer.set(grey=0.5)
    page = explorer.to_html()
    assert '<img alt="grey 0.5, side 16"' in page
    assert re.findall(r'max="(\d)" value="(\d)"', page) == [("2", "1"), ("1", "1")]


def test_the_page_needs_no_network(explorer):
    assert not re.search(r"https?://|//cdn|src=\"(?!data:)", explorer.to_html())


def test_a_text_cannot_break_the_page():
    nasty = '</script><b title="x">&'
    explorer = Explorer(nasty, {"x": (1, 2)}, lambda x: Frame(compress([np.zeros((4, 4))]), nasty))
    page = explorer.to_html()
    assert page.count("</script>") == 2
    assert page_data(page)["texts"] == [nasty] * 2
    assert nasty not in explorer.text.value


def test_a_notebook_gets_both_the_widget_and_the_page(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"].startswith('<figure class="siamdecon-explorer"')


def test_fewer_positions_for_the_page():
    explorer = Explorer("a square", GRID, square, static={"grey": (0.0, 1.0)})
    explorer.set(grey=0.5)  # not on the page: it opens on the first
    data = page_data(explorer.to_html())
    assert data["sizes"] == [2, 2]
    assert data["texts"][2] == "grey 1.0, side 8"


@pytest.mark.parametrize("planes", [1, 5, 8])
def test_slices_of_one_plane_or_without_an_error_are_drawn(planes):
    clean = np.linspace(0, 1, planes * 256).reshape(planes, 16, 16)
    explorer = slices_explorer(clean, {"the truth": clean})
    explorer.set(plane=planes - 1, planes=1)
    assert explorer.frame.text == f"plane {planes - 1}: RMSE of the truth 0.000"
    assert "<svg" in explorer.text.value and "nan" not in explorer.text.value


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": {"size": 8}}, "start: expected controls grey, side, got size"),
        ({"start": {"side": 9}}, "side expected one of"),
        ({"static": {"grey": (0.25,)}}, r"values of \(0.0, 0.5, 1.0\), got \[0.25\]"),
    ],
)
def test_impossible_positions_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Explorer("a square", GRID, square, **options)


def test_a_control_without_values_is_refused():
    with pytest.raises(ValueError, match="side has no value"):
        Explorer("a square", {"side": ()}, square)


def test_curves_lie_where_their_axes_say():
    first, *_, last = (tuple(map(float, p.split(","))) for p in AXES.points([0, 1, 2]).split())
    svg = AXES.svg({"a": [0, 1, 2], "b": [2, 1, 0]})
    grid = [float(y) for y in re.findall(r'class="grid" [^>]*y1="([\d.]+)"', svg)]
    assert (first[1], last[1]) == (max(grid), min(grid))
    assert first[0] < last[0]
    assert svg.count("<polyline") == 2 and 'aria-label="a, b against x"' in svg
    dashes = re.findall(r'<polyline [^>]*stroke="([^"]+)" stroke-dasharray="([^"]*)"', svg)
    assert len({colour for colour, _ in dashes}) == len({dash for _, dash in dashes}) == 2


def test_values_beyond_the_axes_stay_on_the_border():
    assert AXES.points([-5, 1, 9]) == AXES.points([0, 1, 2])


def test_compress_keeps_grey_levels_and_size():
    picture = pixels(compress([np.full((16, 16), 0.5), np.ones((16, 16))], size=32, quality=90))
    assert picture.shape == (32, 68)
    assert abs(int(picture[:, :30].mean()) - 128) < 4
    assert picture[:, 34:].mean() > 250


@pytest.mark.parametrize("make", [optics_explorer, noise_explorer, iterations_explorer])
def test_every_position_of_an_explorer_has_a_frame_of_its_own(make):
    explorer = make()
    page = page_data(explorer.to_html())
    assert len(set(page["texts"])) == len(page["texts"]) > 30
    assert len(explorer.to_html()) < 2_000_000
    sizes = {Image.open(io.BytesIO(explorer.frame_at(at).picture)).size for at in explorer._frames}
    assert len(sizes) == 1, "pictures of one size: nothing jumps"
    for name, values in explorer.grid.items():
        texts = set()
        for value in values:
            explorer.set(**{name: value})
            texts.add(explorer.frame.text)
        assert len(texts) == len(values)


class TestLambdas:
    def test_the_stored_sweep_is_whole_small_and_of_this_package(self):
        about, frames = load_sweep()
        grid = list(itertools.product(*about["controls"].values()))
        assert set(frames) == set(grid)
        assert sum(len(frame.picture) for frame in frames.values()) < 3_000_000
        assert about["tier"] == "lab"

    def test_the_sweep_shows_what_the_lambdas_do(self):
        """Without any invariance the estimate explains the noise; with it, it does not."""
        _, frames = load_sweep()
        last = {at[:3]: frame for at, frame in frames.items() if at[3] == 400}

        def deviation(frame):
            return float(frame.text.rstrip(".").split()[-1])

        identity = deviation(last[0, 0, "none"])
        assert all(deviation(frame) > identity for (_, inv_d, _), frame in last.items() if inv_d)

    def test_a_point_of_the_sweep_can_be_trained_again(self):
        """The test tier's steps are the first of no stored run, so only the form is compared."""
        steps, frames = zip(
            *train_point(Scene(), grid_weights(0, 2, "none"), tier="test", steps=(2,)), strict=True
        )
        assert steps == (2, 4)
        assert [frame.text.split(":")[0] for frame in frames] == [
            "rec 1, inv_d 2, step 2",
            "rec 1, inv_d 2, step 4",
        ]

    def test_a_look_does_not_change_the_training(self):
        weights = grid_weights(0, 2, "none")
        looked = dict(train_point(Scene(), weights, tier="test", steps=(1, 2, 3)))
        assert looked[4] == dict(train_point(Scene(), weights, tier="test", steps=()))[4]

    def test_an_interrupt_keeps_what_has_been_reached(self):
        def stop(run):
            if run.step == 2:
                raise KeyboardInterrupt

        frames = list(train_point(Scene(), grid_weights(0, 2, "none"), tier="test", callback=stop))
        assert [step for step, _ in frames] == [2]

    def test_an_interrupt_during_a_look_keeps_it_too(self, monkeypatch):
        looks = []

        def interrupted_once(*args, **kwargs):
            looks.append(args)
            if len(looks) == 1:
                raise KeyboardInterrupt
            return inference.predict(*args, **kwargs)

        monkeypatch.setattr(sweep, "predict", interrupted_once)
        point = train_point(Scene(), grid_weights(0, 2, "none"), tier="test", steps=(2,))
        assert [step for step, _ in point] == [2]

    def test_live_training_joins_the_controls(self):
        explorer = LambdaExplorer(tier="test")
        before = explorer.grid["lambda_inv"]
        explorer.train(1.0, 0.0, "none")
        assert explorer.grid["lambda_inv"] == tuple(sorted((*before, 1.0)))
        assert explorer.at == (1.0, 0.0, "none", 4)
        assert explorer.frame.text.startswith("rec 1, inv 1, step 4: PSNR")
        explorer.set(step=400)
        assert explorer.frame.text.startswith("not trained")

    def test_the_button_trains_what_the_fields_say(self):
        explorer = LambdaExplorer(tier="test")
        explorer._fields["lambda_inv_d"].value = 3.0
        explorer.button.click()
        assert explorer.at == (1.0, 3.0, "none", 4)
        assert not explorer.button.disabled

    def test_another_file_is_refused(self, tmp_path):
        path = tmp_path / "lambdas.zip"
        path.write_bytes(b"not a zip file")
        with pytest.raises(ValueError, match="make sweep"):
            load_sweep(path)


def test_a_coarser_copy_of_edges_has_more_fine_detail():
    """Stripes 12 pixels wide, blurred by 3: at a third of the size the blur is a pixel wide."""
    stripes = gaussian_filter(np.tile(np.repeat([0.2, 0.8], 12), (192, 8)), 3)
    explorer = scales_explorer(stripes, {"stripes": stripes}, paper_psf(2))
    shares = {}
    for scale in (1, 3):
        explorer.set(scale=scale)
        copy, clean = (np.array(explorer.frame.curves[k]) for k in ("copy", "clean image"))
        shares[scale] = 10 ** copy[5:].max() / 10 ** clean[5:].max()
        assert f"{scale:g} times smaller" in explorer.frame.text
    assert shares[1] < 1.5 and shares[3] > 20


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-40], lambda b: b.replace(b"about", b"\xff\xfebou")]
)
def test_a_damaged_sweep_is_named(tmp_path, damage):
    path = tmp_path / "lambdas.zip"
    path.write_bytes(damage((data_folder() / "lambdas.zip").read_bytes()))
    with pytest.raises(ValueError, match=r"lambdas\.zip is not a sweep of this package"):
        load_sweep(path)
