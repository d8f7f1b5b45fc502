"""The built documentation in a browser: every control, every picture, no error, no other machine."""

import numpy as np
import pytest

from siamdecon.lab import volume_explorer
from tests.course import ROOT
from tests.servers import served

SITE = ROOT / "build" / "site"
PAGES = sorted(
    str(path.relative_to(SITE))
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts and "_modules" not in path.parts
)
COURSE = [page for page in PAGES if page.startswith("course/")]
PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def home():
    with served(SITE) as (address, _):
        yield address


def test_the_site_is_there():
    assert len(COURSE) == len(list((ROOT / "notebooks" / "source").glob("*.py"))), "run `make site`"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_stays_at_home(name, home, watched):
    """Pictures arrive and have a text, formulas are set, nothing is asked of another machine."""
    assert (SITE / name).stat().st_size < 6e6
    view = watched(home)
    view.page.goto(home + name, wait_until="load")
    if view.page.locator(".math").count():
        view.page.evaluate("MathJax.startup.promise")
        assert view.page.locator("mjx-container svg").count() > 0
        assert view.page.locator("[data-mjx-error]").count() == 0
    pictures = view.page.locator("article img").evaluate_all(
        "all => all.map(i => [i.alt, i.complete && i.naturalWidth, i.closest('details') !== null])"
    )
    for alt, width, folded in pictures:
        assert alt and (width or folded), (alt, width)
    assert view.errors == [] and view.outside == []


@pytest.mark.parametrize("name", COURSE)
def test_every_control_answers_to_the_arrow_keys(name, home, watched):
    """Picture, caption and alt text change with each control, from one end to the other."""
    view = watched(home)
    view.page.goto(home + name)
    for explorer in view.page.locator("figure.siamdecon-explorer").all():
        picture, caption = explorer.locator("img"), explorer.locator("figcaption")
        for control in explorer.locator("input").all():
            control.focus()
            view.page.keyboard.press("Home")
            last = int(control.get_attribute("max"))
            seen = [(picture.get_attribute("src"), control.get_attribute("aria-valuetext"))]
            for _ in range(last):
                view.page.keyboard.press("ArrowRight")
                seen.append((picture.get_attribute("src"), control.get_attribute("aria-valuetext")))
                assert caption.inner_text() == picture.get_attribute("alt")
            assert control.input_value() == str(last)
            assert len({value for _, value in seen}) == last + 1
            assert len({source for source, _ in seen}) > 1
            view.page.keyboard.press("ArrowLeft")
    assert view.errors == [] and view.outside == []


def test_cuts_through_a_volume_need_no_kernel_and_fit_a_phone(watched):
    """Picture, caption and alt text change with each control."""
    volume = np.random.default_rng(0).random((4, 48, 48))
    explorer = volume_explorer({name: volume for name in "ab"}, voxel_size=(0.9, 0.3, 0.3))
    view = watched("about:", **PHONE)
    view.page.set_content(explorer.to_html())
    picture = view.page.locator("img")
    seen = [picture.get_attribute("alt")]
    for control in view.page.locator("input").all():
        control.focus()
        view.page.keyboard.press("ArrowRight")
        seen.append(picture.get_attribute("alt"))
        assert view.page.locator("figcaption").inner_text() == seen[-1]
    assert len(set(seen)) == 5 and "z = 2.7 um" in seen[1] and "highest values" in seen[-1]
    box = picture.bounding_box()
    assert 300 < box["width"] and box["x"] + box["width"] <= 390
    assert view.errors == [] and view.outside == []


def test_the_course_has_controls():
    pages = [(SITE / name).read_text().count('class="siamdecon-explorer"') for name in COURSE]
    assert sum(count > 0 for count in pages) >= 5


@pytest.mark.parametrize("name", COURSE)
def test_a_course_page_fits_a_phone(name, home, watched):
    view = watched(home, **PHONE)
    view.page.goto(home + name)
    wide = view.page.locator("article img, figure.siamdecon-explorer").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().right).filter(right => right > 391)"
    )
    assert wide == []
    assert view.page.evaluate("document.documentElement.scrollWidth") <= 391


@pytest.mark.parametrize("name", COURSE)
def test_solutions_are_folded(name, home, watched):
    view = watched(home)
    view.page.goto(home + name)
    folded = view.page.locator(".cell.tag_solution details")
    assert folded.count() >= 2
    assert folded.evaluate_all("all => all.filter(d => d.open).length") == 0
    folded.first.locator("summary").click()
    assert folded.first.locator("pre").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_of_controls_can_be_read_in_both_themes(theme, home, watched):
    """The curves' labels keep a contrast of 4.5 to 1 with the ground that they are drawn on."""
    view = watched(home, color_scheme=theme)
    view.page.goto(home + "course/06_deconvolved_invariance.html")
    label = view.page.locator("figure.siamdecon-explorer svg text").first
    colours = label.evaluate(
        "e => [getComputedStyle(e).fill, getComputedStyle(e.closest('svg')).backgroundColor]"
    )
    assert contrast(*colours) >= 4.5


def contrast(*colours: str) -> float:
    """Return the contrast ratio of two colours, `rgb(r, g, b)`, by WCAG 2."""

    def luminance(colour: str) -> float:
        levels = [int(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in levels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(luminance(colour) for colour in colours)
    return (light + 0.05) / (dark + 0.05)
