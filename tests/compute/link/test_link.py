"""The real link process between a real nats-server and PostgreSQL, with cars that connect as agents do.

Each module has its own nats-server: on a shared one the queue group "link" would give a car's sync to the link of
another test process, which uses another database.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from compute import protocol
from compute.dispatch import dispatch
from compute.link import outbound_messages, process
from compute.link.batcher import Batcher
from compute.link.process import Link
from compute.models import Attempt, Node
from compute.nats import trust
from compute.nats.jwt import Credentials, TrustChain, server_config
from compute.nodes import nodes
from compute.sync import sync
from marketplace.local.embedded.process import free_port
from tests import factories
from tests.compute.helpers import execute, present
from tests.compute.helpers import trust as trusted
from tests.factories import Car
from tests.waiting import NEVER_S, PATIENCE_S, until_async

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unhurried")]


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory):
    folder, chain, port = tmp_path_factory.mktemp("nats"), TrustChain.create(), free_port()
    (folder / "server.conf").write_text(server_config(chain, port=port, store_dir=folder / "accounts"))
    chain.save(folder / "trust.json")
    program = Path(sys.executable).parent / "nats-server"
    server = subprocess.Popen([program, "-c", folder / "server.conf"], stderr=subprocess.DEVNULL)
    yield f"nats://127.0.0.1:{port}", folder / "trust.json"
    server.terminate()
    server.wait(PATIENCE_S)


@pytest.fixture(autouse=True)
def _own_nats(nats_server: tuple[str, Path], settings: Any, monkeypatch: pytest.MonkeyPatch):
    settings.NATS_URL, (_, trust_file) = nats_server[0], nats_server
    settings.NATS_PUBLIC_URLS = [nats_server[0]]
    for part in ("OPERATOR", "ACCOUNT", "SYSTEM"):
        monkeypatch.delenv(f"NATS_{part}_SEED", raising=False)
    monkeypatch.setenv("NATS_TRUST_FILE", str(trust_file))
    trust.trust_chain.cache_clear()
    yield
    trust.trust_chain.cache_clear()


@pytest.fixture(autouse=True)
def _only_when_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the link from sweeping by itself: everything that it sends follows a notification."""
    monkeypatch.setattr(process, "SWEEP_S", NEVER_S)


@sync_to_async(thread_sensitive=False)
def in_thread(work: Callable[..., Any], *arguments: Any, **fields: Any) -> Any:
    """Run database work in a thread with its own connection."""
    try:
        return work(*arguments, **fields)
    finally:
        connection.close()


@asynccontextmanager
async def running_link() -> AsyncIterator[Link]:
    """Run a link until it is stopped, as by SIGTERM."""
    link = Link()
    task = asyncio.create_task(link.run())
    try:
        await until_async(lambda: task.done() or (hasattr(link, "_client") and link._client._subs), what="the link")
        if task.done():
            task.result()
        await link._client.flush(PATIENCE_S)
        yield link
        assert not task.done(), "the link ended by itself"
    finally:
        link.stop()
        await asyncio.wait_for(task, PATIENCE_S)


class Online:
    """A car's connection to NATS with the credentials that the site issued."""

    def __init__(self, car: Car, issued: protocol.Credentials) -> None:
        self.car, self.issued = car, issued
        self.pushes: asyncio.Queue[protocol.Push] = asyncio.Queue()
        self.dropped = asyncio.Event()
        self.errors: list[str] = []
        self.heard: list[bytes] = []

    async def connect(self) -> "Online":
        async def on_drop() -> None:
            self.dropped.set()

        async def on_error(error: Exception) -> None:
            self.errors.append(str(error))

        async def on_push(message: Any) -> None:
            self.heard.append(message.data)
            self.pushes.put_nowait(protocol.unpack_push(message.data))

        self.client = await nats.connect(
            self.issued.urls[0],
            **Credentials(self.issued.jwt, self.car.key.sign).connect_options(),
            inbox_prefix=protocol.inbox_prefix(self.car.id).encode(),
            allow_reconnect=False,
            connect_timeout=PATIENCE_S,
            max_reconnect_attempts=1,
            disconnected_cb=on_drop,
            error_cb=on_error,
        )
        await self.client.subscribe(protocol.command_subject(self.car.id), cb=on_push)
        await self.client.flush(PATIENCE_S)
        return self

    def request(self, **fields: Any) -> protocol.SyncRequest:
        self.car.seq += 1
        values = {"node": self.car.id, "seq": self.car.seq, "available": True, "capacity": 1, "policy_version": 1}
        return protocol.SyncRequest(**{**values, **fields})

    async def ask(self, data: bytes) -> protocol.SyncResponse:
        answer = await self.client.request(protocol.sync_subject(self.car.id), data, timeout=PATIENCE_S)
        return protocol.unpack_response(answer.data)

    async def sync(self, **fields: Any) -> protocol.SyncResponse:
        return await self.ask(protocol.pack(self.request(**fields)))

    async def pushed(self) -> protocol.Push:
        return await asyncio.wait_for(self.pushes.get(), PATIENCE_S)


