"""Usage becomes money: the hold pays owner and platform, the platform pays the copies that check others.

For each usage record, at the price bound in its job's order:
- the full price is compute_ms x price, rounded once, half to even (marketplace.core.money.price_of_time);
- the owner's share is the full price x share, rounded down, for the canonical attempt and for copies alike;
- the customer is charged the full price of the canonical attempt, never more than is left of the hold.
What the charge covers, it pays: the owner's share first, the rest is revenue. When it does not cover the
share (the hold is used up, or the record is a copy) the platform pays the owner in full, as an expense of
verification, and any charge is revenue. So one side pays each row, and a transfer is the sum of its rows.

The owner's own costs are by the policy as it is now, at the tariff of the moment when the attempt was leased: the one
that dispatch weighed.
"""

from django.db import connection

from accounts.models import OwnerPolicy
from billing.models import LedgerAccount
from billing.services import ledger
from billing.services.ledger import Place
from marketplace.core.db import atomic_retrying
from marketplace.core.money import MS_PER_HOUR, MWH_PER_KWH, NANO_PER_MICRO

# Usage whose job nobody ordered is left alone; check_ledger reports it.
CLAIM = """
SELECT u.id, o.id, o.organization_id, u.owner_id, c.currency
  FROM compute_usagerecord u
  JOIN billing_joborder o ON o.job_id = u.job_id
  JOIN billing_ratecard c ON c.id = o.rate_card_id
 WHERE u.settled_at IS NULL ORDER BY u.id LIMIT %s FOR UPDATE OF u SKIP LOCKED
"""

# Another settlement may hold other usage of these orders: wait for what it charges.
LOCK_ORDERS = "SELECT FROM billing_joborder WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

