"""Enrolment: exchange a one-time code from the owner's page for a node id that is bound to this vehicle's key."""

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
    """The content of `enrolment.json`: what the agent needs to know of its enrolment at every start."""

    server: str
    node: str
    hardware_class: str
    power_mw: int
    poll_ms: int
    sensors: str
    kind: str
    policy: protocol.Policy


async def enrol(*, server: str, code: str, state: Path, sensors: str, hardware: protocol.Hardware) -> Enrolment:
    """Create the key if there is none, enrol, and save the answer in the folder ``state``.

    Raise AgentError (already_enrolled), RefusedError with the server's code, or UnreachableError after 30 s.
    """
    identity = new_identity(state)
    message = protocol.Enrolment(
        code=code, public_key=identity.public_key_hex, hardware=hardware, agent_version=AGENT_VERSION
    )
    async with NodeHttp(server, identity, keyid=identity.public_key_hex) as http:
        answer = await http.send_with_retries(
            "POST", "/api/node/v1/enrol", body=protocol.pack(message), within_s=_TRIES_S
        )
    return save_enrolment(_read(answer.content), server=server, state=state, sensors=sensors, kind=hardware.kind)


def new_identity(state: Path) -> Identity:
    """Return the key of a vehicle that is not enrolled yet, created if needed. Raise AgentError (already_enrolled)."""
    if (state / ENROLMENT_FILE).exists():
        raise AgentError("already_enrolled", f"{state} already holds an enrolled vehicle.")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return create_identity(state)


def save_enrolment(enrolled: protocol.Enrolled, *, server: str, state: Path, sensors: str, kind: str) -> Enrolment:
    """Save the server's answer in ``state`` as one atomic write. From then on the vehicle counts as enrolled."""
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
    """Return the enrolment saved in ``state``. Raise AgentError (not_enrolled, enrolment_invalid)."""
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
