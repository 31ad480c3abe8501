"""Errors of the API, in Stripe's shape."""

from typing import Any


class ApiError(Exception):
    """An error response, for API v1 (`body`) and v2 (`body_v2`).

    With `began`, the request had started to act, so its response is stored under the idempotency key as a success is.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        began: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.began = status, began
        fields = {"type": kind, "message": message, "code": code, "param": param}
        self.body: dict[str, Any] = {"error": {name: value for name, value in fields.items() if value}}
        code = code or ("not_found" if status == 404 else kind)
        self.body_v2: dict[str, Any] = {"error": {"type": kind, "code": code, "message": message}}


def missing(object_id: str, what: str) -> ApiError:
    """Return 404 for an object that does not exist."""
    return ApiError(404, f"No such {what}: '{object_id}'", code="resource_missing", param="id")


def unknown_parameter(name: str) -> ApiError:
    """Return 400 for a parameter that the API does not have."""
    return ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def parameter_missing(name: str) -> ApiError:
    """Return 400 for a required parameter that was not sent."""
    return ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
