"""OCMF records read by an independent parser (pyocmf): valid, and refused when one digit is changed."""

import re
from decimal import Decimal

import pytest
from pyocmf import OCMF, PublicKey

from billing.records import ocmf, signing_keys
from billing.records.chain import Chain
from billing.verifier.runs import Run, Runs
from tests import factories
from tests.billing.records.helpers import close_statement, package, unpacked, work

NODE, JOB = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"


def run(first: int, last: int, *, job: str = JOB, energy: int = 5, **fields) -> Run:
    values = {"started_unix_ms": 1_790_000_000_123, "ended_unix_ms": 1_790_000_009_000, **fields}
    return Run(NODE, job, first, last, energy, methods=frozenset({"rapl"}), **values)


def record(one: Run, *, begin: int = 1_234_567, agent: str = "0.1", tariff: str = "0.1 USD/h") -> str:
    return ocmf.record(ocmf.Reading(one, begin, agent, tariff), signing_keys.ocmf_key()).decode()


def key() -> PublicKey:
    return PublicKey.from_string(signing_keys.published_keys()["ocmf"]["public_key"])


@pytest.mark.filterwarnings("error")
def test_a_public_parser_reads_and_verifies_it():
    text = record(run(7, 9))
    parsed = OCMF.from_string(text, strict=True)
    assert parsed.verify_signature(key()) is True
    payload = parsed.payload
    assert (payload.PG, payload.MS, payload.ID, payload.IT, payload.MV) == ("T9", NODE, JOB, "UNDEFINED", "Driveway")
    begin, end = payload.RD
    assert (str(begin.RV), str(end.RV)) == ("1.234567", "1.234572")
    assert (begin.TX, end.TX, begin.RU, begin.ST, begin.time_status) == ("B", "E", "kWh", "G", "I")
    assert begin.timestamp.isoformat() == "2026-09-21T14:13:20.123000+00:00"
    assert not parsed.check_eichrecht(errors_only=True)


def test_one_changed_digit_is_refused():
    text = record(run(7, 9))
    digits = [
        at
        for at in range(text.rindex("|"))
        if text[at].isdigit() and text[:at].count("RV") and text[at - 1] in ".1234567"
    ]
    assert len(digits) > 10
    for at in digits:
        other = "8" if text[at] == "9" else str(int(text[at]) + 1)
        changed = text[:at] + other + text[at + 1 :]
        try:
            assert OCMF.from_string(changed).verify_signature(key()) is False
        except ValueError:
            continue  # refused as well: the changed digit gives a date that does not exist


def test_the_same_reading_gives_the_same_bytes():
    assert record(run(1, 1)) == record(run(1, 1))


@pytest.mark.parametrize("agent", ["a|b", '"}', "é" * 40, "\\"])
def test_what_a_car_says_of_itself_does_not_break_the_record(agent):
    far = run(1, 1, started_unix_ms=-(10**18), ended_unix_ms=10**18)
    text = record(far, agent=agent, tariff="x|" * 300)
    assert text.count("|") == 2
    assert OCMF.from_string(text, strict=True).verify_signature(key())


def test_a_run_ends_with_a_gap_another_job_or_another_computer():
    gathered = Runs()
    for piece in (run(1, 1), run(2, 2), run(4, 4), run(5, 5, job=NODE), run(6, 6)):
        gathered.add(piece)
    assert [(r.first_seq, r.last_seq, r.energy_mwh) for r in gathered.end()] == [
        (1, 2, 10),
        (4, 4, 5),
        (5, 5, 5),
        (6, 6, 5),
    ]
    chain = Chain([], {(NODE, 3): 100}, {NODE: 1000})
    begins = chain.registers((r.node, r.first_seq, r.energy_mwh) for r in gathered.finished)
    assert list(begins) == [1000, 1110, 1115, 1120]


@pytest.mark.django_db
def test_the_register_is_the_sum_of_all_that_a_car_signed():
    cars = [factories.make_car(), factories.make_car()]
    owner = cars[0].node.vehicle.owner
    work(cars, energy_mwh=100)
    close_statement(owner)
    lost = factories.lease_to(cars[0])
    cars[0].sync(reports=(cars[0].report(lost, outcome="error", code="oom", energy_mwh=7),), available=False)
    work(cars, energy_mwh=50)
    (line,) = unpacked(package(close_statement(owner)))["ocmf/records.ocmf"].decode().splitlines()
    parsed = OCMF.from_string(line, strict=True)
    assert parsed.verify_signature(key())
    assert [reading.RV for reading in parsed.payload.RD] == [Decimal("0.000307"), Decimal("0.000457")]
    assert re.fullmatch(r"0\.\d+ USD/h, .* USD/kWh, owner's share of time 700/1000", parsed.payload.TT)
