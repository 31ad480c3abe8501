"""Erasure: requested, cancelled, carried out. Nothing of the person is left, and the proof says so."""

import json
from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.access import trail as access
from accounts.models import (
    AccessEvent,
    AuditEvent,
    ConsentCurrent,
    ConsentRecord,
    ErasureRequest,
    Mail,
    Owner,
    User,
    Vehicle,
)
from accounts.owners import erasures, exports, registration
from benchmarks.erasure.proof import prove
from billing.ledger import posting
from billing.models import LedgerTransfer
from compute import blobs
from compute.models import AvailabilitySpan, HealthDay, MeterRecord, Node
from core.errors import Conflict, NotFound
from core.privacy import Erasure
from marketplace.privacy import archive, erasure, inventory, proof, search
from tests import factories
from tests.marketplace.privacy.conftest import EMAIL, NAME, VIN, last_mail_sent

pytestmark = pytest.mark.django_db


def request(person) -> ErasureRequest:
    return erasures.request(owner=person.owner, actor=person.user)


def due(row) -> ErasureRequest:
    ErasureRequest.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(hours=1))
    row.refresh_from_db()
    return row


def carried_out(person) -> ErasureRequest:
    row = due(request(person))
    assert erasure.sweep() == 0  # the last mail has not been sent yet
    last_mail_sent()
    assert erasure.sweep() == 1
    row.refresh_from_db()
    return row


def looked_for(person):
    return [*erasure.needles_of(person.owner), search.Needle("vin", VIN)]


# --- request and cancellation -----------------------------------------------------------------------------------------


def test_asking_withdraws_every_consent_at_once(zenobia):
    row = request(zenobia)
    assert not ConsentCurrent.objects.filter(owner=zenobia.owner, state__in=["given", "renewed"]).exists()
    assert not AvailabilitySpan.objects.exists()
    assert not HealthDay.objects.exists()
    assert Vehicle.objects.get(pk=zenobia.vehicle.pk).region == ""
    assert row.due_at - row.created_at > timedelta(days=6, hours=23)
    assert Mail.objects.filter(kind="erasure-scheduled").count() == 1
    with pytest.raises(Exception, match="is closed"), transaction.atomic():
        factories.decide(zenobia.vehicle, "given")


def test_asking_twice_is_one_request(zenobia):
    assert request(zenobia) == request(zenobia)


def test_taking_it_back_opens_the_account_and_gives_no_consent_back(zenobia):
    row = request(zenobia)
    assert erasures.cancel(request=row, actor=None)
    assert not erasures.cancel(request=row, actor=None)
    owner = Owner.objects.get(pk=zenobia.owner.pk)
    assert owner.deactivated_at is None
    assert not ConsentCurrent.objects.filter(owner=owner, state="given").exists()
    assert request(zenobia) != row


def test_what_is_due_cannot_be_taken_back(zenobia):
    with pytest.raises(Conflict) as refused:
        erasures.cancel(request=due(request(zenobia)), actor=None)
    assert refused.value.code == "erasure_begun"


def test_the_mailed_link_names_one_erasure(zenobia):
    row = request(zenobia)
    assert erasures.erasure_of_token(erasures.token_of(row)) == row
    with pytest.raises(NotFound):
        erasures.erasure_of_token(str(row.public_id))


def test_somebody_who_also_works_for_a_customer_is_refused(zenobia):
    registration.register_organization(user=zenobia.user, name="Quill Ltd")
    with pytest.raises(Conflict) as refused:
        request(zenobia)
    assert refused.value.code == "other_roles"


def test_nothing_happens_before_its_time(zenobia):
    request(zenobia)
    assert erasure.sweep() == 0
    assert User.objects.filter(email=EMAIL).exists()


# --- destruction ------------------------------------------------------------------------------------------------------


def test_before_the_search_finds_the_person_and_after_it_nothing(zenobia):
    needles = looked_for(zenobia)
    before = search.search_everywhere(needles)
    assert {"accounts_user", "accounts_owner", "account_emailaddress", "accounts_vehicle"} <= {
        place for place, _ in before.hits
    }
    carried_out(zenobia)
    after = search.search_everywhere(needles)
    assert after.hits == {}
    assert len(after.tables) > 50


