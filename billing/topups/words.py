"""Texts about saved cards: their names, their expiry, and why one could not be charged."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone

from billing.models import SavedCard

BRANDS = {
    "amex": "American Express",
    "cartes_bancaires": "Cartes Bancaires",
    "diners": "Diners Club",
    "discover": "Discover",
    "eftpos_au": "eftpos",
    "jcb": "JCB",
    "link": "Link",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
    "us_bank_account": "Bank account",
    "sepa_debit": "Bank account",
}


def title(card: SavedCard) -> str:
    """Return the card's name: "Visa, ends in 4242"."""
    brand = BRANDS.get(card.brand, "Card")
    return f"{brand}, ends in {card.last4}" if card.last4 else brand


def expiry(card: SavedCard) -> str:
    """Return the month of expiry: "12/2029", or "" for a payment method that does not expire."""
    return f"{card.exp_month:02}/{card.exp_year}" if card.exp_month and card.exp_year else ""


EXPIRY_NOTICE = timedelta(days=30)


def ends_at(card: SavedCard) -> datetime | None:
    """Return the first moment after the month of expiry (UTC); None for a payment method that does not expire."""
    if not card.exp_year or not card.exp_month:
        return None
    years, month = divmod(card.exp_month, 12)
    return datetime(card.exp_year + years, month + 1, 1, tzinfo=UTC)


def has_expired(card: SavedCard, now: datetime | None = None) -> bool:
    """Return whether the card has expired."""
    end = ends_at(card)
    return end is not None and end <= (now or timezone.now())


def expires_soon(card: SavedCard, now: datetime | None = None) -> bool:
    """Return whether the card expires within thirty days and has not expired yet."""
    end = ends_at(card)
    at = now or timezone.now()
    return end is not None and at < end <= at + EXPIRY_NOTICE


REASONS = {
    "authentication_required": "Your bank wants you to confirm the payment yourself.",
    "insufficient_funds": "The bank reports that there is not enough money for this charge.",
    "expired_card": "The card has expired.",
    "generic_decline": "The bank declined the card and gave no reason.",
    "card_declined": "The bank declined the card and gave no reason.",
    "debit_not_authorized": "The bank returned the debit.",
    "card_removed": "The card that it used was removed.",
    "stripe_unknown_outcome": "We do not know whether the last payment went through, so we charge no second one.",
}
OTHER_REASON = "The card could not be charged."


def reason(code: str) -> str:
    """Return the sentence for a code, or a general one for a code without a sentence."""
    return REASONS.get(code, OTHER_REASON)
