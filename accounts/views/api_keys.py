"""Pages on which a customer lists, creates and revokes its API keys."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access.guards import organization_required, signed_in
from accounts.api_keys import keys as api_keys
from accounts.models import ApiKey, Organization, Scope
from accounts.owners.forms import ApiKeyForm


@never_cache
@require_GET
@organization_required
def api_key_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _keys_page(request, organization, ApiKeyForm())


@never_cache
@require_POST
@organization_required
def api_key_create(request: HttpRequest, organization: Organization) -> HttpResponse:
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _keys_page(request, organization, form, status=400)
    data = form.cleaned_data
    _, text = api_keys.create_api_key(
        organization=organization,
        name=data["name"],
        scopes=data["scopes"],
        expires_days=data["expires_in_days"],
        actor=signed_in(request),
    )
    # The key's text is not stored and is shown in this response only, so there is no redirect after the POST.
    return _keys_page(request, organization, ApiKeyForm(), new_key=text)


@require_POST
@organization_required
def api_key_revoke(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    key = get_object_or_404(ApiKey, organization=organization, public_id=public_id)
    api_keys.revoke_api_key(key=key, actor=signed_in(request))
    messages.success(request, f"The key {key.name} has been revoked and no longer works.")
    return redirect("api_keys")


def _keys_page(
    request: HttpRequest, organization: Organization, form: ApiKeyForm, *, new_key: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "keys": ApiKey.objects.filter(organization=organization).order_by("-id"),
        "form": form,
        "scope_choices": Scope.choices,
        "new_key": new_key,
    }
    return render(request, "accounts/api_keys.html", context, status=status)
