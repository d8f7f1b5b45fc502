"""The running course: `make lab`, notebooks from top to bottom, their controls, and the stop button."""

import os
import queue
import re
import signal
import socket
import subprocess
import threading
import uuid

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import LIMIT
from tests.course import DERIVE, ROOT

LAMBDAS = "06_deconvolved_invariance"
#: Beside 06, the notebooks with controls that run in a minute or less.
OTHERS = ["01_degradation", "03_lucy_richardson", "10_beyond_the_paper"]
IDLE = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
#: A notebook without a kernel, or with one that is not connected yet, shows idle, too: told to run, it asks
#: for a kernel or forgets the cells.
CONNECTED = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus == "connected" && kernel.status == "idle";
}"""
FOLDER = ROOT / "build" / "browser"
#: A cell is running or waits for its turn, or all have run.
BEGUN = r"""() => {
    const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].map(p => p.textContent);
    return prompts.some(p => p.includes("*")) || prompts.every(p => /^\[\d+\]:$/.test(p));
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on copies of the notebooks, whose outputs nobody commits; return its address."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for source in DERIVE.SOURCES:
        nbformat.write(DERIVE.derive(source, "task"), FOLDER / f"{source.stem}.ipynb")
    settings = tmp_path_factory.mktemp("settings") / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # all cells stay in the page, so that the test finds them without scrolling
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith("SIAMDECON_")}
    env["JUPYTERLAB_SETTINGS_DIR"] = str(settings.parents[1])
    options = f"--no-browser --port={port} --ServerApp.port_retries=0 --expose-app-in-browser"
    command = ["make", "lab", f"OPEN=build/browser/{LAMBDAS}.ipynb", f"ARGS={options}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
    server = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True, **pipes)
    try:
        yield _address(server, FOLDER / "lab.log", port)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=LIMIT / 1000)


def _address(server, log, port: int) -> str:
    """Return the address with its token, which the server prints; all that it prints goes to the log."""
    seen = queue.Queue()

    def copy():
        with log.open("w", buffering=1) as file:
            for line in server.stdout:
                file.write(line)
                if found := re.search(rf"http://127\.0\.0\.1:{port}/\S*token=\w+", line):
                    seen.put(found[0])
        seen.put(None)  # the server has ended

    threading.Thread(target=copy, daemon=True).start()
    address = seen.get(timeout=LIMIT / 1000)
    assert address, log.read_text()
    return address


def test_only_who_has_the_token_gets_in(lab, watched):
    home = lab.split("/lab")[0] + "/"
    view = watched(home)
    view.page.goto(home + "lab")
    assert "login" in view.page.url


@pytest.mark.parametrize("name", OTHERS)
def test_a_notebook_runs_and_its_controls_move(name, lab, watched):
    page = opened(watched, lab.replace(LAMBDAS, name))
    for box in explorers(page):
        move_each(box, page)


def test_the_course_opens_as_a_list_whose_links_open_notebooks(lab, watched):
    (FOLDER / "README.md").write_bytes((ROOT / "notebooks" / "README.md").read_bytes())
    view = watched(lab.split("/lab")[0] + "/")
    address = lab.replace(f"{LAMBDAS}.ipynb", "README.md")
    view.page.goto(address.replace("/lab/", f"/lab/workspaces/{uuid.uuid4().hex}/", 1))
    view.page.locator(".jp-MarkdownViewer a", has_text="06_deconvolved").click()
    view.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    assert view.outside == []


def test_cuts_through_a_volume_move_and_their_text_says_where(lab, watched):
    cell = (
        "import numpy as np\nfrom siamdecon.lab import volume_explorer\n"
        "volumes = {name: np.random.default_rng(0).random((4, 12, 12)) for name in 'ab'}\n"
        "volume_explorer(volumes, voxel_size=(0.9, 0.3, 0.3))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata["kernelspec"] = DERIVE.KERNEL
    nbformat.write(notebook, FOLDER / "volume.ipynb")
    page = opened(watched, lab.replace(LAMBDAS, "volume"))
    [box] = explorers(page)
    text = box.locator("[role=status]")
    expect(text).to_have_text(
        re.compile(r"a, b: plane z = 1\.8 um; .* x = 1\.8 um, .* y = 1\.8 um")
    )
    move_each(box, page)
    expect(text).to_have_text(re.compile("a, b: highest values along z"))


def test_notebook_06_runs_its_controls_move_and_its_training_stops(lab, watched):
    page = opened(watched, lab)
    [box] = explorers(page)
    move_each(box, page)
    box.locator("button:has-text('Train these')").click()
    status = page.locator("[role=status]:has-text('s left')").last
    status.wait_for()  # told from the second step on
    page.click("[data-command='notebook:interrupt-kernel']")
    page.wait_for_selector(IDLE)
    step, steps = map(int, re.search(r"step (\d+) of (\d+)", status.inner_text()).groups())
    assert 0 < step < steps
    last = box.locator("[role=status]").first
    expect(last).to_have_text(re.compile(r"step \d+: PSNR"), timeout=LIMIT)


def opened(watched, address: str):
    """Open a notebook, run it from top to bottom, and see that it asked no other machine."""
    view = watched(address.split("/lab")[0] + "/", viewport={"width": 1200, "height": 1400})
    # a workspace of its own: the other tests' notebooks would be opened again beside it
    view.page.goto(address.replace("/lab/", f"/lab/workspaces/{uuid.uuid4().hex}/", 1))
    view.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    view.page.wait_for_function(CONNECTED)
    run_all(view.page)
    assert view.outside == []
    return view.page


def explorers(page) -> list:
    found = page.locator(".widget-vbox:has(> .widget-hslider)").all()
    assert found
    return found


def move_each(box, page) -> None:
    """Move each control by the arrow keys until the picture changes."""
    box.scroll_into_view_if_needed()
    for handle in box.locator(".noUi-handle").all():
        frame = picture(box)
        handle.focus()
        # from either end of a control there is a way
        for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
            place = handle.get_attribute("aria-valuenow")
            page.keyboard.press(key)
            if handle.get_attribute("aria-valuenow") != place and changes(box, frame):
                break
        else:
            pytest.fail(f"no key changed the picture: {box.inner_text()}")


def changes(box, frame: str) -> bool:
    """Whether the picture becomes another one; a busy machine may take its time."""
    try:
        expect(box.locator("img").first).not_to_have_attribute("src", frame, timeout=LIMIT)
    except AssertionError:
        return False
    return True


def run_all(page, limit: int = 1800) -> None:
    """Run all cells, and see that each has run."""
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    errors = page.locator(".jp-OutputArea-output", has_text="Traceback (most recent")
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells")
    page.wait_for_function(BEGUN)
    expect(prompts.filter(has_text="*")).to_have_count(0, timeout=1000 * limit)
    assert errors.all_inner_texts() == []
    assert all(re.fullmatch(r"\[\d+\]:", text) for text in prompts.all_text_contents())


def picture(box) -> str:
    return box.locator("img").first.get_attribute("src")
