"""The whole site as `make demo` runs it, in a folder of its own, with servers of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.scratch import FROM_OUTSIDE
from marketplace.local import embedded
from marketplace.local.embedded.stack import Stack


@contextmanager
def own_site(home: Path) -> Iterator[Stack]:
    """Yield a running Stack under `home`.

    URLs of other servers are ignored, also those in `.env`. Raises EmbeddedError.
    """
    for name in (*FROM_OUTSIDE, "DRIVEWAY_PORT"):
        os.environ.pop(name, None)
    os.environ |= {
        "DRIVEWAY_HOME": str(home),
        "DRIVEWAY_ENV": "development",
        "DRIVEWAY_NATS": "on",
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "ORT_DISABLE_TELEMETRY": "1",
        "BLOB_ROOT": str(home / "blobs"),
    }
    embedded.provide_secrets(home)
    try:
        # Set before the Stack reads `.env`, which does not override variables.
        embedded.provide(*embedded.ALL)
        os.environ["NATS_PUBLIC_URLS"] = os.environ["NATS_URL"]
        with Stack() as stack:
            yield stack
    finally:
        embedded.leave_servers()


def switch_nats(stack: Stack, *, on: bool) -> None:
    """Start NATS, or stop it while everything else continues, as if the broker was lost."""
    if on and not stack.alive()["nats"]:
        stack.restart("nats")
    elif not on and stack.alive()["nats"]:
        stack.stop("nats")
