-- Jobs: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- Allowed changes of status, as in InferenceJob.TRANSITIONS. Each change writes an event row. Jobs are never deleted.
DELETE FROM accounts_statetransition WHERE machine = 'compute_inferencejob';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'compute_inferencejob', move.status, unnest(move.allowed) FROM (VALUES
    ('queued', ARRAY['running', 'failed', 'cancelled']),
    ('running', ARRAY['assembling', 'failed', 'cancelled']),
    ('assembling', ARRAY['completed', 'failed'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON compute_inferencejob
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('compute_inferencejob', 'compute_inferencejobevent', 'inferencejob_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON compute_inferencejob REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('compute_inferencejob', 'compute_inferencejobevent', 'inferencejob_id');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON compute_inferencejob
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();

-- Events are append-only.
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_inferencejobevent
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_inferencejobevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

-- Allowed changes of status, as in WorkUnit.TRANSITIONS; without event rows. Units are never deleted.
DELETE FROM accounts_statetransition WHERE machine = 'compute_workunit';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'compute_workunit', move.status, unnest(move.allowed) FROM (VALUES
    ('open', ARRAY['accepted', 'failed', 'cancelled'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON compute_workunit
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('compute_workunit');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON compute_workunit
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
