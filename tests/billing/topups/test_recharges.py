"""Automatic recharges: when one begins, its outcome, and that a crash never leads to two charges or to none."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.mails import outbox as mails
from accounts.models import Mail, Membership, Organization
from billing.ledger import posting
from billing.models import AutoRecharge, CardTopUp, LedgerTransfer, StripeCommand, TopUp
from billing.periods import month_of
from billing.stripe import outbox, sweeps
from billing.topups import recharges, saved_cards
from billing.topups.recharges import recharge_low
from billing.wallet import wallets
from core.errors import DomainError
from tests import factories
from tests.billing.helpers import sqlstate_of, top_up
from tests.billing.topups.helpers import recharge, recharging, save_card
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
PAYS, ASKS, EMPTY, REFUSED, BANK = (
    "4242424242424242",
    "4000002760003184",
    "4000008260003178",
    "4000000000000341",
    "000123456789",
)


def charges(stripe: FakeWorld) -> list[dict]:
    """Return the payments at Stripe that were not made on a page."""
    return [intent for intent in stripe.fake.store.newest("payment_intent") if not intent["_session"]]


def available(auto_recharge: AutoRecharge) -> int:
    return wallets.summary(auto_recharge.organization).available_micro


def heard(stripe: FakeWorld) -> None:
    stripe.run()
    stripe.deliver_all()
    stripe.run()


def spend(organization: Organization, amount_micro: int) -> None:
    held = [posting.wallet(organization), posting.hold(organization)]
    posting.post(
        [
            posting.Posting(
                kind="hold",
                debit=held[0],
                credit=held[1],
                amount_micro=amount_micro,
                idempotency_key=f"test:{factories.number()}",
            )
        ]
    )


# --- when one begins --------------------------------------------------------------------------------------------------


def test_a_low_wallet_is_charged_once_and_has_the_money_at_once(stripe: FakeWorld):
    auto_recharge = recharging(stripe)
    assert (recharge_low(), recharge_low()) == (1, 0)
    stripe.run()
    row = CardTopUp.objects.get()
    assert (row.origin, row.status, row.saved_card) == ("auto", "paid", auto_recharge.card)
    assert available(auto_recharge) == 50_000_000
    assert TopUp.objects.get().idempotency_key == f"card:{row.public_id}"
    heard(stripe)
    sweeps.sweep_events()
    sweeps.sweep_balance()
    heard(stripe)
    assert (available(auto_recharge), len(charges(stripe)), recharge_low()) == (50_000_000, 1, 0)
    assert LedgerTransfer.objects.filter(kind="fee").count() == 1
    assert posting.recompute() == []
    assert [event.to_status for event in row.events.all()] == ["created", "paid"]


@pytest.mark.parametrize(
    ("why", "begins"),
    [
        ("paused", 0),
        ("off", 0),
        ("suspended", 0),
        ("nobody left", 0),
        ("card removed", 0),
        ("wallet", 0),
        ("promo", 0),
        ("one cent less", 1),
    ],
)
def test_when_none_begins(stripe: FakeWorld, why: str, begins: int):
    auto_recharge = recharging(stripe)
    organization = auto_recharge.organization
    if why == "paused":
        AutoRecharge.objects.update(paused_code="x")
    elif why == "off":
        AutoRecharge.objects.update(is_on=False)
    elif why == "suspended":
        Organization.objects.update(status="suspended")
    elif why == "nobody left":
        Membership.objects.all().delete()
    elif why == "card removed":
        saved_cards.remove(card=auto_recharge.card, actor=None)
    elif why == "wallet":
        top_up(organization, auto_recharge.threshold_micro)
    elif why == "one cent less":
        top_up(organization, auto_recharge.threshold_micro - 1)
    else:  # as much promotional credit as the threshold
        promo = posting.account(
            posting.AccountName(kind="promo_wallet", currency="USD", organization_id=organization.pk)
        )
        expense = posting.platform("promotion", "USD")
        posting.post(
            [
                posting.Posting(
                    kind="promo",
                    debit=expense,
                    credit=promo,
                    amount_micro=auto_recharge.threshold_micro,
                    idempotency_key="promo",
                )
            ]
        )
    assert recharge_low() == begins


def test_the_cap_of_the_month_and_the_next_month(stripe: FakeWorld, monkeypatch, stopped_clock):
    auto_recharge = recharging(stripe, monthly_cap_micro=120_000_000)
    for expected in (1, 1, 0):
        assert recharge_low() == expected
        stripe.run()
        if expected:
            spend(auto_recharge.organization, 50_000_000)
    month = recharges.month(auto_recharge)
    assert (month.charged_micro, month.left_micro) == (100_000_000, 20_000_000)
    later = month_of(stopped_clock) + timedelta(days=40)
    monkeypatch.setattr("billing.topups.recharges.timezone.now", lambda: later)
    assert recharge_low() == 1


def test_many_customers_are_one_round(stripe: FakeWorld, django_assert_num_queries):
    first = recharging(stripe)
    for _ in range(4):
        recharging(stripe)
    with django_assert_num_queries(4):  # two statements, and the savepoint around them
        assert recharge_low() == 5
    assert CardTopUp.objects.filter(organization=first.organization).count() == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"amount_micro": 1_000_000}, "amount_too_small"),
        ({"amount_micro": 3_000_000_000, "monthly_cap_micro": 3_000_000_000}, "amount_too_large"),
        ({"amount_micro": 50_000_001}, "amount_not_whole"),
        ({"threshold_micro": -1}, "threshold_invalid"),
        ({"threshold_micro": 10**12}, "threshold_too_large"),
        ({"monthly_cap_micro": 49_990_000}, "cap_below_amount"),
        ({"monthly_cap_micro": 10**12}, "cap_too_large"),
    ],
)
def test_settings_that_are_refused(stripe: FakeWorld, values, code: str):
    organization = factories.make_organization()
    card = save_card(stripe, organization)
    with pytest.raises(DomainError) as caught:
        recharge(organization, card, **values)
    assert (caught.value.code, AutoRecharge.objects.count()) == (code, 0)


def test_cards_that_are_refused(stripe: FakeWorld):
    organization = factories.make_organization()
    card, strange = save_card(stripe, organization), save_card(stripe, factories.make_organization())
    codes = []
    type(card).objects.filter(pk=card.pk).update(exp_year=2020)
    for chosen in (card, strange):
        with pytest.raises(DomainError) as caught:
            recharge(organization, chosen)
        codes.append(caught.value.code)
    assert codes == ["card_expired", "card_not_saved"]
    assert recharge(organization, card, is_on=False).is_on is False


# --- what becomes of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [(ASKS, "authentication_required"), (EMPTY, "insufficient_funds"), (REFUSED, "generic_decline")],
)
def test_a_bank_that_refuses_pauses_and_tells_once(stripe: FakeWorld, number: str, code: str):
    auto_recharge = recharging(stripe, number)
    assert recharge_low() == 1
    for _ in range(2):
        heard(stripe)
        sweeps.sweep_events()
    row = CardTopUp.objects.get()
    assert (row.status, row.status_code, row.payment_intent_id) == ("failed", code, charges(stripe)[0]["id"])
    assert StripeCommand.objects.get(kind="charge_saved_card").status == "done"
    auto_recharge.refresh_from_db()
    assert (auto_recharge.is_on, auto_recharge.paused_code, recharge_low()) == (True, code, 0)
    mail = Mail.objects.get()
    assert (mail.kind, mail.context["code"]) == ("recharge-paused", code)
    mails.send_due()
    mail.refresh_from_db()
    assert mail.sent_at


def test_the_mail_leads_to_a_page_where_the_bank_can_ask(stripe: FakeWorld, mailoutbox):
    recharging(stripe, ASKS)
    recharge_low()
    stripe.run()
    mails.send_due()
    (mail,) = mailoutbox
    assert "/wallet/?amount=50" in mail.body
    assert "paused" in mail.subject
    assert "$50.00" in mail.body


def test_looking_at_it_sets_it_going_again(stripe: FakeWorld):
    auto_recharge = recharging(stripe, EMPTY)
    recharge_low()
    stripe.run()
    assert recharge(auto_recharge.organization, auto_recharge.card).paused_code == "insufficient_funds"
    other = save_card(stripe, auto_recharge.organization)
    assert recharge(auto_recharge.organization, other).paused_code == ""
    assert recharge_low() == 1
    stripe.run()
    assert available(auto_recharge) == 50_000_000


@pytest.mark.parametrize(("paid", "status", "micro"), [(True, "paid", 50_000_000), (False, "failed", 0)])
def test_a_bank_account_takes_its_time(stripe: FakeWorld, paid: bool, status: str, micro: int):
    auto_recharge = recharging(stripe, BANK)
    recharge_low()
    heard(stripe)
    row = CardTopUp.objects.get()
    assert (row.status, recharge_low()) == ("processing", 0)
    stripe.fake.payments.settle_payment(charges(stripe)[0]["id"], paid=paid)
    heard(stripe)
    row.refresh_from_db()
    assert (row.status, available(auto_recharge)) == (status, micro)
    assert AutoRecharge.objects.get().paused_code == ("" if paid else "debit_not_authorized")
    assert posting.recompute() == []


def test_a_stranger_at_stripe_credits_nothing(stripe: FakeWorld):
    auto_recharge = recharging(stripe, BANK)
    recharge_low()
    stripe.run()
    (intent,) = charges(stripe)
    stripe.fake.store.put({**intent, "amount": 1})
    stripe.fake.payments.settle_payment(intent["id"], paid=True)
    heard(stripe)
    assert available(auto_recharge) == 0
    assert stripe.events("payment_intent.succeeded")


# --- crashes ----------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The death of a process. A BaseException, so that no handler of ours catches it."""


