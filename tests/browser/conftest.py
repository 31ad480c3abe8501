"""One Chromium and one populated site for all tests of this folder, which run on one worker (tests/workers.py)."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from django.test import override_settings
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from benchmarks import browser
from tests import leftovers
from tests.browser.world import World
from tests.waiting import DAY_S

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
PATIENCE_S = 300  # on a busy machine a step may take long and still be right
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


class Chromium:
    """A browser in a thread of its own.

    Playwright keeps an event loop running in its thread, in which Django's models and the event loops of other tests
    would refuse to work.
    """

    def __init__(self, executable: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._executable = executable
        self._pages: dict[str, Page] = {}
        self.do(self._start)

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run in the browser's thread, wait, and return what it returned or raise what it raised."""
        return self._thread.submit(work, *arguments).result(PATIENCE_S)

    def page(self, actor: str, site: str, cookies: dict[str, str]) -> Page:
        """Return the page of this actor, signed in by cookies at the first call. Call it in the browser's thread."""
        if actor not in self._pages:
            context = self._browser.new_context(viewport=PHONE, reduced_motion="reduce", locale="en-US")
            context.set_default_timeout(PATIENCE_S * 1000)
            context.add_cookies([{"name": name, "value": value, "url": site} for name, value in cookies.items()])
            self._pages[actor] = context.new_page()
        return self._pages[actor]

    def close(self) -> None:
        self.do(self._stop)
        self._thread.shutdown()

    def _start(self) -> None:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=self._executable, args=browser.launch_arguments(), timeout=PATIENCE_S * 1000
        )

    def _stop(self) -> None:
        self._browser.close()
        self._playwright.stop()


def executable() -> str:
    """Return the machine's Chromium. Skips the test when there is none."""
    found = browser.executable()
    if found is None:
        pytest.skip("no Chromium on this machine: install the package `chromium`")
    return found


@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    started = Chromium(executable())
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="package")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[World]:
    """Yield the world, committed, behind a web server. It is flushed at the end, as after transactional tests."""
    blobs = tmp_path_factory.mktemp("blobs")
    lasting = {"ACCOUNT_REAUTHENTICATION_TIMEOUT": DAY_S, "ACCESS_REASON_MINUTES": DAY_S // 60}
    with (
        django_db_blocker.unblock(),
        override_settings(BLOB_ROOT=blobs, **lasting),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("core.workers._send", lambda task: None)
        patch.setattr("compute.nodes.pairings.LIFETIME", timedelta(seconds=DAY_S))
        server = LiveServer("127.0.0.1")
        with leftovers.committed("world of tests/browser"):
            try:
                yield World(server.url, blobs)
            finally:
                server.stop()


@pytest.fixture(autouse=True)
def _the_worlds_settings(request: pytest.FixtureRequest, settings: Any) -> None:
    if "world" in request.fixturenames:
        settings.BLOB_ROOT = request.getfixturevalue("world").blobs
        settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
