"""The trails stay append-only, but for the words that people wrote into them: an erasure may blank those, and nothing else."""

from django.db import migrations

TRAILS = """
CREATE FUNCTION accounts_audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.details = '{"erased": true}'
       AND to_jsonb(OLD) - 'details' = to_jsonb(NEW) - 'details' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% rows are append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'DW002';
END $$;
DROP TRIGGER append_only ON accounts_auditevent;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION accounts_audit_guard();

-- A reason is "category: words". The category stays.
CREATE FUNCTION accounts_access_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.reason = split_part(OLD.reason, ':', 1) || ': (erased)'
       AND to_jsonb(OLD) - 'reason' = to_jsonb(NEW) - 'reason' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% rows are append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'DW002';
END $$;
DROP TRIGGER append_only ON accounts_accessevent;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_accessevent
    FOR EACH ROW EXECUTE FUNCTION accounts_access_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_policies")]

    operations = [migrations.RunSQL(TRAILS, migrations.RunSQL.noop)]
