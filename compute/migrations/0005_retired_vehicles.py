"""A vehicle that leaves its owner takes its node out of service, in the same transaction, whoever retires it."""

from django.db import migrations

RETIRED = """
CREATE FUNCTION compute_vehicle_retired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE compute_node
       SET status = 'retired', status_code = 'vehicle_' || NEW.retired_code, link_revoked_at = clock_timestamp()
     WHERE vehicle_id = NEW.id AND status <> 'retired';
    UPDATE compute_enrolmentcode SET expires_at = clock_timestamp()
     WHERE vehicle_id = NEW.id AND used_at IS NULL AND expires_at > clock_timestamp();
    PERFORM pg_notify('driveway_link', 'consent');
    RETURN NULL;
END $$;
CREATE TRIGGER node_of_retired_vehicle AFTER UPDATE OF retired_at ON accounts_vehicle
    FOR EACH ROW WHEN (OLD.retired_at IS NULL AND NEW.retired_at IS NOT NULL) EXECUTE FUNCTION compute_vehicle_retired();
"""


class Migration(migrations.Migration):
    dependencies = [("compute", "0004_owner_rules"), ("accounts", "0005_owner_rules")]

    operations = [migrations.RunSQL(RETIRED, migrations.RunSQL.noop)]
