"""The two carriers with a real nats-server: NATS is used while it answers, HTTPS otherwise, then NATS again."""

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import nats
import pytest

from compute import protocol
from compute.nats import jwt as nats_jwt
from compute.protocol import Cancel, Push
from marketplace.local.embedded.process import free_port
from tests.waiting import NEVER_S, PATIENCE_S, until_async


async def _ignore(error) -> None:
    """Ignore an error: by default nats-py logs every failed try."""


QUIET = {
    "allow_reconnect": False,
    "error_cb": _ignore,
    "max_reconnect_attempts": 1,
    "reconnect_time_wait": 0,
    "connect_timeout": PATIENCE_S,
}


class Nats:
    """A nats-server that trusts our chain, with a client that answers syncs as the link process does."""

    def __init__(self, folder: Path, marketplace) -> None:
        self.chain, self.port, self.folder = nats_jwt.TrustChain.create(), free_port(), folder
        self.marketplace, self.client, self.syncs = marketplace, None, 0
        self.is_deaf, self.ignored = False, asyncio.Event()
        config = nats_jwt.server_config(self.chain, port=self.port, store_dir=folder / "accounts")
        (folder / "server.conf").write_text(config)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        program = Path(sys.executable).parent / "nats-server"
        self.process = subprocess.Popen([program, "-c", self.folder / "server.conf"], stderr=subprocess.DEVNULL)
        link = self.chain.credentials(
            name="link", expires_at=int(time.time()) + 3600, publish=[">"], subscribe=["node.*.sync"]
        )

        async def connect() -> object:
            with contextlib.suppress(OSError, nats.errors.Error):
                return await nats.connect(self.url, **QUIET, **link.connect_options())

        self.client = await until_async(connect, what="nats-server")
        await self.listen()

    async def listen(self) -> None:
        self.subscription = await self.client.subscribe("node.*.sync", cb=self._answer)
        await self.client.flush()

    async def _answer(self, message) -> None:
        if self.is_deaf:
            self.ignored.set()
            return
        request = protocol.unpack_request(message.data)
        assert message.subject == protocol.sync_subject(request.node)
        self.syncs += 1
        await message.respond(protocol.pack(self.marketplace.answer(request)))

    async def push(self, push) -> None:
        data = push if isinstance(push, bytes) else protocol.pack(push)
        await self.client.publish(protocol.command_subject(self.marketplace.node), data)
        await self.client.flush()

    async def stop(self) -> None:
        await self.client.close()
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, PATIENCE_S)

    async def revoke(self) -> None:
        """Revoke the vehicle's credentials, as the link process does after a withdrawal."""
        system = self.chain.system_credentials(expires_at=int(time.time()) + 3600)
        user = nats_jwt.user_public_from_ed25519(self.marketplace.public_key)
        subject, payload = nats_jwt.claims_update(self.chain.account_jwt(revocations={user: int(time.time())}))
        client = await nats.connect(self.url, **QUIET, **system.connect_options())
        assert nats_jwt.claims_accepted((await client.request(subject, payload, timeout=PATIENCE_S)).data)
        await client.close()

    def credentials(self, *, told_s: float = 3600) -> protocol.Credentials:
        """Return credentials that are valid for an hour; the vehicle is told that they expire in `told_s` seconds."""
        node, now = self.marketplace.node, time.time()
        token = nats_jwt.user_jwt(
            account_seed=self.chain.account_seed,
            user_public=nats_jwt.user_public_from_ed25519(self.marketplace.public_key),
            name=node,
            expires_at=int(now) + 3600,
            publish=[protocol.sync_subject(node)],
            subscribe=[protocol.command_subject(node), f"{protocol.inbox_prefix(node)}.>"],
        )
        return protocol.Credentials(jwt=token, urls=(self.url,), expires_unix_ms=int((now + told_s) * 1000))


