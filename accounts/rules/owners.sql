-- Rules of owners. core/errors.py maps the SQLSTATEs to error codes.

-- The row of an erased owner never changes again.
CREATE OR REPLACE FUNCTION accounts_owner_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'owner % has been erased for good', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER owner_erased BEFORE UPDATE ON accounts_owner
    FOR EACH ROW WHEN (OLD.erased_at IS NOT NULL AND OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION accounts_owner_erased();
