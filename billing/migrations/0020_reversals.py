"""Money that comes back from owners' accounts at Stripe, also in Stripe's dashboard: which transfer it was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_invoices")]

    operations = [
        migrations.AddField(
            "balancetransaction",
            "transfer_id",
            models.CharField(
                blank=True, db_default="", max_length=255,
                help_text="Of money that came back from an owner's account: which transfer.",
            ),
        ),
        migrations.AddIndex(
            "balancetransaction",
            models.Index(
                fields=["transfer_id"], condition=models.Q(type="transfer_refund"), name="balance_transaction_transfer"
            ),
        ),
    ]  # fmt: skip
