"""Pages of disputes, which a customer opens about a job or an owner about a statement, with our answers."""

import uuid
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access.guards import finance_required, may_move_money, owner_required, signed_in
from accounts.models import Organization, Owner, User
from accounts.owners.forms import add_error
from billing.disputes import disputes
from billing.models import Dispute, JobOrder, Statement
from billing.orders import returned_charges
from core.errors import DomainError
from core.money import MICRO

ROWS_SHOWN = 100
page = require_http_methods(["GET", "POST"])


class DisputeForm(forms.Form):
    """A new dispute. The page contains `key`: a form sent twice opens one dispute."""

    amount = forms.DecimalField(
        label="Amount that you dispute", decimal_places=6, max_digits=13, min_value=Decimal("0.000001")
    )
    reason = forms.CharField(
        label="What is wrong",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Describe it so that our staff can check it. At least ten characters.",
    )
    key = forms.UUIDField(widget=forms.HiddenInput)


class MessageForm(forms.Form):
    """A message to our staff about an open dispute."""

    text = forms.CharField(label="Add something", max_length=4000, widget=forms.Textarea(attrs={"rows": 4}))


@never_cache
@page
@finance_required
def dispute_open_order(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Open a customer's dispute about a job."""
    order = get_object_or_404(
        JobOrder.objects.select_related("job__artifact", "rate_card"),
        organization=organization,
        job__public_id=public_id,
    )

    def start(amount_micro: int, reason: str, key: str) -> Dispute:
        return disputes.open_order(
            organization=organization,
            order=order,
            reason=reason,
            claimed_micro=amount_micro,
            idempotency_key=key,
            actor=signed_in(request),
        )

    context = {
        "about": "job",
        "name": order.job.artifact.name,
        "charged_micro": order.charged_micro,
        "currency": order.rate_card.currency,
        "back_url": reverse("job_detail", args=[public_id]),
        "running": order.status == JobOrder.Status.HELD,
        "nav": "billing/_money_nav.html",
    }
    return _open(request, start, context, returned_charges.returned_charges_of(order).left_micro)


@never_cache
@page
@owner_required
def dispute_open_statement(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Open an owner's dispute about a statement."""
    statement = get_object_or_404(Statement, owner=owner, public_id=public_id)

    def start(amount_micro: int, reason: str, key: str) -> Dispute:
        return disputes.open_statement(
            owner=owner,
            statement=statement,
            reason=reason,
            claimed_micro=amount_micro,
            idempotency_key=key,
            actor=signed_in(request),
        )

    context = {
        "about": "statement",
        "name": statement.number,
        "charged_micro": statement.earned_micro,
        "currency": statement.currency,
        "back_url": reverse("statement_detail", args=[public_id]),
        "nav": "billing/_earnings_nav.html",
    }
    return _open(request, start, context, 0)


@never_cache
@require_GET
@login_required
def dispute_list(request: HttpRequest) -> HttpResponse:
    """List the newest disputes that the person may read."""
    user = signed_in(request)
    rows = _readable_by(user).select_related("order__job__artifact", "statement").order_by("-id")[:ROWS_SHOWN]
    return render(request, "billing/dispute_list.html", {"disputes": rows, "is_owner": _is_owner(user)})


@never_cache
@page
@login_required
def dispute_detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Show a dispute's messages and decision.

    The owner, or the customer's admins and finance, may write to it or withdraw it.
    """
    user = signed_in(request)
    dispute = get_object_or_404(
        _readable_by(user).select_related("order__job__artifact", "statement"), public_id=public_id
    )
    may_write = dispute.organization_id is None or may_move_money(user)
    if request.method == "POST" and not may_write:
        raise PermissionDenied("Only an admin or a finance member of your organization may do this.")
    form = MessageForm(request.POST if request.method == "POST" and "withdraw" not in request.POST else None)
    is_refused = False
    if request.method == "POST":
        try:
            if "withdraw" in request.POST:
                disputes.withdraw(dispute=dispute, actor=user)
                messages.success(request, "Your dispute is withdrawn.")
                return redirect("dispute_detail", public_id)
            if form.is_valid():
                disputes.add_message(dispute=dispute, text=form.cleaned_data["text"], author=user, from_operator=False)
                messages.success(request, "Added.")
                return redirect("dispute_detail", public_id)
        except DomainError as error:
            is_refused = True  # shown as a message: a dispute that has ended has no form
            messages.error(request, error.message)
    context = {
        "dispute": dispute,
        "form": form,
        "open": dispute.status == Dispute.Status.OPEN,
        "may_write": may_write,
        "thread": dispute.messages.order_by("id"),
        "is_owner": _is_owner(user),
    }
    status = 400 if is_refused or form.errors else 200
    return render(request, "billing/dispute_detail.html", context, status=status)


def _open(request: HttpRequest, start: Any, context: dict[str, Any], charged_micro: int) -> HttpResponse:
    """Show the form, or open the dispute with `start` and redirect to it.

    `charged_micro` fills the amount in, unless 0.
    """
    initial = {"key": uuid.uuid4(), "amount": _decimal(charged_micro) if charged_micro else None}
    form = DisputeForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            dispute = start(int(data["amount"] * MICRO), data["reason"], f"page:{data['key']}")
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, "Your dispute is open. We answer on this page and send you an e-mail.")
            return redirect("dispute_detail", dispute.public_id)
    return render(request, "billing/dispute_open.html", {**context, "form": form}, status=400 if form.errors else 200)


def _readable_by(user: User) -> Any:
    """Return the disputes that a person opened as an owner, and those of the person's organization."""
    return Dispute.objects.filter(Q(owner__user=user) | Q(organization__memberships__user=user))


def _is_owner(user: User) -> bool:
    """Return True for an owner, False for a customer. Raises Http404 for anybody else."""
    if Owner.objects.filter(user=user).exists():
        return True
    if not Organization.objects.filter(memberships__user=user).exists():
        raise Http404
    return False


def _decimal(amount_micro: int) -> Decimal:
    return (Decimal(amount_micro) / MICRO).normalize()
