"""A year's payments: by the date of payment, less what was taken back, and the operator's export that owners see."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import AccessEvent, Owner, User
from accounts.services import access, registration
from billing import tax
from billing.models import Payout, StripeCommand
from billing.services import ledger
from billing.services.ledger import Place, Posting
from tests import factories
from tests.billing.payouts.helpers import make_payout

pytestmark = pytest.mark.django_db
REASON = "Form 1099-NEC of the year"


def pay(owner: Owner, amount_micro: int, paid_at: datetime) -> Payout:
    """As the outbox does, on a day of the past."""
    payout = make_payout(owner, amount_micro)
    account = owner.connected_accounts.first() or factories.make_connected_account(owner)
    places = [
        Place(kind="in_transit", currency="USD", owner_id=owner.pk),
        Place(kind="stripe_clearing", currency="USD"),
    ]
    in_transit, clearing = (ledger.accounts(places)[place] for place in places)
    (sent,) = ledger.post([
        Posting(kind="transfer", debit=in_transit, credit=clearing, amount_micro=amount_micro,
                idempotency_key=f"payout:{payout.public_id}:sent"),
    ]).transfers  # fmt: skip
    command = StripeCommand.objects.create(
        kind="create_transfer", idempotency_key=f"test-{payout.pk}", subject_id=payout.pk
    )
    Payout.objects.filter(pk=payout.pk).update(status="sending", command=command, account=account)
    Payout.objects.filter(pk=payout.pk).update(
        status="paid", sent=sent, paid_at=paid_at, stripe_transfer_id=f"tr_{payout.pk}"
    )
    payout.refresh_from_db()
    return payout


def make_operator() -> User:
    user = factories.make_user()
    User.objects.filter(pk=user.pk).update(name="Ada Lovelace")
    registration.register_operator(user=user, role="finance")
    return User.objects.get(pk=user.pk)


def test_by_the_date_of_payment() -> None:
    owner = factories.make_owner()
    pay(owner, 10_000_000, datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
    pay(owner, 20_000_000, datetime(2026, 1, 1, tzinfo=UTC))
    pay(owner, 30_000_000, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    make_payout(owner)  # not sent yet
    pay(factories.make_owner(), 70_000_000, datetime(2026, 5, 1, tzinfo=UTC))
    (year,) = tax.year_of(owner, 2026)
    assert [quarter.paid_micro for quarter in year.quarters.values()] == [20_000_000, 0, 0, 30_000_000]
    assert (year.paid_micro, year.payouts, year.withheld_micro) == (50_000_000, 2, 0)
    assert tax.year_of(owner, 2025)[0].paid_micro == 10_000_000
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Pacific/Auckland'")
    assert tax.year_of(owner, 2026) == [year]


def test_what_was_taken_back_is_taken_off_when_that_happened() -> None:
    owner = factories.make_owner()
    payout = pay(owner, 10_000_000, datetime(2025, 3, 1, tzinfo=UTC))
    places = [Place(kind="stripe_clearing", currency="USD"), Place(kind="payable", currency="USD", owner_id=owner.pk)]
    clearing, payable = (ledger.accounts(places)[place] for place in places)
    ledger.post([
        Posting(kind="transfer", debit=clearing, credit=payable, amount_micro=10_000_000,
                idempotency_key=f"payout:{payout.public_id}:reversed"),
    ])  # fmt: skip
    Payout.objects.filter(pk=payout.pk).update(status="reversed")
    year = datetime.now(UTC).year
    assert tax.year_of(owner, 2025)[0].paid_micro == 10_000_000
    assert (tax.year_of(owner, year)[0].paid_micro, tax.year_of(owner, year)[0].payouts) == (-10_000_000, -1)


def test_forms() -> None:
    limits = [form.threshold_micro if (form := tax.form_of("US", year)) else None for year in (2024, 2025, 2026, 2030)]
    assert limits == [None, 600_000_000, 2_000_000_000, 2_000_000_000]
    assert tax.form_of("DE", 2026) is None


def test_page_and_file(client: Client) -> None:
    owner = factories.make_owner()
    client.force_login(owner.user)
    page = reverse("earnings_tax", args=[2026])
    assert "They have not reached it yet." in client.get(page).content.decode()
    pay(owner, 2_000_000_000, datetime(2026, 8, 1, tzinfo=UTC))
    text = client.get(page).content.decode()
    for words in ("1099-NEC", "$2,000.00", "They have reached it already.", "not tax advice"):
        assert words in text
    rows = list(csv.DictReader(io.StringIO(client.get(reverse("earnings_tax_csv", args=[2026])).content.decode())))
    assert [row["paid_micro"] for row in rows] == ["0", "0", "2000000000", "0"]
    assert client.get(reverse("earnings_tax", args=[99])).status_code == 404


def test_export_is_seen_by_owners(tmp_path: Path) -> None:
    owner, other = factories.make_owner(), factories.make_owner()
    Owner.objects.filter(pk=owner.pk).update(name="=1+1")
    payout = pay(owner, 2_000_000_000, datetime(2026, 8, 1, tzinfo=UTC))
    file = tmp_path / "tax.csv"
    staff = make_operator()
    call_command("export_tax", year=2026, by=staff.email.upper(), reason=REASON, output=str(file))
    (row,) = csv.DictReader(file.open())
    assert (row["owner"], row["name"], row["q3_micro"]) == (str(owner.public_id), "'=1+1", "2000000000")
    assert (row["form"], row["threshold_reached"], row["connected_accounts"]) == (
        "1099-NEC",
        "yes",
        payout.account.stripe_id,
    )
    assert file.stat().st_mode & 0o077 == 0
    (event,) = AccessEvent.objects.filter(owner=owner)
    assert REASON in event.reason
    assert event.actor == staff
    assert access.name_of(event.actor, reader=owner) == "Ada (finance)"
    assert not AccessEvent.objects.filter(owner=other).exists()
    for bad in ({"reason": "short", "output": str(tmp_path / "x")}, {"reason": REASON, "output": str(file)}):
        with pytest.raises(CommandError):
            call_command("export_tax", year=2026, by=staff.email, **bad)


def test_an_export_is_made_by_somebody(tmp_path: Path) -> None:
    owner, file = factories.make_owner(), tmp_path / "tax.csv"
    pay(owner, 2_000_000_000, datetime(2026, 8, 1, tzinfo=UTC))
    with pytest.raises(CommandError, match="--by"):
        call_command("export_tax", "--year=2026", f"--reason={REASON}", f"--output={file}")
    left = make_operator()
    User.objects.filter(pk=left.pk).update(is_active=False)
    for by in ("nobody@example.com", owner.user.email, left.email, ""):
        with pytest.raises(CommandError, match="not_an_operator"):
            call_command("export_tax", year=2026, by=by, reason=REASON, output=str(file))
    assert not file.exists()
    assert not AccessEvent.objects.exists()
