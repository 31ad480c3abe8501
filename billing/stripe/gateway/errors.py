"""Errors of calls to Stripe, distinguished by what the caller must know: whether Stripe carried the request out."""

from core.errors import DomainError


class CardDeclined(DomainError):
    """The bank refused the card."""

    code = "card_declined"
    status = 402


class StripeRefused(DomainError):
    """Stripe refused the request; nothing was done, and the same request will be refused again."""

    code = "stripe_refused"
    status = 502


class StripeMissing(StripeRefused):
    """Stripe has no such object."""

    code = "stripe_missing"


class StripeUnavailable(DomainError):
    """Stripe did not take the request; nothing was done. Trying later may help."""

    code = "stripe_unavailable"
    status = 503


class StripeMisconfigured(StripeUnavailable):
    """Stripe does not accept our key; nothing was done. An operator must look."""

    code = "stripe_misconfigured"


class StripeUnknownOutcome(DomainError):
    """Stripe may or may not have carried out the request: look before sending again."""

    code = "stripe_unknown_outcome"
    status = 503


class WebhookInvalid(DomainError):
    """This is not an event that Stripe signed for us within the last five minutes."""

    code = "webhook_invalid"
    status = 400
