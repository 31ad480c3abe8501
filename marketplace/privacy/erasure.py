"""Carries out erasures that are due: destroys, searches for what is left, and signs the proof.

Every step may run twice, and a crash after any of them is finished by the next sweep: what tells us whom to look for (address,
names, hashes of VINs) is destroyed only in the last step, in one transaction with the search and the proof.
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
from billing.payouts import final
from compute.models import Node
from core.errors import Conflict
from core.privacy import Erasure
from core.states import transition
from marketplace.privacy import archive, inventory, proof, search

logger = logging.getLogger(__name__)
LAST_MAIL_WAIT = timedelta(days=1)  # an address that takes no mail does not hold up its own destruction


class Residue(Exception):
    """The search found something: nothing of the last step is committed, and an operator must look."""


def sweep() -> int:
    """Carry out every erasure that is due. One that fails is logged and tried again by the next sweep. Returns how many were done."""
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
    """Those who are owed money wait for their last payout, which is begun here if nobody has asked for it."""
    for request in erasures.settle_waits(is_owed=final.is_owed(), now=now):
        with contextlib.suppress(Conflict):  # nowhere to pay it to, or nothing but what is on its way
            final.start(owner=request.owner, actor=None)


def erase(*, request: ErasureRequest, also: tuple[str, ...] = ()) -> bool:
    """Run the steps. False while the last mail is still going out. `also` are further texts that the search must not find.

    Raises Residue when something is left that should not be.
    """
    owner = request.owner
    if not last_mail_went(request):
        return False
    for step in STEPS:
        step(owner)
    return finish(request, also)


def last_mail_went(request: ErasureRequest) -> bool:
    """The owner is told, while there still is an address; waits for the outbox, but not for ever."""
    user, key = request.owner.user, f"erasure-done:{request.pk}"
    outbox.queue(user=user, kind="erasure-done", dedupe_key=key, context={"erasure": str(request.public_id)})
    mail = Mail.objects.get(dedupe_key=key)
    return bool(mail.sent_at or mail.dropped_at or timezone.now() - mail.created_at > LAST_MAIL_WAIT)


def retire_vehicles(owner: Owner) -> None:
    for vehicle in Vehicle.objects.for_owner(owner):
        vehicles.retire(vehicle=vehicle, actor=None, code="erased")


def destroy_exports(owner: Owner) -> None:
    """Waits for an export that is being made, then deletes its file with the others, and what a killed worker left of one."""
    DataExport.objects.filter(owner=owner, status=DataExport.Status.REQUESTED).update(
        status=DataExport.Status.FAILED, status_code="erased"
    )
    exports.expire(owner=owner)
    for export in owner.exports.all():
        exports.path_of(export).unlink(missing_ok=True)
    archive.remove_unfinished(owner)


# The category of a reason, without the words (the database allows this change and no other).
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
    """Whom to look for, read from the rows that are about to be blanked."""
    user = owner.user
    addresses = set(user.emailaddress_set.values_list("email", flat=True)) | {user.email}  # type: ignore[attr-defined] # allauth's reverse
    hashes = Vehicle.objects.filter(owner=owner).exclude(vin_hash="").values_list("vin_hash", flat=True)
    return search.needles(emails=addresses, names={owner.name, user.name}, vins={*hashes, *also})


@transaction.atomic
def finish(request: ErasureRequest, also: tuple[str, ...] = ()) -> bool:
    """Destroy the person, look everywhere, sign the proof: all of it or nothing. False when it was done, or is being done."""
    # The owner's row first, as everywhere: nobody asks for another export meanwhile, and what came before the lock goes too.
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
    found = search.everywhere(looked_for)
    namesakes = others(owner, looked_for, found)
    body = proof.compose(request=row, destroyed=destroyed, looked_for=looked_for, found=found, namesakes=namesakes)
    transition(row, ErasureRequest.Status.DONE, ended_at=timezone.now(), proof=body, proof_signature=proof.sign(body))
    return True


def destroy_sessions(user: User, looked_for: list[search.Needle]) -> int:
    """Every session of the person's, and any other that holds their address. Sessions are compressed: each is opened.

    Not by name: somebody called "password" would sign everybody out.
    """
    doomed, looked_for = [], [needle for needle in looked_for if needle.kind != "name"]
    for session in Session.objects.iterator(chunk_size=500):
        content = session.get_decoded()
        if content.get("_auth_user_id") == str(user.pk) or search.mentions(str(content), looked_for):
            doomed.append(session.pk)
    Session.objects.filter(pk__in=doomed).delete()
    return len(doomed)


def scrub_trails(owner: Owner, looked_for: list[search.Needle]) -> dict[str, int]:
    """Words in trails that must stay: about this owner, by this owner, or mentioning them anywhere."""
    ids = subjects_of(owner)
    audited = AuditEvent.objects.exclude(details={}).exclude(details={"erased": True})
    audited = audited.filter(Q(subject__in=ids) | Q(actor=owner.user) | _mentioned("details", looked_for))
    looks = AccessEvent.objects.filter(kind=AccessEvent.Kind.STAFF_READ).exclude(reason__endswith=": (erased)")
    looks = looks.filter(Q(owner=owner) | _mentioned("reason", looked_for))
    entries = LogEntry.objects.exclude(object_repr="(erased)").filter(
        _entries_about(owner) | _mentioned("object_repr", looked_for) | _mentioned("change_message", looked_for)
    )
    scrubbed = {
        "accounts_auditevent": audited.update(details={"erased": True}),
        "accounts_accessevent": looks.update(reason=CATEGORY_ONLY),
        "django_admin_log": entries.update(object_repr="(erased)", change_message=""),
    }
    return {table: count for table, count in scrubbed.items() if count}


def subjects_of(owner: Owner) -> list[str]:
    """Ids by which the trail names the owner, their vehicles and nodes."""
    ids = [owner.public_id, *Vehicle.objects.filter(owner=owner).values_list("public_id", flat=True)]
    ids += Node.objects.filter(vehicle__owner=owner).values_list("public_id", flat=True)
    return [str(public_id) for public_id in ids]


def destroy_rows(owner: Owner) -> dict[str, int]:
    """Execute the inventory: what it says is deleted is deleted, what it says is emptied is overwritten. Rows by table."""
    destroyed: dict[str, int] = {}
    deleted = [table for table in inventory.TABLES if table.erasure is Erasure.DELETE]
    for table in sorted(deleted, key=lambda table: table.owner.count("__"), reverse=True):  # what hangs on others first
        rows = inventory.rows(table, owner)
        destroyed[inventory.table_name(table)] = rows._raw_delete(rows.db)
    emptied = [table for table in inventory.TABLES if table.erasure is Erasure.BLANK]
    for table in sorted(emptied, key=lambda table: table.model == "accounts.Owner"):  # afterwards the owner is for good
        rows = type_of(table).objects.filter(pk__in=list(inventory.rows(table, owner).values_list("pk", flat=True)))
        destroyed[inventory.table_name(table)] = rows.update(**blanks_of(table, owner))
    return {name: count for name, count in destroyed.items() if count}


def blanks_of(table: Any, owner: Owner) -> dict[str, Any]:
    """The inventory's, with an address that cannot exist (it must be unique), and the moment of the erasure."""
    values = dict(table.blanks)
    if table.model == "accounts.User":
        values["email"] = f"erased-{owner.user_id}@erased.invalid"
    if table.model == "accounts.Owner":
        values["erased_at"] = timezone.now()
    return values


