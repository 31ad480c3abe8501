"""What the database refuses about work, whoever asks. SQLSTATEs are named in core/errors.py."""

from django.db import migrations

# machine -> (event table, its foreign key column); units have no events of their own, their attempts do.
MACHINES = {
    "compute_node": ("compute_nodeevent", "node_id"),
    "compute_modelartifact": ("compute_modelartifactevent", "modelartifact_id"),
    "compute_inferencejob": ("compute_inferencejobevent", "inferencejob_id"),
    "compute_workunit": None,
    "compute_attempt": ("compute_attemptevent", "attempt_id"),
}

# Repeats TRANSITIONS of each model as it was at this migration; tests/compute/test_states.py compares the two.
TRANSITIONS = {
    "compute_node": {"active": ["suspended", "retired"], "suspended": ["active", "retired"]},
    "compute_modelartifact": {
        "uploaded": ["checking"],
        "checking": ["admitted", "refused", "uploaded"],
        "admitted": ["refused"],
    },
    "compute_inferencejob": {
        "queued": ["running", "failed", "cancelled"],
        "running": ["assembling", "failed", "cancelled"],
        "assembling": ["completed", "failed"],
    },
    "compute_workunit": {"open": ["accepted", "failed", "cancelled"]},
    "compute_attempt": {
        "leased": ["reported", "expired", "cancelled", "failed"],
        "reported": ["valid", "invalid", "cancelled"],
        "valid": ["invalid"],
    },
}


def machine_sql(machine: str) -> str:
    events = MACHINES[machine]
    arguments = ", ".join(f"'{word}'" for word in (machine, *(events or ())))
    sql = f"""
CREATE TRIGGER transition AFTER UPDATE ON {machine}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition({arguments});
"""
    if events:
        sql += f"""
CREATE TRIGGER first_state AFTER INSERT ON {machine} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state({arguments});
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {events[0]}
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {events[0]}
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""
    return sql


ATTEMPT = """
-- An attempt needs consent in force, on its own vehicle, by its own owner, given by the record that it names.
-- Locking the projection FOR SHARE makes a withdrawal wait for this transaction, or this one for the withdrawal.
CREATE FUNCTION compute_attempt_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
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
               AND v.owner_id = n.owner_id AND v.retired_at IS NULL AND d.id = n.node_id)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'vehicle % has no consent in force to run jobs', bad.vehicle_id USING ERRCODE = 'DW003';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER attempt_consent AFTER INSERT ON compute_attempt REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_attempt_consent();

-- Who was leased what, under which fence and consent, never changes.
CREATE FUNCTION compute_attempt_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what attempt % was leased for cannot change', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE TRIGGER attempt_identity
    BEFORE UPDATE OF unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence, leased_at ON compute_attempt
    FOR EACH ROW WHEN (
        (OLD.unit_id, OLD.job_id, OLD.node_id, OLD.vehicle_id, OLD.owner_id, OLD.consent_record_id, OLD.fence, OLD.leased_at)
        IS DISTINCT FROM
        (NEW.unit_id, NEW.job_id, NEW.node_id, NEW.vehicle_id, NEW.owner_id, NEW.consent_record_id, NEW.fence, NEW.leased_at))
    EXECUTE FUNCTION compute_attempt_identity();
CREATE TRIGGER append_only BEFORE DELETE ON compute_attempt
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

-- copies_live and copies_made follow the attempts, whoever changes them.
-- So does the class of a unit of which no copy was live. A unit of another job, or none, is refused.
CREATE FUNCTION compute_unit_copies_made() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER unit_copies_made AFTER INSERT ON compute_attempt REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_unit_copies_made();

CREATE FUNCTION compute_unit_copies_lost() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The difference of two counts, not a join of old and new rows: linear, whatever the planner thinks of their number.
    UPDATE compute_workunit u SET copies_live = copies_live + d.n
      FROM (SELECT unit_id, sum(n) AS n
              FROM (SELECT unit_id, 1 AS n FROM new_rows WHERE status IN ('leased', 'reported', 'valid')
                    UNION ALL
                    SELECT unit_id, -1 FROM old_rows WHERE status IN ('leased', 'reported', 'valid')) counted
             GROUP BY unit_id HAVING sum(n) <> 0) d
     WHERE u.id = d.unit_id;
    RETURN NULL;
