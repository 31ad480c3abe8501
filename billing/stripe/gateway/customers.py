"""Customers at Stripe: one for each organization."""

from typing import Any

from billing.stripe.gateway.client import read, write


def create_customer(params: dict[str, Any], *, idempotency_key: str) -> str:
    """Create a customer and return its id. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    customer = write(lambda stripe: stripe.v1.customers.create(params, options))  # type: ignore[arg-type]
    return customer.id


def find_customer(*, command: str) -> str | None:
    """Return the id of the customer that a command made, or None. Raises as `read`.

    Stripe's search lags behind by up to a minute.
    """
    query = f"metadata['command']:'{command}'"
    found = read(lambda stripe: stripe.v1.customers.search({"query": query, "limit": 1}))
    return found.data[0].id if found.data else None
