"""Change, undo and pause an owner's rules for a car. The car evaluates them; it receives them at its next sync."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import OwnerPolicy, User, Vehicle
from accounts.policies import presets, rules
from accounts.policies.rules import Rules
from core.errors import Conflict, InvalidInput

MORNING_HOUR = 6
LEAST_NIGHT = timedelta(hours=4)  # "until tomorrow" pauses at least this long
SAME_PAUSE = timedelta(minutes=1)  # pauses that end less than this apart are the same pause, requested twice


@transaction.atomic
def update_policy(*, vehicle: Vehicle, version: int, actor: User | None, **fields: Any) -> OwnerPolicy:
    """Change some rules, named as the fields of OwnerPolicy. If no value changes, the version stays.

    `version` is the policy's version on the page that the owner edited. Raises InvalidInput `rule_unknown`,
    InvalidInput `policy_invalid` (whose fields map each invalid rule to {"code", "message"}), and Conflict
    `policy_changed` if rules have changed since that version.
    """
    policy = _locked(vehicle)
    return _change(policy, rules.rules_of(policy) | fields, version, actor, "policy.update")


@transaction.atomic
def apply_preset(*, vehicle: Vehicle, preset: str, version: int, actor: User | None) -> OwnerPolicy:
    """Replace the rules by a preset; the owner's time zone and prices stay.

    Raises InvalidInput `preset_unknown`, or Conflict `policy_changed`.
    """
    if preset not in presets.PRESETS_BY_CODE:
        raise InvalidInput("There is no such set of rules.", code="preset_unknown")
    policy = _locked(vehicle)
    after = presets.apply(presets.PRESETS_BY_CODE[preset], rules.rules_of(policy))
    return _change(policy, after, version, actor, "policy.preset")


@transaction.atomic
def undo(*, vehicle: Vehicle, version: int, actor: User | None) -> OwnerPolicy:
    """Restore the rules from before the change that created `version` of the rules. Repeating a call changes nothing.

    An undo can itself be undone. Raises Conflict `policy_changed`, or `nothing_to_undo`.
    """
    policy = _locked(vehicle)
    if policy.previous is None:
        raise Conflict("There are no earlier rules to go back to.", code="nothing_to_undo")
    if policy.previous["undid"] == version:
        return policy
    return _change(
        policy, rules.rules_of(policy) | policy.previous["rules"], version, actor, "policy.undo", undid=version
    )


@transaction.atomic
def pause(*, vehicle: Vehicle, kind: str, actor: User | None) -> OwnerPolicy:
    """Pause the car. `kind`: "hour"; "tomorrow", until 6:00; "open", until resumed; "finish", after the running work.

    Raises InvalidInput `pause_unknown`.
    """
    if kind not in PAUSES:
        raise InvalidInput("There is no such pause.", code="pause_unknown")
    policy = _locked(vehicle)
    word = OwnerPolicy.Pause.FINISH if kind == "finish" else OwnerPolicy.Pause.STOP
    until = _until(kind, policy)
    if policy.is_paused and policy.pause == word and _is_same_end(policy.paused_until_at, until):
        return policy
    return _set_pause(policy, word, until, actor)


@transaction.atomic
def resume(*, vehicle: Vehicle, actor: User | None) -> OwnerPolicy:
    """End a pause. Do nothing if the car is not paused."""
    policy = _locked(vehicle)
    if not policy.is_paused:
        return policy
    return _set_pause(policy, OwnerPolicy.Pause.NONE, None, actor)


PAUSES = ("hour", "tomorrow", "finish", "open")


def next_morning(now: datetime, zone: str) -> datetime:
    """Return the next 6:00 in a time zone that is at least LEAST_NIGHT away.

    Somebody who pauses at 5:50 "until tomorrow" does not mean for ten minutes.
    """
    local = now.astimezone(ZoneInfo(zone))
    morning = local.replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0, fold=0)
    is_near = morning - local < LEAST_NIGHT
    return morning + timedelta(days=1) if is_near else morning


def _locked(vehicle: Vehicle) -> OwnerPolicy:
    return OwnerPolicy.objects.select_for_update(of=["self"]).select_related("vehicle__owner").get(vehicle=vehicle)


def _change(
    policy: OwnerPolicy, new: Rules, version: int, actor: User | None, action: str, *, undid: int | None = None
) -> OwnerPolicy:
    if unknown := new.keys() - set(rules.FIELDS):
        raise InvalidInput(f"There is no rule called {sorted(unknown)[0]}.", code="rule_unknown")
    before, after = rules.rules_of(policy), rules.canonical(new)
    problems = {p.field: {"code": p.code, "message": p.message} for p in rules.check(after)}
    if problems:
        raise InvalidInput("Some of these rules are not valid.", code="policy_invalid", **problems)
    if after == before:
        return policy
    if not policy.rules_version <= version <= policy.version:
        raise Conflict("These rules were changed elsewhere in the meantime.", code="policy_changed")
    changed = sorted(field for field in after if after[field] != before[field])
    for field in changed:
        setattr(policy, field, after[field])
    policy.version += 1
    policy.rules_version = policy.version
    policy.previous = {"rules": before, "undid": undid}
    policy.preset = presets.matching_code(after)
    policy.save(update_fields=[*changed, "version", "rules_version", "previous", "preset"])
    _note(policy, actor, action, rules=changed)
    return policy


def _set_pause(policy: OwnerPolicy, word: str, until: datetime | None, actor: User | None) -> OwnerPolicy:
    policy.pause, policy.paused_until_at = word, until
    policy.version += 1
    policy.save(update_fields=["pause", "paused_until_at", "version"])
    _note(policy, actor, "policy.pause" if word else "policy.resume")
    return policy


def _until(kind: str, policy: OwnerPolicy) -> datetime | None:
    if kind == "hour":
        return timezone.now() + timedelta(hours=1)
    return next_morning(timezone.now(), _known_zone(policy)) if kind == "tomorrow" else None


def _known_zone(policy: OwnerPolicy) -> str:
    return policy.zone if policy.zone in rules.time_zones() else "UTC"


def _is_same_end(first: datetime | None, second: datetime | None) -> bool:
    return first == second if first is None or second is None else abs(first - second) < SAME_PAUSE


def _note(policy: OwnerPolicy, actor: User | None, action: str, **details: Any) -> None:
    """Record the names of rules in the trail, never their values: these reveal where a car stands and when."""
    audit.record(actor=actor, action=action, subject=policy.vehicle.public_id, version=policy.version, **details)
