"""Carry out erasures that are due: destroy the data, search for anything left, and sign the proof.

Every step may run twice, and the next sweep continues after a crash. That works because the rows that tell us what to
search for (addresses, names, hashes of VINs) are destroyed only in the last step, in one transaction with the search
and the proof.
"""

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import CharField, F, Func, Q, Value
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import AccessEvent, AuditEvent, DataExport, ErasureRequest, Mail, Owner, User, Vehicle
from accounts.owners import erasures, exports
from accounts.vehicles import vehicles
from billing.payouts import final_payouts
from compute.models import Node
from core.errors import Conflict
from core.privacy import Erasure
from core.states import transition
from marketplace.privacy import archive, inventory, proof, search

logger = logging.getLogger(__name__)
LAST_MAIL_WAIT = timedelta(days=1)  # an address that accepts no mail must not delay its own destruction any longer


class Residue(Exception):
    """Something about the person was left after the destruction.

    The last step is rolled back and an operator must look.
    """


def sweep() -> int:
    """Carry out every erasure that is due and return how many were completed.

    One that fails is logged, marked `unfinished`, and tried again by the next sweep.
    """
    now, done = timezone.now(), 0
    pay_first(now)
    for request in erasures.due(now=now):
        try:
            done += erase(request=request)
        except Exception:
            logger.exception("erasure %s is not finished", request.public_id)
            ErasureRequest.objects.filter(pk=request.pk, status="scheduled").update(status_code=erasures.UNFINISHED)
    return done


def pay_first(now: datetime) -> None:
    """Start the last payout for every due erasure whose owner is owed money. The erasure waits until it arrives."""
    for request in erasures.settle_waits(is_owed=final_payouts.owed_condition(), now=now):
        with contextlib.suppress(Conflict):  # no payout account to pay to, or all that is owed is already on its way
            final_payouts.start(owner=request.owner, actor=None)


def erase(*, request: ErasureRequest, also: tuple[str, ...] = ()) -> bool:
    """Run all steps of one erasure. Return False while its last mail is still waiting in the outbox.

    `also` are further texts that must not be found, searched for like VINs. Raises Residue if anything is left.
    """
    owner = request.owner
    if not send_last_mail(request):
        return False
    for step in STEPS:
        step(owner)
    return finish(request, also)


def send_last_mail(request: ErasureRequest) -> bool:
    """Queue the mail that announces the erasure, while the address still exists. Return whether the erasure may continue.

    It may continue once the mail is sent or dropped, or has waited for LAST_MAIL_WAIT.
    """
    user, key = request.owner.user, f"erasure-done:{request.pk}"
    outbox.queue(user=user, kind="erasure-done", dedupe_key=key, context={"erasure": str(request.public_id)})
    mail = Mail.objects.get(dedupe_key=key)
    return bool(mail.sent_at or mail.dropped_at or timezone.now() - mail.created_at > LAST_MAIL_WAIT)


def retire_vehicles(owner: Owner) -> None:
    """Retire every vehicle of the owner, which ends its consents and its computer's access."""
    for vehicle in Vehicle.objects.for_owner(owner):
        vehicles.retire(vehicle=vehicle, actor=None, code="erased")


def destroy_exports(owner: Owner) -> None:
    """Delete every export of the owner, and the unfinished files of a killed worker.

    The first update waits for the row lock of an export that is being written, so that its file is deleted as well.
    """
    DataExport.objects.filter(owner=owner, status=DataExport.Status.REQUESTED).update(
        status=DataExport.Status.FAILED, status_code="erased"
    )
    exports.expire(owner=owner)
    for export in owner.exports.all():
        exports.path_of(export).unlink(missing_ok=True)
    archive.remove_unfinished(owner)


# SQL that keeps the category of a reason and replaces the words after it. A trigger allows this change and no other.
CATEGORY_ONLY = Func(
    F("reason"),
    Value(":"),
    Value(1),
    function="split_part",
    output_field=CharField(),
    template="%(function)s(%(expressions)s) || ': (erased)'",
)

STEPS: tuple[Callable[[Owner], None], ...] = (retire_vehicles, destroy_exports)


