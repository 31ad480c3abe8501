"""What can go wrong at Stripe, as errors of ours: whether it was done is what the caller must know."""

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
    """Stripe may have done it, or not: look before sending again."""

    code = "stripe_unknown_outcome"
    status = 503


class WebhookInvalid(DomainError):
    """This is no event that Stripe signed for us just now."""

    code = "webhook_invalid"
    status = 400
