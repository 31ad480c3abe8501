-- Rules of the access trail (accounts_accessevent). core/errors.py maps the SQLSTATEs to error codes.

-- Rows are append-only, but an erasure may replace the words of a reason ("category: words"). The category stays.
CREATE OR REPLACE FUNCTION accounts_access_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.reason = split_part(OLD.reason, ':', 1) || ': (erased)'
       AND to_jsonb(OLD) - 'reason' = to_jsonb(NEW) - 'reason' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% rows are append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_accessevent
    FOR EACH ROW EXECUTE FUNCTION accounts_access_guard();

CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_accessevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
