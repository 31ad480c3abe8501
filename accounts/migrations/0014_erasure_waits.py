"""Until when a due erasure waits for what is owed to its owner."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_definers")]

    operations = [
        migrations.AddField(model_name="erasurerequest", name="money_until_at", field=models.DateTimeField(null=True)),
    ]
