"""Money from the customer's card to the owners' accounts: top-up, invoice, statements, payouts, and their verification."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Owner
from billing.ledger import posting
from billing.models import ConnectedAccount, Payout, RateCard, Statement
from billing.rates import cards as rates
from billing.statements import statements
from compute.models import HardwareClass
from core.locale import format_money
from core.money import MICRO
from marketplace.local.demo import funding
from marketplace.local.demo.customer import Customer
from marketplace.local.demo.owner import Portal, PortalError
from marketplace.local.demo.report import Report
from marketplace.local.embedded import REPOSITORY

# Prices of the demo, so high that a minute of work makes whole cents and a payout can be shown.
PRICE_MICRO_PER_HOUR = 60 * MICRO
BANK = "000123456789"


def ask_price() -> None:
    """Set the demo's price from now on for each class that joined, unless it is the price already."""
    rates.default_rates()
    for hardware_class in HardwareClass.objects.all():
        cards = RateCard.objects.filter(hardware_class=hardware_class, mode="batch", tier="standard", currency="USD")
        newest = cards.latest("valid_from_at")
        if newest.price_micro_per_hour != PRICE_MICRO_PER_HOUR:
            card = RateCard(
                hardware_class=hardware_class,
                valid_from_at=timezone.now(),
                price_micro_per_hour=PRICE_MICRO_PER_HOUR,
                price_micro_per_kwh=newest.price_micro_per_kwh,
                owner_share_permille=newest.owner_share_permille,
            )
            rates.add_card(card, actor=None)


def restore_prices() -> int:
    """Put the price that was valid before the demo's back, from now on, wherever the demo's is in force.

    Return the number of new cards. The next user of this home folder then finds ordinary prices.
    """
    count = 0
    for hardware_class in HardwareClass.objects.all():
        cards = RateCard.objects.filter(hardware_class=hardware_class, mode="batch", tier="standard", currency="USD")
        is_demos = [card.price_micro_per_hour == PRICE_MICRO_PER_HOUR for card in cards.order_by("-valid_from_at")[:1]]
        before = cards.exclude(price_micro_per_hour=PRICE_MICRO_PER_HOUR).order_by("valid_from_at").last()
        if is_demos == [True] and before is not None:
            before.pk, before.valid_from_at = None, timezone.now()
            rates.add_card(before, actor=None)
            count += 1
    return count


def top_up(customer: Customer) -> None:
    """Top up by card on the fake's hosted page, if the wallet is low. Raises ApiError, PortalError."""
    if funding.top_up(customer):
        print(
            f"  topped up {format_money(funding.TOP_UP_MICRO)} by card on Stripe's (the fake's) page: credited by its webhook"
        )


def settle(
    out: Report, customer: Customer, portals: dict[str, Portal], folder: Path, environment: Mapping[str, str]
) -> None:
    """End the month: close invoice and statements, pay out, and verify each statement."""
    out.line("\nReport: from the customer's card to the owners' accounts")
    for email, portal in portals.items():
        onboard(portal, Owner.objects.get(user__email=email))
    _manage("close_invoices", environment)
    _close_statements(list(portals))
    _invoice(out, customer, folder)
    for email, portal in portals.items():
        _paid(out, portal, Owner.objects.get(user__email=email), folder)
    differences = posting.recompute()
    out.check("ledger recomputed at the end, differences 0", not differences, "; ".join(map(str, differences[:3])))


def onboard(portal: Portal, owner: Owner) -> None:
    """Set up an owner's payouts as a person would: on our page, on Stripe's page, and back."""
    if ConnectedAccount.objects.filter(owner=owner, status="active").exists():
        return
    link = portal.start_onboarding(country="US")
    done = httpx.post(link, data={"name": owner.name, "bank": BANK, "outcome": "ready"}, timeout=30)
    portal.client.get(done.headers["location"])
    funding.wait_for(
        lambda: ConnectedAccount.objects.filter(owner=owner, status="active").exists(), f"the account of {owner.name}"
    )


def _invoice(out: Report, customer: Customer, folder: Path) -> None:
    newest = customer.invoices()[0]
    pdf = customer.invoice_pdf(newest["id"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "invoice.pdf").write_bytes(pdf)
    out.check(
        f"invoice {newest['number']} of {format_money(newest['total_micro'])}, paid from the wallet",
        pdf.startswith(b"%PDF") and newest["total_micro"] > 0,
        str(folder / "invoice.pdf"),
    )


def _paid(out: Report, portal: Portal, owner: Owner, folder: Path) -> None:
    statement = Statement.objects.filter(owner=owner).latest("number")
    payout = Payout.objects.filter(statement=statement).first()
    if payout is None:
        out.check(f"{owner.name}: statement {statement.number} is paid out", False, "no payout was due")
        return
    funding.wait_for(lambda: Payout.objects.filter(pk=payout.pk, status="paid").exists(), f"the payout of {owner.name}")
    payout.refresh_from_db()
    sent = _transfer_at_stripe(statement)
    out.check(
        f"{owner.name}: statement {statement.number} of {format_money(statement.earned_micro)}, "
        f"{format_money(payout.amount_micro)} transferred, the rest carried",
        sent == payout.amount_micro,
        f"Stripe says {format_money(sent)} to {payout.account.stripe_id}",  # type: ignore[union-attr] # paid
    )
    archive = folder / f"records-{owner.user.email.split('@')[0]}.zip"
    answer = portal.client.get(f"/statements/{statement.public_id}/records.zip")
    archive.write_bytes(answer.content)
    done = subprocess.run(
        [sys.executable, "-m", "billing.verifier", str(archive)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]
    out.check(f"driveway-verify on what {owner.name} downloaded", done.returncode == 0, said)


def _close_statements(emails: list[str]) -> None:
    """Close the statements of the demo's owners up to now. Nobody else's: for them no month has ended."""
    now = timezone.now()
    owners = Owner.objects.filter(user__email__in=emails).order_by("pk")
    count = sum(statements.close_owner(owner=owner, until=now) for owner in owners)
    paid = Statement.objects.filter(owner__in=owners, period_end_at=now).aggregate(micro=Sum("paid_out_micro"))["micro"]
    print(f"  close_statements: {count} statements closed, {format_money(paid or 0)} to be paid out")


def _transfer_at_stripe(statement: Statement) -> int:
    """Return what Stripe transferred for a statement, in micro-units, from Stripe's API and not from our tables."""
    answer = httpx.get(
        f"{settings.STRIPE_API_BASE}/v1/transfers",
        params={"transfer_group": str(statement.public_id)},
        headers={"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"},
        timeout=30,
    )
    return sum(int(row["amount"]) for row in json.loads(answer.text)["data"]) * 10_000


def _manage(command: str, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", command, "--until", "now"],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PortalError(f"{command} failed: {done.stderr.strip()[-300:]}")
    said = " ".join(done.stdout.split())
    print(f"  {command}: {said}")
