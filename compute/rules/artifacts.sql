-- Artifacts: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- Allowed changes of status, as in ModelArtifact.TRANSITIONS. Each change writes an event row.
DELETE FROM accounts_statetransition WHERE machine = 'compute_modelartifact';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'compute_modelartifact', move.status, unnest(move.allowed) FROM (VALUES
    ('uploaded', ARRAY['checking']),
    ('checking', ARRAY['admitted', 'refused', 'uploaded']),
    ('admitted', ARRAY['refused'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON compute_modelartifact
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('compute_modelartifact', 'compute_modelartifactevent', 'modelartifact_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON compute_modelartifact REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('compute_modelartifact', 'compute_modelartifactevent', 'modelartifact_id');

-- Events are append-only.
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_modelartifactevent
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_modelartifactevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
