"""The trust chain of the vehicle link with a real nats-server: what it refuses, and immediate revocation."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import nats.errors
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compute.nats import jwt as nats_jwt
from compute.nats.jwt import Credentials, TrustChain
from marketplace.local.embedded.process import free_port
from tests.waiting import PATIENCE_S, until, until_async

HOUR = timedelta(hours=1)


class Server:
    """A nats-server that trusts `chain`, restarted at the same address."""

    def __init__(self, folder: Path) -> None:
        self.chain = TrustChain.create()
        self.port = free_port()
        self.folder = folder
        config = nats_jwt.server_config(self.chain, port=self.port, store_dir=folder / "accounts")
        (folder / "server.conf").write_text(config)
        self.start()

    def start(self) -> None:
        program = Path(sys.executable).parent / "nats-server"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([program, "-c", self.folder / "server.conf"], stderr=log)
        until(self._listens, what="nats-server")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.folder / "log").read_text()


class Node:
    """A vehicle's key and credentials, as the site issues them."""

    def __init__(self, chain: TrustChain, name: str, *, account_seed: str = "", **options) -> None:
        key = Ed25519PrivateKey.generate()
        self.name = name
        self.public = nats_jwt.user_public_from_ed25519(key.public_key().public_bytes_raw())
        values = {
            "account_seed": account_seed or chain.account_seed,
            "user_public": self.public,
            "name": name,
            "expires_at": datetime.now(UTC) + HOUR,
            "publish": [f"node.{name}.sync"],
            "subscribe": [f"cmd.{name}", f"_INBOX_{name}.>"],
        } | options
        self.credentials = Credentials(nats_jwt.user_jwt(**values), key.sign)


class Connection:
    """A NATS connection that records its errors and its end."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.dropped = asyncio.Event()

    async def open(self, server: Server, credentials: Credentials, prefix: str = "_INBOX"):
        async def on_error(error: Exception) -> None:
            self.errors.append(str(error))

        async def on_drop() -> None:
            self.dropped.set()

        self.client = await nats.connect(
            f"nats://127.0.0.1:{server.port}",
            **credentials.connect_options(),
            inbox_prefix=prefix.encode(),
            error_cb=on_error,
            disconnected_cb=on_drop,
            allow_reconnect=False,
            connect_timeout=PATIENCE_S,
            reconnect_time_wait=0.02,
        )
        return self

    async def error(self) -> str:
        """Return the first error as soon as there is one."""
        await until_async(lambda: self.errors, what="an error")
        return self.errors[0]

    async def ended(self) -> None:
        """Return when the connection has been closed."""
        await asyncio.wait_for(self.dropped.wait(), PATIENCE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
async def connect(server):
    opened = []

    async def connect(credentials: Credentials, prefix: str = "_INBOX") -> Connection:
        async def once() -> Connection | None:
            with contextlib.suppress(OSError, nats.errors.NoServersError):  # the server is still starting
                return await Connection().open(server, credentials, prefix)

        connection = await until_async(once, what="a connection")
        opened.append(connection.client)
        return connection

    yield connect
    for client in opened:
        await client.close()


@pytest.fixture
async def link(server, connect):
    """Connect as the site does and answer every sync with its subject."""
    credentials = server.chain.credentials(
        name="link",
        expires_at=datetime.now(UTC) + HOUR,
        publish=["cmd.>", "_INBOX_car1.>", "_INBOX_car2.>"],
        subscribe=["node.*.sync"],
    )
    link = await connect(credentials)
    link.seen = []

    async def answer(message) -> None:
        link.seen.append(message.subject)
        await message.respond(message.subject.encode())

    await link.client.subscribe("node.*.sync", cb=answer)
    await link.client.flush()
    return link


async def push_revocations(server: Server, connect, revocations: dict[str, int]) -> None:
    credentials = server.chain.system_credentials(expires_at=datetime.now(UTC) + HOUR)
    system = await connect(credentials)
    token = server.chain.account_jwt(revocations=revocations)
    reply = await system.client.request(*nats_jwt.claims_update(token), timeout=PATIENCE_S)
    assert nats_jwt.claims_accepted(reply.data), reply.data


async def time_of(server: Server, connect) -> int:
    """Return the server's own time, which differs from ours when tests/clock.py moves our clock."""
    ping, expires_at = "$SYS.REQ.SERVER.PING", datetime.now(UTC) + HOUR
    system = await connect(
        server.chain.credentials(
            name="clock", expires_at=expires_at, publish=[ping], subscribe=["_INBOX.>"], system=True
        )
    )
    reply = await system.client.request(ping, timeout=PATIENCE_S)
    return int(datetime.fromisoformat(json.loads(reply.data)["server"]["time"]).timestamp())


