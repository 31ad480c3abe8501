"""A hardware class's figures bound what is paid: each change leaves a row, so that old work can be computed again."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

RULES = """
CREATE FUNCTION compute_class_figures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (OLD.power_mw, OLD.slowness_permille) IS DISTINCT FROM (NEW.power_mw, NEW.slowness_permille) THEN
        INSERT INTO compute_classfigures (hardware_class_id, power_mw, slowness_permille)
        VALUES (NEW.id, NEW.power_mw, NEW.slowness_permille);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER figures AFTER INSERT OR UPDATE ON compute_hardwareclass
    FOR EACH ROW EXECUTE FUNCTION compute_class_figures();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_classfigures
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_classfigures
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
-- Classes that were there before.
INSERT INTO compute_classfigures (hardware_class_id, power_mw, slowness_permille, valid_from_at)
SELECT id, power_mw, slowness_permille, created_at FROM compute_hardwareclass;
"""


class Migration(migrations.Migration):
    dependencies = [("compute", "0007_paid_bounds")]

    operations = [
        migrations.CreateModel(
            name="ClassFigures",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("power_mw", models.PositiveIntegerField()),
                ("slowness_permille", models.PositiveIntegerField()),
                ("valid_from_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "hardware_class",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="figures",
                        to="compute.hardwareclass",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "class figures",
                "indexes": [models.Index(fields=["hardware_class", "-id"], name="class_figures_newest")],
            },
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
