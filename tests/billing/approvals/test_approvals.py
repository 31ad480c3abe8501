"""Approvals: one operator alone moves nothing; two operators move it once."""

import uuid
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent
from accounts.owners import registration
from billing.approvals import service as approvals
from billing.ledger import posting
from billing.models import Approval, LedgerAccount, LedgerTransfer
from core.errors import DomainError
from tests import factories
from tests.billing.helpers import sqlstate_of, top_up
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
WHY = "The customer called us about a failed job."


@pytest.fixture
def second(cast: Cast) -> Any:
    user = factories.make_user("otto@example.com")
    registration.register_operator(user=user)
    return user


def propose(cast: Cast, micro: int = 5_000_000, key: str = "k", kind: str = "adjust_customer") -> Approval:
    return approvals.propose(
        kind=kind,
        params={"organization": str(cast.acme.public_id), "amount_micro": micro},
        reason=WHY,
        idempotency_key=key,
        actor=cast.opal,
    )


def wallet(cast: Cast) -> int:
    row = LedgerAccount.objects.filter(organization=cast.acme, kind="wallet").first()
    return row.balance_micro if row else 0


def test_nothing_is_done_until_a_second_operator_approves(cast: Cast, second: Any):
    approval = propose(cast)
    assert wallet(cast) == 0
    with pytest.raises(DomainError) as refused:
        approvals.approve(approval=approval, actor=cast.opal)
    assert refused.value.code == "second_operator"
    assert wallet(cast) == 0
    for _ in range(2):
        approvals.approve(approval=approval, actor=second)
    assert wallet(cast) == 5_000_000
    assert LedgerTransfer.objects.filter(kind="adjustment").count() == 1
    assert set(AuditEvent.objects.filter(subject=str(approval.public_id)).values_list("action", "actor__email")) == {
        ("approval.proposed", "opal@example.com"),
        ("approval.approved", "otto@example.com"),
    }
    assert posting.recompute() == []


def test_what_cannot_be_done_stays_waiting(cast: Cast, second: Any):
    approval = propose(cast, -1)
    with pytest.raises(DomainError) as refused:
        approvals.approve(approval=approval, actor=second)
    assert refused.value.code == "insufficient_funds"
    approval.refresh_from_db()
    assert approval.status == "proposed"


def test_the_same_key_proposes_once(cast: Cast):
    first = propose(cast)
    assert propose(cast) == first
    with pytest.raises(DomainError) as refused:
        propose(cast, 6_000_000)
    assert refused.value.code == "idempotency_conflict"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"amount_micro": 5}, "subject_invalid"),
        ({"organization": str(uuid.uuid4()), "amount_micro": 5}, "not_found"),
        ({"organization": "me", "amount_micro": 0}, "amount_invalid"),
        ({"organization": "me", "amount_micro": 10**15}, "amount_invalid"),
        ({"organization": "me", "amount_micro": "5"}, "amount_invalid"),
        ({"organization": "me", "amount_micro": True}, "amount_invalid"),
    ],
)
def test_a_proposal_is_checked_before_it_is_kept(cast: Cast, params: dict[str, Any], code: str):
    if params.get("organization") == "me":
        params = {**params, "organization": str(cast.acme.public_id)}
    with pytest.raises(DomainError) as refused:
        approvals.propose(kind="adjust_customer", params=params, reason=WHY, idempotency_key="k", actor=cast.opal)
    assert refused.value.code == code
    assert not Approval.objects.exists()


def test_only_operators_propose_and_say_why(cast: Cast):
    params = {"organization": str(cast.acme.public_id), "amount_micro": 5}
    for reason, actor, code in ((WHY, cast.alice.user, "not_an_operator"), ("short", cast.opal, "reason_short")):
        with pytest.raises(DomainError) as refused:
            approvals.propose(kind="adjust_customer", params=params, reason=reason, idempotency_key="k", actor=actor)
        assert refused.value.code == code


def test_a_no_and_a_withdrawal_end_it(cast: Cast, second: Any):
    rejected, withdrawn = propose(cast, key="a"), propose(cast, key="b")
    approvals.reject(approval=rejected, actor=second, note="Not convinced.")
    approvals.withdraw(approval=withdrawn, actor=cast.opal)
    for approval in (rejected, withdrawn):
        with pytest.raises(DomainError) as refused:
            approvals.approve(approval=approval, actor=second)
        assert refused.value.code == "invalid_transition"
    assert wallet(cast) == 0


def test_the_database_refuses_one_operator_for_both(cast: Cast):
    propose(cast)
    sql = "UPDATE billing_approval SET status = 'done', decided_by_id = proposed_by_id, decided_at = now()"
    assert sqlstate_of(sql) == "23514"
    assert sqlstate_of("""UPDATE billing_approval SET params = '{"amount_micro": 1}'""") == "DW002"
    assert sqlstate_of("DELETE FROM billing_approval") == "DW002"


@pytest.mark.parametrize("kind", ["promo_credit", "refund"])
def test_promotional_credit_and_refunds_go_the_same_way(cast: Cast, second: Any, kind: str):
    top_up(cast.acme, 50_000_000)
    approval = propose(cast, kind=kind)
    if kind == "refund":  # this money came by bank transfer: no card to send it back to
        with pytest.raises(DomainError):
            approvals.approve(approval=approval, actor=second)
    else:
        approvals.approve(approval=approval, actor=second)
        assert LedgerAccount.objects.get(organization=cast.acme, kind="promo_wallet").balance_micro == 5_000_000
    assert posting.recompute() == []


def test_the_back_office_shows_buttons_to_the_second_operator_only(cast: Cast, second: Any):
    approval = propose(cast)
    for user, button in ((cast.opal, b'value="withdraw"'), (second, b'value="approve"')):
        client = Client()
        client.force_login(user)
        client.post("/operations/reason", {"category": "Support", "words": "deciding a proposal"})
        page = client.get(f"/operations/billing/approval/{approval.pk}/change/")
        assert button in page.content
        assert (b'value="approve"' in page.content) == (user == second)
    client.post(f"/operations/billing/approval/{approval.pk}/decide/", {"act": "approve", "note": "Agreed."})
    assert wallet(cast) == 5_000_000


def test_the_form_proposes_once_however_often_it_is_sent(cast: Cast):
    client = Client()
    client.force_login(cast.opal)
    form = {
        "kind": "adjust_customer",
        "subject": str(cast.acme.public_id),
        "amount": "12.5",
        "reason": WHY,
        "idempotency_key": "admin:1",
        "bearer": "",
        "decision": "",
    }
    for _ in range(2):
        answer = client.post("/operations/billing/approval/add/", form)
        assert answer.status_code == 302, answer.context_data["adminform"].form.errors
    (approval,) = Approval.objects.all()
    assert approval.params == {"organization": str(cast.acme.public_id), "amount_micro": 12_500_000}
    answer = client.post("/operations/billing/approval/add/", {**form, "amount": "0", "idempotency_key": "admin:2"})
    assert b"Give an amount" in answer.content
