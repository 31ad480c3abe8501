"""An owner's way with only the keyboard: sign in, add a car, give consent, withdraw it."""

import pytest
from playwright.sync_api import Page

from accounts.models import ConsentCurrent, Vehicle
from tests import factories
from tests.browser.conftest import Chromium
from tests.browser.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.long]
VIN = "1M8GDM9AXKP042788"
FOCUSED = """() => {
  const at = document.activeElement, label = at.labels?.[0]?.textContent ?? at.textContent;
  const style = getComputedStyle(at);
  return [label.trim().replace(/\\s+/g, " "), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""


def tab_to(page: Page, label: str, presses: int = 60) -> None:
    """Press Tab until the label of the focused element begins with `label`. The focus must be visible at every step."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        text, is_seen = page.evaluate(FOCUSED)
        assert is_seen, f"the focus on {text!r} cannot be seen"
        if text.startswith(label):
            return
    raise AssertionError(f"no way to {label!r} by Tab on {page.url}")


def enter(page: Page) -> None:
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_from_signing_in_to_taking_consent_back(chromium: Chromium, world: World) -> None:
    chromium.do(_add_a_car, chromium, world, world.carol.user.email)
    vehicle = Vehicle.objects.get(owner=world.carol)
    for label, state in (("Give consent", "given"), ("Withdraw", "withdrawn")):
        chromium.do(_press, chromium, world, label)
        assert ConsentCurrent.objects.get(vehicle=vehicle, purpose="run_jobs").state == state
    chromium.do(_skip_link, chromium, world)


def _add_a_car(chromium: Chromium, world: World, email: str) -> None:
    page = chromium.page("keyboard", world.url, {})
    page.goto(f"{world.url}/accounts/login/")
    for label, text in (("Email", email), ("Password", factories.PASSWORD)):
        tab_to(page, label)
        page.keyboard.type(text)
    enter(page)
    tab_to(page, "Add ")  # "Add a vehicle", or "Add one without a code" where pairing is the main way
    enter(page)
    for label, text in (("Name", "Family car"), ("Vehicle identification number", VIN)):
        tab_to(page, label)
        page.keyboard.type(text)
    tab_to(page, "Add this vehicle")
    enter(page)
    assert page.get_by_role("heading", level=1).inner_text() == "Connect Family car"


def _press(chromium: Chromium, world: World, label: str) -> None:
    page = chromium.page("keyboard", world.url, {})
    page.goto(f"{world.url}/vehicles/")
    tab_to(page, label)
    enter(page)
    assert page.get_by_role("status").first.is_visible()


def _skip_link(chromium: Chromium, world: World) -> None:
    page = chromium.page("keyboard", world.url, {})
    page.goto(f"{world.url}/vehicles/")
    tab_to(page, "Skip to content", presses=1)
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
