"""`python -m marketplace.embedded`: the whole site, until Ctrl-C. `make run` is this."""

from __future__ import annotations

import sys

from marketplace.embedded import EmbeddedError
from marketplace.embedded.stack import Stack


def main() -> int:
    """Run the site. Exit code 0 after Ctrl-C or SIGTERM, 1 when something failed to start or ended."""
    try:
        with Stack() as stack:
            print(f"\nDriveway runs at {stack.url}  (Ctrl-C stops it)\n", flush=True)
            stack.wait()
    except KeyboardInterrupt:
        return 0
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
