"""Promotional credit, and how each kind of movement of our balance at Stripe is stored and posted."""

from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from billing.models import BalanceTransaction, LedgerTransfer
from billing.stripe import balance
from billing.stripe.gateway import BalanceMovement
from billing.wallet import promo_credits
from core.errors import Conflict, InvalidInput
from tests.billing.helpers import make_organization, sqlstate_of
from tests.billing.refunds.helpers import balance as balance_of
from tests.billing.refunds.helpers import check, clearing

pytestmark = pytest.mark.django_db
_numbers = count(1)


def grant(organization, micro: int = 5_000_000, reason: str = "a welcome", key: str = "k"):
    return promo_credits.grant(
        organization=organization, amount_micro=micro, reason=reason, idempotency_key=key, actor=None
    )


def test_credit_is_given_once_and_is_our_expense():
    organization = make_organization()
    assert grant(organization) == grant(organization)
    assert (balance_of(organization, "promo_wallet"), balance_of(organization)) == (5_000_000, 0)
    (posted,) = LedgerTransfer.objects.filter(kind="promo")
    assert (posted.debit.kind, posted.idempotency_key) == ("promotion", f"promo:{organization.pk}:k")
    assert AuditEvent.objects.filter(action="wallet.promo_credit").count() == 1
    for other in ({"micro": 1}, {"reason": "another"}):
        with pytest.raises(Conflict):
            grant(organization, **other)
    check()


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"micro": 0}, "amount_invalid"), ({"micro": 10**12}, "amount_too_large"), ({"reason": " "}, "reason_missing")],
)
def test_credit_has_a_limit_and_a_reason(fields, code):
    with pytest.raises(InvalidInput) as caught:
        grant(make_organization(), **fields)
    assert caught.value.code == code


def test_the_database_refuses_credit_that_nobody_posted():
    organization = make_organization(top_up_micro=5_000_000)
    grant(organization)
    top_up = LedgerTransfer.objects.get(kind="top_up").pk
    copy = f"""INSERT INTO billing_promocredit (created_at, public_id, organization_id, amount_micro, currency,
                                                reason, idempotency_key, transfer_id)
        SELECT now(), gen_random_uuid(), organization_id, amount_micro, currency, 'x', 'y', {top_up}
          FROM billing_promocredit"""
    assert sqlstate_of(copy) == "DW007"
    assert sqlstate_of("UPDATE billing_promocredit SET amount_micro = 1") == "DW002"


def movement(kind: str, amount: int, fee: int = 0, source: str = "") -> BalanceMovement:
    now = timezone.now() - timedelta(minutes=5)
    return BalanceMovement(
        id=f"txn_{next(_numbers)}",
        type=kind,
        source_id=source,
        payment_intent_id="",
        currency="USD",
        amount_minor=amount,
        fee_minor=fee,
        net_minor=amount - fee,
        occurred_at=now,
        available_at=now,
    )


def test_every_movement_is_kept_and_what_nobody_else_knows_of_is_posted():
    movements = [
        movement("charge", 5000, 175, "ch_1"),
        movement("payment", 5000, 40, "py_1"),
        movement("refund", -1000, 0, "re_1"),
        movement("refund_failure", 1000, 0, "re_1"),
        movement("adjustment", -5000, 1500, "dp_1"),
        movement("adjustment", 5000, -1500, "dp_1"),
        movement("transfer", -700, 0, "tr_1"),
        movement("transfer_refund", 700, 0, "trr_1"),
        movement("stripe_fee", -200),
        movement("stripe_fee", 50),
        movement("payout", -3000, 0, "po_1"),
        movement("payout_failure", 3000, 0, "po_1"),
        movement("payout", -2500, 0, "po_2"),
    ]
    assert [balance.record(movements) for _ in range(2)] == [13, 0]
    rows = BalanceTransaction.objects.order_by("id")
    assert [(row.type, row.source_id) for row in rows] == [(row.type, row.source_id) for row in movements]
    fees = LedgerTransfer.objects.filter(kind="fee")
    signed = sum(row.amount_micro * (1 if row.debit.kind == "processing_fee" else -1) for row in fees)
    assert signed == (175 + 40 + 1500 - 1500 + 200 - 50) * 10_000
    payouts = LedgerTransfer.objects.filter(kind="transfer").order_by("id")
    assert [(row.debit.kind, row.credit.kind, row.amount_micro) for row in payouts] == [
        ("bank_clearing", "stripe_clearing", 30_000_000),
        ("stripe_clearing", "bank_clearing", 30_000_000),
        ("bank_clearing", "stripe_clearing", 25_000_000),
    ]
    assert {row.idempotency_key.split(":")[0] for row in payouts} == {"stripe_payout"}
    assert clearing() == -signed - 25_000_000
