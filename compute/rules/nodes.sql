-- Nodes: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- Each change of a class's power or slowness is kept in compute_classfigures, because these figures bound what is paid.
CREATE OR REPLACE FUNCTION compute_class_figures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (OLD.power_mw, OLD.slowness_permille) IS DISTINCT FROM (NEW.power_mw, NEW.slowness_permille) THEN
        INSERT INTO compute_classfigures (hardware_class_id, power_mw, slowness_permille)
        VALUES (NEW.id, NEW.power_mw, NEW.slowness_permille);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER figures AFTER INSERT OR UPDATE ON compute_hardwareclass
    FOR EACH ROW EXECUTE FUNCTION compute_class_figures();

-- A node that signed two records under one number becomes active again only after its newest conflict was lifted.
CREATE OR REPLACE FUNCTION compute_node_lifted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM compute_meterconflict c
                WHERE c.node_id = NEW.id
                  AND NOT EXISTS (SELECT FROM compute_nodedecision d
                                   WHERE d.node_id = c.node_id AND d.kind = 'lift' AND d.through_id >= c.id)) THEN
        RAISE EXCEPTION 'nobody has lifted the suspension of node %', NEW.id USING ERRCODE = 'DW001';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER lifted BEFORE UPDATE OF status ON compute_node
    FOR EACH ROW WHEN (OLD.status = 'suspended' AND NEW.status = 'active') EXECUTE FUNCTION compute_node_lifted();

-- Allowed changes of status, as in Node.TRANSITIONS. Each change writes an event row.
DELETE FROM accounts_statetransition WHERE machine = 'compute_node';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'compute_node', move.status, unnest(move.allowed) FROM (VALUES
    ('active', ARRAY['suspended', 'retired']),
    ('suspended', ARRAY['active', 'retired'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON compute_node
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('compute_node', 'compute_nodeevent', 'node_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON compute_node REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('compute_node', 'compute_nodeevent', 'node_id');
-- Nodes and classes are never deleted; events and figures are append-only.
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON compute_node
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_nodeevent
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_nodeevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON compute_hardwareclass
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_classfigures
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_classfigures
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
