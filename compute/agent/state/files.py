"""Small files that are never seen half written, and the lock that keeps one agent per state folder."""

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
    """Replace ``path`` by ``data`` in one step. Atomic for readers; not synced to disk."""
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
    """Is an agent running on this state folder?"""
    try:
        with lock(state):
            return False
    except AgentError:
        return True


@contextlib.contextmanager
def lock(state: Path) -> Iterator[None]:
    """Hold the folder until the process ends, however it ends. Raises AgentError (already_running)."""
    with (state / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentError("already_running", f"Another agent is running on {state}.") from error
        yield
