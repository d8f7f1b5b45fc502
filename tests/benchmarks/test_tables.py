"""The tables: measured once, shared by runs, kept apart by version, on a cluster as on one machine."""

import json
import multiprocessing
import threading

import numpy as np
import pytest
from filelock import FileLock, Timeout

from benchmarks import tables
from benchmarks.cells import METHODS, measure_cell
from benchmarks.measurements import Measurements, code_version
from benchmarks.report import PAPER_2D, PAPER_3D
from siamdecon import degrade, load_sample, paper_psf, richardson_lucy, score
from siamdecon.methods import METHODS as METHODS_OF

CLEAN = load_sample("nuclei")[:64, :64]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = {"a": CLEAN, "b": load_sample("filaments")[:64, :64]}
    monkeypatch.setattr(
        tables, "load_images", lambda _, names: {n: images[n] for n in names or images}
    )
    return tmp_path


def run(*arguments):
    return tables.main(["--out", "r.jsonl", "--tier", "test", *arguments])


def lines(path="r.jsonl"):
    return [json.loads(line) for line in open(path)]


def row(image="a", method="lr2", seed=0, code="x", **scores):
    cell = {"image": image, "method": method, "seed": seed, "tier": "lab", "code": code}
    return {**cell, "psnr": 20.0, "ssim": 0.5, "rmse": 0.1, "device": "cpu", **scores}


def test_a_cell_has_the_scores_of_its_method():
    cell = {"image": "a", "method": "lr5", "seed": 0, "tier": "test", "code": "x"}
    got = measure_cell(cell, CLEAN)
    noisy = degrade(CLEAN, paper_psf(2))
    expected = score(CLEAN, richardson_lucy(noisy, paper_psf(2), 5))
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    assert got["versions"]["torch"]
    assert got["inference_s"] > 0


def test_each_cell_is_measured_once(monkeypatch, capsys):
    assert run("--methods", "input", "lr2", "noise2self", "--names", "a") == 0
    first = lines()
    assert [r["method"] for r in first] == ["input", "lr2", "noise2self"]
    assert first[2]["one_pass"]["psnr"] != first[2]["psnr"]
    assert first[2]["training_s"] > 0
    calls = []
    monkeypatch.setattr(
        tables, "measure_cell", lambda cell, clean: calls.append(cell) or measure_cell(cell, clean)
    )
    assert run("--methods", "input", "lr2", "noise2self") == 0
    assert "6 cells, 3 of them measured" in capsys.readouterr().out
    assert [c["image"] for c in calls] == ["b"] * 3
    assert run("--methods", "lr2", "noise2self", "--names", "a", "--seeds", "0", "1") == 0
    assert [(c["method"], c["seed"]) for c in calls[3:]] == [("noise2self", 1)]  # seeds it alone


def test_a_budget_begins_no_cell_after_it(capsys):
    assert run("--methods", "lr2", "--budget-s", "-1") == 0
    assert "run the same command to continue" in capsys.readouterr().out
    assert not Measurements("r.jsonl").rows()


def append(path, image):
    results = Measurements(path)
    for seed in range(200):
        results.add(row(image, seed=seed, note="x" * 500))


def test_two_runs_append_to_one_file(folder):
    spawn = multiprocessing.get_context("spawn")
    runs = [spawn.Process(target=append, args=(folder / "r.jsonl", name)) for name in "ab"]
    for process in runs:
        process.start()
    for process in runs:
        process.join()
    assert len(lines()) == len(Measurements("r.jsonl").rows()) == 400


def test_a_line_that_another_run_is_writing_is_not_torn(folder, monkeypatch):
    refused, acquire = threading.Event(), FileLock.acquire

    def asking(lock, *args, **kwargs):
        try:
            return acquire(lock, timeout=0)
        except Timeout:
            refused.set()
            return acquire(lock, *args, **kwargs)

    monkeypatch.setattr(FileLock, "acquire", asking)
    results, line = Measurements("r.jsonl"), json.dumps(row("a")) + "\n"
    with FileLock("r.jsonl.lock"), open("r.jsonl", "a") as file:  # closed before it is released
        file.write(line[:40])
        file.flush()
        other = threading.Thread(target=results.add, args=(row("b"),))
        other.start()
        assert refused.wait(60)  # the other one has asked, and waits
        file.write(line[40:])
    other.join()
    assert [r["image"] for r in lines()] == ["a", "b"]