def cut_once_heard(link: Link, car: Online) -> None:
    """Let the link cut the car's line only when the car has heard its lease and the cancel.

    The link sends the cancel before the revocation, but the NATS server writes to the car in a thread of its own and
    may close the connection first. (The agent then asks for the reason over HTTPS.) With the wait, a link that sent
    the cancel after the revocation would never cut the line.
    """
    revoke = link._revoke

    async def revoke_once_heard(revoked: dict[str, int]) -> None:
        if revoked:
            await until_async(lambda: len(car.heard) >= 2, what="the cancel")
        await revoke(revoked)

    link._revoke = revoke_once_heard  # type: ignore[method-assign]


@asynccontextmanager
async def online(*cars: Car) -> AsyncIterator[list[Online]]:
    opened = [await Online(car, await in_thread(nodes.credentials, node=car.node)).connect() for car in cars]
    try:
        yield opened
    finally:
        for one in opened:
            with suppress(nats.errors.Error):
                await one.client.close()


async def leased(car: Online) -> protocol.Lease:
    """Dispatch a unit to this car, and return the lease that it is pushed."""
    await car.sync()
    await in_thread(factories.make_job, items=1, unit_items=1)
    # The other car uses HTTPS and is away.
    await in_thread(execute, "UPDATE compute_nodepresence SET available = false WHERE carrier <> 'nats'")
    assert await in_thread(dispatch.dispatch) == 1
    (lease,) = (await car.pushed()).leases
    return lease


@pytest.fixture
def cars() -> list[Car]:
    cars = present(2, capacity=1)
    trusted(cars)
    return cars


async def test_a_sync_is_answered_once_it_is_written(cars):
    async with running_link(), online(*cars) as (one, two):
        answers = await asyncio.gather(one.sync(), two.sync(available=False, reason="driving"))
        assert [(a.error, a.seq) for a in answers] == [("", one.car.seq), ("", two.car.seq)]
        rows = await in_thread(
            execute, "SELECT seq, available, reason, carrier FROM compute_nodepresence ORDER BY node_id"
        )
        assert rows == [(one.car.seq, True, "", "nats"), (two.car.seq, False, "driving", "nats")]


async def test_a_lease_is_pushed_because_of_its_dispatch_and_reported_back(cars):
    async with running_link(), online(cars[0]) as (car,):
        lease = await leased(car)
        (attempt,) = await in_thread(list, Attempt.objects.all())
        assert (lease.attempt, attempt.node_id) == (attempt.pk, car.car.node.pk)
        report = await in_thread(car.car.report, lease)
        (ack,) = (await car.sync(reports=(report,))).acks
        assert (ack.attempt, ack.status) == (lease.attempt, "accepted")
        again = await car.sync(reports=(report,))
        assert again.acks[0].status == "duplicate"


@pytest.mark.parametrize("code", ["consent_withdrawn", "node_retired"])
async def test_a_withdrawal_and_a_retirement_stop_the_car_cut_its_line_and_keep_it_out(cars, code):
    async with running_link() as link, online(*cars) as (car, other):
        cut_once_heard(link, car)
        lease = await leased(car)
        # Credentials are dated in whole seconds, so one issued in the second of the withdrawal is void too.
        if code == "node_retired":
            await in_thread(nodes.retire, node=car.car.node, why="lost", actor=None)
        else:
            await in_thread(factories.decide, car.car.node.vehicle, "withdrawn")
        (cancel,) = (await car.pushed()).cancels
        assert (cancel.attempt, cancel.fence, cancel.code) == (lease.attempt, lease.fence, code)
        await asyncio.wait_for(car.dropped.wait(), PATIENCE_S)
        assert await in_thread(lambda: Node.objects.get(pk=car.car.node.pk).link_revoked_at)
        with pytest.raises((nats.errors.Error, ConnectionError)):
            await asyncio.wait_for(Online(car.car, car.issued).connect(), PATIENCE_S)
        assert not other.dropped.is_set()
        assert (await other.sync()).error == ""


async def test_a_withdrawal_between_two_reads_of_the_link_still_pushes_its_cancel_before_the_line_is_cut(
    cars, monkeypatch
):
    async with running_link() as link, online(cars[0]) as (car,):
        cut_once_heard(link, car)
        lease = await leased(car)
        take_pushes, withdrawn = outbound_messages.take_pushes, []

        def take_then_withdraw() -> Any:
            pushes = take_pushes()
            if not withdrawn:
                withdrawn.append(factories.decide(car.car.node.vehicle, "withdrawn"))
            return pushes

        monkeypatch.setattr(outbound_messages, "take_pushes", take_then_withdraw)
        link._wake.set()
        (cancel,) = (await car.pushed()).cancels
        assert (cancel.attempt, cancel.code) == (lease.attempt, "consent_withdrawn")
        await asyncio.wait_for(car.dropped.wait(), PATIENCE_S)