SETTLE = """
WITH priced AS (
    SELECT u.id, u.owner_id, u.is_canonical, o.id AS order_id, o.organization_id, c.currency,
           o.owner_share_permille,
           CASE WHEN o.status = 'held' THEN o.held_micro - o.charged_micro ELSE 0 END AS left_micro,
           billing_round_half_even(u.compute_ms::numeric * o.price_micro_per_hour,
                                   %(ms_per_hour)s) AS full_micro,
           billing_round_half_even(u.energy_mwh::numeric * %(nano)s * COALESCE(
               accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows, COALESCE(NULLIF(p.time_zone, ''), w.time_zone),
                                     COALESCE(a.leased_at, u.created_at)),
               %(tariff)s), %(mwh_per_kwh)s) AS energy_cost_nano,
           billing_round_half_even(u.energy_mwh::numeric * COALESCE(p.wear_micro_per_kwh, %(wear)s) * %(nano)s,
                                   %(mwh_per_kwh)s) AS wear_nano
      FROM compute_usagerecord u
      JOIN billing_joborder o ON o.job_id = u.job_id
      JOIN billing_ratecard c ON c.id = o.rate_card_id
      LEFT JOIN accounts_ownerpolicy p ON p.vehicle_id = u.vehicle_id
      LEFT JOIN accounts_owner w ON w.id = u.owner_id
      LEFT JOIN compute_attempt a ON a.id = u.attempt_id
     WHERE u.id = ANY(%(usage)s)
), summed AS (
    SELECT *, div(full_micro::numeric * owner_share_permille, 1000)::bigint AS owner_micro,
           sum(full_micro) FILTER (WHERE is_canonical) OVER (PARTITION BY order_id ORDER BY id) AS upto_micro
      FROM priced
), charged AS (
    SELECT *, CASE WHEN is_canonical
                   THEN LEAST(upto_micro, left_micro) - LEAST(upto_micro - full_micro, left_micro)
                   ELSE 0 END::bigint AS charged_micro
      FROM summed
), sided AS (
    SELECT *, CASE WHEN is_canonical AND charged_micro >= owner_micro
                   THEN 'share' ELSE 'verification' END AS paid_by
      FROM charged
), rated AS MATERIALIZED (
    SELECT *, charged_micro - CASE WHEN paid_by = 'share' THEN owner_micro ELSE 0 END AS revenue_micro,
           format('settle:%%s:%%s-%%s:%%s:owner:%%s', order_id, min(id) OVER mine, max(id) OVER mine,
                  paid_by, owner_id) AS owner_key,
           format('settle:%%s:%%s-%%s:revenue', order_id, min(id) OVER ours, max(id) OVER ours) AS revenue_key
      FROM sided
    WINDOW mine AS (PARTITION BY order_id, owner_id, paid_by), ours AS (PARTITION BY order_id)
), payments AS (
    SELECT paid_by AS kind, owner_key AS key, order_id, organization_id, owner_id, currency,
           sum(owner_micro)::bigint AS amount_micro, count(*) AS rows
      FROM rated WHERE owner_micro > 0 GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT 'revenue', revenue_key, order_id, organization_id, NULL, currency,
           sum(revenue_micro)::bigint, count(*)
      FROM rated WHERE revenue_micro > 0 GROUP BY 2, 3, 4, 6
), posted AS (
    INSERT INTO billing_ledgertransfer
           (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, meta)
    SELECT s.kind, d.id, c.id, s.amount_micro, s.currency, s.key,
           jsonb_build_object('order', s.order_id, 'rows', s.rows)
      FROM payments s
      LEFT JOIN billing_ledgeraccount d ON d.currency = s.currency
            AND (s.kind = 'verification' AND d.kind = 'verification'
                 OR s.kind <> 'verification' AND d.kind = 'hold' AND d.organization_id = s.organization_id)
      LEFT JOIN billing_ledgeraccount c ON c.currency = s.currency
            AND (s.kind = 'revenue' AND c.kind = 'revenue'
                 OR s.kind <> 'revenue' AND c.kind = 'payable' AND c.owner_id = s.owner_id)
    RETURNING id, idempotency_key
), kept AS (
    INSERT INTO billing_ratedusage
           (usage_id, order_id, charged_micro, owner_micro, platform_micro,
            energy_cost_nano, wear_nano, owner_transfer_id, revenue_transfer_id)
    SELECT r.id, r.order_id, r.charged_micro, r.owner_micro, r.charged_micro - r.owner_micro,
           r.energy_cost_nano, r.wear_nano, o.id, v.id
      FROM rated r
      LEFT JOIN posted o ON o.idempotency_key = r.owner_key AND r.owner_micro > 0
      LEFT JOIN posted v ON v.idempotency_key = r.revenue_key AND r.revenue_micro > 0
), advanced AS (
    UPDATE billing_joborder o SET charged_micro = o.charged_micro + t.micro
      FROM (SELECT order_id, sum(charged_micro)::bigint AS micro FROM rated GROUP BY order_id) t
     WHERE o.id = t.order_id AND t.micro > 0
)
UPDATE compute_usagerecord SET settled_at = now() WHERE id = ANY(%(usage)s)
"""


@atomic_retrying
def settle_usage(*, limit: int = 5000) -> int:
    """Settle up to `limit` usage records, oldest first. Returns how many; safe in many processes at once."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [limit])
        claimed = cursor.fetchall()
        if not claimed:
            return 0
        usage, orders, *_ = zip(*claimed, strict=True)
        ledger.accounts({place for row in claimed for place in _places(*row[2:])})
        cursor.execute(LOCK_ORDERS, [sorted(set(orders))])
        cursor.execute(
            SETTLE,
            {
                "usage": list(usage),
                "ms_per_hour": MS_PER_HOUR,
                "mwh_per_kwh": MWH_PER_KWH,
                "nano": NANO_PER_MICRO,
                # A vehicle always has a policy; without one the costs of a new policy stand.
                "tariff": OwnerPolicy._meta.get_field("tariff_micro_per_kwh").get_default(),
                "wear": OwnerPolicy._meta.get_field("wear_micro_per_kwh").get_default(),
            },
        )
    return len(claimed)


def _places(organization_id: int, owner_id: int, currency: str) -> list[Place]:
    kinds = LedgerAccount.Kind
    return [
        Place(kind=kinds.HOLD, currency=currency, organization_id=organization_id),
        Place(kind=kinds.PAYABLE, currency=currency, owner_id=owner_id),
        Place(kind=kinds.REVENUE, currency=currency),
        Place(kind=kinds.VERIFICATION, currency=currency),
    ]
