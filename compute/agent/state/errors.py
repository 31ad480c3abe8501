"""Errors of the agent. Their codes appear in logs, in `status.json` and on the command line."""

from __future__ import annotations


class AgentError(Exception):
    """Base of the agent's errors. `code` is stable, `message` is one sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UnreachableError(AgentError):
    """No usable answer arrived; a retry may help. `retry_after_s` is what the server asked for, 0 for nothing."""

    def __init__(self, code: str, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class RefusedError(AgentError):
    """The server refused the request; the same request again will not help. `status` is the HTTP status."""

    def __init__(self, code: str, message: str, *, status: int) -> None:
        super().__init__(code, message)
        self.status = status
