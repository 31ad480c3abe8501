-- Rules of consent records, of the projection of the latest ones, and of texts. core/errors.py maps the SQLSTATEs to
-- error codes.

-- Checks a new consent record: it continues its owner's chain, its hash is that of its bytes, and its columns equal the
-- signed bytes. It is about a vehicle of its owner or, for a personal purpose, about none. Consent (given or renewed)
-- is refused for a retired vehicle, a closed account and a text that is no longer in effect.
CREATE OR REPLACE FUNCTION accounts_consent_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head_seq bigint;
    head_hash text;
    body jsonb;
    vehicle text;
BEGIN
    -- This lock lets only one transaction at a time extend the chain.
    PERFORM FROM accounts_owner WHERE id = NEW.owner_id FOR NO KEY UPDATE;
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
       OR body->>'pii_principal_id' IS DISTINCT FROM (SELECT public_id::text FROM accounts_owner
                                                       WHERE id = NEW.owner_id)
       OR body->>'vehicle' IS DISTINCT FROM vehicle
       OR body->>'notice_sha256' IS DISTINCT FROM (SELECT sha256 FROM accounts_consentnotice
                                                    WHERE id = NEW.notice_id AND purpose = NEW.purpose) THEN
        RAISE EXCEPTION 'consent record %: columns differ from the signed bytes', NEW.seq USING ERRCODE = 'DW004';
    END IF;
    IF NEW.state IN ('given', 'renewed') AND (
           EXISTS (SELECT FROM accounts_vehicle WHERE id = NEW.vehicle_id AND retired_at IS NOT NULL)
           OR (SELECT deactivated_at IS NOT NULL OR erased_at IS NOT NULL FROM accounts_owner WHERE id = NEW.owner_id)
           OR (SELECT version FROM accounts_consentnotice WHERE id = NEW.notice_id)
              < accounts_notice_version(NEW.purpose)) THEN
        RAISE EXCEPTION
            'consent record %: consent cannot be given to an old text, by a closed account or for a retired vehicle',
            NEW.seq USING ERRCODE = 'DW003';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER consent_chain BEFORE INSERT ON accounts_consentrecord
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_chain();

-- Copies each new record into the projection of the latest decisions. This UPDATE waits for a dispatch that holds the
-- row FOR SHARE while it leases work, so a withdrawal is later than every lease that the consent allowed.
CREATE OR REPLACE FUNCTION accounts_consent_project() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE version integer;
BEGIN
    SELECT n.version INTO version FROM accounts_consentnotice n WHERE n.id = NEW.notice_id;
    UPDATE accounts_consentcurrent
       SET record_id = NEW.id, state = NEW.state, expires_at = NEW.expires_at, notice_version = version
     WHERE owner_id = NEW.owner_id AND purpose = NEW.purpose AND vehicle_id IS NOT DISTINCT FROM NEW.vehicle_id;
    IF NOT FOUND THEN  -- accounts_consent_chain has locked the owner's row, so no other transaction inserts it
        INSERT INTO accounts_consentcurrent
            (owner_id, vehicle_id, purpose, record_id, state, expires_at, notice_version)
        VALUES (NEW.owner_id, NEW.vehicle_id, NEW.purpose, NEW.id, NEW.state, NEW.expires_at, version);
    END IF;
    RETURN NULL;
END $$;
-- The function writes with its owner's rights (SECURITY DEFINER). Its search path is fixed, so that the caller cannot
-- make it use another table of the same name.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION accounts_consent_project() SET search_path = %I, pg_temp', current_schema());
    REVOKE EXECUTE ON FUNCTION accounts_consent_project() FROM PUBLIC;
END $$;
CREATE OR REPLACE TRIGGER consent_project AFTER INSERT ON accounts_consentrecord
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_project();

-- The projection must repeat the latest record: it cannot be changed into a consent that nobody gave.
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
CREATE OR REPLACE TRIGGER consent_current_guard BEFORE INSERT OR UPDATE OR DELETE ON accounts_consentcurrent
    FOR EACH ROW EXECUTE FUNCTION accounts_consent_current_guard();

-- Returns the version of a purpose's text that is in effect now (0: none). Consent to an older version is not in force.
CREATE OR REPLACE FUNCTION accounts_notice_version(wanted text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT COALESCE(max(version), 0) FROM accounts_consentnotice
     WHERE purpose = wanted AND effective_at <= clock_timestamp()
$$;

-- Returns whether a vehicle has consent in force for a purpose: given, not expired, and to the text in effect.
CREATE OR REPLACE FUNCTION accounts_consent_in_force(of_vehicle bigint, wanted text) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM accounts_consentcurrent c
                    WHERE c.vehicle_id = of_vehicle AND c.purpose = wanted AND c.state IN ('given', 'renewed')
                      AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
                      AND c.notice_version >= accounts_notice_version(wanted))
$$;

-- Deletes a vehicle's region when consent to keep it ends.
CREATE OR REPLACE FUNCTION accounts_region_consent_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts_vehicle SET region = '' WHERE id = NEW.vehicle_id AND region <> '';
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER region_consent_ended AFTER INSERT OR UPDATE ON accounts_consentcurrent
    FOR EACH ROW WHEN (NEW.purpose = 'region' AND NEW.state NOT IN ('given', 'renewed'))
    EXECUTE FUNCTION accounts_region_consent_ended();

CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_consentcurrent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_consentrecord
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_consentrecord
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_consentnotice
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON accounts_consentnotice
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
