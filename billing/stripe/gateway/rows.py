"""Helpers to read Stripe's rows: the id behind a reference, our metadata on a row, and a search through a list."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from billing.stripe.gateway.client import read

R = TypeVar("R")


def id_of(reference: Any) -> str:
    """Return the id of a reference, which Stripe gives as an id or, when expanded, as the whole object; "" for none."""
    return str(reference if isinstance(reference, str) else getattr(reference, "id", None) or "")


def metadata_of(row: Any) -> dict[str, str]:
    """Return the metadata that we wrote on a row; empty if there is none."""
    metadata = getattr(row, "metadata", None)
    return dict(metadata.to_dict()) if metadata is not None else {}


def first(rows: Callable[[Any], Iterable[Any]], as_ours: Callable[[Any], R], fits: Callable[[R], bool]) -> R | None:
    """Return the first row of a list that fits, converted with `as_ours`; None if there is none. Raises as `read`."""
    return read(lambda stripe: next(filter(fits, map(as_ours, rows(stripe))), None))
