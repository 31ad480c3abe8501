"""`ovms:mqtt://user@host/VEHICLEID?prefix=ovms`: metrics of an OVMS v3 module (server v3, MQTT).

The topic of a metric is ``<prefix>/<user>/<vehicle id>/metric/`` plus its name with slashes for dots. Every `server.v3
updatetime` seconds the module publishes the metrics that have changed, as retained messages. The default is 600: set it
to 60, or the readings become stale. `m.monotonic`, the uptime, always changes and serves as the heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from compute.agent.sensors import own_network
from compute.agent.sensors.mqtt import MqttSensors
from compute.agent.sensors.mqtt_url import BrokerUrl, level, levels, parse_broker, password_of
from compute.agent.sensors.state import LONG_AGO, VehicleState
from compute.agent.sensors.values import Values
from compute.agent.state.errors import AgentError

# Only these metrics are read. None of v.p.* is among them (position, speed, odometer, trip).
METRICS = (
    "m.monotonic",
    "m.net.type",
    "s.v3.connected",
    "v.b.p.temp.max",
    "v.b.soc",
    "v.b.temp",
    "v.c.charging",
    "v.c.pilot",
    "v.e.alarm",
    "v.e.cabintemp",
    "v.e.gear",
    "v.e.hvac",
    "v.e.on",
    "v.e.valet",
)
_NETWORKS = {"wifi": "wifi", "modem": "cellular", "none": "none"}
_TEMPERATURES = ("v.b.p.temp.max", "v.b.temp", "v.e.cabintemp")
_OPTIONS = frozenset({"prefix", "user", "topic", "network"})


def open_ovms(text: str) -> MqttSensors:
    """Open the source from its address, whose path is the vehicle id. Raise AgentError (sensors_invalid).

    Options: ``prefix`` (default "ovms") and ``user`` of the topic (default: the user of the connection), or ``topic``,
    everything before ``/metric`` (the module's `topic.prefix`); ``network`` as in `own_network.choose` (default: "car",
    what the module reports).
    """
    url = parse_broker(text, options=_OPTIONS)
    base, choice = _base(url), url.options.get("network", "car")
    own = own_network.choose(choice, car=lambda: None)
    return MqttSensors(
        kind="ovms",
        url=url,
        password=password_of(url),
        topics={f"{base}/metric/{metric.replace('.', '/')}": metric for metric in METRICS},
        read=lambda found: reading(found) if choice == "car" else replace(reading(found), network=own()),
    )


def _base(url: BrokerUrl) -> str:
    """Return the module's topic prefix without its last slash. Raise AgentError (sensors_invalid)."""
    topic, user = url.options.get("topic", ""), url.options.get("user", url.user)
    if topic:
        return levels(topic.strip("/"), "topic")
    if not url.path or not user:
        raise AgentError("sensors_invalid", "ovms: needs a user and a vehicle id: ovms:mqtt://user@host/VEHICLEID.")
    prefix = levels(url.options.get("prefix", "ovms"), "prefix")
    return f"{prefix}/{level(user, 'user')}/{level(url.path, 'The vehicle id')}"


def reading(found: Mapping[str, str]) -> VehicleState:
    """Return the reading of the metrics. Its ``note`` is set when the module is not connected to the broker."""
    values = Values(found)
    charging, pilot = values.boolean("v.c.charging"), values.boolean("v.c.pilot")
    heats = [heat for name in _TEMPERATURES if (heat := values.number(name)) is not None]
    is_connected = values.boolean("s.v3.connected")
    return VehicleState(
        at=LONG_AGO,
        parked=_is_parked(values),
        # Some cars give no pilot signal, but none charges without a plug.
        plugged_in=charging or pilot,
        charging=charging,
        charge_percent=values.number("v.b.soc"),
        network=values.one_of("m.net.type", _NETWORKS),
        temperature_c=max(heats, default=None),
        busy=_busy(values),
        note="OVMS reports that its module is not connected to the broker." if is_connected is False else "",
        fault=values.fault,
    )


def _is_parked(values: Values) -> bool | None:
    """Return whether the car is parked: False if it is switched on or in gear, None if the switch is unknown."""
    is_on, gear = values.boolean("v.e.on"), values.number("v.e.gear")
    if is_on or gear:
        return False
    return None if is_on is None else True


def _busy(values: Values) -> str:
    flags = (
        ("v.e.hvac", "preconditioning before a departure"),
        ("v.e.valet", "a valet"),
        ("v.e.alarm", "its alarm"),
    )
    return next((what for name, what in flags if values.boolean(name)), "")
