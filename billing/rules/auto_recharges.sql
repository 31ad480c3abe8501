-- Rules of automatic recharges. core/errors.py maps the SQLSTATEs to error codes.

-- The card must be one of the same organization: otherwise another customer would pay.
CREATE OR REPLACE FUNCTION billing_auto_recharge_card() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_savedcard c WHERE c.id = NEW.card_id AND c.organization_id = NEW.organization_id) THEN
        RAISE EXCEPTION 'card % is not of organization %', NEW.card_id, NEW.organization_id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER own_card BEFORE INSERT OR UPDATE ON billing_autorecharge
    FOR EACH ROW EXECUTE FUNCTION billing_auto_recharge_card();
