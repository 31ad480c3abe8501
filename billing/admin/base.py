"""The common parts of the back office's pages about money: who may act, and links to proposals."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin.owner_data import OwnerDataAdmin
from accounts.models import User
from billing.approvals import operators as money_operators
from billing.models import Approval


def may_decide(request: HttpRequest) -> bool:
    """Return whether the signed-in operator may decide about money."""
    assert isinstance(request.user, (User, AnonymousUser))
    return money_operators.may_decide(request.user)


class MoneyPermissionMixin:
    """Mixin of admin classes with actions (`permissions=["money"]`) for operators who may decide about money."""

    def has_money_permission(self, request: HttpRequest) -> bool:
        return may_decide(request)


class ProposingAdmin(MoneyPermissionMixin, OwnerDataAdmin):
    """Base of read-only pages whose rows link to the proposals that their state allows.

    An act that moves money is proposed from the row's page, and carried out when a second operator approves it.
    """

    change_form_template = "admin/proposals.html"

    def proposals(self, row: Any) -> Sequence[tuple[str, dict[str, Any]]]:
        """Return (kind, initial values of the form) for each act that could be proposed about this row now."""
        return ()

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = self.model._default_manager.filter(pk=object_id).first() if object_id.isdecimal() else None
        proposals = self.proposals(row) if row and may_decide(request) else ()
        links = [(Approval.Kind(kind).label, proposal_url(kind, **fields)) for kind, fields in proposals]
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "proposals": links})


def proposal_url(kind: str, **fields: Any) -> str:
    """Return the URL of the proposal form with `fields` (subject, amount) filled in."""
    return f"{reverse('admin:billing_approval_add')}?{urlencode({'kind': kind, **fields})}"
