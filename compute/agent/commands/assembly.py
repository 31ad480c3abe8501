"""Build the agent from its parts and run it until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from compute.agent.agent import Agent
from compute.agent.carriers.client import NodeHttp
from compute.agent.carriers.https import HttpCarrier, fetch_credentials
from compute.agent.carriers.link import Link
from compute.agent.carriers.nats import NatsCarrier, connect_nats
from compute.agent.commands.enrolment import load_enrolment
from compute.agent.energy import open_energy
from compute.agent.policy.judge import Judge
from compute.agent.sensors import open_sensors
from compute.agent.state.files import lock
from compute.agent.state.hardware import Kind, describe
from compute.agent.state.identity import Identity, load_identity
from compute.agent.state.store import Store
from compute.agent.state.usage import Traffic, UsageBook
from compute.agent.status import Publisher
from compute.agent.work.blobs import DEFAULT_CACHE_BYTES, BlobCache, Blobs
from compute.agent.work.chain import ChainEnd
from compute.agent.work.meter import Recorder
from compute.agent.work.runner import Slot
from compute.agent.work.work import SlotPool
from compute.protocol import Credentials

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of `driveway-agent run`. An empty ``server`` or ``sensors`` means the value of the enrolment."""

    state: Path
    server: str = ""
    sensors: str = ""
    slots: int = 1
    cache_bytes: int = DEFAULT_CACHE_BYTES


async def run_agent(options: Options, *, stop: asyncio.Event | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT, or until ``stop`` is set. Raise AgentError when it cannot start."""
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    enrolment, identity = load_enrolment(options.state), load_identity(options.state)
    async with AsyncExitStack() as stack:
        stack.enter_context(lock(options.state))
        store = stack.enter_context(closing(Store(options.state)))
        server = options.server or enrolment.server
        traffic = Traffic()
        http = await stack.enter_async_context(NodeHttp(server, identity, keyid=enrolment.node, traffic=traffic))
        hardware = describe(cast(Kind, enrolment.kind))
        energy = open_energy(power_mw=enrolment.power_mw, provider=hardware.provider)
        judge = Judge(
            policy=store.policy() or enrolment.policy,
            sensors=open_sensors(options.sensors or enrolment.sensors, options.state),
            book=UsageBook(store),
            traffic=traffic,
        )
        # The link needs the agent for its callbacks, and the agent needs the link: the list is filled afterwards.
        made: list[Agent] = []
        agent = Agent(
            node=enrolment.node,
            hardware=hardware,
            judge=judge,
            store=store,
            link=_link(enrolment.node, identity, http, made, traffic),
            blobs=Blobs(http, BlobCache(options.state / "cache", limit_bytes=options.cache_bytes)),
            bench=_bench(options),
            energy=energy,
            recorder=Recorder(node=enrolment.node, identity=identity, store=store, layers=hardware.layers),
            chain=ChainEnd(node=enrolment.node, public_key=identity.key.public_key(), store=store),
            publisher=Publisher(
                options.state,
                node=enrolment.node,
                store=store,
                layers=hardware.layers,
                energy_method=energy.method,
            ),
            slots=options.slots,
        )
        made.append(agent)
        log.info("Vehicle %s at %s; sandbox: %s.", enrolment.node, server, ", ".join(hardware.layers))
        log.info("Readings from %s; energy: %s.", judge.source, energy.method)
        await agent.run(stop)


def _link(node: str, identity: Identity, http: NodeHttp, made: list[Agent], traffic: Traffic) -> Link:
    async def connect(credentials: Credentials) -> NatsCarrier:
        return await connect_nats(
            node=node,
            identity=identity,
            credentials=credentials,
            on_push=lambda push: made[0].on_push(push),
            on_revoked=lambda: made[0].sync_soon(),
            traffic=traffic,
        )

    return Link(
        https=HttpCarrier(http),
        credentials=lambda: fetch_credentials(http),
        connect=connect,
        on_connected=lambda: made[0].sync_soon(),
    )


def _bench(options: Options) -> SlotPool:
    """Return a bench with one slot for each unit that may run at the same time, all in one folder that stays empty."""
    empty = options.state / "empty"
    empty.mkdir(exist_ok=True, mode=0o500)
    return SlotPool([Slot(empty) for _ in range(options.slots)])
