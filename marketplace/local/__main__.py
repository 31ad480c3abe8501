"""`python -m marketplace.local`: the whole site with demo logins, until Ctrl-C. `make run` is this."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import django

from marketplace.local.embedded import EmbeddedError
from marketplace.local.embedded.stack import Stack


def main(logins: Callable[[], list[str]] | None = None) -> int:
    """Run the site and print what `logins` says. Exit code 0 after Ctrl-C or SIGTERM, 1 when something failed or ended."""
    try:
        with Stack() as stack:
            os.environ.update(stack.environment)
            print(f"\nDriveway runs at {stack.url}  (Ctrl-C stops it)\n")
            for line in (logins or demo_logins)():
                print(f"  {line}")
            print(flush=True)
            stack.wait()
    except KeyboardInterrupt:
        return 0
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def demo_logins() -> list[str]:
    """Made-up people, made on first use; their passwords stay the same."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()
    from marketplace.local.demo.seed import seed  # needs Django to be set up

    people = seed()
    return [*people.lines(), f"API key of the customer: {people.api_key}"]


if __name__ == "__main__":
    sys.exit(main())
