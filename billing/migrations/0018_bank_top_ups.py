"""A bank transfer is credited once, by two operators; so are the other acts that one operator could do alone."""

from django.db import migrations, models
from django.db.models.functions import Trim, Upper

KINDS = [
    ("bank_top_up", "Top-up by bank transfer"),
    ("refund", "Refund to a customer's card"),
    ("resolve_refund", "Settle a refund that was given up"),
    ("adjust_customer", "Adjust a customer's wallet"),
    ("adjust_owner", "Adjust what an owner is owed"),
    ("hold_payout", "Hold a payout"),
    ("release_payout", "Let a held payout go"),
    ("return_payout", "Return a payout to the owner's balance"),
    ("resend_payout", "Ask Stripe anew for a refused payout"),
    ("reverse_payout", "Take a payout back (fraud, wrong payee)"),
    ("promo_credit", "Promotional credit"),
    ("write_off", "Write off what a lost dispute left owed"),
    ("void_usage", "Void usage"),
    ("decide_dispute", "Uphold a dispute"),
]


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_give_backs")]

    operations = [
        migrations.AlterModelOptions(
            name="approval",
            options={"permissions": [("decide_money", "Can propose acts on money, and decide about them")]},
        ),
        migrations.AlterField(model_name="approval", name="kind", field=models.CharField(choices=KINDS, max_length=24)),
        migrations.AlterField(
            model_name="topup",
            name="method",
            field=models.CharField(
                choices=[("manual", "Bank transfer, entered by two operators"), ("stripe", "Card, through Stripe")],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="topup",
            constraint=models.UniqueConstraint(
                Upper(Trim("reference")), condition=models.Q(method="manual"), name="top_up_bank_reference"
            ),
        ),
    ]