def crash() -> None:
    raise Crash


@pytest.mark.parametrize("number", [PAYS, EMPTY])
@pytest.mark.parametrize("fault", ["lost", "broken", "busy"])
def test_an_attempt_that_went_wrong_charges_once(stripe: FakeWorld, fault: str, number: str):
    auto_recharge = recharging(stripe, number)
    recharge_low()
    stripe.transport.faults = [fault]
    stripe.run()
    assert StripeCommand.objects.get(kind="charge_saved_card").outcome_unknown == (fault != "busy")
    assert recharge_low() == 0
    stripe.transport.requests.clear()
    stripe.run()
    asked = [request[0] for request in stripe.transport.requests]
    assert asked == {"lost": ["GET"], "broken": ["GET", "POST"], "busy": ["POST"]}[fault]
    assert len(charges(stripe)) == 1
    assert CardTopUp.objects.get().status == ("paid" if number == PAYS else "failed")
    assert available(auto_recharge) == (50_000_000 if number == PAYS else 0)


@pytest.mark.parametrize("point", ["before", "after", "settle"])
def test_a_process_that_dies_around_the_call_charges_once(stripe: FakeWorld, point: str, monkeypatch):
    auto_recharge = recharging(stripe)
    recharge_low()
    with monkeypatch.context() as patch:
        if point == "settle":
            patch.setattr("billing.stripe.outbox._settle", lambda command, sent: crash())
        else:
            patch.setattr(stripe.transport, point, crash)
        with pytest.raises(Crash):
            stripe.run()
    assert (outbox.send_due(), recharge_low()) == (0, 0)  # the lease has not ended, and the recharge is in flight
    heard(stripe)
    assert (len(charges(stripe)), available(auto_recharge)) == (1, 50_000_000)


