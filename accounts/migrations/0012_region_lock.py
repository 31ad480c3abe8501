"""A region waits for the withdrawal of its consent, or the withdrawal for it: neither may miss the other."""

from django.db import migrations

REGION = """
CREATE OR REPLACE FUNCTION accounts_vehicle_region() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM accounts_consentcurrent WHERE vehicle_id = NEW.id AND purpose = 'region' FOR SHARE;
    IF NEW.region <> '' AND NOT accounts_consent_in_force(NEW.id, 'region') THEN
        RAISE EXCEPTION 'vehicle % has no consent in force to keep a region', NEW.id USING ERRCODE = 'DW003';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0011_rules_changed")]

    operations = [migrations.RunSQL(REGION, migrations.RunSQL.noop)]
