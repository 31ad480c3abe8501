"""Automatic recharges: a wallet below its threshold is topped up from a saved card, up to a monthly cap.

A round is two statements, however many customers there are. Beat runs it every ten seconds, and services wake it. The
database itself enforces one charge in flight (constraint `auto_recharge_one_in_flight`) and the cap
(billing/rules/card_top_ups.sql).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Organization
from billing.models import AutoRecharge, CardTopUp
from billing.periods import month_of
from billing.stripe import outbox
from core.workers import wake

TASK = "billing.recharge_low"

# What the recharges since %(month)s charged or may still charge: a charge with an unknown outcome counts as made.
SPENT = """
SELECT COALESCE(sum(t.amount_micro), 0)::bigint AS micro
  FROM billing_cardtopup t JOIN billing_stripecommand c ON c.id = t.command_id
 WHERE t.organization_id = {organization} AND t.origin = 'auto' AND t.created_at >= %(month)s
   AND (t.status <> 'failed' OR t.payment_intent_id IS NULL AND c.outcome_unknown)
"""
# The recharges that are due. The available balance includes promotional credit, so that no card is charged while there
# is enough of the two together. An organization without members is left out: nobody could react to the charge.
LOW_WALLETS = f"""
  FROM billing_autorecharge r
  JOIN accounts_organization o ON o.id = r.organization_id AND o.status = 'active'
  JOIN billing_savedcard s ON s.id = r.card_id AND s.status = 'active'
 WHERE r.is_on AND r.paused_code = ''
   AND r.threshold_micro > (
        SELECT COALESCE(sum(a.balance_micro), 0) FROM billing_ledgeraccount a
         WHERE a.organization_id = r.organization_id AND a.currency = o.currency
           AND a.kind IN ('wallet', 'promo_wallet'))
   AND NOT EXISTS (
        SELECT FROM billing_cardtopup t WHERE t.organization_id = r.organization_id AND t.origin = 'auto'
           AND t.status IN ('created', 'open', 'processing'))
   AND r.monthly_cap_micro >= r.amount_micro + ({SPENT.format(organization="r.organization_id")})
   AND EXISTS (SELECT FROM accounts_membership m WHERE m.organization_id = r.organization_id)
"""  # noqa: S608 - constants only
LOCK = f"SELECT r.id {LOW_WALLETS} ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED"
# Checks LOW_WALLETS again under the lock: another round may have recharged meanwhile. Writes the top-ups and their
# commands.
RECHARGE = f"""
WITH due AS MATERIALIZED (
    SELECT r.organization_id, r.card_id, r.amount_micro, o.currency, s.customer_id, gen_random_uuid() AS public_id,
           nextval(pg_get_serial_sequence('billing_cardtopup', 'id')) AS id,
           nextval(pg_get_serial_sequence('billing_stripecommand', 'id')) AS command_id
    {LOW_WALLETS} AND r.id = ANY(%(ids)s)),
made AS (
    INSERT INTO billing_cardtopup (id, created_at, public_id, organization_id, origin, saved_card_id, saves_card,
                                   customer_id, command_id, amount_micro, currency, idempotency_key, site_url, status)
    SELECT id, %(now)s, public_id, organization_id, 'auto', card_id, false,
           customer_id, command_id, amount_micro, currency, 'auto:' || public_id, '', 'created' FROM due
    ON CONFLICT DO NOTHING RETURNING id, public_id, command_id)
INSERT INTO billing_stripecommand (id, created_at, kind, idempotency_key,
                                   subject_id, status, outcome_unknown, attempts, due_at)
SELECT command_id, %(now)s, 'charge_saved_card', 'card_top_up:' || public_id || ':charge:v1',
       id, 'queued', false, 0, %(now)s
  FROM made
"""  # noqa: S608


@dataclass(frozen=True)
class RechargeMonth:
    """A calendar month (UTC) of a recharge: what its charges cost or may still cost, and what is left of the cap."""

    since_at: datetime
    charged_micro: int
    left_micro: int


def recharge_of(organization: Organization) -> AutoRecharge | None:
    """Return the organization's automatic recharge with its card, or None if it was never set up."""
    return AutoRecharge.objects.filter(organization=organization).select_related("card").first()


def month(recharge: AutoRecharge, *, at: datetime | None = None) -> RechargeMonth:
    """Return the present month, or the month of `at`.

    A charge counts in the month in which it was begun, as for the cap.
    """
    since = month_of(at or timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            SPENT.format(organization="%(organization)s"), {"organization": recharge.organization_id, "month": since}
        )
        charged = int(cursor.fetchone()[0])
    return RechargeMonth(since, charged, max(0, recharge.monthly_cap_micro - charged))


def charges(recharge: AutoRecharge, *, since: datetime) -> list[CardTopUp]:
    """Return the recharge's charges since a time, newest first, each with its card; at most 100."""
    rows = CardTopUp.objects.filter(
        organization_id=recharge.organization_id, origin=CardTopUp.Origin.AUTO, created_at__gte=since
    )
    return list(rows.select_related("saved_card").order_by("-id")[:100])


def recharge_low(*, limit: int = 100) -> int:
    """Queue a recharge for organizations whose wallet is below the threshold and whose monthly cap allows it.

    Leaves out organizations that are suspended, have no members, or have a recharge in flight. Returns how many were
    queued, at most `limit`. May run twice, also concurrently.
    """
    now = timezone.now()
    values: dict[str, Any] = {"limit": limit, "now": now, "month": month_of(now)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LOCK, values)
        ids = [row[0] for row in cursor]  # rows that another round has locked are skipped: it recharges them
        if not ids:
            return 0
        cursor.execute(RECHARGE, {**values, "ids": ids})
        count: int = cursor.rowcount
        if count:
            wake(outbox.TASK)
    return count