def test_the_event_may_come_before_our_own_answer(stripe: FakeWorld):
    auto_recharge = recharging(stripe)
    recharge_low()
    stripe.transport.faults = ["lost"]
    stripe.run()
    stripe.deliver_all()
    stripe.run()
    assert (CardTopUp.objects.get().status, available(auto_recharge)) == ("paid", 50_000_000)
    assert StripeCommand.objects.get(kind="charge_saved_card").status == "done"
    assert posting.recompute() == []


def test_money_that_came_after_we_gave_up_is_credited(stripe: FakeWorld):
    """A charge that was sent, not answered and not found is given up and paused; the sweep finds its payment later."""
    auto_recharge = recharging(stripe)
    recharge_low()
    stripe.transport.faults = ["lost", *["broken"] * 30]
    for _ in range(outbox.ATTEMPTS):
        stripe.run()
    row = CardTopUp.objects.get()
    assert (row.status, AutoRecharge.objects.get().paused_code) == ("failed", "stripe_unknown_outcome")
    assert (
        recharges.month(auto_recharge, at=row.created_at).charged_micro == 50_000_000
    )  # it may have been charged, so it counts
    stripe.transport.faults = []
    sweeps.sweep_events()
    heard(stripe)
    row.refresh_from_db()
    assert (row.status, available(auto_recharge), len(charges(stripe))) == ("paid", 50_000_000, 1)


