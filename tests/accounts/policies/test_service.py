"""Changing a car's rules: stale forms, error codes by field, undo, and pauses that end automatically."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, OwnerPolicy
from accounts.policies import rules
from accounts.policies import service as policies
from core.errors import Conflict, InvalidInput
from tests import factories
from tests.threads import in_threads

pytestmark = pytest.mark.django_db


@pytest.fixture
def vehicle():
    return factories.make_vehicle(consent="")


def now_of(vehicle) -> OwnerPolicy:
    return OwnerPolicy.objects.get(vehicle=vehicle)


def change(vehicle, version=1, **fields) -> OwnerPolicy:
    return policies.update_policy(vehicle=vehicle, version=version, actor=vehicle.owner.user, **fields)


def test_a_change_raises_the_version_and_is_in_the_trail(vehicle):
    change(vehicle, windows=[[1, 60, 120], [0, 1320, 360], [0, 1320, 360]], day_share_percent=30)
    policy = now_of(vehicle)
    assert (policy.version, policy.rules_version, policy.preset) == (2, 2, "")
    assert policy.windows == [[0, 1320, 360], [1, 60, 120]]
    event = AuditEvent.objects.get(action="policy.update")
    assert event.details == {"version": 2, "rules": ["day_share_percent", "windows"]}


def test_the_trail_does_not_say_when_the_car_stands_where(vehicle):
    change(vehicle, windows=[[0, 1317, 361]])
    assert "1317" not in str(list(AuditEvent.objects.values()))


def test_rules_that_stay_raise_nothing(vehicle):
    change(vehicle, windows=[[0, 60, 1440], [1, 60, 120]])
    # The same form sent again, with midnight written as 0 instead of 1440.
    change(vehicle, version=1, windows=[[1, 60, 120], [0, 60, 0]])
    assert now_of(vehicle).version == 2
    assert AuditEvent.objects.filter(action="policy.update").count() == 1


def test_a_stale_form_is_refused_and_changes_nothing(vehicle):
    change(vehicle, heat_stop_c=50)
    with pytest.raises(Conflict) as refused:
        change(vehicle, version=1, heat_stop_c=60)
    assert refused.value.code == "policy_changed"
    assert now_of(vehicle).heat_stop_c == 50
    with pytest.raises(Conflict):
        change(vehicle, version=99, heat_stop_c=60)


def test_a_pause_meanwhile_makes_no_form_stale(vehicle):
    policies.pause(vehicle=vehicle, kind="hour", actor=None)
    change(vehicle, version=1, heat_stop_c=60)
    assert (now_of(vehicle).version, now_of(vehicle).heat_stop_c, now_of(vehicle).is_paused) == (3, 60, True)


@pytest.mark.django_db(transaction=True)
def test_of_two_forms_at_once_one_wins(vehicle):
    results = in_threads(*[lambda c=c: change(vehicle, heat_stop_c=c) for c in (60, 61)])
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "OwnerPolicy"]
    assert now_of(vehicle).version == 2


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"windows": [[7, 0, 60]]}, "windows", "times_invalid"),
        ({"windows": [[0, 1440, 60]]}, "windows", "times_invalid"),
        ({"windows": [[0, 0, 1441]]}, "windows", "times_invalid"),
        ({"windows": [[0, 0]]}, "windows", "times_invalid"),
        ({"windows": [[0, True, 60]]}, "windows", "times_invalid"),
        ({"windows": [[0, "0", 60]]}, "windows", "times_invalid"),
        ({"windows": "always"}, "windows", "times_invalid"),
        ({"windows": [[0, 0, 60]] * 169}, "windows", "too_many"),
        ({"ready_by": [[0, 1440]]}, "ready_by", "times_invalid"),
        ({"tariff_windows": [[0, 0, 60, -1]]}, "tariff_windows", "times_invalid"),
        ({"tariff_windows": [[0, 0, 60]]}, "tariff_windows", "times_invalid"),
        ({"tariff_windows": [[0, 0, 60, 1], [0, 59, 61, 1]]}, "tariff_windows", "tariff_overlap"),
        ({"tariff_windows": [[6, 1380, 60, 1], [0, 0, 30, 2]]}, "tariff_windows", "tariff_overlap"),
        ({"charge_stop_percent": 101}, "charge_stop_percent", "out_of_range"),
        ({"charge_stop_percent": 60}, "charge_resume_percent", "charge_hysteresis"),
        ({"heat_resume_c": 46}, "heat_resume_c", "heat_hysteresis"),
        ({"heat_stop_c": 5}, "heat_stop_c", "out_of_range"),
        ({"day_share_percent": 0}, "day_share_percent", "out_of_range"),
        ({"ready_by_lead_minutes": 1441}, "ready_by_lead_minutes", "out_of_range"),
        ({"data_cap_mb_per_month": 2**31}, "data_cap_mb_per_month", "out_of_range"),
        ({"price_limit_micro_per_kwh": 0.5}, "price_limit_micro_per_kwh", "out_of_range"),
        ({"network": "satellite"}, "network", "choice_invalid"),
        ({"power_rule": None}, "power_rule", "choice_invalid"),
        ({"plugged_in_only": "yes"}, "plugged_in_only", "choice_invalid"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "time_zone_unknown"),
        ({"time_zone": "../../etc/passwd"}, "time_zone", "time_zone_unknown"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(vehicle, fields, field, code):
    with pytest.raises(InvalidInput) as refused:
        change(vehicle, **fields)
    assert refused.value.code == "policy_invalid"
    assert refused.value.fields.keys() == {field}
    assert refused.value.fields[field]["code"] == code
    assert now_of(vehicle).version == 1


def test_an_unknown_rule_is_refused(vehicle):
    with pytest.raises(InvalidInput) as refused:
        change(vehicle, version=1, pause="stop")
    assert refused.value.code == "rule_unknown"


def test_the_same_day_may_be_open_twice(vehicle):
    change(vehicle, windows=[[0, 0, 60], [0, 30, 90]], tariff_windows=[[0, 0, 60, 1], [0, 60, 120, 1]])


def test_a_preset_is_one_click_and_one_step_back(vehicle):
    change(vehicle, network="any", heat_stop_c=70, tariff_micro_per_kwh=300_000)
    mine = rules.rules_of(now_of(vehicle))
    policies.apply_preset(vehicle=vehicle, preset="overnight", version=2, actor=None)
    policy = now_of(vehicle)
    assert (policy.preset, policy.network, policy.tariff_micro_per_kwh) == ("overnight", "wifi", 300_000)
    policies.undo(vehicle=vehicle, version=3, actor=None)
    policies.undo(vehicle=vehicle, version=3, actor=None)  # the button pressed twice
    assert rules.rules_of(now_of(vehicle)) == mine
    assert now_of(vehicle).version == 4
    policies.undo(vehicle=vehicle, version=4, actor=None)  # undoes the undo
    assert (now_of(vehicle).preset, now_of(vehicle).version) == ("overnight", 5)


def test_undo_takes_back_only_what_was_seen(vehicle):
    with pytest.raises(Conflict) as refused:
        policies.undo(vehicle=vehicle, version=1, actor=None)
    assert refused.value.code == "nothing_to_undo"
    change(vehicle, heat_stop_c=50)
    change(vehicle, version=2, heat_stop_c=60)
    with pytest.raises(Conflict) as refused:
        policies.undo(vehicle=vehicle, version=2, actor=None)
    assert refused.value.code == "policy_changed"
    assert now_of(vehicle).heat_stop_c == 60


def test_a_pause_is_no_rule_and_undo_leaves_it(vehicle):
    change(vehicle, heat_stop_c=50)
    policies.pause(vehicle=vehicle, kind="open", actor=None)
    policies.undo(vehicle=vehicle, version=now_of(vehicle).rules_version, actor=None)
    assert (now_of(vehicle).heat_stop_c, now_of(vehicle).is_paused) == (45, True)


def test_an_unknown_preset_is_refused(vehicle):
    with pytest.raises(InvalidInput) as refused:
        policies.apply_preset(vehicle=vehicle, preset="reckless", version=1, actor=None)
    assert refused.value.code == "preset_unknown"


# Pauses


@pytest.mark.parametrize(
    ("kind", "word", "hours"), [("hour", "stop", 1), ("finish", "finish", None), ("open", "stop", None)]
)
def test_pauses(vehicle, kind, word, hours):
    asked_at = timezone.now()
    for _ in range(2):  # a button pressed twice
        policy = policies.pause(vehicle=vehicle, kind=kind, actor=vehicle.owner.user)
    assert (policy.pause, policy.version, policy.is_paused) == (word, 2, True)
    if hours is None:
        assert policy.paused_until_at is None
    else:
        assert asked_at <= policy.paused_until_at - timedelta(hours=hours) <= timezone.now()
    for _ in range(2):
        policies.resume(vehicle=vehicle, actor=vehicle.owner.user)
    assert (now_of(vehicle).pause, now_of(vehicle).paused_until_at, now_of(vehicle).version) == ("", None, 3)
    assert list(AuditEvent.objects.filter(subject=vehicle.public_id).values_list("action", flat=True)[1:]) == [
        "policy.pause",
        "policy.resume",
    ]


def test_a_pause_ends_by_itself(vehicle):
    policies.pause(vehicle=vehicle, kind="hour", actor=None)
    OwnerPolicy.objects.update(paused_until_at=timezone.now())
    assert not now_of(vehicle).is_paused
    assert policies.resume(vehicle=vehicle, actor=None).version == 2  # nothing to end
    assert policies.pause(vehicle=vehicle, kind="hour", actor=None).is_paused


def test_tomorrow_is_six_in_the_morning_where_the_car_is(vehicle):
    change(vehicle, time_zone="America/New_York")
    policy = policies.pause(vehicle=vehicle, kind="tomorrow", actor=None)
    local = policy.paused_until_at.astimezone(policies.ZoneInfo("America/New_York"))
    assert (local.hour, local.minute) == (6, 0)
    assert timedelta(0) < policy.paused_until_at - timezone.now() <= timedelta(days=1, hours=6)


@pytest.mark.parametrize(
    ("now", "zone", "morning"),
    [
        (
            "2026-06-01T03:59",
            "Europe/Berlin",
            "2026-06-02T04:00",
        ),  # at 5:59 the next 6:00 is too close to be "tomorrow"
        ("2026-06-01T04:00", "Europe/Berlin", "2026-06-02T04:00"),
        ("2026-06-01T23:30", "Europe/Berlin", "2026-06-02T04:00"),
        ("2026-10-24T20:00", "Europe/Berlin", "2026-10-25T05:00"),  # the clocks go back during that night
        ("2026-03-28T20:00", "Europe/Berlin", "2026-03-29T04:00"),  # the clocks go forward during that night
    ],
)
def test_the_next_morning(now, zone, morning):
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert policies.next_morning(at, zone) == datetime.fromisoformat(morning).replace(tzinfo=UTC)


def test_an_unknown_pause_is_refused(vehicle):
    with pytest.raises(InvalidInput) as refused:
        policies.pause(vehicle=vehicle, kind="year", actor=None)
    assert refused.value.code == "pause_unknown"


def test_tomorrow_where_the_owners_zone_is_unknown(vehicle):
    type(vehicle.owner).objects.update(time_zone="Nowhere/Else")
    assert policies.pause(vehicle=vehicle, kind="tomorrow", actor=None).paused_until_at.astimezone(UTC).hour == 6


def test_the_car_hears_of_rules_and_pauses_at_its_next_sync():
    car = factories.make_car()
    change(car.node.vehicle, windows=[[0, 60, 120]])
    policies.pause(vehicle=car.node.vehicle, kind="finish", actor=None)
    heard = car.sync(policy_version=1).policy
    assert (heard.version, heard.windows, heard.pause) == (3, ((0, 60, 120),), "finish")
    assert car.sync(policy_version=3).policy is None
