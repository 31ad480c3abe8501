"""The formula of rating in SQL, and what the database refuses about voids."""

from django.db import migrations

RATING = """
-- billing/rates/formula.py, full_micro and owner_micro: time and energy over one common denominator, rounded once.
-- 5 = 18,000,000 / 3,600,000 milliseconds of an hour; 18 = 18,000,000 / 1,000,000 milliwatt-hours of a kilowatt-hour.
CREATE FUNCTION billing_full_micro(compute_ms bigint, energy_mwh bigint, per_hour bigint, per_kwh bigint)
    RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT billing_round_half_even(5::numeric * compute_ms * per_hour + 18::numeric * energy_mwh * per_kwh, 18000000)
$$;
CREATE FUNCTION billing_owner_micro(compute_ms bigint, energy_mwh bigint, per_hour bigint, per_kwh bigint, share integer)
    RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT div(5::numeric * compute_ms * per_hour * share + 18000::numeric * energy_mwh * per_kwh, 18000000000)::bigint
$$;
"""

VOIDS = """
-- A void starts unsettled, and is settled only together with corrections that mirror what its rating paid and charged.
CREATE FUNCTION billing_void_mirrors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.id INTO bad FROM new_rows n
      JOIN billing_ratedusage r ON r.id = n.rated_id
      JOIN compute_usagerecord u ON u.id = r.usage_id
      LEFT JOIN billing_ledgertransfer was ON was.id = r.owner_transfer_id
      LEFT JOIN billing_ledgertransfer o
        ON o.idempotency_key = 'void:' || n.public_id || ':owner' AND o.kind = 'correction'
      LEFT JOIN billing_ledgeraccount od ON od.id = o.debit_id
      LEFT JOIN billing_ledgeraccount oc ON oc.id = o.credit_id
      LEFT JOIN billing_ledgertransfer p
        ON p.idempotency_key = 'void:' || n.public_id || ':platform' AND p.kind = 'correction'
      LEFT JOIN billing_ledgeraccount pd ON pd.id = p.debit_id
      LEFT JOIN billing_ledgeraccount pc ON pc.id = p.credit_id
     WHERE n.settled_at IS NOT NULL
       AND (COALESCE(o.amount_micro, 0) <> r.owner_micro
            OR COALESCE(p.amount_micro, 0)
               <> r.charged_micro - CASE WHEN was.kind = 'share' THEN r.owner_micro ELSE 0 END
            OR o.id IS NOT NULL AND NOT (
                od.kind = 'payable' AND od.owner_id = u.owner_id
                AND (was.kind = 'share' AND oc.kind = 'wallet' AND oc.organization_id = u.organization_id
                     OR was.kind = 'verification' AND oc.kind = 'verification'))
            OR p.id IS NOT NULL AND NOT (
                pd.kind = 'revenue' AND pc.kind = 'wallet' AND pc.organization_id = u.organization_id))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'void % is not settled by that', bad.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER void_mirrors AFTER UPDATE ON billing_usagevoid REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_void_mirrors();
CREATE FUNCTION billing_void_unsettled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a void starts unsettled' USING ERRCODE = 'DW007';
END $$;
CREATE TRIGGER void_unsettled BEFORE INSERT ON billing_usagevoid
    FOR EACH ROW WHEN (NEW.settled_at IS NOT NULL) EXECUTE FUNCTION billing_void_unsettled();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_card_rules"), ("compute", "0007_paid_bounds")]

    operations = [
        migrations.RunSQL(RATING, migrations.RunSQL.noop),
        migrations.RunSQL(VOIDS, migrations.RunSQL.noop),
    ]
