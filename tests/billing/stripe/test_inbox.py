"""The webhook and the inbox: events that are forged, stale, repeated, out of order or unknown."""

import random

import pytest
from django.db import connection
from django.test import Client

from billing.ledger import posting
from billing.models import StripeEvent
from billing.stripe import inbox
from billing.views.webhook import BODY_MAX_BYTES
from billing.wallet import wallets
from tests.billing.helpers import make_organization
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld, thin_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(stripe: FakeWorld):
    organization = make_organization()
    stripe.pay(start(organization))
    return organization


def test_an_event_is_stored_answered_and_acted_on_later(
    stripe: FakeWorld, paid, sent_tasks, django_capture_on_commit_callbacks
):
    event = stripe.events("checkout.session.completed")[0]
    with django_capture_on_commit_callbacks(execute=True):
        assert stripe.deliver(event) == 200
    row = StripeEvent.objects.get()
    assert (row.status, row.source, row.object_id) == ("received", "webhook", event["data"]["object"]["id"])
    assert sent_tasks == ["billing.process_stripe_events"]
    assert wallets.summary(paid).balance_micro == 0
    inbox.process_due()
    row.refresh_from_db()
    assert row.status == "processed"
    assert wallets.summary(paid).balance_micro == 50_000_000


def test_shuffled_and_tripled_is_the_same(stripe: FakeWorld, paid):
    events = stripe.events() * 3
    random.Random(7).shuffle(events)
    for number, event in enumerate(events):
        assert stripe.deliver(event) == 200
        if number % 4 == 0:
            inbox.process_due()
    inbox.process_due()
    assert StripeEvent.objects.count() == len(events) // 3
    assert wallets.summary(paid).balance_micro == 50_000_000
    assert posting.recompute() == []


def test_forged_and_stale_events_are_refused_and_leave_nothing(stripe: FakeWorld, paid):
    event = stripe.events("checkout.session.completed")[0]
    assert stripe.deliver(event, secret="whsec_other") == 400
    assert stripe.deliver(event, age_s=301) == 400
    assert stripe.deliver(event, age_s=299) == 200
    assert stripe.deliver({"object": "x"}, body=b'{"object": "balance"}') == 400
    assert stripe.deliver({"object": "x"}, body=b"[]") == 400
    assert stripe.deliver({"object": "x"}, body=b"\xff") == 400
    assert (
        Client().post("/stripe/webhook", b"{}", content_type="application/json").json()["error"]["code"]
        == "webhook_invalid"
    )
    assert StripeEvent.objects.count() == 1


def test_a_secret_being_rolled_is_accepted(stripe: FakeWorld, paid, settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_test"]
    assert stripe.deliver(stripe.events()[0]) == 200


def test_a_body_without_end_is_refused(stripe: FakeWorld):
    assert stripe.deliver({"object": "x"}, body=b" " * (BODY_MAX_BYTES + 1)) == 413


def test_thin_events_are_told_apart_and_kept(stripe: FakeWorld):
    assert stripe.deliver({"object": "v2"}, body=thin_event()) == 200
    inbox.process_due()
    row = StripeEvent.objects.get()
    assert (row.is_thin, row.status, row.status_code, row.object_id) == (True, "skipped", "not_ours", "acct_1")


def test_unknown_types_and_the_other_mode_are_kept_and_skipped(stripe: FakeWorld, paid):
    (created,) = stripe.events("customer.created")
    stripe.deliver(created)
    stripe.deliver({**stripe.events("checkout.session.completed")[0], "livemode": True})
    inbox.process_due()
    codes = dict(StripeEvent.objects.values_list("type", "status_code"))
    assert codes == {"customer.created": "unknown_type", "checkout.session.completed": "other_mode"}
    assert wallets.summary(paid).balance_micro == 0


def test_somebody_elses_session_is_skipped(stripe: FakeWorld, paid):
    (session,) = stripe.sessions()
    stripe.fake.store.put({**session, "metadata": {}})
    stripe.deliver(stripe.events("checkout.session.completed")[0])
    inbox.process_due()
    assert StripeEvent.objects.get().status_code == "not_ours"


def test_stripe_away_delays_and_a_mismatch_is_for_operators(stripe: FakeWorld, paid):
    stripe.deliver(stripe.events("checkout.session.completed")[0])
    stripe.transport.faults = ["broken"]
    inbox.process_due()
    row = StripeEvent.objects.get()
    assert (row.status, row.attempts) == ("received", 1)
    (session,) = stripe.sessions()
    stripe.fake.store.put({**session, "amount_total": 1})
    stripe.run()
    row.refresh_from_db()
    assert (row.status, row.status_code) == ("dead", "session_mismatch")
    stripe.fake.store.put(session)
    inbox.retry(event=row, actor=None)
    inbox.process_due()
    assert wallets.summary(paid).balance_micro == 50_000_000


def test_no_word_of_the_payer_is_kept(stripe: FakeWorld, paid):
    (session,) = stripe.sessions()
    event = stripe.events("checkout.session.completed")[0]
    stripe.deliver({**event, "data": {"object": {**session_public(session), "customer_email": "payer@example.com"}}})
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(e)::text FROM billing_stripeevent e")
        assert "payer" not in cursor.fetchone()[0]


def session_public(session):
    return {name: value for name, value in session.items() if not name.startswith("_")}
