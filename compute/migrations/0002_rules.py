"""Rules that the database enforces about work: the files in compute/rules."""

from django.db import migrations

from core import rules


class Migration(migrations.Migration):
    dependencies = [("compute", "0001_initial"), ("accounts", "0002_rules")]

    operations = rules.run(
        "compute",
        "artifacts",
        "attempts",
        "history",
        "jobs",
        "metering",
        "node_decisions",
        "nodes",
    )