@pytest.fixture
async def server(marketplace, state, tmp_path):
    """A running server that has credentials for the enrolled vehicle."""
    made = Nats(tmp_path, marketplace)
    await made.start()
    marketplace.credentials = made.credentials()
    yield made
    await made.stop()


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Make the agent wait for an answer over NATS until it arrives or the connection ends."""
    monkeypatch.setattr("compute.agent.carriers.nats.REQUEST_TIMEOUT_S", NEVER_S)
    monkeypatch.setattr("compute.agent.carriers.link._REFUSED_PAUSE_S", 0.3)


@pytest.mark.usefixtures("seldom")
async def test_work_arrives_by_push_and_is_reported_over_nats(server, marketplace, state, running, models, until):
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        lease = marketplace.offer(models.double())
        marketplace.leases = []
        await server.push(b"\xc1 garbage")
        await server.push(Push(leases=(lease,)))
        await until(lambda: marketplace.reports)
        assert marketplace.reports[0].attempt == lease.attempt
        loop = marketplace.offer(models.loop())
        marketplace.leases = []
        await server.push(Push(leases=(loop,)))
        await until(lambda: status().state == "running")
        await server.push(Push(cancels=(Cancel(attempt=loop.attempt, fence=loop.fence, code="kill_switch"),)))
        await until(lambda: status().state == "idle")
        assert status().running is None
        await until(lambda: len(marketplace.reports) == 2)
    assert [(report.outcome, report.code) for report in marketplace.reports] == [
        ("ok", ""),
        ("cancelled", "kill_switch"),
    ]
    assert status().carrier == "nats"


@pytest.mark.usefixtures("seldom")
async def test_a_revoked_line_means_asking_at_once_since_the_cancel_may_be_lost_with_it(
    server, marketplace, state, running, models, until
):
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        lease = marketplace.offer(models.loop())
        marketplace.leases = []
        await server.push(Push(leases=(lease,)))
        await until(lambda: status().state == "running")
        await until(
            lambda: any(sync.running for sync in marketplace.syncs)
        )  # the sync after the push has been answered
        marketplace.credentials, marketplace.withheld = None, "consent_withdrawn"
        marketplace.cancels = [Cancel(attempt=lease.attempt, fence=lease.fence, code="consent_withdrawn")]
        await server.revoke()
        await until(lambda: status().state == "withheld")
        assert status().running is None
        assert status().carrier == "https"


async def test_a_line_that_is_cut_while_a_sync_is_unanswered_is_not_waited_for(
    server, marketplace, state, running, until
):
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        server.is_deaf = True
        await asyncio.wait_for(server.ignored.wait(), PATIENCE_S)
        assert status().carrier == "nats"
        marketplace.credentials = None
        await server.revoke()
        await until(lambda: status().carrier == "https")


async def test_without_responders_it_polls_and_comes_back(server, state, running, until, monkeypatch):
    # A request that is on its way while the responder leaves gets no answer at all.
    monkeypatch.setattr("compute.agent.carriers.nats.REQUEST_TIMEOUT_S", 1.0)
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        await server.subscription.unsubscribe()
        await until(lambda: status().carrier == "https")
        await server.listen()
        await until(lambda: status().carrier == "nats")


@pytest.mark.long
async def test_a_silent_responder_is_left_for_https(server, marketplace, state, running, until, monkeypatch):
    monkeypatch.setattr("compute.agent.carriers.nats.REQUEST_TIMEOUT_S", 1.0)
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        server.is_deaf = True
        await until(lambda: status().carrier == "https")
        assert server.ignored.is_set()
        server.is_deaf = False
        monkeypatch.setattr("compute.agent.carriers.nats.REQUEST_TIMEOUT_S", NEVER_S)
        await until(lambda: status().carrier == "nats")


@pytest.mark.long
async def test_nats_stops_and_returns_and_no_work_is_lost(server, marketplace, state, running, models, until):
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        await server.stop()
        await until(lambda: status().carrier == "https")
        marketplace.offer(models.double())
        await until(lambda: marketplace.reports)
        await server.start()
        await until(lambda: status().carrier == "nats")


@pytest.mark.long
async def test_credentials_are_renewed_before_they_expire(server, marketplace, state, running, until, monkeypatch):
    monkeypatch.setattr("compute.agent.carriers.link._MIN_RENEWAL_S", 0.1)
    marketplace.credentials = server.credentials(told_s=1)
    async with running(state) as status:
        await until(lambda: status().carrier == "nats")
        before = len(marketplace.syncs) - server.syncs
        marketplace.credentials = server.credentials()
        issued = marketplace.issued
        await until(lambda: marketplace.issued == issued + 1)
        seen = server.syncs
        await until(lambda: server.syncs > seen + 3)
        assert status().carrier == "nats"
        assert len(marketplace.syncs) - server.syncs == before, "HTTPS never had to take over"
        assert marketplace.issued == issued + 1


async def test_refused_credentials_mean_https_until_consent_is_given(server, marketplace, state, running, until):
    given, marketplace.credentials, marketplace.withheld = marketplace.credentials, None, "consent_missing"
    async with running(state) as status:
        await until(lambda: (status().state, status().carrier) == ("withheld", "https"))
        marketplace.credentials, marketplace.withheld = given, ""
        await until(lambda: (status().state, status().carrier) == ("idle", "nats"))
