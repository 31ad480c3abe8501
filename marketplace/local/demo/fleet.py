"""The demo's five cars: one real agent process each, enrolled through the portal."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from accounts.models import Vehicle
from accounts.vehicles.vehicles import vin_hash
from compute.models import Node
from marketplace.local.demo.agents import CarSpec, agent_arguments, agent_environment
from marketplace.local.demo.owner import Portal
from marketplace.local.embedded import REPOSITORY
from marketplace.local.embedded.process import spawn

ENROL_TIMEOUT_S = 300


CARS = (
    CarSpec("alice-1", "alice@demo.example", "Blue hatchback", "Demo Motors One", "1DRVWAY00AAAA0001"),
    CarSpec("alice-2", "alice@demo.example", "Family van", "Demo Motors Van", "1DRVWAY00AAAA0002"),
    CarSpec("alice-3", "alice@demo.example", "Old roadster", "Demo Motors R", "1DRVWAY00AAAA0003", consents=False),
    CarSpec("bob-1", "bob@demo.example", "Delivery truck", "Demo Motors T", "1DRVWAY00BBBB0001"),
    CarSpec("bob-2", "bob@demo.example", "Weekend car", "Demo Motors W", "1DRVWAY00BBBB0002"),
)


@dataclass
class Car:
    """A vehicle, its agent's state folder, and the agent while it runs."""

    spec: CarSpec
    state: Path
    vehicle: Vehicle
    agent: "subprocess.Popen[bytes] | None" = field(default=None)

    def status(self) -> dict[str, Any]:
        """Return the agent's status.json; empty before the agent has written it."""
        try:
            return dict(json.loads((self.state / "status.json").read_bytes()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    @property
    def is_running_unit(self) -> bool:
        return self.status().get("running") is not None

    @property
    def node(self) -> Node:
        return Node.objects.in_use().select_related("presence", "hardware_class").get(vehicle=self.vehicle)

    def start(self, environment: Mapping[str, str], log: Path) -> None:
        self._end_leftover()
        self.agent = spawn(
            [sys.executable, *agent_arguments(self.state, environment["DRIVEWAY_URL"])],
            log_path=log,
            environment=agent_environment(environment),
            cwd=REPOSITORY,
            dies_with_parent=True,
        )

    def _end_leftover(self) -> None:
        """End an agent that outlived an earlier demo: that demo was killed, and the agent was stopped or is not on Linux."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(self.status().get("pid", 0)))
            if str(self.state) in process.cmdline():
                process.kill()
                process.wait(5)

    def send(self, number: int) -> None:
        if self.agent and self.agent.poll() is None:
            os.kill(self.agent.pid, number)

    def stop(self) -> None:
        if self.agent is None:
            return
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.agent.wait(10)
        except subprocess.TimeoutExpired:
            self.agent.kill()
            self.agent.wait()


def enrol(spec: CarSpec, portal: Portal, environment: Mapping[str, str], folder: Path) -> Car:
    """Add the car in the portal and enrol its agent, unless an earlier run did, and decide about consent. Return it."""
    state = folder / spec.slug
    vehicle = Vehicle.objects.filter(vin_hash=vin_hash(spec.vin), retired_at=None).first()
    if vehicle is None:
        code = portal.add_vehicle(label=spec.label, make_model=spec.make_model, vin=spec.vin)
        vehicle = Vehicle.objects.get(vin_hash=vin_hash(spec.vin), retired_at=None)
    elif Node.objects.serving(vehicle) is None:
        code = portal.enrolment_code(str(vehicle.public_id))
    else:
        code = ""
    if code:
        shutil.rmtree(state, ignore_errors=True)  # the state of an earlier computer, whose key no longer works
        command = [sys.executable, "-m", "compute.agent", "enrol", "--server", environment["DRIVEWAY_URL"]]
        subprocess.run(
            [*command, "--code", code, "--state", str(state)],
            cwd=REPOSITORY,
            env=agent_environment(environment),
            check=True,
            capture_output=True,
            timeout=ENROL_TIMEOUT_S,
        )
    portal.decide(str(vehicle.public_id), "given" if spec.consents else "refused")
    return Car(spec, state, vehicle)
