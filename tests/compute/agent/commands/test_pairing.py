"""`driveway-agent pair`: the code on the screen, waiting, expiry, and the real program against the real site."""

import asyncio
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import segno
import uvicorn
from django.utils import timezone

from compute import protocol
from compute.agent.commands import block_letters, cli, pairing, screen
from compute.agent.commands.enrolment import load_enrolment
from compute.agent.state.errors import AgentError, UnreachableError
from compute.agent.state.files import lock
from compute.agent.state.hardware import describe
from compute.agent.state.identity import load_identity
from compute.api import http_signatures
from compute.models import Node, Pairing
from compute.nodes import nodes
from marketplace.local.embedded.process import free_port
from tests import factories
from tests.waiting import PATIENCE_S, until_async

URL = "https://driveway.example/pair/ABC-DEF-GHJ"
ENROLLED = protocol.Enrolled(
    node="7f6f2d6e-0d4b-4c38-9a43-93a0a2d6c1a5",
    hardware_class="x",
    power_mw=1,
    policy=protocol.Policy(version=1),
    poll_ms=1,
)


def waiting(code):
    return protocol.Pairable(code=code, url=f"https://x/pair/{code}", expires_in_ms=900_000, poll_ms=1)


class Site:
    """A site that gives these answers to pairing requests in turn, and repeats the last one.

    A number is an HTTP status.
    """

    def __init__(self, *answers):
        self.answers, self.asked, self.port = list(answers), [], free_port()

    async def __call__(self, scope, receive, send):
        body = (await receive())["body"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        message = protocol.unpack_pairing(body)
        http_signatures.verify_request(
            method="POST",
            url=scope["path"],
            headers=headers,
            body=body,
            now=datetime.now(UTC),
            key_for=lambda keyid: bytes.fromhex(message.public_key) if keyid == message.public_key else None,
        )
        self.asked.append(message)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status = answer if isinstance(answer, int) else 200
        content = b'{"error": {"code": "no", "message": "No."}}' if status != 200 else protocol.pack(answer)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": content})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(self):
        server = uvicorn.Server(uvicorn.Config(self, port=self.port, log_level="warning", lifespan="off"))
        task = asyncio.create_task(server.serve())
        await until_async(lambda: server.started, what="the server")
        try:
            yield
        finally:
            server.should_exit = True
            await task


class Shown(list):
    def show(self, code, url, expires_in_s, *, is_fresh):
        self.append((code, is_fresh))


async def pair_with(site, state, shown):
    hardware = describe("box")
    return await pairing.pair(server=site.url, state=state, sensors="simulated", hardware=hardware, screen=shown)


# --- waiting
# ------------------------------------------------------------------------------------------------------------


async def test_it_shows_the_code_once_and_keeps_the_enrolment(tmp_path):
    site, shown, state = Site(waiting("A"), waiting("A"), protocol.Pairable(enrolled=ENROLLED)), Shown(), tmp_path / "v"
    async with site.serve():
        await pair_with(site, state, shown)
        with pytest.raises(AgentError, match="already holds"):
            await pair_with(site, state, shown)
    kept = load_enrolment(state)
    assert (kept.node, kept.server, kept.kind, kept.sensors) == (ENROLLED.node, site.url, "box", "simulated")
    assert shown == [("A", False)]
    assert {message.public_key for message in site.asked} == {load_identity(state).public_key_hex}
    assert site.asked[0].hardware.kind == "box"


async def test_a_code_that_ran_out_is_followed_by_a_fresh_one_for_an_hour(tmp_path):
    site, shown = Site(*map(waiting, "AABBCCDDE")), Shown()
    async with site.serve():
        with pytest.raises(AgentError) as caught:
            await pair_with(site, tmp_path, shown)
    assert caught.value.code == "pairing_expired"
    assert shown == [("A", False), ("B", True), ("C", True), ("D", True)]


async def test_a_link_that_is_down_for_a_moment_costs_nothing(tmp_path):
    site, shown = Site(503, waiting("A"), 502, 429, protocol.Pairable(enrolled=ENROLLED)), Shown()
    async with site.serve():
        await pair_with(site, tmp_path, shown)
    assert shown == [("A", False)]


@pytest.mark.parametrize("answer", [409, 401, protocol.Pairable()], ids=str)
async def test_a_refusal_ends_it_and_leaves_only_the_key(tmp_path, answer):
    site = Site(answer)
    async with site.serve():
        with pytest.raises(AgentError) as caught:
            await pair_with(site, tmp_path, Shown())
    assert isinstance(caught.value, UnreachableError) == (answer == protocol.Pairable())
    assert {path.name for path in tmp_path.iterdir()} == {"node.key", "agent.lock"}


async def test_two_at_once_in_one_folder_are_refused(tmp_path):
    with lock(tmp_path), pytest.raises(AgentError) as caught:
        await pair_with(Site(waiting("A")), tmp_path, Shown())
    assert caught.value.code == "already_running"


# --- the screen
# ---------------------------------------------------------------------------------------------------------


class Tty(io.StringIO):
    encoding = "utf-8"


def dots_of(lines):
    """Return the QR code as a scanner sees it: True for a dark dot, without the quiet zone."""
    pairs = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}
    rows = [[pairs[block][half] for block in line] for line in lines for half in (0, 1)]
    assert not any(any(row) for row in rows[:4]), "a quiet zone of four"
    return [row[4:-4] for row in rows[4:-5]]


