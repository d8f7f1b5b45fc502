"""A real browser, for `make test-browser`; without SIAMDECON_BROWSER=PATH none of it is collected."""

import os

import pytest

BROWSER = os.environ.get("SIAMDECON_BROWSER")
#: How long to wait for a state, in ms: a cold machine takes a minute to start JupyterLab or a kernel.
LIMIT = 180_000
collect_ignore_glob = [] if BROWSER else ["test_*.py"]


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    # root has no sandbox, and a container's /dev/shm is small
    options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


class Watched:
    """A page of the browser, and what it should not do: report errors, or ask another machine."""

    def __init__(self, browser, home: str, **options):
        self.page, self.home = browser.new_page(**options), home
        self.page.set_default_timeout(LIMIT)
        self.errors, self.outside = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("request", self._request)

    def _console(self, message) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _request(self, request) -> None:
        if not request.url.startswith(
            (self.home, "data:", "blob:", self.home.replace("http", "ws"))
        ):
            self.outside.append(request.url)


@pytest.fixture
def watched(chromium):
    """Return a function that opens a page which may only speak to one address."""
    opened = []

    def open_page(home: str, **options) -> Watched:
        opened.append(Watched(chromium, home, **options))
        return opened[-1]

    yield open_page
    for each in opened:
        each.page.close()
