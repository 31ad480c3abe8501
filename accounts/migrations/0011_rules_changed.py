"""An owner is told when the rules of a car change, whoever changes them and by which door: the database queues the mail."""

from django.db import migrations

RULES_CHANGED = """
-- A pause, and a version that only makes the car read its rules again, change no rule. Changes within ten minutes are one
-- mail, at the end of them.
CREATE FUNCTION accounts_rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    beside CONSTANT text[] := ARRAY['version', 'rules_version', 'previous', 'pause', 'paused_until_at'];
    part CONSTANT bigint := floor(extract(epoch FROM now()) / 600);
BEGIN
    IF to_jsonb(OLD) - beside = to_jsonb(NEW) - beside THEN
        RETURN NULL;
    END IF;
    INSERT INTO accounts_mail (user_id, kind, context, dedupe_key, not_before_at, tries, created_at, dropped_code)
    SELECT o.user_id, 'rules-changed',
           jsonb_build_object('vehicle', v.public_id, 'changed_at', date_trunc('second', now())),
           'rules-changed:' || v.id || ':' || part, to_timestamp((part + 1) * 600), 0, now(), ''
      FROM accounts_vehicle v JOIN accounts_owner o ON o.id = v.owner_id
     WHERE v.id = NEW.vehicle_id AND v.retired_at IS NULL AND o.deactivated_at IS NULL AND o.erased_at IS NULL
    ON CONFLICT (dedupe_key) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER rules_changed AFTER UPDATE ON accounts_ownerpolicy
    FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION accounts_rules_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_erasable_trails")]

    operations = [migrations.RunSQL(RULES_CHANGED, migrations.RunSQL.noop)]
