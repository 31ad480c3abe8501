-- Node decisions: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- Decisions are append-only.
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_nodedecision
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_nodedecision
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
