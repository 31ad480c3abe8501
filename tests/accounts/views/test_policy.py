"""The rules' editor over HTTP, as a browser without JavaScript uses it."""

import re
from html import unescape

import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import OwnerPolicy
from accounts.policies import rules
from compute.reasons import REASONS
from marketplace.views.reasons import explain
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def vehicle(cast):
    return factories.make_vehicle(cast.alice, consent="")


@pytest.fixture
def client(cast, client_of):
    return client_of(cast.alice.user)


def path_of(vehicle) -> str:
    return reverse("policy_edit", args=[vehicle.public_id])


def now_of(vehicle) -> OwnerPolicy:
    return OwnerPolicy.objects.get(vehicle=vehicle)


def as_sent(html: str) -> dict[str, list[str]]:
    """Return what a browser would send for the rules' form in this page, before anything is typed."""
    (form,) = re.findall(r'<form class="policy-form".*?</form>', html, flags=re.DOTALL)
    form = re.sub(r"<template.*?</template>", "", form, flags=re.DOTALL)
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        is_box = attributes.get("type") in ("checkbox", "radio")
        if not is_box or " checked" in tag:
            value = attributes.get("value", "on" if is_box else "")
            sent.setdefault(attributes["name"], []).append(unescape(value))
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', form, flags=re.DOTALL):
        sent[name] = re.findall(r'value="([^"]*)" selected', options)
    return sent


def typed(client, vehicle, **changed: object) -> dict[str, object]:
    return as_sent(client.get(path_of(vehicle)).content.decode()) | {
        name.replace("__", "-"): value for name, value in changed.items()
    }


