"""`/api/node/v1/`: what agents call over HTTPS. Bodies are MessagePack of compute.protocol; errors are JSON."""

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
PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")  # one spelling, so that one key cannot be two nodes
FENCE = re.compile(r"[0-9]{1,9}")
View = Callable[..., HttpResponseBase]


def node_endpoint(view: View) -> View:
    """Coded errors as JSON; no CSRF, since nothing here looks at cookies."""

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
    return HttpResponse(protocol.pack(message), content_type=protocol.CONTENT_TYPE)


@node_endpoint
@require_POST
def enrol(request: HttpRequest) -> HttpResponse:
    """One-time code and public key -> node. Signed with the key that is being enrolled."""
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
    """A key that wants to be claimed -> a code to show, or, once its owner has confirmed, its node. Signed with that key."""
    try:
        message = protocol.unpack_pairing(request.body)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(str(error)[:200], code="malformed") from error
    if not PUBLIC_KEY.fullmatch(message.public_key):
        raise InvalidInput("A public key is 64 lower-case hex digits.", code="malformed")
    check_enrolment_signature(request, public_key=message.public_key, body=request.body)
    found = pairings.start(request=message, address=request.META.get("REMOTE_ADDR", ""))
    if isinstance(found, Node):
        return packed(protocol.Pairable(poll_ms=POLL_MS, enrolled=_enrolled(found)))
    code = pairings.written(found.code)
    return packed(
        protocol.Pairable(
            code=code,
            url=request.build_absolute_uri(reverse("pair_confirm", args=[code])),
            expires_in_ms=int((found.expires_at - timezone.now()).total_seconds() * 1000),
            poll_ms=POLL_MS,
        )
    )


@node_endpoint
@require_POST
def credentials(request: HttpRequest) -> HttpResponse:
    """A short-lived NATS user JWT; 403 `consent_required` without consent in force."""
    return packed(nodes.credentials(node=signed_node(request, body=request.body)))


@node_endpoint
@require_POST
def withdraw(request: HttpRequest) -> HttpResponse:
    """The person at the car withdraws a consent. Heard also of a node that is suspended; 403 `node_retired` for one taken out."""
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
    """`sync` over HTTPS: the fallback when NATS is away, and all that a node without consent ever gets."""
    node = signed_node(request, body=request.body)
    try:
        message = protocol.unpack_request(request.body)
    except msgspec.DecodeError as error:
        raise InvalidInput(str(error)[:200], code="malformed") from error
    if message.node != str(node.public_id):
        raise InvalidInput("This sync is of another node.", code="foreign_node")
    return packed(_handle(message))


@node_endpoint
@require_GET
def blob(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A model or a unit's input, by digest, with the grant that came with the lease."""
    node = signed_node(request)
    nodes.require_consent(node=node)  # a grant outlives the consent that it was given under
    leases.check_grant(request.headers.get(protocol.GRANT_HEADER, ""), node=str(node.public_id), sha256=sha256)
    blobs.open_blob(sha256).close()
    return file_response(blobs.path_of(sha256), filename=sha256)


@node_endpoint
@require_http_methods(["PUT"])
def result(request: HttpRequest, attempt: int) -> HttpResponse:
    """A result too large for a report, uploaded before it. Hashed while it streams, kept only if it is what was signed."""
    claimed = claimed_sha256(request)
    node = signed_node(request, body_sha256=claimed)
    header = request.headers.get(protocol.FENCE_HEADER, "")
    fence = int(header) if FENCE.fullmatch(header) else -1
    results.live_attempt(node=node, attempt_id=attempt, fence=fence)  # before a byte of it is kept
    stored = blobs.put_chunks(_as_signed(request, claimed), limit_bytes=settings.RESULT_MAX_BYTES)
    results.attach(node=node, attempt_id=attempt, fence=fence, blob=stored)
    return JsonResponse({"sha256": stored.sha256}, status=201)


@node_endpoint
def nothing(request: HttpRequest, rest: str) -> HttpResponse:
    """Any other address below `/api/node/v1/`."""
    raise NotFound("There is nothing at this address.")


def _as_signed(request: HttpRequest, sha256: bytes) -> Iterator[bytes]:
    """The body in chunks. Raises NotSigned `digest_mismatch` at its end when it is not the one that was signed."""
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
