"""What operators decide about nodes that are suspended for their conflicts; and that none works again without it."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

RULES = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON compute_nodedecision
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON compute_nodedecision
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

-- A node that signed twice under one number works again only after somebody has lifted the newest of its conflicts.
CREATE FUNCTION compute_node_lifted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM compute_meterconflict c
                WHERE c.node_id = NEW.id
                  AND NOT EXISTS (SELECT FROM compute_nodedecision d
                                   WHERE d.node_id = c.node_id AND d.kind = 'lift' AND d.through_id >= c.id)) THEN
        RAISE EXCEPTION 'nobody has lifted the suspension of node %', NEW.id USING ERRCODE = 'DW001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lifted BEFORE UPDATE OF status ON compute_node
    FOR EACH ROW WHEN (OLD.status = 'suspended' AND NEW.status = 'active') EXECUTE FUNCTION compute_node_lifted();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("compute", "0008_class_figures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="nodepresence",
            name="resuming",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.CreateModel(
            name="NodeDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("lift", "Lifted"), ("keep", "Kept suspended"), ("retire", "Retired")], max_length=8
                    ),
                ),
                ("meter_seq", models.PositiveBigIntegerField()),
                ("meter_hash", models.CharField(max_length=64)),
                ("idempotency_key", models.CharField(max_length=80, unique=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="decisions", to="compute.node"
                    ),
                ),
                (
                    "through",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="compute.meterconflict"
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
