"""Owners' consents: deciding, withdrawing, the texts and the history."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import owner_required, signed_in
from accounts.models import (
    ConsentNotice,
    ConsentRecord,
    ConsentState,
    Owner,
    Purpose,
    Vehicle,
)
from accounts.services import consents
from marketplace.core.errors import DomainError

SAID = {
    ConsentState.GIVEN: "Consent given for %s. You can withdraw it here at any time.",
    ConsentState.REFUSED: "Noted: no. Nothing else changes.",
    ConsentState.WITHDRAWN: "Withdrawn for %s. Running work is being stopped; what it earned is still paid.",
}


@require_POST
@owner_required
def consent_decide(request: HttpRequest, owner: Owner, public_id: UUID, purpose: str) -> HttpResponse:
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    if purpose not in Purpose.values:
        raise Http404
    decision, version = request.POST.get("decision", ""), request.POST.get("notice_version", "")
    try:
        consents.decide(
            vehicle=vehicle,
            purpose=purpose,
            decision=decision,
            actor=signed_in(request),
            method="portal",
            notice_version=int(version) if version.isdecimal() else None,
        )
    except DomainError as error:
        messages.error(request, error.message)
    else:
        text = SAID[ConsentState(decision)]
        messages.success(request, text % vehicle.label if "%s" in text else text)
    return redirect(f"/vehicles/#{vehicle.public_id}")


@require_POST
@owner_required
def consent_withdraw_all(request: HttpRequest, owner: Owner) -> HttpResponse:
    count = sum(
        consents.withdraw_all(owner=owner, purpose=purpose, actor=signed_in(request), method="portal")
        for purpose in Purpose.values
    )
    messages.success(
        request, f"All your cars are stopping: {count} consents withdrawn. What they earned is still paid."
    )
    return redirect("vehicle_list")


@require_GET
def consent_notice(request: HttpRequest, purpose: str, version: int) -> HttpResponse:
    """The text itself is public: anybody may read what owners are asked."""
    notice = get_object_or_404(ConsentNotice, purpose=purpose, version=version, language="en")
    return render(request, "accounts/consent_notice.html", {"notice": notice})


@require_GET
@owner_required
def consent_history(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    titles = dict(Purpose.choices)
    records = [
        {
            "seq": record.seq,
            "purpose_title": titles.get(record.purpose, record.purpose),
            "state": record.state,
            "at": record.at,
            "method": record.method,
            "hash": record.hash,
            "prev_hash": record.prev_hash,
        }
        for record in ConsentRecord.objects.filter(vehicle=vehicle).order_by("-seq")
    ]
    return render(request, "accounts/consent_history.html", {"vehicle": vehicle, "records": records})
