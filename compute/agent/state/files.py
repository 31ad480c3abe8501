"""Atomic writes of small files, and the lock that allows one agent for each state folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from compute.agent.state.errors import AgentError

LOCK_FILE = "agent.lock"


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file ``path`` by ``data`` in one step. Readers see the old or the new file. No fsync."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def is_locked(state: Path) -> bool:
    """Return whether an agent runs on this state folder."""
    try:
        with lock(state):
            return False
    except AgentError:
        return True


@contextlib.contextmanager
def lock(state: Path) -> Iterator[None]:
    """Lock the folder; the kernel releases the lock also when the process dies. Raise AgentError (already_running)."""
    with (state / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentError("already_running", f"Another agent is running on {state}.") from error
        yield