def test_a_run_sees_what_another_has_measured():
    mine, other = Measurements("r.jsonl"), Measurements("r.jsonl")
    other.add(row())
    assert mine.has(row())
    assert not mine.has(row(code="y"))


def test_a_line_that_a_killed_run_left_costs_nothing():
    results = Measurements("r.jsonl")
    results.add(row())
    with open("r.jsonl", "a") as file:
        file.write('{"image": "b", "met')
    again = Measurements("r.jsonl")
    assert len(again.rows()) == 1
    again.add(row("c"))
    assert [r["image"] for r in Measurements("r.jsonl").rows()] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("hello\n", (), "is no results file of this benchmark"),
        ('{"a": 1}\n', (), "is no results file of this benchmark"),
        ("", ("--methods", "magic"), "methods: expected some of input, "),
        ("", ("--out", "no/r.jsonl"), "there is no folder no; make it first"),
        (
            "",
            ("--dask", "tcp://127.0.0.1:1"),
            "expected the address of a Dask scheduler, such as tcp://host:8786, or a cluster, "
            "got 'tcp://127.0.0.1:1'",
        ),
    ],
)
def test_what_is_wrong_is_said(folder, capsys, content, arguments, message):
    (folder / "r.jsonl").write_text(content)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_missing_image_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.undo()
    arguments = ["--out", str(tmp_path / "r.jsonl"), "--images", str(tmp_path)]
    assert tables.main([*arguments, "--names", "drosophila"]) == 2
    assert "lacks drosophilaslice532x1352.png" in capsys.readouterr().err


def test_the_report_keeps_versions_apart_and_empty_cells_empty(capsys, folder):
    results = Measurements("r.jsonl")
    affine = {"psnr": 20.0, "ssim": 0.3, "rmse": 0.1, "floor": 19.0}
    results.add(row(psnr=20.0))
    results.add(row("b", psnr=22.0))
    results.add(row("b", "tv", psnr=24.0))
    results.add(row(code="y", psnr=30.0))
    results.add(row("volume", "noise2same", psnr=25.0, affine=affine))
    results.add(row("volume 1", "noise2same", psnr=26.0, affine=affine | {"psnr": 21.0}))
    assert run("--report") == 0
    out = capsys.readouterr().out
    x, y = out.split("## lab tier, siamdecon ")[1:]
    assert "| Lucy-Richardson, n = 2 | 21.00 (22.0) |" in x
    assert "| total variation (1 image) | 24.00 |" in x
    assert "| Noise2Self | (22.49) |" in x
    assert (
        "| Noise2Same | +1.50 +- 0.71 (+3.03) | 0.300 (0.39) | 0.1000 (0.063) | 25.50 | 0.500 |"
        in x
    )
    assert "| Lucy-Richardson, n = 2 | 30.00 (22.0) |" in y
    assert (folder / "r.png").read_bytes()[:4] == b"\x89PNG"


def test_the_papers_rows_are_rows_of_the_tables():
    named = {method.paper for method in METHODS.values()} - {None}
    assert named == set(PAPER_2D) == set(PAPER_3D)


def test_other_settings_are_another_version(monkeypatch):
    before = code_version("test")
    assert before == code_version("test") != code_version("lab")
    monkeypatch.setitem(METHODS_OF["self_scale"].sizes["test"][2], "steps", 3)
    changed = code_version("test")
    assert changed != before
    monkeypatch.setitem(METHODS_OF["noise2same_d"].sizes["test"][3], "features", 5)
    assert code_version("test") not in (before, changed)


def test_a_cluster_measures_what_one_machine_measures(folder):
    distributed = pytest.importorskip("distributed")
    assert run("--methods", "input", "lr2", "noise2self", "--out", "alone.jsonl") == 0
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        arguments = ["--methods", "input", "lr2", "noise2self", "--out", "shared.jsonl"]
        assert run(*arguments, "--dask", cluster.scheduler_address) == 0
    alone, shared = (
        {(r["image"], r["method"]): r["psnr"] for r in lines(name)}
        for name in ("alone.jsonl", "shared.jsonl")
    )
    assert len(shared) == 6
    for key, psnr in alone.items():
        assert shared[key] == pytest.approx(psnr, abs=1e-3 if key[1] != "noise2self" else 0.5)
    assert not np.isnan(list(shared.values())).any()