def type_of(table: Any) -> Any:
    return inventory.model_of(table)


def others(owner: Owner, looked_for: list[search.Needle], found: search.Found) -> dict[str, int]:
    """Rows elsewhere that hold the same name or address. Raises Residue for the rest.

    Others are called so too, and what others wrote in rows of their own (a customer's name of a job) is theirs, and holds up
    nobody's erasure: such rows are counted in the proof. Anything in a row about this owner is residue, so is an address in
    a session, an export or the cache, and a VIN anywhere. Customers' files are theirs: a match there is counted.
    """
    namesakes: dict[str, int] = {}
    for (place, kind), rows in found.hits.items():
        of_kind = [needle for needle in looked_for if needle.kind == kind]
        theirs = kind == "name" or (kind == "email" and place in found.tables)
        elsewhere = theirs and not _about(owner, place, of_kind)
        if place != search.CUSTOMERS_FILES and not elsewhere:
            raise Residue(f"{rows} with {kind} in {place}")
        namesakes[place] = namesakes.get(place, 0) + rows
    return namesakes


def _about(owner: Owner, table_name: str, looked_for: list[search.Needle]) -> int:
    tables = [table for table in inventory.TABLES if inventory.table_name(table) == table_name]
    return sum(search.in_rows(table_name, inventory.rows(table, owner), looked_for) for table in tables)


def _mentioned(column: str, looked_for: list[search.Needle]) -> Q:
    found = Q(pk__in=[])
    for needle in looked_for:
        lookup, text = ("icontains", needle.text) if needle.kind == "vin" else ("iregex", needle.pattern)
        found |= Q(**{f"{column}__{lookup}": text})
    return found


def _entries_about(owner: Owner) -> Q:
    """Django's log of what staff did in the back office, where it names this owner's own rows."""
    found = Q(pk__in=[])
    for label in ("accounts.Owner", "accounts.User", "accounts.Vehicle", "compute.Node"):
        table = next(table for table in inventory.TABLES if table.model == label)
        model = inventory.model_of(table)
        ids = [str(pk) for pk in inventory.rows(table, owner).values_list("pk", flat=True)]
        found |= Q(
            content_type__app_label=model._meta.app_label, content_type__model=model._meta.model_name, object_id__in=ids
        )
    return found
