"""The outbox of mails: sent once, if wanted, in the recipient's locale, and not lost if the mail server is down."""

import ast
import re
from datetime import timedelta
from pathlib import Path
from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail as post
from django.core.mail.backends.locmem import EmailBackend
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.utils import timezone

from accounts import tasks
from accounts.consents import consents
from accounts.mails import outbox
from accounts.mails.kinds import KINDS, SETTABLE
from accounts.models import Mail, Owner, OwnerPolicy, User
from tests import factories
from tests.threads import in_threads

pytestmark = pytest.mark.django_db
REPOSITORY = Path(__file__).resolve().parents[3]
# Kinds for which the fixture `texts` replaces the real templates.
PLAIN = {
    "consent-reminder",
    "notice-changed",
    "consent-withdrawn-in-car",
    "vehicle-paired",
    "vehicle-claim",
    "vehicle-released",
    "account-closed",
    "export-ready",
    "erasure-scheduled",
    "erasure-done",
    "news",
}


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def texts(settings, tmp_path):
    """Use short templates instead of the real ones."""
    folder = tmp_path / "emails"
    folder.mkdir()
    for kind in PLAIN:
        (folder / f"{kind}-subject.txt").write_text("About {{ word }}\n\n and more\n")
        (folder / f"{kind}-body.txt").write_text("{{ owner.name }}: {{ word }} {{ at }} {{ ends_on }} {{ site_url }}")
    (folder / "news-body.html").write_text(
        "{% extends 'emails/base.html' %}{% block body %}<p>{{ word }}</p>{% endblock %}"
    )
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]


def queue(owner, kind="export-ready", *, key="", **fields):
    outbox.queue(user=owner.user, kind=kind, dedupe_key=key or f"test:{factories.number()}", **fields)
    return Mail.objects.latest("id")


def outcome(row):
    row.refresh_from_db()
    return "sent" if row.sent_at else row.dropped_code or "waiting"


def test_a_mail_is_sent_once_in_the_owners_locale(alice, texts, settings):
    settings.SITE_URL = "https://driveway.example"
    Owner.objects.update(locale="de-DE", time_zone="Europe/Berlin", name="A & B <c>")
    for _ in range(2):
        row = queue(
            alice, key="once", context={"word": "R&D", "at": "2026-11-24T06:02:00+00:00", "ends_on": "2026-12-01"}
        )
    assert (outbox.send_due(), outbox.send_due()) == (1, 0)
    assert outcome(row) == "sent"
    (message,) = post.outbox
    assert message.to == ["alice@example.com"]
    assert message.subject == "About R&D and more"
    assert "A & B <c>: R&D 24.11.2026, 07:02 MEZ 01.12.2026 https://driveway.example" in message.body
    assert "https://driveway.example/settings/" not in message.body
    assert message.alternatives == []


def test_nobody_elses_words_are_written_as_html_and_headers_are_kept(alice, texts):
    consents.decide(purpose="product_email", decision="given", owner=alice, actor=alice.user, method="portal")
    headers = {"List-Unsubscribe": "<https://driveway.example/unsubscribe/x>"}
    queue(alice, "news", context={"word": "<b>", "headers": headers})
    outbox.send_due()
    (message,) = post.outbox
    assert message.extra_headers == headers
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    assert "<p>&lt;b&gt;</p>" in html


def test_two_workers_never_take_the_same_mail(alice, texts):
    for _ in range(3):
        queue(alice)
    assert len(outbox._claim(2)) == 2
    assert len(outbox._claim(5)) == 1
    assert outbox._claim(5) == []


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_send_each_mail_once(texts):
    alice = factories.make_owner("alice@example.com")
    for _ in range(12):
        queue(alice)
    assert sum(in_threads(*[lambda: outbox.send_due(limit=4)] * 3)) == 12
    assert len(post.outbox) == 12
    assert outbox.send_due() == 0


