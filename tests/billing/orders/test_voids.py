"""Voids: corrections mirror the rating of usage, paid by the customer or by the platform.

The market: 0.10 an hour, of which 70 % are the owner's, and 0.20 a kWh.
"""

import pytest
from django.db import connection

from accounts.models import AuditEvent
from billing.earnings import selectors as earnings
from billing.ledger import posting
from billing.models import EarningsDay, LedgerTransfer, SpendDay, UsageVoid
from billing.orders import voids
from billing.orders.settlement import settle_usage
from billing.wallet import wallets
from core.errors import InvalidInput
from tests.billing.helpers import balance, give_credit, make_market, make_usage, order, sqlstate_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def market():
    return make_market(price_micro_per_kwh=200_000)


def payable(node) -> int:
    account = posting.payable(node.vehicle.owner, "USD")
    account.refresh_from_db()
    return account.balance_micro


def void(usage) -> UsageVoid:
    row = voids.void(rated=usage.rated, reason=" counted twice ", actor=None)
    assert [voids.settle_voids(), voids.settle_voids()] == [1, 0]
    row.refresh_from_db()
    return row


def corrections(row) -> dict[str, tuple[str, str, int]]:
    found = LedgerTransfer.objects.filter(kind="correction").select_related("debit", "credit")
    assert all(t.meta == {"void": row.pk, "rated": row.rated_id} for t in found)
    return {t.idempotency_key: (t.debit.kind, t.credit.kind, t.amount_micro) for t in found}


def test_work_that_the_customer_paid_goes_back_to_the_wallet(market):
    """An hour with 0.015 kWh cost 0.103, of which 0.073 were the owner's."""
    usage = make_usage(order(market.organization).job, market.nodes[0], energy_mwh=15_000)
    settle_usage()
    assert payable(market.nodes[0]) == 73_000
    before = wallets.summary(market.organization).balance_micro
    row = void(usage)
    assert corrections(row) == {
        f"void:{row.public_id}:owner": ("payable", "revenue", 73_000),
        f"void:{row.public_id}:wallet": ("revenue", "wallet", 103_000),
    }
    assert (payable(market.nodes[0]), wallets.summary(market.organization).balance_micro) == (0, before + 103_000)
    assert set(EarningsDay.objects.values_list("attempts", "compute_ms", "energy_mwh", "gross_micro", "wear_nano")) == {
        (0, 0, 0, 0, 0)
    }
    assert set(SpendDay.objects.values_list("units", "items", "compute_ms", "charged_micro")) == {(0, 0, 0, 0)}
    assert earnings.lifetime_total(market.nodes[0].vehicle.owner).gross_micro == 0
    assert AuditEvent.objects.get(action="usage.void").details["reason"] == "counted twice"
    assert posting.recompute() == []


def test_an_owner_who_was_paid_out_owes_it(market):
    usage = make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    debit, credit = posting.payable(market.nodes[0].vehicle.owner, "USD"), posting.platform("bank_clearing", "USD")
    posting.post(
        [posting.Posting(kind="payout", debit=debit, credit=credit, amount_micro=70_000, idempotency_key="out")]
    )
    void(usage)
    assert payable(market.nodes[0]) == -70_000


def test_a_copy_goes_back_to_the_platforms_expense(market):
    first = make_usage(order(market.organization).job, market.nodes[0])
    copy = make_usage(first.job, market.nodes[1], copy_of=first)
    settle_usage()
    row = void(copy)
    assert corrections(row) == {f"void:{row.public_id}:owner": ("payable", "verification", 70_000)}
    assert (payable(market.nodes[0]), payable(market.nodes[1])) == (70_000, 0)
    assert SpendDay.objects.get().charged_micro == 100_000
    assert posting.recompute() == []


def test_work_that_the_hold_paid_in_part(market):
    """With 0.15 held, the customer was charged 0.05 for the second hour, and the platform paid the owner."""
    placed = order(market.organization, cap_micro=150_000)
    usage = [make_usage(placed.job, market.nodes[0]) for _ in range(2)][1]
    settle_usage()
    row = void(usage)
    assert corrections(row) == {
        f"void:{row.public_id}:owner": ("payable", "verification", 70_000),
        f"void:{row.public_id}:wallet": ("revenue", "wallet", 50_000),
    }


