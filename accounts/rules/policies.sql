-- Rules of owners' policies, and the price of electricity at a time.

-- Returns the price of a kWh at a moment, in micro-units: that of the window of the week (in `zone`) which contains the
-- moment, else the flat price. A window is [weekday 0-6, start minute, end minute, micro per kWh], Monday first; a
-- window whose end is not after its start ends on the next day. Invalid data (such as a time zone that PostgreSQL does
-- not know) gives the flat price, because an error would stop the settlement of all owners.
CREATE OR REPLACE FUNCTION accounts_tariff_micro(flat bigint, windows jsonb, zone text, moment timestamptz)
    RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    local timestamp;
    minute integer;
    price bigint;
BEGIN
    IF windows = '[]' THEN
        RETURN flat;
    END IF;
    local := moment AT TIME ZONE zone;
    minute := (extract(isodow FROM local) - 1) * 1440 + extract(hour FROM local) * 60 + extract(minute FROM local);
    SELECT (w->>3)::bigint INTO price
      FROM jsonb_array_elements(windows) w,
           LATERAL (SELECT (w->>0)::int * 1440 + (w->>1)::int AS opened, (w->>2)::int - (w->>1)::int AS length) s
     WHERE mod(minute - s.opened + 10080, 10080) < CASE WHEN s.length > 0 THEN s.length ELSE s.length + 1440 END
     LIMIT 1;
    RETURN COALESCE(price, flat);
EXCEPTION WHEN data_exception THEN
    RETURN flat;
END $$;

-- Returns the same for the row of a policy, in its own time zone or else its owner's.
CREATE OR REPLACE FUNCTION accounts_tariff_micro(policy bigint, moment timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows,
                                 COALESCE(NULLIF(p.time_zone, ''), o.time_zone), moment)
      FROM accounts_ownerpolicy p
      JOIN accounts_vehicle v ON v.id = p.vehicle_id
      JOIN accounts_owner o ON o.id = v.owner_id
     WHERE p.id = policy
$$;

-- Queues a mail when rules change. A pause, or a new version that only makes the car read its rules again, is not a
-- change. Changes within the same ten minutes of the clock are one mail, sent at their end.
CREATE OR REPLACE FUNCTION accounts_rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    beside CONSTANT text[] := ARRAY['version', 'rules_version', 'previous', 'pause', 'paused_until_at'];
    part CONSTANT bigint := floor(extract(epoch FROM now()) / 600);
BEGIN
    IF to_jsonb(OLD) - beside = to_jsonb(NEW) - beside THEN
        RETURN NULL;
    END IF;
    INSERT INTO accounts_mail (user_id, kind, context, dedupe_key, due_at, attempts, created_at, dropped_code)
    SELECT o.user_id, 'rules-changed',
           jsonb_build_object('vehicle', v.public_id, 'changed_at', date_trunc('second', now())),
           'rules-changed:' || v.id || ':' || part, to_timestamp((part + 1) * 600), 0, now(), ''
      FROM accounts_vehicle v JOIN accounts_owner o ON o.id = v.owner_id
     WHERE v.id = NEW.vehicle_id AND v.retired_at IS NULL AND o.deactivated_at IS NULL AND o.erased_at IS NULL
    ON CONFLICT (dedupe_key) DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER rules_changed AFTER UPDATE ON accounts_ownerpolicy
    FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION accounts_rules_changed();
