"""Make a throw-away owner with vehicles, work and money, erase them, and say what a search finds before and after.

Everything goes through the services that the site uses. Searched is what the site keeps (`marketplace/privacy/search.py`): the
database, sessions, stored models, inputs, results and exports, and Redis; not the files in which the local servers keep the
same, nor logs. Three searches: before, in the erasure's transaction, after.
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
from marketplace.privacy import erasure, proof, search, signed

SEARCHED = (
    "It searches what the site keeps: every table, sessions, stored models, inputs, results and exports, and Redis. It does not "
    "search logs, backups, and the files in which PostgreSQL and Redis keep what they were asked for."
)


class ErasureError(Exception):
    """The erasure was not carried out, so nothing can be said of it."""


def prove() -> tuple[str, bool]:
    """Return the report (docs/erasure-proof.md) and whether nothing was left. Raises ErasureError. Never in production."""
    report = Report()
    return report.run(), report.holds


class Report:
    """The pages' text, grown by each step."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.holds = False

    def run(self) -> str:
        """Make the owner, erase it, and return all that was written."""
        person = make(tag=secrets.token_hex(4))
        wanted = [*erasure.needles_of(person.owner), *(search.Needle("vin", vin) for vin in person.vins)]
        self._head(person)
        before = self._search("Before: where the owner is found", wanted)
        if not before.hits:
            raise ErasureError("The search finds nothing even before the erasure: it proves nothing.")
        request = self._erase(person)
        after = self._search("After: the same search", wanted)
        self._tail(request, after)
        self.holds = not after.hits
        return "\n".join(self.lines) + "\n"

    def _head(self, person: Throwaway) -> None:
        write = self.lines.append
        write("# Proof of an erasure\n")
        write(
            f"Output of `python -m benchmarks.erasure`. {SEARCHED}\n\n{measured_on()}\n\nThe owner is made up, for this run only:\n"
        )
        write(f"- e-mail `{person.user.email}`, name `{person.owner.name}`")
        write(
            f"- vehicles with the VINs {', '.join(f'`{vin}`' for vin in person.vins)}, each with an enrolled node and consents"
        )
        write(
            f"- {person.units} verified unit of work, {person.paid_micro} micro-USD earned, an export, mails, a session, a second factor, staff's words"
        )
        write(
            f"- looked for: {len(person.vins)} VINs in plain form, their keyed hashes, the address and the name; as written, as JSON, in hex, in base64, ignoring case\n"
        )

    def _search(self, title: str, wanted: list[search.Needle]) -> search.Found:
        found = search.everywhere(wanted)
        write = self.lines.append
        write(f"## {title}\n")
        write(
            f"{len(found.tables)} tables, {found.columns} columns that can hold text, {sum(found.tables.values())} rows, {found.sessions} sessions (opened), "
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
        """Asked for by the owner, its cooling-off period cut to nothing, carried out by the sweep that beat runs."""
        request = erasures.request(owner=person.owner, actor=person.user, cooling_off=timedelta(0))
        export = exports.path_of(person.export)
        if not export.exists():
            raise ErasureError("The export was not made.")
        erasure.sweep()
        last = Mail.objects.filter(user=person.user, kind="erasure-done", sent_at=None)
        last.update(dropped_at=timezone.now(), dropped_code="made_up")  # the address is nobody's
        erasure.sweep()
        request.refresh_from_db()
        if request.status != ErasureRequest.Status.DONE or export.exists():
            raise ErasureError(f"The erasure is not done: {request.status} {request.status_code}")
        return request

    def _tail(self, request: ErasureRequest, after: search.Found) -> None:
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
        write(
            f"Its Ed25519 signature over `driveway-erasure-v1\\n` and the canonical JSON holds: {proof.holds(body, request.proof_signature)}.\n"
        )
        write(f"- public key `{signed.receipt_public_key()}`\n- signature `{request.proof_signature}`\n")
        brief = {
            **body,
            "searched": {**body["searched"], "tables": f"{len(body['searched']['tables'])} tables, as above"},
        }
        write(f"```json\n{json.dumps(brief, indent=1)}\n```")
