"""Helpers for tests of payouts: owners with accounts at the fake Stripe, and payouts as statements make them."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import Owner
from billing.ledger import posting as ledger
from billing.ledger.posting import AccountName, Posting
from billing.models import (
    Approval,
    ConnectedAccount,
    LedgerAccount,
    Payout,
    Statement,
    StatementEntry,
    StatementLine,
)
from billing.payouts import accounts as connected_accounts
from billing.stripe import inbox
from marketplace.local.fake_stripe.payees import BANK_PAYS, Payees
from tests import factories
from tests.billing.helpers import number
from tests.conformance.fixture import FakeWorld
from tests.database import execute, unguarded

LONG_AGO = timezone.datetime(2026, 1, 1, tzinfo=timezone.get_default_timezone())


def begin(owner: Owner, country: str = "US", key: str = "k") -> ConnectedAccount:
    """Request an owner's account, made at Stripe if Stripe answers, and return it."""
    account = connected_accounts.start(owner=owner, country=country, idempotency_key=key)
    connected_accounts.send_now(account)
    account.refresh_from_db()
    return account


def become(stripe: FakeWorld, account: ConnectedAccount, outcome: str, *, bank: str = BANK_PAYS) -> ConnectedAccount:
    """Fill the account in on Stripe's page with this outcome, process the webhooks, and return the account."""
    Payees(stripe.fake.emitter).onboard(account.stripe_id, name="A. Owner", bank=bank, outcome=outcome)
    stripe.deliver_all()
    inbox.process_due()
    account.refresh_from_db()
    return account


def ready_owner(stripe: FakeWorld, *, bank: str = BANK_PAYS) -> Owner:
    owner = factories.make_owner()
    assert become(stripe, begin(owner), "ready", bank=bank).status == "active"
    return owner


def fund(stripe: FakeWorld, minor: int = 1_000_00) -> None:
    """Add money to our balance at Stripe, in cents."""
    now = stripe.fake.emitter.now()
    stripe.fake.store.put(
        {
            "id": stripe.fake.store.new_id("txn"),
            "object": "balance_transaction",
            "created": now,
            "available_on": now + 2 * 86_400,
            "amount": minor,
            "fee": 0,
            "net": minor,
            "currency": "usd",
            "balance_type": "payments",
            "description": None,
            "exchange_rate": None,
            "reporting_category": "charge",
            "status": "pending",
            "type": "charge",
            "source": None,
            "fee_details": [],
        }
    )


def make_payout(owner: Owner, amount_micro: int = 25_000_000, *, due_in: timedelta = timedelta(0)) -> Payout:
    """Return a payout as closing a statement makes it, with the statement, its entries and its posting."""
    count = number()
    places = [
        AccountName(kind="adjustment", currency="USD"),
        *(AccountName(kind=kind, currency="USD", owner_id=owner.pk) for kind in ("payable", "in_transit")),
    ]
    accounts = ledger.accounts(places)
    goodwill, payable, in_transit = (accounts[place] for place in places)
    last = Statement.objects.filter(owner=owner).order_by("period_end_at").last()
    start = last.period_end_at if last else LONG_AGO
    approval = Approval.objects.create(
        kind="adjust_owner",
        params={},
        summary="s",
        reason="r",
        idempotency_key=f"approval-{count}",
        proposed_by=factories.make_user(),
    )
    Approval.objects.filter(pk=approval.pk).update(
        status="done", decided_by=factories.make_user(), decided_at=timezone.now()
    )
    statement = Statement.objects.create(
        owner=owner,
        number=count,
        currency="USD",
        period_start_at=start,
        period_end_at=start + timedelta(minutes=1),
        opening_micro=0,
        earned_micro=0,
        corrected_micro=amount_micro,
        other_micro=0,
        paid_out_micro=amount_micro,
        carried_micro=0,
        energy_cost_nano=0,
        wear_nano=0,
        compute_ms=0,
        energy_mwh=0,
        attempts=0,
    )
    credit, posting = ledger.post(
        [
            Posting(
                kind="adjustment",
                debit=goodwill,
                credit=payable,
                amount_micro=amount_micro,
                idempotency_key=f"adjustment:{approval.public_id}",
            ),
            Posting(
                kind="payout",
                debit=payable,
                credit=in_transit,
                amount_micro=amount_micro,
                idempotency_key=f"payout:{statement.public_id}",
            ),
        ]
    ).transfers
    for transfer, micro in ((credit, amount_micro), (posting, -amount_micro)):
        StatementEntry.objects.create(statement=statement, transfer=transfer, amount_micro=micro)
    StatementLine.objects.create(
        statement=statement, kind="adjustment", service_month=start.date(), amount_micro=amount_micro
    )
    return Payout.objects.create(
        statement=statement,
        owner=owner,
        amount_micro=amount_micro,
        currency="USD",
        posting=posting,
        due_at=timezone.now() + due_in,
    )


def balance(owner: Owner, kind: str) -> int:
    return LedgerAccount.objects.filter(owner=owner, kind=kind).values_list("balance_micro", flat=True).first() or 0


def transfers(stripe: FakeWorld) -> list[dict]:
    return list(stripe.fake.store.newest("transfer"))


def differences() -> list[ledger.Difference]:
    """Return what the checks of the ledger find."""
    return ledger.recompute()


def age(days: int = 3) -> None:
    """Make everything so many days older, so that the checks wait no longer for what Stripe reports late."""
    with unguarded():
        for column in (
            "billing_balancetransaction.occurred_at",
            "billing_topup.created_at",
            "billing_payout.paid_at",
            "billing_payout.ended_at",
        ):
            table, name = column.split(".")
            execute(f"UPDATE {table} SET {name} = {name} - interval '{days} days'")
