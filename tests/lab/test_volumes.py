"""Volumes are shown at their true aspect, in one grey scale: in a picture, an explorer and napari."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from siamdecon import Microscope, deconvolve
from siamdecon.files import Image
from siamdecon.lab import gallery, open_in_napari, volume_explorer
from siamdecon.lab.plots import orthogonal_views
from siamdecon.lab.volumes import arranged, grey_limits, highest_values, unpacked
from tests.lab.test_explorers import page_data, pixels

SIZES = (0.9, 0.3, 0.3)  # um: planes three pixels apart
RNG = np.random.default_rng(0)
VOLUME = RNG.random((5, 7, 9))


@pytest.fixture(scope="module")
def restoration():
    stack = Image((1000 * RNG.random((6, 16, 16))).astype(np.uint16), "ZYX", SIZES)
    return deconvolve(
        stack, np.ones((3, 3, 3)) / 27, "richardson_lucy", iterations=1, progress=False
    )


def test_planes_are_drawn_as_far_apart_as_they_lie():
    shown = orthogonal_views(VOLUME, SIZES)
    fine = np.repeat(VOLUME, 3, axis=0)  # voxels that are cubes
    _, y, x = fine.shape
    planes, highest = np.split(shown, 2)
    assert planes.shape == (y + 15 + 3, x + 15 + 2)
    for block, (along_z, along_y, along_x) in (
        (planes, (VOLUME[2], fine[:, 3], fine[:, :, 4])),
        (highest, (fine.max(0), fine.max(1), fine.max(2))),
    ):
        np.testing.assert_allclose(block[:y, :x], along_z, rtol=1e-7)
        np.testing.assert_allclose(block[:y, x + 2 :], along_x.T, rtol=1e-7)
        np.testing.assert_allclose(block[y + 2 : -1, :x], along_y, rtol=1e-7)


def test_without_a_voxel_size_and_with_cubes_the_views_are_the_same():
    np.testing.assert_allclose(orthogonal_views(VOLUME, (2, 2, 2)), orthogonal_views(VOLUME))


@pytest.mark.parametrize("sizes", [(0.7, 0.3, 0.3), (0.1, 0.3, 0.3), (0.3, 0.3, 0.2)])
def test_lengths_are_true_to_half_a_pixel(sizes):
    marked = np.stack([np.zeros((7, 9)), np.ones((7, 9)), np.zeros((7, 9))])
    z, y, x = np.array(marked.shape) * sizes / min(sizes)
    block = arranged([np.full((7, 9), 2.0), marked[:, 3], marked[:, :, 4]], sizes)
    lit = np.array([(block[:, 0] == 2).sum(), (block[0] == 2).sum()])
    assert np.abs(lit - (y, x)).max() <= 0.5
    assert abs(block.shape[1] - 2 - lit[1] - z) <= 0.5
    assert abs((block[:, 0] == 1).sum() - z / 3) <= 1  # both borders of the plane are rounded


def test_a_large_volume_or_a_wrong_unit_gives_no_large_picture():
    planes = [np.ones((600, 800)), np.ones((40, 800)), np.ones((40, 600))]
    block = arranged(planes, (2, 0.5, 0.5), largest=440)
    z, y, x = 40 * 2, 600 * 0.5, 800 * 0.5
    assert max(block.shape) <= 440 + 3
    assert block.shape[0] / block.shape[1] == pytest.approx((y + z) / (x + z), abs=0.01)
    assert np.nanmin(block) == np.nanmax(block) == 1
    assert max(arranged(planes, (4000, 0.5, 0.5)).shape) <= 1024 + 3


def test_a_gallery_knows_the_voxel_size_of_a_restoration(restoration):
    """16 x 16 pixels and 6 planes, 3 pixels apart; the picture's margins are the same for all."""
    of_itself = gallery(restoration, limits=(0, 1000), alt="two")
    images = {"measured": np.asarray(restoration.source), "richardson_lucy": restoration.image}
    given = gallery(images, limits=(0, 1000), voxel_size=SIZES, alt="two")
    by_optics = Microscope(z_step=0.9, pixel_size=0.3)
    assert given.data == of_itself.data
    assert gallery(images, limits=(0, 1000), voxel_size=by_optics, alt="two").data == given.data
    assert gallery(images, limits=(0, 1000), alt="two").data != given.data


