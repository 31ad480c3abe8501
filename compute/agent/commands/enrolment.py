"""Enrolment: a one-time code from the owner's page, exchanged for a node id bound to the key made here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from compute import protocol
from compute.agent.carriers.client import NodeHttp
from compute.agent.state.errors import AgentError, UnreachableError
from compute.agent.state.files import write_atomic
from compute.agent.state.identity import Identity, create_identity
from compute.agent.state.version import AGENT_VERSION

ENROLMENT_FILE = "enrolment.json"
_TRIES_S = 30.0


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What this vehicle keeps of its enrolment."""

    server: str
    node: str
    hardware_class: str
    power_mw: int
    poll_ms: int
    sensors: str
    kind: str
    policy: protocol.Policy


async def enrol(*, server: str, code: str, state: Path, sensors: str, hardware: protocol.Hardware) -> Enrolment:
    """Make the key if there is none, enrol, and keep the answer in ``state``.

    Raises AgentError (already_enrolled), RefusedError with the server's code, or UnreachableError after 30 s.
    """
    identity = new_identity(state)
    message = protocol.Enrolment(
        code=code, public_key=identity.public_key_hex, hardware=hardware, agent_version=AGENT_VERSION
    )
    async with NodeHttp(server, identity, keyid=identity.public_key_hex) as http:
        answer = await http.send_with_retries(
            "POST", "/api/node/v1/enrol", body=protocol.pack(message), within_s=_TRIES_S
        )
    return keep_enrolment(_read(answer.content), server=server, state=state, sensors=sensors, kind=hardware.kind)


def new_identity(state: Path) -> Identity:
    """The key of a vehicle that is not enrolled yet, made now if there is none. Raises AgentError (already_enrolled)."""
    if (state / ENROLMENT_FILE).exists():
        raise AgentError("already_enrolled", f"{state} already holds an enrolled vehicle.")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return create_identity(state)


def keep_enrolment(enrolled: protocol.Enrolled, *, server: str, state: Path, sensors: str, kind: str) -> Enrolment:
    """Write what the server answered into ``state``, in one step: from here on the vehicle is enrolled."""
    kept = Enrolment(
        server=server,
        node=enrolled.node,
        hardware_class=enrolled.hardware_class,
        power_mw=enrolled.power_mw,
        poll_ms=enrolled.poll_ms,
        sensors=sensors,
        kind=kind,
        policy=enrolled.policy,
    )
    write_atomic(state / ENROLMENT_FILE, msgspec.json.format(msgspec.json.encode(kept)), mode=0o600)
    return kept


def load_enrolment(state: Path) -> Enrolment:
    """Raises AgentError (not_enrolled, enrolment_invalid)."""
    path = state / ENROLMENT_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except FileNotFoundError as error:
        message = f"{state} holds no enrolled vehicle. Enrol it first: driveway-agent enrol."
        raise AgentError("not_enrolled", message) from error
    except msgspec.DecodeError as error:
        raise AgentError("enrolment_invalid", f"{path} cannot be read: {error}") from error


def _read(content: bytes) -> protocol.Enrolled:
    try:
        return msgspec.msgpack.decode(content, type=protocol.Enrolled)
    except msgspec.DecodeError as error:
        raise UnreachableError("malformed_answer", f"The server's answer cannot be read: {error}") from error
