"""Errors with a stable code.

Services raise them; one handler (`core.api.exception_handler`) makes them HTTP responses.
"""

from typing import Any


class DomainError(Exception):
    """An error that the caller can act on. `code` is stable and documented, `status` is the HTTP status.

    Without a message, a subclass' docstring is the message: write those docstrings for the API's users.
    """

    code = "error"
    status = 400

    def __init__(self, message: str = "", *, code: str | None = None, **fields: Any) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.code = code or self.code
        self.fields = fields
        super().__init__(self.message)


class InvalidInput(DomainError):
    """The request is not valid."""

    code = "invalid_input"
    status = 400


class Forbidden(DomainError):
    """This key or account may not do that."""

    code = "forbidden"
    status = 403


class NotFound(DomainError):
    """No such object."""

    code = "not_found"
    status = 404


class Conflict(DomainError):
    """The object is not in a state that allows this."""

    code = "conflict"
    status = 409


class InvalidTransition(Conflict):
    """This change of state is not allowed."""

    code = "invalid_transition"


class ConsentRequired(Forbidden):
    """The owner has not consented to this purpose."""

    code = "consent_required"


class PaymentRequired(DomainError):
    """The wallet does not cover this."""

    code = "insufficient_funds"
    status = 402


# SQLSTATEs that our own triggers raise (`<app>/rules/*.sql`), with the error class and code of each.
DATABASE_REFUSALS: dict[str, tuple[type[DomainError], str]] = {
    "DW001": (InvalidTransition, "invalid_transition"),
    "DW002": (Conflict, "append_only"),
    "DW003": (ConsentRequired, "consent_required"),
    "DW004": (Conflict, "broken_chain"),
    "DW005": (PaymentRequired, "insufficient_funds"),
    "DW006": (Conflict, "idempotency_conflict"),
    "DW007": (Conflict, "transfer_invalid"),
}


def from_database(error: Exception) -> DomainError | None:
    """Return the DomainError for an error that one of our triggers raised, or None for any other error."""
    sqlstate = getattr(error.__cause__, "sqlstate", None) or ""
    refusal = DATABASE_REFUSALS.get(sqlstate)
    if refusal is None:
        return None
    kind, code = refusal
    detail = getattr(getattr(error.__cause__, "diag", None), "message_primary", None) or ""
    return kind(detail, code=code)
