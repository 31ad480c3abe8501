"""An owner's privacy page: what is held about them, who read it, their exports; and the public proof of an erasure."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import trail as access
from accounts.access.guards import owner_required, signed_in
from accounts.models import AccessEvent, DataExport, ErasureRequest, Owner
from accounts.owners import erasures, exports
from core import workers
from core.errors import DomainError
from core.files import file_response
from marketplace.privacy import holdings, signed_files
from marketplace.privacy.views.account_closing import owed_to

LOG_PAGE = 10
EXPORTS_SHOWN = 5


@never_cache
@require_GET
@owner_required
def privacy(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show everything held about the owner, the log of who read it, the latest exports and a scheduled erasure."""
    events = AccessEvent.objects.filter(owner=owner).select_related("actor__operator", "owner", "vehicle")
    log = Paginator(events.order_by("-at", "-id"), LOG_PAGE).get_page(request.GET.get("page"))
    scheduled = erasures.scheduled(owner)
    context = {
        "owner": owner,
        "sections": holdings.sections(owner),
        "consents": holdings.consents_now(owner),
        "log": log,
        "looks": [_log_entry(event) for event in log],
        "exports": DataExport.objects.filter(owner=owner).order_by("-id")[:EXPORTS_SHOWN],
        "erasure": scheduled,
        "erasure_token": erasures.token_of(scheduled) if scheduled else "",
        "owed": owed_to(owner) if scheduled else "",
        "wait_days": settings.ERASURE_MONEY_WAIT_DAYS,
    }
    return render(request, "privacy/privacy.html", context)


def _log_entry(event: AccessEvent) -> dict[str, Any]:
    return {
        "who": access.name_of(event.actor, reader=event.owner),
        "at": event.at,
        "what": event.what,
        "vehicle": event.vehicle.label if event.vehicle else "",
        "reason": event.reason,
    }


@require_POST
@owner_required
def export_request(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Ask for an export of everything held, and wake the worker that makes it."""
    try:
        exports.request(owner=owner, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        workers.wake("privacy.build_exports")
        messages.success(request, "Your export is being made. You get an e-mail when it is ready, in a few minutes.")
    return redirect("privacy")


@never_cache
@require_GET
@owner_required
def export_download(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponseBase:
    """Send the archive to its owner, until it expires, and record the download in the access log. Otherwise 404."""
    export = get_object_or_404(DataExport, owner=owner, public_id=public_id)
    path = exports.path_of(export)
    if not export.is_downloadable or not path.exists():
        raise Http404
    exports.record_download(export=export, actor=signed_in(request))
    return file_response(
        path, filename=f"driveway-export-{export.created_at:%Y-%m-%d}.zip", content_type="application/zip"
    )


@require_GET
def erasure_proof(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Answer the signed proof of a completed erasure as JSON.

    The page is public: the proof names nobody, and the erased owner can no longer sign in.
    """
    done = get_object_or_404(ErasureRequest, public_id=public_id, status=ErasureRequest.Status.DONE)
    body = {"proof": done.proof, "signature": done.proof_signature, "public_key": signed_files.receipt_public_key()}
    return JsonResponse(body, json_dumps_params={"indent": 1})
