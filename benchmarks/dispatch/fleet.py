"""Owners, vehicles, consents, nodes and jobs, through the services that the site uses. Imported once Django is set up."""

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
TRUSTED_STREAK = 1000  # as after a thousand right replicated answers: the audit floor of 3 % remains
WALLET_MICRO = 10**12
RESULT = safetensors.numpy.save({"y": np.ones((UNIT_ITEMS, 2), dtype=np.float32)})


@dataclass(frozen=True)
class Fleet:
    cars: list[factories.Car]
    organization: Organization


def make_fleet(*, owners: int, vehicles: int) -> Fleet:
    """Enrolled by one-time code, consent given, and trusted from the start: newcomers' quorums are not on this path."""
    people = [factories.make_owner() for _ in range(owners)]
    cars = [factories.make_car(people[index % owners]) for index in range(vehicles)]
    Node.objects.update(valid_streak=TRUSTED_STREAK)
    return Fleet(cars, factories.make_organization(wallet_micro=WALLET_MICRO))


def plan(fleet: Fleet, units: int) -> InferenceJob:
    """An ordered, paid and planned job of so many units, waiting for nodes. (Its model's row is made, not admitted.)"""
    return factories.make_ordered_job(fleet.organization, items=units * UNIT_ITEMS, unit_items=UNIT_ITEMS)


class Agent:
    """The light agent's process for one round, with fresh credentials and the counters that the site has stored."""

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
        """All vehicles become available."""
        self._send()

    def end(self) -> Tally:
        """All vehicles leave; what they counted."""
        self._send()
        tally = msgspec.json.decode(self._line(), type=Tally)
        self.process.wait(20)
        return tally

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _send(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()
