"""`ovms:mqtt://user@host/VEHICLEID?prefix=ovms`: metrics of an OVMS v3 module (server v3, MQTT).

The module publishes ``<prefix>/<user>/<vehicle id>/metric/`` and the metric's name with its dots as slashes, kept by
the broker, when it changed, every `server.v3 updatetime` seconds (600 by default: set it to 60, or it will be stale).
`m.monotonic`, its uptime, always changes: it is the heartbeat.
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

# Exactly these, and none of v.p.* (position, speed, odometer, trip).
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
    """The path is the vehicle id. Options: ``prefix`` (default "ovms"), ``user`` in the topic (default the user of the
    connection), or ``topic``, all that comes before ``/metric`` (the module's `topic.prefix`); ``network`` (as for
    `own_network.choose`; default what the module says).
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
    """The module's topic prefix, without its last slash. Raises AgentError (sensors_invalid)."""
    topic, user = url.options.get("topic", ""), url.options.get("user", url.user)
    if topic:
        return levels(topic.strip("/"), "topic")
    if not url.path or not user:
        raise AgentError("sensors_invalid", "ovms: needs a user and a vehicle id: ovms:mqtt://user@host/VEHICLEID.")
    prefix = levels(url.options.get("prefix", "ovms"), "prefix")
    return f"{prefix}/{level(user, 'user')}/{level(url.path, 'The vehicle id')}"


def reading(found: Mapping[str, str]) -> VehicleState:
    """What the metrics say; ``note`` is set when the module has left the broker."""
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
        note="OVMS says that its module has left the broker." if is_connected is False else "",
        fault=values.fault,
    )


def _is_parked(values: Values) -> bool | None:
    """Switched on is ready to drive, in gear is driving; a gear alone does not make it parked."""
    is_on, gear = values.boolean("v.e.on"), values.number("v.e.gear")
    if is_on or gear:
        return False
    return None if is_on is None else True


def _busy(values: Values) -> str:
    flags = (
        ("v.e.hvac", "preconditioning: somebody leaves soon"),
        ("v.e.valet", "a valet"),
        ("v.e.alarm", "its alarm"),
    )
    return next((what for name, what in flags if values.boolean(name)), "")
