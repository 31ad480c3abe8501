"""Consent texts: publishing a new version, which consents stay in force, and who gets a mail."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.consents import consents, notices
from accounts.models import ConsentCurrent, ConsentNotice, ConsentRecord, Mail
from accounts.tasks import expire_consents, remind_of_consents
from compute.dispatch import dispatch
from compute.jobs.selectors import consent_violations
from compute.nodes import nodes
from core.errors import Conflict, ConsentRequired, InvalidInput
from tests import factories
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db
TEXT = {"title": "Run jobs", "summary": "In short.", "body": "At length.\n\nAnd more.", "validity_days": 365}


def publish(*, version=2, language="en", lead=timedelta(days=14), purpose="run_jobs", **changes):
    values = {**TEXT, "effective_at": timezone.now() + lead if lead else None, **changes}
    return notices.publish(purpose=purpose, version=version, language=language, **values)


def in_effect(version=2, purpose="run_jobs"):
    """Create a version that is in effect already."""
    sha256 = notices.text_sha256("t", "s", f"b{version}")
    return ConsentNotice.objects.create(
        purpose=purpose,
        version=version,
        title="t",
        summary="s",
        body=f"b{version}",
        sha256=sha256,
        effective_at=timezone.now() - timedelta(hours=1),
    )


def current(vehicle, purpose="run_jobs"):
    return ConsentCurrent.objects.get(vehicle=vehicle, purpose=purpose)


# --- publishing -------------------------------------------------------------------------------------------------------


def test_the_same_text_again_changes_nothing():
    effective_at = timezone.now() + timedelta(days=14)
    first, is_new = publish(effective_at=effective_at)
    assert (is_new, first.version, first.sha256) == (
        True,
        2,
        notices.text_sha256("Run jobs", "In short.", TEXT["body"]),
    )
    repeated, is_new = publish(effective_at=effective_at)
    assert (repeated, is_new) == (first, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 1, "language": "en"}, "notice_published"),
        ({"version": 1, "language": "fr"}, "effective_differs"),
        ({"version": 3}, "version_order"),
        ({"version": 0}, "version_order"),
        ({"effective_at": None}, "effective_missing"),
        ({"lead": timedelta(seconds=5)}, "effective_too_soon"),
        ({"lead": timedelta(days=-1)}, "effective_too_soon"),
        ({"purpose": "sell_my_data"}, "purpose_unknown"),
        ({"language": "Deutsch!"}, "language_invalid"),
        ({"title": ""}, "text_invalid"),
        ({"summary": "x" * 301}, "text_invalid"),
        ({"validity_days": 0}, "validity_invalid"),
        ({"validity_days": 36500}, "validity_invalid"),
    ],
    ids=str,
)
def test_what_cannot_be_published(changes, code):
    with pytest.raises((Conflict, InvalidInput)) as refused:
        publish(**changes)
    assert refused.value.code == code
    assert not ConsentNotice.objects.filter(version__gt=1).exists()


def test_a_published_text_never_changes():
    publish()
    with pytest.raises(Conflict, match="published"):
        publish(body="Other words.")
    with pytest.raises(Conflict, match="published"):
        publish(validity_days=3650)


def test_languages_of_a_version_take_effect_together():
    first, _ = publish()
    german, _ = publish(language="de", lead=None)
    assert german.effective_at == first.effective_at
    assert notices.current_notice("run_jobs", "de") == german
    assert notices.current_notices("de")["run_jobs"] == german


# --- which consents stay in force -------------------------------------------------------------------------------------


def test_consent_does_not_stretch_to_a_new_text_but_counts_until_it_takes_effect():
    car = factories.make_car()
    vehicle = car.node.vehicle
    publish()
    assert current(vehicle).is_in_force
    assert car.sync().withheld == ""
    factories.lease_to(car)
    with unguarded():
        ConsentNotice.objects.filter(version=2).update(effective_at=timezone.now())  # time passes
    now = current(vehicle)
    assert (now.state, now.is_given, now.is_in_force) == ("given", True, False)
    assert not ConsentCurrent.objects.in_force("run_jobs").exists()
    answer = car.sync()
    assert answer.withheld == "consent_outdated"
    assert dispatch.dispatch() == 0
    with pytest.raises(ConsentRequired):
        nodes.require_consent(node=car.node)
    expire_consents()
    record = ConsentRecord.objects.filter(vehicle=vehicle).latest("seq")
    assert (record.state, record.method, record.notice.version) == ("expired", "notice_changed", 1)
    assert json.loads(bytes(record.payload))["event"]["entity_id"] == "system"
    assert [row[0] for row in execute("SELECT status_code FROM compute_attempt")] == ["consent_expired"]
    assert consents.expire() == 0
    factories.decide(vehicle, "given")
    assert current(vehicle).notice_version == 2
    assert car.sync().withheld == ""


def test_a_text_may_be_accepted_before_it_takes_effect():
    vehicle = factories.make_vehicle()
    publish()
    renewed = factories.decide(vehicle, "given")
    assert (renewed.state, renewed.notice.version) == ("renewed", 2)
    assert current(vehicle).is_in_force
    assert factories.decide(vehicle, "given") == renewed


@pytest.mark.parametrize(
    ("decision", "state"), [("given", "renewed"), ("refused", "refused"), ("withdrawn", "withdrawn")]
)
def test_deciding_about_an_outdated_consent(decision, state):
    vehicle = factories.make_vehicle()
    in_effect()
    record = factories.decide(vehicle, decision)
    assert record.state == state
    assert record.notice.version == (1 if decision == "withdrawn" else 2)


def test_stop_all_ends_outdated_consents_too():
    vehicle = factories.make_vehicle()
    in_effect()
    assert consents.withdraw_everything(owner=vehicle.owner, actor=None, method="portal") == 1
    assert current(vehicle).state == "withdrawn"


def test_the_sweep_takes_only_the_purpose_whose_text_changed():
    vehicle = factories.make_vehicle()
    factories.decide(vehicle, "given", "availability")
    in_effect(purpose="availability")
    assert consents.expire() == 1
    assert current(vehicle).is_in_force
    assert current(vehicle, "availability").state == "expired"


def test_an_auditor_sees_a_lease_on_an_old_text():
    car = factories.make_car()
    attempt = factories.lease_to(car)
    assert consent_violations() == 0
    with unguarded():
        notice = in_effect()
        ConsentNotice.objects.filter(pk=notice.pk).update(effective_at=attempt.leased_at - timedelta(seconds=1))
    assert consent_violations() == 1


def test_many_nodes_ask_for_the_version_once(django_assert_num_queries):
    """Dispatch calls accounts_notice_version without a column, so PostgreSQL evaluates it once and not for each row."""
    plan = "\n".join(row[0] for row in execute("EXPLAIN " + dispatch.OFFERS, 15, 100))
    assert "InitPlan" in plan
    assert plan.count("accounts_notice_version") <= 1


# --- who gets a mail --------------------------------------------------------------------------------------------------


def test_owners_of_older_consents_get_one_mail_in_their_language():
    german, undecided = factories.make_owner(), factories.make_vehicle(consent="")
    german.locale = "de-DE"
    german.save()
    cars = [factories.make_vehicle(german) for _ in range(2)]
    refused = factories.make_vehicle(consent="refused")
    closed = factories.make_vehicle()
    closed.owner.deactivated_at = timezone.now()
    closed.owner.save()
    assert notices.announce() == 0
    publish()
    publish(language="de", lead=None, title="Aufträge")
    assert [notices.announce(), notices.announce()] == [1, 0]
    mail = Mail.objects.get(kind="notice-changed")
    assert mail.user == german.user
    assert mail.context["title"] == "Aufträge"
    assert mail.context["notice_path"] == "/notices/run_jobs/2?language=de"
    assert {undecided.owner.user, refused.owner.user, closed.owner.user}.isdisjoint({mail.user})
    assert len(cars) == 2


@pytest.fixture
def ends_in(monkeypatch):
    """Return a function that makes a vehicle whose consent to run jobs ends in `days` days."""

    def make(days, **about):
        vehicle = factories.make_vehicle(consent="", **about)
        with monkeypatch.context() as patch:
            patch.setattr(consents, "_database_clock", lambda: timezone.now() - timedelta(days=365 - days))
            factories.decide(vehicle, "given")
        return vehicle

    return make


def test_reminders_go_thirty_and_seven_days_before_once_each(ends_in):
    cars = {days: ends_in(days - 0.5) for days in (60, 31, 30, 8, 7, 1)}
    remind_of_consents()
    remind_of_consents()
    reminded = dict(Mail.objects.filter(kind="consent-reminder").values_list("user__email", "context__days"))
    expected = {30: 30, 8: 30, 7: 7, 1: 7}
    assert reminded == {cars[days].owner.user.email: days_before for days, days_before in expected.items()}


def test_who_was_told_of_thirty_days_is_told_of_seven_and_a_renewed_consent_begins_anew(ends_in):
    vehicle = ends_in(20)
    remind_of_consents()
    with unguarded():
        ConsentCurrent.objects.update(expires_at=timezone.now() + timedelta(days=5))
    remind_of_consents()
    kinds = list(Mail.objects.order_by("id").values_list("context__days", flat=True))
    assert kinds == [30, 7]
    assert Mail.objects.first().context["vehicle"] == str(vehicle.public_id)


def test_a_consent_near_its_end_can_be_renewed_and_not_before(ends_in):
    near, far = ends_in(29), ends_in(31)
    renewed = factories.decide(near, "given")
    assert renewed.state == "renewed"
    assert renewed.expires_at > timezone.now() + timedelta(days=364)
    assert factories.decide(near, "given") == renewed
    assert factories.decide(far, "given").state == "given"


def test_no_reminder_for_what_was_withdrawn_or_is_outdated(ends_in):
    withdrawn, outdated = ends_in(5), ends_in(5)
    factories.decide(withdrawn, "withdrawn")
    in_effect()
    remind_of_consents()
    assert list(Mail.objects.values_list("kind", "user")) == [("notice-changed", outdated.owner.user_id)]


# --- the command ------------------------------------------------------------------------------------------------------

FILE = """---
purpose: region
version: 2
language: en
effective_at: {at}
---
A region