def test_rows_that_point_to_a_person_keep_numbers_only(zenobia):
    transfers, records, chain = (
        LedgerTransfer.objects.count(),
        MeterRecord.objects.count(),
        ConsentRecord.objects.count(),
    )
    row = carried_out(zenobia)
    assert (LedgerTransfer.objects.count(), MeterRecord.objects.count()) == (transfers, records)
    assert ConsentRecord.objects.count() == chain + 4
    assert posting.recompute() == []
    owner, user = Owner.objects.get(pk=zenobia.owner.pk), User.objects.get(pk=zenobia.user.pk)
    assert (owner.name, owner.country, owner.erased_at is not None) == ("", "", True)
    assert (user.name, user.is_active, user.has_usable_password()) == ("", False, False)
    assert user.email == f"erased-{user.pk}@erased.invalid"
    assert Node.objects.get(pk=zenobia.car.node.pk).status == "retired"
    assert row.status == "done"


def test_the_inventory_is_what_is_executed(zenobia):
    carried_out(zenobia)
    for table in inventory.TABLES:
        rows = inventory.rows(table, zenobia.owner)
        if table.erasure is Erasure.DELETE:
            assert not rows.exists(), table.model
        for values in rows.values(*table.blanks) if table.blanks and table.model != "accounts.User" else ():
            assert values == table.blanks, table.model


def test_the_proof_is_signed_and_names_no_person(zenobia):
    row = carried_out(zenobia)
    assert proof.is_genuine(row.proof, row.proof_signature)
    assert not proof.is_genuine({**row.proof, "found": 1}, row.proof_signature)
    text = json.dumps(row.proof)
    assert not search.mentions(
        text, [search.Needle("email", EMAIL), search.Needle("name", NAME), search.Needle("vin", VIN)]
    )
    assert row.proof["looked_for"] == {"email": 1, "name": 1, "vin": 1}
    assert row.proof["searched"]["tables"]["accounts_user"] == User.objects.count()
    assert row.proof["kept"]["compute_meterrecord"]["rows"] == 1
    assert row.proof["kept"]["billing_ledgertransfer-credit"]["why"]


def test_words_in_trails_are_destroyed_and_the_trails_stay(zenobia, cast):
    audit.record(actor=cast.opal, action="vehicle.release", subject=zenobia.vehicle.public_id, reason=f"{NAME} called")
    audit.record(actor=cast.opal, action="note", subject="somebody else", reason=f"see {EMAIL}")
    audit.record(actor=cast.opal, action="note", subject="somebody else", reason="nothing of hers")
    for owner in (zenobia.owner, cast.bob):
        access.record(
            looked_at=[(owner.pk, None)],
            actor=cast.opal,
            kind="staff_read",
            what="owners: list",
            reason=f"Support: {NAME} wrote from {EMAIL}",
        )
    LogEntry.objects.create(
        user=cast.opal,
        content_type=ContentType.objects.get_for_model(Owner),
        object_id=str(zenobia.owner.pk),
        object_repr="Zenobia",
        action_flag=CHANGE,
        change_message="",
    )
    carried_out(zenobia)
    details = list(AuditEvent.objects.filter(actor=cast.opal).order_by("id").values_list("details", flat=True))
    assert details == [{"erased": True}, {"erased": True}, {"reason": "nothing of hers"}]
    assert set(AccessEvent.objects.values_list("reason", flat=True)) == {"Support: (erased)"}
    assert LogEntry.objects.get().object_repr == "(erased)"


def test_sessions_files_and_exports_go_too(zenobia, client_of):
    client = client_of(zenobia.user)
    client.session.save()
    other = client_of(factories.make_user())
    row = exports.request(owner=zenobia.owner, actor=zenobia.user)
    assert archive.build(export_id=row.pk)
    exports.request(owner=zenobia.owner, actor=zenobia.user)
    carried_out(zenobia)
    assert list(Session.objects.values_list("pk", flat=True)) == [other.session.session_key]
    assert not exports.path_of(row).exists()
    assert set(zenobia.owner.exports.values_list("status", flat=True)) == {"expired", "failed"}


