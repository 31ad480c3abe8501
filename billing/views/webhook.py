"""The webhook for Stripe's events: verify, store, answer. A worker acts on the events (billing/stripe/inbox.py)."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.models import StripeEvent
from billing.stripe import gateway, inbox
from core.api import error_body
from core.errors import DomainError

BODY_MAX_BYTES = 512 * 1024  # far above any event


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Store a signed event and answer 200, also for a repeated event: after any other answer, Stripe sends it again."""
    try:
        if len(request.body) > BODY_MAX_BYTES:
            raise RequestDataTooBig
        event = gateway.verify(request.body, request.headers.get("Stripe-Signature", ""))
    except RequestDataTooBig:
        return JsonResponse(error_body("too_large", "The body is too large for an event."), status=413)
    except DomainError as error:
        return JsonResponse(error_body(error.code, error.message), status=error.status)
    inbox.receive([event], source=StripeEvent.Source.WEBHOOK)
    return JsonResponse({"received": True})
