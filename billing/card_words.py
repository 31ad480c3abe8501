"""How a saved card is named to people. Pure."""

from billing.models import SavedCard

BRANDS = {
    "amex": "American Express", "cartes_bancaires": "Cartes Bancaires", "diners": "Diners Club", "discover": "Discover",
    "eftpos_au": "eftpos", "jcb": "JCB", "link": "Link", "mastercard": "Mastercard", "unionpay": "UnionPay", "visa": "Visa",
    "us_bank_account": "Bank account", "sepa_debit": "Bank account",
}  # fmt: skip


def title(card: SavedCard) -> str:
    """ "Visa, ends in 4242" """
    brand = BRANDS.get(card.brand, "Card")
    return f"{brand}, ends in {card.last4}" if card.last4 else brand


def expiry(card: SavedCard) -> str:
    """ "12/2029", or "" for what does not expire."""
    return f"{card.exp_month:02}/{card.exp_year}" if card.exp_month and card.exp_year else ""