def test_a_namesake_is_counted_and_left_alone(zenobia):
    other = factories.make_owner("namesake@example.org")
    Owner.objects.filter(pk=other.pk).update(name=NAME.upper())
    row = carried_out(zenobia)
    assert row.proof["same_words_in_rows_of_others"] == {"accounts_owner": 1}
    assert Owner.objects.get(pk=other.pk).name == NAME.upper()


def test_what_is_found_afterwards_stops_the_last_step(zenobia, cast):
    """An address is left in an unexpected column of a row about the owner: nothing is committed."""
    Node.objects.filter(pk=zenobia.car.node.pk).update(agent_version=f"by {EMAIL}")
    row = due(request(zenobia))
    erasure.sweep()
    last_mail_sent()
    assert erasure.sweep() == 0
    row.refresh_from_db()
    assert (row.status, row.status_code) == ("scheduled", "unfinished")
    assert User.objects.filter(email=EMAIL).exists()
    Node.objects.filter(pk=zenobia.car.node.pk).update(agent_version="1")
    assert erasure.sweep() == 1


def test_a_similar_address_of_somebody_else_is_not_the_owners(zenobia, cast, client_of):
    """joann@ is not ann@: nothing of joann's is emptied, nobody is signed out, and ann is erased."""
    similar = factories.make_owner(f"jo{EMAIL}")
    session = client_of(similar.user).session
    session["note"] = f"wrote from jo{EMAIL}"
    session.save()
    audit.record(actor=cast.opal, action="note", subject="somebody", reason=f"jo{EMAIL} wrote, and {EMAIL}.au")
    row = carried_out(zenobia)
    assert (row.status, row.proof["same_words_in_rows_of_others"]) == ("done", {})
    assert "jo" in AuditEvent.objects.get(actor=cast.opal).details["reason"]
    assert Session.objects.filter(pk=session.session_key).exists()


def test_what_a_customer_wrote_is_counted_and_holds_up_nothing(zenobia, cast):
    type(cast.acme).objects.filter(pk=cast.acme.pk).update(category=f"ask {EMAIL}", name=f"Friends of {EMAIL}.")
    row = carried_out(zenobia)
    assert row.proof["same_words_in_rows_of_others"] == {"accounts_organization": 1}


@pytest.mark.parametrize("name", ["Owner", "Export", "Erased", "Withdrawn", "Retired", "Invalid"])
def test_a_name_that_the_code_writes_too_can_be_erased(zenobia, name):
    User.objects.filter(pk=zenobia.user.pk).update(name=name)
    Owner.objects.filter(pk=zenobia.owner.pk).update(name=name)
    exports.request(owner=zenobia.owner, actor=zenobia.user)
    access.record_export(owner=zenobia.owner, actor=zenobia.user, what="Download of the export")
    zenobia.owner.refresh_from_db()
    zenobia.user.refresh_from_db()
    assert carried_out(zenobia).status == "done"


def test_erasures_that_failed_hold_up_no_others(zenobia):
    blocked = due(request(zenobia))
    ErasureRequest.objects.filter(pk=blocked.pk).update(status_code="unfinished", due_at=timezone.now() - timedelta(9))
    other = factories.make_owner()
    later = erasures.request(owner=other, actor=other.user, cooling_off=timedelta(0))
    assert erasures.due() == [later, blocked]


def test_what_a_killed_worker_left_of_an_export_goes_too(zenobia, settings):
    mine, others = (settings.EXPORT_ROOT / f"making-{who}-x1" for who in (zenobia.owner.public_id, "someone"))
    for folder in (mine, others):
        folder.mkdir(parents=True)
        (folder / "archive.zip").write_bytes(b"PK")
    carried_out(zenobia)
    assert not mine.exists()
    assert others.exists()


def test_once_an_erasure_is_due_no_export_begins(zenobia):
    row = request(zenobia)
    exports.request(owner=zenobia.owner, actor=zenobia.user)  # allowed: the cooling-off period still runs
    due(row)
    with pytest.raises(Conflict) as refused:
        exports.request(owner=zenobia.owner, actor=zenobia.user)
    assert refused.value.code == "erasure_begun"


