"""Rules that the database enforces about money: the files in billing/rules."""

from django.db import migrations

from core import rules


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("compute", "0002_rules")]

    operations = rules.run(
        "billing",
        "functions",
        "approvals",
        "auto_recharges",
        "balance_transactions",
        "card_disputes",
        "card_top_ups",
        "connected_accounts",
        "disputes",
        "invoices",
        "ledger",
        "ledger_checks",
        "orders",
        "payouts",
        "promo_credits",
        "rates",
        "refunds",
        "saved_cards",
        "settlement",
        "statements",
        "stripe_commands",
        "stripe_customers",
        "stripe_events",
        "topups",
        "usage_voids",
    )
