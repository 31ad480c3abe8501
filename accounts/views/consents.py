"""Pages on which an owner gives and withdraws consents and reads their texts and history."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access.guards import owner_required, signed_in
from accounts.consents import consents, notices, regions
from accounts.consents.selectors import consents_of, personal_consents_of, undo_of
from accounts.models import (
    IN_FORCE,
    PERSONAL,
    VEHICLE_PURPOSES,
    ConsentNotice,
    ConsentRecord,
    ConsentState,
    Owner,
    Purpose,
    Vehicle,
)
from accounts.views.redirects import return_address
from core.errors import Conflict, DomainError

MESSAGES = {
    ConsentState.GIVEN: "Consent given for %s. You can withdraw it here at any time.",
    ConsentState.RENEWED: "Consent renewed for %s. You can withdraw it here at any time.",
    ConsentState.REFUSED: "You refused. Nothing else changes.",
    ConsentState.WITHDRAWN: "Withdrawn for %s.",
}
STOPPING_MESSAGE = "Withdrawn for %s. Running work is being stopped; what it earned is still paid."
METHODS = {
    "portal": "On this site",
    "agent": "At the car",
    "unsubscribe": "By the link in a mail",
    "expiry": "Automatically, at its end",
    "notice_changed": "Automatically: its text is no longer valid",
}
UNDO_SESSION_KEY = "consent_undo"  # session key: public id of the record that the page offers to undo


@never_cache
@require_GET
@owner_required
def consent_centre(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show every purpose for every car. Each is a separate decision."""
    return _centre(request, owner)


@require_POST
@owner_required
def consent_decide(request: HttpRequest, owner: Owner, public_id: UUID, purpose: str) -> HttpResponse:
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    if purpose not in VEHICLE_PURPOSES:
        raise Http404
    return _decide(request, purpose, vehicle.label, f"#{purpose}-{public_id}", vehicle=vehicle)


@require_POST
@owner_required
def consent_decide_personal(request: HttpRequest, owner: Owner, purpose: str) -> HttpResponse:
    if purpose not in PERSONAL:
        raise Http404
    return _decide(request, purpose, Purpose(purpose).label, f"#{purpose}", owner=owner)


@require_POST
@owner_required
def consent_withdraw_all(request: HttpRequest, owner: Owner) -> HttpResponse:
    count = consents.withdraw_everything(owner=owner, actor=signed_in(request), method="portal")
    messages.success(
        request, f"All your cars are stopping: {count} consents withdrawn. What they earned is still paid."
    )
    return redirect(return_address(request, reverse("vehicle_list")))


@require_POST
@owner_required
def region_choose(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    region = request.POST.get("region", "")
    try:
        regions.choose_region(vehicle=vehicle, region=region, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, f"{vehicle.label}: {error.message}")
        wrong = {vehicle.pk: {"value": region, "message": error.message}}
        return _centre(request, owner, wrong_regions=wrong, status=error.status)
    kept = f"{vehicle.region} is kept" if vehicle.region else "No region is kept"
    messages.success(request, f"{kept} for {vehicle.label}.")
    return redirect(return_address(request, reverse("consent_centre") + f"#region-{public_id}"))


@require_GET
def consent_notice(request: HttpRequest, purpose: str, version: int) -> HttpResponse:
    """Show a consent text in one language. The texts are public."""
    texts = list(ConsentNotice.objects.filter(purpose=purpose, version=version).order_by("language"))
    notice = notices.best_language(texts, request.GET.get("language", notices.DEFAULT_LANGUAGE))
    if notice is None:
        raise Http404
    return render(request, "accounts/consent_notice.html", {"notice": notice, "texts": texts})


@never_cache
@require_GET
@owner_required
def consent_history(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    records = ConsentRecord.objects.filter(vehicle=vehicle).select_related("notice").defer("payload").order_by("-seq")
    context = {"vehicle": vehicle, "records": [_record_context(record) for record in records]}
    return render(request, "accounts/consent_history.html", context)


def _record_context(record: ConsentRecord) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "public_id": record.public_id,
        "purpose": record.purpose,
        "purpose_title": dict(Purpose.choices).get(record.purpose, record.purpose),
        "notice_version": record.notice.version,
        "language": record.notice.language,
        "state": record.state,
        "at": record.at,
        "expires_at": record.expires_at,
        "method": METHODS.get(record.method, record.method),
        "hash": record.hash,
        "prev_hash": record.prev_hash,
    }


def _decide(request: HttpRequest, purpose: str, name: str, fragment: str, **about: Any) -> HttpResponse:
    version = request.POST.get("notice_version", "")
    try:
        if request.POST.get("decision") == ConsentState.GIVEN and not version.isdecimal():
            raise Conflict("State which version of the text you agree to.", code="notice_changed")
        record = consents.decide(
            purpose=purpose,
            decision=request.POST.get("decision", ""),
            actor=signed_in(request),
            method="portal",
            notice_version=int(version) if version.isdecimal() and len(version) < 9 else None,
            language=request.POST.get("notice_language") or None,
            **about,
        )
    except DomainError as error:
        messages.error(request, error.message)
    else:
        state = ConsentState(record.state)
        text = STOPPING_MESSAGE if (purpose, state) == (Purpose.RUN_JOBS, ConsentState.WITHDRAWN) else MESSAGES[state]
        messages.success(request, text % name if "%s" in text else text)
        if state not in IN_FORCE:
            request.session[UNDO_SESSION_KEY] = str(record.public_id)
    return redirect(return_address(request, reverse("consent_centre") + fragment))


def _centre(
    request: HttpRequest, owner: Owner, *, wrong_regions: dict[int, dict[str, str]] | None = None, status: int = 200
) -> HttpResponse:
    language = notices.language_of(owner)
    vehicles = list(Vehicle.objects.for_owner(owner).order_by("id"))
    of_vehicles, personal = consents_of(vehicles, language=language), personal_consents_of(owner, language=language)
    texts = notices.current_notices(language)
    undo = request.session.pop(UNDO_SESSION_KEY, None)
    context = {
        "vehicles": vehicles,
        "purposes": [
            {
                "notice": texts[purpose],
                "is_needed": purpose == Purpose.RUN_JOBS,
                "is_region": purpose == Purpose.REGION,
                "rows": [
                    _row(car, of_vehicles[car.pk][purpose], (wrong_regions or {}).get(car.pk)) for car in vehicles
                ],
            }
            for purpose in VEHICLE_PURPOSES
        ],
        "personal": [{"notice": texts[purpose], "consent": personal[purpose]} for purpose in PERSONAL],
        "undo": undo_of(owner, undo) if undo else None,
        "country": owner.country,
        "language": language,
        "can_stop": any(
            c["state"] in (*IN_FORCE, "outdated") for of_car in of_vehicles.values() for c in of_car.values()
        ),
    }
    return render(request, "accounts/consent_centre.html", context, status=status)


def _row(vehicle: Vehicle, consent: dict[str, Any], wrong: dict[str, str] | None) -> dict[str, Any]:
    """Return a row of the page. `key` is its id in the HTML."""
    return {"vehicle": vehicle, "consent": consent, "wrong": wrong, "key": f"{consent['purpose']}-{vehicle.public_id}"}
