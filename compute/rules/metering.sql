-- Metering: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- A meter record has the hash of its own bytes, continues the chain of its node, and is about an attempt of that node.
CREATE OR REPLACE FUNCTION compute_meter_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.node_id, n.seq INTO bad FROM new_rows n
      LEFT JOIN compute_node d ON d.id = n.node_id
      LEFT JOIN compute_attempt a ON a.id = n.attempt_id
     WHERE d.id IS NULL OR n.attempt_id IS NOT NULL AND a.node_id IS DISTINCT FROM n.node_id
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'meter record % is not about an attempt of node %', bad.seq, bad.node_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT n.node_id, n.seq INTO bad FROM new_rows n
      LEFT JOIN compute_meterrecord p ON p.node_id = n.node_id AND p.seq = n.seq - 1
     WHERE n.hash <> encode(sha256(n.record), 'hex')
        OR n.prev_hash <> CASE WHEN n.seq = 1 THEN repeat('0', 64) ELSE COALESCE(p.hash, '') END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'meter record % of node % breaks its chain', bad.seq, bad.node_id USING ERRCODE = 'DW004';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER meter_chain AFTER INSERT ON compute_meterrecord REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_meter_chain();

-- The columns of a usage record equal those of its attempt, job and meter record.
CREATE OR REPLACE FUNCTION compute_usage_matches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.id, n.attempt_id INTO bad FROM new_rows n
      LEFT JOIN compute_attempt a ON a.id = n.attempt_id
      LEFT JOIN compute_inferencejob j ON j.id = a.job_id
      LEFT JOIN compute_meterrecord r ON r.id = n.meter_record_id
      LEFT JOIN compute_hardwareclass h ON h.id = n.hardware_class_id
     WHERE (n.job_id, n.owner_id, n.vehicle_id, n.node_id, n.organization_id, n.attempt_id)
           IS DISTINCT FROM (a.job_id, a.owner_id, a.vehicle_id, a.node_id, j.organization_id, r.attempt_id)
        OR h.id IS NULL
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'usage record % is not that of attempt %', bad.id, bad.attempt_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER usage_matches AFTER INSERT ON compute_usagerecord REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_usage_matches();

-- A usage record is settled once. No other column ever changes.
CREATE OR REPLACE FUNCTION compute_usage_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'usage record % may only be settled, once', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER usage_settled_once BEFORE UPDATE ON compute_usagerecord
    FOR EACH ROW WHEN (
        OLD.settled_at IS NOT NULL OR NEW.settled_at IS NULL
        OR (OLD.id, OLD.attempt_id, OLD.meter_record_id, OLD.job_id, OLD.organization_id, OLD.owner_id, OLD.vehicle_id,
            OLD.node_id, OLD.hardware_class_id, OLD.is_canonical, OLD.items, OLD.compute_ms, OLD.energy_mwh, OLD.created_at)
           IS DISTINCT FROM
           (NEW.id, NEW.attempt_id, NEW.meter_record_id, NEW.job_id, NEW.organization_id, NEW.owner_id, NEW.vehicle_id,
            NEW.node_id, NEW.hardware_class_id, NEW.is_canonical, NEW.items, NEW.compute_ms, NEW.energy_mwh, NEW.created_at))
    EXECUTE FUNCTION compute_usage_settled_once();

-- Meter records and conflicts are append-only; usage records are never deleted.
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_meterrecord
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_meterrecord
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON compute_usagerecord
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_usagerecord
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_meterconflict FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_meterconflict
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
