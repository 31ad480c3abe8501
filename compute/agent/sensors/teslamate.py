"""`teslamate:mqtt://host:1883/?car=1`: TeslaMate's topics (docs.teslamate.org/docs/integrations/mqtt).

TeslaMate publishes a value when it changes, and nothing while the car sleeps; so the reading of a quiet car grows
stale within two minutes, and there is no work until it speaks again. That is meant: TeslaMate cannot tell a quiet car
from one that was unplugged, and waking a car to ask costs more than the work brings.
"""

from __future__ import annotations

from collections.abc import Mapping

from compute.agent.sensors import own_network
from compute.agent.sensors.mqtt import MqttSensors
from compute.agent.sensors.mqtt_url import level, parse_broker, password_of
from compute.agent.sensors.state import LONG_AGO, VehicleState
from compute.agent.sensors.values import Values

# Exactly these, and none of latitude, longitude, location, geofence, speed, heading, elevation, odometer, power.
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
# States in which TeslaMate asks the car, and the car answers; the others (asleep, offline, suspended, start,
# unavailable) leave old values in the topics.
_AWAKE = {"online", "charging", "driving", "updating"}
_OPTIONS = frozenset({"car", "namespace", "network"})


def open_teslamate(text: str) -> MqttSensors:
    """Options: ``car`` (default 1), ``namespace``, ``network`` (as for `own_network.choose`)."""
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
    """What TeslaMate's values say; ``note`` is set when the car is not awake to say anything."""
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
        return "TeslaMate says that its logger of this car is not healthy."
    if state in _AWAKE:
        return ""
    return (
        f'TeslaMate says that the car is "{state[:20]}", so its values are old.' if state else "TeslaMate says nothing."
    )


def _is_parked(values: Values, state: str) -> bool | None:
    """The shift state is empty or P in a parked car; an empty one is not kept by the broker."""
    if state == "driving" or values.text("shift_state") not in ("", "P"):
        return False
    return True if state in ("online", "charging", "updating") else None


def _is_charging(values: Values, state: str) -> bool | None:
    if state == "charging":
        return True
    told = values.text("charging_state")
    return told in ("Charging", "Starting") if told else False if state in _AWAKE else None


def _busy(values: Values, state: str) -> str:
    if state == "updating" or 0 < (values.number("install_perc") or 0) < 100:
        return "a software update"
    flags = (
        ("service_mode", "being serviced"),
        ("is_preconditioning", "preconditioning: somebody leaves soon"),
        ("is_user_present", "somebody in it"),
    )
    return next((what for name, what in flags if values.boolean(name)), "")
