"""What the database refuses, whoever asks: shared trigger functions, and the rules of consent and audit.

SQLSTATEs are named in core/errors.py. The functions are written so that a statement touching a thousand
rows runs each check once.
"""

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION driveway_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'DW002';
END $$;
"""

TRANSITION = """
-- AFTER UPDATE ... FOR EACH STATEMENT, REFERENCING OLD TABLE old_rows NEW TABLE new_rows.
-- Argument 1: machine (table name). Arguments 2 and 3, optional: event table and its foreign key column.
-- Plans of a session are kept, and one made for a few rows would join thousands of old and new rows in a nested loop.
CREATE FUNCTION driveway_transition() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE bad record;
BEGIN
    SELECT o.id, o.status AS was, n.status AS now INTO bad
      FROM new_rows n JOIN old_rows o ON o.id = n.id
     WHERE o.status <> n.status
       AND NOT EXISTS (SELECT FROM accounts_statetransition t
                        WHERE t.machine = TG_ARGV[0] AND t.from_status = o.status AND t.to_status = n.status)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% % cannot go from % to %', TG_ARGV[0], bad.id, bad.was, bad.now USING ERRCODE = 'DW001';
    END IF;
    IF TG_NARGS > 1 THEN
        EXECUTE format('INSERT INTO %I (%I, from_status, to_status, reason, at)
            SELECT n.id, o.status, n.status, n.status_code, clock_timestamp()
              FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE o.status <> n.status', TG_ARGV[1], TG_ARGV[2]);
    END IF;
    RETURN NULL;
END $$;

-- AFTER INSERT, same arguments: the first event of a row.
CREATE FUNCTION driveway_first_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I (%I, from_status, to_status, reason, at)
        SELECT n.id, '''', n.status, n.status_code, clock_timestamp() FROM new_rows n', TG_ARGV[1], TG_ARGV[2]);
    RETURN NULL;
END $$;
"""

CONSENT = """
-- A consent record continues its owner's chain, its hash is that of its bytes, and its columns say what the bytes say.
CREATE FUNCTION accounts_consent_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head_seq bigint;
    head_hash text;
    body jsonb;
BEGIN
    PERFORM FROM accounts_owner WHERE id = NEW.owner_id FOR NO KEY UPDATE;  -- one act of an owner at a time
    SELECT seq, hash INTO head_seq, head_hash FROM accounts_consentrecord
     WHERE owner_id = NEW.owner_id ORDER BY seq DESC LIMIT 1;
    IF NEW.seq <> COALESCE(head_seq, 0) + 1 OR NEW.prev_hash <> COALESCE(head_hash, repeat('0', 64)) THEN
        RAISE EXCEPTION 'consent record % does not continue the chain of owner %', NEW.seq, NEW.owner_id
            USING ERRCODE = 'DW004';
    END IF;
    IF NEW.hash <> encode(sha256(decode(NEW.prev_hash, 'hex') || NEW.payload), 'hex') THEN
        RAISE EXCEPTION 'consent record %: hash is not that of its bytes', NEW.seq USING ERRCODE = 'DW004';
    END IF;
    body := convert_from(NEW.payload, 'UTF8')::jsonb;
    IF body->>'record_id' IS DISTINCT FROM NEW.public_id::text
       OR body->>'purpose' IS DISTINCT FROM NEW.purpose
       OR body->'event'->>'event_state' IS DISTINCT FROM NEW.state
       OR body->'event'->>'method' IS DISTINCT FROM NEW.method
       OR body->'event'->>'entity_id' IS DISTINCT FROM COALESCE('user:' || NEW.actor_id, 'system')
       OR (body->'event'->>'event_time')::timestamptz IS DISTINCT FROM NEW.at
       OR (body->'event'->>'expires_at')::timestamptz IS DISTINCT FROM NEW.expires_at
       OR (body->>'seq')::bigint IS DISTINCT FROM NEW.seq
       OR body->>'pii_principal_id' IS DISTINCT FROM (SELECT public_id::text FROM accounts_owner WHERE id = NEW.owner_id)
       OR body->>'vehicle' IS DISTINCT FROM (SELECT public_id::text FROM accounts_vehicle
                                              WHERE id = NEW.vehicle_id AND owner_id = NEW.owner_id)
       OR body->>'notice_sha256' IS DISTINCT FROM (SELECT sha256 FROM accounts_consentnotice
                                                    WHERE id = NEW.notice_id AND purpose = NEW.purpose) THEN
        RAISE EXCEPTION 'consent record %: columns differ from the signed bytes', NEW.seq USING ERRCODE = 'DW004';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER consent_chain BEFORE INSERT ON accounts_consentrecord
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_chain();

-- The projection of the latest act. Its row lock is what dispatch and withdrawal meet on.
CREATE FUNCTION accounts_consent_project() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO accounts_consentcurrent (vehicle_id, purpose, record_id, state, expires_at)
    VALUES (NEW.vehicle_id, NEW.purpose, NEW.id, NEW.state, NEW.expires_at)
    ON CONFLICT (vehicle_id, purpose) DO UPDATE
        SET record_id = EXCLUDED.record_id, state = EXCLUDED.state, expires_at = EXCLUDED.expires_at;
    RETURN NULL;
END $$;
CREATE TRIGGER consent_project AFTER INSERT ON accounts_consentrecord
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_project();

-- The projection cannot be edited by hand into a consent that nobody gave.
CREATE FUNCTION accounts_consent_current_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'the current consent cannot be deleted' USING ERRCODE = 'DW002';
    END IF;
    IF NOT EXISTS (SELECT FROM accounts_consentrecord r
                    WHERE r.id = NEW.record_id AND r.vehicle_id = NEW.vehicle_id AND r.purpose = NEW.purpose
                      AND r.state = NEW.state AND r.expires_at IS NOT DISTINCT FROM NEW.expires_at)
       OR EXISTS (SELECT FROM accounts_consentrecord later
                   WHERE later.vehicle_id = NEW.vehicle_id AND later.purpose = NEW.purpose
                     AND later.id > NEW.record_id) THEN
        RAISE EXCEPTION 'the current consent must repeat the latest record' USING ERRCODE = 'DW004';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER consent_current_guard BEFORE INSERT OR UPDATE OR DELETE ON accounts_consentcurrent
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_current_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_consentcurrent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

-- A sold car is retired and added anew by its next owner: consent never travels with it.
CREATE FUNCTION accounts_vehicle_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'vehicle % cannot change its owner or its VIN', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE TRIGGER vehicle_identity BEFORE UPDATE OF owner_id, vin_hash ON accounts_vehicle
    FOR EACH ROW WHEN ((OLD.owner_id, OLD.vin_hash) IS DISTINCT FROM (NEW.owner_id, NEW.vin_hash))
    EXECUTE FUNCTION accounts_vehicle_identity();
"""

APPEND_ONLY_TABLES = ["accounts_consentrecord", "accounts_consentnotice", "accounts_auditevent"]


def append_only(table: str) -> str:
    return f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunSQL(APPEND_ONLY, "DROP FUNCTION driveway_append_only()"),
        migrations.RunSQL(TRANSITION, "DROP FUNCTION driveway_transition(), driveway_first_state()"),
        migrations.RunSQL(
            CONSENT,
            "DROP FUNCTION accounts_consent_chain(), accounts_consent_project(), accounts_consent_current_guard(),"
            " accounts_vehicle_identity() CASCADE",
        ),
        *(
            migrations.RunSQL(
                append_only(table),
                f"DROP TRIGGER append_only ON {table}; DROP TRIGGER append_only_truncate ON {table}",
            )
            for table in APPEND_ONLY_TABLES
        ),
    ]
