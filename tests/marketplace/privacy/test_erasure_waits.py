"""A due erasure waits for the last payout, until a deadline; no money is lost in any case."""

from datetime import timedelta

import pytest
from django.core import mail as post
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import AuditEvent, ErasureRequest, Mail, User
from accounts.owners import closing, erasures
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import Payout
from billing.payouts import payouts
from compute.models import UsageRecord
from core import locale
from core.errors import Conflict
from marketplace.privacy import erasure
from tests import factories
from tests.billing.payouts.helpers import balance, make_payout
from tests.database import unguarded
from tests.marketplace.privacy.conftest import EMAIL, last_mail_sent

pytestmark = pytest.mark.django_db
COIN = 10_000  # a cent, in micro-dollars


def owe(owner, micro: int = 3 * COIN, *, kind: str = "payable") -> None:
    """Put money on an account of the owner."""
    places = [AccountName(kind="adjustment", currency="USD"), AccountName(kind=kind, currency="USD", owner_id=owner.pk)]
    debit, credit = (posting.accounts(places)[place] for place in places)
    posting.post(
        [
            Posting(
                kind="adjustment",
                debit=debit,
                credit=credit,
                amount_micro=micro,
                idempotency_key=f"test-{kind}-{micro}",
            ),
        ]
    )


def due(person, *, ago: timedelta = timedelta(hours=1)) -> ErasureRequest:
    row = erasures.request(owner=person.owner, actor=person.user)
    ErasureRequest.objects.filter(pk=row.pk).update(due_at=timezone.now() - ago)
    row.refresh_from_db()
    return row


def swept(row: ErasureRequest) -> str:
    """Run the sweep twice, with the last mail sent in between, and return the request's status."""
    erasure.sweep()
    last_mail_sent()
    erasure.sweep()
    row.refresh_from_db()
    return row.status


def test_it_waits_and_says_why_and_until_when(zenobia):
    owe(zenobia.owner)
    row = due(zenobia)
    assert swept(row) == "scheduled"
    assert row.money_until_at == row.due_at + timedelta(days=45)
    assert swept(row) == "scheduled"
    assert Mail.objects.filter(kind="erasure-waits", user=zenobia.user).count() == 1
    assert AuditEvent.objects.filter(action="erasure.wait", subject=str(zenobia.owner.public_id)).count() == 1
    outbox.send_due()
    (message,) = [message for message in post.outbox if "waits until you have been paid" in message.subject]
    assert locale.moment(row.money_until_at) in message.body
    assert erasures.token_of(row) in message.body
    assert not Mail.objects.filter(kind="erasure-done").exists()
    assert User.objects.filter(email=EMAIL).exists()


def test_paid_it_goes_on(zenobia):
    owe(zenobia.owner)
    row = due(zenobia)
    assert swept(row) == "scheduled"
    places = [
        AccountName(kind="payable", currency="USD", owner_id=zenobia.owner.pk),
        AccountName(kind="adjustment", currency="USD"),
    ]
    debit, credit = (posting.accounts(places)[place] for place in places)
    balance_micro = balance(zenobia.owner, "payable")
    posting.post(
        [
            Posting(
                kind="adjustment",
                debit=debit,
                credit=credit,
                amount_micro=balance_micro - balance_micro % COIN,
                idempotency_key="paid",
            ),
        ]
    )
    assert balance(zenobia.owner, "payable") > 0  # less than a cent, which cannot be paid out
    assert swept(row) == "done"


@pytest.mark.parametrize("kind", ["payable", "reserve", "in_transit"])
def test_whatever_account_it_is_on(zenobia, kind):
    owe(zenobia.owner, kind=kind)
    assert swept(due(zenobia)) == "scheduled"


def test_nothing_owed_or_less_than_a_coin_waits_for_nothing(zenobia):
    assert 0 < balance(zenobia.owner, "payable") < COIN
    row = due(zenobia)
    assert swept(row) == "done"
    assert not Mail.objects.filter(kind="erasure-waits").exists()


def test_work_that_is_still_being_checked_waits_too(zenobia):
    with unguarded():
        UsageRecord.objects.filter(owner=zenobia.owner).update(settled_at=None)
    assert swept(due(zenobia)) == "scheduled"


