"""`driveway-agent withdraw`: the person at the car withdraws a consent with one request.

It works whether the agent runs or not: it needs only the key and the enrolment, and takes no lock. The server cancels
running work; a running agent receives the cancel as after any withdrawal.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from compute import protocol
from compute.agent.carriers.client import NodeHttp
from compute.agent.commands.enrolment import load_enrolment
from compute.agent.state.errors import UnreachableError
from compute.agent.state.identity import load_identity

_PATH = "/api/node/v1/withdrawals"


async def withdraw(*, state: Path, purpose: str, server: str = "") -> protocol.Withdrawn:
    """Send the withdrawal once and return its record. An empty ``server`` means the one of the enrolment.

    Raise AgentError (not_enrolled), RefusedError with the server's code, or UnreachableError: then nothing is known to
    be withdrawn.
    """
    enrolment, identity = load_enrolment(state), load_identity(state)
    async with NodeHttp(server or enrolment.server, identity, keyid=enrolment.node) as http:
        try:
            answer = await http.send("POST", _PATH, body=protocol.pack(protocol.Withdrawal(purpose=purpose)))
        except UnreachableError as error:
            raise UnreachableError(error.code, f"Nothing was withdrawn, try again: {error.message}") from error
    try:
        return msgspec.msgpack.decode(answer.content, type=protocol.Withdrawn)
    except msgspec.DecodeError as error:
        raise UnreachableError("malformed_answer", f"The server's answer cannot be read: {error}") from error


def withdrawal_summary(purpose: str, withdrawn: protocol.Withdrawn) -> str:
    """Return what was recorded as a few lines of text."""
    if not withdrawn.record:
        return f"There was no consent to withdraw for {purpose}: {withdrawn.state}. Nothing runs without one."
    lines = [
        f"Withdrawn: {purpose}.",
        f"Receipt {withdrawn.record}; the owner gets a mail, and finds it in the portal.",
    ]
    if purpose == "run_jobs":
        lines.insert(1, "What runs is being stopped now; what it earned is still paid.")
    return "\n".join(lines)
