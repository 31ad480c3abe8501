"""Settlement: verified usage is rated, charged to the customer's hold, and paid to the owner.

For each usage record, at the prices fixed in its job's order (billing/rates/formula.py):
- the full price is time x price of time + energy x price of energy, rounded once, half to even;
- the owner's part is the owner's share of the price of time plus the whole price of energy, rounded down; it is the
  same for the canonical attempt and for copies that check it;
- the customer is charged the full price of the canonical attempt, but never more than is left of the hold.

A charge pays the owner's part first (transfer kind `share`); the rest is revenue. The hold is the most that
verification can count, so it normally covers the charge. A copy is paid by the platform, as an expense of verification.
If a charge does not cover the owner's part (usage that arrives after the order was closed), the platform pays the owner
in full too, and the charge, if any, is all revenue. So each row is paid by one side, and a transfer is the sum of its
rows: those of one order that were verified in the same month (UTC).

The owner's own costs are computed by the policy as it is now, at the tariff in force when the attempt was leased, which
is the tariff that dispatch considered. The same SQL statement adds earnings and spending up by day of verification, in
the order of the days' keys, so that two settlements may wait for each other but never deadlock.
"""

from django.db import connection

from accounts.models import OwnerPolicy
from billing.ledger import posting
from billing.ledger.posting import AccountName
from billing.models import LedgerAccount
from billing.orders.daily_sums import daily_sums_sql
from core.db import atomic_retrying, execute_batch

# Large enough that one transfer sums up much of an order, small enough that nobody waits long for the locked rows.
BATCH = 25_000

# Usage of a job without an order is left alone; the ledger check `usage_ordered` reports it.
CLAIM = """
SELECT u.id FROM compute_usagerecord u
 WHERE u.settled_at IS NULL AND EXISTS (SELECT FROM billing_joborder o WHERE o.job_id = u.job_id)
 ORDER BY u.id LIMIT %s FOR UPDATE OF u SKIP LOCKED
"""

# The accounts that this usage needs and that do not exist yet: rarely any.
MISSING = """
WITH places AS MATERIALIZED (
    SELECT DISTINCT u.organization_id, u.owner_id, c.currency
      FROM compute_usagerecord u
      JOIN billing_joborder o ON o.job_id = u.job_id
      JOIN billing_ratecard c ON c.id = o.rate_card_id
     WHERE u.id = ANY(%b::bigint[])
), wanted AS (
    SELECT DISTINCT 'hold' AS kind, currency, organization_id, NULL::bigint AS owner_id FROM places
    UNION ALL SELECT DISTINCT 'payable', currency, NULL::bigint, owner_id FROM places
    UNION ALL SELECT DISTINCT kind, currency, NULL::bigint, NULL::bigint
      FROM places, (VALUES ('revenue'), ('verification')) AS p (kind)
)
SELECT w.* FROM wanted w
  LEFT JOIN billing_ledgeraccount a ON a.key = CASE
       WHEN w.organization_id IS NOT NULL THEN format('organization:%%s:%%s:%%s', w.organization_id, w.kind, w.currency)
       WHEN w.owner_id IS NOT NULL THEN format('owner:%%s:%%s:%%s', w.owner_id, w.kind, w.currency)
       ELSE format('platform:%%s:%%s', w.kind, w.currency) END
 WHERE a.id IS NULL
"""

# Another settlement may be charging other usage of these orders: wait for it, so that what is left of the hold is
# known.
LOCK_ORDERS = """
SELECT FROM billing_joborder
 WHERE job_id IN (SELECT job_id FROM compute_usagerecord WHERE id = ANY(%b::bigint[])) ORDER BY id FOR UPDATE
"""

