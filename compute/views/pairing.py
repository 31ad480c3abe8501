"""Pages to connect a car's computer by the code on its screen, and to retire one that was lost, sold or replaced."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access.guards import owner_required, signed_in
from accounts.consents.selectors import consents_of
from accounts.models import Owner, Purpose, Vehicle
from accounts.owners.forms import VehicleForm
from compute.models import Node
from compute.nodes import nodes, pairings
from core.errors import Conflict, DomainError, InvalidInput

NEW = "new"
CONNECTED = "The computer is connected to %s. It stands idle until you allow it something below."
CONNECTED_CONSENTED = (
    "The computer is connected to %s. Your consent to run customers' jobs was given for this car and holds for this "
    "computer too: it may begin now. You can withdraw it below."
)
RETIRED = "The computer of %s is disconnected for good: its work has stopped and its key no longer works. The car can be connected to another one."
RETIREMENT_LABELS = {
    "lost": "It was lost or stolen, or I do not know who has it",
    "sold": "It was sold or given away without the car",
    "replaced": "It is broken or being replaced",
}


class ConfirmForm(forms.Form):
    """The choice of a car: one of the owner's, or a new one with its fields in the same form."""

    vehicle = forms.ChoiceField()
    # The fields of a new car, validated by VehicleForm.
    label = forms.CharField(required=False)
    make_model = forms.CharField(required=False)
    vin = forms.CharField(required=False)

    def __init__(self, owner: Owner, data: Any = None) -> None:
        super().__init__(data)
        vehicles = Vehicle.objects.for_owner(owner).order_by("id")
        connected = set(Node.objects.in_use().filter(vehicle__in=vehicles).values_list("vehicle", flat=True))
        # Only cars without a computer are shown, but all are accepted, so that a second click is not an error.
        self.vehicles = {str(vehicle.public_id): vehicle for vehicle in vehicles}
        self.offered = [vehicle for vehicle in vehicles if vehicle.pk not in connected]
        choice = self.fields["vehicle"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(key, vehicle.label) for key, vehicle in self.vehicles.items()] + [
            (NEW, "A car not listed here")
        ]
        choice.error_messages["required"] = "Choose the car that this computer is in."

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("vehicle") == NEW:
            new = VehicleForm(self.data)
            if not new.is_valid():
                for name, errors in new.errors.items():
                    self.add_error(name, list(errors))
        return self.cleaned_data

    @property
    def chosen(self) -> Vehicle | pairings.NewVehicle:
        data = self.cleaned_data
        if data["vehicle"] != NEW:
            return self.vehicles[data["vehicle"]]
        return pairings.NewVehicle(label=data["label"], make_model=data["make_model"], vin=data["vin"])


@never_cache
@require_http_methods(["GET", "POST"])
@owner_required
def pair(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show the form for the code on the car's screen; redirect to the confirmation when the code is valid."""
    if request.method == "GET":
        return _ask_code(request)
    code = request.POST.get("code", "")
    try:
        found = pairings.find(code=code, user=signed_in(request))
    except DomainError as error:
        return _ask_code(request, code=code, error=error)
    return redirect("pair_confirm", found.code)


@never_cache
@require_http_methods(["GET", "POST"])
@owner_required
def pair_confirm(request: HttpRequest, owner: Owner, code: str) -> HttpResponse:
    """Show the computer behind the code, and connect it to the chosen car. The QR code on the screen leads here."""
    form = ConfirmForm(owner, request.POST if request.method == "POST" else None)
    try:
        if form.is_bound and form.is_valid() and (node := _confirm(request, owner, code, form)):
            return redirect(_consents_page(node.vehicle))
        found = pairings.find(code=code, user=signed_in(request))
    except DomainError as error:
        return _ask_code(request, code=code, error=error)
    context = {
        "found": found,
        "form": form,
        "kind": Vehicle.Kind(found.hardware.kind).label,
        "consented": _consented(owner),
    }
    return render(request, "accounts/pair_confirm.html", context, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@owner_required
def node_replace(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Show the car's computers and retire the one in use that was lost, sold or replaced."""
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    node = Node.objects.serving(vehicle)
    error = ""
    if request.method == "POST":
        try:
            # A form that was opened before the computer was replaced must not retire the new one.
            if node is not None and request.POST.get("node", str(node.public_id)) == str(node.public_id):
                nodes.retire(node=node, why=request.POST.get("why", ""), actor=signed_in(request))
                messages.success(request, RETIRED % vehicle.label)
            return redirect("node_replace", vehicle.public_id)
        except DomainError as refused:
            error = refused.message
    computers = Node.objects.filter(vehicle=vehicle).select_related("hardware_class", "presence").order_by("-id")
    context = {
        "vehicle": vehicle,
        "node": next((computer for computer in computers if node is not None and computer.pk == node.pk), None),
        "retired": [_retired(computer) for computer in computers if computer.status == Node.Status.RETIRED],
        "why": RETIREMENT_LABELS.items(),
        "error": error,
        "consented": vehicle.pk in _consented(owner),
    }
    return render(request, "accounts/node_replace.html", context, status=400 if error else 200)


def _confirm(request: HttpRequest, owner: Owner, code: str, form: ConfirmForm) -> Node | None:
    """Connect the computer and return its node. For an error of the chosen car, add it to the form and return None.

    Raise DomainError for an error of the code.
    """
    try:
        node = pairings.confirm(code=code, owner=owner, vehicle=form.chosen, actor=signed_in(request))
    except (InvalidInput, Conflict) as error:
        form.add_error("vin" if error.code.startswith("vin_") else "vehicle", error.message)
        return None
    text = CONNECTED_CONSENTED if node.vehicle_id in _consented(owner) else CONNECTED
    messages.success(request, text % node.vehicle.label)
    return node


def _ask_code(request: HttpRequest, *, code: str = "", error: DomainError | None = None) -> HttpResponse:
    server = request.build_absolute_uri("/").rstrip("/")
    context = {
        "code": pairings.format_code(pairings.normalize_code(code)),
        "error": error.message if error else "",
        "command": f"driveway-agent pair --server {server} --state ./agent",
    }
    return render(request, "accounts/pair.html", context, status=error.status if error else 200)


def _consented(owner: Owner) -> set[int]:
    """Return the ids of vehicles whose consent to run jobs is in force: a new computer there may begin at once."""
    consents = consents_of(list(Vehicle.objects.for_owner(owner)), [Purpose.RUN_JOBS])
    return {vehicle for vehicle, purposes in consents.items() if purposes[Purpose.RUN_JOBS]["is_in_force"]}


def _retired(node: Node) -> dict[str, Any]:
    last = node.events.filter(to_status=Node.Status.RETIRED).first()
    return {
        "hardware": node.hardware_class.title,
        "since": node.created_at,
        "until": last.at if last else None,
        "why": RETIREMENT_LABELS.get(node.status_code, ""),
        "records": node.presence.meter_seq,
        "key": node.public_key,
    }


def _consents_page(vehicle: Vehicle) -> str:
    """Return the URL of the page where the owner decides about this car's consents."""
    try:
        return reverse("vehicle_detail", args=[vehicle.public_id])
    except NoReverseMatch:
        return f"{reverse('vehicle_list')}#{vehicle.public_id}"
