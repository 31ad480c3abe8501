"""An owner's vehicles: the list, the page of one vehicle, adding one, and enrolling its agent."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access.guards import owner_required, signed_in
from accounts.consents import notices
from accounts.consents.selectors import consents_of
from accounts.models import VEHICLE_PURPOSES, Owner, Purpose, Vehicle
from accounts.owners.forms import VehicleForm, add_error
from accounts.vehicles import vehicles as vehicle_services
from billing.earnings import selectors as earnings
from compute.jobs.activity import attempts_of
from compute.jobs.selectors import energy_methods
from compute.models import Node
from compute.nodes import nodes
from compute.nodes.history_selectors import availability_by_day, costliest_reasons
from compute.views.activity import rows_of
from core.errors import DomainError
from marketplace.views.vehicle_facts import computer_of, nodes_of, state_of

DAYS = 7
RECENT = 5


@never_cache
@require_GET
@owner_required
def vehicle_list(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show each vehicle with its state, its consent and its earnings, and the total."""
    vehicles = list(Vehicle.objects.for_owner(owner).order_by("id"))
    node_of, consents = (
        nodes_of(vehicles),
        consents_of(vehicles, [Purpose.RUN_JOBS], language=notices.language_of(owner)),
    )
    earned = {row.key.pk: row for row in earnings.vehicles(owner)}
    shown = []
    for vehicle in vehicles:
        consent = consents[vehicle.pk][Purpose.RUN_JOBS]
        shown.append(
            {
                "vehicle": vehicle,
                "consent": consent,
                "state": state_of(node_of.get(vehicle.pk), consent),
                "has_agent": vehicle.pk in node_of,
                "earned": earned.get(vehicle.pk, earnings.NO_EARNINGS),
            }
        )
    context = {"vehicles": shown, "totals": earnings.total(earned.values()), "currency": owner.currency}
    return render(request, "accounts/vehicle_list.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@owner_required
def vehicle_add(request: HttpRequest, owner: Owner) -> HttpResponse:
    form = VehicleForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            vehicle = vehicle_services.add_vehicle(owner=owner, actor=signed_in(request), **form.cleaned_data)
        except DomainError as error:
            add_error(form, error)
        else:
            return redirect("vehicle_enrol", vehicle.public_id)
    status = 400 if request.method == "POST" else 200
    return render(request, "accounts/vehicle_add.html", {"form": form}, status=status)


@never_cache
@require_GET
@owner_required
def vehicle_detail(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Show one vehicle; with `?fragment=state` only its state, which the page refreshes."""
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner).select_related("policy"), public_id=public_id)
    node = nodes_of([vehicle]).get(vehicle.pk)
    consents = consents_of([vehicle], language=notices.language_of(owner))[vehicle.pk]
    context = {"vehicle": vehicle, "state": state_of(node, consents[Purpose.RUN_JOBS])}
    if request.GET.get("fragment") == "state":
        return render(request, "accounts/_vehicle_state.html", context)
    method = energy_methods([node.pk]).get(node.pk, "") if node else ""
    recent = attempts_of(vehicle, each=RECENT, related=["usage__rated"])
    context |= {
        "consent": consents[Purpose.RUN_JOBS],
        "consents": [consents[purpose] for purpose in VEHICLE_PURPOSES if purpose != Purpose.RUN_JOBS],
        "computer": computer_of(vehicle, node, method),
        "keeps_history": consents[Purpose.AVAILABILITY]["is_in_force"],
        "days": availability_by_day(vehicle, time_zone=owner.time_zone, days=DAYS)[::-1],
        "costliest": costliest_reasons(vehicle),
        "attempts": rows_of(recent.attempts, owner),
        "earned": earnings.vehicle_total(vehicle, owner),
        "currency": owner.currency,
    }
    return render(request, "accounts/vehicle_detail.html", context)


@never_cache
@require_GET
@owner_required
def vehicle_enrol(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Create a one-time code for the agent of this vehicle and show it.

    A vehicle that has an agent redirects to its page.
    """
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    if Node.objects.serving(vehicle) is not None:
        return redirect("vehicle_detail", vehicle.public_id)
    code, row = nodes.create_enrolment_code(vehicle=vehicle, actor=signed_in(request))
    server = request.build_absolute_uri("/").rstrip("/")
    context = {
        "vehicle": vehicle,
        "code": code,
        "expires_at": row.expires_at,
        "command": f"driveway-agent enrol --server {server} --code {code} --state ./agent",
    }
    return render(request, "accounts/vehicle_enrol.html", context)
