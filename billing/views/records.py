"""Download of the signed records behind an owner's statement, and the public keys of the platform's signatures."""

from uuid import UUID

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import owner_required
from accounts.models import Owner
from billing.models import Statement
from billing.records import package as statement_package
from billing.records import signing_keys
from core.files import streamed_response


@never_cache
@require_GET
@owner_required
def package(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponseBase:
    """Stream the package of one of the owner's statements as a zip file."""
    statement = get_object_or_404(Statement.objects.select_related("owner"), owner=owner, public_id=public_id)
    return streamed_response(
        statement_package.chunks(statement),
        filename=statement_package.file_name(statement),
        content_type="application/zip",
    )


@require_GET
@cache_control(public=True, max_age=3600)
def keys(request: HttpRequest) -> JsonResponse:
    """Return the public keys with which packages and OCMF records are verified."""
    return JsonResponse(signing_keys.published_keys())