In short.

At length,
on two lines.

And more.
"""


def test_publishing_from_a_file(tmp_path, capsys):
    vehicle = factories.make_vehicle(consent="")
    factories.decide(vehicle, "given", "region")
    at = (timezone.now() + timedelta(days=7)).isoformat()
    path = tmp_path / "notice.md"
    path.write_text(FILE.format(at=at))
    call_command("publish_notice", str(path))
    notice = ConsentNotice.objects.get(purpose="region", version=2)
    assert (notice.title, notice.summary, notice.validity_days) == ("A region", "In short.", 365)
    assert notice.body == "At length, on two lines.\n\nAnd more."
    assert notice.effective_at.isoformat() == at
    assert "1 owners will be informed by mail" in capsys.readouterr().out
    call_command("publish_notice", str(path))
    assert "published already" in capsys.readouterr().out
    path.write_text(FILE.format(at=at).replace("At length", "Something else"))
    with pytest.raises(CommandError, match="notice_published"):
        call_command("publish_notice", str(path))
    call_command("publish_notice", str(path), language="de", effective_at="")
    assert ConsentNotice.objects.filter(purpose="region", version=2).count() == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("---\npurpose: region\nTitle", "does not end"),
        ("---\ncolour: red\n---\nT\n\nS\n\nB", "Not a field"),
        ("---\npurpose: region\nversion: two\n---\nT\n\nS\n\nB", "whole number"),
        ("---\npurpose: region\nversion: 2\neffective_at: soon\n---\nT\n\nS\n\nB", "ISO 8601"),
        ("---\nversion: 2\n---\nT\n\nS\n\nB", "purpose is missing"),
        ("---\npurpose: region\nversion: 2\n---\nT\n\nS", "a title, a summary and the text"),
        ("", "a title, a summary and the text"),
    ],
)
def test_a_file_that_is_none(tmp_path, text, words):
    path = tmp_path / "notice.md"
    path.write_text(text)
    with pytest.raises(CommandError, match=words):
        call_command("publish_notice", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("publish_notice", str(tmp_path / "none.md"))