def test_a_plane_of_oblong_pixels_is_drawn_oblong():
    drawn = pixels(gallery({"a": np.zeros((20, 20))}, voxel_size=(0.6, 0.3), alt="one").data)
    # in the column and the row through the middle, the black pixels are those of the image
    dark = drawn < 30
    height, width = dark[:, dark.shape[1] // 2].sum(), dark[int(0.6 * len(dark))].sum()
    assert abs(height - 2 * width) <= 2  # each side is rounded to whole pixels


@pytest.mark.parametrize(
    ("images", "sizes", "words"),
    [
        (
            {"a": VOLUME, "b": VOLUME[1:]},
            None,
            r"expected one shape, got \[\(4, 7, 9\), \(5, 7, 9\)\]",
        ),
        ({}, None, r"expected one shape, got \[\]"),
        (
            {"a": VOLUME},
            (0.3, 0.3),
            r"voxel_size: expected 3 lengths in um, \(z, y, x\), got \(0.3, 0.3\)",
        ),
        ({"a": VOLUME}, (0, 0.3, 0.3), r"voxel_size: expected 3 lengths"),
        ({"a": VOLUME}, 0.3, r"voxel_size: expected 3 lengths"),
        ({"a": VOLUME[0]}, SIZES, r"voxel_size: expected 2 lengths in um, \(y, x\)"),
        (
            {"a": Image(VOLUME, "ZYX", SIZES), "b": Image(VOLUME, "ZYX", (0.3,) * 3)},
            None,
            r"one voxel size, got \(0.3, 0.3, 0.3\) and \(0.9, 0.3, 0.3\); say which: voxel_size=\(z, y, x\)",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(images, sizes, words):
    with pytest.raises(ValueError, match=words):
        unpacked(images, sizes)


def test_a_size_that_is_known_in_part_is_not_taken_for_known():
    assert unpacked({"a": Image(VOLUME, "ZYX", (None, 0.3, 0.3))})[1] is None


def test_the_grey_scale_holds_the_brightest_image():
    low, high = grey_limits({"a": np.linspace(0, 1, 3001), "b": np.linspace(-2, 4, 3001)})
    assert (low, high) == pytest.approx((-2 + 0.006, 4 - 0.006))
    assert grey_limits({"a": np.full(9, 3.0)}) == (3, 4)


class TestExplorer:
    def test_every_volume_is_cut_where_the_sliders_say(self):
        """Steps of grey, 32 levels apart, survive the compression."""
        z, y, x = 6, 24, 40
        ramps = np.meshgrid(np.arange(z) / 8, np.arange(y) / 32, np.arange(x) / 64, indexing="ij")
        volumes = {"along z": ramps[0], "along x": ramps[2]}
        explorer = volume_explorer(volumes, voxel_size=SIZES, limits=(0, 1))
        explorer.set(z=4, x=32)
        shown = pixels(explorer.frame.picture).astype(float) / 255
        times = (shown.shape[1] - 4) // 2 // (x + 3 * z + 2)  # a small picture is enlarged
        top = shown.shape[0] - times * (y + 3 * z + 3)  # below the names
        left, right = shown[top:, : shown.shape[1] // 2], shown[top:, shown.shape[1] // 2 :]
        flat = np.s_[2 : times * y - 2, 2 : times * x - 2]
        assert left[flat].mean() == pytest.approx(4 / 8, abs=0.02)
        side = np.s_[2 : times * y - 2, times * (x + 2) + 4 : -6]
        assert right[side].mean() == pytest.approx(32 / 64, abs=0.03)

    def test_a_mask_is_shown_too(self):
        picture = volume_explorer({"a": VOLUME, "mask": VOLUME > VOLUME.mean()}).frame.picture
        assert pixels(picture).std() > 0

    def test_its_text_says_where_in_micrometres(self):
        explorer = volume_explorer({"a": VOLUME, "b": 1 - VOLUME}, voxel_size=SIZES)
        explorer.set(z=3, y=5, x=8)
        where = "plane z = 2.7 um; to its right the cut at x = 2.4 um, below it that at y = 1.5 um"
        assert explorer.frame.text == f"a, b: {where}"
        unknown = volume_explorer({"a": VOLUME}).frame.text
        assert unknown.endswith("at y = 3; voxels of unknown size, drawn as cubes")

    def test_highest_values_are_the_same_at_every_place(self):
        explorer = volume_explorer({"a": VOLUME}, voxel_size=SIZES)
        explorer.set(show="highest values")
        frame = explorer.frame
        explorer.set(z=0, x=2)
        assert explorer.frame == frame and "highest values along z" in frame.text
        picture = pixels(frame.picture) / 255
        expected = arranged(highest_values(VOLUME), SIZES)
        assert picture.shape[0] / picture.shape[1] > expected.shape[0] / expected.shape[1]

    def test_the_page_holds_each_picture_once_and_starts_in_the_middle(self):
        explorer = volume_explorer({"a": VOLUME}, voxel_size=SIZES)
        page = explorer.to_html()
        data = page_data(page)
        assert data["sizes"] == [5, 3, 3, 2]
        assert (
            len(data["shown"]) == 90 and len(data["pictures"]) == len(set(data["pictures"])) == 46
        )
        assert data["labels"][1:3] == [["1", "3", "5"], ["2", "4", "6"]]
        assert f'<img alt="{explorer.frame.text}"' in page

    def test_the_page_of_a_large_volume_has_fewer_places(self):
        large = RNG.random((60, 300, 300), dtype=np.float32)
        explorer = volume_explorer({name: large for name in "abcd"}, voxel_size=(0.9, 0.3, 0.3))
        assert len(explorer.grid["z"]) == 60 and len(explorer.grid["x"]) == 300
        assert 3 <= len(explorer.static["z"]) <= 4 and 30 in explorer.static["z"]
        assert pixels(explorer.frame.picture).shape[1] <= 890

    def test_planes_are_refused(self):
        with pytest.raises(ValueError, match=r"volumes: expected stacks \(z, y, x\), got shape"):
            volume_explorer({"a": VOLUME[0]})


class Viewer:
    """Stands for napari's, and keeps what it was told."""

    def __init__(self, **options):
        self.options, self.layers, self.fitted = options, [], 0
        self.canvas = SimpleNamespace(
            grid=SimpleNamespace(enabled=False),
            overlays=SimpleNamespace(scale_bar=SimpleNamespace(visible=False)),
        )

    def add_image(self, data, **options):
        layer = SimpleNamespace(data=data, name_overlay=SimpleNamespace(visible=False), **options)
        self.layers.append(layer)
        return layer

    def fit_to_view(self):
        self.fitted = len(self.layers)


@pytest.fixture
def napari(monkeypatch):
    """Put modules in the place of napari and Qt, which the suite does not install."""
    fake, qtpy = ModuleType("napari"), ModuleType("qtpy")
    fake.Viewer, fake.ran = Viewer, []
    fake.run = lambda: fake.ran.append(True)
    qtpy.QtWidgets = ModuleType("qtpy.QtWidgets")
    for module in (fake, qtpy, qtpy.QtWidgets):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("DISPLAY", ":0")
    return fake


class TestNapari:
    def test_layers_have_names_scale_and_one_grey_scale(self, napari, restoration):
        truth = np.zeros((6, 16, 16))
        stack = restoration.source
        viewer = open_in_napari({"measured": stack, "restored": restoration, "truth": truth})
        assert [layer.name for layer in viewer.layers] == ["measured", "restored", "truth"]
        data = (np.asarray(stack), restoration.image, truth)
        for layer, expected in zip(viewer.layers, data, strict=True):
            assert np.array_equal(layer.data, expected)
            assert layer.scale == SIZES and layer.units == ("um",) * 3
            assert layer.name_overlay.visible
        [limits] = {layer.contrast_limits for layer in viewer.layers}
        assert limits[0] == 0 and 900 < limits[1] < 1100
        assert viewer.options["axis_labels"] == ("z", "y", "x")
        assert viewer.canvas.grid.enabled and viewer.canvas.overlays.scale_bar.visible
        assert viewer.fitted == 3 and napari.ran == [True]

    def test_a_restoration_alone_brings_its_measurement(self, napari, restoration):
        viewer = open_in_napari(restoration, limits=(0, 500))
        assert [layer.name for layer in viewer.layers] == ["measured", "richardson_lucy"]
        assert {layer.contrast_limits for layer in viewer.layers} == {(0, 500)}

    def test_without_a_voxel_size_the_unit_is_the_pixel(self, napari):
        viewer = open_in_napari({"a": VOLUME[0]})
        [layer] = viewer.layers
        assert (layer.scale, layer.units) == ((1, 1), ("pixel", "pixel"))
        assert viewer.options["axis_labels"] == ("y", "x") and not viewer.canvas.grid.enabled

    @pytest.mark.parametrize("missing", ["napari", "qtpy.QtWidgets"])
    def test_what_is_missing_is_named_with_what_to_install(self, missing, napari, monkeypatch):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(
            ImportError, match=r'expected it and a Qt.*pip install "siamdecon\[view\]"'
        ):
            open_in_napari({"a": VOLUME})

    def test_without_a_screen_the_kernel_lives_on(self, napari, monkeypatch):
        monkeypatch.setattr(sys, "platform", "linux")
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(RuntimeError, match=r"expected a screen.*volume_explorer"):
            open_in_napari({"a": VOLUME})
