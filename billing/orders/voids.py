"""Voids: the platform takes rated usage back. Corrections in the ledger mirror what the usage paid and charged.

The customer's charge is given back out of revenue, to the wallet first and to promotional credit last (returned_charges.py).
The owner's part is taken from what the owner is owed, which may go below zero and is then set off on the next
statement. It goes back to revenue or, for work that the platform paid, to the expense of verification. The order's
charge, the rating and the usage record stay as they were; the sums by day lose what the usage had added.
"""

from django.db import connection, transaction

from accounts.access import audit
from accounts.models import User
from billing.ledger import posting
from billing.ledger.posting import AccountName
from billing.models import LedgerAccount, RatedUsage, UsageVoid
from billing.orders import returned_charges
from billing.orders.daily_sums import daily_sums_sql
from core import workers
from core.db import atomic_retrying, execute_batch
from core.errors import Conflict, InvalidInput

TASK = "billing.settle_voids"
BATCH = 5_000
REASON_MAX_LENGTH = 200

CLAIM = "SELECT id FROM billing_usagevoid WHERE settled_at IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"

# Whose accounts the corrections of these voids need, and whether promotional credit is among them.
PLACES = """
SELECT u.organization_id, u.owner_id, c.currency, bool_or(x.promo_micro > 0)
  FROM billing_usagevoid x JOIN billing_ratedusage r ON r.id = x.rated_id
  JOIN compute_usagerecord u ON u.id = r.usage_id
  JOIN billing_joborder o ON o.id = r.order_id JOIN billing_ratecard c ON c.id = o.rate_card_id
 WHERE x.id = ANY(%b::bigint[]) GROUP BY u.organization_id, u.owner_id, c.currency
"""

# Steps: `voided` reads the voids with their ratings, `corrections` are the transfers to be, `posted` those in the
# ledger; then the days are reduced and the voids marked as settled.
SETTLE = f"""
WITH voided AS MATERIALIZED (
    SELECT x.id AS void_id, x.public_id, r.id AS rated_id, r.owner_micro, r.charged_micro, r.energy_cost_nano,
           r.wear_nano, x.promo_micro, r.charged_micro - x.promo_micro AS wallet_micro,
           COALESCE(t.kind, '') = 'share' AS is_customers, u.is_canonical, u.owner_id, u.vehicle_id, u.organization_id,
           u.items, u.compute_ms, u.energy_mwh, (u.created_at AT TIME ZONE 'UTC')::date AS day, j.artifact_id,
           c.currency
      FROM billing_usagevoid x
      JOIN billing_ratedusage r ON r.id = x.rated_id
      LEFT JOIN billing_ledgertransfer t ON t.id = r.owner_transfer_id
      JOIN compute_usagerecord u ON u.id = r.usage_id
      JOIN compute_inferencejob j ON j.id = u.job_id
      JOIN billing_joborder o ON o.id = r.order_id
      JOIN billing_ratecard c ON c.id = o.rate_card_id
     WHERE x.id = ANY(%(voids)b::bigint[])
), corrections AS (
    SELECT void_id, rated_id, format('void:%%s:owner', public_id) AS key, owner_micro AS amount_micro, currency,
           format('owner:%%s:payable:%%s', owner_id, currency) AS debit,
           format('platform:%%s:%%s', CASE WHEN is_customers THEN 'revenue' ELSE 'verification' END, currency) AS credit
      FROM voided WHERE owner_micro > 0
    UNION ALL
    SELECT void_id, rated_id, format('void:%%s:wallet', public_id), wallet_micro, currency,
           format('platform:revenue:%%s', currency), format('organization:%%s:wallet:%%s', organization_id, currency)
      FROM voided WHERE wallet_micro > 0
    UNION ALL
    SELECT void_id, rated_id, format('void:%%s:promo', public_id), promo_micro, currency,
           format('platform:revenue:%%s', currency),
           format('organization:%%s:promo_wallet:%%s', organization_id, currency)
      FROM voided WHERE promo_micro > 0
), posted AS (
    INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, meta)
    SELECT 'correction', d.id, c.id, x.amount_micro, x.currency, x.key,
           jsonb_build_object('void', x.void_id, 'rated', x.rated_id)
      FROM corrections x
      LEFT JOIN billing_ledgeraccount d ON d.key = x.debit
      LEFT JOIN billing_ledgeraccount c ON c.key = x.credit
), {daily_sums_sql("voided", sign="-")}
UPDATE billing_usagevoid SET settled_at = now() WHERE id = ANY(%(voids)b::bigint[])
"""  # noqa: S608 - constants


@transaction.atomic
def void(*, rated: RatedUsage, reason: str, actor: User | None) -> UsageVoid:
    """Take a rated usage back and return its void. A worker posts the corrections, within a minute.

    Voiding the same usage again returns the first void. Raises InvalidInput (`reason_missing`, `reason_too_long`), and
    Conflict (`dispute_upheld`) if a dispute of this job was upheld, since its grant may have given back this charge
    already. Copies, which the customer did not pay for, can be voided even then.
    """
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Give the reason why this usage is taken back.", code="reason_missing")
    if len(reason) > REASON_MAX_LENGTH:
        raise InvalidInput(f"A reason has at most {REASON_MAX_LENGTH} characters.", code="reason_too_long")
    given_back = returned_charges.returned_charges_of(returned_charges.lock_order(rated.order_id))
    if first := UsageVoid.objects.filter(rated=rated).first():
        return first
    if rated.charged_micro and given_back.granted_micro:
        raise Conflict(
            "A dispute of this job was upheld. Correct the rest by an adjustment instead.", code="dispute_upheld"
        )
    row = UsageVoid.objects.create(
        rated=rated, reason=reason, voided_by=actor, promo_micro=given_back.promo_part(rated.charged_micro)
    )
    audit.record(
        actor=actor,
        action="usage.void",
        subject=row.public_id,
        rated=rated.pk,
        reason=reason,
        charged_micro=rated.charged_micro,
        owner_micro=rated.owner_micro,
    )
    workers.wake(TASK)
    return row


@atomic_retrying
def settle_voids(*, limit: int = BATCH) -> int:
    """Post the corrections of up to `limit` voids, oldest first. Returns the number of voids.

    Safe in many processes at once.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [limit])
        claimed = [row[0] for row in cursor]
    if not claimed:
        return 0
    kinds = LedgerAccount.Kind
    posting.accounts(
        {
            place
            for organization, owner, currency, has_promo in execute_batch(PLACES, [claimed])
            for place in (
                AccountName(kind=kinds.WALLET, currency=currency, organization_id=organization),
                AccountName(kind=kinds.PROMO_WALLET, currency=currency, organization_id=organization),
                AccountName(kind=kinds.PAYABLE, currency=currency, owner_id=owner),
                AccountName(kind=kinds.REVENUE, currency=currency),
                AccountName(kind=kinds.VERIFICATION, currency=currency),
            )
            if has_promo or place.kind != kinds.PROMO_WALLET
        }
    )
    execute_batch(SETTLE, {"voids": claimed})
    return len(claimed)