def test_an_export_that_came_between_the_steps_and_the_lock_is_destroyed(zenobia, monkeypatch):
    def between(owner):
        row = owner.exports.create()
        archive.build(export_id=row.pk)
        assert exports.path_of(row).exists()

    monkeypatch.setattr(erasure, "STEPS", (*erasure.STEPS, between))
    carried_out(zenobia)
    (row,) = zenobia.owner.exports.all()
    assert (row.status, exports.path_of(row).exists()) == ("expired", False)


@pytest.mark.long
@pytest.mark.parametrize(
    "step", [*range(len(erasure.STEPS)), "scrub_trails", "destroy_rows", "count_namesakes", "compose"]
)
def test_a_crash_at_any_step_is_finished_by_the_next_sweep(zenobia, monkeypatch, step):
    needles = looked_for(zenobia)
    row = due(request(zenobia))
    erasure.sweep()
    last_mail_sent()

    def crash(*_args, **_kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        if isinstance(step, int):
            patch.setattr(erasure, "STEPS", (*erasure.STEPS[: step + 1], crash))
        else:
            patch.setattr(proof if step == "compose" else erasure, step, crash)
        assert erasure.sweep() == 0
    assert erasure.sweep() == 1
    assert erasure.sweep() == 0
    row.refresh_from_db()
    assert row.status == "done"
    assert search.search_everywhere(needles).hits == {}
    assert Mail.objects.filter(user=zenobia.user).count() == 0


def test_the_last_mail_is_sent_once_and_an_address_that_takes_none_does_not_wait_for_ever(zenobia):
    due(request(zenobia))
    erasure.sweep()
    erasure.sweep()
    assert Mail.objects.filter(kind="erasure-done").count() == 1
    Mail.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert erasure.sweep() == 1


def test_an_erased_account_stays_erased(zenobia):
    carried_out(zenobia)
    with pytest.raises(DatabaseError), transaction.atomic():
        Owner.objects.filter(pk=zenobia.owner.pk).update(name="Back")
    owner = Owner.objects.get(pk=zenobia.owner.pk)
    for again in (erasures.request, exports.request):
        with pytest.raises(Conflict):
            again(owner=owner, actor=None)


def test_the_vin_is_free_for_the_next_owner(zenobia):
    carried_out(zenobia)
    from accounts.vehicles import vehicles

    bob = factories.make_owner()
    vehicle = vehicles.add_vehicle(owner=bob, label="Mine", make_model="", vin=VIN, actor=bob.user)
    assert not vehicle.consents.exists()


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [EMAIL, EMAIL.upper(), EMAIL.encode().hex()])
def test_it_finds_text_however_it_is_written(zenobia, cast, text):
    type(cast.acme).objects.filter(pk=cast.acme.pk).update(category=text[:60], name=text[:120])
    assert ("accounts_organization", "email") in search.search_everywhere(looked_for(zenobia)).hits


@pytest.mark.parametrize("before", [b"", b"x", b"xy"])
def test_it_finds_base64_at_every_alignment(zenobia, before):
    import base64

    coded = base64.b64encode(before + EMAIL.encode() + b"zz").decode()
    assert search.mentions(coded, [search.Needle("email", EMAIL)])
    assert not search.mentions(base64.b64encode(b"somebody.else@example.com").decode(), [search.Needle("email", EMAIL)])


def test_it_finds_bytes_and_json(zenobia):
    car = zenobia.car
    with connection.cursor() as cursor:
        cursor.execute("UPDATE compute_node SET layers = %s WHERE id = %s", [json.dumps([NAME.lower()]), car.node.pk])
        cursor.execute(
            "UPDATE compute_attempt SET result = %s WHERE node_id = %s", [b"\xff\x00" + VIN.encode(), car.node.pk]
        )
    hits = search.search_everywhere(looked_for(zenobia)).hits
    assert ("compute_node", "name") in hits
    assert ("compute_attempt", "vin") in hits


def test_it_finds_what_is_in_sessions_files_and_the_cache(zenobia, client_of, settings):
    client = client_of(factories.make_user())
    session = client.session
    session["note"] = EMAIL
    session.save()
    blobs.put_bytes(b"\0" * 10 + VIN.encode())
    settings.EXPORT_ROOT.mkdir()
    (settings.EXPORT_ROOT / EMAIL).write_text("")
    cache.set("k", "Nobody Else's Name", timeout=5)  # tests may share Redis: a name that no other test uses
    places = {
        place
        for place, _ in search.search_everywhere(
            [*looked_for(zenobia), search.Needle("name", "Nobody Else's Name")]
        ).hits
    }
    assert {"sessions", search.CUSTOMERS_FILES, "exports", "cache"} <= places


