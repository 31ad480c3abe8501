"""The function that moves balances looked for its tables in temporary ones first: its search path ends with them now."""

from django.db import migrations

DEFINERS = """
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION billing_ledger_move() SET search_path = %I, pg_temp', current_schema());
    REVOKE EXECUTE ON FUNCTION billing_ledger_move() FROM PUBLIC;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_statements"), ("accounts", "0013_definers")]

    operations = [migrations.RunSQL(DEFINERS, migrations.RunSQL.noop)]
