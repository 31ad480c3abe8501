"""Automatic recharges: a wallet that is low is topped up from a saved card, one charge at a time, so much a month at most.

A round is three statements, however many customers there are. It runs on beat and when it is woken; the database has the last word
on one in flight and on the month's cap (migrations/0008_card_rules.py).
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

# What a month's recharges cost, or may still cost: a charge that we lost sight of counts as made.
SPENT = """
SELECT COALESCE(sum(t.amount_micro), 0)::bigint AS micro
  FROM billing_cardtopup t JOIN billing_stripecommand c ON c.id = t.command_id
 WHERE t.organization_id = {organization} AND t.origin = 'auto' AND t.created_at >= %(month)s
   AND (t.status <> 'failed' OR t.payment_intent_id IS NULL AND c.outcome_unknown)
"""
# Free to spend is the wallet with its promotional credit: nobody's card is charged while there is enough of either.
LOW = f"""
  FROM billing_autorecharge r
  JOIN accounts_organization o ON o.id = r.organization_id AND o.status = 'active'
  JOIN billing_savedcard s ON s.id = r.card_id AND s.status = 'active'
 WHERE r.is_on AND r.paused_code = ''
   AND r.threshold_micro > (
        SELECT COALESCE(sum(a.balance_micro), 0) FROM billing_ledgeraccount a
         WHERE a.organization_id = r.organization_id AND a.currency = o.currency AND a.kind IN ('wallet', 'promo_wallet'))
   AND NOT EXISTS (
        SELECT FROM billing_cardtopup t WHERE t.organization_id = r.organization_id AND t.origin = 'auto'
           AND t.status IN ('created', 'open', 'processing'))
   AND r.monthly_cap_micro >= r.amount_micro + ({SPENT.format(organization="r.organization_id")})
   AND EXISTS (SELECT FROM accounts_membership m WHERE m.organization_id = r.organization_id)
"""  # noqa: S608 - our own text
LOCK = f"SELECT r.id {LOW} ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED"
# Looked at again under the lock: another round may have recharged in the meantime.
RECHARGE = f"""
WITH due AS MATERIALIZED (
    SELECT r.organization_id, r.card_id, r.amount_micro, o.currency, s.customer_id, gen_random_uuid() AS public_id,
           nextval(pg_get_serial_sequence('billing_cardtopup', 'id')) AS id,
           nextval(pg_get_serial_sequence('billing_stripecommand', 'id')) AS command_id
    {LOW} AND r.id = ANY(%(ids)s)),
made AS (
    INSERT INTO billing_cardtopup (id, created_at, public_id, organization_id, origin, saved_card_id, saves_card, customer_id,
                                   command_id, amount_micro, currency, idempotency_key, site_url, status)
    SELECT id, %(now)s, public_id, organization_id, 'auto', card_id, false, customer_id, command_id, amount_micro, currency,
           'auto:' || public_id, '', 'created' FROM due
    ON CONFLICT DO NOTHING RETURNING id, public_id, command_id)
INSERT INTO billing_stripecommand (id, created_at, kind, idempotency_key, subject_id, status, outcome_unknown, attempts, due_at)
SELECT command_id, %(now)s, 'charge_saved_card', 'card_top_up:' || public_id || ':charge:v1', id, 'queued', false, 0, %(now)s
  FROM made
"""  # noqa: S608


@dataclass(frozen=True)
class RechargeMonth:
    """The calendar month (UTC) of a recharge: what its charges came to, or may yet, and what is left of the cap."""

    since_at: datetime
    charged_micro: int
    left_micro: int


def of(organization: Organization) -> AutoRecharge | None:
    """Its standing order, with the card."""
    return AutoRecharge.objects.filter(organization=organization).select_related("card").first()


def month(recharge: AutoRecharge, *, at: datetime | None = None) -> RechargeMonth:
    """The one of now, or of another moment. Counted by when a charge was begun, as the cap is."""
    since = month_of(at or timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            SPENT.format(organization="%(organization)s"), {"organization": recharge.organization_id, "month": since}
        )
        charged = int(cursor.fetchone()[0])
    return RechargeMonth(since, charged, max(0, recharge.monthly_cap_micro - charged))


def charges(recharge: AutoRecharge, *, since: datetime) -> list[CardTopUp]:
    """Its charges from then on, newest first, each with its card."""
    rows = CardTopUp.objects.filter(
        organization_id=recharge.organization_id, origin=CardTopUp.Origin.AUTO, created_at__gte=since
    )
    return list(rows.select_related("saved_card").order_by("-id")[:100])


def recharge_low(*, limit: int = 100) -> int:
    """Begin a recharge for every organization that wants one, whose wallet is low and whose month's cap allows it.

    Not for one that is suspended, has nobody left, or has one in flight. How many were begun. May run twice, at once.
    """
    now = timezone.now()
    values: dict[str, Any] = {"limit": limit, "now": now, "month": month_of(now)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LOCK, values)
        ids = [row[0] for row in cursor]
        if not ids:
            return 0
        cursor.execute(RECHARGE, {**values, "ids": ids})
        begun: int = cursor.rowcount
        if begun:
            wake(outbox.TASK)
    return begun
