"""Two incidents while the job runs: an agent is killed in the middle of a unit, and an owner withdraws in another."""

import os
import signal
import time
from dataclasses import dataclass

from compute.models import Attempt
from marketplace.local.demo.fleet import Car
from marketplace.local.demo.owner import Portal
from marketplace.local.demo.waiting import wait_until

TRIES = 200
STOP_LIMIT_S = 5.0


@dataclass
class Incident:
    """An incident: its kind, and the car and attempt that it hit."""

    kind: str
    car: Car
    attempt: int
    stopped_after_s: float | None = None

    def outcome(self) -> tuple[str, str]:
        """Return (how that attempt ended, label of the car that finished its unit)."""
        attempt = Attempt.objects.select_related("unit__canonical__vehicle").get(pk=self.attempt)
        canonical = attempt.unit.canonical
        return attempt.status, canonical.vehicle.label if canonical else "nobody"

    @property
    def attempts_after(self) -> int:
        """Return how many attempts the car was given after the incident."""
        return Attempt.objects.filter(
            vehicle=self.car.vehicle, pk__gt=self.attempt, leased_at__gt=self._ended_at()
        ).count()

    def _ended_at(self) -> object:
        return Attempt.objects.get(pk=self.attempt).ended_at


def freeze_mid_unit(car: Car) -> int | None:
    """Stop (SIGSTOP) the agent while it runs a unit that is leased in the database. Return the attempt's id, or None.

    The agent is stopped first and its unit read then, so that the unit cannot end in between.
    """
    for _ in range(TRIES):
        if car.agent is None or car.agent.poll() is not None:
            return None
        if wait_until(lambda: car.is_running_unit, timeout_s=0.5, poll_s=0.01):
            car.send(signal.SIGSTOP)
            running = car.status().get("running") or {}
            attempt = int(running.get("attempt", 0))
            if Attempt.objects.filter(pk=attempt, status=Attempt.Status.LEASED).exists():
                return attempt
            car.send(signal.SIGCONT)
    return None


def kill_agent(car: Car) -> Incident | None:
    """Kill the agent with `kill -9` in the middle of a unit."""
    attempt = freeze_mid_unit(car)
    if attempt is None or car.agent is None:
        return None
    os.kill(car.agent.pid, signal.SIGKILL)
    car.agent.wait()
    return Incident("kill -9", car, attempt)


def withdraw_consent(car: Car, portal: Portal) -> Incident | None:
    """Withdraw the owner's consent in the middle of a unit. Measure from the click until the car runs no unit.

    The agent stays stopped until the click is answered: otherwise a short unit could end before.
    """
    attempt = freeze_mid_unit(car)
    if attempt is None:
        return None
    clicked = time.monotonic()
    portal.decide(str(car.vehicle.public_id), "withdrawn")
    car.send(signal.SIGCONT)
    stopped = wait_until(lambda: not car.is_running_unit, timeout_s=STOP_LIMIT_S, poll_s=0.005)
    return Incident("withdrawal", car, attempt, time.monotonic() - clicked if stopped else None)