async def test_bytes_that_are_no_sync_are_answered_malformed(cars):
    async with running_link(), online(*cars) as (car, other):
        for data in (b"", b"\xff", b"\x91" * 5000, b"\x81\xa4node\xa2\xff\xfe", protocol.pack(protocol.Push())):
            answer = await car.ask(data)
            assert (answer.error, answer.seq) == ("malformed", 0)
        assert (await other.sync()).error == ""


async def test_a_car_cannot_speak_for_another(cars):
    async with running_link(), online(*cars) as (car, other):
        answer = await car.sync(node=other.car.id, seq=99)
        assert answer.error == "foreign_node"
        await car.client.publish(protocol.sync_subject(other.car.id), protocol.pack(other.request()))
        await until_async(lambda: car.errors, what="the server's refusal")
        assert f'publish to "{protocol.sync_subject(other.car.id)}"'.lower() in car.errors[0].lower()
        assert (await other.sync()).error == ""


async def test_an_answer_goes_to_no_subject_but_the_cars_own_inbox(cars):
    """Otherwise a car could have its answer sent on another car's command subject, and so cancel that car's leases."""
    async with running_link() as link, online(*cars) as (thief, victim):
        subject = protocol.sync_subject(thief.car.id)
        aim = thief.request(running=(protocol.Renewal(attempt=1, fence=1),))
        for reply in (protocol.command_subject(victim.car.id), f"{protocol.inbox_prefix(victim.car.id)}.x"):
            await thief.client.publish(subject, protocol.pack(aim), reply=reply)
            await thief.client.publish(subject, b"malformed", reply=reply)
        assert (await thief.sync()).error == ""  # earlier messages have been processed by now
        wanted = protocol.pack(protocol.Push())
        await link._client.publish(protocol.command_subject(victim.car.id), wanted)
        await victim.pushed()
        assert victim.heard == [wanted]


async def test_a_sync_that_wants_no_answer_does_not_end_the_link(cars):
    async with running_link(), online(*cars) as (car, other):
        for data in (protocol.pack(car.request()), b"malformed"):
            await car.client.publish(protocol.sync_subject(car.car.id), data)
        assert (await car.sync()).error == ""  # earlier messages have been processed by now
        assert (await other.sync()).error == ""


async def test_one_poisonous_sync_leaves_the_others_answered(cars, monkeypatch):
    handle, batches = sync.handle, []

    def poisoned(requests, *, carrier):
        batches.append([request.reason for request in requests])
        if "poison" in batches[-1]:
            raise ZeroDivisionError
        return handle(requests, carrier=carrier)

    monkeypatch.setattr(process.sync, "handle", poisoned)
    async with running_link(), online(*cars) as (car, other):
        poison = asyncio.create_task(car.ask(protocol.pack(car.request(reason="poison"))))
        answers = await asyncio.gather(*[other.sync() for _ in range(5)])
        assert {answer.error for answer in answers} <= {"", "replayed"}
        assert answers[-1].error == ""
        await until_async(lambda: ["poison"] in batches, what="the poison to be tried alone")
        assert (await car.sync()).error == ""
        assert not poison.done(), "answers come in order: there was none"
        poison.cancel()


async def test_stopping_leaves_no_thread_and_no_connection_behind(cars):
    async with running_link() as link:
        pass
    assert link._client.is_closed
    assert link._system.is_closed


# Parts of it


async def batched(handle: Any, count: int, reply: Any, is_over: Callable[[], bool]) -> None:
    batcher = Batcher(handle)
    task = asyncio.create_task(batcher.run())
    for seq in range(1, count + 1):
        batcher.put(protocol.SyncRequest(node="n", seq=seq, available=True), reply(seq))
    await until_async(is_over, what="the answers")
    assert not task.done()
    task.cancel()


async def test_the_batcher_gathers_and_survives_a_reply_that_fails():
    sizes, answered = [], []

    async def handle(requests):
        sizes.append(len(requests))
        return [protocol.SyncResponse(seq=r.seq) for r in requests]

    def reply(seq):
        async def send(data: bytes) -> None:
            if seq == 3:
                raise nats.errors.ConnectionClosedError
            answered.append(protocol.unpack_response(data).seq)

        return send

    await batched(handle, 10, reply, lambda: 10 in answered)
    assert sizes == [10]
    assert answered == [1, 2, 4, 5, 6, 7, 8, 9, 10]


def test_only_credentials_that_may_still_live_are_revoked(cars, settings):
    assert outbound_messages.revocations() == {}
    for car in cars:
        nodes.credentials(node=car.node)
    factories.decide(cars[0].node.vehicle, "withdrawn")
    assert len(outbound_messages.revocations()) == 1
    settings.NATS_USER_LIFETIME_S = -61
    assert outbound_messages.revocations() == {}
    assert Node.objects.filter(link_revoked_at=None).count() == 1
    assert not Attempt.objects.exists()
