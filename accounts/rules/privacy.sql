-- States of exports and erasure requests. core/errors.py maps the SQLSTATEs to error codes.

DELETE FROM accounts_statetransition WHERE machine = 'accounts_dataexport';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'accounts_dataexport', move.status, unnest(move.allowed) FROM (VALUES
    ('requested', ARRAY['ready', 'failed']),
    ('ready', ARRAY['expired'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON accounts_dataexport
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('accounts_dataexport');

DELETE FROM accounts_statetransition WHERE machine = 'accounts_erasurerequest';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'accounts_erasurerequest', move.status, unnest(move.allowed) FROM (VALUES
    ('scheduled', ARRAY['cancelled', 'done'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON accounts_erasurerequest
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('accounts_erasurerequest');
