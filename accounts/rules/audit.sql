-- Rules of the audit trail (accounts_auditevent). core/errors.py maps the SQLSTATEs to error codes.

-- Rows are append-only, but an erasure may replace `details`.
CREATE OR REPLACE FUNCTION accounts_audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.details = '{"erased": true}'
       AND to_jsonb(OLD) - 'details' = to_jsonb(NEW) - 'details' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% rows are append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION accounts_audit_guard();

CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
