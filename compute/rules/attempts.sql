-- Attempts: rules that the database enforces for every writer. SQLSTATEs are named in core/errors.py.

-- An attempt needs an active node and consent in force: to the valid version of the text, for its own vehicle, by its
-- own owner, given by the consent record that it names. The lock FOR SHARE on accounts_consentcurrent (the present
-- state of the consents) makes a withdrawal wait for this transaction, or this transaction wait for the withdrawal.
CREATE OR REPLACE FUNCTION compute_attempt_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bad record;
    wanted_version integer := accounts_notice_version('run_jobs');
BEGIN
    PERFORM FROM accounts_consentcurrent c
      WHERE c.purpose = 'run_jobs' AND c.vehicle_id IN (SELECT vehicle_id FROM new_rows)
      ORDER BY c.id FOR SHARE OF c;
    SELECT n.id, n.vehicle_id, n.status INTO bad FROM new_rows n
     WHERE n.status <> 'leased'
        OR NOT EXISTS (
            SELECT FROM accounts_consentcurrent c
              JOIN accounts_vehicle v ON v.id = c.vehicle_id
              JOIN compute_node d ON d.vehicle_id = v.id
             WHERE c.vehicle_id = n.vehicle_id AND c.purpose = 'run_jobs' AND c.record_id = n.consent_record_id
               AND c.state IN ('given', 'renewed') AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
               AND c.notice_version >= wanted_version
               AND v.owner_id = n.owner_id AND v.retired_at IS NULL AND d.id = n.node_id AND d.status = 'active')
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'vehicle % has no consent in force to run jobs', bad.vehicle_id USING ERRCODE = 'DW003';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER attempt_consent AFTER INSERT ON compute_attempt REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_attempt_consent();

-- Unit, node, vehicle, owner, consent record, fence and time of a lease never change.
CREATE OR REPLACE FUNCTION compute_attempt_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what attempt % was leased for cannot change', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER attempt_identity
    BEFORE UPDATE OF unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence, leased_at ON compute_attempt
    FOR EACH ROW WHEN (
        (OLD.unit_id, OLD.job_id, OLD.node_id, OLD.vehicle_id, OLD.owner_id, OLD.consent_record_id, OLD.fence, OLD.leased_at)
        IS DISTINCT FROM
        (NEW.unit_id, NEW.job_id, NEW.node_id, NEW.vehicle_id, NEW.owner_id, NEW.consent_record_id, NEW.fence, NEW.leased_at))
    EXECUTE FUNCTION compute_attempt_identity();

-- copies_live and copies_made of a unit follow its attempts. A unit without a live copy takes the hardware class of the
-- new attempt's node. An attempt whose unit does not exist or belongs to another job is refused.
CREATE OR REPLACE FUNCTION compute_unit_copies_made() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE moved bigint;
BEGIN
    UPDATE compute_workunit u
       SET copies_live = u.copies_live + d.n, copies_made = u.copies_made + d.n,
           hardware_class_id = CASE WHEN u.copies_live > 0 THEN u.hardware_class_id ELSE d.hardware_class_id END
      FROM (SELECT r.unit_id, r.job_id, count(*) AS n, min(c.hardware_class_id) AS hardware_class_id
              FROM new_rows r JOIN compute_node c ON c.id = r.node_id GROUP BY r.unit_id, r.job_id) d
     WHERE u.id = d.unit_id AND u.job_id = d.job_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> (SELECT count(*) FROM (SELECT DISTINCT unit_id, job_id FROM new_rows) d) THEN
        RAISE EXCEPTION 'an attempt is of a unit that its job does not have' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER unit_copies_made AFTER INSERT ON compute_attempt REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_unit_copies_made();

