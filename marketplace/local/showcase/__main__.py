"""`python -m marketplace.local.showcase URL`: prepare the showcase of a running site, saying what is under way.

What is there already is left alone, so it can be run again after a crash. DATABASE_OWNER_URL is for the made-up month.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import django
import httpx

from marketplace.local.embedded import REPOSITORY, home

if TYPE_CHECKING:
    from accounts.models import Organization
    from marketplace.local.demo.owner import Portal

# Owners who are paid at Stripe. The others have the first step before them.
PAID = ("carla@demo.example", "deniz@demo.example")


def main() -> int:
    """Prepare people, the made-up month, cars and payees. Return the exit code."""
    owner_url = os.environ.pop("DATABASE_OWNER_URL", "")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()
    from marketplace.local.demo import money, store
    from marketplace.local.demo.owner import Portal, PortalError
    from marketplace.local.showcase import people, sign_ins

    url = sys.argv[1]
    try:
        is_first = not sign_ins.are_known()
        cast = people.seed_people()
        money.restore_prices()  # a demo that was killed could not
        if is_first:  # else `make run` has printed them at once
            sign_ins.show(url, os.environ.get("STRIPE_API_BASE", ""))
        _history(cast.organization, owner_url)
        portals = {email: Portal.sign_in(url, email, store.password_of(email)) for email in cast.owners}
        _cars(portals, os.environ, home())
        _payees({email: portals[email] for email in PAID})
    except (PortalError, httpx.HTTPError, subprocess.CalledProcessError) as error:
        print(f"The showcase could not be prepared: {error}", file=sys.stderr)
        print(getattr(error, "stderr", "") or "", file=sys.stderr)
        return 1
    return 0


def _history(organization: "Organization", owner_url: str) -> None:
    """Make the month, in a process of its own: only there is the database's owner connected."""
    from marketplace.local.showcase.history import plan

    if plan.is_made(organization):
        return
    _say(f"A made-up month: {plan.DAYS} days before today, under every rule of the database")
    if not owner_url:
        _say("  left out: DATABASE_OWNER_URL does not name the owner of the tables")
        return
    environment = {**os.environ, "DATABASE_URL": owner_url}
    command = [sys.executable, "-m", "marketplace.local.showcase.history"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    _say(f"  {done.stdout.strip()}")


def _cars(portals: Mapping[str, "Portal"], environment: Mapping[str, str], folder: Path) -> None:
    from marketplace.local.demo import fleet
    from marketplace.local.showcase.cars import CARS, agents_folder

    _say(f"{len(CARS)} simulated cars of {len(portals)} owners")
    for spec in CARS:
        started = time.monotonic()
        car = fleet.enrol(spec, portals[spec.owner], environment, agents_folder(folder))
        _say(f"  {spec.label:<15} {car.node.hardware_class.slug}  {time.monotonic() - started:.1f} s")


def _payees(portals: Mapping[str, "Portal"]) -> None:
    """Let owners fill in Stripe's page, so that their payouts arrive."""
    from accounts.models import Owner
    from marketplace.local.demo import money

    if not os.environ.get("STRIPE_SECRET_KEY", "").startswith("sk_test_fake"):
        return
    for email, portal in portals.items():
        money.onboard(portal, Owner.objects.get(user__email=email))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
