"""News by e-mail: sent only with consent, and ended by the unsubscribe link."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from accounts.consents import consents, news, unsubscribes
from accounts.models import ConsentCurrent, ConsentNotice, ConsentRecord, Mail
from tests import factories

pytestmark = pytest.mark.django_db


def decide(owner, decision):
    return consents.decide(owner=owner, purpose="product_email", decision=decision, actor=owner.user, method="test")


@pytest.fixture
def alice():
    owner = factories.make_owner("alice@example.com")
    decide(owner, "given")
    return owner


def send(campaign="spring"):
    return news.send(campaign=campaign, subject="New", body="Something is new.")


def test_news_go_to_those_who_consent_and_to_nobody_else(alice, monkeypatch):
    owners = {
        name: factories.make_owner(f"{name}@example.com")
        for name in ("refused", "withdrawn", "expired", "undecided", "closed")
    }
    decide(owners["refused"], "refused")
    for name in ("withdrawn", "closed"):
        decide(owners[name], "given")
    decide(owners["withdrawn"], "withdrawn")
    owners["closed"].deactivated_at = timezone.now()
    owners["closed"].save()
    with monkeypatch.context() as patch:
        patch.setattr(consents, "_database_clock", lambda: timezone.now() - timedelta(days=400))
        decide(owners["expired"], "given")  # expired, without an "expired" record yet
    given = factories.make_vehicle(owners["undecided"])  # consent to another purpose is not consent to news
    factories.make_organization("acme@example.com")
    assert given.owner == owners["undecided"]
    assert send() == 1
    assert list(Mail.objects.values_list("user__email", "kind")) == [("alice@example.com", "news")]


def test_a_new_text_ends_the_news(alice):
    old = ConsentNotice.objects.get(purpose="product_email", language="en")
    ConsentNotice.objects.create(
        purpose="product_email", version=2, title=old.title, summary="s", body="b", sha256="0" * 64
    )
    assert ConsentCurrent.objects.get(owner=alice).state == "given"
    assert send() == 0


def test_a_campaign_is_sent_once(alice):
    assert [send(), send(), send("autumn")] == [1, 1, 1]
    assert Mail.objects.count() == 2


def test_the_mail_carries_the_link_and_the_button_of_mail_programs(alice, settings):
    settings.SITE_URL = "https://driveway.test"
    send()
    context = Mail.objects.get().context
    link = context["unsubscribe_url"]
    assert link.startswith("https://driveway.test/unsubscribe/")
    assert context["headers"] == {
        "List-Unsubscribe": f"<{link}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert alice.user.email not in link


def test_withdrawing_drops_what_waits(alice):
    send()
    decide(alice, "withdrawn")
    mail = Mail.objects.get()
    assert mail.dropped_code == "consent_withdrawn"
    assert mail.dropped_at


@pytest.mark.parametrize("kind", ["news", "consent-reminder", "notice-changed", "consent-withdrawn-in-car"])
def test_the_texts_of_mails_name_what_they_are_about(alice, kind):
    context = {
        "owner": alice,
        "site_url": "https://driveway.test",
        "subject": "New & shiny",
        "body": "Text.",
        "title": "Run jobs",
        "ends_on": "1 May 2027",
        "days": 7,
        "effective_on": "1 May 2027",
        "version": 2,
        "at": "now",
        "receipt_id": "7b0e",
        "notice_path": "/notices/run_jobs/2?language=en",
        "unsubscribe_url": "https://driveway.test/unsubscribe/x",
    }
    subject = render_to_string(f"emails/{kind}-subject.txt", context).strip()
    body = render_to_string(f"emails/{kind}-body.txt", context)
    assert subject
    assert "\n" not in subject
    assert "Alice" in body
    assert "https://driveway.test/" in body
    assert "&amp;" not in subject + body


# --- the link ---------------------------------------------------------------------------------------------------------


def link_of(owner):
    return f"/unsubscribe/{unsubscribes.token(owner)}"


def test_looking_at_the_link_decides_nothing_and_the_button_does(alice):
    client = Client(enforce_csrf_checks=True)
    page = client.get(link_of(alice))
    assert page.status_code == 200
    assert "<form" in page.content.decode()
    assert ConsentRecord.objects.count() == 1
    done = client.post(link_of(alice))
    assert done.status_code == 200
    record = ConsentRecord.objects.latest("seq")
    assert (record.state, record.method, record.actor) == ("withdrawn", "unsubscribe", alice.user)


def test_a_mail_programs_one_click_needs_no_cookie_and_no_form(alice):
    """RFC 8058: one POST with this body, no redirect."""
    client = Client(enforce_csrf_checks=True)
    answer = client.post(link_of(alice), "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert not client.cookies
    assert client.post(link_of(alice)).status_code == 200  # a repeated POST
    assert ConsentCurrent.objects.get(owner=alice).state == "withdrawn"
    assert ConsentRecord.objects.count() == 2


def test_a_link_without_consent_behind_it_does_no_harm():
    owner = factories.make_owner()
    assert Client().post(link_of(owner)).status_code == 200
    assert not ConsentRecord.objects.exists()


@pytest.mark.parametrize("change", ["x", ":x", ""])
def test_a_forged_link_is_nothing(alice, change):
    token = unsubscribes.token(alice)
    assert Client().post(f"/unsubscribe/{token[:-1]}{change or 'AA'}").status_code == 404
    assert Client().get("/unsubscribe/x").status_code == 404
    assert ConsentCurrent.objects.get(owner=alice).state == "given"


def test_an_erased_owners_link_is_nothing(alice):
    link = link_of(alice)
    alice.erased_at = timezone.now()
    alice.save()
    assert Client().get(link).status_code == 404


# --- the command ------------------------------------------------------------------------------------------------------


def test_sending_from_a_file(alice, tmp_path, capsys):
    path = tmp_path / "spring.txt"
    path.write_text("What is new\n\nA page about consent.\n\nYours, Driveway\n")
    call_command("send_news", str(path), dry_run=True)
    assert not Mail.objects.exists()
    call_command("send_news", str(path))
    call_command("send_news", str(path))
    mail = Mail.objects.get()
    assert (mail.context["subject"], mail.dedupe_key) == ("What is new", f"news:spring:{alice.pk}")
    assert mail.context["body"] == "A page about consent.\n\nYours, Driveway"
    assert "the mail goes to 1 owners" in capsys.readouterr().out
    path.write_text("Only a subject")
    with pytest.raises(CommandError, match="subject"):
        call_command("send_news", str(path))
