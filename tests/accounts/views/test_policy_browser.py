"""The rules' editor in a real browser: the week is painted by keyboard, mouse and touch, and is saved as shown."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, sync_playwright

from accounts.models import OwnerPolicy
from accounts.policies import week
from benchmarks.browser import launch_arguments
from tests import factories
from tests.browser.conftest import PATIENCE_S, executable
from tests.long import examples

CELL, DAY_MINUTES = ".week__cell", 1440


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = executable()
    with sync_playwright() as playwright:
        # Playwright runs an event loop in this thread, in which Django refuses database queries. This allows them.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        chromium = playwright.chromium.launch(executable_path=path, args=launch_arguments(), timeout=1000 * PATIENCE_S)
        yield chromium
        chromium.close()
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def editor(browser: Browser, live_server: Any, client_of: Any) -> Iterator[Page]:
    vehicle = factories.make_vehicle(consent="")
    session = client_of(vehicle.owner.user).cookies["sessionid"].value
    context = browser.new_context(has_touch=True)
    context.set_default_timeout(1000 * PATIENCE_S)
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"{live_server.url}/vehicles/{vehicle.public_id}/rules")
    yield page
    assert page.faults == []
    context.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.long
def test_painting_saving_and_the_live_summary(editor: Page) -> None:
    def cell(day: int, hour: int) -> Any:
        return editor.locator(CELL).nth(hour * 7 + day)

    editor.check("[name=schedule][value=windows]")
    # Keyboard: Monday from 22:00 to midnight.
    cell(0, 0).focus()
    for _ in range(22):
        editor.keyboard.press("ArrowDown")
    editor.keyboard.press("Space")
    editor.keyboard.press("Shift+ArrowDown")
    assert editor.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Monday, 11:00")
    # Mouse: a drag over the cells of 6, 7 and 8 o'clock on Tuesday.
    cell(1, 6).scroll_into_view_if_needed()
    first, last = cell(1, 6).bounding_box(), cell(1, 8).bounding_box()
    editor.mouse.move(first["x"] + 4, first["y"] + 4)
    editor.mouse.down()
    editor.mouse.move(last["x"] + 4, last["y"] + 4, steps=6)
    editor.mouse.up()
    cell(2, 12).tap()  # touch
    editor.locator(".week__name").filter(has_text="Sun").click()  # a click on the day's name: the whole day
    live_summary = editor.locator("[data-policy-summary]")
    live_summary.get_by_text("on Wednesday from 12:00").wait_for()
    assert "Not saved yet" in live_summary.inner_text()
    # A row typed by hand appears in the grid; an hour that is covered by half is marked as a part.
    editor.click("[data-rows=windows] [data-row-add]")
    row = editor.locator("[data-rows=windows] [data-row]").last
    row.get_by_text("Friday").click(force=True)
    row.locator("[name$=-start]").fill("09:00")
    row.locator("[name$=-end]").fill("10:30")
    assert [cell(4, hour).get_attribute("aria-selected") for hour in (8, 9, 10)] == ["false", "true", "false"]
    assert "partly" in cell(4, 10).get_attribute("aria-label")
    editor.click(".policy-save [value=save]")
    editor.get_by_text("Saved.").wait_for()
    assert OwnerPolicy.objects.get().windows == [
        [0, 1320, 0],
        [1, 360, 540],
        [2, 720, 780],
        [4, 540, 630],
        [6, 0, 0],
    ]
    editor.get_by_role("button", name="Undo the last change").click()
    editor.get_by_text("The earlier rules are back.").wait_for()


@pytest.mark.django_db(transaction=True)
def test_the_script_merges_as_the_server_does(editor: Page) -> None:
    windows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(0, 1439)), max_size=5)
    merge = """async (windows) => {
        const { Week } = await import("/static/js/week.js");
        return new Week(windows.map(([day, start, end]) => ({ days: [day], start, end }))).windows();
    }"""

    @settings(max_examples=examples(25), deadline=None)
    @given(windows)
    def agree(rows: list[tuple[int, int, int]]) -> None:
        spans = [
            week.Span(tuple(sorted(span["days"])), span["start"], span["end"]) for span in editor.evaluate(merge, rows)
        ]
        assert sorted(spans) == sorted(week.merge_windows(rows))

    agree()
