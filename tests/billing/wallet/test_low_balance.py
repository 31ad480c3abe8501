"""The mail about a low wallet, and the mail about a card that expires."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import Mail, Membership
from billing.models import BillingProfile
from billing.topups import mails as saved_card_mails
from billing.topups import recharge_settings
from billing.topups import words as card_dates
from billing.wallet import low_balance
from tests import factories
from tests.billing.helpers import top_up
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def customer(threshold_micro: int | None = 20_000_000):
    organization = factories.make_organization()
    BillingProfile.objects.create(organization=organization, low_balance_micro=threshold_micro)
    return organization


def test_once_for_each_fall_to_those_who_look_after_the_money(mailoutbox):
    organization = customer()
    for role in ("finance", "developer"):
        Membership.objects.create(organization=organization, user=factories.make_user(), role=role)
    assert (low_balance.mail_low(), low_balance.mail_low()) == (1, 0)
    assert Mail.objects.count() == 2
    outbox.send_due()
    assert "$0.00 is left in the wallet" in mailoutbox[0].subject
    assert "$20.00" in mailoutbox[0].body
    top_up(organization, 20_000_000)
    assert low_balance.mail_low() == 0
    BillingProfile.objects.update(low_balance_micro=20_000_001)
    assert low_balance.mail_low() == 1
    assert Mail.objects.count() == 4


def test_nobody_is_told_who_did_not_ask_or_has_enough():
    customer(None)
    customer(0)
    top_up(customer(), 20_000_000)
    factories.make_organization()
    assert low_balance.mail_low() == 0


@pytest.mark.django_db(transaction=True)
def test_at_once_is_once():
    for _ in range(4):
        customer()
    assert sum(at_once(6, lambda _: low_balance.mail_low())) == 4
    assert Mail.objects.count() == 4


@pytest.mark.parametrize(("month", "mails", "is_on"), [(6, 1, True), (6, 0, False), (7, 0, True), (5, 0, True)])
def test_before_the_card_ends_that_the_recharge_uses(month: int, mails: int, is_on: bool, settings, mailoutbox):
    settings.STRIPE_SECRET_KEY = "sk_test_fake_x"
    year = timezone.now().year + 1  # the settings refuse a card that has expired by now
    organization, now = factories.make_organization(), datetime(year, 6, 15, tzinfo=UTC)
    card = factories.make_saved_card(organization, exp_month=month, exp_year=year)
    recharge_settings.change(
        organization=organization,
        is_on=is_on,
        threshold_micro=0,
        amount_micro=5 * 10**7,
        monthly_cap_micro=5 * 10**7,
        card_id=card.public_id,
        actor=None,
    )
    assert saved_card_mails.mail_expiring(now) == mails
    assert saved_card_mails.mail_expiring(now) == 0
    assert card_dates.expires_soon(card, now) == (month == 6)
    outbox.send_due()
    assert [f"6/{year}" in mail.body for mail in mailoutbox] == [True] * mails


def test_a_card_is_good_to_the_end_of_its_month():
    card = factories.make_saved_card(factories.make_organization(), exp_month=12, exp_year=2030)
    end = card_dates.ends_at(card)
    assert end.isoformat() == "2031-01-01T00:00:00+00:00"
    assert not card_dates.has_expired(card, end - timedelta(seconds=1))
    assert card_dates.has_expired(card, end)
    card.exp_month = card.exp_year = None
    assert not card_dates.has_expired(card)
