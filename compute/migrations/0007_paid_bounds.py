from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("compute", "0006_money")]

    operations = [
        migrations.AddField(
            model_name="inferencejob",
            name="slowness_max_permille",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="inferencejob",
            name="power_max_mw",
            field=models.PositiveIntegerField(null=True),
        ),
    ]
