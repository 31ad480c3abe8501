"""Reading rows of Stripe's: what a reference points to, what we wrote on a row, and the row that we wrote something on."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from billing.stripe.gateway.client import read

R = TypeVar("R")


def id_of(reference: Any) -> str:
    """Stripe shows a reference as an id, or as the whole object when asked to expand it. "" for none."""
    return str(reference if isinstance(reference, str) else getattr(reference, "id", None) or "")


def metadata_of(row: Any) -> dict[str, str]:
    metadata = getattr(row, "metadata", None)
    return dict(metadata.to_dict()) if metadata is not None else {}


def first(rows: Callable[[Any], Iterable[Any]], as_ours: Callable[[Any], R], fits: Callable[[R], bool]) -> R | None:
    """The first row of a listing that fits, read as ours; None if there is none. Raises as `read`."""
    return read(lambda stripe: next(filter(fits, map(as_ours, rows(stripe))), None))