def test_stripe_away_for_hours_pauses_nothing_and_a_later_round_charges_once(stripe: FakeWorld):
    auto_recharge = recharging(stripe)
    recharge_low()
    stripe.transport.faults = ["busy"] * outbox.ATTEMPTS
    for _ in range(outbox.ATTEMPTS):
        stripe.run()
    assert (CardTopUp.objects.get().status, AutoRecharge.objects.get().paused_code) == ("failed", "")
    assert recharge_low() == 1
    # An operator retries the old command, which must not charge any more.
    outbox.retry(command=StripeCommand.objects.get(kind="charge_saved_card", status="dead"), actor=None)
    heard(stripe)
    assert (len(charges(stripe)), available(auto_recharge)) == (1, 50_000_000)
    assert StripeCommand.objects.get(status="dead").status_code == "recharge_over"


@pytest.mark.parametrize("why", ["off", "suspended", "card removed"])
def test_what_is_not_wanted_any_more_is_not_charged(stripe: FakeWorld, why: str):
    auto_recharge = recharging(stripe)
    recharge_low()
    if why == "off":
        recharge(auto_recharge.organization, auto_recharge.card, is_on=False)
    elif why == "suspended":
        Organization.objects.update(status="suspended")
    else:
        saved_cards.remove(card=auto_recharge.card, actor=None)
    heard(stripe)
    assert (charges(stripe), CardTopUp.objects.get().status) == ([], "failed")
    assert Mail.objects.count() == (1 if why == "card removed" else 0)


@pytest.mark.parametrize(
    ("change", "code", "paused"),
    [
        ({"monthly_cap_micro": 99_000_000}, "recharge_over_cap", ""),
        ({"monthly_cap_micro": 100_000_000}, "", ""),
        ({"paused_code": "card_declined", "paused_at": timezone.now()}, "recharge_paused", "card_declined"),
    ],
)
@pytest.mark.usefixtures("stopped_clock")
def test_a_cap_that_was_lowered_meanwhile_holds(stripe: FakeWorld, change: dict, code: str, paused: str):
    auto_recharge = recharging(stripe, monthly_cap_micro=120_000_000)
    for _ in range(2):
        assert recharge_low() == 1
        if len(charges(stripe)) == 0:
            heard(stripe)
            spend(auto_recharge.organization, 50_000_000)
    AutoRecharge.objects.filter(pk=auto_recharge.pk).update(**change)
    heard(stripe)
    last = CardTopUp.objects.latest("id")
    assert (last.status, last.status_code) == (("failed", code) if code else ("paid", ""))
    assert len(charges(stripe)) == (1 if code else 2)
    auto_recharge.refresh_from_db()
    assert (auto_recharge.paused_code, Mail.objects.filter(kind="recharge-paused").count()) == (paused, 0)


# --- the database -----------------------------------------------------------------------------------------------------


def test_what_the_database_refuses(stripe: FakeWorld):
    auto_recharge = recharging(stripe, monthly_cap_micro=50_000_000)
    recharge_low()
    copy = (
        "INSERT INTO billing_cardtopup (public_id, created_at, organization_id, origin, saved_card_id, customer_id,"
        " command_id, amount_micro, currency, idempotency_key, site_url, status)"
        " SELECT gen_random_uuid(), now(), organization_id, 'auto', saved_card_id, customer_id,"
        " (SELECT max(id) FROM billing_stripecommand c"
        " WHERE NOT EXISTS (SELECT FROM billing_cardtopup t WHERE t.command_id = c.id)),"
        " {amount}, currency, 'copy', '', 'created' FROM billing_cardtopup"
    )
    assert sqlstate_of(copy.format(amount="amount_micro")) == "23505"  # one in flight
    stripe.run()
    assert sqlstate_of(copy.format(amount="amount_micro")) == "DW007"  # above the cap
    AutoRecharge.objects.update(monthly_cap_micro=200_000_000)
    assert sqlstate_of(copy.format(amount="amount_micro + 10000")) == "DW007"  # not the amount that the customer set
    AutoRecharge.objects.update(is_on=False)
    assert sqlstate_of(copy.format(amount="amount_micro")) == "DW007"
    assert CardTopUp.objects.filter(organization=auto_recharge.organization).count() == 1