def test_after_the_deadline_it_is_carried_out_and_the_money_stays_in_the_ledger(zenobia):
    owe(zenobia.owner)
    before = balance(zenobia.owner, "payable")
    row = due(zenobia)
    assert swept(row) == "scheduled"
    ErasureRequest.objects.filter(pk=row.pk).update(money_until_at=timezone.now() - timedelta(hours=1))
    assert swept(row) == "done"
    assert balance(zenobia.owner, "payable") == before
    # The adjustment of this test has no approval. There is no other difference.
    assert {difference.check for difference in posting.recompute()} <= {"adjustments"}


def test_a_deadline_that_was_told_is_not_moved_and_none_is_told_that_is_over(zenobia, settings):
    owe(zenobia.owner)
    row = due(zenobia)
    assert swept(row) == "scheduled"
    deadline = row.money_until_at
    settings.ERASURE_MONEY_WAIT_DAYS = 90
    assert swept(row) == "scheduled"
    assert row.money_until_at == deadline
    settings.ERASURE_MONEY_WAIT_DAYS = 0
    other = factories.make_owner()
    owe(other, 5 * COIN)
    late = erasures.request(owner=other, actor=other.user)
    ErasureRequest.objects.filter(pk=late.pk).update(due_at=timezone.now() - timedelta(days=1))
    assert swept(late) == "done"
    assert Mail.objects.filter(kind="erasure-waits").count() == 1


def test_the_last_payout_is_begun_by_itself_and_waited_for(zenobia):
    factories.make_connected_account(zenobia.owner, path=("onboarding", "active"))
    owe(zenobia.owner, 3 * COIN)
    row = due(zenobia)
    assert swept(row) == "scheduled"
    payout = Payout.objects.get(owner=zenobia.owner)
    assert payout.amount_micro == 3 * COIN
    assert (balance(zenobia.owner, "in_transit"), balance(zenobia.owner, "payable") < COIN) == (3 * COIN, True)
    assert swept(row) == "scheduled"
    assert Payout.objects.count() == 1
    payouts.return_to_balance(payout=payout, reason="the account was closed", actor=factories.make_user())
    assert swept(row) == "scheduled"


def test_it_can_be_taken_back_while_it_waits_and_not_afterwards(zenobia):
    owe(zenobia.owner)
    closing.close(owner=zenobia.owner, actor=zenobia.user)
    row = due(zenobia)
    assert swept(row) == "scheduled"
    ErasureRequest.objects.filter(pk=row.pk).update(money_until_at=timezone.now())
    with pytest.raises(Conflict) as refused:
        erasures.cancel(request=row, actor=None)
    assert refused.value.code == "erasure_begun"
    ErasureRequest.objects.filter(pk=row.pk).update(money_until_at=timezone.now() + timedelta(days=1))
    assert erasures.cancel(request=row, actor=None)
    zenobia.owner.refresh_from_db()
    assert zenobia.owner.deactivated_at is not None  # it was closed before the request and stays closed
    assert swept(row) == "cancelled"


def test_one_that_waits_holds_up_no_other(zenobia):
    owe(zenobia.owner)
    waits, other = due(zenobia), factories.make_owner()
    ErasureRequest.objects.filter(pk=waits.pk).update(due_at=timezone.now() - timedelta(days=1))
    row = erasures.request(owner=other, actor=other.user)
    ErasureRequest.objects.filter(pk=row.pk).update(due_at=timezone.now())
    assert swept(row) == "done"


def test_the_looks_of_it(zenobia, client_of):
    client = client_of(zenobia.user)
    make_payout(zenobia.owner)
    assert "30 days" not in client.get("/privacy/erasure", follow=True).content.decode()
    row = erasures.request(owner=zenobia.owner, actor=zenobia.user)
    assert "the erasure waits for that, 45 days at most" in client.get("/privacy/").content.decode()
    ErasureRequest.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(hours=1))
    swept(row)
    for path in ("/privacy/", f"/privacy/erasure/cancel/{erasures.token_of(row)}"):
        text = client.get(path).content.decode()
        assert "paid" in text
        assert row.money_until_at.strftime("%Y-%m-%d") in text
    assert "Your erasure waits until you have been paid" in client.get("/privacy/").content.decode()
