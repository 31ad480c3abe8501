"""What the back office's pages about money have in common: who may act, and the way to a proposal."""

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
    assert isinstance(request.user, (User, AnonymousUser))
    return money_operators.may_decide(request.user)


class MoneyActs:
    """Of an admin class whose actions are for those who decide about money: `permissions=["money"]`."""

    def has_money_permission(self, request: HttpRequest) -> bool:
        return may_decide(request)


class ProposingAdmin(MoneyActs, OwnerDataAdmin):
    """Read only. What moves money is proposed, from the row's page, and done when a second operator approves it."""

    change_form_template = "admin/proposals.html"

    def proposals(self, row: Any) -> Sequence[tuple[str, dict[str, Any]]]:
        """Kind, and what the form can fill in, of what could be proposed about this row as it is now."""
        return ()

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = self.model._default_manager.filter(pk=object_id).first() if object_id.isdecimal() else None
        found = self.proposals(row) if row and may_decide(request) else ()
        links = [(Approval.Kind(kind).label, proposal_url(kind, **fields)) for kind, fields in found]
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "proposals": links})


def proposal_url(kind: str, **fields: Any) -> str:
    """The form of a proposal with what is known filled in: subject, amount."""
    return f"{reverse('admin:billing_approval_add')}?{urlencode({'kind': kind, **fields})}"
