import uuid

import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("compute", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="BalanceTransaction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("stripe_id", models.CharField(max_length=255, unique=True)),
                ("type", models.CharField(max_length=64)),
                ("source_id", models.CharField(blank=True, max_length=255)),
                ("payment_intent_id", models.CharField(blank=True, max_length=255)),
                (
                    "transfer_id",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="The transfer whose money came back from an owner's account.",
                        max_length=255,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("amount_micro", models.BigIntegerField()),
                ("fee_micro", models.BigIntegerField()),
                ("net_micro", models.BigIntegerField()),
                ("occurred_at", models.DateTimeField()),
                ("available_at", models.DateTimeField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["payment_intent_id"], name="balance_transaction_intent"),
                    models.Index(fields=["source_id"], name="balance_transaction_source"),
                    models.Index(
                        condition=models.Q(("type", "transfer_refund")),
                        fields=["transfer_id"],
                        name="balance_transaction_transfer",
                    ),
                    models.Index(
                        condition=models.Q(("type__in", ["adjustment", "refund_failure", "payment_failure_refund"])),
                        fields=["occurred_at"],
                        name="balance_transaction_late",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "net_micro",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("amount_micro"), "-", models.F("fee_micro")
                                ),
                            )
                        ),
                        name="balance_transaction_adds_up",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("number", models.PositiveIntegerField(help_text="Counted from 1 for each organization.")),
                ("currency", models.CharField(max_length=3)),
                ("period_start_at", models.DateTimeField()),
                ("period_end_at", models.DateTimeField()),
                ("charged_micro", models.BigIntegerField(help_text="Verified work.")),
                ("corrected_micro", models.BigIntegerField(help_text="Corrections, signed: negative gives back.")),
                ("total_micro", models.BigIntegerField()),
                ("promo_micro", models.BigIntegerField(default=0, help_text="The part that promotional credit paid.")),
                ("customer_name", models.CharField(max_length=200)),
                ("customer_address", models.TextField(blank=True, db_default="")),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="invoices", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "currency", "period_start_at"), name="invoice_period"
                    ),
                    models.UniqueConstraint(fields=("organization", "number"), name="invoice_number"),
                    models.CheckConstraint(
                        condition=models.Q(("period_end_at__gt", models.F("period_start_at"))), name="invoice_span"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total_micro",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("charged_micro"), "+", models.F("corrected_micro")
                                ),
                            )
                        ),
                        name="invoice_adds_up",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("charged_micro__gte", 0), ("promo_micro__gte", 0)), name="invoice_amounts"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("key", models.TextField(unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("wallet", "Wallet"),
                            ("promo_wallet", "Promotional credit"),
                            ("hold", "Held for jobs"),
                            ("disputed", "Owed for disputed payments"),
                            ("payable", "Owed to an owner"),
                            ("reserve", "Held while disputed"),
                            ("in_transit", "On its way to an owner"),
                            ("stripe_clearing", "At Stripe"),
                            ("bank_clearing", "At the bank"),
                            ("revenue", "Revenue"),
                            ("verification", "Verification expense"),
                            ("processing_fee", "Payment processing expense"),
                            ("promotion", "Promotion expense"),
                            ("dispute_loss", "Loss from disputed payments"),
                            ("adjustment", "Goodwill and corrections"),
                        ],
                        max_length=20,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("side", models.SmallIntegerField(choices=[(1, "debit"), (-1, "credit")])),
                ("floor_zero", models.BooleanField(default=False)),
                ("tracked", models.BooleanField(default=False)),
                ("balance_micro", models.BigIntegerField(default=0)),
                ("version", models.BigIntegerField(default=0, help_text="How many transfers have moved the balance.")),
                (
                    "organization",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.owner"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "organization", "owner", "currency"),
                        name="ledger_account_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("floor_zero", False), ("balance_micro__gte", 0), _connector="OR"),
                        name="ledger_account_floor",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("tracked", True), models.Q(("balance_micro", 0), ("version", 0)), _connector="OR"
                        ),
                        name="ledger_account_untracked",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("organization__isnull", False),
                                ("owner", None),
                                ("tracked", True),
                                ("floor_zero", True),
                                models.Q(
                                    models.Q(("kind__in", ["wallet", "promo_wallet", "hold"]), ("side", -1)),
                                    models.Q(("kind", "disputed"), ("side", 1)),
                                    _connector="OR",
                                ),
                            ),
                            models.Q(
                                ("organization", None),
                                ("owner__isnull", False),
                                ("tracked", True),
                                ("side", -1),
                                models.Q(
                                    models.Q(("floor_zero", False), ("kind", "payable")),
                                    models.Q(("floor_zero", True), ("kind__in", ["reserve", "in_transit"])),
                                    _connector="OR",
                                ),
                            ),
                            models.Q(
                                ("floor_zero", False),
                                ("organization", None),
                                ("owner", None),
                                ("tracked", False),
                                ("kind", "revenue"),
                                ("side", -1),
                            ),
                            models.Q(
                                ("floor_zero", False),
                                ("organization", None),
                                ("owner", None),
                                ("tracked", False),
                                (
                                    "kind__in",
                                    [
                                        "stripe_clearing",
                                        "bank_clearing",
                                        "verification",
                                        "processing_fee",
                                        "promotion",
                                        "dispute_loss",
                                        "adjustment",
                                    ],
                                ),
                                ("side", 1),
                            ),
                            _connector="OR",
                        ),
                        name="ledger_account_shape",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("checks", models.PositiveIntegerField(help_text="How many checks were made.")),
                ("differences", models.PositiveIntegerField()),
                ("took_ms", models.PositiveIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["-id"], name="ledger_check_latest")],
            },
        ),
        migrations.CreateModel(
            name="RateCard",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("currency", models.CharField(default="USD", max_length=3)),
                ("valid_from_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "mode",
                    models.CharField(
                        choices=[("batch", "Batch"), ("real_time", "Real time")],
                        db_default="batch",
                        default="batch",
                        max_length=16,
                    ),
                ),
                (
                    "tier",
                    models.CharField(
                        choices=[("standard", "Standard"), ("quorum", "Quorum")],
                        db_default="standard",
                        default="standard",
                        max_length=16,
                    ),
                ),
                (
                    "price_micro_per_hour",
                    models.BigIntegerField(help_text="What the customer pays for a compute-hour."),
                ),
                (
                    "price_micro_per_kwh",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="What the customer pays for a kilowatt-hour, in addition to the price per hour.",
                    ),
                ),
                (
                    "owner_share_permille",
                    models.PositiveSmallIntegerField(
                        help_text="The owner's share of the price per hour, in thousandths."
                    ),
                ),
                ("min_owner_micro_per_hour", models.BigIntegerField(default=0)),
                (
                    "hardware_class",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rate_cards",
                        to="compute.hardwareclass",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hardware_class", "currency", "mode", "tier", "valid_from_at"), name="rate_card_moment"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("price_micro_per_hour__gt", 0), ("price_micro_per_kwh__gte", 0)),
                        name="rate_card_price",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("owner_share_permille__lte", 1000)), name="rate_card_share"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("min_owner_micro_per_hour__gte", 0),
                            (
                                "min_owner_micro_per_hour__lte",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("price_micro_per_hour"), "*", models.F("owner_share_permille")
                                    ),
                                    "/",
                                    models.Value(1000),
                                ),
                            ),
                        ),
                        name="rate_card_owner_floor",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SpendCap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("monthly_micro", models.BigIntegerField()),
                ("changed_at", models.DateTimeField(auto_now=True)),
                (
                    "changed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="spend_cap",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("monthly_micro__gte", 0)), name="spend_cap_amount")
                ],
            },
        ),
        migrations.CreateModel(
            name="SpendDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                ("day", models.DateField()),
                ("units", models.BigIntegerField()),
                ("items", models.BigIntegerField()),
                ("compute_ms", models.BigIntegerField()),
                ("energy_mwh", models.BigIntegerField()),
                ("charged_micro", models.BigIntegerField()),
                (
                    "artifact",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="compute.modelartifact",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "day", "artifact", "currency"), name="spend_day_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Statement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("number", models.PositiveIntegerField(help_text="Counted from 1 for each owner.")),
                ("currency", models.CharField(max_length=3)),
                ("period_start_at", models.DateTimeField()),
                ("period_end_at", models.DateTimeField()),
                ("opening_micro", models.BigIntegerField(help_text="Carried over from the statement before.")),
                ("earned_micro", models.BigIntegerField(help_text="Gross pay for work.")),
                ("corrected_micro", models.BigIntegerField(help_text="Corrections and adjustments, signed.")),
                (
                    "other_micro",
                    models.BigIntegerField(
                        help_text="Held while disputed, released, and payouts that came back, signed."
                    ),
                ),
                ("paid_out_micro", models.BigIntegerField(help_text="The payout of this statement.")),
                (
                    "carried_micro",
                    models.BigIntegerField(
                        help_text="Carried over to the next statement: less than a cent, below the minimum, or negative."
                    ),
                ),
                ("energy_cost_nano", models.BigIntegerField()),
                ("wear_nano", models.BigIntegerField()),
                ("compute_ms", models.BigIntegerField()),
                ("energy_mwh", models.BigIntegerField()),
                ("attempts", models.PositiveIntegerField()),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="statements", to="accounts.owner"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "currency", "period_start_at"), name="statement_period"),
                    models.UniqueConstraint(fields=("owner", "number"), name="statement_number"),
                    models.CheckConstraint(
                        condition=models.Q(("period_end_at__gt", models.F("period_start_at"))), name="statement_span"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "carried_micro",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                models.F("opening_micro"), "+", models.F("earned_micro")
                                            ),
                                            "+",
                                            models.F("corrected_micro"),
                                        ),
                                        "+",
                                        models.F("other_micro"),
                                    ),
                                    "-",
                                    models.F("paid_out_micro"),
                                ),
                            )
                        ),
                        name="statement_adds_up",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("earned_micro__gte", 0),
                            ("energy_cost_nano__gte", 0),
                            ("paid_out_micro__gte", 0),
                            ("wear_nano__gte", 0),
                        ),
                        name="statement_amounts",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StripeCommand",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("create_customer", "Create Customer"),
                            ("create_checkout_session", "Create Checkout Session"),
                            ("create_setup_session", "Create Setup Session"),
                            ("charge_saved_card", "Charge Saved Card"),
                            ("detach_card", "Detach Card"),
                            ("create_refund", "Create Refund"),
                            ("submit_evidence", "Submit Evidence"),
                            ("create_account", "Create Account"),
                            ("create_transfer", "Create Transfer"),
                            ("reverse_transfer", "Reverse Transfer"),
                        ],
                        max_length=32,
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=255, unique=True)),
                (
                    "subject_id",
                    models.BigIntegerField(
                        help_text="The id of the row that the command is about; the kind decides the table."
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("queued", "To be sent"), ("done", "Done"), ("dead", "Given up, needs an operator")],
                        default="queued",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("message", models.TextField(blank=True, db_default="")),
                (
                    "params",
                    models.JSONField(
                        help_text="The parameters that were sent; the same each time it is sent again.", null=True
                    ),
                ),
                ("object_id", models.CharField(blank=True, db_default="", max_length=255)),
                ("outcome_unknown", models.BooleanField(default=False)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("first_sent_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "after",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="dependents",
                        to="billing.stripecommand",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "queued")), fields=["due_at"], name="stripe_command_due"
                    ),
                    models.Index(fields=["kind", "subject_id"], name="stripe_command_subject"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("done_at__isnull", False), ("status", "done")),
                            models.Q(models.Q(("status", "done"), _negated=True), ("done_at", None)),
                            _connector="OR",
                        ),
                        name="stripe_command_done_at",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="StripeCustomer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("stripe_id", models.CharField(max_length=255, null=True, unique=True)),
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="stripe_customer",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="StripeEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("event_id", models.CharField(max_length=255, unique=True)),
                ("type", models.CharField(max_length=255)),
                (
                    "is_thin",
                    models.BooleanField(help_text="An event of API v2: it names an object but does not contain it."),
                ),
                ("object_id", models.CharField(blank=True, max_length=255)),
                (
                    "account_id",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The connected account that it happened on; empty: our own.",
                        max_length=255,
                    ),
                ),
                ("api_version", models.CharField(blank=True, max_length=64)),
                ("occurred_at", models.DateTimeField()),
                (
                    "source",
                    models.CharField(choices=[("webhook", "Webhook"), ("sweep", "Found by listing")], max_length=16),
                ),
                ("payload_sha256", models.CharField(max_length=64)),
                ("livemode", models.BooleanField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("processed", "Processed"),
                            ("skipped", "Not relevant to us"),
                            ("dead", "Given up, needs an operator"),
                        ],
                        default="received",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("message", models.TextField(blank=True, db_default="")),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "received")), fields=["due_at"], name="stripe_event_due"
                    ),
                    models.Index(fields=["object_id"], name="stripe_event_object"),
                ],
            },
        ),
        migrations.CreateModel(
            name="StripeSweep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "subject",
                    models.CharField(
                        choices=[("events", "Events"), ("balance", "Balance transactions")], max_length=16
                    ),
                ),
                ("since_at", models.DateTimeField()),
                ("until_at", models.DateTimeField()),
                ("listed", models.PositiveIntegerField()),
                ("missing", models.PositiveIntegerField(help_text="How many of them we had not received before.")),
            ],
            options={
                "indexes": [models.Index(fields=["subject", "-until_at"], name="stripe_sweep_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("missing__lte", models.F("listed")), ("until_at__gt", models.F("since_at"))
                        ),
                        name="stripe_sweep_span",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("bank_top_up", "Top-up by bank transfer"),
                            ("refund", "Refund to a customer's card"),
                            ("resolve_refund", "Settle a refund that was given up"),
                            ("adjust_customer", "Adjust a customer's wallet"),
                            ("adjust_owner", "Adjust what an owner is owed"),
                            ("hold_payout", "Hold a payout"),
                            ("release_payout", "Release a held payout"),
                            ("return_payout", "Return a payout to the owner's balance"),
                            ("resend_payout", "Ask Stripe again for a refused payout"),
                            ("reverse_payout", "Take a payout back (fraud, wrong payee)"),
                            ("promo_credit", "Promotional credit"),
                            ("write_off", "Write off what a lost dispute left owed"),
                            ("void_usage", "Void usage"),
                            ("decide_dispute", "Uphold a dispute"),
                        ],
                        max_length=24,
                    ),
                ),
                ("params", models.JSONField()),
                ("summary", models.CharField(help_text="The act in words, with amount and name.", max_length=300)),
                ("reason", models.CharField(max_length=500)),
                ("idempotency_key", models.CharField(max_length=300, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("proposed", "Waits for a second operator"),
                            ("done", "Approved and done"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="proposed",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("decided_at", models.DateTimeField(null=True)),
                ("decision_note", models.CharField(blank=True, db_default="", max_length=500)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "permissions": [("decide_money", "Can propose acts on money, and decide about them")],
                "indexes": [
                    models.Index(condition=models.Q(("status", "proposed")), fields=["id"], name="approval_waiting")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at", None), ("decided_by", None), ("status", "proposed")),
                            models.Q(("decided_at__isnull", False), ("status", "withdrawn")),
                            models.Q(
                                ("decided_at__isnull", False),
                                ("decided_by__isnull", False),
                                ("status__in", ["done", "rejected"]),
                                models.Q(("decided_by", models.F("proposed_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="approval_second_operator",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BillingProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("legal_name", models.CharField(blank=True, default="", max_length=200)),
                ("address", models.TextField(blank=True, default="", max_length=500)),
                (
                    "tax_id",
                    models.CharField(
                        blank=True, default="", help_text="VAT number or another tax number.", max_length=40
                    ),
                ),
                (
                    "low_balance_micro",
                    models.BigIntegerField(help_text="Send a mail when less than this is free to spend.", null=True),
                ),
                ("low_balance_mailed_at", models.DateTimeField(null=True)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                (
                    "changed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="billing_profile",
                        to="accounts.organization",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("low_balance_micro", None), ("low_balance_micro__gte", 0), _connector="OR"),
                        name="billing_profile_low_balance",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="EarningsDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                ("day", models.DateField()),
                ("attempts", models.BigIntegerField()),
                ("compute_ms", models.BigIntegerField()),
                ("energy_mwh", models.BigIntegerField()),
                ("gross_micro", models.BigIntegerField()),
                ("energy_cost_nano", models.BigIntegerField()),
                ("wear_nano", models.BigIntegerField()),
                (
                    "owner",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.owner",
                    ),
                ),
                (
                    "vehicle",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.vehicle",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "day", "vehicle", "currency"), name="earnings_day_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="ConnectedAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("country", models.CharField(max_length=2)),
                ("currency", models.CharField(max_length=3)),
                ("stripe_id", models.CharField(max_length=255, null=True, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("created", "Being prepared"),
                            ("onboarding", "Waits for you"),
                            ("pending", "Stripe is checking"),
                            ("active", "Ready"),
                            ("restricted", "Restricted"),
                            ("failed", "Could not be created"),
                            ("closed", "Closed"),
                        ],
                        default="created",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("transfers_status", models.CharField(blank=True, db_default="", max_length=32)),
                ("payouts_status", models.CharField(blank=True, db_default="", max_length=32)),
                ("requirements", models.JSONField(db_default=[], default=list)),
                (
                    "deadline_at",
                    models.DateTimeField(help_text="When the first requirement becomes past due.", null=True),
                ),
                ("checked_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="connected_accounts",
                        to="accounts.owner",
                    ),
                ),
                (
                    "command",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="connected_account",
                        to="billing.stripecommand",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["closed"]), _negated=True),
                        fields=("owner",),
                        name="connected_account_one_in_use",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="JobOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("price_micro_per_hour", models.BigIntegerField()),
                ("price_micro_per_kwh", models.BigIntegerField(db_default=0, default=0)),
                ("owner_share_permille", models.PositiveSmallIntegerField()),
                ("estimate_low_micro", models.BigIntegerField()),
                ("estimate_high_micro", models.BigIntegerField()),
                (
                    "cap_micro",
                    models.BigIntegerField(help_text="The customer's own limit, if one was given.", null=True),
                ),
                ("held_micro", models.BigIntegerField()),
                (
                    "held_promo_micro",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="The part of the hold that is promotional credit; charges use it up first.",
                    ),
                ),
                ("charged_micro", models.BigIntegerField(db_default=0, default=0)),
                (
                    "status",
                    models.CharField(choices=[("held", "Held"), ("closed", "Closed")], default="held", max_length=16),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="order", to="compute.inferencejob"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="job_orders",
                        to="accounts.organization",
                    ),
                ),
                ("rate_card", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="billing.ratecard")),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("status", "held")), fields=["id"], name="job_order_open"),
                    models.Index(fields=["organization", "-job"], name="job_order_by_organization"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("charged_micro__gte", 0), ("charged_micro__lte", models.F("held_micro"))),
                        name="job_order_charged_within_hold",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("held_micro__gt", 0),
                            ("held_promo_micro__gte", 0),
                            ("held_promo_micro__lte", models.F("held_micro")),
                        ),
                        name="job_order_held",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cap_micro", None), ("held_micro__lte", models.F("cap_micro")), _connector="OR"
                        ),
                        name="job_order_within_cap",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("estimate_high_micro__gte", models.F("estimate_low_micro")), ("estimate_low_micro__gte", 0)
                        ),
                        name="job_order_estimate",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at", None), ("status", "held")),
                            models.Q(("closed_at__isnull", False), ("status", "closed")),
                            _connector="OR",
                        ),
                        name="job_order_closed_at",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerDifference",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("check_name", models.CharField(max_length=64)),
                ("subject", models.CharField(max_length=300)),
                ("expected_micro", models.BigIntegerField()),
                ("actual_micro", models.BigIntegerField()),
                ("gone_at", models.DateTimeField(null=True)),
                (
                    "note",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="What an operator found out about the difference.",
                        max_length=500,
                    ),
                ),
                (
                    "first_seen",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.ledgercheck"
                    ),
                ),
                (
                    "last_seen",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.ledgercheck"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("gone_at", None)),
                        fields=("check_name", "subject"),
                        name="ledger_difference_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerTransfer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, unique=True
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("top_up", "Top-up"),
                            ("hold", "Hold for a job"),
                            ("release", "Release of a hold"),
                            ("share", "Owner's share"),
                            ("revenue", "Platform's share"),
                            ("verification", "Pay for verification"),
                            ("fee", "Payment processing fee"),
                            ("promo", "Promotional credit"),
                            ("refund", "Refund to the source"),
                            ("dispute", "Disputed payment"),
                            ("offset", "Set off against the wallet"),
                            ("write_off", "Written off"),
                            ("reserve", "Held while disputed"),
                            ("correction", "Correction"),
                            ("adjustment", "Adjustment"),
                            ("payout", "Payout"),
                            ("transfer", "Transfer to an owner's account"),
                            ("return", "Payout returned"),
                            ("reversal", "Reversal"),
                        ],
                        max_length=20,
                    ),
                ),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("idempotency_key", models.TextField(db_collation="C")),
                ("fingerprint", models.CharField(db_default="", editable=False, max_length=64)),
                ("effective_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "posted_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("meta", models.JSONField(db_default={}, default=dict)),
                (
                    "credit",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credits",
                        to="billing.ledgeraccount",
                    ),
                ),
                (
                    "debit",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="debits",
                        to="billing.ledgeraccount",
                    ),
                ),
                (
                    "reverses",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversed_by",
                        to="billing.ledgertransfer",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["debit", "posted_at"], name="ledger_transfer_debits"),
                    models.Index(fields=["credit", "posted_at"], name="ledger_transfer_credits"),
                    models.Index(
                        condition=models.Q(("kind", "correction")),
                        fields=["credit", "posted_at"],
                        name="ledger_transfer_given_back",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("idempotency_key",), name="ledger_transfer_key"),
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="ledger_transfer_amount"),
                    models.CheckConstraint(
                        condition=models.Q(("debit", models.F("credit")), _negated=True),
                        name="ledger_transfer_two_accounts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "reversal"), ("reverses__isnull", False)),
                            models.Q(models.Q(("kind", "reversal"), _negated=True), ("reverses", None)),
                            _connector="OR",
                        ),
                        name="ledger_transfer_reversal",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SavedCard",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("site_url", models.CharField(blank=True, db_default="", max_length=200)),
                ("session_id", models.CharField(max_length=255, null=True, unique=True)),
                ("checkout_url", models.TextField(blank=True, db_default="")),
                ("payment_method_id", models.CharField(max_length=255, null=True, unique=True)),
                ("brand", models.CharField(blank=True, db_default="", max_length=32)),
                ("last4", models.CharField(blank=True, db_default="", max_length=4)),
                ("exp_month", models.PositiveSmallIntegerField(null=True)),
                ("exp_year", models.PositiveSmallIntegerField(null=True)),
                ("is_default", models.BooleanField(default=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Being saved"),
                            ("active", "Saved"),
                            ("failed", "Not saved"),
                            ("removed", "Removed"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="saved_cards",
                        to="accounts.organization",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "command",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="saved_card",
                        to="billing.stripecommand",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="saved_cards",
                        to="billing.stripecustomer",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True), ("status", "active")),
                        fields=("organization",),
                        name="saved_card_default",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "active"), _negated=True),
                            ("payment_method_id__isnull", False),
                            _connector="OR",
                        ),
                        name="saved_card_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StatementLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("work", "Work"),
                            ("check", "Checking others' work"),
                            ("correction", "Correction"),
                            ("adjustment", "Adjustment"),
                            ("reserve", "Held while disputed, or released"),
                            ("return", "Payout that came back"),
                        ],
                        max_length=16,
                    ),
                ),
                ("service_month", models.DateField()),
                ("is_late", models.BooleanField(default=False)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("compute_ms", models.BigIntegerField(default=0)),
                ("energy_mwh", models.BigIntegerField(default=0)),
                ("amount_micro", models.BigIntegerField()),
                ("energy_cost_nano", models.BigIntegerField(default=0)),
                ("wear_nano", models.BigIntegerField(default=0)),
                ("note", models.CharField(blank=True, db_default="", max_length=200)),
                (
                    "hardware_class",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="compute.hardwareclass",
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.statement"
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
                "indexes": [models.Index(fields=["statement", "id"], name="statement_line_order")],
            },
        ),
        migrations.CreateModel(
            name="ConnectedAccountEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "connected_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="billing.connectedaccount",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Dispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("reason", models.TextField(max_length=2000)),
                ("claimed_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("idempotency_key", models.CharField(max_length=300, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("upheld", "Upheld"),
                            ("rejected", "Not upheld"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("reserved_micro", models.BigIntegerField(default=0, help_text="Earnings held while it is open.")),
                ("granted_micro", models.BigIntegerField(default=0)),
                (
                    "granted_promo_micro",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="The part of the grant that goes back to promotional credit."
                    ),
                ),
                (
                    "bearer",
                    models.CharField(
                        blank=True,
                        choices=[("owner", "The owners of the work"), ("platform", "Driveway")],
                        db_default="",
                        max_length=16,
                    ),
                ),
                (
                    "decision",
                    models.TextField(blank=True, db_default="", help_text="The decision, which both sides can read."),
                ),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "opened_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="accounts.organization",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="accounts.owner",
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.joborder",
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="disputes",
                        to="billing.statement",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("order__isnull", False),
                                ("organization__isnull", False),
                                ("owner", None),
                                ("statement", None),
                            ),
                            models.Q(
                                ("order", None),
                                ("organization", None),
                                ("owner__isnull", False),
                                ("statement__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="dispute_of_one_side",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("claimed_micro__gt", 0),
                            ("granted_micro__gte", 0),
                            ("reserved_micro__gte", 0),
                            ("granted_micro__lte", models.F("claimed_micro")),
                        ),
                        name="dispute_amounts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("granted_promo_micro__gte", 0), ("granted_promo_micro__lte", models.F("granted_micro"))
                        ),
                        name="dispute_promo",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "open")), fields=("order",), name="dispute_open_order"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "open")), fields=("statement",), name="dispute_open_statement"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(choices=[("work", "Verified work"), ("correction", "Correction")], max_length=16),
                ),
                ("description", models.CharField(max_length=200)),
                ("items", models.BigIntegerField(default=0)),
                ("compute_ms", models.BigIntegerField(default=0)),
                ("energy_mwh", models.BigIntegerField(default=0)),
                ("price_micro_per_hour", models.BigIntegerField(default=0)),
                ("price_micro_per_kwh", models.BigIntegerField(default=0)),
                ("amount_micro", models.BigIntegerField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.invoice"
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.joborder"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["invoice", "id"], name="invoice_line_order")],
            },
        ),
        migrations.CreateModel(
            name="InvoiceEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_micro", models.BigIntegerField(help_text="What was charged, signed.")),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.invoice"
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="invoice_entry",
                        to="billing.ledgertransfer",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Payout",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                (
                    "due_at",
                    models.DateTimeField(
                        help_text="Not sent before this time: the end of the period plus the hold days."
                    ),
                ),
                ("held_at", models.DateTimeField(help_text="Held by two operators; two must release it.", null=True)),
                ("held_reason", models.CharField(blank=True, db_default="", max_length=200)),
                (
                    "released_at",
                    models.DateTimeField(
                        help_text="When operators last released it; after that no automatic rule holds it again.",
                        null=True,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("scheduled", "Scheduled"),
                            ("sending", "Being sent"),
                            ("paid", "Paid"),
                            ("returned", "Returned to your balance"),
                            ("reversed", "Taken back"),
                        ],
                        default="scheduled",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                (
                    "reverse_cause",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("fraud", "Fraud"),
                            ("wrong_payee", "Wrong payee"),
                            ("unknown", "Taken back in Stripe's dashboard"),
                        ],
                        db_default="",
                        max_length=16,
                    ),
                ),
                ("stripe_transfer_id", models.CharField(max_length=255, null=True, unique=True)),
                (
                    "paid_at",
                    models.DateTimeField(help_text="When Stripe made the transfer; decides the tax year.", null=True),
                ),
                ("bank_payout_id", models.CharField(blank=True, db_default="", max_length=255)),
                ("bank_status", models.CharField(blank=True, db_default="", max_length=16)),
                ("bank_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payouts",
                        to="billing.connectedaccount",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="payouts", to="accounts.owner"
                    ),
                ),
                (
                    "posting",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="payout", to="billing.ledgertransfer"
                    ),
                ),
                (
                    "returned",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payout_returned",
                        to="billing.ledgertransfer",
                    ),
                ),
                (
                    "sent",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payout_sent",
                        to="billing.ledgertransfer",
                    ),
                ),
                (
                    "statement",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="payout", to="billing.statement"
                    ),
                ),
                (
                    "command",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payout",
                        to="billing.stripecommand",
                    ),
                ),
                (
                    "reverse_command",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reversed_payout",
                        to="billing.stripecommand",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("status", "scheduled")), fields=["due_at"], name="payout_due"),
                    models.Index(fields=["owner", "-id"], name="payout_by_owner"),
                    models.Index(
                        condition=models.Q(("reverse_cause__in", ["fraud", "unknown"])),
                        fields=["owner"],
                        name="payout_suspicious",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="payout_amount"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("paid_at__isnull", False),
                                ("returned__isnull", True),
                                ("sent__isnull", False),
                                ("status__in", ["paid", "reversed"]),
                            ),
                            models.Q(("returned__isnull", False), ("sent", None), ("status", "returned")),
                            models.Q(("returned", None), ("sent", None), ("status__in", ["scheduled", "sending"])),
                            _connector="OR",
                        ),
                        name="payout_postings",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("command", None), ("status", "scheduled")),
                            models.Q(
                                ("account__isnull", False),
                                ("command__isnull", False),
                                ("status__in", ["sending", "paid", "reversed"]),
                            ),
                            ("status", "returned"),
                            _connector="OR",
                        ),
                        name="payout_command",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PromoCredit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(max_length=200)),
                ("idempotency_key", models.CharField(max_length=255)),
                (
                    "granted_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="promo_credits",
                        to="accounts.organization",
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="promo_credit",
                        to="billing.ledgertransfer",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "idempotency_key"), name="promo_credit_once"),
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="promo_credit_amount"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RatedUsage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("charged_micro", models.BigIntegerField()),
                ("owner_micro", models.BigIntegerField()),
                ("platform_micro", models.BigIntegerField()),
                ("energy_cost_nano", models.BigIntegerField()),
                ("wear_nano", models.BigIntegerField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "order",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rated_usage",
                        to="billing.joborder",
                    ),
                ),
                (
                    "owner_transfer",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="paid_usage",
                        to="billing.ledgertransfer",
                    ),
                ),
                (
                    "revenue_transfer",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="earned_usage",
                        to="billing.ledgertransfer",
                    ),
                ),
                (
                    "usage",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rated",
                        to="compute.usagerecord",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "rated usage",
                "indexes": [models.Index(fields=["order", "id"], name="rated_usage_of_order")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("charged_micro__gte", 0),
                            ("energy_cost_nano__gte", 0),
                            ("owner_micro__gte", 0),
                            (
                                "platform_micro",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("charged_micro"), "-", models.F("owner_micro")
                                ),
                            ),
                            ("wear_nano__gte", 0),
                        ),
                        name="rated_usage_adds_up",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("owner_micro", 0), ("owner_transfer", None)),
                            models.Q(("owner_micro__gt", 0), ("owner_transfer__isnull", False)),
                            _connector="OR",
                        ),
                        name="rated_usage_paid",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AutoRecharge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("is_on", models.BooleanField(default=True)),
                ("threshold_micro", models.BigIntegerField()),
                ("amount_micro", models.BigIntegerField()),
                (
                    "monthly_cap_micro",
                    models.BigIntegerField(help_text="Limit on all automatic recharges of a calendar month (UTC)."),
                ),
                (
                    "paused_code",
                    models.CharField(
                        blank=True, db_default="", help_text="Why the last charge was refused.", max_length=64
                    ),
                ),
                ("paused_at", models.DateTimeField(null=True)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                (
                    "changed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="auto_recharge",
                        to="accounts.organization",
                    ),
                ),
                (
                    "card",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.savedcard"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_micro__gt", 0),
                            ("monthly_cap_micro__gte", models.F("amount_micro")),
                            ("threshold_micro__gte", 0),
                        ),
                        name="auto_recharge_amounts",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SavedCardEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "saved_card",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.savedcard"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="StatementEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_micro", models.BigIntegerField(help_text="Change of what the owner is owed, signed.")),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.statement"
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="statement_entry",
                        to="billing.ledgertransfer",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TopUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("manual", "Bank transfer, entered by two operators"),
                            ("stripe", "Card, through Stripe"),
                        ],
                        max_length=16,
                    ),
                ),
                ("reference", models.CharField(blank=True, max_length=120)),
                ("idempotency_key", models.CharField(max_length=255)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="top_ups", to="accounts.organization"
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="top_up", to="billing.ledgertransfer"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "idempotency_key"), name="top_up_once"),
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="top_up_amount"),
                    models.UniqueConstraint(
                        django.db.models.functions.text.Upper(django.db.models.functions.text.Trim("reference")),
                        condition=models.Q(("method", "manual")),
                        name="top_up_bank_reference",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CardDispute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("stripe_id", models.CharField(max_length=255, unique=True)),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("warning", "The bank asks"),
                            ("needs_response", "Waits for our evidence"),
                            ("under_review", "At the bank"),
                            ("won", "Won"),
                            ("lost", "Lost"),
                            ("closed", "Closed without a chargeback"),
                        ],
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("evidence_due_at", models.DateTimeField(null=True)),
                (
                    "evidence",
                    models.TextField(
                        blank=True, db_default="", help_text="The evidence that an operator sent to the bank."
                    ),
                ),
                ("evidence_at", models.DateTimeField(null=True)),
                ("withdrawn_at", models.DateTimeField(null=True)),
                ("reinstated_at", models.DateTimeField(null=True)),
                ("written_off_at", models.DateTimeField(null=True)),
                ("suspended_at", models.DateTimeField(null=True)),
                ("lifted_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="card_disputes",
                        to="accounts.organization",
                    ),
                ),
                (
                    "top_up",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="card_disputes", to="billing.topup"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "-id"], name="card_dispute_by_organization"),
                    models.Index(
                        condition=models.Q(
                            ("reinstated_at", None), ("withdrawn_at__isnull", False), ("written_off_at", None)
                        ),
                        fields=["organization"],
                        name="card_dispute_taken",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="card_dispute_amount"),
                    models.CheckConstraint(
                        condition=models.Q(("reinstated_at", None), ("withdrawn_at__isnull", False), _connector="OR"),
                        name="card_dispute_reinstated",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("lifted_at", None), ("suspended_at__isnull", False), _connector="OR"),
                        name="card_dispute_lifted",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CardTopUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "origin",
                    models.CharField(
                        choices=[("checkout", "Paid on Stripe's page"), ("auto", "Automatic recharge")],
                        db_default="checkout",
                        default="checkout",
                        max_length=16,
                    ),
                ),
                (
                    "saves_card",
                    models.BooleanField(
                        db_default=False, default=False, help_text="Save the card if the payment succeeds."
                    ),
                ),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("idempotency_key", models.CharField(max_length=300)),
                (
                    "site_url",
                    models.CharField(
                        help_text="The page of ours to which Checkout sends the customer back.", max_length=200
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("created", "Being prepared"),
                            ("open", "Waiting for payment"),
                            ("processing", "Bank is working"),
                            ("paid", "Paid"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="created",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("session_id", models.CharField(max_length=255, null=True, unique=True)),
                ("checkout_url", models.TextField(blank=True, db_default="")),
                ("payment_intent_id", models.CharField(max_length=255, null=True, unique=True)),
                (
                    "declined_code",
                    models.CharField(
                        blank=True, db_default="", help_text="Why the last card was refused.", max_length=64
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="card_top_ups",
                        to="accounts.organization",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "saved_card",
                    models.ForeignKey(
                        help_text="The saved card that is charged.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="top_ups",
                        to="billing.savedcard",
                    ),
                ),
                (
                    "command",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="card_top_up",
                        to="billing.stripecommand",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="card_top_ups",
                        to="billing.stripecustomer",
                    ),
                ),
                (
                    "top_up",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="card_top_up",
                        to="billing.topup",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="card_top_up_by_organization")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "idempotency_key"), name="card_top_up_once"),
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="card_top_up_amount"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "paid"), ("top_up__isnull", False)),
                            models.Q(models.Q(("status", "paid"), _negated=True), ("top_up", None)),
                            _connector="OR",
                        ),
                        name="card_top_up_paid",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("origin", "auto"), ("status__in", ["created", "open", "processing"])),
                        fields=("organization",),
                        name="auto_recharge_one_in_flight",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("origin", "checkout"), ("saved_card", None)),
                            models.Q(("origin", "auto"), ("saved_card__isnull", False)),
                            _connector="OR",
                        ),
                        name="card_top_up_origin",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DisputeEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.dispute"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="DisputeMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("from_operator", models.BooleanField(default=False)),
                ("text", models.TextField(max_length=4000)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "author",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="messages", to="billing.dispute"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PayoutEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "payout",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.payout"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("amount_micro", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(blank=True, db_default="", max_length=200)),
                ("idempotency_key", models.CharField(max_length=300)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "Being sent"),
                            ("pending", "At the bank"),
                            ("succeeded", "Refunded"),
                            ("failed", "Failed, back in the wallet"),
                        ],
                        default="requested",
                        max_length=16,
                    ),
                ),
                ("status_code", models.CharField(blank=True, db_default="", max_length=64)),
                ("stripe_id", models.CharField(max_length=255, null=True, unique=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="accounts.organization"
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "returned",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refund_returned",
                        to="billing.ledgertransfer",
                    ),
                ),
                (
                    "transfer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="refund", to="billing.ledgertransfer"
                    ),
                ),
                (
                    "command",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="refund", to="billing.stripecommand"
                    ),
                ),
                (
                    "top_up",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.topup"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "-id"], name="refund_by_organization"),
                    models.Index(
                        condition=models.Q(("status", "pending")), fields=["created_at"], name="refund_pending"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "idempotency_key"), name="refund_once"),
                    models.CheckConstraint(condition=models.Q(("amount_micro__gt", 0)), name="refund_amount"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("returned__isnull", False), ("status", "failed")),
                            models.Q(models.Q(("status", "failed"), _negated=True), ("returned", None)),
                            _connector="OR",
                        ),
                        name="refund_returned",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageVoid",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("reason", models.CharField(max_length=200)),
                (
                    "promo_micro",
                    models.BigIntegerField(
                        db_default=0,
                        default=0,
                        help_text="The part of the charge that goes back to promotional credit; the rest to the wallet.",
                    ),
                ),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "rated",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="void", to="billing.ratedusage"
                    ),
                ),
                (
                    "voided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("settled_at", None)), fields=["id"], name="usage_void_unsettled")
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("promo_micro__gte", 0)), name="usage_void_promo")
                ],
            },
        ),
        migrations.CreateModel(
            name="CardDisputeEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "card_dispute",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.carddispute"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="CardTopUpEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "card_top_up",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.cardtopup"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="RefundEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_status", models.CharField(blank=True, max_length=16)),
                ("to_status", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "refund",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="billing.refund"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "abstract": False,
            },
        ),
    ]
