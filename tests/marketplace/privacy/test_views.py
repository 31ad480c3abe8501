"""The owner's privacy pages: data with its values, who read it, export, erasure, closing, cars that change owners."""

import html
import json
import re
from datetime import timedelta

import pytest
from django.core import signing
from django.db import DatabaseError, connection, transaction
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import trail as access
from accounts.models import (
    AccessEvent,
    AuditEvent,
    ConsentCurrent,
    ConsentRecord,
    DataExport,
    ErasureRequest,
    Mail,
    Owner,
    Vehicle,
)
from accounts.owners import erasures, exports
from accounts.vehicles import vehicles
from billing.models import LedgerAccount
from billing.orders import settlement
from compute.dispatch import verification
from compute.models import Attempt, Node
from core.errors import Conflict
from core.privacy import KEPT
from marketplace.privacy import archive, erasure, inventory
from tests import factories
from tests.marketplace.privacy.conftest import EMAIL, NAME, VIN, last_mail_sent
from tests.marketplace.views.test_security import check_page

pytestmark = pytest.mark.django_db
OTHER_VIN = "1M8GDM9AXKP042789"


@pytest.fixture
def client(zenobia, client_of):
    return client_of(zenobia.user)


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.content.decode())))


def just_proved(client):
    """Confirm the password, as the erasure page requires."""
    client.post("/accounts/reauthenticate/", {"password": factories.PASSWORD})


# --- what is held -----------------------------------------------------------------------------------------------------


def test_every_field_is_shown_with_what_it_is(client):
    page = client.get("/privacy/")
    check_page(page)
    text = text_of(page)
    for table in inventory.TABLES:
        assert table.title in text, table.title
    shown = {field.what for section in page.context["sections"] for table in section.tables for field in table.fields}
    with_rows = [t for s in page.context["sections"] for t in s.tables if t.fields]
    assert len(with_rows) > 18
    for table in inventory.TABLES:
        if table.title in {t.title for t in with_rows}:
            assert {column.what for column in table.columns.values()} <= shown
    for value in (EMAIL, NAME, "Red car", "US-CA", VIN[-4:]):
        assert value in text


def test_secrets_are_said_to_be_held_and_not_shown(client, zenobia):
    source = client.get("/privacy/").content.decode()
    assert "held, never shown" in source
    assert zenobia.user.password not in source


def test_each_vehicle_has_a_fold_of_its_own_also_a_retired_one(client, zenobia):
    vehicles.retire(vehicle=zenobia.vehicle, actor=zenobia.user, code="sold")
    other = factories.make_vehicle(zenobia.owner)
    titles = [section.title for section in client.get("/privacy/").context["sections"]]
    assert {"Red car", other.label} <= set(titles)


def test_as_many_queries_for_ten_cars_and_a_long_log_as_for_one(client, zenobia, cast):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/privacy/").status_code == 200
        return len(captured)

    access.record(looked_at=[(zenobia.owner.pk, None)], actor=cast.opal, kind="staff_read", what="a", reason="Law: x")
    few = queries()
    for number in range(4):
        factories.make_car(zenobia.owner)
        access.record(
            looked_at=[(zenobia.owner.pk, None)], actor=cast.opal, kind="staff_read", what=str(number), reason="Law: x"
        )
    assert queries() == few
    assert few < 60


def test_an_owner_with_nothing(client_of):
    page = client_of(factories.make_owner().user).get("/privacy/")
    check_page(page)
    assert "Nobody has looked at your data." in text_of(page)


def test_what_it_says_of_an_erasure_is_what_the_erasure_does(client):
    for table in inventory.TABLES:
        for column in table.columns.values():
            destroyed = table.erasure_of(column) == "Destroyed."
            assert destroyed == (table.erasure.value == "deleted" or column.blank is not KEPT)


# --- who read the data ------------------------------------------------------------------------------------------------


def test_the_log_says_who_when_what_and_why(client, zenobia, cast, client_of):
    type(cast.opal).objects.filter(pk=cast.opal.pk).update(name="Opal Lindqvist")
    desk = client_of(cast.opal)
    desk.post(
        "/operations/reason", {"category": "Support", "words": "Ticket 12: asked for help", "next": "/operations/"}
    )
    desk.get(f"/operations/accounts/vehicle/{zenobia.vehicle.pk}/change/")
    text = text_of(client.get("/privacy/"))
    assert "Opal (admin)" in text
    assert "Lindqvist" not in text
    assert "vehicles: page · Red car" in text
    assert "Support: Ticket 12: asked for help" in text


