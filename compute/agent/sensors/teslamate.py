"""`teslamate:mqtt://host:1883/?car=1`: TeslaMate's topics (docs.teslamate.org/docs/integrations/mqtt).

TeslaMate publishes a value when it changes, and nothing while the car sleeps. So the reading of a quiet car becomes
stale within two minutes, and it gets no work until TeslaMate publishes again. This is intended: TeslaMate cannot
distinguish a quiet car from one that was unplugged, and waking the car to ask costs more than the work earns.
"""

from __future__ import annotations

from collections.abc import Mapping

from compute.agent.sensors import own_network
from compute.agent.sensors.mqtt import MqttSensors
from compute.agent.sensors.mqtt_url import level, parse_broker, password_of
from compute.agent.sensors.state import LONG_AGO, VehicleState
from compute.agent.sensors.values import Values

# Only these topics are read. Latitude, longitude, location, geofence, speed, heading, elevation, odometer and power are
# not among them.
TOPICS = (
    "state",
    "healthy",
    "shift_state",
    "plugged_in",
    "charging_state",
    "usable_battery_level",
    "battery_level",
    "inside_temp",
    "outside_temp",
    "is_preconditioning",
    "is_user_present",
    "service_mode",
    "install_perc",
    "charge_energy_added",
    "charger_power",
)
# States in which TeslaMate receives values from the car. In the others (asleep, offline, suspended, start, unavailable)
# the topics hold old values.
_AWAKE = {"online", "charging", "driving", "updating"}
_OPTIONS = frozenset({"car", "namespace", "network"})


def open_teslamate(text: str) -> MqttSensors:
    """Open the source from its address. Raise AgentError (sensors_invalid).

    Options: ``car`` (default 1), ``namespace``, and ``network`` as in `own_network.choose` (default "own").
    """
    url = parse_broker(text, options=_OPTIONS)
    car, namespace = level(url.options.get("car", "1"), "car"), url.options.get("namespace", "")
    prefix = f"teslamate/{level(namespace, 'namespace')}/cars/{car}" if namespace else f"teslamate/cars/{car}"
    network = own_network.choose(url.options.get("network", "own"), car=lambda: None)
    return MqttSensors(
        kind="teslamate",
        url=url,
        password=password_of(url),
        topics={f"{prefix}/{name}": name for name in TOPICS},
        read=lambda found: reading(found, network()),
    )


def reading(found: Mapping[str, str], network: str | None) -> VehicleState:
    """Return the reading of TeslaMate's values. Its ``note`` is set when the values are old because the car sleeps."""
    values, state = Values(found), found.get("state", "")
    charging = _is_charging(values, state)
    return VehicleState(
        at=LONG_AGO,
        parked=_is_parked(values, state),
        plugged_in=values.boolean("plugged_in"),
        charging=charging,
        charge_percent=values.number("usable_battery_level", "battery_level"),
        network=network,
        temperature_c=values.number("inside_temp", "outside_temp"),
        busy=_busy(values, state),
        note=_note(values, state),
        fault=values.fault,
    )


def _note(values: Values, state: str) -> str:
    if values.boolean("healthy") is False:
        return "TeslaMate reports that its logger of this car is not healthy."
    if state in _AWAKE:
        return ""
    return (
        f'TeslaMate says that the car is "{state[:20]}", so its values are old.' if state else "TeslaMate says nothing."
    )


def _is_parked(values: Values, state: str) -> bool | None:
    """Return whether the car is parked: its shift state is then P or empty. A broker does not retain an empty value."""
    if state == "driving" or values.text("shift_state") not in ("", "P"):
        return False
    return True if state in ("online", "charging", "updating") else None


def _is_charging(values: Values, state: str) -> bool | None:
    if state == "charging":
        return True
    charging_state = values.text("charging_state")
    return charging_state in ("Charging", "Starting") if charging_state else False if state in _AWAKE else None


def _busy(values: Values, state: str) -> str:
    if state == "updating" or 0 < (values.number("install_perc") or 0) < 100:
        return "a software update"
    flags = (
        ("service_mode", "being serviced"),
        ("is_preconditioning", "preconditioning before a departure"),
        ("is_user_present", "a person inside"),
    )
    return next((what for name, what in flags if values.boolean(name)), "")
