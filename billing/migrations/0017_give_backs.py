"""What the database refuses about giving a charge back: more than was charged, or from credit to money. Whoever asks."""

from django.db import migrations, models

RULES = """
-- Voids (settled or not) and upheld disputes of an order together: no more than it charged, no more to the wallet than the
-- wallet paid, no more to promotional credit than that paid, which charges use up first. Who gives back waits here for the
-- others of the same order. A void of what was charged is made before any dispute is upheld: that one shares out the rest.
CREATE FUNCTION billing_given_back_within(of_order bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE paid record; back record;
BEGIN
    SELECT charged_micro - LEAST(held_promo_micro, charged_micro) AS wallet_micro,
           LEAST(held_promo_micro, charged_micro) AS promo_micro
      INTO paid FROM billing_joborder WHERE id = of_order FOR NO KEY UPDATE;
    SELECT COALESCE(sum(b.micro - b.promo_micro), 0) AS wallet_micro, COALESCE(sum(b.promo_micro), 0) AS promo_micro,
           COALESCE(bool_or(b.promo_micro > b.micro), false) AS is_odd
      INTO back
      FROM (SELECT r.charged_micro AS micro, v.promo_micro
              FROM billing_usagevoid v JOIN billing_ratedusage r ON r.id = v.rated_id WHERE r.order_id = of_order
            UNION ALL
            SELECT granted_micro, granted_promo_micro FROM billing_dispute
             WHERE order_id = of_order AND status = 'upheld') b;
    IF back.is_odd OR back.wallet_micro > paid.wallet_micro OR back.promo_micro > paid.promo_micro THEN
        RAISE EXCEPTION 'order % would give back more than was paid', of_order USING ERRCODE = 'DW007';
    END IF;
END $$;
CREATE FUNCTION billing_void_given_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE rated record;
BEGIN
    SELECT order_id, charged_micro INTO rated FROM billing_ratedusage WHERE id = NEW.rated_id;
    PERFORM billing_given_back_within(rated.order_id);
    IF rated.charged_micro > 0 AND EXISTS (
        SELECT FROM billing_dispute WHERE order_id = rated.order_id AND status = 'upheld') THEN
        RAISE EXCEPTION 'a dispute of order % was upheld', rated.order_id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER given_back AFTER INSERT ON billing_usagevoid
    FOR EACH ROW EXECUTE FUNCTION billing_void_given_back();
CREATE FUNCTION billing_dispute_given_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_given_back_within(NEW.order_id);
    RETURN NULL;
END $$;
CREATE TRIGGER given_back AFTER INSERT OR UPDATE OF status, granted_micro, granted_promo_micro ON billing_dispute
    FOR EACH ROW WHEN (NEW.status = 'upheld' AND NEW.order_id IS NOT NULL)
    EXECUTE FUNCTION billing_dispute_given_back();

-- What was decided stays: granting less afterwards would make room for granting it again.
CREATE FUNCTION billing_dispute_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dispute % is decided', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE TRIGGER decided BEFORE UPDATE ON billing_dispute
    FOR EACH ROW WHEN (OLD.status <> 'open' AND (OLD.granted_micro, OLD.granted_promo_micro, OLD.bearer)
                       IS DISTINCT FROM (NEW.granted_micro, NEW.granted_promo_micro, NEW.bearer))
    EXECUTE FUNCTION billing_dispute_decided();
DROP TRIGGER keep ON billing_dispute;
CREATE TRIGGER keep BEFORE UPDATE ON billing_dispute FOR EACH ROW EXECUTE FUNCTION billing_keep(
    'status', 'status_code', 'reserved_micro', 'granted_micro', 'granted_promo_micro', 'bearer', 'decision',
    'decided_by_id', 'decided_at', 'reason');
"""

MIRRORS = """
-- As before, but the customer's money goes back to the pockets that the void names, and all of it by way of revenue.
CREATE OR REPLACE FUNCTION billing_void_mirrors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.id INTO bad FROM new_rows n
      JOIN billing_ratedusage r ON r.id = n.rated_id
      JOIN compute_usagerecord u ON u.id = r.usage_id
      LEFT JOIN billing_ledgertransfer was ON was.id = r.owner_transfer_id
      CROSS JOIN LATERAL (VALUES
           ('owner', r.owner_micro, 'payable', u.owner_id,
            CASE WHEN was.kind = 'share' THEN 'revenue' ELSE 'verification' END, NULL::bigint),
           ('wallet', r.charged_micro - n.promo_micro, 'revenue', NULL, 'wallet', u.organization_id),
           ('promo', n.promo_micro, 'revenue', NULL, 'promo_wallet', u.organization_id)
           ) AS part (name, micro, debit, owner_id, credit, organization_id)
      LEFT JOIN billing_ledgertransfer t
        ON t.idempotency_key = 'void:' || n.public_id || ':' || part.name AND t.kind = 'correction'
      LEFT JOIN billing_ledgeraccount d ON d.id = t.debit_id
      LEFT JOIN billing_ledgeraccount c ON c.id = t.credit_id
     WHERE n.settled_at IS NOT NULL
       AND (COALESCE(t.amount_micro, 0) <> part.micro
            OR t.id IS NOT NULL AND (d.kind, d.owner_id, c.kind, c.organization_id)
               IS DISTINCT FROM (part.debit, part.owner_id, part.credit, part.organization_id))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'void % is not settled by that', bad.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0016_ledger_speed")]

    operations = [
        migrations.AddField(
            "usagevoid",
            "promo_micro",
            models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="The part of the charge that goes back to promotional credit; the rest to the wallet.",
            ),
        ),
        migrations.AddConstraint(
            "usagevoid",
            models.CheckConstraint(condition=models.Q(promo_micro__gte=0), name="usage_void_promo"),
        ),
        migrations.AddField(
            "dispute",
            "granted_promo_micro",
            models.BigIntegerField(
                db_default=0, default=0, help_text="The part of the grant that goes back to promotional credit."
            ),
        ),
        migrations.AddConstraint(
            "dispute",
            models.CheckConstraint(
                condition=models.Q(granted_promo_micro__gte=0, granted_promo_micro__lte=models.F("granted_micro")),
                name="dispute_promo",
            ),
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
        migrations.RunSQL(MIRRORS, migrations.RunSQL.noop),
    ]
