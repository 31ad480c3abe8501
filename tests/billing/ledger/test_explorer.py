"""Operators read the ledger: all of its figures, and for a reason that the owners concerned can see."""

import itertools

import pytest
from django.urls import reverse

from accounts.models import AccessEvent, AuditEvent, User
from billing.ledger import check_runs
from billing.ledger import explorer as ledger_explorer
from billing.models import LedgerAccount, LedgerDifference, LedgerTransfer
from tests.billing.books import make_books
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    return make_books()


@pytest.fixture
def desk(client_of):
    client = client_of(User.objects.create(email="opal@example.com", is_staff=True, is_superuser=True))
    client.post(reverse("access_reason"), {"category": "Payment", "words": "a test of the ledger"})
    return client


def page(model: str, name: str = "changelist", *arguments: object) -> str:
    return reverse(f"admin:billing_{model}_{name}", args=arguments)


def test_the_balance_runs_back_from_todays_to_nothing(books, monkeypatch):
    monkeypatch.setattr(ledger_explorer, "PAGE", 3)
    for account in LedgerAccount.objects.all():
        rows, before = [], None
        while True:
            found = ledger_explorer.movements(account, before=before)
            rows += found.rows
            before = found.older
            if before is None:
                break
        assert rows[0].after_micro == ledger_explorer.balances([account])[account.pk]
        assert rows[-1].after_micro == rows[-1].amount_micro
        for newer, older in itertools.pairwise(rows):
            assert newer.transfer.pk > older.transfer.pk
            assert newer.after_micro - newer.amount_micro == older.after_micro


def test_untracked_accounts_are_summed_and_all_sides_come_to_nothing(books):
    accounts = list(LedgerAccount.objects.filter(currency="USD"))
    balances = ledger_explorer.balances(accounts)
    assert sum(account.side * balances[account.pk] for account in accounts) == 0
    assert balances[LedgerAccount.objects.get(kind="promotion").pk] == 500_000


def test_a_kind_is_shown_without_a_balance_that_would_not_follow(books):
    wallet = LedgerAccount.objects.get(kind="wallet")
    rows = ledger_explorer.movements(wallet, kind="refund").rows
    assert {(row.transfer.kind, row.after_micro) for row in rows} == {("refund", None)}
    assert len(rows) == 3


def test_every_transfer_says_what_it_belongs_to(books):
    kinds = {}
    for transfer in LedgerTransfer.objects.all():
        kinds.setdefault(transfer.kind, set()).update(row.label for row in ledger_explorer.related_rows(transfer))
    wanted = {
        "hold": "Order",
        "release": "Order",
        "share": "Order",
        "revenue": "Order",
        "verification": "Order",
        "promo": "Promotional credit",
        "refund": "Refund",
        "reversal": "Failed refund",
        "dispute": "Chargeback",
        "offset": "Chargeback",
        "write_off": "Chargeback",
        "reserve": "Dispute",
        "correction": "Void",
        "adjustment": "Approval",
        "payout": "Payout",
        "transfer": "Payout",
        "return": "Returned payout",
        "fee": "Balance transaction",
        "top_up": "Top-up",
    }
    assert {kind for kind in wanted if wanted[kind] not in kinds[kind]} == set()
    assert set(kinds) == set(wanted)
    assert {"Statement", "Invoice", "Order"} <= kinds["share"]
    assert {"Reverses"} <= kinds["reversal"]


def test_the_pages_open_and_link_to_each_other(books, desk):
    wallet = LedgerAccount.objects.get(kind="wallet")
    shown = desk.get(page("ledgeraccount", "change", wallet.pk), {"since": "2020-01-01"}).content.decode()
    transfer = LedgerTransfer.objects.filter(kind="refund").first()
    assert page("ledgertransfer", "change", transfer.pk) in shown
    assert "refund:a" in shown
    shown = desk.get(page("ledgertransfer", "change", transfer.pk)).content.decode()
    assert page("ledgeraccount", "change", wallet.pk) in shown
    assert desk.get(page("ledgeraccount", "change", wallet.pk), {"since": "soon", "kind": "magic"}).status_code == 200
    assert desk.get(page("ledgeraccount", "change", 10**9)).status_code == 404
    for model in ("ledgeraccount", "ledgertransfer"):
        row = {"ledgeraccount": wallet, "ledgertransfer": transfer}[model]
        assert desk.post(page(model, "change", row.pk), {"kind": "x"}).status_code == 403


def test_a_transfer_is_found_by_its_public_id_and_its_key(books, desk):
    transfer = LedgerTransfer.objects.get(idempotency_key="refund:a")
    for text in (str(transfer.public_id), "refund:a", "  refund:a "):
        assert [row.pk for row in desk.get(page("ledgertransfer"), {"q": text}).context_data["cl"].result_list] == [
            transfer.pk
        ]
    assert not desk.get(page("ledgertransfer"), {"q": "a:fund"}).context_data["cl"].result_list


def test_owners_on_the_other_side_read_who_looked(books, desk):
    """The platform's account has no owner, but its page shows transfers to owners: they see who looked."""
    expense = LedgerAccount.objects.get(kind="verification")
    desk.get(page("ledgeraccount", "change", expense.pk))
    seen = AccessEvent.objects.filter(reason__contains="a test of the ledger").values_list("owner_id", flat=True)
    assert set(seen) == {books.owners[1].pk}


def test_differences_are_counted_on_the_front_page_and_noted(books, desk):
    assert "has not been checked" in desk.get("/operations/").content.decode()
    check_runs.run()
    assert "The ledger adds up." in desk.get("/operations/").content.decode()
    with unguarded():
        execute("UPDATE billing_ledgeraccount SET balance_micro = balance_micro + 7 WHERE kind = 'hold'")
    check_runs.run()
    assert "2 differences in the ledger are open." in desk.get("/operations/").content.decode()
    row = LedgerDifference.objects.get(check_name="holds")
    form = page("ledgerdifference", "change", row.pk)
    assert desk.post(form, {"note": "Looked at it", "check_name": "other", "expected_micro": 1}).status_code == 302
    row.refresh_from_db()
    assert (row.note, row.check_name) == ("Looked at it", "holds")
    assert AuditEvent.objects.get(action="ledger_difference.note").actor.email == "opal@example.com"
    shown = {
        state: desk.get(page("ledgerdifference"), {"state": state}).context_data["cl"].result_count
        for state in ("open", "gone")
    }
    assert shown == {"open": 2, "gone": 0}
    assert desk.get(page("ledgerdifference", "add")).status_code == 403
    assert desk.post(page("ledgerdifference", "delete", row.pk), {"post": "yes"}).status_code == 403
