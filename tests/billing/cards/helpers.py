from billing.models import CardTopUp
from billing.services import card_top_ups
from tests.billing.helpers import number


def start(organization, amount_micro: int = 50_000_000, key: str = "") -> CardTopUp:
    """Ask for a top-up and let the asker send its commands, as a page does."""
    top_up = ask(organization, amount_micro, key)
    card_top_ups.open_page(top_up)
    top_up.refresh_from_db()
    return top_up


def ask(organization, amount_micro: int = 50_000_000, key: str = "") -> CardTopUp:
    """Only ask: the commands wait."""
    return card_top_ups.start(
        organization=organization, amount_micro=amount_micro, idempotency_key=key or f"k{number()}",
        site_url="http://testserver", actor=None,
    )  # fmt: skip
