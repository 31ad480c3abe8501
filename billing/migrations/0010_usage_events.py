"""Usage events are read by order and rating: one index for both takes the place of the one by order alone."""

from django.db import migrations

INDEX = """
CREATE INDEX rated_usage_of_order ON billing_ratedusage (order_id, id);
DO $$
DECLARE old text;
BEGIN
    FOR old IN
        SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = 'billing_ratedusage'::regclass AND NOT i.indisunique
           AND pg_get_indexdef(i.indexrelid) LIKE '%(order_id)'
    LOOP
        EXECUTE format('DROP INDEX %I', old);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_rating")]

    operations = [migrations.RunSQL(INDEX, migrations.RunSQL.noop)]
