"""The page on which an owner edits and pauses a car's rules. The car evaluates the rules; the site only stores them."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access.guards import owner_required, signed_in
from accounts.models import Owner, OwnerPolicy, Vehicle
from accounts.policies import presets, rules, summary
from accounts.policies import service as policies
from accounts.policies.forms import PolicyForm
from accounts.views.redirects import return_address
from core import workers
from core.errors import DomainError, InvalidInput


@never_cache
@require_http_methods(["GET", "POST"])
@owner_required
def policy_edit(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Show the rules. A POST performs its `action` (see ACTIONS; without one it saves).

    After an error and after actions that do not save, the page shows what was typed.
    """
    vehicle = _vehicle(owner, public_id)
    if request.method == "GET":
        return _page(request, vehicle, PolicyForm(vehicle.policy))
    action, _, subject = request.POST.get("action", "save").partition(":")
    if action not in ACTIONS:
        raise Http404
    return ACTIONS[action](request, vehicle, subject)


@require_POST
@owner_required
def policy_pause(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    """Pause or resume the car; `kind` is "hour", "tomorrow", "finish", "open" or "resume". Then redirect to `next`."""
    vehicle, kind = _vehicle(owner, public_id), request.POST.get("kind", "")
    try:
        if kind == "resume":
            policies.resume(vehicle=vehicle, actor=signed_in(request))
        else:
            policies.pause(vehicle=vehicle, kind=kind, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, MESSAGES[kind] % {"label": vehicle.label})
    return redirect(return_address(request, reverse("policy_edit", args=[public_id]) + "#pause"))


MESSAGES = {
    "hour": "%(label)s is paused for an hour.",
    "tomorrow": "%(label)s is paused until tomorrow morning.",
    "finish": "%(label)s finishes what it has begun and then stops.",
    "open": "%(label)s is paused until you resume.",
    "resume": "%(label)s may work again, as its rules say.",
}


def _save(request: HttpRequest, vehicle: Vehicle, _: str) -> HttpResponse:
    form = PolicyForm(vehicle.policy, request.POST)
    if not form.is_valid():
        return _page(request, vehicle, form, status=400)
    try:
        policy = policies.update_policy(
            vehicle=vehicle, version=_version(request), actor=signed_in(request), **form.rules()
        )
    except InvalidInput as error:
        form.refuse(error.fields)
        return _page(request, vehicle, form, status=error.status)
    except DomainError as error:
        return _page(request, vehicle, form, conflict=error.message, status=error.status)
    return _redirect_after(request, vehicle.policy, policy)


def _preview(request: HttpRequest, vehicle: Vehicle, _: str) -> HttpResponse:
    """Describe the rules as typed, without saving.

    With `fragment` return only the description, for the page's script.
    """
    form = PolicyForm(vehicle.policy, request.POST)
    sentences = summary.describe(vehicle.policy, form.rules()) if form.is_valid() else []
    if "fragment" in request.POST:
        return render(request, "accounts/_policy_summary.html", {"sentences": sentences, "preview": True})
    return _page(request, vehicle, form, preview=sentences)


def _preset(request: HttpRequest, vehicle: Vehicle, preset: str) -> HttpResponse:
    return _apply(
        request,
        vehicle,
        lambda version: policies.apply_preset(
            vehicle=vehicle, preset=preset, version=version, actor=signed_in(request)
        ),
    )


def _undo(request: HttpRequest, vehicle: Vehicle, _: str) -> HttpResponse:
    return _apply(
        request, vehicle, lambda version: policies.undo(vehicle=vehicle, version=version, actor=signed_in(request))
    )


def _apply(request: HttpRequest, vehicle: Vehicle, change: Any) -> HttpResponse:
    """Call `change` with the version of the rules that the page showed, and report a refusal on the page."""
    try:
        policy = change(_version(request))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("policy_edit", vehicle.public_id)
    return _redirect_after(request, vehicle.policy, policy)


def _add_row(request: HttpRequest, vehicle: Vehicle, subject: str) -> HttpResponse:
    form = PolicyForm(vehicle.policy, request.POST)
    form.as_typed()
    _list(form, subject).add()
    return _page(request, vehicle, form)


def _remove_row(request: HttpRequest, vehicle: Vehicle, subject: str) -> HttpResponse:
    form = PolicyForm(vehicle.policy, request.POST)
    form.as_typed()
    field, _, number = subject.rpartition("-")
    _list(form, field).remove(int(number) if number.isdecimal() else -1)
    return _page(request, vehicle, form)


ACTIONS = {
    "save": _save,
    "preview": _preview,
    "preset": _preset,
    "undo": _undo,
    "add": _add_row,
    "remove": _remove_row,
}


def _list(form: PolicyForm, field: str) -> Any:
    if field not in form.lists:
        raise Http404
    return form.lists[field]


def _redirect_after(request: HttpRequest, before: OwnerPolicy, after: OwnerPolicy) -> HttpResponse:
    page = reverse("policy_edit", args=[after.vehicle.public_id])
    if after.rules_version == before.rules_version:
        messages.info(request, "The rules are already like this: nothing was changed.")
        return redirect(page)
    workers.wake("compute.price_nodes")
    return redirect(f"{page}?saved={after.rules_version}")


def _page(
    request: HttpRequest,
    vehicle: Vehicle,
    form: PolicyForm,
    *,
    preview: Any = None,
    conflict: str = "",
    status: int = 200,
) -> HttpResponse:
    policy = vehicle.policy
    if conflict:
        policy.refresh_from_db()
    now = rules.rules_of(policy)
    context = {
        "vehicle": vehicle,
        "policy": policy,
        "form": form,
        "wrong": list(form.wrong()),
        "conflict": conflict,
        "unsaved": status != 200,
        "saved": request.method == "GET"
        and request.GET.get("saved") == str(policy.rules_version)
        and policy.previous is not None,
        "sentences": summary.describe(policy, now) if preview is None else preview,
        "preview": preview is not None,
        "presets": presets.PRESETS,
        "preset_now": presets.matching_code(now),
    }
    return render(request, "accounts/policy_edit.html", context, status=status)


def _vehicle(owner: Owner, public_id: UUID) -> Vehicle:
    return get_object_or_404(Vehicle.objects.for_owner(owner).select_related("policy", "owner"), public_id=public_id)


def _version(request: HttpRequest) -> int:
    """Return the version of the rules that the form was made from; 0, which is never current, if it is not a number."""
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
