"""A year's payments, by the date of payment and less reversals; the operators' export, which owners can see."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.access import trail as access
from accounts.models import AccessEvent, Owner, User
from accounts.owners import registration
from billing.earnings import tax
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import Payout, RatedUsage, Statement, StripeCommand
from billing.orders import voids
from billing.orders.settlement import settle_usage
from billing.payouts import payouts
from billing.statements import statements
from compute.models import UsageRecord
from tests import factories
from tests.billing.helpers import HOUR_MS, make_market, make_usage, order
from tests.billing.payouts.helpers import make_payout

pytestmark = pytest.mark.django_db
REASON = "Form 1099-NEC of the year"


def pay(owner: Owner, amount_micro: int, paid_at: datetime) -> Payout:
    """Return a new payout of the owner that was sent at a time in the past."""
    return send(make_payout(owner, amount_micro), paid_at)


def send(payout: Payout, paid_at: datetime) -> Payout:
    owner, amount_micro = payout.owner, payout.amount_micro
    account = owner.connected_accounts.first() or factories.make_connected_account(owner)
    places = [
        AccountName(kind="in_transit", currency="USD", owner_id=owner.pk),
        AccountName(kind="stripe_clearing", currency="USD"),
    ]
    in_transit, clearing = (posting.accounts(places)[place] for place in places)
    (sent,) = posting.post(
        [
            Posting(
                kind="transfer",
                debit=in_transit,
                credit=clearing,
                amount_micro=amount_micro,
                idempotency_key=f"payout:{payout.public_id}:sent",
            ),
        ]
    ).transfers
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


def take_back(payout: Payout) -> datetime:
    """Mark the payout as reversed, and return the time of that."""
    places = [
        AccountName(kind="stripe_clearing", currency="USD"),
        AccountName(kind="payable", currency="USD", owner_id=payout.owner_id),
    ]
    clearing, payable = (posting.accounts(places)[place] for place in places)
    posting.post(
        [
            Posting(
                kind="transfer",
                debit=clearing,
                credit=payable,
                amount_micro=payout.amount_micro,
                idempotency_key=f"payout:{payout.public_id}:reversed",
            ),
        ]
    )
    Payout.objects.filter(pk=payout.pk).update(status="reversed")
    at: datetime = payout.events.get(to_status="reversed").at
    return at


def test_what_was_taken_back_is_taken_off_when_that_happened() -> None:
    owner = factories.make_owner()
    payout = pay(owner, 10_000_000, datetime(2025, 3, 1, tzinfo=UTC))
    year = take_back(payout).year
    assert tax.year_of(owner, 2025)[0].paid_micro == 10_000_000
    assert (tax.year_of(owner, year)[0].paid_micro, tax.year_of(owner, year)[0].payouts) == (-10_000_000, -1)


class Worked:
    """A market whose first owner works, gets statements and is paid."""

    def __init__(self) -> None:
        self.market = make_market(top_up_micro=1_000_000_000)
        self.owner = self.market.nodes[0].vehicle.owner

    def job(self, *, units: int = 1) -> list[UsageRecord]:
        job = order(self.market.organization).job
        usage = [make_usage(job, self.market.nodes[0]) for _ in range(units)]
        settle_usage()
        return usage

    def state(self) -> Statement:
        statements.close_due(until=timezone.now())
        return Statement.objects.filter(owner=self.owner).latest("number")

    def year(self, year: int = 2026) -> list[tuple[int, int]]:
        """Return (activities, fees in micro-units) of the four quarters."""
        (found,) = tax.year_of(self.owner, year)
        return [(quarter.activities, quarter.fees_micro) for quarter in found.quarters.values()]


def fees_of(usage: list[UsageRecord]) -> int:
    return sum(RatedUsage.objects.filter(usage__in=usage).values_list("platform_micro", flat=True))


def test_what_payouts_pay_for_is_counted_by_job(settings: Any) -> None:
    settings.PAYOUT_MIN_MICRO = 1
    scene = Worked()
    first = [*scene.job(units=3), *scene.job()]
    send(scene.state().payout, datetime(2026, 2, 1, tzinfo=UTC))
    assert scene.year() == [(2, fees_of(first)), (0, 0), (0, 0), (0, 0)]
    second = scene.job()
    send(scene.state().payout, datetime(2026, 3, 31, 23, tzinfo=UTC))
    third = scene.job()
    send(scene.state().payout, datetime(2026, 4, 1, tzinfo=UTC))
    fees = [fees_of([*first, *second]), fees_of(third)]
    assert all(fees)
    assert scene.year() == [(3, fees[0]), (1, fees[1]), (0, 0), (0, 0)]
    assert {row.owner_id: sum(q.activities for q in row.quarters.values()) for row in tax.years(2026)} == {
        scene.owner.pk: 4
    }


def test_a_job_that_two_payouts_pay_for_counts_once_a_quarter(settings: Any) -> None:
    settings.PAYOUT_MIN_MICRO = 1
    scene = Worked()
    job = order(scene.market.organization).job
    days = [datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)]
    for day in days:
        make_usage(job, scene.market.nodes[0], compute_ms=HOUR_MS)
        settle_usage()
        send(scene.state().payout, day)
    assert [jobs for jobs, _ in scene.year()] == [1, 1, 0, 0]


def test_what_was_carried_counts_with_the_payout_that_pays_it(settings: Any) -> None:
    scene = Worked()
    settings.PAYOUT_MIN_MICRO = 10**12
    carried = scene.job()
    assert not Payout.objects.filter(statement=scene.state()).exists()
    assert scene.year() == [(0, 0)] * 4
    settings.PAYOUT_MIN_MICRO = 1
    returned = scene.job()
    payouts.return_to_balance(payout=scene.state().payout, reason="the bank closed", actor=factories.make_user())
    last = scene.job()
    send(scene.state().payout, datetime(2026, 7, 1, tzinfo=UTC))
    assert scene.year() == [(0, 0), (0, 0), (3, fees_of([*carried, *returned, *last])), (0, 0)]


def test_checking_others_is_an_activity_without_a_fee(settings: Any) -> None:
    settings.PAYOUT_MIN_MICRO = 1
    scene = Worked()
    others = make_usage(order(scene.market.organization).job, scene.market.nodes[1])
    make_usage(others.job, scene.market.nodes[0], copy_of=others)
    settle_usage()
    send(scene.state().payout, datetime(2026, 7, 1, tzinfo=UTC))
    assert scene.year()[2] == (1, 0)


def test_fees_of_work_that_is_taken_back_are_given_back_and_a_fetched_payout_counts_no_more(settings: Any) -> None:
    settings.PAYOUT_MIN_MICRO = 1
    scene = Worked()
    (usage,) = scene.job()
    paid = send(scene.state().payout, datetime(2025, 7, 1, tzinfo=UTC))
    fee = fees_of([usage])
    voids.void(rated=usage.rated, reason="a wrong model", actor=None)
    voids.settle_voids()
    more = scene.job(units=2)
    send(scene.state().payout, datetime(2025, 12, 1, tzinfo=UTC))
    assert scene.year(2025) == [(0, 0), (0, 0), (1, fee), (1, fees_of(more) - fee)]
    at = take_back(paid)
    assert scene.year(2025)[2] == (1, fee)
    assert scene.year(at.year)[(at.month - 1) // 3] == (-1, -fee)


def test_forms() -> None:
    limits = [form.threshold_micro if (form := tax.form_of("US", year)) else None for year in (2024, 2025, 2026, 2030)]
    assert limits == [None, 600_000_000, 2_000_000_000, 2_000_000_000]
    assert tax.form_of("DE", 2026) is None


@pytest.mark.parametrize(
    ("now", "below", "above"),
    [
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "They have not reached it yet.", "They have reached it already."),
        (datetime(2027, 1, 1, tzinfo=UTC), "They did not reach it.", "They reached it."),
    ],
)
def test_page_and_file(client: Client, monkeypatch: pytest.MonkeyPatch, now: datetime, below: str, above: str) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
    owner = factories.make_owner()
    client.force_login(owner.user)
    page = reverse("earnings_tax", args=[2026])
    assert below in client.get(page).content.decode()
    pay(owner, 2_000_000_000, datetime(2026, 8, 1, tzinfo=UTC))
    text = client.get(page).content.decode()
    for words in ("1099-NEC", "Jobs", "Our part", "$2,000.00", above, "not tax advice"):
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
    assert (row["q3_activities"], row["q3_fees_micro"], row["q3_withheld_micro"]) == ("0", "0", "0")
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
    former = make_operator()
    User.objects.filter(pk=former.pk).update(is_active=False)
    for by in ("nobody@example.com", owner.user.email, former.email, ""):
        with pytest.raises(CommandError, match="not_an_operator"):
            call_command("export_tax", year=2026, by=by, reason=REASON, output=str(file))
    assert not file.exists()
    assert not AccessEvent.objects.exists()
