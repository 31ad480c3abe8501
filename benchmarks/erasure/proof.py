"""Create a made-up owner with vehicles, work and money, erase them, and report what a search finds before and after.

Everything goes through the services that the site uses. The search covers what the site stores
(`marketplace/privacy/search.py`): the database, sessions, stored models, inputs, results and exports, and Redis. It
does not cover logs and the data files of the local servers. There are three searches: before, within the erasure's
transaction, and after.
"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta

from django.utils import timezone

from accounts.models import ErasureRequest, Mail
from accounts.owners import erasures, exports
from benchmarks.erasure.owner import Throwaway, make
from billing.ledger import posting
from core.commit import measured_on
from marketplace.privacy import erasure, proof, search, signed_files

SEARCHED = (
    "It searches everything that the site stores: every table, sessions, stored models, inputs, results and exports, "
    "and "
    "Redis. It does not search logs, backups, and the data files of PostgreSQL and Redis, whose content it searches "
    "through queries."
)


class ErasureError(Exception):
    """The erasure was not carried out, so the report would prove nothing."""


def prove() -> tuple[str, bool]:
    """Return the report (docs/erasure-proof.md) and whether nothing was left.

    Raises ErasureError. Not for production.
    """
    report = Report()
    return report.run(), report.holds


class Report:
    """The text of the report, to which each step adds lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.holds = False

    def run(self) -> str:
        """Create the owner, erase it, and return the report."""
        person = make(tag=secrets.token_hex(4))
        needles = [*erasure.needles_of(person.owner), *(search.Needle("vin", vin) for vin in person.vins)]
        self._head(person)
        before = self._search("Before: where the owner is found", needles)
        if not before.hits:
            raise ErasureError("The search finds nothing even before the erasure: it proves nothing.")
        request = self._erase(person)
        after = self._search("After: the same search", needles)
        self._tail(request, after)
        self.holds = not after.hits
        return "\n".join(self.lines) + "\n"

    def _head(self, person: Throwaway) -> None:
        write = self.lines.append
        write("# Proof of an erasure\n")
        write(f"Output of `python -m benchmarks.erasure`. {SEARCHED}\n\n{measured_on()}\n")
        write("The owner is made up, for this run only:\n")
        write(f"- e-mail `{person.user.email}`, name `{person.owner.name}`")
        vins = ", ".join(f"`{vin}`" for vin in person.vins)
        write(f"- vehicles with the VINs {vins}, each with an enrolled node and consents")
        write(
            f"- {person.units} verified unit of work, {person.paid_micro} micro-USD earned, an export, mails, a "
            "session, a second factor, notes of staff"
        )
        write(
            f"- searched for: {len(person.vins)} VINs in plain form, their keyed hashes, the address and the name; "
            "as written, as JSON, in hex, in base64, ignoring case\n"
        )

    def _search(self, title: str, needles: list[search.Needle]) -> search.SearchResult:
        found = search.search_everywhere(needles)
        write = self.lines.append
        write(f"## {title}\n")
        write(
            f"{len(found.tables)} tables, {found.columns} columns that can hold text, {sum(found.tables.values())} "
            f"rows, {found.sessions} sessions (decoded), "
            f"{found.files} files ({found.file_bytes} bytes), {found.cache_entries} entries of Redis.\n"
        )
        if not found.hits:
            write("Found: **nothing**.\n")
            return found
        write("| where | kind | rows |\n|--|--|--|")
        for (place, kind), rows in sorted(found.hits.items()):
            write(f"| {place} | {kind} | {rows} |")
        write("")
        return found

    def _erase(self, person: Throwaway) -> ErasureRequest:
        """Let the owner ask for the erasure, without a cooling-off period, and let beat's sweep carry it out."""
        request = erasures.request(owner=person.owner, actor=person.user, cooling_off=timedelta(0))
        export = exports.path_of(person.export)
        if not export.exists():
            raise ErasureError("The export was not made.")
        erasure.sweep()
        # The address does not exist, so the last mail cannot be sent: drop it, as the outbox would after its retries.
        last_mail = Mail.objects.filter(user=person.user, kind="erasure-done", sent_at=None)
        last_mail.update(dropped_at=timezone.now(), dropped_code="made_up")
        erasure.sweep()
        request.refresh_from_db()
        if request.status != ErasureRequest.Status.DONE or export.exists():
            raise ErasureError(f"The erasure is not done: {request.status} {request.status_code}")
        return request

    def _tail(self, request: ErasureRequest, after: search.SearchResult) -> None:
        write, body = self.lines.append, request.proof or {}
        write("## What was destroyed\n\n| table | rows |\n|--|--|")
        for table, rows in body["destroyed"].items():
            write(f"| {table} | {rows} |")
        write("\n## What is kept, and why\n\n| table | rows | why |\n|--|--|--|")
        for table, entry in body["kept"].items():
            write(f"| {table} | {entry['rows']} | {entry['why']} |")
        write(f"\nThe ledger, recomputed: {len(posting.recompute())} differences.\n")
        write("## The tables that were searched\n\n| table | rows |\n|--|--|")
        for table, rows in after.tables.items():
            write(f"| {table} | {rows} |")
        write("\n## The signed proof\n")
        is_valid = proof.is_genuine(body, request.proof_signature)
        write(f"Its Ed25519 signature over `driveway-erasure-v1\\n` and the canonical JSON is valid: {is_valid}.\n")
        write(f"- public key `{signed_files.receipt_public_key()}`\n- signature `{request.proof_signature}`\n")
        brief = {
            **body,
            "searched": {**body["searched"], "tables": f"{len(body['searched']['tables'])} tables, as above"},
        }
        write(f"```json\n{json.dumps(brief, indent=1)}\n```")
