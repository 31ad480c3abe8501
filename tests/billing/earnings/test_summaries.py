"""The monthly mail of earnings: once, for a calendar month in the owner's time zone, only to owners who want it.

The tests run at fixed times of the database. In Auckland a month begins half a day before it begins in UTC, which is
when the mail becomes due.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail as post
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import Mail, Owner
from billing.earnings import summaries
from billing.models import RatedUsage
from billing.orders import settlement, voids
from tests import factories
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db
ZONE = "Pacific/Auckland"


def rated_at(at):
    """Change the time of all ratings, which no rule allows: only a session with the role of a replica can."""
    with unguarded():
        execute("UPDATE billing_ratedusage SET created_at = %s", at)


@pytest.fixture
def owners(settings):
    """Two owners whose vehicles were paid in a month whose statements count as closed, whatever day it is."""
    settings.STATEMENT_GRACE_H = -24
    job = factories.make_ordered_job(factories.make_organization(wallet_micro=10**7), items=4)
    factories.complete(job, compute_ms=4)
    settlement.settle_usage()
    Owner.objects.update(mails_off=[], time_zone=ZONE, locale="de-DE")
    Mail.objects.all().delete()  # mails about the pairing of the vehicles
    return list(Owner.objects.order_by("id"))


@pytest.fixture(params=["2026-06-15T12:00", "2026-01-01T00:00", "2026-01-31T10:59", "2024-02-29T10:59"], autouse=True)
def now(request, monkeypatch):
    """The database's clock: in the middle of a month, and at the first and the last moment at which its mail is due."""
    monkeypatch.setattr(summaries, "SUMMARIZE", summaries.SUMMARIZE.replace("now()", f"timestamptz '{request.param}Z'"))
    return datetime.fromisoformat(request.param).replace(tzinfo=UTC)


@pytest.fixture
def month_start(now):
    """The start of the present month in the owners' time zone."""
    local = now.astimezone(ZoneInfo(ZONE))
    return datetime(local.year, local.month, 1, tzinfo=ZoneInfo(ZONE))


def test_last_month_is_told_once(owners, month_start):
    rated_at(month_start - timedelta(seconds=1))
    assert [summaries.summarize() for _ in range(2)] == [len(owners), 0]
    rows = {row.user_id: row.context for row in Mail.objects.all()}
    for owner in owners:
        rated = RatedUsage.objects.filter(usage__owner=owner)
        context = rows[owner.user_id]
        assert context["gross_micro"] == sum(row.owner_micro for row in rated)
        assert context["net_micro"] == context["gross_micro"] - context["energy_cost_micro"] - context["wear_micro"]
    assert outbox.send_due() == len(owners)
    assert "Net to you: " in post.outbox[0].body
    assert "," in post.outbox[0].subject
    assert "\u00a0$" in post.outbox[0].subject or " $" in post.outbox[0].subject


@pytest.mark.parametrize("off", [timedelta(0), -timedelta(days=32)])
def test_another_month_is_not(owners, month_start, off):
    rated_at(month_start + off)
    assert summaries.summarize() == 0


def test_only_to_those_who_want_it(owners, month_start):
    rated_at(month_start - timedelta(days=1))
    Owner.objects.update(mails_off=["earnings-summary"])
    assert summaries.summarize() == 0
    Owner.objects.update(mails_off=[], deactivated_at=timezone.now())
    assert summaries.summarize() == 0


def test_a_zone_that_the_database_does_not_know_stops_nobody(owners, month_start):
    rated_at(month_start - timedelta(days=3))
    Owner.objects.filter(pk=owners[0].pk).update(time_zone="Mars/Base")
    assert summaries.summarize() == len(owners)


def test_what_was_voided_is_not_told(owners, month_start):
    rated_at(month_start - timedelta(days=1))
    for row in RatedUsage.objects.filter(usage__owner=owners[0]):
        voids.void(rated=row, reason="wrong", actor=None)
    voids.settle_voids()
    assert summaries.summarize() == len(owners) - 1
    assert not Mail.objects.filter(user=owners[0].user).exists()


def test_it_waits_for_the_statements(owners, month_start, settings):
    rated_at(month_start - timedelta(days=1))
    settings.STATEMENT_GRACE_H = 32 * 24
    assert summaries.summarize() == 0