def test_what_credit_had_paid_is_credit_again(market):
    give_credit(market.organization, 500_000)
    usage = make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    row = void(usage)
    assert corrections(row) == {
        f"void:{row.public_id}:owner": ("payable", "revenue", 70_000),
        f"void:{row.public_id}:promo": ("revenue", "promo_wallet", 100_000),
    }
    assert balance(market.organization, "wallet") == 10_000_000
    assert posting.recompute() == []


def test_the_wallet_gets_back_first_what_it_paid(market):
    """Of 0.20, credit paid 0.12. The first void returns 0.08 to the wallet and 0.02 to credit, the second 0.10 to it.

    The wallet gets all that it had paid before credit gets anything.
    """
    give_credit(market.organization, 120_000)
    placed = order(market.organization, cap_micro=200_000)
    usage = [make_usage(placed.job, market.nodes[0]) for _ in range(2)]
    settle_usage()
    before = [balance(market.organization, kind) for kind in ("wallet", "promo_wallet")]
    given_back = []
    for record in usage:
        void(record)
        now = [balance(market.organization, kind) for kind in ("wallet", "promo_wallet")]
        given_back.append([after - first for first, after in zip(before, now, strict=True)])
    assert given_back == [[80_000, 20_000], [80_000, 120_000]]
    assert posting.recompute() == []


def test_usage_that_cost_nothing_is_voided_without_a_posting(market):
    usage = make_usage(order(market.organization).job, market.nodes[0], compute_ms=0)
    settle_usage()
    assert corrections(void(usage)) == {}


def test_voiding_again_is_the_first_void(market):
    usage = make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    row = void(usage)
    assert voids.void(rated=usage.rated, reason="another", actor=None) == row
    assert voids.settle_voids() == 0
    assert AuditEvent.objects.filter(action="usage.void").count() == 1
    for reason in ("", "  ", "x" * 201):
        with pytest.raises(InvalidInput):
            voids.void(rated=usage.rated, reason=reason, actor=None)


INSERT = (
    "INSERT INTO billing_usagevoid (public_id, created_at, rated_id, reason, settled_at)"
    " SELECT gen_random_uuid(), now(), id, 'x', {} FROM billing_ratedusage"
)


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        (INSERT.format("now()"), "DW007"),  # settled from the start
        (INSERT.format("NULL").replace("rated_id", "rated_id").replace(", id,", ", id + 1000000,"), "23503"),
        (f"{INSERT.format('NULL')}; UPDATE billing_usagevoid SET settled_at = now()", "DW007"),  # without corrections
        (f"{INSERT.format('NULL')}; {INSERT.format('NULL')}", "23505"),
        (f"{INSERT.format('NULL')}; UPDATE billing_usagevoid SET reason = 'y'", "DW002"),
        (f"{INSERT.format('NULL')}; DELETE FROM billing_usagevoid", "DW002"),
        (f"{INSERT.format('NULL')}; UPDATE billing_usagevoid SET promo_micro = 1", "DW002"),
        (INSERT.format("NULL").replace("settled_at)", "settled_at, promo_micro)").replace("NULL", "NULL, 1"), "DW007"),
    ],
)
def test_a_void_cannot_be_faked(market, sql, sqlstate):
    make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    assert sqlstate_of(sql) == sqlstate


def test_a_void_is_settled_once(market):
    usage = make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    void(usage)
    assert sqlstate_of("UPDATE billing_usagevoid SET settled_at = NULL") == "DW002"
    assert sqlstate_of("UPDATE billing_usagevoid SET settled_at = now() + interval '1 s'") == "DW002"


def test_corrections_of_another_sum_or_account_settle_nothing(market):
    usage = make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    row = voids.void(rated=usage.rated, reason="x", actor=None)
    wallet, revenue = posting.wallet(market.organization), posting.platform("revenue", "USD")
    owner = posting.payable(market.nodes[1].vehicle.owner, "USD")  # not the owner who earned it
    posting.post(
        [
            posting.Posting(
                kind="correction",
                debit=owner,
                credit=revenue,
                amount_micro=70_000,
                idempotency_key=f"void:{row.public_id}:owner",
            ),
            posting.Posting(
                kind="correction",
                debit=revenue,
                credit=wallet,
                amount_micro=100_000,
                idempotency_key=f"void:{row.public_id}:wallet",
            ),
        ]
    )
    assert sqlstate_of("UPDATE billing_usagevoid SET settled_at = now()") == "DW007"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM billing_usagevoid WHERE settled_at IS NULL")
        assert cursor.fetchone() == (1,)
