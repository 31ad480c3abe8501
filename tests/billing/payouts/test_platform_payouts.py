"""Stripe's payouts to our own bank: no command of ours makes them, our balance there shows them, and we post them."""

import pytest

from billing.models import LedgerAccount, LedgerTransfer, StripeEvent
from billing.stripe import sweeps
from marketplace.local.fake_stripe.platform_payouts import PlatformPayouts
from tests.billing.payouts.helpers import age, differences
from tests.billing.refunds.helpers import clearing, customer, part, pay, settle
from tests.conformance.fixture import FakeWorld
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db


def test_no_check_complains_of_a_payout_to_our_own_bank_or_of_one_that_came_back(stripe: FakeWorld):
    pay(stripe, customer())
    bank = part(stripe, PlatformPayouts)
    bank.pay(30_00)
    returned = bank.pay(10_00)
    bank.fail(returned["id"])
    settle(stripe)
    assert set(StripeEvent.objects.filter(type__startswith="payout.").values_list("status", flat=True)) == {"skipped"}
    for _ in range(2):
        sweeps.sweep_balance()
    age()
    assert differences() == []
    assert LedgerTransfer.objects.filter(idempotency_key__startswith="stripe_payout:").count() == 3
    assert LedgerAccount.objects.filter(kind="bank_clearing").count() == 1
    at_stripe = sum(row["net"] for row in stripe.fake.store.newest("balance_transaction")) * 10_000
    assert (clearing(), at_stripe) == (at_stripe, 50_000_000 - 1_750_000 - 30_000_000)


def test_the_books_say_so_when_it_was_not_posted(stripe: FakeWorld):
    pay(stripe, customer())
    part(stripe, PlatformPayouts).pay(30_00)
    sweeps.sweep_balance()
    with unguarded():
        execute("DELETE FROM billing_ledgertransfer WHERE idempotency_key LIKE 'stripe_payout:%'")
    assert {found.check for found in differences()} >= {"stripe_payouts"}
