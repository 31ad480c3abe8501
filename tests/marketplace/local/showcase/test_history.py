"""The made-up month: under every rule, with documents and disputes, made once, and marked as made up."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.models import Mail
from accounts.receipts import service as receipts
from billing import periods
from billing.ledger import posting
from billing.models import Dispute, EarningsDay, Invoice, SpendDay, Statement
from billing.records import package
from billing.verifier import cli
from compute import protocol
from compute.models import Attempt, InferenceJob, MeterRecord, Node
from marketplace.local.showcase import people
from marketplace.local.showcase.history import backdating, history, plan
from tests.database import execute, unguarded

TODAY = datetime.now(UTC).date()
# Columns with times of the month's making: computers are retired, and what they reported last is noted.
OF_TODAY = {
    "compute_node.link_revoked_at",
    "compute_nodeevent.at",
    "compute_nodepresence.last_sync_at",
    "billing_payout.due_at",  # the end of the last month and a week
}


@pytest.fixture
def cast(db, tmp_path, monkeypatch) -> people.People:
    monkeypatch.setenv("DRIVEWAY_HOME", str(tmp_path))
    monkeypatch.setattr(backdating, "rules_switched_off", unguarded)  # tests are not the owner of the tables
    monkeypatch.setattr(plan, "MODELS", plan.MODELS[:1])  # one job a night is enough here
    return people.seed_people()


def rows() -> dict[str, int]:
    return {name: execute(f"SELECT count(*) FROM {name}")[0][0] for name in connection.introspection.table_names()}


def columns_since(at: datetime) -> Iterator[str]:
    """Yield table.column of work and money wherever there is a time after `at`."""
    query = """SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()
                AND data_type = 'timestamp with time zone' AND (table_name LIKE 'compute!_%' ESCAPE '!'
                                                               OR table_name LIKE 'billing!_%' ESCAPE '!')"""
    for table, column in execute(query):
        if execute(f"SELECT 1 FROM {table} WHERE {column} > %s LIMIT 1", at):
            yield f"{table}.{column}"


@pytest.mark.long
def test_the_month_is_whole_adds_up_and_is_made_once(cast, tmp_path):
    made = history.make_history(cast, today=TODAY)
    assert made is not None
    assert made.days == plan.DAYS
    assert posting.recompute() == []
    _check_work(made)
    _check_documents(cast, tmp_path)
    before = rows()
    assert history.make_history(cast, today=TODAY) is None
    assert rows() == before


def _check_work(made: history.MadeHistory) -> None:
    assert InferenceJob.objects.filter(status="completed").count() == made.jobs
    assert set(Attempt.objects.values_list("status", flat=True)) == {"valid"}
    assert {*columns_since(plan.ends_at(TODAY))} <= OF_TODAY
    assert not Attempt.objects.filter(leased_at__lt=plan.ends_at(TODAY) - timedelta(days=plan.DAYS)).exists()
    late = "SELECT 1 FROM compute_attempt a JOIN accounts_consentrecord c ON c.id = a.consent_record_id WHERE c.at >= a.leased_at"
    assert execute(late) == []
    agents = {protocol.unpack_meter(bytes(row.record)).agent for row in MeterRecord.objects.all()}
    assert agents == {"made-up history"}
    assert set(Node.objects.values_list("status", flat=True)) == {"retired"}
    days = {TODAY - timedelta(days=n) for n in range(1, plan.DAYS + 1)}
    assert len(days & set(EarningsDay.objects.values_list("day", flat=True))) >= plan.DAYS - 2
    assert set(SpendDay.objects.values_list("day", flat=True)) <= days


def _check_documents(cast: people.People, tmp_path) -> None:
    due = periods.last_due(timezone.now())
    owners = list(cast.owners.values())
    stated = Statement.objects.filter(owner__in=owners, period_end_at=due)
    assert stated.count() == len(owners)
    assert Invoice.objects.filter(organization=cast.organization, period_end_at=due).count() == 1
    assert (
        Dispute.objects.filter(status="open", organization=cast.organization, messages__from_operator=True).count() == 1
    )
    assert Dispute.objects.filter(status="open", owner=owners[0]).count() == 1
    assert {"statement-ready", "invoice-ready"} <= set(Mail.objects.filter(sent_at=None).values_list("kind", flat=True))
    archive, chain = tmp_path / "records.zip", tmp_path / "receipts.jsonld"
    archive.write_bytes(b"".join(package.chunks(stated[0])))
    assert cli.main([str(archive)]) == cli.HOLDS
    chain.write_text(receipts.chain_text(owners[0]))
    call_command("verify_receipt", str(chain))


@pytest.mark.parametrize("today", [date(2026, 3, 1), date(2027, 1, 2), date(2028, 2, 29), date(2026, 12, 31)])
def test_some_of_the_last_month_that_is_due_is_in_it(today):
    """So that there is always a statement and an invoice, also on the first days of a month."""
    due = periods.last_due(datetime.combine(today, datetime.min.time(), UTC))
    first = plan.trial(today, 4).ordered_at
    assert first < due - timedelta(days=1)
    assert sum(shift.ordered_at < due for shift in plan.shifts(today, 4)) >= 2


def test_the_plan_of_a_day_is_always_the_same():
    assert [*plan.shifts(TODAY, 4)] == [*plan.shifts(TODAY, 4)]
    assert all(2 <= len(shift.cars) <= 4 for shift in plan.shifts(TODAY, 4))
