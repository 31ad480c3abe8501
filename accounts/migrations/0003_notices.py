"""The first version of each consent notice. A later text is a new version in a new migration."""

import hashlib

from django.db import migrations

NOTICES = {
    "run_jobs": (
        "Run customers' jobs",
        "Your parked car's computer runs AI models for paying customers, only when your rules allow it. You are paid for it.",
        "While your car is parked and your own rules allow it, its computer may run AI models that customers of Driveway "
        "send, inside a sandbox that cannot see your car, your network or your data.\n\n"
        "We keep: which jobs ran, when, how long, how much energy they took, and what you earned. We do not receive "
        "where your car is, its trips, its speed or its charge: the car decides on the car, and tells us only that it "
        "is available, or the reason why not.\n\n"
        "Nobody but the payment processor receives anything about you. Customers see a hardware class, never a car.\n\n"
        "You can withdraw with one click on the same page. Running work stops within seconds, and what you have "
        "earned is still paid. Refusing costs you nothing. This consent ends by itself after one year unless you renew it.",
    ),
    "availability": (
        "Keep availability history",
        "We keep when your car was available and the reason codes when not, to forecast your earnings.",
        "We keep a history of when your car was available for work, and the reason codes when it was not, so that we "
        "can forecast your earnings and show you which of your rules cost you most.\n\n"
        "The history has no position, trip or charge in it. It is deleted after 90 days.\n\n"
        "Your pay does not depend on this. You can withdraw with one click; the history is then deleted.",
    ),
    "reliability": (
        "Hardware health for reliability",
        "We keep error counts and temperatures of the car's computer, to notice failing hardware early.",
        "We keep error counts and temperature bands of the car's computer while it runs jobs, so that failing hardware "
        "is noticed before it returns wrong results.\n\n"
        "Kept for 90 days. Your pay does not depend on this. You can withdraw with one click.",
    ),
    "experiments": (
        "Take part in measured experiments",
        "Now and then we try a new scheduling method and measure how your car does with it.",
        "Now and then we try a new way to schedule or check work and measure how it does on part of the fleet. Your "
        "own rules always hold, and you are paid at the same rates.\n\n"
        "Measurements are kept for 90 days. Your pay does not depend on this. You can withdraw with one click.",
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
    dependencies = [("accounts", "0002_rules")]

    operations = [migrations.RunPython(publish, migrations.RunPython.noop)]
