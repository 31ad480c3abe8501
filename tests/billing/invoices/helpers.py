"""Helpers for tests of invoices. The market: 0.10 an hour, of which 70 % are the owner's, and 0.20 a kWh."""

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from billing.invoices.invoices import close_due
from billing.models import LedgerTransfer
from billing.orders import voids
from billing.orders.settlement import settle_usage
from tests.billing.helpers import make_usage, order
from tests.database import unguarded


def close(seconds: float = 0.0) -> int:
    """Make all invoices up to now, or up to some seconds ago; return their number."""
    return close_due(until=timezone.now() - timedelta(seconds=seconds))


def work(market, placed=None, *, node: int = 0, hours: float = 1.0, energy_mwh: int = 0):
    """Make usage, settle it, and return it."""
    placed = placed or order(market.organization)
    usage = make_usage(placed.job, market.nodes[node], compute_ms=int(hours * 3_600_000), energy_mwh=energy_mwh)
    settle_usage()
    return usage


def take_back(usage) -> None:
    """Void the usage and post the corrections."""
    voids.void(rated=usage.rated, reason="counted twice", actor=None)
    voids.settle_voids()


def charges(organization) -> dict[int, int]:
    """Return the signed amount of every transfer that charged the customer or gave a charge back, by id."""
    charged = LedgerTransfer.objects.filter(
        debit__organization=organization, debit__kind="hold", kind__in=["share", "revenue"]
    )
    back = LedgerTransfer.objects.filter(
        credit__organization=organization, credit__kind__in=["wallet", "promo_wallet"], kind="correction"
    )
    return {t.pk: t.amount_micro for t in charged} | {t.pk: -t.amount_micro for t in back}


def backdate(usage, at: datetime) -> None:
    """Date usage that is not settled yet as if it had been verified at that time."""
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("UPDATE compute_usagerecord SET created_at = %s WHERE id = %s", [at.astimezone(UTC), usage.pk])
