"""Who may decide about money: operators of the roles finance and admin, not every member of staff."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Operator, Organization, User
from accounts.owners import registration
from billing.approvals import operators as money_operators
from billing.approvals import service as approvals
from billing.disputes import decisions as dispute_decisions
from billing.models import Approval, Dispute, LedgerAccount
from core.errors import DomainError
from tests import factories
from tests.billing.disputes.test_disputes import Scene
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
WHY = "The customer called us about a failed job."


def staff(role: str) -> User:
    user = factories.make_user()
    registration.register_operator(user=user, role=role)
    return user


def reader() -> User:
    """Return an operator of support who may read every page but act on none."""
    user = staff(Operator.Role.SUPPORT)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    return user


def office(user: User) -> Client:
    client = Client()
    client.force_login(user)
    client.post("/operations/reason", {"category": "Payment", "words": "deciding a proposal"})
    return client


def propose(customer: Organization, actor: User, key: str = "k") -> Approval:
    return approvals.propose(
        kind="adjust_customer",
        params={"organization": str(customer.public_id), "amount_micro": 5_000_000},
        reason=WHY,
        idempotency_key=key,
        actor=actor,
    )


@pytest.mark.parametrize(("role", "may"), [("admin", True), ("finance", True), ("support", False)])
def test_the_role_says_who_decides_about_money(role: str, may: bool):
    user = staff(role)
    assert money_operators.may_decide(user) is may
    assert user.has_perm("billing.view_payout") is may
    assert user.has_module_perms("billing") is may
    assert user.has_perm("billing.add_ratecard") is (role == "admin")


@pytest.mark.parametrize("old_role", ["admin", "finance"])
def test_who_changes_to_support_decides_no_more(old_role: str):
    user = staff(old_role)
    assert registration.register_operator(user=user, role="support").role == "support"
    assert not money_operators.may_decide(User.objects.get(pk=user.pk))


@pytest.mark.parametrize("lost", ["is_active", "is_staff"])
def test_former_staff_decides_about_nothing(lost: str):
    user = staff(Operator.Role.FINANCE)
    setattr(user, lost, False)
    user.save()
    assert not money_operators.may_decide(User.objects.get(pk=user.pk))


def test_finance_proposes_and_approves(cast: Cast):
    approval = propose(cast.acme, staff("finance"))
    client = office(staff("finance"))
    assert b'value="approve"' in client.get(f"/operations/billing/approval/{approval.pk}/change/").content
    client.post(f"/operations/billing/approval/{approval.pk}/decide/", {"act": "approve"})
    assert LedgerAccount.objects.get(organization=cast.acme, kind="wallet").balance_micro == 5_000_000


@pytest.mark.parametrize("act", ["approve", "reject", "withdraw"])
@pytest.mark.parametrize("who", ["support", "reader"])
def test_support_decides_no_proposal(cast: Cast, who: str, act: str):
    client = office(reader() if who == "reader" else staff("support"))
    approval = propose(cast.acme, cast.opal)
    assert client.post(f"/operations/billing/approval/{approval.pk}/decide/", {"act": act}).status_code == 403
    approval.refresh_from_db()
    assert approval.status == "proposed"


@pytest.mark.parametrize("act", ["reject", "answer"])
@pytest.mark.parametrize("who", ["support", "reader"])
def test_support_decides_no_dispute(who: str, act: str):
    dispute = Scene().open()
    client = office(reader() if who == "reader" else staff("support"))
    form = {"act": act, "text": "We looked: they are right."}
    assert client.post(f"/operations/billing/dispute/{dispute.pk}/decide/", form).status_code == 403
    assert Dispute.objects.get().status == "open"
    assert not dispute.messages.exists()


def test_the_services_refuse_whoever_does_not_decide_about_money():
    scene, support = Scene(), staff("support")
    approval, dispute = propose(scene.customer, staff("finance")), scene.open()
    acts: list[Any] = [
        lambda: propose(scene.customer, support, "other"),
        lambda: approvals.approve(approval=approval, actor=support),
        lambda: approvals.reject(approval=approval, actor=support, note=""),
        lambda: dispute_decisions.reject(dispute=dispute, decision="We looked: they are right.", actor=support),
    ]
    for act in acts:
        with pytest.raises(DomainError) as refused:
            act()
        assert refused.value.code == "not_about_money"


def test_who_may_only_read_is_offered_no_act(rf: Any):
    request = rf.get("/operations/")
    request.user = reader()
    for model, options in admin.site._registry.items():
        assert options.has_view_permission(request), model
        assert options.get_actions(request) == {}, model
        assert not options.has_add_permission(request), model
