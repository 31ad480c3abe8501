"""How an invoice is named, for pages, papers and programs. Pure."""

from billing.models import Invoice


def number_of(invoice: Invoice) -> str:
    """Unlike any other customer's: the beginning of the organization's id, and the number that is counted for it."""
    return f"{invoice.organization.public_id.hex[:8].upper()}-{invoice.number:04d}"
