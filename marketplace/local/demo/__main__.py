"""`make demo`. The exit code is 0 only if every check of the report holds."""

import os
import sys
import time

import django

from marketplace.local.embedded import EmbeddedError, home, read_dotenv
from marketplace.local.embedded.stack import Stack
from marketplace.local.showcase import label

FILES = 2000
# No grace and no hold days, so that the month can be closed at once. The site's processes read these when they start.
MONTH_ENDS_NOW = {"STATEMENT_GRACE_H": "0", "PAYOUT_HOLD_DAYS": "0", "PAYOUT_MIN_MICRO": "10000"}


def main() -> int:
    started = time.monotonic()
    read_dotenv()
    os.environ.update(MONTH_ENDS_NOW)
    label.label_site(home())
    try:
        with Stack() as stack:
            os.environ.update(stack.environment)
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
            django.setup()
            ok = run(stack)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\n{'Every check holds.' if ok else 'SOME CHECKS FAILED.'} {time.monotonic() - started:.0f} s in all.")
    return 0 if ok else 1


def run(stack: Stack) -> bool:
    """Run the whole demo against a running site. Django is set up by now, so its modules can be imported here."""
    from marketplace.local.demo.customer import ApiError
    from marketplace.local.demo.job import DemoError
    from marketplace.local.demo.owner import PortalError
    from marketplace.local.demo.story import run_demo

    try:
        return run_demo(stack, home(), FILES)
    except (ApiError, DemoError, PortalError) as error:
        print(f"\nThe demo had to stop: {error}", file=sys.stderr)
        print(f"Logs are in {home() / 'log'}.", file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(main())
