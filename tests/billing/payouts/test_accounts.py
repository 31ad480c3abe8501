"""Owners' accounts at Stripe: what Stripe reports, in any order, becomes our state."""

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Mail
from billing.models import ConnectedAccount, Payout, StripeCommand
from billing.payouts import account_states, payouts
from billing.payouts import accounts as connected_accounts
from billing.stripe import gateway, inbox, outbox
from billing.stripe.gateway import PayeeAccount, Requirement
from core.errors import Conflict, InvalidInput
from marketplace.local.fake_stripe.payees import Payees
from tests import factories
from tests.billing.payouts.helpers import become, begin, fund, make_payout
from tests.conformance.fixture import FakeWorld
from tests.database import unguarded

pytestmark = pytest.mark.django_db
OUTCOMES = [
    ("ready", "active"),
    ("more", "onboarding"),
    ("restricted", "restricted"),
    ("pending", "pending"),
    ("soon", "active"),
]


def accounts_at_stripe(stripe: FakeWorld) -> list[dict]:
    return list(stripe.fake.store.newest("v2.core.account"))


def mails_of(owner) -> list[str]:
    return list(
        Mail.objects.filter(user=owner.user, kind__startswith="payout").order_by("id").values_list("kind", flat=True)
    )


def test_an_account_is_made_for_a_recipient_whose_fees_and_losses_are_ours(stripe: FakeWorld):
    owner = factories.make_owner("ann@example.com")
    account = begin(owner, "de")
    (made,) = accounts_at_stripe(stripe)
    assert (account.status, account.stripe_id, account.country) == ("onboarding", made["id"], "DE")
    assert (made["contact_email"], made["display_name"], made["identity"]) == (
        "ann@example.com",
        "Ann",
        {"country": "de", "entity_type": "individual"},
    )
    assert begin(owner, "DE", key="other") == account
    with pytest.raises(Conflict) as caught:
        begin(owner, "US")
    assert caught.value.code == "account_exists"
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(c)::text FROM billing_stripecommand c")
        assert "ann@" not in cursor.fetchone()[0]


@pytest.mark.parametrize(("country", "code"), [("BR", "country_unsupported"), ("", "country_unsupported")])
def test_countries_that_a_transfer_does_not_reach(stripe: FakeWorld, country: str, code: str):
    with pytest.raises(InvalidInput) as caught:
        begin(factories.make_owner(), country)
    assert caught.value.code == code


@pytest.mark.parametrize(("outcome", "status"), OUTCOMES)
def test_what_stripe_makes_of_it_arrives_by_thin_events(stripe: FakeWorld, outcome: str, status: str):
    account = become(stripe, begin(factories.make_owner()), outcome)
    assert account.status == status
    assert all(set(entry) == {"name", "waits_for", "due", "errors"} for entry in account.requirements)
    assert bool(account.deadline_at) == (outcome == "soon")


def test_any_order_of_states_ends_where_stripe_is(stripe: FakeWorld):
    owner = factories.make_owner()
    account = begin(owner)
    payees, dice = Payees(stripe.fake.emitter), random.Random(3)
    for outcome in ("more", "pending", "ready", "restricted", "pending", "soon", "ready"):
        payees.onboard(account.stripe_id, name="A", bank="000123456789", outcome=outcome)
    events = stripe.events("v2.core.account") * 2
    dice.shuffle(events)
    for event in events:
        assert stripe.deliver(event) == 200
        inbox.process_due()
    account.refresh_from_db()
    assert account.status == "active"
    assert mails_of(owner) == ["payout-account-ready"]


def test_an_older_look_changes_nothing(stripe: FakeWorld):
    account = become(stripe, begin(factories.make_owner()), "ready")
    old = gateway.retrieve_account(account.stripe_id)
    become(stripe, account, "restricted")
    connected_accounts.apply(old, asked_at=timezone.now() - timedelta(minutes=1))
    account.refresh_from_db()
    assert account.status == "restricted"


