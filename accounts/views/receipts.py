"""Downloads of an owner's consent receipts, and a public page that verifies any receipt."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access.guards import owner_required
from accounts.models import ConsentRecord, Owner, Purpose
from accounts.receipts import service as receipts
from accounts.receipts.strict_json import MAX_BYTES
from accounts.receipts.verification import ReceiptContents, Report, verify
from core.files import download

FRAME_BYTES = 64 * 1024  # allowance for the multipart form around the file
CONTENT_TYPE = "application/ld+json; charset=utf-8"


@never_cache
@require_GET
@owner_required
def receipt(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponse:
    record = get_object_or_404(ConsentRecord, owner=owner, public_id=public_id)
    return _file(receipts.receipt_text(record), f"driveway-receipt-{record.seq}.jsonld")


@never_cache
@require_GET
@owner_required
def receipt_list(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Return the owner's whole chain of receipts as one file."""
    return _file(receipts.chain_text(owner), "driveway-receipts.jsonld")


@never_cache
@csrf_exempt  # it changes nothing and reads no cookie, so programs may call it too
@require_http_methods(["GET", "HEAD", "POST"])
def receipt_verify(request: HttpRequest) -> HttpResponse:
    """Verify a receipt that anybody sends, as a file or as text. Nothing of it is stored."""
    if request.method != "POST":
        return _page(request)
    data = _submitted(request)
    if data is None:
        wrong = {
            "code": "too_large",
            "message": f"A receipt has at most {MAX_BYTES // 2**20} MB; upload a long one as a file.",
        }
        return _page(request, wrong=wrong, status=413)
    if not data.strip():
        wrong = {"code": "nothing_sent", "message": "Choose a file, or paste a receipt."}
        return _page(request, wrong=wrong, status=400)
    report = verify(data, receipts.key_ring())
    return _page(request, report=report)


def _submitted(request: HttpRequest) -> bytes | None:
    """Return the bytes of the uploaded file, else of the pasted text; None when they are too large to be verified."""
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > MAX_BYTES + FRAME_BYTES:
        return None
    try:
        upload, text = request.FILES.get("file"), request.POST.get("text", "")
    except RequestDataTooBig:
        return None
    if upload is None:
        return text.encode("utf-8", "surrogatepass")
    return upload.read() if (upload.size or 0) <= MAX_BYTES else None


def _page(
    request: HttpRequest, *, report: Report | None = None, wrong: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    ring = receipts.key_ring()
    keys = [
        {"fingerprint": name, "public_key": raw.hex(), "is_present": index == 0}
        for index, (name, raw) in enumerate(ring.raw.items())
    ]
    context = {
        "report": report,
        "seen": _receipt_rows(report) if report else [],
        "complete_at": _time(report.complete_at) if report else None,
        "wrong": wrong,
        "keys": keys,
    }
    return render(request, "accounts/receipt_verify.html", context, status=status)


def _receipt_rows(report: Report) -> list[dict[str, Any]]:
    """Return each receipt of the file with its findings. Its contents are shown as they stand, valid or not."""
    wrong: dict[int, list[Any]] = {}
    for finding in report.findings:
        wrong.setdefault(finding.position, []).append(finding)
    return [{**_contents(seen), "findings": wrong.get(seen.position, [])} for seen in report.receipts]


def _contents(seen: ReceiptContents) -> dict[str, Any]:
    event = seen.said["event"]
    return {
        "seq": seen.seq,
        "receipt_id": seen.receipt_id,
        "purpose_title": dict(Purpose.choices).get(_short(seen.said.get("purpose")), _short(seen.said.get("purpose"))),
        "state": _short(event.get("event_state")),
        "at": _time(event.get("event_time")),
        "expires_at": _time(event.get("expires_at")),
        "vehicle": _short(seen.said.get("vehicle")),
        "language": _short(seen.said.get("language")),
        "notice_sha256": _short(seen.said.get("notice_sha256")),
        "key_id": seen.key_id,
    }


def _short(value: Any) -> str:
    """Return at most 100 characters of a value: the file may come from anybody."""
    return "" if value is None else str(value)[:100]


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else None


def _file(text: str, name: str) -> HttpResponse:
    return download(text, filename=name, content_type=CONTENT_TYPE)
