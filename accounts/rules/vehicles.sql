-- Rules of vehicles. core/errors.py maps the SQLSTATEs to error codes.

-- A vehicle never changes its owner or VIN; an erasure may empty the VIN's hash. A sold car is retired, after its
-- consents have ended, and its next owner adds it as a new vehicle: so consent never passes to the next owner.
CREATE OR REPLACE FUNCTION accounts_vehicle_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.owner_id = NEW.owner_id AND NEW.vin_hash = '' AND NEW.retired_at IS NOT NULL THEN
        RETURN NEW;  -- an erasure
    END IF;
    RAISE EXCEPTION 'vehicle % cannot change its owner or its VIN', OLD.id USING ERRCODE = 'DW002';
END $$;
CREATE OR REPLACE TRIGGER vehicle_identity BEFORE UPDATE OF owner_id, vin_hash ON accounts_vehicle
    FOR EACH ROW WHEN ((OLD.owner_id, OLD.vin_hash) IS DISTINCT FROM (NEW.owner_id, NEW.vin_hash))
    EXECUTE FUNCTION accounts_vehicle_identity();

-- Retiring is final and needs that all consents have ended. FOR UPDATE waits for decisions and dispatches under way.
CREATE OR REPLACE FUNCTION accounts_vehicle_retired() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE TRIGGER vehicle_retired BEFORE UPDATE OF retired_at ON accounts_vehicle
    FOR EACH ROW WHEN (OLD.retired_at IS DISTINCT FROM NEW.retired_at) EXECUTE FUNCTION accounts_vehicle_retired();

-- A region is stored only while consent to keep it is in force. FOR SHARE makes a withdrawal wait until this region is
-- committed, so that it then deletes it.
CREATE OR REPLACE FUNCTION accounts_vehicle_region() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM accounts_consentcurrent WHERE vehicle_id = NEW.id AND purpose = 'region' FOR SHARE;
    IF NEW.region <> '' AND NOT accounts_consent_in_force(NEW.id, 'region') THEN
        RAISE EXCEPTION 'vehicle % has no consent in force to keep a region', NEW.id USING ERRCODE = 'DW003';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER vehicle_region BEFORE INSERT OR UPDATE OF region ON accounts_vehicle
    FOR EACH ROW WHEN (NEW.region <> '') EXECUTE FUNCTION accounts_vehicle_region();