def printed_qr(text):
    return [match.group(1) for match in re.finditer(r"\x1b\[97;40m(.*?)\x1b\[0m", text)]


def test_the_qr_code_on_the_screen_is_that_of_the_address(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = Tty()
    screen.Terminal(out).show("ABC-DEF-GHJ", URL, 900, is_fresh=False)
    text = out.getvalue()
    expected = [list(map(int, row)) for row in segno.make(URL, error="l", micro=False).matrix]
    assert dots_of(printed_qr(text)) == expected
    assert URL in text
    assert "  ABC-DEF-GHJ\n" in text
    assert "15 minutes" in text
    assert max(len(line) for line in text.splitlines() if "\x1b" not in line) <= 80


@pytest.mark.parametrize(
    ("columns", "encoding", "with_qr"), [("30", "utf-8", True), ("80", "ascii", True), ("80", "utf-8", False)]
)
def test_where_it_cannot_be_drawn_the_words_remain(monkeypatch, columns, encoding, with_qr):
    monkeypatch.setenv("COLUMNS", columns)
    out = Tty()
    monkeypatch.setattr(Tty, "encoding", encoding)
    screen.Terminal(out, with_qr=with_qr).show("ABC-DEF-GHJ", URL, 59, is_fresh=True)
    text = out.getvalue()
    assert printed_qr(text) == []
    assert ("█" in text) == (columns == "80" and encoding == "utf-8")
    for words in ("ABC-DEF-GHJ", URL, "a minute", "has run out. Here is a fresh one"):
        assert words in text


def test_every_letter_of_a_code_has_a_form_of_its_own():
    forms = {letter: tuple(block_letters.block_letters(letter)) for letter in nodes.CODE_ALPHABET}
    assert len(set(forms.values())) == len(nodes.CODE_ALPHABET)
    assert block_letters.block_letters("ABC-0") == []


def test_plain_words_and_json_lines():
    plain, lines = io.StringIO(), io.StringIO()
    for is_fresh in (False, True):
        screen.Plain(plain).show("ABC-DEF-GHJ", URL, 900, is_fresh=is_fresh)
        screen.Json(lines).show("ABC-DEF-GHJ", URL, 900, is_fresh=is_fresh)
    assert plain.getvalue().count("ABC-DEF-GHJ (good for 15 minutes)") == 2
    assert "run out" in plain.getvalue()
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert first == second == {"event": "code", "code": "ABC-DEF-GHJ", "url": URL, "expires_in_ms": 900_000}


# --- the real program and the real site
# ---------------------------------------------------------------------------------


def start(live_server, state, *more, **options):
    command = [sys.executable, "-m", "compute.agent", "pair", "--server", live_server.url, "--state", str(state), *more]
    return subprocess.Popen(command, cwd=Path(cli.__file__).parents[3], stderr=subprocess.PIPE, **options)


def read_until(descriptor, words):
    text = b""
    while words not in text.decode(errors="replace"):
        text += os.read(descriptor, 65536)
    return text.decode()


@pytest.fixture
def _interruptible():
    """Make SIGINT reach child processes, even if this process runs in the background and ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_interruptible")
def test_a_person_pairs_a_car(live_server, tmp_path, client_of, monkeypatch):
    monkeypatch.setattr("compute.api.node.POLL_MS", 50)
    state, vehicle = tmp_path / "vehicle", factories.make_vehicle(consent="")
    owner = client_of(vehicle.owner.user)

    # On a terminal, ended with Ctrl-C.
    master, slave = pty.openpty()
    agent = start(live_server, state, stdout=slave, env={**os.environ, "COLUMNS": "100"})
    text = read_until(master, "Ctrl-C stops")
    agent.send_signal(signal.SIGINT)
    _, said = agent.communicate(timeout=PATIENCE_S)
    os.close(slave), os.close(master)
    assert agent.returncode == 130, said
    assert b"Nothing was connected" in said
    assert b"Traceback" not in said
    code = re.search(r"\b\w{3}-\w{3}-\w{3}\b", text).group()
    expected = segno.make(f"{live_server.url}/pair/{code}", error="l", micro=False)
    assert dots_of(printed_qr(text)) == [list(map(int, row)) for row in expected.matrix]
    assert not (state / "enrolment.json").exists()

    # Again, with JSON output: it shows the same code, the code expires, and the owner confirms the next one.
    agent = start(live_server, state, "--json", "--kind", "box", stdout=subprocess.PIPE)
    assert json.loads(agent.stdout.readline())["code"] == code
    Pairing.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    fresh = json.loads(agent.stdout.readline())
    assert fresh["code"] != code
    assert owner.get(f"/pair/{code}").status_code == 404
    page = owner.get(fresh["url"].removeprefix(live_server.url))
    assert page.status_code == 200
    owner.post(page.request["PATH_INFO"], {"vehicle": str(vehicle.public_id)})
    out, said = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode == 0, said
    node = Node.objects.get()
    assert json.loads(out)["node"] == str(node.public_id) == load_enrolment(state).node
    assert node.public_key == load_identity(state).public_key_hex
    assert load_enrolment(state).kind == node.vehicle.kind == "box"
