-- Rules of voids of usage. core/errors.py maps the SQLSTATEs to error codes.

-- A void is settled only together with corrections that mirror what the usage paid and charged. The owner's pay goes
-- back to where it came from, revenue or verification; the customer's charge goes back out of revenue, to wallet and
-- promotional credit in the parts that the void states.
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
CREATE OR REPLACE TRIGGER void_mirrors AFTER UPDATE ON billing_usagevoid REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_void_mirrors();

-- A new void is not settled: its corrections follow.
CREATE OR REPLACE FUNCTION billing_void_unsettled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a void starts unsettled' USING ERRCODE = 'DW007';
END $$;
CREATE OR REPLACE TRIGGER void_unsettled BEFORE INSERT ON billing_usagevoid
    FOR EACH ROW WHEN (NEW.settled_at IS NOT NULL) EXECUTE FUNCTION billing_void_unsettled();

-- A void gives back no more than is left of its order's charge. Usage that was charged cannot be voided once a dispute
-- of the order was upheld, since the grant may contain this charge already.
CREATE OR REPLACE FUNCTION billing_void_given_back() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE TRIGGER given_back AFTER INSERT ON billing_usagevoid
    FOR EACH ROW EXECUTE FUNCTION billing_void_given_back();

-- A column never changes once it has a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_usagevoid FOR EACH ROW EXECUTE FUNCTION billing_keep();
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_usagevoid FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_usagevoid
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
