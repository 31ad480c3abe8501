"""How an invoice is named and dated, for pages, papers and programs. Pure."""

from datetime import UTC, date, timedelta

from billing.models import Invoice


def number_of(invoice: Invoice) -> str:
    """Unlike any other customer's: the beginning of the organization's id, and the number that is counted for it."""
    return f"{invoice.organization.public_id.hex[:8].upper()}-{invoice.number:04d}"


def first_day(invoice: Invoice) -> date:
    return invoice.period_start_at.astimezone(UTC).date()


def last_day(invoice: Invoice) -> date:
    """The last day (UTC) of which something belongs to the period."""
    return (invoice.period_end_at.astimezone(UTC) - timedelta(microseconds=1)).date()
