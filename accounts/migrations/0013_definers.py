"""Events of states and the current consent are the database's own: it writes them as their owner, the application cannot.

A trigger that writes where the application's role may not runs with its owner's rights and a search path that the caller
cannot bend, and nobody else may make a trigger of it. See core/db_role.py.
"""

from django.db import migrations

DEFINERS = """
DO $$
DECLARE f text;
BEGIN
    FOREACH f IN ARRAY ARRAY['driveway_transition()', 'driveway_first_state()', 'accounts_consent_project()'] LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', f);
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_region_lock")]

    operations = [migrations.RunSQL(DEFINERS, migrations.RunSQL.noop)]
