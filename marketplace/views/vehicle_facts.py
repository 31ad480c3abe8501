"""What a vehicle's pages say of it: what it does and why not, the computer in it, what was decided."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from accounts.models import Vehicle
from compute.models import Node
from marketplace.views.reasons import Reason, explain

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
    """What a vehicle does now, and the reason when it is not available."""

    label: str
    reason: Reason | None = None

    @property
    def is_available(self) -> bool:
        return self.reason is None


def state_of(node: Node | None, consent: dict[str, Any]) -> State:
    """`consent` is `accounts.consents.selectors.consents_of`'s entry for running jobs."""
    if node is None:
        return State("No agent", Reason("no_agent", "No agent is enrolled yet."))
    if not consent["is_in_force"]:
        return State("Not working", explain(f"consent_{'missing' if consent['state'] == 'none' else consent['state']}"))
    if node.status != Node.Status.ACTIVE:
        return State("Not working", explain(f"node_{node.status}"))
    if node.presence.is_away:
        return State("Away", explain("away"))
    if not node.presence.available:
        return State("Paused", explain(node.presence.reason))
    return State("Available")


def nodes_of(vehicles: Iterable[Vehicle]) -> dict[int, Node]:
    """The node that serves each vehicle, by vehicle id."""
    found = Node.objects.in_use().filter(vehicle__in=[v.pk for v in vehicles])
    return {node.vehicle_id: node for node in found.select_related("presence", "hardware_class")}


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
