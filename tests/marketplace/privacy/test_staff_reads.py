"""Staff can read no owner's data without a reason, and the owner can read about each access."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.access import reason as access_reason
from accounts.admin.owner_data import OwnerDataAdmin, check_site, leads_to_owner
from accounts.models import AccessEvent, AuditEvent, ConsentCurrent, Mail, Operator, Owner, Vehicle
from accounts.owners import registration
from accounts.vehicles import vehicles
from compute.models import Node, WorkUnit
from core.admin import ReadOnlyAdmin
from marketplace import urls
from tests import factories

pytestmark = pytest.mark.django_db
WORDS = "Ticket 4711, car shows as away"


@pytest.fixture
def desk(cast, client_of):
    return client_of(cast.opal)


def say_why(client, words=WORDS):
    return client.post(reverse("access_reason"), {"category": "Support", "words": words, "next": "/operations/"})


@pytest.fixture
def reader(desk):
    say_why(desk)
    return desk


def page(model, name="changelist", *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


assert urls  # importing them sets the admin site up
GUARDED = [options for options in admin.site._registry.values() if isinstance(options, OwnerDataAdmin)]


# --- no page without a reason -----------------------------------------------------------------------------------------


def test_the_site_registers_no_unguarded_page_over_owners():
    check_site(admin.site)
    assert {options.model for options in GUARDED} == {model for model in admin.site._registry if leads_to_owner(model)}
    open_ones = {options.model._meta.label for options in GUARDED if options.open_views}
    assert open_ones == {"billing.Approval"}


@pytest.mark.parametrize("model", [Owner, Vehicle, Node, WorkUnit, Operator])
def test_the_site_does_not_start_with_an_unguarded_one(model):
    site = AdminSite()
    site.register(model, ReadOnlyAdmin)
    with pytest.raises(ImproperlyConfigured):
        check_site(site)


def test_no_view_opens_before_a_reason_is_stated(desk):
    """Every URL of these classes is closed: list, search, page, history, and what a later version adds."""
    for options in GUARDED:
        names = [p.name for p in options.get_urls() if p.name and p.name.rsplit("_", 1)[-1] not in options.open_views]
        assert len(names) >= 4
        for name in names:
            arguments = ["1"] if name.rsplit("_", 1)[-1] in ("change", "history", "delete", "decide") else []
            answer = desk.get(reverse(f"admin:{name}", args=arguments), {"q": "x"})
            assert answer.status_code == 302, name
            assert answer["Location"].startswith(reverse("access_reason"))
    assert not AccessEvent.objects.exists()


def test_completion_of_names_is_closed(reader):
    query = {"app_label": "accounts", "model_name": "vehicle", "field_name": "owner", "term": "a"}
    assert reader.get(reverse("admin:autocomplete"), query).status_code == 404


def test_who_may_not_see_a_page_is_refused_as_ever(cast, client_of):
    assert client_of(cast.alice.user).get(page(Owner)).status_code in (302, 403)
    junior = factories.make_user()
    registration.register_operator(user=junior, role="support")
    assert client_of(junior).get(page(Owner)).status_code == 403
    assert client_of(junior).post(page(Owner)).status_code == 403


# --- the reason -------------------------------------------------------------------------------------------------------


def test_the_form_leads_back_to_the_page(desk):
    redirect = desk.get(page(Owner), {"q": "ali"})
    form = desk.get(redirect["Location"])
    assert form.status_code == 200
    answer = desk.post(
        reverse("access_reason"), {"category": "Support", "words": WORDS, "next": f"{page(Owner)}?q=ali"}
    )
    assert answer["Location"] == f"{page(Owner)}?q=ali"


@pytest.mark.parametrize(
    ("category", "words"),
    [("Support", "short"), ("Support", " " * 20), ("Fun", WORDS), ("", WORDS), ("Support", "x" * 241)],
)
def test_a_reason_has_a_category_and_ten_characters(desk, category, words):
    answer = desk.post(reverse("access_reason"), {"category": category, "words": words})
    assert answer.status_code == 400
    assert desk.get(page(Owner)).status_code == 302


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "/vehicles/", "javascript:alert(1)"])
def test_it_leads_nowhere_else(desk, where):
    assert say_why(desk)["Location"] == "/operations/"
    answer = desk.post(reverse("access_reason"), {"category": "Support", "words": WORDS, "next": where})
    assert answer["Location"] == "/operations/"


def test_it_is_shown_and_can_be_ended(reader):
    html = reader.get(page(Owner)).content.decode()
    assert WORDS in html
    assert WORDS in reader.get("/operations/").content.decode()
    reader.post(reverse("access_reason_end"))
    assert reader.get(page(Owner)).status_code == 302


def test_it_is_over_after_half_an_hour(reader):
    session = reader.session
    session[access_reason.SESSION_KEY] = {
        **session[access_reason.SESSION_KEY],
        "until": (timezone.now() - timedelta(hours=1)).timestamp(),
    }
    session.save()
    assert reader.get(page(Owner)).status_code == 302


def test_it_holds_in_one_session_only(reader, cast, client_of):
    assert client_of(cast.opal).get(page(Owner)).status_code == 302


# --- the log ----------------------------------------------------------------------------------------------------------


def test_a_list_is_a_look_at_each_owner_shown(reader, cast):
    factories.make_vehicle(cast.alice)
    factories.make_vehicle(cast.alice)
    factories.make_vehicle(cast.bob)
    reader.get(page(Vehicle))
    looks = AccessEvent.objects.filter(what="vehicles: list")
    assert looks.count() == 3
    assert {look.owner for look in looks} == {cast.alice, cast.bob}
    assert {(look.actor, look.reason, look.kind) for look in looks} == {(cast.opal, f"Support: {WORDS}", "staff_read")}


def test_a_search_a_page_and_a_history_are_looks(reader, cast):
    vehicle = factories.make_vehicle(cast.alice)
    reader.get(page(Owner), {"q": "alice"})
    reader.get(page(Vehicle, "change", vehicle.pk))
    reader.get(page(Vehicle, "history", vehicle.pk))
    looks = AccessEvent.objects.order_by("id").values_list("what", "owner", "vehicle")
    assert list(looks) == [
        ("owners: list (search)", cast.alice.pk, None),
        ("vehicles: page", cast.alice.pk, vehicle.pk),
        ("vehicles: history", cast.alice.pk, vehicle.pk),
    ]


def test_the_same_page_within_a_minute_is_one_look(reader, cast):
    for _ in range(3):
        reader.get(page(Owner))
    assert AccessEvent.objects.filter(owner=cast.alice).count() == 1


def test_what_is_not_there_is_no_look(reader):
    assert reader.get(page(Vehicle, "change", 999_999)).status_code == 302
    assert reader.get(page(Vehicle, "change", "x")).status_code == 302
    assert not AccessEvent.objects.exists()


def test_the_trail_is_a_look_at_those_who_acted_and_those_it_was_about(reader, cast):
    factories.make_vehicle(cast.alice)
    AuditEvent.objects.create(actor=cast.opal, action="owner.note", subject=str(cast.bob.public_id))
    reader.get(page(AuditEvent))
    assert set(AccessEvent.objects.values_list("owner", flat=True)) == {cast.alice.pk, cast.bob.pk}


def test_every_guarded_list_and_page_works(reader, zenobia):
    for model in (options.model for options in GUARDED):
        assert reader.get(page(model)).status_code == 200, model
        row = model.objects.order_by("pk").last()
        if row is not None:
            assert reader.get(page(model, "change", row.pk)).status_code == 200, model
            assert reader.get(page(model, "history", row.pk)).status_code == 200, model


def test_looks_are_written_in_one_statement_however_many_owners(reader):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            reader.get(page(Vehicle))
        return len(captured)

    factories.make_vehicle()
    few = queries()
    for _ in range(5):
        factories.make_vehicle()
    assert queries() == few


# --- release of a VIN -------------------------------------------------------------------------------------------------


def release(client, vehicle, **fields):
    return client.post(page(Vehicle), {"action": "release", "_selected_action": [vehicle.pk], **fields})


def test_an_operator_frees_a_vin_with_a_written_reason(reader, cast):
    vehicle = vehicles.add_vehicle(
        owner=cast.alice, label="Sold", make_model="", vin="1M8GDM9AXKP042788", actor=cast.alice.user
    )
    factories.decide(vehicle, "given")
    question = release(reader, vehicle)
    assert question.status_code == 200
    assert AccessEvent.objects.filter(owner=cast.alice, vehicle=vehicle).exists()
    assert b"ten characters" in release(reader, vehicle, confirmed="1", reason="short").content
    assert Vehicle.objects.get(pk=vehicle.pk).retired_at is None
    release(reader, vehicle, confirmed="1", reason="Buyer showed the title, case 12")
    vehicle.refresh_from_db()
    assert vehicle.retired_code == "released"
    assert set(ConsentCurrent.objects.filter(vehicle=vehicle).values_list("state", flat=True)) == {"withdrawn"}
    event = AuditEvent.objects.get(action="vehicle.release")
    assert (event.actor, event.details["reason"]) == (cast.opal, "Buyer showed the title, case 12")
    assert Mail.objects.get(user=cast.alice.user).kind == "vehicle-released"
    vehicles.add_vehicle(owner=cast.bob, label="Bought", make_model="", vin="1M8GDM9AXKP042788", actor=cast.bob.user)