async def test_a_node_syncs_on_its_own_subject(server, connect, link):
    node = Node(server.chain, "car1")
    connection = await connect(node.credentials, "_INBOX_car1")
    reply = await connection.client.request("node.car1.sync", b"x" * 60_000, timeout=PATIENCE_S)
    assert reply.data == b"node.car1.sync"


async def test_a_forged_publish_is_refused_and_not_delivered(server, connect, link):
    connection = await connect(Node(server.chain, "car1").credentials)
    await connection.client.publish("node.car2.sync", b"forged")
    await connection.client.flush()
    assert 'permissions violation for publish to "node.car2.sync"' in await connection.error()
    assert link.seen == []


@pytest.mark.parametrize("subject", ["cmd.car2", "cmd.>", "node.car2.sync", "_INBOX_car2.>", ">", "$SYS.>"])
async def test_another_nodes_subject_cannot_be_heard(server, connect, subject):
    connection = await connect(Node(server.chain, "car1").credentials)
    await connection.client.subscribe(subject)
    await connection.client.flush()
    assert "permissions violation for subscription" in await connection.error()


async def test_no_subjects_means_none(server, connect):
    connection = await connect(Node(server.chain, "car1", publish=[], subscribe=[]).credentials)
    await connection.client.publish("anything", b"")
    await connection.client.flush()
    assert "permissions violation" in await connection.error()


async def test_a_node_is_held_to_its_payload(server, connect, link):
    connection = await connect(Node(server.chain, "car1").credentials, "_INBOX_car1")
    await connection.client.publish("node.car1.sync", b"x" * (nats_jwt.NODE_MAX_PAYLOAD_BYTES + 1))
    await connection.ended()
    assert link.seen == []
    # The site's own users may send larger messages.
    await link.client.publish("cmd.car1", b"x" * 200_000)
    await link.client.flush()
    assert link.errors == []


async def test_an_account_of_another_operator_is_refused(server, connect):
    stranger = Node(TrustChain.create(), "car1")
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(stranger.credentials)


async def test_a_jwt_without_its_key_is_refused(server, connect):
    stolen = Node(server.chain, "car1").credentials
    thief = Credentials(stolen.jwt, Ed25519PrivateKey.generate().sign)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(thief)


async def test_changed_claims_are_refused(server, connect):
    car1, car2 = Node(server.chain, "car1"), Node(server.chain, "car2")
    head, _, signature = car1.credentials.jwt.split(".")
    _, other_claims, _ = car2.credentials.jwt.split(".")
    mixed = Credentials(f"{head}.{other_claims}.{signature}", car2.credentials.sign)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(mixed)


async def test_a_node_cannot_push_claims(server, connect):
    node = Node(server.chain, "car1", publish=[nats_jwt.CLAIMS_UPDATE_SUBJECT])
    connection = await connect(node.credentials, "_INBOX_car1")
    await connection.client.publish(nats_jwt.CLAIMS_UPDATE_SUBJECT, server.chain.account_jwt().encode())
    await connection.client.flush()
    # Each account has its own subjects: in the nodes' account nobody listens to this one.
    with pytest.raises(nats.errors.NoRespondersError):
        await connection.client.request(nats_jwt.CLAIMS_UPDATE_SUBJECT, b"", timeout=PATIENCE_S)


async def soon_expired(server, connect) -> Connection:
    """Return a connection whose credentials expire soon: after as few seconds as this machine needs to connect."""
    for life_s in (1, 2, 4, 8, 16, 32):
        with contextlib.suppress(nats.errors.Error):
            expires_at = await time_of(server, connect) + life_s
            return await connect(Node(server.chain, "car1", expires_at=expires_at).credentials)
    raise AssertionError("no connection within half a minute")


