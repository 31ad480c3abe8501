"""The back office's pages of approvals: one operator proposes an act on money, another approves or rejects it."""

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from accounts.access.guards import signed_in
from accounts.admin.owner_data import OwnerDataAdmin, owners_of_subjects
from billing.admin.base import may_decide
from billing.approvals import service as approvals
from billing.approvals.kinds import KINDS
from billing.models import Approval, Dispute, Payout
from billing.wallet import wallets
from core.errors import DomainError
from core.money import MICRO

Kind = Approval.Kind
# Kind -> (name of the parameter that the subject is given in, whether the kind takes an amount).
SUBJECTS = {
    Kind.BANK_TOP_UP: ("organization", True),
    Kind.RESOLVE_REFUND: ("refund", False),
    Kind.RESEND_PAYOUT: ("payout", False),
    Kind.REFUND: ("organization", True),
    Kind.PROMO_CREDIT: ("organization", True),
    Kind.ADJUST_CUSTOMER: ("organization", True),
    Kind.ADJUST_OWNER: ("owner", True),
    Kind.HOLD_PAYOUT: ("payout", False),
    Kind.RELEASE_PAYOUT: ("payout", False),
    Kind.RETURN_PAYOUT: ("payout", False),
    Kind.REVERSE_PAYOUT: ("payout", False),
    Kind.WRITE_OFF: ("card_dispute", False),
    Kind.VOID_USAGE: ("rated", False),
    Kind.DECIDE_DISPUTE: ("dispute", True),
}


class ApprovalForm(forms.ModelForm[Approval]):
    """A proposal. The page contains the idempotency key, so that a form sent twice makes one proposal."""

    subject = forms.CharField(
        max_length=64,
        help_text="The id of the customer, owner, payout, refund or dispute; for usage, the number of its rating.",
    )
    amount = forms.DecimalField(
        required=False,
        decimal_places=6,
        max_digits=13,
        help_text="In the customer's or owner's currency. A negative amount takes money away.",
    )
    reference = forms.CharField(
        required=False,
        max_length=wallets.REFERENCE_MAX,
        help_text="Only for a bank transfer: the bank's reference, as on our bank statement. Each is credited once.",
    )
    cause = forms.ChoiceField(
        required=False,
        choices=[
            ("", "---"),
            *((cause.value, cause.label) for cause in Payout.CAUSES),
        ],
        help_text="Only for a payout that is taken back. After fraud, the owner's other payouts are held as well.",
    )
    bearer = forms.ChoiceField(
        required=False,
        choices=[("", "---"), *Dispute.Bearer.choices],
        help_text="Only for an upheld dispute: who bears the cost.",
    )
    decision = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Only for an upheld dispute: the decision, which both sides can read.",
    )
    idempotency_key = forms.CharField(widget=forms.HiddenInput, initial=lambda: f"admin:{uuid.uuid4()}")

    class Meta:
        model = Approval
        fields = ("kind", "reason", "idempotency_key")

    def validate_unique(self) -> None:
        """Check nothing: the service returns the first proposal when a key comes again."""

    def params(self) -> dict[str, Any]:
        """Return the parameters of the chosen kind, as the service takes them."""
        data = self.cleaned_data
        subject, has_amount = SUBJECTS[Kind(data["kind"])]
        params: dict[str, Any] = {subject: data["subject"].strip()}
        if has_amount:
            params["amount_micro"] = int((data.get("amount") or Decimal(0)) * MICRO)
        if data["kind"] == Kind.BANK_TOP_UP:
            params["reference"] = data.get("reference", "")
        if data["kind"] == Kind.REVERSE_PAYOUT:
            params["cause"] = data.get("cause", "")
        if data["kind"] == Kind.DECIDE_DISPUTE:
            params |= {"bearer": data.get("bearer", ""), "decision": data.get("decision", "")}
        return params

    def clean(self) -> dict[str, Any]:
        """Run the service's own checks, so that a refusal appears on the form."""
        data = super().clean() or {}
        if not self.errors:
            try:
                KINDS[data["kind"]].clean(self.params())
            except DomainError as error:
                raise forms.ValidationError(error.message, code=error.code) from error
            if len(data["reason"].strip()) < approvals.REASON_MIN:
                self.add_error("reason", "Give the reason, in at least ten characters: it is kept in the audit trail.")
        return data


