"""Rules that the database enforces about owners, vehicles, consents and owners' rules: the files in accounts/rules."""

from django.db import migrations

from core import rules


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = rules.run(
        "accounts",
        "functions",
        "access",
        "audit",
        "consents",
        "owners",
        "policies",
        "privacy",
        "vehicles",
    )
