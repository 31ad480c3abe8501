"""`command:CMD`: a program of the installer prints the car's reading as JSON, for cars without another source.

The program is started without a shell every 10 s, in a separate thread, so that a slow program never delays the agent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime

from compute.agent.sensors.json_readings import complete_reading, parse_fields
from compute.agent.sensors.state import NEVER, VehicleState, never
from compute.agent.state.errors import AgentError

log = logging.getLogger(__name__)
EVERY_S = 10.0
TIMEOUT_S = 10.0
_MAX_BYTES = 65536


class CommandSensors:
    """Readings printed by a program. A reading has the time at which the program started, unless it prints ``at``."""

    def __init__(self, command: str, *, every_s: float = EVERY_S, timeout_s: float = TIMEOUT_S) -> None:
        self._argv = _split(command)
        self.source = f"command:{self._argv[0]}"
        self._timeout_s = timeout_s
        self._latest = never("The program has not answered yet.")
        self._every_s = every_s
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._repeat, name="sensors", daemon=True)
        self._thread.start()

    def __call__(self) -> VehicleState:
        return self._latest

    def close(self) -> None:
        """Kill the program if it runs, and end the thread."""
        self._stop.set()
        if self._process is not None and self._process.poll() is None:
            _kill(self._process)
        self._thread.join(1)

    def _repeat(self) -> None:
        while not self._stop.is_set():
            reading = self._read()
            if reading.note != self._latest.note:
                log.info("Sensors: %s", reading.note or "readings arrive")
            self._latest = reading
            self._stop.wait(self._every_s)

    def _read(self) -> VehicleState:
        started = datetime.now(UTC)
        try:
            return complete_reading(parse_fields(self._run()), replace(NEVER, at=started))
        except (OSError, ValueError) as error:
            return never(f"The program {self._argv[0]} gives no reading: {error}.")

    def _run(self) -> bytes:
        """Run the program and return its output.

        Raise OSError or ValueError, also for a timeout, an exit code other than 0, and more than 64 KiB of output.
        """
        self._process = process = subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        is_late = threading.Event()

        def kill_late() -> None:
            is_late.set()
            _kill(process)

        timer = threading.Timer(self._timeout_s, kill_late)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout as pipe:
                data = pipe.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise ValueError(f"it printed more than {_MAX_BYTES} bytes")
            code = process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                _kill(process)
                process.wait()
        if is_late.is_set():
            raise ValueError(f"it took more than {self._timeout_s:g} s")
        if code:
            raise ValueError(f"it ended with code {code}")
        return data


def _split(command: str) -> list[str]:
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise AgentError("sensors_invalid", f"The command of the sensors cannot be read: {error}.") from error
    if not argv:
        raise AgentError("sensors_invalid", "command: needs a program, for instance command:/usr/local/bin/car-state.")
    return argv


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and everything that it started: it is the leader of its own process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