def test_a_mail_claimed_by_a_worker_that_died_goes_out_once_more(alice, texts):
    row = queue(alice)
    outbox._claim(1)
    assert outbox.send_due() == 0
    Mail.objects.update(due_at=timezone.now())
    assert outbox.send_due() == 1
    assert outcome(row) == "sent"


def test_what_cannot_be_sent_is_tried_ever_later_and_dropped_at_last(alice, texts, monkeypatch):
    def fail(*_):
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailBackend, "send_messages", fail)
    row, waits = queue(alice), []
    for _ in range(outbox.ATTEMPTS):
        Mail.objects.update(due_at=timezone.now())
        assert outbox.send_due() == 1
        row.refresh_from_db()
        waits.append(round((row.due_at - timezone.now()).total_seconds() / 60))
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert max(waits) == 256
    assert (outcome(row), row.attempts) == ("too_many_attempts", outbox.ATTEMPTS)


def test_a_mail_that_kills_its_workers_is_dropped(alice, texts):
    row = queue(alice)
    Mail.objects.update(attempts=outbox.ATTEMPTS)
    outbox.send_due()
    assert outcome(row) == "too_many_attempts"
    assert post.outbox == []


@pytest.mark.parametrize(("status", "expected"), [(550, "address_refused"), (450, "waiting")])
def test_an_address_that_is_refused_for_good_is_not_tried_again(alice, texts, monkeypatch, status, expected):
    def refuse(*_):
        raise SMTPRecipientsRefused({"alice@example.com": (status, b"no")})

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    row = queue(alice)
    outbox.send_due()
    assert outcome(row) == expected


def test_one_bad_mail_does_not_stop_the_others(alice, texts):
    bad = queue(alice, context={"headers": {"X-Bad": "a\nBcc: everybody@example.com"}})
    good = queue(alice)
    outbox.send_due()
    assert (outcome(bad), outcome(good)) == ("waiting", "sent")


@pytest.mark.parametrize(("kind", "code"), [("no-such-kind", "unknown_kind"), ("../../settings", "unknown_kind")])
def test_an_unknown_kind_is_dropped(alice, kind, code):
    row = queue(alice, kind)
    outbox.send_due()
    assert outcome(row) == code


def test_a_kind_without_texts_is_dropped(alice, monkeypatch):
    monkeypatch.setitem(KINDS, "textless", KINDS["export-ready"])
    row = queue(alice, "textless")
    outbox.send_due()
    assert outcome(row) == "no_template"


def test_who_gets_what(alice, texts):
    vehicle = {"vehicle": str(factories.make_vehicle(alice).public_id), "heard_at": "2026-11-24T06:02:00+00:00"}

    def sent(kind):
        row = queue(alice, kind, context=vehicle)
        outbox.send_due()
        return outcome(row)

    assert (sent("export-ready"), sent("vehicle-away"), sent("news")) == ("sent", "sent", "no_consent")
    assert "Test" not in post.outbox[-1].subject
    Owner.objects.update(mails_off=["vehicle-away", "export-ready"])
    assert (sent("export-ready"), sent("vehicle-away")) == ("sent", "not_wanted")
    Owner.objects.update(mails_off=[], deactivated_at=timezone.now())
    assert (sent("export-ready"), sent("vehicle-away")) == ("sent", "account_closed")
    Owner.objects.update(deactivated_at=None)
    User.objects.update(is_active=False)
    assert (sent("export-ready"), sent("vehicle-away")) == ("sent", "account_closed")
    Owner.objects.update(erased_at=timezone.now())
    assert sent("export-ready") == "erased"


def test_news_stops_with_its_consent_even_when_it_waits_already(alice, texts):
    for decision in ("given", "withdrawn"):
        consents.decide(purpose="product_email", decision=decision, owner=alice, actor=alice.user, method="portal")
        row = queue(alice, "news") if decision == "given" else row  # noqa: F821
    outbox.send_due()
    assert outcome(row) == "consent_withdrawn"


