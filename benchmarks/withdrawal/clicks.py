"""Ways for an owner to withdraw.

Each is prepared first, so that the time starts at the click, not at opening the page.
"""

from __future__ import annotations

import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.withdrawal.fleet import Owned
from marketplace.local.demo.fleet import agent_environment
from marketplace.local.demo.owner import CSRF, PortalError
from marketplace.local.embedded import REPOSITORY

COMMAND_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Clicked:
    """The time of the click and of its answer (monotonic nanoseconds), and of the click by the wall clock."""

    sent_ns: int
    answered_ns: int
    sent_unix_ns: int


class Click(ABC):
    """One withdrawal by one owner: `prepare` (such as opening the page), then `now` once.

    Raises PortalError if the withdrawal is refused.
    """

    name: ClassVar[str]
    method: ClassVar[str]  # `method` of the consent record that it leads to

    def __init__(self, owned: Owned) -> None:
        self.owned = owned

    @abstractmethod
    def prepare(self) -> None:
        """Do what comes before the click."""

    def now(self) -> Clicked:
        """Withdraw and return the times."""
        sent_unix_ns, sent_ns = time.time_ns(), time.monotonic_ns()
        self.send()
        return Clicked(sent_ns, time.monotonic_ns(), sent_unix_ns)

    @abstractmethod
    def send(self) -> None:
        """Withdraw. Return when the withdrawal is answered."""


class ByPortal(Click):
    """The portal's form: one POST, answered by a redirect."""

    name, method = "portal", "portal"

    def prepare(self) -> None:
        token = CSRF.search(self.owned.portal.client.get("/vehicles/").text)
        if token is None:
            raise PortalError("the vehicles page has no form")
        self._form = {"csrfmiddlewaretoken": token.group(1), "decision": "withdrawn"}

    def send(self) -> None:
        path = f"/vehicles/{self.owned.vehicle_id}/consents/run_jobs"
        answer = self.owned.portal.client.post(path, data=self._form, follow_redirects=False)
        if not answer.is_redirect:
            raise PortalError(f"the withdrawal was answered with {answer.status_code}")


class ByAgent(Click):
    """The command `driveway-agent withdraw` in the car. The time starts before its process does."""

    name, method = "agent", "agent"

    def prepare(self) -> None:
        pass

    def send(self) -> None:
        command = [sys.executable, "-m", "compute.agent", "withdraw", "--state", str(self.owned.car.state)]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=agent_environment(self.owned.environment),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise PortalError(f"`driveway-agent withdraw` ended with {done.returncode}: {done.stderr[-300:]}")


CLICKS: dict[str, type[Click]] = {click.name: click for click in (ByPortal, ByAgent)}
