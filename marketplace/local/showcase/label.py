"""How the site says that it is a demonstration, and from which day on its figures are real.

A line on every page, for the people at a screen; the seller's name on documents and the sender's on mails, which leave the
site. The signed meter records of the made-up month say it themselves (history/computers.py). People and cars have
ordinary names, since a word before each would fill the tables of a phone.
"""

import os
from datetime import UTC, date, datetime
from pathlib import Path

from marketplace.local.embedded.server import private_folder, write_private

FILE = "first-day"


def first_day(home: Path) -> date:
    """Return the day (UTC) of the first `make run` in this home folder: the made-up month ends before it."""
    path = private_folder(home / "run") / FILE
    if not path.exists():
        write_private(path, datetime.now(UTC).date().isoformat())
    return date.fromisoformat(path.read_text().strip())


def label_site(home: Path) -> None:
    """Label a site whose home folder has made-up figures, unless the environment has other words."""
    if (home / "run" / FILE).exists():
        for name, value in settings(home).items():
            os.environ.setdefault(name, value)


def settings(home: Path) -> dict[str, str]:
    """Return the variables that label the site."""
    day = first_day(home)
    return {
        "SITE_NOTICE": f"Demonstration: people, cars and money are made up, and so is every figure before "
        f"{day.day} {day:%B %Y}. The jobs since then really run, on this computer.",
        "SELLER_NAME": "Driveway demonstration (made-up figures)",
        "DEFAULT_FROM_EMAIL": "Driveway demonstration <no-reply@driveway.example>",
    }
