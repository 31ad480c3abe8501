"""What the database refuses about owners' data: consent to old texts, for sold cars, beyond a region; edits of who looked."""

from django.db import migrations

CONSENT = """
-- The version of a purpose's text that counts now: consent to an older one does not stretch to it.
CREATE FUNCTION accounts_notice_version(wanted text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT COALESCE(max(version), 0) FROM accounts_consentnotice
     WHERE purpose = wanted AND effective_at <= clock_timestamp()
$$;

CREATE FUNCTION accounts_consent_in_force(of_vehicle bigint, wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM accounts_consentcurrent c
                    WHERE c.vehicle_id = of_vehicle AND c.purpose = wanted AND c.state IN ('given', 'renewed')
                      AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
                      AND c.notice_version >= accounts_notice_version(wanted))
$$;

-- A consent record continues its owner's chain, its hash is that of its bytes, and its columns say what the bytes say.
-- It is about a vehicle of its owner that is not retired, or, if personal, about none; consent is given to no old text.
CREATE OR REPLACE FUNCTION accounts_consent_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head_seq bigint;
    head_hash text;
    body jsonb;
    vehicle text;
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
    SELECT public_id::text INTO vehicle FROM accounts_vehicle WHERE id = NEW.vehicle_id AND owner_id = NEW.owner_id;
    body := convert_from(NEW.payload, 'UTF8')::jsonb;
    IF (NEW.vehicle_id IS NULL) <> (NEW.purpose = 'product_email')
       OR NEW.vehicle_id IS NOT NULL AND vehicle IS NULL
       OR body->>'record_id' IS DISTINCT FROM NEW.public_id::text
       OR body->>'purpose' IS DISTINCT FROM NEW.purpose
       OR body->'event'->>'event_state' IS DISTINCT FROM NEW.state
       OR body->'event'->>'method' IS DISTINCT FROM NEW.method
       OR body->'event'->>'entity_id' IS DISTINCT FROM COALESCE(
              'user:' || NEW.actor_id, CASE WHEN NEW.method = 'agent' THEN 'vehicle:' || vehicle ELSE 'system' END)
       OR (body->'event'->>'event_time')::timestamptz IS DISTINCT FROM NEW.at
       OR (body->'event'->>'expires_at')::timestamptz IS DISTINCT FROM NEW.expires_at
       OR (body->>'seq')::bigint IS DISTINCT FROM NEW.seq
       OR body->>'pii_principal_id' IS DISTINCT FROM (SELECT public_id::text FROM accounts_owner WHERE id = NEW.owner_id)
       OR body->>'vehicle' IS DISTINCT FROM vehicle
       OR body->>'notice_sha256' IS DISTINCT FROM (SELECT sha256 FROM accounts_consentnotice
                                                    WHERE id = NEW.notice_id AND purpose = NEW.purpose) THEN
        RAISE EXCEPTION 'consent record %: columns differ from the signed bytes', NEW.seq USING ERRCODE = 'DW004';
    END IF;
    IF NEW.state IN ('given', 'renewed') AND (
           EXISTS (SELECT FROM accounts_vehicle WHERE id = NEW.vehicle_id AND retired_at IS NOT NULL)
           OR (SELECT deactivated_at IS NOT NULL OR erased_at IS NOT NULL FROM accounts_owner WHERE id = NEW.owner_id)
           OR (SELECT version FROM accounts_consentnotice WHERE id = NEW.notice_id) < accounts_notice_version(NEW.purpose)) THEN
        RAISE EXCEPTION 'consent record %: consent cannot be given to an old text, by a closed account or for a retired vehicle',
            NEW.seq USING ERRCODE = 'DW003';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION accounts_consent_project() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE version integer;
BEGIN
    SELECT n.version INTO version FROM accounts_consentnotice n WHERE n.id = NEW.notice_id;
    UPDATE accounts_consentcurrent
       SET record_id = NEW.id, state = NEW.state, expires_at = NEW.expires_at, notice_version = version
     WHERE owner_id = NEW.owner_id AND purpose = NEW.purpose AND vehicle_id IS NOT DISTINCT FROM NEW.vehicle_id;
    IF NOT FOUND THEN  -- the owner's row is locked: nobody else can insert it meanwhile
        INSERT INTO accounts_consentcurrent (owner_id, vehicle_id, purpose, record_id, state, expires_at, notice_version)
        VALUES (NEW.owner_id, NEW.vehicle_id, NEW.purpose, NEW.id, NEW.state, NEW.expires_at, version);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION accounts_consent_current_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'the current consent cannot be deleted' USING ERRCODE = 'DW002';
    END IF;
    IF NOT EXISTS (SELECT FROM accounts_consentrecord r JOIN accounts_consentnotice n ON n.id = r.notice_id
                    WHERE r.id = NEW.record_id AND r.owner_id = NEW.owner_id
                      AND r.vehicle_id IS NOT DISTINCT FROM NEW.vehicle_id AND r.purpose = NEW.purpose
                      AND r.state = NEW.state AND r.expires_at IS NOT DISTINCT FROM NEW.expires_at
                      AND n.version = NEW.notice_version)
       OR EXISTS (SELECT FROM accounts_consentrecord later
                   WHERE later.owner_id = NEW.owner_id AND later.vehicle_id IS NOT DISTINCT FROM NEW.vehicle_id
                     AND later.purpose = NEW.purpose AND later.id > NEW.record_id) THEN
        RAISE EXCEPTION 'the current consent must repeat the latest record' USING ERRCODE = 'DW004';
    END IF;
    RETURN NEW;
END $$;
"""

