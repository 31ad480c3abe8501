"""`python -m marketplace.local`: the whole site with life in it, until Ctrl-C. `make run` is this.

This process only supervises: it starts the servers and the site's processes, then the program that prepares the
showcase, then cars and customer, and starts again whatever ends by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from marketplace.local.embedded import EmbeddedError, home, read_dotenv
from marketplace.local.embedded.children import ChildSpec
from marketplace.local.embedded.stack import Stack
from marketplace.local.showcase import cars, label, sign_ins

SHOWCASE = "showcase"
# With one of these set, the site runs on a server that is not its own: nobody makes people up there, or pays by card.
FOREIGN = ("DATABASE_URL", "STRIPE_SECRET_KEY")


def main(bring_up: Callable[[Stack], Callable[[], None]] | None = None) -> int:
    """Run the site. Exit code 0 after Ctrl-C or SIGTERM, 1 when something could not be started or kept ending.

    `bring_up` starts what lives in the site, and returns what is to be called twice a second. Without it that is the
    showcase, but only on servers of the site's own.
    """
    read_dotenv()
    foreign = [name for name in FOREIGN if os.environ.get(name)]
    if not foreign:
        label.first_day(home())
    label.label_site(home())
    try:
        with Stack() as stack:
            print(f"\nDriveway runs at {stack.url}  (Ctrl-C stops it).", flush=True)
            if foreign and not bring_up:
                print(f"It has no made-up people and jobs, because {' and '.join(foreign)} is set.", flush=True)
                stack.keep_up()
            stack.keep_up((bring_up or showcase)(stack))
    except KeyboardInterrupt:
        return 0
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def showcase(stack: Stack) -> Callable[[], None]:
    """Start the program that prepares people, history and cars; when it is done, start cars and customer."""
    print("People, cars and jobs follow.", flush=True)
    if sign_ins.are_known():
        sign_ins.show(stack.url, stack.environment.get("STRIPE_API_BASE", ""))
    # Only this process of the site's knows who owns the tables.
    owner = {"DATABASE_OWNER_URL": os.environ.get("DATABASE_OWNER_URL", "")}
    arguments = ("-m", "marketplace.local.showcase", stack.url)
    stack.add(ChildSpec(SHOWCASE, arguments, environment={**stack.environment, **owner}, speaks=True, once=True))
    waiting = [
        *cars.agents(stack.home, stack.url, stack.environment),
        ChildSpec("customer", ("-m", "marketplace.local.showcase.orders", stack.url), environment=stack.environment),
    ]

    def look() -> None:
        if waiting and stack.has_done(SHOWCASE):
            for spec in waiting:
                stack.add(spec)
            waiting.clear()
            print("\nThe cars are on, and the customer orders a small job about once a minute.\n", flush=True)

    return look


if __name__ == "__main__":
    sys.exit(main())