def needles_of(owner: Owner, also: tuple[str, ...] = ()) -> list[search.Needle]:
    """Return what to search for: addresses, names and VIN hashes, read from the rows that are about to be emptied."""
    user = owner.user
    # `emailaddress_set` is allauth's reverse relation, which mypy does not know.
    addresses = set(user.emailaddress_set.values_list("email", flat=True)) | {user.email}  # type: ignore[attr-defined]
    hashes = Vehicle.objects.filter(owner=owner).exclude(vin_hash="").values_list("vin_hash", flat=True)
    return search.needles(emails=addresses, names={owner.name, user.name}, vins={*hashes, *also})


@transaction.atomic
def finish(request: ErasureRequest, also: tuple[str, ...] = ()) -> bool:
    """Destroy the personal data, search everywhere and sign the proof, in one transaction.

    Returns False if the erasure is done already, or another worker is carrying it out. Raises Residue.
    """
    # Lock order: the owner first, as everywhere. Under this lock nobody can ask for another export, and an export that
    # was asked for before it is destroyed below.
    if not Owner.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=request.owner_id).exists():
        return False
    locked = ErasureRequest.objects.select_for_update(skip_locked=True, of=["self"]).filter(pk=request.pk)
    row = locked.filter(status=ErasureRequest.Status.SCHEDULED).select_related("owner__user").first()
    if row is None:
        return False
    owner = row.owner
    destroy_exports(owner)
    looked_for = needles_of(owner, also)
    destroyed = {"sessions": destroy_sessions(owner.user, looked_for), **scrub_trails(owner, looked_for)}
    audit.record(actor=None, action="erasure.done", subject=owner.public_id)
    destroyed |= destroy_rows(owner)
    found = search.search_everywhere(looked_for)
    namesakes = count_namesakes(owner, looked_for, found)
    body = proof.compose(request=row, destroyed=destroyed, looked_for=looked_for, found=found, namesakes=namesakes)
    transition(row, ErasureRequest.Status.DONE, ended_at=timezone.now(), proof=body, proof_signature=proof.sign(body))
    return True


def destroy_sessions(user: User, looked_for: list[search.Needle]) -> int:
    """Delete the person's sessions, and any other session that holds their address. Return how many.

    Session data is compressed, so each session is decoded. Names are not looked for: the erasure of somebody called
    "password" would sign everybody out.
    """
    session_keys, looked_for = [], [needle for needle in looked_for if needle.kind != "name"]
    for session in Session.objects.iterator(chunk_size=500):
        content = session.get_decoded()
        if content.get("_auth_user_id") == str(user.pk) or search.mentions(str(content), looked_for):
            session_keys.append(session.pk)
    Session.objects.filter(pk__in=session_keys).delete()
    return len(session_keys)


def scrub_trails(owner: Owner, looked_for: list[search.Needle]) -> dict[str, int]:
    """Remove free text from trails whose rows must stay: rows about this owner, by this owner, or that mention them.

    Returns the rows changed, by table.
    """
    ids = subjects_of(owner)
    audited = AuditEvent.objects.exclude(details={}).exclude(details={"erased": True})
    audited = audited.filter(Q(subject__in=ids) | Q(actor=owner.user) | _mentioned("details", looked_for))
    reads = AccessEvent.objects.filter(kind=AccessEvent.Kind.STAFF_READ).exclude(reason__endswith=": (erased)")
    reads = reads.filter(Q(owner=owner) | _mentioned("reason", looked_for))
    entries = LogEntry.objects.exclude(object_repr="(erased)").filter(
        _entries_about(owner) | _mentioned("object_repr", looked_for) | _mentioned("change_message", looked_for)
    )
    scrubbed = {
        "accounts_auditevent": audited.update(details={"erased": True}),
        "accounts_accessevent": reads.update(reason=CATEGORY_ONLY),
        "django_admin_log": entries.update(object_repr="(erased)", change_message=""),
    }
    return {table: count for table, count in scrubbed.items() if count}


def subjects_of(owner: Owner) -> list[str]:
    """Return the ids by which the audit trail names the owner, their vehicles and their nodes."""
    ids = [owner.public_id, *Vehicle.objects.filter(owner=owner).values_list("public_id", flat=True)]
    ids += Node.objects.filter(vehicle__owner=owner).values_list("public_id", flat=True)
    return [str(public_id) for public_id in ids]


