"""What can go wrong in the agent, with codes that logs, status and exit codes share."""

from __future__ import annotations


class AgentError(Exception):
    """`code` is stable, `message` is one sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UnreachableError(AgentError):
    """No usable answer came; trying again may help. `retry_after_s` is the server's wish, 0 for none."""

    def __init__(self, code: str, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class RefusedError(AgentError):
    """The server answered no; the same request again will not help. `status` is the HTTP status."""

    def __init__(self, code: str, message: str, *, status: int) -> None:
        super().__init__(code, message)
        self.status = status