VEHICLE = """
-- A sold car is retired, once its consents have ended, and added anew by its next owner: consent never travels with it.
CREATE OR REPLACE FUNCTION accounts_vehicle_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.owner_id = NEW.owner_id AND NEW.vin_hash = '' AND NEW.retired_at IS NOT NULL THEN
        RETURN NEW;  -- erased
    END IF;
    RAISE EXCEPTION 'vehicle % cannot change its owner or its VIN', OLD.id USING ERRCODE = 'DW002';
END $$;

CREATE FUNCTION accounts_vehicle_retired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.retired_at IS NOT NULL THEN
        RAISE EXCEPTION 'vehicle % is retired for good', OLD.id USING ERRCODE = 'DW002';
    END IF;
    IF EXISTS (SELECT FROM accounts_consentcurrent
                WHERE vehicle_id = NEW.id AND state IN ('given', 'renewed') FOR UPDATE) THEN
        RAISE EXCEPTION 'vehicle %: its consents must end before it is retired', NEW.id USING ERRCODE = 'DW003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vehicle_retired BEFORE UPDATE OF retired_at ON accounts_vehicle
    FOR EACH ROW WHEN (OLD.retired_at IS DISTINCT FROM NEW.retired_at) EXECUTE FUNCTION accounts_vehicle_retired();

-- A region is held only while its owner consents.
CREATE FUNCTION accounts_vehicle_region() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.region <> '' AND NOT accounts_consent_in_force(NEW.id, 'region') THEN
        RAISE EXCEPTION 'vehicle % has no consent in force to keep a region', NEW.id USING ERRCODE = 'DW003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vehicle_region BEFORE INSERT OR UPDATE OF region ON accounts_vehicle
    FOR EACH ROW WHEN (NEW.region <> '') EXECUTE FUNCTION accounts_vehicle_region();

CREATE FUNCTION accounts_region_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts_vehicle SET region = '' WHERE id = NEW.vehicle_id AND region <> '';
    RETURN NULL;
END $$;
CREATE TRIGGER region_consent_ended AFTER INSERT OR UPDATE ON accounts_consentcurrent
    FOR EACH ROW WHEN (NEW.purpose = 'region' AND NEW.state NOT IN ('given', 'renewed'))
    EXECUTE FUNCTION accounts_region_consent_ended();
"""

OWNER = """
CREATE FUNCTION accounts_owner_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'owner % has been erased for good', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE TRIGGER owner_erased BEFORE UPDATE ON accounts_owner
    FOR EACH ROW WHEN (OLD.erased_at IS NOT NULL AND OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION accounts_owner_erased();
"""

ACCESS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_accessevent
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_accessevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""

TRANSITIONS = {
    "accounts_dataexport": {"requested": ["ready", "failed"], "ready": ["expired"]},
    "accounts_erasurerequest": {"scheduled": ["cancelled", "done"]},
}


def machine_sql(machine: str) -> str:
    return f"""
CREATE TRIGGER transition AFTER UPDATE ON {machine}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('{machine}');
"""


def write_transitions(apps, schema_editor):
    rows = apps.get_model("accounts", "StateTransition")
    rows.objects.bulk_create(
        rows(machine=machine, from_status=old, to_status=new)
        for machine, allowed in TRANSITIONS.items()
        for old, news in allowed.items()
        for new in news
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_owners")]

    operations = [
        migrations.RunPython(write_transitions, migrations.RunPython.noop),
        migrations.RunSQL(CONSENT, migrations.RunSQL.noop),
        migrations.RunSQL(VEHICLE, migrations.RunSQL.noop),
        migrations.RunSQL(OWNER, migrations.RunSQL.noop),
        migrations.RunSQL(ACCESS, migrations.RunSQL.noop),
        *(migrations.RunSQL(machine_sql(machine), migrations.RunSQL.noop) for machine in TRANSITIONS),
    ]