def test_the_log_has_pages(client, zenobia, cast):
    for number in range(25):
        access.record(
            looked_at=[(zenobia.owner.pk, None)],
            actor=cast.opal,
            kind="staff_read",
            what=f"look {number:02}",
            reason="Law: x",
        )
    first, second = text_of(client.get("/privacy/")), text_of(client.get("/privacy/?page=3"))
    assert "look 24" in first
    assert "look 00" not in first
    assert "look 00" in second
    assert client.get("/privacy/?page=junk").status_code == 200


# --- export -----------------------------------------------------------------------------------------------------------


def test_an_export_from_the_button_to_the_download(client, zenobia, sent_tasks, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post("/privacy/export")["Location"] == "/privacy/"
    assert sent_tasks == ["privacy.build_exports"]
    assert "Being made" in text_of(client.get("/privacy/"))
    row = DataExport.objects.get()
    assert client.get(f"/privacy/exports/{row.public_id}").status_code == 404
    archive.build(export_id=row.pk)
    link = f"/privacy/exports/{row.public_id}"
    assert link in client.get("/privacy/").content.decode()
    answer = client.get(link)
    assert factories.body_of(answer)[:2] == b"PK"
    assert "attachment" in answer["Content-Disposition"]
    looks = AccessEvent.objects.filter(owner=zenobia.owner).order_by("id").values_list("kind", "what")
    assert list(looks) == [("export", "Everything held, into one archive"), ("export", "Download of the archive")]
    assert "Driveway's own software" in text_of(client.get("/privacy/"))


def test_only_its_owner_downloads_it_and_only_until_it_expires(client, zenobia, cast, client_of):
    row = exports.request(owner=zenobia.owner, actor=zenobia.user)
    archive.build(export_id=row.pk)
    link = f"/privacy/exports/{row.public_id}"
    assert client_of(cast.bob.user).get(link).status_code == 404
    assert Client().get(link).status_code == 302
    DataExport.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert client.get(link).status_code == 404


# --- erasure ----------------------------------------------------------------------------------------------------------


def give_up(client, **fields):
    return client.post("/privacy/erasure", {"word": "erase", "gives_up": "on", **fields})


def test_the_erasure_page_says_what_goes_and_what_stays(client):
    page = client.get("/privacy/erasure")
    check_page(page)
    text = text_of(page)
    assert "E-mail addresses" in text
    assert "the ledger must be kept by tax and accounting law" in text
    assert "is owed to me" in text


def test_erasure_asks_for_the_password_and_then_goes_on(client, zenobia):
    redirect = give_up(client)
    assert redirect["Location"].startswith("/accounts/reauthenticate/")
    assert not ErasureRequest.objects.exists()
    client.post(redirect["Location"], {"password": factories.PASSWORD})
    assert ErasureRequest.objects.get().owner == zenobia.owner
    page = client.get("/privacy/")
    assert "Your data will be destroyed on" in text_of(page)
    check_page(client.get("/privacy/erasure"))


@pytest.mark.parametrize("fields", [{"word": "yes"}, {"word": ""}, {"gives_up": ""}])
def test_the_word_and_the_money_must_be_said(client, fields):
    just_proved(client)
    assert give_up(client, **fields).status_code == 400
    assert not ErasureRequest.objects.exists()


def test_work_that_is_still_being_checked_must_be_given_up_too(db, client_of):
    """The ledger has no entry yet: one unit is reported and not verified, later verified and not settled."""
    owner = factories.make_owner()
    cars = [factories.make_car(owner), factories.make_car()]
    factories.make_ordered_job(factories.make_organization(wallet_micro=10_000_000), items=400, unit_items=400)
    page = client_of(owner.user)
    just_proved(page)
    assert "still being checked" not in text_of(page.get("/privacy/erasure"))
    for car in cars:
        car.sync(capacity=1)
    factories.dispatch.dispatch()
    for car in cars:
        leases = car.sync().leases
        car.sync(reports=tuple(car.report(lease, compute_ms=5_000, energy_mwh=20) for lease in leases))
    for _ in ("reported", "verified"):
        assert "the pay for work that is still being checked is owed to me" in text_of(page.get("/privacy/erasure"))
        assert "The pay for work that is still being checked is owed to you" in text_of(page.get("/privacy/close"))
        assert give_up(page, gives_up="").status_code == 400
        verification.verify()
    settlement.settle_usage()
    assert "still being checked" not in text_of(page.get("/privacy/erasure"))


def test_one_click_takes_it_back_from_the_page_or_the_mail(client, zenobia):
    just_proved(client)
    give_up(client)
    link = re.search(r'action="(/privacy/erasure/cancel/[^"]+)"', client.get("/privacy/").content.decode()).group(1)
    stranger = Client()
    check_page(stranger.get(link))
    assert ErasureRequest.objects.get().status == "scheduled"  # opening the link (mail scanners do) cancels nothing
    assert stranger.post(link)["Location"] == "/accounts/login/"
    assert ErasureRequest.objects.get().status == "cancelled"
    check_page(stranger.get(link))
    assert Owner.objects.get(pk=zenobia.owner.pk).deactivated_at is None
    forged = signing.Signer(salt="other").sign(str(ErasureRequest.objects.get().public_id))
    assert stranger.get(f"/privacy/erasure/cancel/{forged}").status_code == 404


def test_the_proof_is_public_and_only_of_what_was_done(zenobia):
    row = erasures.request(owner=zenobia.owner, actor=zenobia.user, cooling_off=timedelta(0))
    assert Client().get(f"/privacy/erasures/{row.public_id}").status_code == 404
    erasure.sweep()
    last_mail_sent()
    erasure.sweep()
    body = Client().get(f"/privacy/erasures/{row.public_id}").json()
    assert body["proof"]["erasure"] == str(row.public_id)
    assert NAME not in json.dumps(body)
    check_page(Client().get(f"/privacy/erasure/cancel/{erasures.token_of(row)}"))


# --- closing ----------------------------------------------------------------------------------------------------------


def test_a_closed_account_does_nothing_keeps_its_money_and_can_be_opened(client, zenobia):
    owed_micro = LedgerAccount.objects.get(owner=zenobia.owner).balance_micro
    check_page(client.get("/privacy/close"))
    client.post("/privacy/close")
    client.post("/privacy/close")
    assert not ConsentCurrent.objects.filter(owner=zenobia.owner, state="given").exists()
    assert ConsentRecord.objects.filter(owner=zenobia.owner, method="closed").count() == 4
    assert zenobia.car.sync().withheld == "consent_withdrawn"
    assert LedgerAccount.objects.get(owner=zenobia.owner).balance_micro == owed_micro > 0
    assert client.get("/vehicles/").status_code == 200
    assert "Your account is closed" in text_of(client.get("/privacy/"))
    with pytest.raises(Conflict, match="is closed"):
        factories.decide(zenobia.vehicle, "given")
    client.post("/privacy/reopen")
    assert Owner.objects.get(pk=zenobia.owner.pk).deactivated_at is None
    assert not ConsentCurrent.objects.filter(owner=zenobia.owner, state="given").exists()
    factories.decide(zenobia.vehicle, "given")


def test_closing_stops_a_running_unit(client, zenobia):
    attempt = factories.lease_to(zenobia.car)
    client.post("/privacy/close")
    assert Attempt.objects.get(pk=attempt.pk).status == "cancelled"


def test_opening_does_not_get_around_an_erasure(client, zenobia):
    erasures.request(owner=zenobia.owner, actor=zenobia.user)
    client.post("/privacy/reopen")
    assert Owner.objects.get(pk=zenobia.owner.pk).deactivated_at is not None


def test_an_erasure_taken_back_leaves_a_closed_account_closed(client, zenobia):
    client.post("/privacy/close")
    row = erasures.request(owner=zenobia.owner, actor=zenobia.user)
    erasures.cancel(request=row, actor=None)
    assert Owner.objects.get(pk=zenobia.owner.pk).deactivated_at is not None


# --- cars that change owners ------------------------------------------------------------------------------------------


def test_a_sold_car_takes_no_consent_with_it(client, zenobia, cast):
    attempt = factories.lease_to(zenobia.car)
    link = f"/vehicles/{zenobia.vehicle.public_id}/sold"
    check_page(client.get(link))
    client.post(link)
    vehicle = Vehicle.objects.get(pk=zenobia.vehicle.pk)
    assert (vehicle.retired_code, vehicle.retired_at is not None, vehicle.region) == ("sold", True, "")
    assert set(ConsentCurrent.objects.filter(vehicle=vehicle).values_list("state", flat=True)) == {"withdrawn"}
    assert set(ConsentRecord.objects.filter(vehicle=vehicle, state="withdrawn").values_list("method", flat=True)) == {
        "sold"
    }
    node = Node.objects.get(pk=zenobia.car.node.pk)
    assert (node.status, node.status_code) == ("retired", "vehicle_sold")
    assert Attempt.objects.get(pk=attempt.pk).status == "cancelled"
    assert client.post(link).status_code == 404
    bought = vehicles.add_vehicle(owner=cast.bob, label="Bought", make_model="", vin=VIN, actor=cast.bob.user)
    assert not bought.consents.exists()
    with pytest.raises(Conflict, match="no longer in your account"):
        factories.decide(vehicle, "given")


def test_the_database_refuses_a_retired_car_with_consent(zenobia):
    with pytest.raises(DatabaseError, match="consents must end"), transaction.atomic():
        Vehicle.objects.filter(pk=zenobia.vehicle.pk).update(retired_at=timezone.now())


def test_only_its_owner_gives_a_car_up(zenobia, cast, client_of):
    assert client_of(cast.bob.user).post(f"/vehicles/{zenobia.vehicle.public_id}/sold").status_code == 404
    assert Vehicle.objects.get(pk=zenobia.vehicle.pk).retired_at is None


def test_a_buyer_asks_and_learns_nothing(zenobia, cast, client_of):
    buyer = client_of(cast.bob.user)
    check_page(buyer.get("/vehicles/claim"))
    answers = [buyer.post("/vehicles/claim", {"vin": vin}, follow=True) for vin in (VIN, OTHER_VIN)]
    assert len({text_of(answer) for answer in answers}) == 1
    mail = Mail.objects.get(kind="vehicle-claim")
    assert (mail.user, mail.context["vehicle"]) == (zenobia.user, str(zenobia.vehicle.public_id))
    assert cast.bob.name not in json.dumps(mail.context)
    assert VIN not in json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.usefixtures("stopped_clock")  # otherwise a week may end during the test
def test_a_holder_is_mailed_once_a_week_and_a_buyer_asks_five_times_a_day(zenobia, cast, client_of):
    buyer = client_of(cast.bob.user)
    codes = [buyer.post("/vehicles/claim", {"vin": VIN}).status_code for _ in range(6)]
    assert codes == [302] * 5 + [400]
    assert Mail.objects.filter(kind="vehicle-claim").count() == 1


@pytest.mark.parametrize("vin", ["", "short", "IOQ" + "1" * 14])
def test_a_vin_that_is_none_is_refused(cast, client_of, vin):
    page = client_of(cast.bob.user).post("/vehicles/claim", {"vin": vin})
    check_page(page, 400)


# --- mails ------------------------------------------------------------------------------------------------------------


def test_every_mail_can_be_written(zenobia, cast):
    vehicles.claim(owner=cast.bob, vin=VIN, actor=cast.bob.user)
    vehicles.release(vehicle=zenobia.vehicle, actor=cast.opal, reason="the buyer showed the title")
    row = exports.request(owner=zenobia.owner, actor=None)
    archive.build(export_id=row.pk)
    from accounts.owners import closing

    closing.close(owner=zenobia.owner, actor=None)
    erasures.request(owner=zenobia.owner, actor=None, cooling_off=timedelta(0))
    erasure.sweep()
    kinds = set()
    for mail in Mail.objects.exclude(kind__in=["news", "vehicle-paired"]):
        context = {**mail.context, "user": mail.user, "owner": zenobia.owner, "site_url": "https://site"}
        subject = render_to_string(f"emails/{mail.kind}-subject.txt", context)
        assert "\n" not in subject.strip()
        assert (
            "https://site/" in render_to_string(f"emails/{mail.kind}-body.txt", context)
            or mail.kind == "vehicle-released"
        )
        kinds.add(mail.kind)
    assert kinds == {
        "vehicle-claim",
        "vehicle-released",
        "export-ready",
        "account-closed",
        "erasure-scheduled",
        "erasure-done",
    }