@admin.register(Approval)
class ApprovalAdmin(OwnerDataAdmin):
    """Proposals are added here; a second operator approves or rejects them on their page.

    None is ever edited or deleted.
    """

    open_views = ("add",)  # the empty form shows no owner's data
    own_views = (("<int:object_id>/decide/", "decide"),)
    change_form_template = "admin/approval.html"
    list_display = ("summary", "kind", "status", "proposed_by", "decided_by", "created_at")
    list_filter = ("status", "kind")
    list_select_related = ("proposed_by", "decided_by")
    search_fields = ("summary", "public_id")
    ordering = ("-id",)
    form = ApprovalForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return (
                "kind",
                "subject",
                "amount",
                "reference",
                "cause",
                "bearer",
                "decision",
                "reason",
                "idempotency_key",
            )
        return (
            "summary",
            "kind",
            "status",
            "reason",
            "params",
            "proposed_by",
            "created_at",
            "decided_by",
            "decided_at",
            "decision_note",
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill the form from the query, which other pages link with: ?kind=hold_payout&subject=<id>."""
        return {name: request.GET[name] for name in ("kind", "subject", "amount") if name in request.GET}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_decide(request)

    def save_model(self, request: HttpRequest, obj: Approval, form: ModelForm[Any], change: bool) -> None:
        assert isinstance(form, ApprovalForm)
        approval = approvals.propose(
            kind=form.cleaned_data["kind"],
            params=form.params(),
            reason=form.cleaned_data["reason"],
            idempotency_key=form.cleaned_data["idempotency_key"],
            actor=signed_in(request),
        )
        obj.pk, obj.summary = approval.pk, approval.summary

    def decide(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Handle the buttons: a second operator's approval or rejection, or the proposer's withdrawal."""
        if not may_decide(request):
            raise PermissionDenied
        approval = get_object_or_404(Approval, pk=object_id)
        back = HttpResponseRedirect(reverse("admin:billing_approval_change", args=[object_id]))
        if request.method != "POST":  # a link must not be able to decide anything
            return back
        note, actor = request.POST.get("note", "").strip(), signed_in(request)
        try:
            match request.POST.get("act"):
                case "approve":
                    approvals.approve(approval=approval, actor=actor, note=note)
                    messages.success(request, f"Done: {approval.summary}")
                case "reject":
                    approvals.reject(approval=approval, actor=actor, note=note)
                    messages.success(request, "Rejected.")
                case "withdraw":
                    approvals.withdraw(approval=approval, actor=actor)
                    messages.success(request, "Withdrawn.")
        except DomainError as error:
            messages.error(request, error.message)
        return back

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = Approval.objects.filter(pk=object_id).first()
        waits = row is not None and row.status == Approval.Status.PROPOSED and may_decide(request)
        own = row is not None and row.proposed_by_id == signed_in(request).pk
        return super().change_view(request, object_id, form_url, {"waits": waits, "own": own})

    def owners_of(self, keys: Any) -> set[tuple[int, int | None]]:
        """Return the owners that the acts are about, and those proposing or deciding operators who own cars."""
        rows = Approval.objects.filter(pk__in=list(keys))
        all_params = list(rows.values_list("params", flat=True))
        payouts = [params["payout"] for params in all_params if "payout" in params]
        disputes = [params["dispute"] for params in all_params if "dispute" in params]
        owners = {(pk, None) for pk in Payout.objects.filter(public_id__in=payouts).values_list("owner_id", flat=True)}
        owners |= {
            (pk, None) for pk in Dispute.objects.filter(public_id__in=disputes).values_list("owner_id", flat=True) if pk
        }
        subjects = owners_of_subjects(str(params.get("owner", "")) for params in all_params)
        return super().owners_of(keys) | owners | subjects

    owner_paths = (("proposed_by__owner__pk", None), ("decided_by__owner__pk", None))