def test_files_of_other_programs_beside_the_blobs_are_not_read(zenobia, settings):
    before = search.search_everywhere(looked_for(zenobia))
    (settings.BLOB_ROOT / "postgres").mkdir(parents=True)
    (settings.BLOB_ROOT / "postgres" / "16384").write_text(VIN)
    after = search.search_everywhere(looked_for(zenobia))
    assert (after.files, after.hits) == (before.files, before.hits)


def test_a_name_counts_as_a_whole_word():
    needle = [search.Needle("name", "Ann Lee")]
    assert search.mentions("dear ann lee,", needle)
    assert not search.mentions("Joann Leeds", needle)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ann@gmail.com", True),
        ("write to Ann@Gmail.com.", True),
        ("<ann@gmail.com>, (ann@gmail.com)", True),
        ("a\nann@gmail.com\n", True),
        ("joann@gmail.com", False),
        ("jo.ann@gmail.com jo+ann@gmail.com jo-ann@gmail.com jo_ann@gmail.com", False),
        ("ann@gmail.com.au ann@gmail.community", False),
    ],
)
def test_an_address_counts_as_a_whole(db, cast, text, found):
    """PostgreSQL (text, JSON and bytes), a session's text and a file give the same answer."""
    needle = [search.Needle("email", "ann@gmail.com")]
    audit.record(actor=cast.opal, action="note", subject="x", reason=text)
    type(cast.acme).objects.filter(pk=cast.acme.pk).update(name=text)
    hits = search.search_everywhere(needle).hits
    assert {place for place, _ in hits} == ({"accounts_auditevent", "accounts_organization"} if found else set())
    assert AuditEvent.objects.filter(erasure._mentioned("details", needle)).exists() == found
    assert search.mentions(text, needle) == search.mentions(json.dumps(text), needle) == found
    assert bool(search._bytes_pattern(needle, "email").search(text.encode())) == found


def test_a_name_with_quotes_and_signs_is_found(zenobia):
    name = "Zoë O'Q\"uill (%_)"
    Owner.objects.filter(pk=zenobia.owner.pk).update(name=name)
    audit.record(actor=None, action="x", subject="y", who=name)
    hits = search.search_everywhere([search.Needle("name", name)]).hits
    assert {"accounts_owner", "accounts_auditevent"} <= {place for place, _ in hits}


# --- the database's rules for the trails ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("accounts_auditevent", "action = 'x', details = '{\"erased\": true}'"),
        ("accounts_auditevent", "details = '{\"a\": 1}'"),
        ("accounts_accessevent", "reason = 'Support: other words'"),
        ("accounts_accessevent", "what = 'x', reason = 'Support: (erased)'"),
        ("accounts_accessevent", "actor_id = NULL"),
    ],
)
def test_trails_can_be_blanked_and_not_rewritten(zenobia, cast, table, change):
    access.record(
        looked_at=[(zenobia.owner.pk, None)], actor=cast.opal, kind="staff_read", what="w", reason="Support: words"
    )
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {change}")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}")


def test_a_car_that_still_runs_the_program_stores_nothing_more(zenobia):
    """Its sync is refused; the other syncs of the same batch are handled."""
    carried_out(zenobia)
    zenobia.car.seq += 1
    request = factories.protocol.SyncRequest(
        node=zenobia.car.id, seq=zenobia.car.seq, available=True, capacity=1, hardware=factories.HARDWARE
    )
    other = factories.make_car()
    other_request = factories.protocol.SyncRequest(node=other.id, seq=1, available=True, capacity=1)
    refused, accepted = factories.sync.handle([request, other_request], carrier="https")
    assert refused.error == "unknown_node"
    assert not accepted.error


def test_the_benchmark_proves_it_in_this_database(db):
    text, holds = prove()
    assert holds
    before, after = text.split("## After")
    assert "| accounts_user | email | 1 |" in before
    assert "| accounts_vehicle | vin | 2 |" in before
    assert "Found: **nothing**" in after
    assert "is valid: True" in after
