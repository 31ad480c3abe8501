"""Facts that a vehicle's pages show: whether it is available and why not, and the computer in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from accounts.models import Vehicle
from compute.models import Node
from marketplace.views.reasons import Reason, explain

# For each kind of vehicle: which of its figures are measured and which are not.
KINDS = {
    Vehicle.Kind.SIMULATED: "Not a car: a simulator invents driving, plugging in and charge. Computing time is measured"
    " on the computer that runs it; the effect on a real battery is not.",
    Vehicle.Kind.BOX: "A computer in a box in the car. Computing time and energy are measured by the box; the car's "
    "charge and plug come from its owner's data source and stay in the car.",
    Vehicle.Kind.OEM: "The carmaker's own computer, through its integration. Computing time and energy are measured by "
    "that computer; the car's charge and plug stay in the car.",
}
ENERGY_METHODS = {
    "rapl": "Measured: the processor's own energy counter (RAPL), in proportion to the processor time of the work.",
    "nvml": "Measured: the graphics card's energy counter (NVML).",
    "ina3221": "Measured: the board's power sensors (INA3221).",
    "model": "Estimated, not measured: computing time multiplied by the usual power draw of this class of computer.",
}
LAYERS = {
    "bubblewrap": "namespaces (bubblewrap)",
    "seccomp": "a filter of system calls (seccomp)",
    "rlimits": "limits of memory and time (rlimits)",
}


@dataclass(frozen=True)
class State:
    """Whether a vehicle is available for work now, in one word, and the reason if it is not."""

    label: str
    reason: Reason | None = None

    @property
    def is_available(self) -> bool:
        return self.reason is None


def state_of(node: Node | None, consent: dict[str, Any]) -> State:
    """Return the State of a vehicle.

    `consent` is the entry for running jobs of `accounts.consents.selectors.consents_of`.
    """
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
    """Return the node that serves each vehicle, by vehicle id."""
    nodes = Node.objects.in_use().filter(vehicle__in=[v.pk for v in vehicles])
    return {node.vehicle_id: node for node in nodes.select_related("presence", "hardware_class")}


def computer_of(vehicle: Vehicle, node: Node | None, energy_method: str) -> dict[str, Any] | None:
    """Return what the page shows of the computer in the vehicle, or None without a node."""
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
        "energy_says": ENERGY_METHODS.get(
            energy_method, "Not known yet: the computer has not signed a record of work."
        ),
    }
