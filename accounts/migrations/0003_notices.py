"""The first version of each consent notice, in English and German. A later text is a new version in a new migration."""

import hashlib
from pathlib import Path

from django.db import migrations

FOLDER = Path(__file__).resolve().parents[1] / "notices"
PURPOSES = ("run_jobs", "availability", "region", "reliability", "experiments", "product_email")


def publish(apps, schema_editor):
    """Write a notice for each file: its title, its summary and its body, with empty lines between them."""
    notices = apps.get_model("accounts", "ConsentNotice")
    for purpose in PURPOSES:
        effective = {}
        for language in ("en", "de"):
            text = (FOLDER / f"{purpose}-v1.{language}.txt").read_text(encoding="utf-8").removesuffix("\n")
            title, summary, body = text.split("\n\n", 2)
            row = notices.objects.create(
                purpose=purpose,
                version=1,
                language=language,
                title=title,
                summary=summary,
                body=body,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                **effective,
            )
            effective = {"effective_at": row.effective_at}


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_rules")]

    operations = [migrations.RunPython(publish, migrations.RunPython.noop)]