def text_of(page) -> str:
    html = re.sub(r"<(script|style|template|svg).*?</\1>", " ", page.content.decode(), flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


FULL = {
    "windows": [[0, 1320, 360], [1, 1320, 360], [5, 0, 0]],
    "ready_by": [[0, 420], [6, 600]],
    "ready_by_percent": 70,
    "tariff_windows": [[0, 0, 360, 90_000], [6, 0, 360, 123_456]],
    "time_zone": "Europe/Berlin",
    "network": "capped",
    "data_cap_mb_per_month": 1234,
    "power_rule": "solar_or_below_price",
    "price_limit_micro_per_kwh": 99_000,
    "plugged_in_only": False,
    "day_share_percent": 33,
    "wear_micro_per_kwh": 0,
}


def test_the_page_sends_back_exactly_what_it_shows(client, vehicle):
    OwnerPolicy.objects.filter(vehicle=vehicle).update(**FULL)
    before = rules.rules_of(now_of(vehicle))
    page = client.post(path_of(vehicle), typed(client, vehicle), follow=True)
    assert "nothing was changed" in text_of(page)
    assert rules.rules_of(now_of(vehicle)) == before
    assert now_of(vehicle).version == 1


def test_saving_says_so_and_offers_the_way_back(client, vehicle, sent_tasks, django_capture_on_commit_callbacks):
    sent = typed(
        client,
        vehicle,
        schedule="windows",
        windows__0__days=["5", "6"],
        windows__0__start="22:00",
        windows__0__end="06:00",
        wear="0.066",
        plugged_in_only=[],
    )
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(path_of(vehicle), sent)
    assert (answer.status_code, answer["Location"]) == (302, f"{path_of(vehicle)}?saved=2")
    policy = now_of(vehicle)
    assert (policy.windows, policy.wear_micro_per_kwh, policy.plugged_in_only) == (
        [[5, 1320, 360], [6, 1320, 360]],
        66_000,
        False,
    )
    assert sent_tasks == ["compute.price_nodes"]
    page = client.get(answer["Location"])
    assert "Saved. The car receives the rules within seconds" in text_of(page)
    assert "at weekends from 10:00 PM to 6:00 AM (UTC)" in text_of(page)
    client.post(path_of(vehicle), sent)  # the same form again, as after a double click
    assert now_of(vehicle).version == 2
    back = client.post(path_of(vehicle), {"action": "undo", "version": 2}, follow=True)
    assert "The earlier rules are back." in text_of(back)
    assert now_of(vehicle).windows == []
    assert "Saved." not in text_of(client.get(answer["Location"]))  # an outdated address shows no message


def test_errors_are_at_their_field_and_on_top_and_nothing_typed_is_lost(client, vehicle):
    sent = typed(
        client,
        vehicle,
        schedule="windows",
        windows__0__start="22:00",
        charge_stop_percent="80",
        charge_resume_percent="70",
        heat_stop_c="warm",
        tariff="-1",
        tariff_windows__0__days=["0"],
        tariff_windows__0__start="01:00",
        tariff_windows__0__end="25:00",
        tariff_windows__0__price="0.1",
    )
    page = client.post(path_of(vehicle), sent)
    html, text = page.content.decode(), text_of(page)
    assert page.status_code == 400
    assert "entries are not valid" in text
    for field in ("id_heat_stop_c", "id_tariff", "id_windows-0-days_0", "id_windows-0-end", "id_tariff_windows-0-end"):
        assert f'<a href="#{field}">' in html, field
        assert f'id="{field}"' in html, field
    typed_in = {name: value if isinstance(value, list) else [value] for name, value in sent.items()}
    assert as_sent(html) == typed_in | {"csrfmiddlewaretoken": as_sent(html)["csrfmiddlewaretoken"]}
    assert now_of(vehicle).version == 1


@pytest.mark.parametrize(
    ("changed", "id_", "message"),
    [
        ({"charge_stop_percent": "80"}, "id_charge_resume_percent", "Work cannot resume at a lower charge"),
        ({"heat_resume_c": "50"}, "id_heat_resume_c", "Work cannot resume at a higher temperature"),
        ({"schedule": "windows"}, "windows-rows", "Add a time"),
        ({"network": "satellite"}, "id_network_0", "valid choice"),
        ({"time_zone": "Mars/Olympus"}, "id_time_zone", "valid choice"),
        ({"day_share_percent": ""}, "id_day_share_percent", "required"),
        ({"price_limit": "1e99"}, "id_price_limit", "less than or equal"),
        ({"price_limit": "NaN"}, "id_price_limit", "Enter a number"),
        ({"wear": "0.0000001"}, "id_wear", "6 decimal places"),
    ],
)
def test_each_error_leads_to_its_place(client, vehicle, changed, id_, message):
    page = client.post(path_of(vehicle), typed(client, vehicle, **changed))
    assert page.status_code == 400
    assert f'<a href="#{id_}">' in page.content.decode()
    assert f'id="{id_}"' in page.content.decode()
    assert message in text_of(page)


def test_overlapping_prices_are_refused_at_their_list(client, vehicle):
    sent = typed(client, vehicle)
    for number, (start, end) in enumerate((("00:00", "06:00"), ("05:00", "07:00"))):
        sent |= {
            f"tariff_windows-{number}-{name}": value
            for name, value in (("days", ["0"]), ("start", start), ("end", end), ("price", "0.1"))
        }
    page = client.post(path_of(vehicle), sent)
    assert page.status_code == 400
    assert '<a href="#tariff_windows-rows">' in page.content.decode()
    assert "Two of these times overlap" in text_of(page)


def test_a_stale_form_loses_nothing_and_can_be_saved_over(client, vehicle):
    sent = typed(client, vehicle, day_share_percent="42")
    client.post(path_of(vehicle), typed(client, vehicle, heat_stop_c="60"))
    page = client.post(path_of(vehicle), sent)
    assert page.status_code == 409
    assert "policy_changed" in text_of(page)
    assert "Stops above 60 °C" in text_of(page), "the rules as they are now"
    unsaved_form = as_sent(page.content.decode())
    assert unsaved_form["day_share_percent"] == ["42"]
    assert client.post(path_of(vehicle), unsaved_form).status_code == 302
    assert (now_of(vehicle).day_share_percent, now_of(vehicle).heat_stop_c) == (42, 45)


@pytest.mark.parametrize("version", ["", "0", "-1", "1e3", "99", "9" * 40, "x"])
def test_a_made_up_version_is_stale(client, vehicle, version):
    answer = client.post(path_of(vehicle), typed(client, vehicle, day_share_percent="42", version=version))
    assert answer.status_code == 409


def test_rows_are_added_and_removed_by_the_server_too(client, vehicle):
    sent = typed(
        client, vehicle, schedule="windows", windows__0__days=["1"], windows__0__start="01:00", heat_stop_c="warm"
    )
    page = client.post(path_of(vehicle), sent | {"action": "add:windows"})
    shown = as_sent(page.content.decode())
    assert page.status_code == 200
    assert (shown["windows-0-start"], shown["windows-1-start"], shown["heat_stop_c"]) == (["01:00"], [""], ["warm"])
    assert 'class="errorlist"' not in page.content.decode()
    page = client.post(path_of(vehicle), shown | {"action": "remove:windows-0"})
    shown = as_sent(page.content.decode())
    assert "windows-0-start" not in shown
    assert shown["windows-1-start"] == [""]
    assert now_of(vehicle).version == 1
    for action in ("add:nothing", "remove:nothing-1", "remove:", "explode"):
        assert client.post(path_of(vehicle), sent | {"action": action}).status_code == 404


def test_a_preview_saves_nothing(client, vehicle):
    sent = typed(client, vehicle, day_share_percent="42", action="preview")
    page = client.post(path_of(vehicle), sent)
    assert "Works at most 42 % of a day, 10 hours and 4 minutes." in text_of(page)
    assert "Not saved yet" in text_of(page)
    fragment = client.post(path_of(vehicle), sent | {"fragment": "summary"}).content.decode()
    assert "42 % of a day" in fragment
    assert "<html" not in fragment
    wrong = client.post(path_of(vehicle), sent | {"fragment": "summary", "day_share_percent": "x"})
    assert "Correct it" in text_of(wrong)
    assert now_of(vehicle).version == 1


def test_a_preset_in_one_click(client, vehicle):
    page = client.post(path_of(vehicle), {"action": "preset:overnight", "version": 1}, follow=True)
    assert "Saved." in text_of(page)
    assert "In force" in text_of(page)
    assert now_of(vehicle).preset == "overnight"
    stale = client.post(path_of(vehicle), {"action": "preset:maximum", "version": 1}, follow=True)
    assert "changed elsewhere" in text_of(stale)
    assert client.post(path_of(vehicle), {"action": "preset:reckless", "version": 2}).status_code == 302
    assert now_of(vehicle).preset == "overnight"


def test_what_is_typed_is_escaped(client, vehicle):
    page = client.post(path_of(vehicle), typed(client, vehicle, heat_stop_c='"><script>alert(1)</script>'))
    assert "<script>alert" not in page.content.decode()


def test_sixty_one_rows_are_too_many(client, vehicle):
    sent = typed(client, vehicle, schedule="windows")
    for number in range(61):
        sent |= {
            f"windows-{number}-{name}": value for name, value in (("days", ["0"]), ("start", "01:00"), ("end", "02:00"))
        }
    page = client.post(path_of(vehicle), sent)
    assert page.status_code == 400
    assert "60 rows at most" in text_of(page)


def test_as_many_queries_for_a_full_policy_as_for_an_empty_one(client, vehicle):
    with CaptureQueriesContext(connection) as few:
        client.get(path_of(vehicle))
    OwnerPolicy.objects.filter(vehicle=vehicle).update(**FULL)
    with CaptureQueriesContext(connection) as many:
        client.get(path_of(vehicle))
    assert len(many) == len(few) <= 8


# Pauses


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("hour", "Paused until"),
        ("tomorrow", "Paused until"),
        ("finish", "finishes what it has begun"),
        ("open", "Paused until you resume"),
    ],
)
def test_pausing_and_resuming(client, vehicle, kind, message):
    pause = reverse("policy_pause", args=[vehicle.public_id])
    for _ in range(2):
        page = client.post(pause, {"kind": kind}, follow=True)
    assert message in text_of(page)
    assert now_of(vehicle).version == 2
    page = client.post(pause, {"kind": "resume"}, follow=True)
    assert "For an hour" in text_of(page)
    assert not now_of(vehicle).is_paused


