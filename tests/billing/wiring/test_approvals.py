"""Acts that need two operators: bank transfers, refused payouts, given-up refunds.

And retries with their audit trail.
"""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from accounts.models import AuditEvent, Organization, User
from accounts.owners import registration
from billing import tasks
from billing.approvals import service as approvals
from billing.ledger import posting
from billing.models import Approval, Payout, StripeCommand, StripeEvent, TopUp
from billing.payouts import payouts
from billing.stripe import inbox, outbox
from billing.wallet import wallets
from core.errors import DomainError
from tests import factories
from tests.billing.helpers import make_organization
from tests.billing.payouts.helpers import fund, make_payout, ready_owner, transfers
from tests.billing.refunds.helpers import ask, balance, books, customer, given_up, pay
from tests.conformance.fixture import FakeWorld
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
WHY = "Arrived on our account today."


@pytest.fixture
def two() -> tuple[User, User]:
    people = factories.make_user(), factories.make_user()
    for user in people:
        registration.register_operator(user=user, role="finance")
    return people


def propose(kind: str, actor: User, key: str = "k", **params: Any) -> Approval:
    return approvals.propose(kind=kind, params=params, reason=WHY, idempotency_key=key, actor=actor)


def office(user: User) -> Client:
    client = Client()
    client.force_login(user)
    client.post("/operations/reason", {"category": "Payment", "words": "looking at payments"})
    return client


def transfer(organization: Organization, actor: User, reference: str = "wire 17", key: str = "k") -> Approval:
    return propose(
        "bank_top_up",
        actor,
        key,
        organization=str(organization.public_id),
        amount_micro=12_340_000,
        reference=reference,
    )


# --- bank transfers ---------------------------------------------------------------------------------------------------


def test_a_bank_transfer_is_credited_by_two_once(cast: Cast, two: tuple[User, User]):
    approval = transfer(cast.acme, two[0], " wire  17 ")
    assert "reference wire 17" in approval.summary
    assert TopUp.objects.count() == 0
    for _ in range(2):
        approvals.approve(approval=approval, actor=two[1])
    made = TopUp.objects.get()
    assert (made.method, made.reference, made.amount_micro) == ("manual", "wire 17", 12_340_000)
    assert wallets.summary(cast.acme).available_micro == 12_340_000
    assert AuditEvent.objects.get(action="wallet.top_up").actor == two[1]
    assert posting.recompute() == []


def test_one_transfer_proposed_twice_is_credited_once(cast: Cast, two: tuple[User, User]):
    first, second = transfer(cast.acme, two[0]), transfer(cast.globex, two[0], "WIRE 17", key="other")
    approvals.approve(approval=first, actor=two[1])
    with pytest.raises(DomainError) as refused:
        approvals.approve(approval=second, actor=two[1])
    assert refused.value.code == "reference_used"
    second.refresh_from_db()
    assert (second.status, TopUp.objects.count()) == ("proposed", 1)
    with pytest.raises(DomainError) as refused:
        transfer(cast.globex, two[0], "Wire 17", key="third")
    assert refused.value.code == "reference_used"


def test_the_form_asks_for_the_banks_reference(cast: Cast, two: tuple[User, User]):
    client = office(two[0])
    form = {
        "kind": "bank_top_up",
        "subject": str(cast.acme.public_id),
        "amount": "12.34",
        "reason": WHY,
        "idempotency_key": "admin:1",
        "bearer": "",
        "decision": "",
        "reference": "",
    }
    where = "/operations/billing/approval/add/"
    assert b"Give the bank&#x27;s reference" in client.post(where, form).content
    assert client.post(where, {**form, "reference": "wire 17"}).status_code == 302
    approvals.approve(approval=Approval.objects.get(), actor=two[1])
    again = client.post(where, {**form, "reference": "wire 17", "idempotency_key": "admin:2"})
    assert b"was credited before" in again.content


# --- payouts and refunds ----------------------------------------------------------------------------------------------


def test_a_refused_payout_is_sent_anew_on_the_word_of_two(stripe: FakeWorld, two: tuple[User, User]):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = ["refused"]
    outbox.send_due()
    client, page = office(two[0]), f"/operations/billing/payout/{payout.pk}/change/"
    assert "kind=resend_payout" in client.get(page).content.decode()
    client.post("/operations/billing/payout/", {"action": "schedule_again", "_selected_action": payout.pk})
    payout.refresh_from_db()
    assert payout.status == "sending"
    approval = propose("resend_payout", two[0], payout=str(payout.public_id))
    approvals.approve(approval=approval, actor=two[1])
    payouts.send_due()
    stripe.run()
    payout.refresh_from_db()
    assert (payout.status, len(transfers(stripe))) == ("paid", 1)
    assert "kind=reverse_payout" in client.get(page).content.decode()
    assert AuditEvent.objects.get(action="payout.schedule_again").actor == two[1]


