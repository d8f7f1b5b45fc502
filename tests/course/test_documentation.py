"""What pages and workflows say is so: scores are those measured, commands are those of the Makefile."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: A row of docs/choose.md by its first words, and the method of the results file.
ROWS = {
    "`richardson_lucy`": "lr5",
    "the same after a median filter": "median_lr5",
    "`wiener`": "wiener",
    "`total_variation`": "tv_clip",
    "`ssi`": "ssi",
    "`noise2self`": "noise2self",
    "`noise2same`": "noise2same_bound",
    "`noise2same_d`": "noise2same_d_bound",
    "`self_scale`": "self_scale",
}
#: A row of the README's table by its first words, and the method of the results file.
README_ROWS = {
    "degraded input": "input",
    "Lucy-Richardson, n = 5": "lr5",
    "median filter": "median_lr5",
    "total variation, clipping": "tv_clip",
    "SSI": "ssi",
    "Noise2Self |": "noise2self",
    "Noise2Same (d)": "noise2same_d_bound",
    "**own coarser scales**": "self_scale",
}


@pytest.fixture(scope="module")
def rows():
    """The measured rows of the 2D images, by method and image."""
    lines = (ROOT / "benchmarks" / "results" / "tables.jsonl").read_text().splitlines()
    by_method = {}
    for row in map(json.loads, lines):
        if "volume" not in row["image"] and row["tier"] == "lab":
            by_method.setdefault(row["method"], {})[row["image"]] = row
    return by_method


@pytest.fixture(scope="module")
def measured(rows):
    """Mean PSNR and SSIM over the 12 images, by method."""
    return {
        method: np.mean([(row["psnr"], row["ssim"]) for row in images.values()], axis=0)
        for method, images in rows.items()
        if len(images) == 12
    }


@pytest.mark.parametrize(("words", "method"), ROWS.items())
def test_the_page_on_choosing_says_what_was_measured(words, method, rows, measured):
    table = (ROOT / "docs" / "choose.md").read_text()
    [line] = [line for line in table.splitlines() if line.startswith(f"| {words}")]
    _, scores, seconds, *_ = (cell.strip() for cell in line.strip("|").split("|"))
    assert scores == "{:.2f} / {:.3f}".format(*measured[method])
    parts = [
        row.get(f"{part}_s") for row in rows[method].values() for part in ("training", "inference")
    ]
    of_each = np.reshape([part or 0 for part in parts], (-1, 2)).sum(axis=1)
    assert float(seconds.removesuffix(" s")) == pytest.approx(np.median(of_each), rel=0.1, abs=0.06)


@pytest.mark.parametrize(("words", "method"), README_ROWS.items())
def test_the_table_of_the_readme_is_what_was_measured(words, method, rows, measured):
    table = (ROOT / "README.md").read_text()
    [line] = [line for line in table.splitlines() if line.startswith(f"| {words}")]
    _, drosophila, mean, seconds = (cell.strip(" *") for cell in line.strip("|").split("|"))
    [row] = [r for image, r in rows[method].items() if image.startswith("drosophila")]
    assert drosophila == f"{row['psnr']:.2f} / {row['ssim']:.3f}"
    assert mean == ("{:.2f} / {:.3f}".format(*measured[method]) if method in measured else "")
    if seconds:
        median = np.median([r["training_s"] for r in rows[method].values()])
        assert abs(int(seconds.removesuffix(" s")) - median) <= 1


def test_the_front_page_is_short_and_lists_every_notebook_once():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
    listed = re.findall(r"\((\w+\.ipynb)\) \|", (ROOT / "notebooks/README.md").read_text())
    assert listed == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_the_scores_in_notebook_06_are_those_measured(rows):
    text = (ROOT / "notebooks/source/06_deconvolved_invariance.py").read_text()
    [table] = re.findall(r'^table = """\\\n(.*?)^"""', text, re.M | re.S)
    methods = ("noise2self_batch", "noise2same", "noise2same_d")
    for line, method in zip(table.splitlines(), methods, strict=True):
        _, *shown = line.rsplit(maxsplit=12)
        assert shown == [f"{rows[method][image]['psnr']:.2f}" for image in sorted(rows[method])]


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_commands_of_the_pages_are_targets_of_the_makefile(page):
    commands = re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / page).read_text(), re.M)
    assert set(commands) <= TARGETS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_targets_that_there_are(path):
    workflow = yaml.safe_load(path.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [command for step in steps for command in step.get("run", "").splitlines()]
    called = [words[1] for words in map(str.split, commands) if words[:1] == ["make"]]
    assert set(called) <= TARGETS
    assert workflow["permissions"]["contents"] == "read"


def test_links_to_the_repository_name_one_repository():
    """The address stands in pyproject.toml; pages that spell it out agree."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "pyproject.toml"]
    text = "\n".join(page.read_text() for page in pages)
    assert set(re.findall(r"github\.com/([\w-]+/siamdecon)\b", text)) == {"siamdecon/siamdecon"}


def test_the_tests_that_a_page_names_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/public-cases.md").read_text())
    assert len(named) > 20
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
