"""One step back for the owner's rules, and what a kWh costs at a given moment."""

from django.db import migrations, models

TARIFF = """
-- What a kWh costs at a moment: the window of the week in `zone` that it lies in, else the flat price. A window is
-- [weekday 0-6, start minute, end minute, micro per kWh], Monday first; an end not after its start is on the next day.
-- A row that makes no sense (a time zone that PostgreSQL does not know) must not stop everybody's settlement: flat.
CREATE FUNCTION accounts_tariff_micro(flat bigint, windows jsonb, zone text, moment timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
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

-- The same for a policy's row, in its own time zone or its owner's.
CREATE FUNCTION accounts_tariff_micro(policy bigint, moment timestamptz) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows,
                                 COALESCE(NULLIF(p.time_zone, ''), o.time_zone), moment)
      FROM accounts_ownerpolicy p
      JOIN accounts_vehicle v ON v.id = p.vehicle_id
      JOIN accounts_owner o ON o.id = v.owner_id
     WHERE p.id = policy
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_german_notices")]

    operations = [
        migrations.AddField(
            model_name="ownerpolicy", name="rules_version", field=models.PositiveIntegerField(default=1)
        ),
        migrations.AddField(model_name="ownerpolicy", name="previous", field=models.JSONField(null=True, blank=True)),
        migrations.RunSQL(TARIFF, migrations.RunSQL.noop),
    ]