@pytest.mark.parametrize(
    ("next_", "location"),
    [("/vehicles/", "/vehicles/"), ("https://evil.example/", None), ("//evil.example", None), ("", None)],
)
def test_a_pause_leads_back_to_a_page_of_ours(client, vehicle, next_, location):
    answer = client.post(reverse("policy_pause", args=[vehicle.public_id]), {"kind": "hour", "next": next_})
    assert answer["Location"] == (location or f"{path_of(vehicle)}#pause")


def test_an_unknown_pause_is_refused_kindly(client, vehicle):
    page = client.post(reverse("policy_pause", args=[vehicle.public_id]), {"kind": "year"}, follow=True)
    assert "There is no such pause." in text_of(page)
    assert not now_of(vehicle).is_paused


# Reasons


def test_every_reason_leads_to_its_setting(client, vehicle):
    editor = client.get(path_of(vehicle)).content.decode()
    for code in [*REASONS, "something_new", ""]:
        reason = explain(code)
        html = render_to_string("components/reason.html", {"reason": reason, "vehicle": vehicle})
        assert reason.sentence in unescape(html)
        caused = REASONS[code].setting if code in REASONS else ""
        assert (f'href="{path_of(vehicle)}#{reason.anchor}"' in html) == bool(caused), code
        assert not caused or f'id="{reason.anchor}"' in editor, code


def test_strangers_find_no_rules(cast, client_of, vehicle):
    bob = client_of(cast.bob.user)
    assert bob.get(path_of(vehicle)).status_code == 404
    for action in ("save", "undo", "preset:maximum", "preview", "add:windows"):
        assert bob.post(path_of(vehicle), {"action": action, "version": 1}).status_code == 404
    assert bob.post(reverse("policy_pause", args=[vehicle.public_id]), {"kind": "hour"}).status_code == 404
    assert now_of(vehicle).version == 1