def test_a_payout_is_taken_back_for_a_cause(stripe: FakeWorld, two: tuple[User, User]):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.run()
    for cause in ("", "unknown"):
        with pytest.raises(DomainError) as refused:
            propose("reverse_payout", two[0], payout=str(payout.public_id), cause=cause)
        assert refused.value.code == "cause_invalid"
    approval = propose("reverse_payout", two[0], payout=str(payout.public_id), cause="wrong_payee")
    assert approval.summary.endswith("wrong payee")
    approvals.approve(approval=approval, actor=two[1])
    stripe.run()
    payout.refresh_from_db()
    assert (payout.status, payout.reverse_cause) == ("reversed", "wrong_payee")


@pytest.mark.parametrize(("status", "kinds"), [("scheduled", ["hold_payout", "return_payout"]), ("returned", [])])
def test_a_payouts_page_leads_to_what_its_state_allows(two: tuple[User, User], status: str, kinds: list[str]):
    options = admin.site._registry[Payout]
    assert [kind for kind, _ in options.proposals(Payout(status=status))] == kinds


@pytest.mark.parametrize(("was_done", "ends", "back_micro"), [(True, "succeeded", 0), (False, "failed", 50_000_000)])
def test_a_given_up_refund_is_settled_as_stripe_has_it_on_the_word_of_two(
    stripe: FakeWorld, two: tuple[User, User], was_done: bool, ends: str, back_micro: int
):
    refund = given_up(stripe, was_done=was_done)
    StripeCommand.objects.filter(pk=refund.command_id).update(
        due_at="2020-01-01T00:00Z"
    )  # the lease of its last sender has ended
    client = office(two[0])
    assert "kind=resolve_refund" in client.get(f"/operations/billing/refund/{refund.pk}/change/").content.decode()
    client.post("/operations/billing/refund/", {"action": "resolve", "_selected_action": refund.pk})
    approval = propose("resolve_refund", two[0], refund=str(refund.public_id))
    tasks.resolve_refunds()
    refund.refresh_from_db()
    assert refund.status == "requested"
    approvals.approve(approval=approval, actor=two[1])
    stripe.transport.faults = ["broken"] * 10
    tasks.resolve_refunds()
    refund.refresh_from_db()
    assert refund.status == "requested"
    stripe.transport.faults = []
    for _ in range(2):
        tasks.resolve_refunds()
    refund.refresh_from_db()
    assert (refund.status, balance(refund.organization)) == (ends, back_micro)
    books(stripe)


def test_a_refund_that_stripe_answers_for_is_not_settled_by_hand(stripe: FakeWorld, two: tuple[User, User]):
    organization = customer()
    pay(stripe, organization)
    (refund,) = ask(organization, 50_000_000)
    with pytest.raises(DomainError) as refused:
        propose("resolve_refund", two[0], refund=str(refund.public_id))
    assert refused.value.code == "refund_not_given_up"


# --- retries ----------------------------------------------------------------------------------------------------------


def test_a_retry_says_who(stripe: FakeWorld, two: tuple[User, User]):
    organization = make_organization()
    factories.make_card_top_up(organization)
    stripe.transport.faults = ["refused"]
    stripe.run()
    StripeEvent.objects.create(
        event_id="evt_1",
        type="x",
        object_id="y",
        occurred_at="2026-01-01T00:00Z",
        source="sweep",
        is_thin=False,
        livemode=False,
    )
    inbox.process_due()
    client = office(two[0])
    command, event = StripeCommand.objects.filter(status="dead").earliest("id"), StripeEvent.objects.get()
    for model, row in (("stripecommand", command), ("stripeevent", event)):
        client.post(f"/operations/billing/{model}/", {"action": "try_again", "_selected_action": row.pk})
    events = AuditEvent.objects.filter(action__endswith=".retry").values_list("action", "actor", "subject")
    assert set(events) == {
        ("stripe_command.retry", two[0].pk, command.idempotency_key),
        ("stripe_event.retry", two[0].pk, "evt_1"),
    }
    command.refresh_from_db()
    event.refresh_from_db()
    assert (command.status, event.status) == ("queued", "received")
    with pytest.raises(DomainError):
        outbox.retry(command=command, actor=two[0])
    assert AuditEvent.objects.filter(action__endswith=".retry").count() == 2
