"""Work only under the text that counts now and on an active node; history only under its own consent."""

from django.db import migrations

ATTEMPT = """
-- As before, and: the consent is to the text that counts now, and the node is active.
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
"""

ENDED = """
-- When a consent ends, in that same transaction: leases end and the link is told (run_jobs), history is deleted (the others).
CREATE OR REPLACE FUNCTION compute_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose = 'run_jobs' THEN
        IF NEW.state NOT IN ('given', 'renewed') THEN
            -- Presence before attempts: the order in which `sync` locks them.
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
"""

# The lock makes a withdrawal wait for this transaction, so that its deletion sees what is written here.
HISTORY = """
CREATE FUNCTION compute_history_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad bigint;
BEGIN
    PERFORM FROM accounts_consentcurrent c
      WHERE c.purpose = TG_ARGV[0] AND c.vehicle_id IN (SELECT vehicle_id FROM new_rows)
      ORDER BY c.id FOR SHARE OF c;
    SELECT n.vehicle_id INTO bad FROM new_rows n
      LEFT JOIN compute_node d ON d.id = n.node_id AND d.vehicle_id = n.vehicle_id
     WHERE d.id IS NULL OR NOT accounts_consent_in_force(n.vehicle_id, TG_ARGV[0]) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'vehicle % has no consent in force for %', bad, TG_ARGV[0] USING ERRCODE = 'DW003';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER history_consent AFTER INSERT ON compute_availabilityspan REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_history_consent('availability');
CREATE TRIGGER history_consent AFTER INSERT ON compute_healthday REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION compute_history_consent('reliability');
"""


class Migration(migrations.Migration):
    dependencies = [("compute", "0003_owners"), ("accounts", "0005_owner_rules")]

    operations = [
        migrations.RunSQL(ATTEMPT, migrations.RunSQL.noop),
        migrations.RunSQL(ENDED, migrations.RunSQL.noop),
        migrations.RunSQL(HISTORY, migrations.RunSQL.noop),
    ]
