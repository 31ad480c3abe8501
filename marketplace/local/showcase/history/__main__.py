"""`python -m marketplace.local.showcase.history`, with DATABASE_URL naming the owner of the tables: prints what it made."""

import os
import time

import django


def main() -> None:
    """Make the month, unless it is there."""
    started = time.monotonic()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    # A made-up unit of an hour is reported in the moment in which it was leased.
    os.environ["METER_CLOCK_SLACK_MS"] = str(10**12)
    django.setup()
    from billing.ledger import check_runs
    from marketplace.local.embedded import home
    from marketplace.local.showcase import label, people
    from marketplace.local.showcase.history import history

    made = history.make_history(people.seed_people(), today=label.first_day(home()))
    if made:
        check_runs.run()  # so that operators see on their first page that the ledger adds up
        print(f"{made.days} days, {made.jobs} jobs in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