def test_an_owner_hears_of_it_when_it_matters(stripe: FakeWorld):
    owner = factories.make_owner()
    account = begin(owner)
    for outcome in ("pending", "ready", "soon", "restricted", "ready", "more"):
        become(stripe, account, outcome)
    assert mails_of(owner) == [
        "payout-account-ready",
        "payout-account-action",
        "payout-account-restricted",
        "payout-account-ready",
        "payout-account-action",
    ]


@pytest.mark.parametrize(
    ("status", "resolutions", "entries", "closed", "expected"),
    [
        ("", (), (), False, "pending"),
        ("rejected", ("provide_info",), (), False, "restricted"),
        ("unsupported", (), (), False, "restricted"),
        ("active", (), (("user", "past_due"),), False, "active"),
        ("pending", (), (("user", "eventually_due"),), False, "pending"),
        ("pending", (), (("user", "currently_due"),), False, "onboarding"),
        ("restricted", ("contact_stripe",), (("stripe", "past_due"),), False, "restricted"),
        ("active", (), (), True, "closed"),
    ],
)
def test_states(status, resolutions, entries, closed, expected):
    account = PayeeAccount(
        id="a",
        command="",
        country="US",
        closed=closed,
        livemode=False,
        transfers_status=status,
        payouts_status="",
        resolutions=resolutions,
        requirements=tuple(Requirement(name="x", waits_for=who, due=due) for who, due in entries),
    )
    assert account_states.state_of(account).status == expected


@pytest.mark.parametrize("fault", ["lost", "broken", "busy"])
def test_an_answer_that_got_lost_makes_no_second_account(stripe: FakeWorld, fault: str):
    stripe.transport.faults = [fault]
    account = begin(factories.make_owner())
    assert account.status == "created"
    stripe.run()
    account.refresh_from_db()
    assert (account.status, len(accounts_at_stripe(stripe))) == ("onboarding", 1)


def test_an_event_may_come_before_we_know_the_account(stripe: FakeWorld):
    stripe.transport.faults = ["lost"]
    account = begin(factories.make_owner())
    (made,) = accounts_at_stripe(stripe)
    Payees(stripe.fake.emitter).onboard(made["id"], name="A", bank="000123456789", outcome="ready")
    stripe.deliver_all()
    inbox.process_due()
    account.refresh_from_db()
    assert (account.status, account.stripe_id) == ("active", made["id"])
    stripe.run()
    account.refresh_from_db()
    assert account.status == "active"


def test_a_lost_account_is_found_page_by_page(stripe: FakeWorld):
    for _ in range(101):
        Payees(stripe.fake.emitter).open({"identity": {"country": "us"}, "defaults": {"responsibilities": {}}})
    oldest = accounts_at_stripe(stripe)[-1]
    stripe.fake.store.put({**oldest, "metadata": {"command": "account:x:v1"}})
    collectors = {
        "fees_collector": "application",
        "losses_collector": "application",
        "requirements_collector": "stripe",
    }
    for row in accounts_at_stripe(stripe):  # complete them as the specification requires
        stripe.fake.store.put({**row, "defaults": {"currency": "usd", "locales": [], "responsibilities": collectors}})
    found = gateway.find_account(command="account:x:v1")
    assert found is not None
    assert found.id == oldest["id"]
    assert gateway.find_account(command="account:y:v1") is None


def test_a_refusal_is_told_and_another_country_can_be_tried(stripe: FakeWorld):
    owner = factories.make_owner()
    stripe.transport.faults = ["refused"]
    first = begin(owner, "LI")
    assert (first.status, first.status_code) == ("failed", "stripe_refused")
    second = begin(owner, "CH", key="again")
    assert (second.status, connected_accounts.account_of(owner)) == ("onboarding", second)
    with pytest.raises(Conflict):
        outbox.retry(command=first.command, actor=None)


