-- Rules of disputes of jobs and statements. core/errors.py maps the SQLSTATEs to error codes.

-- An upheld dispute gives back no more than is left of its order's charge.
CREATE OR REPLACE FUNCTION billing_dispute_given_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_given_back_within(NEW.order_id);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER given_back AFTER INSERT OR UPDATE OF status, granted_micro, granted_promo_micro ON billing_dispute
    FOR EACH ROW WHEN (NEW.status = 'upheld' AND NEW.order_id IS NOT NULL)
    EXECUTE FUNCTION billing_dispute_given_back();

-- A decision never changes: if the grant could be lowered later, the same money could be granted again.
CREATE OR REPLACE FUNCTION billing_dispute_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dispute % is decided', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER decided BEFORE UPDATE ON billing_dispute
    FOR EACH ROW WHEN (OLD.status <> 'open' AND (OLD.granted_micro, OLD.granted_promo_micro, OLD.bearer)
                       IS DISTINCT FROM (NEW.granted_micro, NEW.granted_promo_micro, NEW.bearer))
    EXECUTE FUNCTION billing_dispute_decided();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_dispute';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_dispute', move.status, unnest(move.allowed) FROM (VALUES
    ('open', ARRAY['upheld', 'rejected', 'withdrawn'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_dispute FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_dispute
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_dispute REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_dispute', 'billing_disputeevent', 'dispute_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_dispute REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_dispute', 'billing_disputeevent', 'dispute_id');
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_dispute FOR EACH ROW EXECUTE FUNCTION billing_keep(
    'status', 'status_code', 'reserved_micro', 'granted_micro', 'granted_promo_micro', 'bearer', 'decision',
    'decided_by_id', 'decided_at', 'reason');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_disputemessage FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_disputemessage
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_disputeevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_disputeevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
