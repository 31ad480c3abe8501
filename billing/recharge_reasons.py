"""Why an automatic recharge was paused, in plain words. Pure."""

REASONS = {
    "authentication_required": "Your bank wants you to confirm the payment yourself.",
    "insufficient_funds": "The bank says that there is not enough money behind the card.",
    "expired_card": "The card has expired.",
    "generic_decline": "The bank declined the card and gives no reason.",
    "card_declined": "The bank declined the card and gives no reason.",
    "debit_not_authorized": "The bank returned the debit.",
    "card_removed": "The card that it used was removed.",
    "stripe_unknown_outcome": "We could not find out whether the last payment went through, and do not risk a second one.",
}
OTHER = "The card could not be charged."


def reason(code: str) -> str:
    """Words for the code; one that we have no words for is a card that could not be charged."""
    return REASONS.get(code, OTHER)
