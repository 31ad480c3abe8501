"""What a vehicle's pages say of it: what it does and why not, the computer in it, what was decided, what it earned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.models import ConsentCurrent, ConsentNotice, Owner, Vehicle
from billing.selectors import Earnings
from compute.models import Node
from compute.reasons import sentence, setting

# How the fields of an owner's rules that can stop a car are called on pages.
SETTING_TITLES = {
    "pause": "Pause",
    "windows": "Weekly schedule",
    "day_share_percent": "Share of a day",
    "ready_by": "Ready-by time",
    "plugged_in_only": "Only while plugged in",
    "charge_stop_percent": "Charge to keep",
    "network": "Network",
    "data_cap_mb_per_month": "Monthly data cap",
    "price_limit_micro_per_kwh": "Price limit",
    "power_rule": "Power",
    "heat_stop_c": "Heat limit",
}

# Which of a vehicle's figures were measured, and which not.
KINDS = {
    Vehicle.Kind.SIMULATED: "No car: a simulator makes up driving, plugging and charge. Computing time is measured on the "
    "computer that runs it; what a real battery would do is not.",
    Vehicle.Kind.BOX: "A computer in a box in the car. Computing time and energy are the box's own; what the car says of "
    "its charge and plug comes through its owner's data source and stays in the car.",
    Vehicle.Kind.OEM: "The carmaker's own computer, through its integration. Computing time and energy are that computer's; "
    "what the car says of its charge and plug stays in the car.",
}
ENERGY_METHODS = {
    "rapl": "Measured: the processor's own energy counter (RAPL), shared out by how busy the work kept it.",
    "nvml": "Measured: the graphics card's energy counter (NVML).",
    "ina3221": "Measured: the board's power sensors (INA3221).",
    "model": "Estimated, not measured: computing time times the usual draw of this class of computer.",
}
LAYERS = {
    "bubblewrap": "namespaces (bubblewrap)",
    "seccomp": "a filter of system calls (seccomp)",
    "rlimits": "limits of memory and time (rlimits)",
}


@dataclass(frozen=True)
class State:
    """What a vehicle does now; `code` is "" when it is available, and `setting` the rule of its owner that stopped it."""

    label: str
    code: str = ""
    sentence: str = ""
    setting: str = ""

    @property
    def is_available(self) -> bool:
        return not self.code

    @property
    def setting_title(self) -> str:
        return SETTING_TITLES.get(self.setting, self.setting.replace("_", " "))


def state_of(node: Node | None, consent: dict[str, Any]) -> State:
    """`consent` is `consents_of`'s entry for running jobs."""
    if node is None:
        return State("No agent", "no_agent", "No agent is enrolled yet.")
    if consent["state"] not in ("given", "renewed"):
        return _stopped("Not working", f"consent_{'missing' if consent['state'] == 'none' else consent['state']}")
    if node.status != Node.Status.ACTIVE:
        return _stopped("Not working", f"node_{node.status}")
    if node.presence.is_away:
        return _stopped("Away", "away")
    if not node.presence.available:
        return _stopped("Paused", node.presence.reason or "unavailable")
    return State("Available")


def _stopped(label: str, code: str) -> State:
    return State(label, code, sentence(code), setting(code))


def nodes_of(vehicles: Iterable[Vehicle]) -> dict[int, Node]:
    """The node that serves each vehicle, by vehicle id."""
    found = Node.objects.in_use().filter(vehicle__in=[v.pk for v in vehicles])
    return {node.vehicle_id: node for node in found.select_related("presence", "hardware_class")}


def consents_of(vehicles: Sequence[Vehicle], purposes: Sequence[str]) -> dict[int, dict[str, dict[str, Any]]]:
    """Per vehicle id and purpose: the newest text, and what was decided last and whether it still counts."""
    newest, counting = _notices(purposes)
    rows = ConsentCurrent.objects.filter(vehicle__in=[v.pk for v in vehicles], purpose__in=purposes)
    current = {(row.vehicle_id, row.purpose): row for row in rows.select_related("record")}
    return {
        vehicle.pk: {
            purpose: _consent(newest[purpose], counting.get(purpose, 0), current.get((vehicle.pk, purpose)))
            for purpose in purposes
            if purpose in newest
        }
        for vehicle in vehicles
    }


def _notices(purposes: Sequence[str]) -> tuple[dict[str, ConsentNotice], dict[str, int]]:
    """The newest text of each purpose, and the version below which consent no longer counts."""
    newest: dict[str, ConsentNotice] = {}
    counting: dict[str, int] = {}
    for notice in ConsentNotice.objects.filter(language="en", purpose__in=purposes).order_by("version"):
        newest[notice.purpose] = notice
        if notice.effective_at <= timezone.now():
            counting[notice.purpose] = notice.version
    return newest, counting


def _consent(notice: ConsentNotice, counting: int, row: ConsentCurrent | None) -> dict[str, Any]:
    state = row.state if row else "none"
    if row and state in ("given", "renewed"):
        state = "expired" if not row.is_in_force else "outdated" if row.notice_version < counting else state
    return {
        "purpose": notice.purpose,
        "title": notice.title,
        "notice_summary": notice.summary,
        "notice_version": notice.version,
        "state": state,
        "since_at": row.record.at if row else None,
        "record_id": row.record.public_id if row else None,
        "is_in_force": state in ("given", "renewed"),
    }


def computer_of(vehicle: Vehicle, node: Node | None, energy_method: str) -> dict[str, Any] | None:
    if node is None:
        return None
    return {
        "status": node.get_status_display(),
        "hardware_class": node.hardware_class.title,
        "cores": node.cores,
        "agent_version": node.agent_version,
        "last_seen_at": node.presence.last_sync_at,
        "carrier": node.presence.carrier,
        "layers": [LAYERS.get(str(layer), str(layer)) for layer in node.layers],
        "kind_title": vehicle.get_kind_display(),
        "kind_says": KINDS[Vehicle.Kind(vehicle.kind)],
        "energy_method": energy_method,
        "energy_says": ENERGY_METHODS.get(energy_method, "Not known yet: it has not signed a record of work."),
    }


def earned_of(rows: Iterable[Earnings], owner: Owner) -> dict[str, Any]:
    """The sum of earnings in the owner's currency, from gross to net."""
    ours = [row for row in rows if row.currency == owner.currency]
    parts = ("gross_micro", "energy_cost_micro", "wear_micro", "net_micro", "compute_ms", "energy_mwh", "attempts")
    return {"currency": owner.currency, **{part: sum(getattr(row, part) for row in ours) for part in parts}}
