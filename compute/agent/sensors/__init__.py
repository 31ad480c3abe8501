"""Sources of the car's readings, all with the same small interface. `open_sensors` opens one by its name."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from compute.agent.sensors.command import CommandSensors
from compute.agent.sensors.file import FileSensors
from compute.agent.sensors.ovms import open_ovms
from compute.agent.sensors.simulated import OVERRIDES_FILE, PARKED, SimulatedSensors
from compute.agent.sensors.simulated_day import SimulatedDay
from compute.agent.sensors.state import NEVER, Sensors, VehicleState
from compute.agent.sensors.teslamate import open_teslamate
from compute.agent.state.clock import zone
from compute.agent.state.errors import AgentError

__all__ = ["NEVER", "OVERRIDES_FILE", "PARKED", "Sensors", "VehicleState", "open_sensors"]

HELP = (
    "simulated (default: parked, plugged in, on Wi-Fi), simulated:day?seed=1&zone=Europe/Berlin&speed=60,"
    " teslamate:mqtt://host:1883/?car=1, ovms:mqtt://user@host/VEHICLEID, file:PATH, or command:PROGRAM ARGUMENTS"
    " (see docs/vehicles.md); the password of a broker goes into DRIVEWAY_MQTT_PASSWORD"
)
# At a higher speed the simulated charge would change faster than `policy.readings` accepts.
_MAX_SPEED = 60


def open_sensors(name: str, state: Path) -> Sensors:
    """Open the source called ``name`` (see `HELP`). Raise AgentError (sensors_unknown, sensors_invalid).

    No source guesses: a value that it does not know is None, and a reading without recent news is stale.
    """
    kind, _, rest = name.partition(":")
    if name == "simulated":
        return SimulatedSensors(state)
    if kind == "simulated" and rest.partition("?")[0] == "day":
        return _open_day(rest.partition("?")[2])
    if kind == "file" and rest:
        return FileSensors(Path(rest))
    if kind == "command":
        return CommandSensors(rest)
    if kind == "teslamate":
        return open_teslamate(rest)
    if kind == "ovms":
        return open_ovms(rest)
    raise AgentError("sensors_unknown", f'Unknown sensors "{kind}". Use {HELP}.')


def _open_day(query: str) -> SimulatedDay:
    options = {"seed": "1", "speed": "1", "zone": "UTC"} | dict(parse_qsl(query))
    time_zone = zone(options["zone"])
    try:
        seed, speed = int(options["seed"]), int(options["speed"])
    except ValueError as error:
        raise AgentError("sensors_invalid", "seed and speed of simulated:day are whole numbers.") from error
    if time_zone is None or not 1 <= speed <= _MAX_SPEED or len(options) > 3:
        message = f"simulated:day takes seed, speed (1 to {_MAX_SPEED}) and zone (a time zone's name)."
        raise AgentError("sensors_invalid", message)
    return SimulatedDay(seed=seed, where=time_zone, speed=speed)
