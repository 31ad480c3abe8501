"""Invoices over a market of work: 0.10 an hour and 0.20 a kWh, 70 % of the time's price the owner's."""

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
    """Everything up to now, or to some time before."""
    return close_due(until=timezone.now() - timedelta(seconds=seconds))


def work(market, placed=None, *, node: int = 0, hours: float = 1.0, energy_mwh: int = 0):
    """Work that is settled; its usage."""
    placed = placed or order(market.organization)
    usage = make_usage(placed.job, market.nodes[node], compute_ms=int(hours * 3_600_000), energy_mwh=energy_mwh)
    settle_usage()
    return usage


def take_back(usage) -> None:
    voids.void(rated=usage.rated, reason="counted twice", actor=None)
    voids.settle_voids()


def charges(organization) -> dict[int, int]:
    """Every transfer that charged the customer or gave a charge back, by id, signed."""
    charged = LedgerTransfer.objects.filter(
        debit__organization=organization, debit__kind="hold", kind__in=["share", "revenue"]
    )
    back = LedgerTransfer.objects.filter(
        credit__organization=organization, credit__kind__in=["wallet", "promo_wallet"], kind="correction"
    )
    return {t.pk: t.amount_micro for t in charged} | {t.pk: -t.amount_micro for t in back}


def backdate(usage, at: datetime) -> None:
    """Before it is settled: as if it had been verified then."""
    with unguarded(), connection.cursor() as cursor:
        cursor.execute("UPDATE compute_usagerecord SET created_at = %s WHERE id = %s", [at.astimezone(UTC), usage.pk])