async def test_an_expired_jwt_is_dropped_and_not_readmitted(server, connect):
    connection = await soon_expired(server, connect)
    await connection.ended()
    # Times are whole seconds: within the second of expiry the server accepts the connection and closes it at once.
    long_expired = Node(server.chain, "car1", expires_at=await time_of(server, connect) - 2)
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(long_expired.credentials)


async def test_revocation_drops_a_live_node_for_good_and_no_other(server, connect, link, record_property):
    revoked, other = Node(server.chain, "car1"), Node(server.chain, "car2")
    live = await connect(revoked.credentials)
    spared = await connect(other.credentials, "_INBOX_car2")
    started_at = time.perf_counter()
    await push_revocations(server, connect, {revoked.public: int(time.time())})
    await live.ended()  # its credentials would otherwise be valid for an hour
    record_property("dropped_after_ms", round((time.perf_counter() - started_at) * 1000, 1))
    assert not spared.dropped.is_set()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(revoked.credentials)
    assert (await spared.client.request("node.car2.sync", b"", timeout=PATIENCE_S)).data == b"node.car2.sync"


async def test_revocation_survives_a_restart_and_a_later_jwt_is_admitted(server, connect):
    node = Node(server.chain, "car1", issued_at=int(time.time()) - 2)
    await push_revocations(server, connect, {node.public: int(time.time()) - 1})
    server.stop()
    server.start()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await connect(node.credentials)
    renewed = nats_jwt.user_jwt(
        account_seed=server.chain.account_seed,
        user_public=node.public,
        name="car1",
        expires_at=datetime.now(UTC) + HOUR,
        publish=["node.car1.sync"],
        subscribe=["cmd.car1"],
    )
    await connect(Credentials(renewed, node.credentials.sign))


async def test_two_updates_within_a_second_both_count(server, connect):
    first, second = Node(server.chain, "car1"), Node(server.chain, "car2")
    now = int(time.time())
    await push_revocations(server, connect, {first.public: now})
    await push_revocations(server, connect, {first.public: now, second.public: now})
    for node in (first, second):
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await connect(node.credentials)


def test_a_chain_is_kept_private_and_derives_the_same_operator(tmp_path):
    chain = TrustChain.create()
    path = tmp_path / "trust.json"
    chain.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert TrustChain.load(path).operator_jwt() == chain.operator_jwt()
    with pytest.raises(FileExistsError):
        TrustChain.create().save(path)


def test_a_chain_from_the_environment(tmp_path):
    chain = TrustChain.create()
    chain.save(tmp_path / "trust.json")
    seeds = {
        "NATS_OPERATOR_SEED": chain.operator_seed,
        "NATS_ACCOUNT_SEED": chain.account_seed,
        "NATS_SYSTEM_SEED": chain.system_seed,
    }
    assert TrustChain.from_environment(seeds) == chain
    assert TrustChain.from_environment({"NATS_TRUST_FILE": str(tmp_path / "trust.json")}) == chain
    assert TrustChain.from_environment({}) is None
    with pytest.raises(ValueError, match="account seed"):
        TrustChain.from_environment(seeds | {"NATS_ACCOUNT_SEED": chain.operator_seed})
    with pytest.raises(ValueError, match="system seed"):
        TrustChain.from_environment(seeds | {"NATS_SYSTEM_SEED": ""})


def test_the_configuration_holds_no_secret_and_no_optional_part():
    chain = TrustChain.create()
    config = nats_jwt.server_config(chain, port=4222, store_dir=Path("/data"))
    for secret in (chain.operator_seed, chain.account_seed, chain.system_seed):
        assert secret not in config
    for part in ("jetstream", "mqtt", "websocket", "leafnodes", "http"):
        assert part not in config


def test_public_names_need_32_bytes_and_aware_times():
    with pytest.raises(ValueError, match="32 bytes"):
        nats_jwt.user_public_from_ed25519(b"short")
    with pytest.raises(ValueError, match="aware"):
        Node(TrustChain.create(), "car1", expires_at=datetime(2030, 1, 1))  # noqa: DTZ001  the point of the test