def test_nobody_makes_a_second_account_while_the_first_may_exist(stripe: FakeWorld):
    owner = factories.make_owner()
    account = begin(owner)
    assert account.stripe_id
    other = factories.make_owner()
    stripe.transport.faults = ["lost", *["busy"] * 50]
    begin(other)
    for _ in range(outbox.ATTEMPTS):
        stripe.run()
    dead = StripeCommand.objects.get(connected_account__owner=other)
    assert (dead.status, dead.outcome_unknown) == ("dead", True)
    with pytest.raises(Conflict) as caught:
        begin(other, key="again")
    assert caught.value.code == "account_pending"
    stripe.transport.faults = []
    outbox.retry(command=dead, actor=None)
    stripe.run()
    assert connected_accounts.account_of(other).status == "onboarding"
    assert len(accounts_at_stripe(stripe)) == 2


def test_links_are_fresh_each_time_and_kept_nowhere(stripe: FakeWorld):
    account = begin(factories.make_owner())
    pages = {"return_url": "https://s/return", "refresh_url": "https://s/refresh"}
    urls = {connected_accounts.onboarding_url(account=account, **pages) for _ in range(2)}
    assert len(urls) == 2
    become(stripe, account, "ready")
    connected_accounts.onboarding_url(account=account, **pages)
    assert "/express/" in connected_accounts.dashboard_url(account=account)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(c)::text FROM billing_connectedaccount c")
        assert "/setup/" not in cursor.fetchone()[0]


def test_the_sweep_reads_what_webhooks_lost_and_leaves_the_ready_alone(stripe: FakeWorld):
    waiting, ready = begin(factories.make_owner()), become(stripe, begin(factories.make_owner()), "ready")
    Payees(stripe.fake.emitter).onboard(waiting.stripe_id, name="A", bank="000123456789", outcome="ready")
    assert connected_accounts.refresh_unready() == 1
    waiting.refresh_from_db()
    assert (waiting.status, ready.status) == ("active", "active")
    assert connected_accounts.refresh_unready() == 0


def test_a_ready_one_that_is_about_to_be_paid_is_read_again_once_in_half_a_day(stripe: FakeWorld):
    """Stripe restricted the account, and the event about it was lost."""
    owners = [factories.make_owner() for _ in range(4)]
    soon, later, held, _ = (become(stripe, begin(owner), "ready") for owner in owners)
    fund(stripe)
    payout = make_payout(soon.owner, due_in=timedelta(hours=23))
    make_payout(later.owner, due_in=timedelta(hours=25))
    payouts.hold(payout=make_payout(held.owner), reason="x", actor=None)
    assert connected_accounts.refresh_to_be_paid() == 0  # all were read just now
    ConnectedAccount.objects.update(checked_at=timezone.now() - timedelta(hours=13))
    Payees(stripe.fake.emitter).decide(soon.stripe_id, "restricted")
    assert connected_accounts.refresh_to_be_paid() == 1
    soon.refresh_from_db()
    assert soon.status == "restricted"
    assert Mail.objects.filter(kind="payout-account-restricted").count() == 1
    with unguarded():
        Payout.objects.filter(pk=payout.pk).update(due_at=timezone.now())
    assert payouts.send_due() == 0
    payout.refresh_from_db()
    assert payout.status_code == "account_not_ready"
    assert connected_accounts.refresh_to_be_paid() == 0


def test_closing(stripe: FakeWorld):
    owner = factories.make_owner()
    account = become(stripe, begin(owner), "ready")
    make_payout(owner)
    assert connected_accounts.close(account=account).status == "closed"
    assert connected_accounts.close(account=account).status == "closed"
    assert connected_accounts.account_of(owner) is None
    become(stripe, account, "restricted")
    assert account.status == "closed"
    with pytest.raises(Conflict):
        begin(owner)  # the same key
    assert begin(owner, key="new").stripe_id != account.stripe_id
