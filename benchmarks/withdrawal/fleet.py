"""Cars as in the demo, enrolled through the portal, each with a real agent process; here each has its own owner."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from accounts.models import User
from accounts.owners import registration
from benchmarks.withdrawal.load import Orders
from benchmarks.withdrawal.model import model_bytes
from benchmarks.withdrawal.watch import Watch
from marketplace.local.demo import fleet, store
from marketplace.local.demo.customer import Customer
from marketplace.local.demo.fleet import Car, CarSpec
from marketplace.local.demo.owner import Portal
from marketplace.local.demo.seed import Seeded, seed
from marketplace.local.demo.waiting import wait_until
from marketplace.local.embedded.process import EmbeddedError
from marketplace.local.embedded.stack import Stack

UNIT_CPU_S = 6.0  # twice the polling interval: a click in the unit's first half stops it before it ends, by any carrier
BACKLOG_UNITS = 12  # for each car, because a car that gave a unit back does not get the same one for a minute
SETTLE_S = 600.0


@dataclass(frozen=True)
class Owned:
    """A car, its owner's browser, and the bytes that the agent's child reads to start, before it is given a model."""

    car: Car
    portal: Portal
    environment: Mapping[str, str]
    start_bytes: int

    @property
    def pid(self) -> int:
        assert self.car.agent is not None
        return self.car.agent.pid

    @property
    def vehicle_id(self) -> str:
        return str(self.car.vehicle.public_id)


def make_fleet(stack: Stack, watch: Watch, closing: ExitStack, count: int) -> list[Owned]:
    """Enrol cars and start their agents. They have no work yet. Raises EmbeddedError.

    Call it in the main thread: the agents end with it.
    """
    started = []
    for number in range(1, count + 1):
        email = f"owner-{number}@benchmark.example"
        user = User.objects.create_user(email, store.password_of(email), name=f"Owner {number}")
        registration.register_owner(user=user, name=user.name)
        portal = Portal.sign_in(stack.url, email, store.password_of(email))
        spec = CarSpec(f"car-{number}", email, f"Car {number}", "Benchmark", f"1DRVWAY00CCCC{number:04d}")
        car = fleet.enrol(spec, portal, stack.environment, stack.home / "agents")
        car.start(stack.environment, stack.home / "log" / f"agent-{spec.slug}.log")
        closing.callback(car.stop)
        assert car.agent is not None
        watch.add(car.agent.pid)
        started.append((car, portal))
    return [Owned(car, portal, stack.environment, _start_bytes(stack, watch, car)) for car, portal in started]


def _start_bytes(stack: Stack, watch: Watch, car: Car) -> int:
    """Return what the largest child has read once it has been idle for a second."""
    assert car.agent is not None
    pid = car.agent.pid

    def is_warm() -> bool:
        children = watch.look(pid)
        return (
            car.status().get("state") == "idle"
            and bool(children)
            and all(child.sampled_ns - child.moved_ns > 1_000_000_000 for child in children if not child.gone_ns)
        )

    if not wait_until(is_warm, timeout_s=SETTLE_S):
        raise EmbeddedError(f"{car.spec.label} did not become ready; see {stack.log_path(f'agent-{car.spec.slug}')}")
    return max(child.read_bytes for child in watch.look(pid))


def make_orders(stack: Stack, *, cars: int, requests_per_s: float, pollers: int) -> Orders:
    """Upload and admit a customer's model. Return the load's orders, with units sized by the time of the trial run."""
    people: Seeded = seed()
    customer = Customer(stack.url, people.api_key)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model_bytes())
        file.flush()
        uploaded = customer.upload_model(Path(file.name), "benchmark")
    admitted = customer.wait_for_admission(uploaded["id"], timeout_s=SETTLE_S)
    return Orders(
        url=stack.url,
        api_key=people.api_key,
        model=uploaded["id"],
        backlog=BACKLOG_UNITS * cars,
        unit_items=max(1, round(UNIT_CPU_S * 1e6 / admitted["us_per_item"])),
        requests_per_s=requests_per_s,
        pollers=pollers,
    )