-- A change of status changes copies_live: only leased, reported and valid attempts count.
CREATE OR REPLACE FUNCTION compute_unit_copies_lost() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The difference of two counts instead of a join of old and new rows: it is linear even if the planner misjudges
    -- the number of rows.
    UPDATE compute_workunit u SET copies_live = copies_live + d.n
      FROM (SELECT unit_id, sum(n) AS n
              FROM (SELECT unit_id, 1 AS n FROM new_rows WHERE status IN ('leased', 'reported', 'valid')
                    UNION ALL
                    SELECT unit_id, -1 FROM old_rows WHERE status IN ('leased', 'reported', 'valid')) counted
             GROUP BY unit_id HAVING sum(n) <> 0) d
     WHERE u.id = d.unit_id;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER unit_copies_lost AFTER UPDATE ON compute_attempt
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_unit_copies_lost();

-- The end of a consent takes effect in the same transaction. run_jobs: leases are cancelled, credentials are revoked
-- and the link is notified. The other purposes: their history is deleted.
CREATE OR REPLACE FUNCTION compute_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose = 'run_jobs' THEN
        IF NEW.state NOT IN ('given', 'renewed') THEN
            -- Lock presence before attempts, as `sync` does, to avoid deadlocks.
            PERFORM FROM compute_nodepresence p JOIN compute_node n ON n.id = p.node_id
              WHERE n.vehicle_id = NEW.vehicle_id FOR NO KEY UPDATE OF p;
            UPDATE compute_node SET link_revoked_at = clock_timestamp() WHERE vehicle_id = NEW.vehicle_id;
            UPDATE compute_attempt SET status = 'cancelled', status_code = 'consent_' || NEW.state,
                                       ended_at = clock_timestamp()
             WHERE node_id IN (SELECT id FROM compute_node WHERE vehicle_id = NEW.vehicle_id) AND status = 'leased';
        END IF;
        PERFORM pg_notify('driveway_link', 'consent');
    ELSIF NEW.state NOT IN ('given', 'renewed') THEN
        IF NEW.purpose = 'availability' THEN
            DELETE FROM compute_availabilityspan WHERE vehicle_id = NEW.vehicle_id;
        ELSIF NEW.purpose = 'reliability' THEN
            DELETE FROM compute_healthday WHERE vehicle_id = NEW.vehicle_id;
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER consent_ended AFTER INSERT OR UPDATE ON accounts_consentcurrent
    FOR EACH ROW EXECUTE FUNCTION compute_consent_ended();

-- When a vehicle is retired, its node is retired and its unused enrolment codes expire.
CREATE OR REPLACE FUNCTION compute_vehicle_retired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE compute_node
       SET status = 'retired', status_code = 'vehicle_' || NEW.retired_code, link_revoked_at = clock_timestamp()
     WHERE vehicle_id = NEW.id AND status <> 'retired';
    UPDATE compute_enrolmentcode SET expires_at = clock_timestamp()
     WHERE vehicle_id = NEW.id AND used_at IS NULL AND expires_at > clock_timestamp();
    PERFORM pg_notify('driveway_link', 'consent');
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER node_of_retired_vehicle AFTER UPDATE OF retired_at ON accounts_vehicle
    FOR EACH ROW WHEN (OLD.retired_at IS NULL AND NEW.retired_at IS NOT NULL) EXECUTE FUNCTION compute_vehicle_retired();

-- Allowed changes of status, as in Attempt.TRANSITIONS. Each change writes an event row.
DELETE FROM accounts_statetransition WHERE machine = 'compute_attempt';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'compute_attempt', move.status, unnest(move.allowed) FROM (VALUES
    ('leased', ARRAY['reported', 'expired', 'cancelled', 'failed']),
    ('reported', ARRAY['valid', 'invalid', 'cancelled']),
    ('valid', ARRAY['invalid'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON compute_attempt
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('compute_attempt', 'compute_attemptevent', 'attempt_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON compute_attempt REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('compute_attempt', 'compute_attemptevent', 'attempt_id');
-- Attempts are never deleted; their events are append-only.
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON compute_attempt
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_attemptevent
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_attemptevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