def test_a_mail_for_later_waits(alice, texts):
    row = queue(alice, due_at=timezone.now() + timedelta(hours=1))
    assert outbox.send_due() == 0
    assert outcome(row) == "waiting"


def test_the_task_empties_the_outbox_and_may_run_twice(alice, texts, monkeypatch):
    monkeypatch.setattr(outbox, "BATCH", 2)
    for _ in range(5):
        queue(alice)
    for _ in range(2):
        tasks.send_mails()
    assert len(post.outbox) == 5


def test_a_mail_that_another_worker_took_over_is_not_sent_twice(alice, texts):
    queue(alice)
    (claimed,) = outbox._claim(1)
    Mail.objects.update(due_at=timezone.now())  # the lease of our claim has ended
    assert outbox.send_due() == 1
    outbox._settle(claimed, post.get_connection())
    assert len(post.outbox) == 1


def test_a_staff_member_without_an_owner_gets_mail_too(texts):
    user = factories.make_user("opal@example.com")
    outbox.queue(user=user, kind="export-ready", dedupe_key="x", context={"at": "2026-11-24T06:02:00+00:00"})
    outbox.send_due()
    assert "Nov 24, 2026" in post.outbox[0].body


# --- rules that changed -----------------------------------------------------------------------------------------------


def change(vehicle, **fields):
    policy = OwnerPolicy.objects.get(vehicle=vehicle)
    OwnerPolicy.objects.filter(pk=policy.pk).update(version=policy.version + 1, **fields)


def test_changed_rules_are_told_once_after_a_while_whoever_changed_them(alice, stopped_clock):
    vehicle = factories.make_vehicle(alice)
    change(vehicle, heat_stop_c=50)
    change(vehicle, charge_resume_percent=90)
    (row,) = Mail.objects.filter(kind="rules-changed")
    assert stopped_clock < row.due_at <= stopped_clock + timedelta(minutes=10)
    Mail.objects.update(due_at=timezone.now())
    outbox.send_due()
    (message,) = post.outbox
    assert message.subject == f"The rules of {vehicle.label} were changed"
    assert f"/vehicles/{vehicle.public_id}/rules" in message.body
    assert re.search(r"on \w{3} \d+, \d{4}, \d+:\d\d\s[AP]M UTC\.", message.body)
    assert "/settings/" in message.body


def test_a_pause_and_a_version_alone_change_no_rule(alice):
    vehicle = factories.make_vehicle(alice)
    change(vehicle)
    change(vehicle, pause="stop", paused_until_at=timezone.now())
    assert not Mail.objects.exists()


# --- the registry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_its_texts(kind):
    def exists(name):
        try:
            return bool(get_template(f"emails/{name}"))
        except TemplateDoesNotExist:
            return False

    missing = [name for name in (f"{kind}-subject.txt", f"{kind}-body.txt") if not exists(name)]
    assert not missing


def test_every_text_belongs_to_a_kind():
    names = {path.name for path in (REPOSITORY / "templates/emails").iterdir()} - {"base.txt", "base.html"}
    kinds = {re.sub(r"-(subject\.txt|body\.(txt|html))$", "", name) for name in names}
    assert kinds <= set(KINDS)


def test_every_kind_that_is_queued_is_registered():
    """Finds kinds that stand as a literal in the call. Kinds in constants or SQL are tested where they are used."""
    queued = set()
    for folder in ("accounts", "compute", "billing", "marketplace"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "outbox.queue":
                    queued |= {
                        k.value.value for k in node.keywords if k.arg == "kind" and isinstance(k.value, ast.Constant)
                    }
    assert len(queued) > 10, "the calls are found"
    assert queued <= set(KINDS)


def test_what_can_be_switched_off_is_optional():
    assert all(KINDS[name].optional for name in SETTABLE)
    assert "news" not in SETTABLE
