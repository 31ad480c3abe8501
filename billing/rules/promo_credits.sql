-- Rules of promotional credit. core/errors.py maps the SQLSTATEs to error codes.

-- A promotional credit has its transfer: from the platform's expense account `promotion` to the organization's
-- `promo_wallet`.
CREATE OR REPLACE FUNCTION billing_promo_credit_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
          JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
         WHERE t.id = NEW.transfer_id AND t.kind = 'promo' AND t.amount_micro = NEW.amount_micro
           AND t.currency = NEW.currency AND d.kind = 'promotion' AND c.kind = 'promo_wallet'
           AND c.organization_id = NEW.organization_id) THEN
        RAISE EXCEPTION 'promotional credit % was not posted like that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER posted BEFORE INSERT ON billing_promocredit
    FOR EACH ROW EXECUTE FUNCTION billing_promo_credit_posted();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_promocredit FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_promocredit
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