def destroy_rows(owner: Owner) -> dict[str, int]:
    """Carry out the inventory: delete the rows it says to delete, overwrite the columns it says to empty.

    Returns the rows destroyed, by table.
    """
    destroyed: dict[str, int] = {}
    deleted = [table for table in inventory.TABLES if table.erasure is Erasure.DELETE]
    # Rows that are further from the owner refer to nearer ones, so they go first.
    for table in sorted(deleted, key=lambda table: table.owner.count("__"), reverse=True):
        rows = inventory.rows(table, owner)
        destroyed[inventory.table_name(table)] = rows._raw_delete(rows.db)
    emptied = [table for table in inventory.TABLES if table.erasure is Erasure.BLANK]
    # The Owner row comes last: once it is marked as erased, it can never change again.
    for table in sorted(emptied, key=lambda table: table.model == "accounts.Owner"):
        rows = type_of(table).objects.filter(pk__in=list(inventory.rows(table, owner).values_list("pk", flat=True)))
        destroyed[inventory.table_name(table)] = rows.update(**blanks_of(table, owner))
    return {name: count for name, count in destroyed.items() if count}


def blanks_of(table: Any, owner: Owner) -> dict[str, Any]:
    """Return the inventory's values for emptied columns.

    A user also gets a unique address that cannot exist, an owner `erased_at`.
    """
    values = dict(table.blanks)
    if table.model == "accounts.User":
        values["email"] = f"erased-{owner.user_id}@erased.invalid"
    if table.model == "accounts.Owner":
        values["erased_at"] = timezone.now()
    return values


def type_of(table: Any) -> Any:
    """Return the model of a table, untyped, for `objects`."""
    return inventory.model_of(table)


def count_namesakes(owner: Owner, looked_for: list[search.Needle], found: search.SearchResult) -> dict[str, int]:
    """Return the number of matches that belong to other people, by place. Raises Residue for any other match.

    Other people may have the same name, and text that they wrote in rows of their own (a customer's name of a job) is
    theirs: these matches are counted in the proof and do not stop the erasure. So is a match in customers' files.
    Residue is a match in a row about this owner, an address in a session, an export or the cache, and a VIN anywhere
    but in customers' files.
    """
    namesakes: dict[str, int] = {}
    for (place, kind), rows in found.hits.items():
        of_kind = [needle for needle in looked_for if needle.kind == kind]
        may_be_others = kind == "name" or (kind == "email" and place in found.tables)
        is_others = may_be_others and not _about(owner, place, of_kind)
        if place != search.CUSTOMERS_FILES and not is_others:
            raise Residue(f"{rows} with {kind} in {place}")
        namesakes[place] = namesakes.get(place, 0) + rows
    return namesakes


def _about(owner: Owner, table_name: str, looked_for: list[search.Needle]) -> int:
    """Return how many of the owner's own rows in a table match."""
    tables = [table for table in inventory.TABLES if inventory.table_name(table) == table_name]
    return sum(search.count_rows(table_name, inventory.rows(table, owner), looked_for) for table in tables)


def _mentioned(column: str, looked_for: list[search.Needle]) -> Q:
    """Return a condition for rows whose column holds any of the needles."""
    condition = Q(pk__in=[])
    for needle in looked_for:
        lookup, text = ("icontains", needle.text) if needle.kind == "vin" else ("iregex", needle.pattern)
        condition |= Q(**{f"{column}__{lookup}": text})
    return condition


def _entries_about(owner: Owner) -> Q:
    """Return a condition for entries of Django's admin log about the owner's own rows."""
    condition = Q(pk__in=[])
    for label in ("accounts.Owner", "accounts.User", "accounts.Vehicle", "compute.Node"):
        table = next(table for table in inventory.TABLES if table.model == label)
        model = inventory.model_of(table)
        ids = [str(pk) for pk in inventory.rows(table, owner).values_list("pk", flat=True)]
        condition |= Q(
            content_type__app_label=model._meta.app_label, content_type__model=model._meta.model_name, object_id__in=ids
        )
    return condition
