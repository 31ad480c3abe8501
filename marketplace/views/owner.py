"""An owner's vehicles: consent, what runs on them, what they earned."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import owner_required, signed_in
from accounts.consent_selectors import consents_of
from accounts.forms import VehicleForm, add_error
from accounts.models import Owner, Purpose, Vehicle
from accounts.services import notices
from accounts.services import vehicles as vehicle_services
from billing.selectors import Earnings, earnings_by_owner, earnings_by_vehicle
from compute.models import Attempt, Node
from compute.reasons import sentence
from compute.selectors import energy_methods, recent_attempts
from compute.services import nodes
from marketplace.core.errors import DomainError
from marketplace.core.money import format_micro


@never_cache
@require_GET
@owner_required
def vehicle_list(request: HttpRequest, owner: Owner) -> HttpResponse:
    return _page(request, owner, VehicleForm())


@require_POST
@owner_required
def vehicle_add(request: HttpRequest, owner: Owner) -> HttpResponse:
    form = VehicleForm(request.POST)
    if form.is_valid():
        try:
            vehicle = vehicle_services.add_vehicle(owner=owner, actor=signed_in(request), **form.cleaned_data)
        except DomainError as error:
            add_error(form, error)
        else:
            return redirect("vehicle_enrol", vehicle.public_id)
    return _page(request, owner, form, status=400)


@never_cache
@require_GET
@owner_required
def vehicle_enrol(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """A fresh one-time code for the agent of this vehicle."""
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    if Node.objects.serving(vehicle) is not None:
        return redirect("vehicle_list")
    code, row = nodes.create_enrolment_code(vehicle=vehicle, actor=signed_in(request))
    server = request.build_absolute_uri("/").rstrip("/")
    context = {
        "vehicle": vehicle,
        "code": code,
        "expires_at": row.expires_at,
        "command": f"driveway-agent enrol --server {server} --code {code} --state ./agent",
    }
    return render(request, "accounts/vehicle_enrol.html", context)


def _page(request: HttpRequest, owner: Owner, form: VehicleForm, *, status: int = 200) -> HttpResponse:
    vehicles = list(Vehicle.objects.for_owner(owner).select_related("policy").order_by("id"))
    ids = [vehicle.pk for vehicle in vehicles]
    found = Node.objects.in_use().filter(vehicle_id__in=ids).select_related("presence", "hardware_class")
    node_of = {node.vehicle_id: node for node in found}
    of_vehicles = consents_of(vehicles, language=notices.language_of(owner))
    consents = {vehicle_id: list(purposes.values()) for vehicle_id, purposes in of_vehicles.items()}
    earned = {row.vehicle_id: row for row in earnings_by_vehicle([owner])}
    recent = recent_attempts(ids, related=["usage__rated"])
    methods = energy_methods([node.pk for node in node_of.values()])
    shown = []
    for vehicle in vehicles:
        node = node_of.get(vehicle.pk)
        shown.append(
            {
                "public_id": vehicle.public_id,
                "label": vehicle.label,
                "make_model": vehicle.make_model,
                "get_kind_display": vehicle.get_kind_display(),
                **_status(node, consents[vehicle.pk]),
                "node": _node(node, methods),
                "consents": consents[vehicle.pk],
                "earned": _earned(earned.get(vehicle.pk), owner.currency),
                "attempts_recent": [_attempt(a, owner.currency) for a in recent[vehicle.pk]],
            }
        )
    totals = _earned(next(iter(earnings_by_owner([owner])), None), owner.currency)
    context = {"vehicles": shown, "totals": totals, "form": form}
    return render(request, "accounts/vehicle_list.html", context, status=status)


def _status(node: Node | None, consents: list[dict[str, Any]]) -> dict[str, Any]:
    state = next((c["state"] for c in consents if c["purpose"] == Purpose.RUN_JOBS), "none")
    if node is None:
        return {"is_available": False, "status_label": "No agent", "reason_sentence": "No agent is enrolled yet."}
    if state not in ("given", "renewed"):
        code = f"consent_{'missing' if state == 'none' else state}"
        return {"is_available": False, "status_label": "Not working", "reason_sentence": sentence(code)}
    if node.presence.is_away:
        return {"is_available": False, "status_label": "Away", "reason_sentence": sentence("away")}
    if node.presence.available:
        return {"is_available": True, "status_label": "Available", "reason_sentence": ""}
    return {"is_available": False, "status_label": "Paused", "reason_sentence": sentence(node.presence.reason)}


def _node(node: Node | None, methods: dict[int, str]) -> dict[str, Any] | None:
    if node is None:
        return None
    return {
        "status": node.status,
        "hardware_class": node.hardware_class.title,
        "last_seen_at": node.presence.last_sync_at,
        "energy_method": methods.get(node.pk, ""),
    }


def _earned(earned: Earnings | None, currency: str) -> dict[str, str]:
    parts = ("gross", "energy_cost", "wear", "net")
    amounts = {part: getattr(earned, f"{part}_micro") if earned else 0 for part in parts}
    return {part: format_micro(amount, currency) for part, amount in amounts.items()}


def _attempt(attempt: Attempt, currency: str) -> dict[str, Any]:
    usage = getattr(attempt, "usage", None)
    rated = getattr(usage, "rated", None)
    return {
        "model_name": attempt.job.artifact.name,
        "items": attempt.unit.items,
        "compute_s": f"{usage.compute_ms / 1000:.1f}" if usage else "",
        "energy_wh": f"{usage.energy_mwh / 1000:.3f}" if usage else "",
        "net": format_micro(rated.net_micro, currency) if rated else "",
        "outcome": attempt.status,
        "finished_at": attempt.ended_at or attempt.reported_at,
    }