END $$;
CREATE TRIGGER unit_copies_lost AFTER UPDATE ON compute_attempt
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_unit_copies_lost();
"""

WITHDRAWAL = """
-- When a consent to run jobs ends, in that same transaction its leases end and the link is told.
CREATE FUNCTION compute_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose = 'run_jobs' THEN
        IF NEW.state NOT IN ('given', 'renewed') THEN
            -- Presence before attempts: the order in which `sync` locks them.
            PERFORM FROM compute_nodepresence p JOIN compute_node n ON n.id = p.node_id
              WHERE n.vehicle_id = NEW.vehicle_id FOR NO KEY UPDATE OF p;
            UPDATE compute_node SET link_revoked_at = clock_timestamp() WHERE vehicle_id = NEW.vehicle_id;
            UPDATE compute_attempt SET status = 'cancelled', status_code = 'consent_' || NEW.state,
                                       ended_at = clock_timestamp()
             WHERE node_id = (SELECT id FROM compute_node WHERE vehicle_id = NEW.vehicle_id) AND status = 'leased';
        END IF;
        PERFORM pg_notify('driveway_link', 'consent');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER consent_ended AFTER INSERT OR UPDATE ON accounts_consentcurrent
    FOR EACH ROW EXECUTE FUNCTION compute_consent_ended();
"""

METERING = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_meterrecord
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_meterrecord
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

-- The hash of each meter record is that of its bytes, it continues its node's chain, and its attempt is that node's.
CREATE FUNCTION compute_meter_chain() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER meter_chain AFTER INSERT ON compute_meterrecord REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_meter_chain();

-- A usage record repeats what its attempt says.
CREATE FUNCTION compute_usage_matches() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER usage_matches AFTER INSERT ON compute_usagerecord REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_usage_matches();

-- A usage record is settled once; nothing else about it changes.
CREATE FUNCTION compute_usage_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'usage record % may only be settled, once', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE TRIGGER usage_settled_once BEFORE UPDATE ON compute_usagerecord
    FOR EACH ROW WHEN (
        OLD.settled_at IS NOT NULL OR NEW.settled_at IS NULL
        OR (OLD.id, OLD.attempt_id, OLD.meter_record_id, OLD.job_id, OLD.organization_id, OLD.owner_id, OLD.vehicle_id,
            OLD.node_id, OLD.hardware_class_id, OLD.is_canonical, OLD.items, OLD.compute_ms, OLD.energy_mwh, OLD.created_at)
           IS DISTINCT FROM
           (NEW.id, NEW.attempt_id, NEW.meter_record_id, NEW.job_id, NEW.organization_id, NEW.owner_id, NEW.vehicle_id,
            NEW.node_id, NEW.hardware_class_id, NEW.is_canonical, NEW.items, NEW.compute_ms, NEW.energy_mwh, NEW.created_at))
    EXECUTE FUNCTION compute_usage_settled_once();
CREATE TRIGGER append_only BEFORE DELETE ON compute_usagerecord
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_usagerecord
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""

# Attempts, meter records and usage point to these without a foreign key (their triggers check them): never deleted.
KEPT = "".join(
    f"""
CREATE TRIGGER append_only BEFORE DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
"""
    for table in ("compute_hardwareclass", "compute_inferencejob", "compute_node", "compute_workunit")
)


def write_transitions(apps, schema_editor):
    rows = apps.get_model("accounts", "StateTransition")
    rows.objects.bulk_create(
        rows(machine=machine, from_status=old, to_status=new)
        for machine, allowed in TRANSITIONS.items()
        for old, news in allowed.items()
        for new in news
    )


class Migration(migrations.Migration):
    dependencies = [("compute", "0001_initial"), ("accounts", "0002_rules")]

    operations = [
        migrations.RunPython(write_transitions, migrations.RunPython.noop),
        *(migrations.RunSQL(machine_sql(machine), migrations.RunSQL.noop) for machine in MACHINES),
        migrations.RunSQL(ATTEMPT, migrations.RunSQL.noop),
        migrations.RunSQL(WITHDRAWAL, migrations.RunSQL.noop),
        migrations.RunSQL(METERING, migrations.RunSQL.noop),
        migrations.RunSQL(KEPT, migrations.RunSQL.noop),
    ]
