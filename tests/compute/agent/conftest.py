"""Tiny real ONNX models, and a fake marketplace for one node that verifies every signature and record."""

import asyncio
import contextlib
import hashlib
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import msgspec
import numpy as np
import onnx
import psutil
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from onnx import TensorProto, helper
from safetensors.numpy import save

from compute import protocol
from compute.agent.commands.assembly import Options, run_agent
from compute.agent.commands.enrolment import enrol
from compute.agent.state.hardware import describe
from compute.agent.status import STATUS_FILE, Status, read_status
from compute.agent.work import process
from compute.agent.work.runner import Unit
from compute.api import http_signatures
from tests.waiting import NEVER_S, until_async

HOUR_MS = 3_600_000


def _float(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])


def _scalar(name: str, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


def _model(nodes: list[onnx.NodeProto], name: str = "g") -> bytes:
    graph = helper.make_graph(nodes, name, [_float("x")], [_float("y")])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def _double_model(name: str = "double") -> bytes:
    return _model([helper.make_node("Add", ["x", "x"], ["y"])], name)


def _loop_model(trips: int = 2**62) -> bytes:
    """Return a model with a Loop of `trips` rounds; with the default it never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["co"]), helper.make_node("Identity", ["v"], ["vo"])],
        "body",
        [_scalar("i", TensorProto.INT64), _scalar("c", TensorProto.BOOL), _float("v")],
        [_scalar("co", TensorProto.BOOL), _float("vo")],
    )
    count = helper.make_tensor("m", TensorProto.INT64, [], [trips])
    true = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    return _model(
        [
            helper.make_node("Constant", [], ["m"], value=count),
            helper.make_node("Constant", [], ["t"], value=true),
            helper.make_node("Loop", ["m", "t", "x"], ["y"], body=body),
        ]
    )


def _bomb_model(doublings: int = 36) -> bytes:
    nodes = [helper.make_node("Concat", [f"x{i}" if i else "x"] * 2, [f"x{i + 1}"], axis=1) for i in range(doublings)]
    return _model([*nodes, helper.make_node("Identity", [f"x{doublings}"], ["y"])])


def _inputs(items: int = 3, seed: int = 0) -> bytes:
    return save({"x": np.random.default_rng(seed).normal(size=(items, 4)).astype(np.float32)})


def _make_unit(model: bytes, **changes: object) -> Unit:
    values = {
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "model": model,
        "inputs": _inputs(),
        "outputs": ("y",),
        "items": 3,
        "batch": 2,
        "memory_bytes": 256 << 20,
        "time_limit_ms": HOUR_MS,
    }
    return Unit(**(values | changes))


@dataclass
class Marketplace:
    """The server side of the protocol, in memory, with faults on demand."""

    node: str = field(default_factory=lambda: str(uuid.uuid4()))
    blobs: dict[str, bytes] = field(default_factory=dict)
    leases: list[protocol.Lease] = field(default_factory=list)
    cancels: list[protocol.Cancel] = field(default_factory=list)
    policy: protocol.Policy | None = None
    withheld: str = ""
    chain: protocol.Chain | None = None
    share: tuple[str, ...] = ()
    next_sync_ms: int = 100
    lease_ms: int = HOUR_MS
    credentials: protocol.Credentials | None = None
    ack: Callable[[protocol.Report], protocol.Ack | None] | None = None
    fail: Callable[[str], tuple[int, dict[str, str]] | None] | None = None
    garbage: bytes = b""
    silence: Callable[[str], object] | None = None
    syncs: list[protocol.SyncRequest] = field(default_factory=list)
    received: list[protocol.Report] = field(default_factory=list)
    reports: list[protocol.Report] = field(default_factory=list)
    results: dict[int, bytes] = field(default_factory=dict)
    public_key: bytes = b""
    nonces: set[str] = field(default_factory=set)
    port: int = 0
    issued: int = 0
    last_seq: int = 0
    _attempts: int = 100

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def offer(self, model: bytes, data: bytes | None = None, **changes: object) -> protocol.Lease:
        """Add a lease to the answer to the next sync, and return it."""
        data = _inputs() if data is None else data
        for blob in (model, data):
            self.blobs[hashlib.sha256(blob).hexdigest()] = blob
        self._attempts += 1
        values = {
            "attempt": self._attempts,
            "fence": 7,
            "expires_in_ms": HOUR_MS,
            "items": 3,
            "batch": 2,
            "grant": "grant",
            "model_sha256": hashlib.sha256(model).hexdigest(),
            "model_bytes": len(model),
            "input_sha256": hashlib.sha256(data).hexdigest(),
            "input_bytes": len(data),
            "outputs": ("y",),
            "memory_bytes": 256 << 20,
            "time_limit_ms": HOUR_MS,
        }
        lease = protocol.Lease(**(values | changes))
        self.leases.append(lease)
        return lease

    def answer(self, request: protocol.SyncRequest) -> protocol.SyncResponse:
        assert request.node == self.node
        assert request.seq > self.last_seq
        self.last_seq = request.seq
        self.syncs.append(request)
        acks = [ack for report in request.reports if (ack := self._acknowledge(report)) is not None]
        leases, self.leases = self.leases, []
        cancels, self.cancels = self.cancels, []
        policy = self.policy if self.policy and self.policy.version != request.policy_version else None
        return protocol.SyncResponse(
            seq=request.seq,
            acks=tuple(acks),
            leases=tuple(leases),
            cancels=tuple(cancels),
            withheld=self.withheld,
            chain=self.chain,
            policy=policy,
            share=self.share,
            next_sync_ms=self.next_sync_ms,
            lease_ms=self.lease_ms,
        )

    def _acknowledge(self, report: protocol.Report) -> protocol.Ack | None:
        key = Ed25519PublicKey.from_public_bytes(self.public_key)
        key.verify(report.signature, protocol.signed_bytes(report.record))
        self.received.append(report)
        if report not in self.reports:  # a report is repeated when its answer was lost or the agent was stopped
            self.reports.append(report)
        if self.ack is not None:
            return self.ack(report)
        return protocol.Ack(attempt=report.attempt, fence=report.fence, status="accepted")

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if self.silence:
            self.silence(scope["path"])
        while self.silence:
            await asyncio.sleep(0.01)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        status, extra, content = self._handle(scope["method"], scope["path"], headers, body)
        raw = [(name.encode(), value.encode()) for name, value in extra.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    def _handle(self, method: str, path: str, headers: dict[str, str], body: bytes):
        if self.fail and (failure := self.fail(path)):
            return *failure, b'{"error": {"code": "busy", "message": "Try again.", "fields": {}}}'
        is_enrolment = path == "/api/node/v1/enrol"
        verified = http_signatures.verify_request(
            method=method,
            url=path,
            headers=headers,
            body=body,
            now=datetime.now(UTC),
            key_for=lambda keyid: bytes.fromhex(keyid) if is_enrolment else self.public_key,
        )
        assert verified.nonce not in self.nonces
        self.nonces.add(verified.nonce)
        assert is_enrolment or verified.keyid == self.node
        if is_enrolment:
            return 200, {}, self._enrol(msgspec.msgpack.decode(body, type=protocol.Enrolment))
        if path == "/api/node/v1/sync":
            return 200, {}, self.garbage or protocol.pack(self.answer(protocol.unpack_request(body)))
        if path == "/api/node/v1/credentials":
            return self._credentials()
        if path.startswith("/api/node/v1/blobs/"):
            assert headers["driveway-grant"] == "grant"
            blob = self.blobs.get(path.rsplit("/", 1)[1])
            return (404, {}, b"") if blob is None else (200, {}, blob)
        assert method == "PUT"
        assert headers["driveway-fence"] == "7"
        self.results[int(path.split("/")[-2])] = body
        return 200, {}, b""

    def _enrol(self, message: protocol.Enrolment) -> bytes:
        assert message.code == "code"
        self.public_key = bytes.fromhex(message.public_key)
        policy = protocol.Policy(version=1)
        return protocol.pack(
            protocol.Enrolled(node=self.node, hardware_class="x86-test", power_mw=30_000, policy=policy, poll_ms=100)
        )

    def _credentials(self):
        self.issued += 1
        if self.credentials is None:
            return 403, {}, b'{"error": {"code": "consent_required", "message": "No consent.", "fields": {}}}'
        return 200, {}, protocol.pack(self.credentials)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen for requests; after a restart on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await task
            listener.close()


@pytest.fixture
def make_marketplace() -> type[Marketplace]:
    return Marketplace


@pytest.fixture
async def marketplace() -> AsyncIterator[Marketplace]:
    fake = Marketplace()
    async with fake.serve():
        yield fake


@pytest.fixture
async def state(marketplace: Marketplace, tmp_path: Path) -> Path:
    """The state folder of a vehicle enrolled with the marketplace."""
    folder = tmp_path / "vehicle"
    await enrol(server=marketplace.url, code="code", state=folder, sensors="simulated", hardware=describe("simulated"))
    return folder


@asynccontextmanager
async def _running(state: Path, **options: object) -> AsyncIterator[Callable[[], Status]]:
    """Run an agent in this event loop and yield a function that reads its status file."""
    stop = asyncio.Event()
    (state / STATUS_FILE).unlink(missing_ok=True)
    task = asyncio.create_task(run_agent(Options(state=state, **options), stop=stop))
    try:
        await until_async(lambda: task.done() or (state / STATUS_FILE).exists())
        yield lambda: read_status(state)
    finally:
        stop.set()
        try:
            await until_async(
                task.done, what="the agent's end"
            )  # by the system clock: a test may move the event loop's
        finally:
            task.cancel()
        await task


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch) -> None:
    """Switch off the agent's time limits, so that slow machines fail no test. A test of a limit sets it itself.

    The child keeps its normal priority: with a lower one it would hardly get the processor beside busy programs.
    """
    for name in ("agent._FAREWELL_S", "carriers.https._TIMEOUT_S", "carriers.nats._CONNECT_S", "work.process._READY_S"):
        monkeypatch.setattr(f"compute.agent.{name}", NEVER_S)
    monkeypatch.setattr("compute.agent.carriers.client._TIMEOUT", httpx.Timeout(NEVER_S))
    monkeypatch.setattr("compute.agent.work.process._START", f"import os; os.nice = lambda by: 0; {process._START}")


@pytest.fixture
def seldom(monkeypatch, marketplace: Marketplace) -> None:
    """Let the agent sync only once an hour by itself: anything earlier was pushed, or triggered a sync."""
    monkeypatch.setattr("compute.agent.agent._MAX_PAUSE_HOLDING_S", NEVER_S)
    monkeypatch.setattr("compute.agent.agent._NEXT_SYNC_MS", (HOUR_MS, HOUR_MS))
    marketplace.next_sync_ms = HOUR_MS


@pytest.fixture
def skip_time(monkeypatch) -> Callable[[float], None]:
    """Return a function that moves the event loop's clock forward: timers within the skipped seconds become due."""

    def skip(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + seconds, raising=False)

    return skip


@contextlib.asynccontextmanager
async def _paused() -> AsyncIterator[None]:
    """Stop the agent's child processes for the duration: a unit begins but does not end."""

    stopped: set[psutil.Process] = set()

    def all_stand_still() -> bool:
        found = {each for each in psutil.Process().children(recursive=True) if _is_child_of_agent(each)}
        for each in found - stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGSTOP)
        is_over = bool(found) and found <= stopped  # also the interpreter, which bubblewrap starts later
        stopped.update(found)
        return is_over

    await until_async(all_stand_still, what="the agent's child")
    try:
        yield
    finally:
        for each in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)


def _is_child_of_agent(one: psutil.Process) -> bool:
    try:
        return any("compute.agent.work.child" in part for part in one.cmdline())
    except psutil.Error:
        return False


@pytest.fixture
def paused() -> Callable[[], AbstractAsyncContextManager[None]]:
    return _paused


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch) -> None:
    """Make all waiting times between retries short."""
    jitter = SimpleNamespace(uniform=lambda low, high: min(high, 0.05))
    monkeypatch.setattr("compute.agent.state.backoff._RANDOM", jitter)


@pytest.fixture
def models() -> SimpleNamespace:
    """Functions that build ONNX files with a float input x [n, 4] and an output y [n, 4]."""
    return SimpleNamespace(double=_double_model, loop=_loop_model, bomb=_bomb_model, build=_model)


@pytest.fixture
def make_unit() -> Callable[..., Unit]:
    return _make_unit


@pytest.fixture
def make_inputs() -> Callable[..., bytes]:
    return _inputs


@pytest.fixture
def until() -> Callable[..., Awaitable[object]]:
    return until_async


@pytest.fixture
def running() -> Callable[..., AbstractAsyncContextManager[Callable[[], Status]]]:
    return _running
