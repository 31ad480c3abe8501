"""Pages for a car that is sold: its owner gives it up, or its buyer asks for its VIN."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access.guards import owner_required, signed_in
from accounts.models import Owner, Vehicle
from accounts.vehicles import vehicles
from core.errors import DomainError

page = require_http_methods(["GET", "POST"])


class ClaimForm(forms.Form):
    vin = forms.CharField(
        label="VIN",
        min_length=17,
        max_length=17,
        help_text="17 letters and digits, on the car and in its registration document.",
    )


@never_cache
@page
@owner_required
def vehicle_sold(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Ask for confirmation; a POST removes the car from the owner's account for good."""
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    if request.method == "POST":
        vehicles.retire(vehicle=vehicle, actor=signed_in(request), code="sold")
        messages.success(
            request,
            f"{vehicle.label} has left your account: its consents have ended and its VIN is free."
            " What it earned is still paid.",
        )
        return redirect("vehicle_list")
    return render(request, "privacy/vehicle_sold.html", {"vehicle": vehicle})


@never_cache
@page
@owner_required
def vehicle_claim(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Ask the present holder of a VIN to release it. The response does not reveal whether there is one."""
    form = ClaimForm(request.POST if request.method == "POST" else None)
    form.fields["vin"].widget.attrs |= {"class": "input--code", "autocomplete": "off", "spellcheck": "false"}
    if request.method == "POST" and form.is_valid():
        try:
            vehicles.claim(owner=owner, vin=form.cleaned_data["vin"], actor=signed_in(request))
        except DomainError as error:
            form.add_error("vin", error.message)
        else:
            messages.success(
                request,
                "If another account holds this VIN, its owner has been asked to release it."
                " Try to add the car in a few days.",
            )
            return redirect("vehicle_list")
    return render(request, "privacy/vehicle_claim.html", {"form": form}, status=400 if form.errors else 200)
