"""Pairing: the agent shows a code and waits until the owner has typed it in the portal (modelled on RFC 8628)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Protocol

import msgspec

from compute import protocol
from compute.agent.carriers.client import NodeHttp
from compute.agent.commands.enrolment import Enrolment, new_identity, save_enrolment
from compute.agent.state.errors import AgentError, UnreachableError
from compute.agent.state.files import lock
from compute.agent.state.version import AGENT_VERSION

PATH = "/api/node/v1/pairings"
CODES = 4  # each lives 15 minutes: after an hour without an answer, nobody is expected to type one
_FIRST_TRIES_S = 30.0
_TRIES_S = 120.0  # longer once a code is shown, so that a short network failure does not end the pairing
_POLL_S = (0.05, 30.0)


class Screen(Protocol):
    """A place that shows the code: a terminal, a log, or another program."""

    def show(self, code: str, url: str, expires_in_s: float, *, is_fresh: bool) -> None:
        """Show a code to type. ``is_fresh``: it replaces a code that has expired."""


async def pair(*, server: str, state: Path, sensors: str, hardware: protocol.Hardware, screen: Screen) -> Enrolment:
    """Create the key if there is none, show codes until the owner confirms one, and save the enrolment in ``state``.

    If it is stopped before that, only the key is left, and the next call continues the same pairing. Raise AgentError
    (already_enrolled, already_running, pairing_expired after an hour), RefusedError with the server's code, or
    UnreachableError.
    """
    identity = new_identity(state)
    message = protocol.pack(
        protocol.Pairing(public_key=identity.public_key_hex, hardware=hardware, agent_version=AGENT_VERSION)
    )
    with lock(state):
        async with NodeHttp(server, identity, keyid=identity.public_key_hex) as http:
            enrolled = await _wait(http, message, screen)
        return save_enrolment(enrolled, server=server, state=state, sensors=sensors, kind=hardware.kind)


async def _wait(http: NodeHttp, message: bytes, screen: Screen) -> protocol.Enrolled:
    shown: list[str] = []
    while True:
        answer = await _ask(http, message, within_s=_TRIES_S if shown else _FIRST_TRIES_S)
        if answer.enrolled is not None:
            return answer.enrolled
        if answer.code not in shown[-1:]:
            if len(shown) == CODES:
                text = "Nobody has confirmed a code for an hour. Run the same command again when you can."
                raise AgentError("pairing_expired", text)
            screen.show(answer.code, answer.url, answer.expires_in_ms / 1000, is_fresh=bool(shown))
            shown.append(answer.code)
        await asyncio.sleep(min(max(answer.poll_ms / 1000, _POLL_S[0]), _POLL_S[1]))


async def _ask(http: NodeHttp, message: bytes, *, within_s: float) -> protocol.Pairable:
    answer = await http.send_with_retries("POST", PATH, body=message, within_s=within_s)
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        pairable = msgspec.msgpack.decode(answer.content, type=protocol.Pairable)
        if pairable.enrolled is not None or pairable.code:
            return pairable
    raise UnreachableError("malformed_answer", "The server's answer cannot be read.")
