"""Owners, vehicles, consents, nodes and jobs, created through the site's services. Import it after django.setup()."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import safetensors.numpy

from accounts.models import Organization
from benchmarks.dispatch.wire import Car, Orders, Tally
from compute.models import InferenceJob, Node
from compute.nodes import nodes
from marketplace.local.embedded import REPOSITORY
from marketplace.local.embedded.server import write_private
from tests import factories

UNIT_ITEMS = 4
TRUSTED_STREAK = 1000  # as after a thousand correct replicated results: only the audit floor of 3 % is still replicated
WALLET_MICRO = 10**12
RESULT = safetensors.numpy.save({"y": np.ones((UNIT_ITEMS, 2), dtype=np.float32)})


@dataclass(frozen=True)
class Fleet:
    """The cars, and the customer that orders work."""

    cars: list[factories.Car]
    organization: Organization


def make_fleet(*, owners: int, vehicles: int) -> Fleet:
    """Create cars that are enrolled by one-time code, have given consent and are trusted.

    They are trusted from the start because the quorums that check new nodes are not part of the measured path.
    """
    people = [factories.make_owner() for _ in range(owners)]
    cars = [factories.make_car(people[index % owners]) for index in range(vehicles)]
    Node.objects.update(valid_streak=TRUSTED_STREAK)
    return Fleet(cars, factories.make_organization(wallet_micro=WALLET_MICRO))


def plan(fleet: Fleet, units: int) -> InferenceJob:
    """Return an ordered, paid and planned job of `units` units that wait for nodes.

    Its model is inserted, not admitted.
    """
    return factories.make_ordered_job(fleet.organization, items=units * UNIT_ITEMS, unit_items=UNIT_ITEMS)


class Agent:
    """The light agent's process for one round, with new credentials and the counters that the site has stored."""

    def __init__(self, fleet: Fleet, *, capacity: int, home: Path) -> None:
        cars = []
        for car in fleet.cars:
            node = Node.objects.select_related("vehicle", "presence").get(pk=car.node.pk)
            credentials = nodes.credentials(node=node)
            cars.append(
                Car(
                    str(node.public_id),
                    car.key.private_bytes_raw().hex(),
                    credentials.jwt,
                    node.presence.seq,
                    node.presence.meter_seq,
                    node.presence.meter_hash,
                )
            )
        orders = Orders(urls=credentials.urls, capacity=capacity, result=RESULT, cars=cars)
        path = home / "agent.json"
        write_private(path, msgspec.json.encode(orders).decode())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.dispatch.agent", str(path)],
            cwd=REPOSITORY,
            env=os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready", "the light agent did not connect"

    def go(self) -> None:
        """Let all vehicles become available."""
        self._send()

    def end(self) -> Tally:
        """Let all vehicles become unavailable and return what they counted."""
        self._send()
        tally = msgspec.json.decode(self._line(), type=Tally)
        self.process.wait(20)
        return tally

    def kill(self) -> None:
        """Kill the process and wait for it."""
        self.process.kill()
        self.process.wait()

    def _send(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()
