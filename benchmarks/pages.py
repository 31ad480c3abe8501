"""`python -m benchmarks.pages [--check]`: mark pages whose measured figures are older than the code that they measure.

A figure is followed, or its page headed, by a line with "Measured on commit <id> (<date>)." (`core.commit`). Below it
stands the line STALE while code that it measures differs from that commit. Without --check this command adds or removes
that line.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence

from marketplace.local.embedded import REPOSITORY

MEASURED = re.compile(r"Measured on commit `?([0-9a-f]{7,40}(?:-dirty)?|unknown)\b")
STALE = "The code it measures has changed since: run the command again for today's figures."

LEDGER = ("billing/ledger/posting.py", "billing/models/ledger.py", "billing/migrations", "billing/rules")
MONTH = (
    *LEDGER,
    "billing/orders/settlement.py",
    "billing/statements/statements.py",
    "billing/statements/sql.py",
)
WORK = (
    *("compute/dispatch", "compute/jobs", "compute/nodes", "compute/sync", "compute/link"),
    *("compute/protocol.py", "compute/migrations", "compute/rules"),
)
CONSENT = ("accounts/consents/consents.py", "accounts/migrations", "accounts/rules")
PRIVACY = (
    "accounts/privacy/tables.py",
    "billing/privacy/tables.py",
    "compute/privacy/tables.py",
    "marketplace/privacy",
)

# Page -> the paths that each of its figures measures, in the order of the lines that name their commits.
PAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "benchmarks/README.md": ((*WORK, "billing/orders/settlement.py", "benchmarks/dispatch"),),
    "docs/consent-race.md": (
        (*CONSENT, *WORK, "benchmarks/consent_race", "tests/compute/dispatch/test_consent_race.py"),
    ),
    "docs/operations.md": (("Makefile", "tests"),),
    "docs/demo.md": (("accounts", "billing", "compute", "core", "marketplace"),),
    "docs/erasure-proof.md": ((*PRIVACY, "accounts/migrations", "billing/migrations", "compute/migrations"),),
    "docs/ledger-speed.md": ((*LEDGER, "benchmarks/ledger", "requirements/peer-hordak.txt"),),
    "docs/settlement-speed.md": (
        (*MONTH, "billing/invoices/invoices.py", "billing/ledger/checks", "benchmarks/settlement"),
    ),
    "docs/statement-speed.md": ((*MONTH, "billing/ledger/checks", "benchmarks/statements"),),
    "docs/withdrawal.md": ((*CONSENT, *WORK, "compute/agent", "accounts/views", "benchmarks/withdrawal"),),
}
# Pages of docs/ without measured figures.
WITHOUT_FIGURES = (
    "docs/architecture.md",
    "docs/features.md",
    "docs/glossary.md",
    "docs/metering.md",
    "docs/vehicles.md",
)


class PageError(Exception):
    """A page cannot be compared with its code; the message says why and what to do."""


def refreshed(page: str) -> str:
    """Return the page's text with STALE where it belongs and nowhere else. Raises PageError."""
    lines, measured = [], iter(PAGES[page])
    for line in (REPOSITORY / page).read_text().splitlines(keepends=True):
        if line.removeprefix("- ").strip() == STALE:
            continue
        lines.append(line)
        if found := MEASURED.search(line):
            paths = next(measured, ())
            if not paths:
                raise PageError(f"{page} names more commits than PAGES in benchmarks/pages.py lists figures for it.")
            if has_changed(page, found[1], paths):
                lines.append(f"{line[: found.start()]}{STALE}\n")
    if next(measured, ()):
        raise PageError(f'{page}: a figure has no line "Measured on commit <id> (<date>)."')
    return "".join(lines)


def has_changed(page: str, commit: str, paths: Sequence[str]) -> bool:
    """Return whether the paths, as they are in the working tree, differ from the commit. Raises PageError."""
    if missing := [path for path in paths if not (REPOSITORY / path).exists()]:
        raise PageError(
            f"{page} measures {', '.join(missing)}, which does not exist: correct PAGES in benchmarks/pages.py."
        )
    if not re.fullmatch("[0-9a-f]+", commit):
        raise PageError(f"{page} was measured on code that was never committed ({commit}): commit, and measure again.")
    if _git("cat-file", "-e", f"{commit}^{{commit}}"):
        raise PageError(
            f"{page}: this checkout does not have commit {commit}. If it is a shallow clone, `git fetch --unshallow` "
            "brings the history; if the commit was never pushed, measure again."
        )
    return _git("diff", "--quiet", commit, "--", *paths) != 0


def _git(*arguments: str) -> int:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False).returncode


def main() -> int:
    """Check or rewrite every page and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page has to be changed")
    check, code = parser.parse_args().check, 0
    for page in PAGES:
        try:
            text = refreshed(page)
        except PageError as error:
            print(error, file=sys.stderr)
            code = 1
            continue
        is_right = text == (REPOSITORY / page).read_text()
        age = "older than its code" if STALE in text else "as new as its code"
        print(f"{page}: {age}{'' if is_right else ', but the page says otherwise'}")
        if not is_right and check:
            code = 1
        elif not is_right:
            (REPOSITORY / page).write_text(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
