import uuid

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="HardwareClass",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("slug", models.CharField(max_length=80, unique=True)),
                ("title", models.CharField(max_length=120)),
                ("machine", models.CharField(max_length=32)),
                ("isa", models.CharField(max_length=32)),
                ("provider", models.CharField(max_length=48)),
                ("onnxruntime", models.CharField(max_length=16)),
                (
                    "power_mw",
                    models.PositiveIntegerField(
                        default=15000, help_text="Modelled power draw of one running unit, in milliwatts."
                    ),
                ),
                (
                    "memory_bytes",
                    models.BigIntegerField(default=2147483648, help_text="The memory that one unit may use."),
                ),
                ("slowness_permille", models.PositiveIntegerField(default=1000)),
            ],
            options={
                "verbose_name_plural": "hardware classes",
            },
        ),
        migrations.CreateModel(
            name="EnrolmentCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("code_sha256", models.CharField(max_length=64, unique=True)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                ("vehicle", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="accounts.vehicle")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="InputFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("sha256", models.CharField(max_length=64)),
                ("size_bytes", models.BigIntegerField()),
                ("format", models.CharField(max_length=16)),
                ("tensors", models.JSONField(default=dict)),
                ("items", models.PositiveBigIntegerField()),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="input_files",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "sha256"), name="input_file_once")],
            },
        ),
        migrations.CreateModel(
            name="ModelArtifact",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=80)),
                ("sha256", models.CharField(max_length=64)),
                ("size_bytes", models.BigIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("uploaded", "Uploaded"),
                            ("checking", "Checking"),
                            ("admitted", "Admitted"),
                            ("refused", "Refused"),
                        ],
                        default="uploaded",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, max_length=64)),
                ("message", models.CharField(blank=True, max_length=400)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                ("inputs", models.JSONField(default=list)),
                ("outputs", models.JSONField(default=list)),
                ("batch", models.PositiveIntegerField(default=1)),
                (
                    "us_per_item",
                    models.PositiveBigIntegerField(default=0, help_text="CPU microseconds per item in the trial run."),
                ),
                ("memory_bytes", models.BigIntegerField(default=0, help_text="Peak resident memory of the trial run.")),
                ("profile", models.JSONField(default=dict)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="artifacts",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "sha256"), name="artifact_once")],
            },
        ),
        migrations.CreateModel(
            name="Node",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("suspended", "Suspended"), ("retired", "Retired")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, max_length=64)),
                ("public_key", models.CharField(max_length=64, unique=True)),
                ("cores", models.PositiveSmallIntegerField(default=1)),
                ("layers", models.JSONField(default=list, help_text="Sandbox layers that the agent reports active.")),
                ("agent_version", models.CharField(blank=True, max_length=32)),
                ("valid_streak", models.PositiveIntegerField(default=0)),
                ("cost_micro_per_hour", models.BigIntegerField(default=0)),
                ("link_revoked_at", models.DateTimeField(blank=True, null=True)),
                ("link_expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "hardware_class",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="compute.hardwareclass"),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="nodes", to="accounts.vehicle"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "retired"), _negated=True),
                        fields=("vehicle",),
                        name="node_one_by_vehicle",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="InferenceJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("assembling", "Assembling"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, max_length=64)),
                ("message", models.CharField(blank=True, max_length=400)),
                ("items", models.PositiveBigIntegerField()),
                ("unit_items", models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(1)])),
                ("units_total", models.PositiveIntegerField(default=0)),
                ("units_accepted", models.PositiveIntegerField(default=0)),
                ("priority", models.SmallIntegerField(default=0)),
                ("rtol", models.FloatField(default=0.001)),
                ("atol_scale", models.FloatField(default=1e-05)),
                ("pay_micro_per_hour", models.BigIntegerField(default=0)),
                ("paid_time_permille", models.PositiveIntegerField(db_default=3000, default=3000)),
                ("slowness_max_permille", models.PositiveIntegerField(null=True)),
                ("power_max_mw", models.PositiveIntegerField(null=True)),
                ("copies_min", models.PositiveSmallIntegerField(db_default=1, default=1)),
                ("result_sha256", models.CharField(blank=True, max_length=64)),
                ("result_bytes", models.BigIntegerField(default=0)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "api_key",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to="accounts.apikey"),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="jobs", to="accounts.organization"
                    ),
                ),
                ("input_file", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="compute.inputfile")),
                (
                    "artifact",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="compute.modelartifact"),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "-id"], name="job_by_organization"),
                    models.Index(
                        condition=models.Q(("status__in", ["queued", "running", "assembling"])),
                        fields=["status"],
                        name="job_unfinished",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelArtifactEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "modelartifact",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="compute.modelartifact",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
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
                        on_delete=django.db.models.deletion.PROTECT, related_name="figures", to="compute.hardwareclass"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "class figures",
                "indexes": [models.Index(fields=["hardware_class", "-id"], name="class_figures_newest")],
            },
        ),
        migrations.CreateModel(
            name="InferenceJobEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "inferencejob",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="compute.inferencejob",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="NodePresence",
            fields=[
                (
                    "node",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="presence",
                        serialize=False,
                        to="compute.node",
                    ),
                ),
                ("seq", models.BigIntegerField(default=0)),
                ("available", models.BooleanField(default=False)),
                ("reason", models.CharField(blank=True, max_length=40)),
                ("capacity", models.PositiveSmallIntegerField(default=0)),
                ("carrier", models.CharField(blank=True, max_length=8)),
                ("policy_version", models.PositiveIntegerField(default=0)),
                ("last_sync_at", models.DateTimeField(null=True)),
                ("meter_seq", models.PositiveBigIntegerField(default=0)),
                (
                    "meter_hash",
                    models.CharField(
                        default="0000000000000000000000000000000000000000000000000000000000000000", max_length=64
                    ),
                ),
                ("resuming", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("available", True)), fields=["-last_sync_at"], name="node_available"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HealthDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("reports_cool", models.PositiveIntegerField(default=0)),
                ("reports_warm", models.PositiveIntegerField(default=0)),
                ("reports_hot", models.PositiveIntegerField(default=0)),
                ("units_failed", models.PositiveIntegerField(default=0)),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="health_days", to="accounts.vehicle"
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="health_days", to="compute.node"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("node", "day"), name="health_day_once")],
            },
        ),
        migrations.CreateModel(
            name="AvailabilitySpan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("available", models.BooleanField()),
                ("reason", models.CharField(blank=True, max_length=40)),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "vehicle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="availability_spans",
                        to="accounts.vehicle",
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="availability_spans",
                        to="compute.node",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["vehicle", "-started_at"], name="availability_by_vehicle")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)), fields=("node",), name="availability_span_open_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NodeEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="compute.node",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Pairing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_key", models.CharField(max_length=64, unique=True)),
                ("code_sha256", models.CharField(max_length=64, unique=True)),
                ("hardware", models.JSONField()),
                ("agent_version", models.CharField(blank=True, max_length=32)),
                ("expires_at", models.DateTimeField()),
                (
                    "node",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="pairing",
                        to="compute.node",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("fence", models.PositiveIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("leased", "Leased"),
                            ("reported", "Reported"),
                            ("valid", "Valid"),
                            ("invalid", "Invalid"),
                            ("expired", "Expired"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="leased",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", default="", max_length=64)),
                ("leased_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
                ("delivered_at", models.DateTimeField(null=True)),
                ("reported_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("cancel_sent_at", models.DateTimeField(null=True)),
                ("result_sha256", models.CharField(blank=True, db_default="", max_length=64)),
                ("result", models.BinaryField(null=True)),
                (
                    "consent_record",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="accounts.consentrecord",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="accounts.owner",
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="accounts.vehicle",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
                        to="compute.inferencejob",
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
                        to="compute.node",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "leased")), fields=["expires_at"], name="attempt_leased"
                    ),
                    models.Index(
                        condition=models.Q(("status", "leased")), fields=["node"], name="attempt_held_by_node"
                    ),
                    models.Index(
                        condition=models.Q(("delivered_at", None), ("status", "leased")),
                        fields=["node"],
                        name="attempt_undelivered",
                    ),
                    models.Index(
                        condition=models.Q(("cancel_sent_at", None), ("status", "cancelled")),
                        fields=["node"],
                        name="attempt_cancel_unsent",
                    ),
                    models.Index(fields=["vehicle", "-id"], name="attempt_by_vehicle"),
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="AttemptEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "attempt",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="compute.attempt",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="MeterRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seq", models.PositiveBigIntegerField()),
                ("prev_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64)),
                ("record", models.BinaryField()),
                ("signature", models.BinaryField()),
                ("outcome", models.CharField(max_length=16)),
                ("compute_ms", models.PositiveBigIntegerField()),
                ("energy_mwh", models.PositiveBigIntegerField()),
                ("energy_method", models.CharField(max_length=32)),
                ("output_sha256", models.CharField(blank=True, max_length=64)),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "attempt",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="meter_records",
                        to="compute.attempt",
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="meter_records",
                        to="compute.node",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("node", "seq"), name="meter_record_chain")],
            },
        ),
        migrations.CreateModel(
            name="WorkUnit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("index", models.PositiveIntegerField()),
                ("first_item", models.PositiveBigIntegerField()),
                ("items", models.PositiveIntegerField()),
                ("input_sha256", models.CharField(max_length=64)),
                ("input_bytes", models.BigIntegerField()),
                ("priority", models.SmallIntegerField(default=0)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("accepted", "Accepted"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, default="", max_length=64)),
                ("copies_wanted", models.PositiveSmallIntegerField(default=1)),
                ("copies_live", models.PositiveSmallIntegerField(default=0)),
                ("copies_made", models.PositiveSmallIntegerField(default=0)),
                ("not_before_at", models.DateTimeField(null=True)),
                (
                    "canonical",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="canonical_of",
                        to="compute.attempt",
                    ),
                ),
                (
                    "hardware_class",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="compute.hardwareclass",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="units",
                        to="compute.inferencejob",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("priority"), descending=True),
                        models.F("id"),
                        condition=models.Q(("copies_live__lt", models.F("copies_wanted")), ("status", "open")),
                        name="unit_wants_copies",
                    ),
                    models.Index(
                        condition=models.Q(("copies_wanted__gt", 1), ("status", "open")),
                        fields=["id"],
                        name="unit_checked_by_copies",
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("job", "index"), name="unit_index_once")],
            },
        ),
        migrations.CreateModel(
            name="MeterConflict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seq", models.PositiveBigIntegerField()),
                ("hash", models.CharField(max_length=64)),
                ("record", models.BinaryField()),
                ("signature", models.BinaryField()),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "first",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="conflicts", to="compute.meterrecord"
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="meter_conflicts", to="compute.node"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("node", "seq", "hash"), name="meter_conflict_once")],
            },
        ),
        migrations.CreateModel(
            name="UsageRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_canonical", models.BooleanField()),
                ("items", models.PositiveIntegerField()),
                ("compute_ms", models.PositiveBigIntegerField()),
                ("energy_mwh", models.PositiveBigIntegerField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "attempt",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage",
                        to="compute.attempt",
                    ),
                ),
                (
                    "hardware_class",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="compute.hardwareclass",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage_records",
                        to="compute.inferencejob",
                    ),
                ),
                (
                    "meter_record",
                    models.OneToOneField(
                        db_constraint=False, on_delete=django.db.models.deletion.PROTECT, to="compute.meterrecord"
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="compute.node",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="accounts.organization",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="accounts.owner",
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="accounts.vehicle",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("settled_at", None)), fields=["id"], name="usage_unsettled"),
                    models.Index(fields=["job"], name="usage_by_job"),
                    models.Index(fields=["vehicle", "-id"], name="usage_by_vehicle"),
                ],
            },
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
        migrations.AddField(
            model_name="attempt",
            name="unit",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attempts",
                to="compute.workunit",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("unit", "fence"), name="attempt_fence_once"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["leased", "reported", "valid"])),
                fields=("unit", "owner"),
                name="attempt_one_live_by_owner",
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(condition=models.Q(("status", "reported")), fields=["unit"], name="attempt_unverified"),
        ),
    ]
