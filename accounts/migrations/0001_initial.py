import uuid

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="Organization",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=120)),
                (
                    "category",
                    models.CharField(
                        default="Research", help_text="Shown to owners whose cars run its jobs.", max_length=60
                    ),
                ),
                ("currency", models.CharField(default="USD", max_length=3)),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("suspended", "Suspended")], default="active", max_length=16
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                ("email", models.EmailField(max_length=254, unique=True)),
                ("name", models.CharField(blank=True, max_length=120)),
                ("is_active", models.BooleanField(default=True)),
                ("is_staff", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("email"), name="user_email_case_insensitive"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ConsentNotice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("purpose", models.CharField(max_length=32)),
                ("version", models.PositiveIntegerField()),
                ("language", models.CharField(default="en", max_length=8)),
                ("title", models.CharField(max_length=120)),
                ("summary", models.CharField(max_length=300)),
                ("body", models.TextField()),
                ("sha256", models.CharField(max_length=64)),
                ("validity_days", models.PositiveIntegerField(default=365)),
                ("published_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("effective_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("purpose", "version", "language"), name="consent_notice_version")
                ],
            },
        ),
        migrations.CreateModel(
            name="StateTransition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("machine", models.CharField(max_length=60)),
                ("from_status", models.CharField(max_length=16)),
                ("to_status", models.CharField(max_length=16)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("machine", "from_status", "to_status"), name="state_transition_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("action", models.CharField(max_length=60)),
                ("subject", models.CharField(max_length=120)),
                ("details", models.JSONField(default=dict)),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "actor",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["subject", "at"], name="audit_by_subject")],
            },
        ),
        migrations.CreateModel(
            name="Mail",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("kind", models.CharField(max_length=40)),
                ("context", models.JSONField(default=dict)),
                ("dedupe_key", models.CharField(max_length=160, unique=True)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("sent_at", models.DateTimeField(null=True)),
                ("dropped_at", models.DateTimeField(null=True)),
                ("dropped_code", models.CharField(blank=True, max_length=40)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="mails", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("dropped_at", None), ("sent_at", None)),
                        fields=["due_at"],
                        name="mail_waiting",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Operator",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "role",
                    models.CharField(
                        choices=[("support", "Support"), ("finance", "Finance"), ("admin", "Admin")],
                        default="support",
                        max_length=16,
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="operator",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "role",
                    models.CharField(
                        choices=[("admin", "Admin"), ("developer", "Developer"), ("finance", "Finance")],
                        default="developer",
                        max_length=16,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "user"), name="membership_once"),
                    models.UniqueConstraint(fields=("user",), name="membership_one_organization"),
                ],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("response_status", models.PositiveSmallIntegerField(null=True)),
                ("response_body", models.JSONField(null=True)),
                (
                    "organization",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="accounts.organization"),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "key"), name="idempotency_key_once")],
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=60)),
                ("prefix", models.CharField(max_length=12, unique=True)),
                ("secret_sha256", models.CharField(max_length=64)),
                ("scopes", models.JSONField(default=list)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="api_keys", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Owner",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("country", models.CharField(default="US", max_length=2)),
                ("currency", models.CharField(default="USD", max_length=3)),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                (
                    "locale",
                    models.CharField(
                        default="en-US", help_text="How dates, energy and money are written.", max_length=16
                    ),
                ),
                (
                    "mails_off",
                    models.JSONField(blank=True, default=list, help_text="Kinds of mail that the owner does not want."),
                ),
                ("deactivated_at", models.DateTimeField(blank=True, null=True)),
                ("erased_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="owner", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="ErasureRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("scheduled", "Scheduled"), ("cancelled", "Cancelled"), ("done", "Done")],
                        default="scheduled",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, max_length=64)),
                ("due_at", models.DateTimeField()),
                ("money_until_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("proof", models.JSONField(null=True)),
                ("proof_signature", models.CharField(blank=True, max_length=128)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="erasures", to="accounts.owner"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("status", "scheduled")), fields=["due_at"], name="erasure_due")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "scheduled")), fields=("owner",), name="erasure_one_at_a_time"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DataExport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("ready", "Ready"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="requested",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, max_length=64)),
                ("ready_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("size_bytes", models.PositiveBigIntegerField(default=0)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("downloaded_at", models.DateTimeField(null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="exports", to="accounts.owner"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "requested")), fields=("owner",), name="data_export_one_at_a_time"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Vehicle",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("label", models.CharField(max_length=60)),
                ("make_model", models.CharField(blank=True, max_length=80)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("simulated", "Simulated vehicle"),
                            ("box", "Computer in a box, in the car"),
                            ("oem", "Carmaker's integration"),
                        ],
                        default="simulated",
                        max_length=16,
                    ),
                ),
                ("vin_hash", models.CharField(max_length=64)),
                ("vin_last4", models.CharField(max_length=4)),
                ("region", models.CharField(blank=True, max_length=8)),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
                ("retired_code", models.CharField(blank=True, max_length=16)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="vehicles", to="accounts.owner"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("retired_at", None)), fields=("vin_hash",), name="vehicle_vin_in_use_once"
                    ),
                    models.UniqueConstraint(fields=("id", "owner"), name="vehicle_owner_pair"),
                ],
            },
        ),
        migrations.CreateModel(
            name="OwnerPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField(default=1)),
                ("rules_version", models.PositiveIntegerField(default=1)),
                ("previous", models.JSONField(blank=True, null=True)),
                ("preset", models.CharField(blank=True, default="careful", max_length=24)),
                (
                    "time_zone",
                    models.CharField(blank=True, help_text="If empty, the owner's time zone counts.", max_length=64),
                ),
                ("windows", models.JSONField(blank=True, default=list)),
                ("ready_by", models.JSONField(blank=True, default=list)),
                (
                    "ready_by_percent",
                    models.PositiveSmallIntegerField(
                        default=80, validators=[django.core.validators.MaxValueValidator(100)]
                    ),
                ),
                (
                    "ready_by_lead_minutes",
                    models.PositiveSmallIntegerField(
                        default=180, validators=[django.core.validators.MaxValueValidator(1440)]
                    ),
                ),
                (
                    "day_share_percent",
                    models.PositiveSmallIntegerField(
                        default=100,
                        help_text="The largest share of a day that the car may work.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                ("plugged_in_only", models.BooleanField(default=True)),
                (
                    "charge_stop_percent",
                    models.PositiveSmallIntegerField(
                        default=50, validators=[django.core.validators.MaxValueValidator(100)]
                    ),
                ),
                (
                    "charge_resume_percent",
                    models.PositiveSmallIntegerField(
                        default=55, validators=[django.core.validators.MaxValueValidator(100)]
                    ),
                ),
                ("heat_stop_c", models.PositiveSmallIntegerField(default=45)),
                ("heat_resume_c", models.PositiveSmallIntegerField(default=40)),
                (
                    "network",
                    models.CharField(
                        choices=[
                            ("wifi", "Wi-Fi or cable only"),
                            ("capped", "Mobile data too, up to a monthly cap"),
                            ("any", "Any network"),
                        ],
                        default="wifi",
                        max_length=8,
                    ),
                ),
                (
                    "data_cap_mb_per_month",
                    models.PositiveIntegerField(
                        default=1000, help_text="Limit of mobile data per month, in 10^6 bytes."
                    ),
                ),
                (
                    "power_rule",
                    models.CharField(
                        choices=[
                            ("any", "Whatever power there is"),
                            ("solar", "Only while charging from solar"),
                            ("below_price", "Only below a price"),
                            ("solar_or_below_price", "From solar, or below a price"),
                        ],
                        default="any",
                        max_length=24,
                    ),
                ),
                ("price_limit_micro_per_kwh", models.PositiveBigIntegerField(default=150000)),
                ("tariff_micro_per_kwh", models.PositiveBigIntegerField(default=180200)),
                ("tariff_windows", models.JSONField(blank=True, default=list)),
                ("wear_micro_per_kwh", models.PositiveBigIntegerField(default=50000)),
                (
                    "pause",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Not paused"),
                            ("stop", "Stopped now"),
                            ("finish", "Finish the running unit, then stop"),
                        ],
                        default="",
                        max_length=8,
                    ),
                ),
                ("paused_until_at", models.DateTimeField(blank=True, null=True)),
                (
                    "vehicle",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="policy", to="accounts.vehicle"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "owner policies",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("charge_resume_percent__gte", models.F("charge_stop_percent"))),
                        name="policy_charge_hysteresis",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("heat_resume_c__lte", models.F("heat_stop_c"))),
                        name="policy_heat_hysteresis",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("charge_resume_percent__lte", 100),
                            ("charge_stop_percent__lte", 100),
                            ("day_share_percent__gte", 1),
                            ("day_share_percent__lte", 100),
                            ("ready_by_lead_minutes__lte", 1440),
                            ("ready_by_percent__lte", 100),
                        ),
                        name="policy_ranges",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("network__in", ["wifi", "capped", "any"]),
                            ("power_rule__in", ["any", "solar", "below_price", "solar_or_below_price"]),
                            ("pause__in", ["", "stop", "finish"]),
                        ),
                        name="policy_words",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ConsentRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("purpose", models.CharField(max_length=32)),
                ("state", models.CharField(max_length=16)),
                ("method", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(null=True)),
                ("seq", models.PositiveBigIntegerField()),
                ("payload", models.BinaryField()),
                ("prev_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64)),
                ("signature", models.CharField(max_length=128)),
                (
                    "actor",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("notice", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="accounts.consentnotice")),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="consent_records", to="accounts.owner"
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="consent_records",
                        to="accounts.vehicle",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["vehicle", "purpose", "seq"], name="consent_by_vehicle")],
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "seq"), name="consent_record_chain"),
                    models.UniqueConstraint(fields=("hash",), name="consent_record_hash"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["given", "renewed", "refused", "withdrawn", "expired"])),
                        name="consent_record_state",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("staff_read", "Read by staff"), ("export", "Exported by the system")], max_length=16
                    ),
                ),
                ("what", models.CharField(max_length=160)),
                ("reason", models.CharField(max_length=300)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="access_events", to="accounts.owner"
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.vehicle"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["owner", "-at"], name="access_by_owner")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="access_event_has_a_reason"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ConsentCurrent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("purpose", models.CharField(max_length=32)),
                ("notice_version", models.PositiveIntegerField()),
                ("state", models.CharField(max_length=16)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.consentrecord"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="consents", to="accounts.owner"
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="consents",
                        to="accounts.vehicle",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["given", "renewed"])),
                        fields=["expires_at"],
                        name="consent_ending",
                    ),
                    models.Index(
                        condition=models.Q(("state__in", ["given", "renewed"])),
                        fields=["purpose", "notice_version"],
                        name="consent_by_version",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("vehicle", "purpose"), name="consent_current_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("vehicle", None)),
                        fields=("owner", "purpose"),
                        name="consent_current_personal_once",
                    ),
                ],
            },
        ),
    ]
