"""Top up a customer's wallet as a person does: by card, on Stripe's hosted page. Uses HTTP only."""

import uuid
from collections.abc import Callable
from typing import TypeVar

import httpx

from core.money import MICRO
from marketplace.local.demo.customer import Customer
from marketplace.local.demo.owner import PortalError
from marketplace.local.demo.waiting import wait_until

TOP_UP_MICRO, FLOOR_MICRO = 25 * MICRO, 20 * MICRO
CARD = "4242424242424242"
WAIT_S = 300.0  # webhooks and workers of a machine that others use as well
Found = TypeVar("Found")


def top_up(customer: Customer, *, floor_micro: int = FLOOR_MICRO, amount_micro: int = TOP_UP_MICRO) -> bool:
    """Pay by card on the fake's page if the wallet is low. Return whether it was. Raises ApiError, PortalError."""
    before = customer.wallet()["available_micro"]
    if before >= floor_micro:
        return False
    made = customer.top_up(str(uuid.uuid4()), amount_micro)
    page_url = wait_for(lambda: customer.top_up_state(made["id"])["checkout_url"], "Stripe's page")
    paid = httpx.post(page_url, data={"number": CARD}, timeout=WAIT_S)
    if paid.status_code != 303:
        raise PortalError(f"the fake's page answered {paid.status_code}")
    wait_for(lambda: customer.wallet()["available_micro"] > before, "the top-up")
    return True


def wait_for(what: Callable[[], Found], name: str) -> Found:
    """Wait for webhooks and workers, and return what came. Raises PortalError after WAIT_S."""
    found = wait_until(what, timeout_s=WAIT_S, poll_s=0.2)
    if not found:
        raise PortalError(f"{name} did not arrive within {WAIT_S:g} s")
    return found
