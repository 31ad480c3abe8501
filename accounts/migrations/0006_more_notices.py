"""The first version of the texts of two more purposes: a coarse region, and news by e-mail."""

import hashlib

from django.db import migrations

NOTICES = {
    "region": (
        "Coarse region for price and latency",
        "We keep the state or province that you choose for this car, to know local electricity prices and distances to customers.",
        "You choose a state or province from a list; the car never tells us where it is. We keep that one code and use it "
        "for two things: the price of electricity there, and how far answers have to travel to a customer.\n\n"
        "Nobody outside Driveway receives it; customers may see how many cars there are in a region, never fewer than ten.\n\n"
        "Your pay does not depend on this. You can withdraw with one click; the code is deleted in the same moment.",
    ),
    "product_email": (
        "News about Driveway by e-mail",
        "Now and then we write to you about new features. Mails about your account and your cars do not depend on this.",
        "A few times a year we may write to you about what is new in Driveway. We use your e-mail address and the name that "
        "you gave us, nothing else, and count neither openings nor clicks.\n\n"
        "Mails that you need, such as receipts, consents that end and sign-in codes, are sent in any case.\n\n"
        "Your pay does not depend on this. You can withdraw here or with one click in any such mail.",
    ),
}


def publish(apps, schema_editor):
    notices = apps.get_model("accounts", "ConsentNotice")
    for purpose, (title, summary, body) in NOTICES.items():
        text = f"{title}\n\n{summary}\n\n{body}"
        notices.objects.create(
            purpose=purpose,
            version=1,
            language="en",
            title=title,
            summary=summary,
            body=body,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
        )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_owner_rules")]

    operations = [migrations.RunPython(publish, migrations.RunPython.noop)]
