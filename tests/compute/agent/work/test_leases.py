"""The lease book: time, repetitions, late copies, and leases that no correct server would send."""

import msgspec
import pytest

from compute.agent.work.leases import LeaseBook, lease_fault
from compute.protocol import Lease, Renewal

LEASE = Lease(
    attempt=1,
    fence=2,
    expires_in_ms=15_000,
    items=3,
    batch=3,
    model_sha256="a" * 64,
    model_bytes=1,
    input_sha256="b" * 64,
    input_bytes=1,
    outputs=("y",),
    memory_bytes=1,
    time_limit_ms=1,
    grant="g",
)


def change(**fields):
    return msgspec.structs.replace(LEASE, **fields)


def test_a_lease_is_work_once_and_its_repeat_only_extends_it():
    book = LeaseBook()
    held = book.accept(LEASE, 100.0)
    assert held.expires_s == 115.0
    assert book.accept(LEASE, 110.0) is None
    assert held.expires_s == 125.0
    assert book.accept(change(expires_in_ms=1), 110.0) is None
    assert held.expires_s == 125.0


def test_a_renewal_counts_from_when_it_was_sent():
    book = LeaseBook()
    held = book.accept(LEASE, 100.0)
    assert book.renewals() == (Renewal(attempt=1, fence=2),)
    book.renewed(book.renewals(), 114.0, 15.0)
    assert held.expires_s == 114.0 + 15.0
    book.renewed((Renewal(attempt=1, fence=9),), 500.0, 15.0)
    assert book.expired(128.9) == []
    assert book.expired(129.0) == [held]


def test_a_stopped_lease_is_not_renewed():
    book = LeaseBook()
    book.accept(LEASE, 0.0).stop_code = "driving"
    assert book.renewals() == ()


def test_what_is_over_never_comes_back():
    book = LeaseBook()
    book.accept(LEASE, 0.0)
    book.end((1, 2))
    assert book.accept(LEASE, 0.0) is None
    book.end((5, 5))  # a cancel that arrived before its lease
    assert book.accept(change(attempt=5, fence=5), 0.0) is None
    assert book.accept(change(fence=3), 0.0) is not None


def test_a_lease_that_has_expired_on_arrival_is_not_run():
    assert LeaseBook().accept(change(expires_in_ms=0), 0.0) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"model_sha256": "../../etc/passwd"},
        {"input_sha256": "B" * 64},
        {"items": 0},
        {"batch": 0},
        {"memory_bytes": -1},
        {"input_bytes": 0},
        {"time_limit_ms": 0},
        {"time_limit_ms": 10**12},
        {"expires_in_ms": 10**12},
        {"outputs": ()},
        {"outputs": ("y", "y")},
    ],
)
def test_an_absurd_lease_is_refused(fields):
    assert lease_fault(LEASE) == ""
    assert lease_fault(change(**fields)) != ""
    assert LeaseBook().accept(change(**fields), 0.0) is None
