-- Functions that the rules of several tables use.

-- Returns numerator / denominator, rounded half to even, as core.money.round_half_even does. numerator >= 0,
-- denominator > 0.
CREATE OR REPLACE FUNCTION billing_round_half_even(numerator numeric, denominator numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (div(numerator, denominator) + CASE
        WHEN 2 * mod(numerator, denominator) > denominator THEN 1
        WHEN 2 * mod(numerator, denominator) = denominator THEN mod(div(numerator, denominator), 2)
        ELSE 0 END)::bigint
$$;

-- Refuses an UPDATE that changes a column which has a value already. Arguments: the columns that may change.
CREATE OR REPLACE FUNCTION billing_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE may_change text[] := COALESCE(TG_ARGV, '{}');
BEGIN
    IF EXISTS (SELECT FROM jsonb_each(to_jsonb(OLD) - may_change) AS was
                WHERE was.value <> 'null' AND to_jsonb(NEW) -> was.key <> was.value) THEN
        RAISE EXCEPTION '% % cannot change like that', TG_TABLE_NAME, OLD.id USING ERRCODE = 'DW002';
    END IF;
    RETURN NEW;
END $$;

-- The same formulas as full_micro and owner_micro in billing/rates/formula.py, over one common denominator, rounded
-- once: the full price half to even, the owner's part down.
-- 5 = 18,000,000 / 3,600,000 milliseconds of an hour; 18 = 18,000,000 / 1,000,000 milliwatt-hours of a kilowatt-hour.
CREATE OR REPLACE FUNCTION billing_full_micro(compute_ms bigint, energy_mwh bigint, per_hour bigint, per_kwh bigint)
    RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT billing_round_half_even(5::numeric * compute_ms * per_hour + 18::numeric * energy_mwh * per_kwh, 18000000)
$$;

CREATE OR REPLACE FUNCTION billing_owner_micro(compute_ms bigint, energy_mwh bigint, per_hour bigint, per_kwh bigint, share integer)
    RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT div(5::numeric * compute_ms * per_hour * share + 18000::numeric * energy_mwh * per_kwh, 18000000000)::bigint
$$;

-- Refuses that an order gives back too much. Its voids (settled or not) and upheld disputes together give back no more
-- than it charged, no more to the wallet than the wallet paid, and no more to promotional credit than promotional
-- credit paid; charges use promotional credit first. The lock on the order makes transactions that give back money of
-- the same order wait for each other.
CREATE OR REPLACE FUNCTION billing_given_back_within(of_order bigint) RETURNS void LANGUAGE plpgsql AS $$
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
