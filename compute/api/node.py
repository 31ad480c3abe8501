"""`/api/node/v1/`: the endpoints for agents. Bodies are MessagePack messages of compute.protocol; errors are JSON."""

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute import blobs, protocol
from compute.api.node_authentication import NotSigned, check_enrolment_signature, claimed_sha256, signed_node
from compute.dispatch import leases
from compute.jobs import results
from compute.models import Node
from compute.nodes import nodes, pairings, withdrawals
from compute.sync import sync
from core.api import error_body
from core.db import atomic_retrying
from core.errors import DomainError, InvalidInput, NotFound
from core.files import file_response

POLL_MS = 3000
PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")  # only one spelling of a key, so that one key cannot become two nodes
FENCE = re.compile(r"[0-9]{1,9}")
View = Callable[..., HttpResponseBase]


def node_endpoint(view: View) -> View:
    """Return the view with its errors as JSON. It needs no CSRF protection, because it does not read cookies."""

    @csrf_exempt
    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except DomainError as error:
            return JsonResponse(error_body(error.code, error.message, error.fields), status=error.status)
        except RequestDataTooBig:
            return JsonResponse(error_body("too_large", "The message is too large."), status=413)
        if isinstance(response, HttpResponseNotAllowed):
            body = error_body("method_not_allowed", f"Method {request.method} is not allowed here.")
            return JsonResponse(body, status=405, headers={"Allow": response["Allow"]})
        return response

    return wrapper


def packed(message: protocol.Message) -> HttpResponse:
    """Return the message as a MessagePack response."""
    return HttpResponse(protocol.pack(message), content_type=protocol.CONTENT_TYPE)


@node_endpoint
@require_POST
def enrol(request: HttpRequest) -> HttpResponse:
    """Enrol a node by a one-time code. The request is signed with the key that is being enrolled."""
    try:
        enrolment = protocol.unpack_enrolment(request.body)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(str(error)[:200], code="malformed") from error
    if not PUBLIC_KEY.fullmatch(enrolment.public_key):
        raise InvalidInput("A public key is 64 lower-case hex digits.", code="malformed")
    check_enrolment_signature(request, public_key=enrolment.public_key, body=request.body)
    return packed(_enrolled(nodes.enrol(request=enrolment)))


@node_endpoint
@require_POST
def pairing(request: HttpRequest) -> HttpResponse:
    """Answer with the pairing code of a new key, or with its node once the owner has confirmed the code.

    The request is signed with that key.
    """
    try:
        message = protocol.unpack_pairing(request.body)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(str(error)[:200], code="malformed") from error
    if not PUBLIC_KEY.fullmatch(message.public_key):
        raise InvalidInput("A public key is 64 lower-case hex digits.", code="malformed")
    check_enrolment_signature(request, public_key=message.public_key, body=request.body)
    started = pairings.start(request=message, address=request.META.get("REMOTE_ADDR", ""))
    if isinstance(started, Node):
        return packed(protocol.Pairable(poll_ms=POLL_MS, enrolled=_enrolled(started)))
    code = pairings.format_code(started.code)
    return packed(
        protocol.Pairable(
            code=code,
            url=request.build_absolute_uri(reverse("pair_confirm", args=[code])),
            expires_in_ms=int((started.expires_at - timezone.now()).total_seconds() * 1000),
            poll_ms=POLL_MS,
        )
    )


@node_endpoint
@require_POST
def credentials(request: HttpRequest) -> HttpResponse:
    """Issue a short-lived NATS user JWT. Answer 403 `consent_required` without consent in force."""
    return packed(nodes.credentials(node=signed_node(request, body=request.body)))


@node_endpoint
@require_POST
def withdraw(request: HttpRequest) -> HttpResponse:
    """Withdraw a consent for the person at the car.

    A suspended node may do this; a retired one gets 403 `node_retired`.
    """
    node = signed_node(request, body=request.body)
    try:
        message = protocol.unpack_withdrawal(request.body)
    except msgspec.DecodeError as error:
        raise InvalidInput(str(error)[:200], code="malformed") from error
    if message.version != protocol.VERSION:
        raise InvalidInput(f"This server speaks version {protocol.VERSION}.", code="unsupported_version")
    return packed(withdrawals.withdraw(node=node, purpose=message.purpose))


@node_endpoint
@require_POST
def synchronize(request: HttpRequest) -> HttpResponse:
    """Handle a `sync` over HTTPS: the fallback when NATS cannot be reached, and the only way without consent."""
    node = signed_node(request, body=request.body)
    try:
        message = protocol.unpack_request(request.body)
    except msgspec.DecodeError as error:
        raise InvalidInput(str(error)[:200], code="malformed") from error
    if message.node != str(node.public_id):
        raise InvalidInput("This sync belongs to another node.", code="foreign_node")
    return packed(_handle(message))


@node_endpoint
@require_GET
def blob(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """Return a model or a unit's input by its digest. The request carries the grant that came with the lease."""
    node = signed_node(request)
    nodes.require_consent(node=node)  # a grant stays valid for a while after the consent has ended
    leases.check_grant(request.headers.get(protocol.GRANT_HEADER, ""), node=str(node.public_id), sha256=sha256)
    blobs.open_blob(sha256).close()
    return file_response(blobs.path_of(sha256), filename=sha256)


@node_endpoint
@require_http_methods(["PUT"])
def result(request: HttpRequest, attempt: int) -> HttpResponse:
    """Store a result that is too large for a report; the report follows.

    The body is hashed while it is streamed and is kept only if it has the digest that was signed.
    """
    claimed = claimed_sha256(request)
    node = signed_node(request, body_sha256=claimed)
    header = request.headers.get(protocol.FENCE_HEADER, "")
    fence = int(header) if FENCE.fullmatch(header) else -1
    results.live_attempt(node=node, attempt_id=attempt, fence=fence)  # refuse before anything is stored
    stored = blobs.put_chunks(_as_signed(request, claimed), limit_bytes=settings.RESULT_MAX_BYTES)
    results.attach(node=node, attempt_id=attempt, fence=fence, blob=stored)
    return JsonResponse({"sha256": stored.sha256}, status=201)


@node_endpoint
def unknown_path(request: HttpRequest, rest: str) -> HttpResponse:
    """Answer 404 at any other address below `/api/node/v1/`."""
    raise NotFound("There is nothing at this address.")


def _as_signed(request: HttpRequest, sha256: bytes) -> Iterator[bytes]:
    """Yield the body in chunks. At its end raise NotSigned `digest_mismatch` if it is not the body that was signed."""
    digest = hashlib.sha256()
    while chunk := request.read(blobs.CHUNK_BYTES):
        digest.update(chunk)
        yield chunk
    if digest.digest() != sha256:
        raise NotSigned("The body is not the one that was signed.", code="digest_mismatch")


def _enrolled(node: Node) -> protocol.Enrolled:
    return protocol.Enrolled(
        node=str(node.public_id),
        hardware_class=node.hardware_class.slug,
        power_mw=node.hardware_class.power_mw,
        policy=nodes.policy_of(node.vehicle_id),
        poll_ms=POLL_MS,
    )


@atomic_retrying
def _handle(message: protocol.SyncRequest) -> protocol.SyncResponse:
    return sync.handle([message], carrier="https")[0]