# Steps: `priced` reads the usage with its prices, `summed` and `charged` limit the charge to what is left of the hold,
# `rated` decides which side pays the owner, `payments` are the transfers to be, `posted` and `paid` those in the
# ledger, `kept` the RatedUsage; then the days, and the orders' charge.
SETTLE = f"""
WITH priced AS (
    SELECT u.id, u.owner_id, u.vehicle_id, u.is_canonical, u.items, u.compute_ms, u.energy_mwh, u.created_at,
           (u.created_at AT TIME ZONE 'UTC')::date AS day, o.id AS order_id, o.organization_id, j.artifact_id,
           c.currency,
           CASE WHEN o.status = 'held' THEN o.held_micro - o.charged_micro ELSE 0 END AS left_micro,
           billing_full_micro(u.compute_ms, u.energy_mwh, o.price_micro_per_hour, o.price_micro_per_kwh) AS full_micro,
           billing_owner_micro(u.compute_ms, u.energy_mwh, o.price_micro_per_hour, o.price_micro_per_kwh,
                               o.owner_share_permille) AS owner_micro,
           -- Only a tariff that changes by the hour reads the attempt: one look-up by key, whatever the table's size.
           billing_round_half_even(u.energy_mwh::numeric * CASE
               WHEN p.id IS NULL THEN %(tariff)s::bigint
               WHEN p.tariff_windows = '[]' THEN p.tariff_micro_per_kwh
               ELSE accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows,
                   COALESCE(NULLIF(p.time_zone, ''), w.time_zone),
                   COALESCE((SELECT leased_at FROM compute_attempt WHERE id = u.attempt_id), u.created_at)) END,
               1000) AS energy_cost_nano,
           billing_round_half_even(u.energy_mwh::numeric * COALESCE(p.wear_micro_per_kwh, %(wear)s::bigint), 1000)
               AS wear_nano
      FROM compute_usagerecord u
      JOIN billing_joborder o ON o.job_id = u.job_id
      JOIN billing_ratecard c ON c.id = o.rate_card_id
      JOIN compute_inferencejob j ON j.id = u.job_id
      LEFT JOIN accounts_ownerpolicy p ON p.vehicle_id = u.vehicle_id
      LEFT JOIN accounts_owner w ON w.id = u.owner_id
     WHERE u.id = ANY(%(usage)b::bigint[])
), summed AS (
    SELECT *, date_trunc('month', day::timestamp)::date AS month,
           sum(full_micro) FILTER (WHERE is_canonical) OVER (PARTITION BY order_id ORDER BY id) AS upto_micro
      FROM priced
), charged AS (
    SELECT *, CASE WHEN is_canonical
                   THEN LEAST(upto_micro, left_micro) - LEAST(upto_micro - full_micro, left_micro)
                   ELSE 0 END::bigint AS charged_micro
      FROM summed
), rated AS MATERIALIZED (
    SELECT *, CASE WHEN is_canonical AND charged_micro >= owner_micro THEN 'share' ELSE 'verification' END AS paid_by,
           charged_micro - CASE WHEN is_canonical AND charged_micro >= owner_micro THEN owner_micro ELSE 0 END
               AS revenue_micro
      FROM charged
), payments AS MATERIALIZED (
    SELECT paid_by AS kind, order_id, month, organization_id, owner_id, currency, max(created_at) AS effective_at,
           sum(owner_micro)::bigint AS amount_micro, count(*) AS rows,
           format('settle:%%s:%%s-%%s:%%s:owner:%%s', order_id, min(id), max(id), paid_by, owner_id) AS key
      FROM rated WHERE owner_micro > 0 GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT 'revenue', order_id, month, organization_id, NULL, currency, max(created_at),
           sum(revenue_micro)::bigint, count(*), format('settle:%%s:%%s-%%s:revenue', order_id, min(id), max(id))
      FROM rated WHERE revenue_micro > 0 GROUP BY 2, 3, 4, 6
), posted AS (
    INSERT INTO billing_ledgertransfer
           (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, effective_at, meta)
    SELECT s.kind, d.id, c.id, s.amount_micro, s.currency, s.key, s.effective_at,
           jsonb_build_object('order', s.order_id, 'rows', s.rows)
      FROM payments s
      LEFT JOIN billing_ledgeraccount d ON d.key = CASE s.kind
           WHEN 'verification' THEN format('platform:verification:%%s', s.currency)
           ELSE format('organization:%%s:hold:%%s', s.organization_id, s.currency) END
      LEFT JOIN billing_ledgeraccount c ON c.key = CASE s.kind
           WHEN 'revenue' THEN format('platform:revenue:%%s', s.currency)
           ELSE format('owner:%%s:payable:%%s', s.owner_id, s.currency) END
    RETURNING id, idempotency_key
), paid AS MATERIALIZED (
    SELECT p.kind, p.order_id, p.month, p.owner_id, x.id FROM payments p JOIN posted x ON x.idempotency_key = p.key
), kept AS (
    INSERT INTO billing_ratedusage
           (usage_id, order_id, charged_micro, owner_micro, platform_micro,
            energy_cost_nano, wear_nano, owner_transfer_id, revenue_transfer_id)
    SELECT r.id, r.order_id, r.charged_micro, r.owner_micro, r.charged_micro - r.owner_micro,
           r.energy_cost_nano, r.wear_nano, o.id, v.id
      FROM rated r
      LEFT JOIN paid o ON (o.kind, o.order_id, o.month, o.owner_id) = (r.paid_by, r.order_id, r.month, r.owner_id)
           AND r.owner_micro > 0
      LEFT JOIN paid v ON (v.kind, v.order_id, v.month) = ('revenue', r.order_id, r.month) AND r.revenue_micro > 0
), {daily_sums_sql("rated")}, advanced AS (
    UPDATE billing_joborder o SET charged_micro = o.charged_micro + t.micro
      FROM (SELECT order_id, sum(charged_micro)::bigint AS micro FROM rated GROUP BY order_id) t
     WHERE o.id = t.order_id AND t.micro > 0
)
UPDATE compute_usagerecord SET settled_at = now() WHERE id = ANY(%(usage)b::bigint[])
"""  # noqa: S608 - constants


@atomic_retrying
def settle_usage(*, limit: int = BATCH) -> int:
    """Settle up to `limit` usage records, oldest first. Returns their number. Safe in many processes at once."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [limit])
        usage = [row[0] for row in cursor]
    if not usage:
        return 0
    _make_accounts(usage)
    execute_batch(LOCK_ORDERS, [usage])
    # A vehicle always has a policy; if one is missing all the same, the defaults of a new policy apply.
    tariff = OwnerPolicy._meta.get_field("tariff_micro_per_kwh").get_default()
    wear = OwnerPolicy._meta.get_field("wear_micro_per_kwh").get_default()
    execute_batch(SETTLE, {"usage": usage, "tariff": tariff, "wear": wear})
    return len(usage)


def _make_accounts(usage: list[int]) -> None:
    missing = execute_batch(MISSING, [usage])
    posting.accounts(
        AccountName(kind=LedgerAccount.Kind(kind), currency=currency, organization_id=organization, owner_id=owner)
        for kind, currency, organization, owner in missing
    )
