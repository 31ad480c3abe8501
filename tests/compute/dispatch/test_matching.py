"""The pure matching policy: properties that hold for any fleet and any queue."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.dispatch import matching, trust
from compute.dispatch.matching import NodeOffer, Plan, UnitNeed, match
from tests.long import examples

NEVER, ALWAYS = 10**9, 0  # streaks: audited with probability 0.03, always replicated


def offer(node: int, **fields: Any) -> NodeOffer:
    values = {
        "owner": node,
        "vehicle": node,
        "consent": node,
        "hardware_class": 1,
        "free": 1,
        "valid_streak": NEVER,
        "cost_micro_per_hour": 1,
        "memory_bytes": 10,
        **fields,
    }
    return NodeOffer(node=node, **values)


def need(unit: int, **fields: Any) -> UnitNeed:
    values = {
        "job": 1,
        "wanted": 1,
        "live": 0,
        "made": 0,
        "hardware_class": None,
        "owners": frozenset(),
        "nodes": frozenset(),
        "pay_micro_per_hour": 10,
        "memory_bytes": 5,
        **fields,
    }
    return UnitNeed(unit=unit, **values)


class Rolls(Random):
    """A random generator that always returns the same number."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


UNAUDITED = Rolls(0.999)

offers = st.lists(
    st.builds(
        dict,
        owner=st.integers(1, 5),
        hardware_class=st.integers(1, 3),
        free=st.integers(1, 4),
        valid_streak=st.sampled_from([0, 5, 10, 50, NEVER]),
        cost_micro_per_hour=st.integers(0, 20),
        memory_bytes=st.integers(1, 10),
    ),
    max_size=15,
).map(lambda rows: [offer(index, **row) for index, row in enumerate(rows, 1)])
needs = st.lists(
    st.builds(
        dict,
        wanted=st.integers(1, 4),
        made=st.integers(0, 6),
        owners=st.frozensets(st.integers(1, 5), max_size=2),
        nodes=st.frozensets(st.integers(1, 15), max_size=4),
        pay_micro_per_hour=st.integers(0, 20),
        memory_bytes=st.integers(1, 10),
        pinned=st.integers(1, 3),
    ),
    max_size=25,
).map(lambda rows: [_open(index, row) for index, row in enumerate(rows, 1)])


def _open(index: int, row: dict[str, Any]) -> UnitNeed:
    """Return a need as the database gives it: `owners` hold the live copies; with live copies there is a class."""
    pinned, live = row.pop("pinned"), len(row["owners"])
    return need(
        index,
        live=live,
        hardware_class=pinned if live else None,
        **{**row, "wanted": max(row["wanted"], live + 1), "made": max(row["made"], live)},
    )


@settings(max_examples=examples(150), deadline=None)
@given(units=needs, fleet=offers, seed=st.integers(0, 2**32))
def test_what_a_match_never_is(units, fleet, seed):
    free = {o.node: o.free for o in fleet}
    plan = match(units, fleet, Random(seed))
    by_unit = {u.unit: u for u in units}
    taken = Counter(m.offer.node for m in plan.matches)
    assert all(taken[node] <= free[node] for node in taken), "beyond the free leases of a node"
    assert all(o.free == free[o.node] - taken[o.node] for o in fleet)
    for m in plan.matches:
        unit = by_unit[m.unit]
        assert m.job == unit.job
        assert m.offer.owner not in unit.owners
        assert m.offer.node not in unit.nodes
        assert m.offer.cost_micro_per_hour <= unit.pay_micro_per_hour
        assert m.offer.memory_bytes >= unit.memory_bytes
    for unit in units:
        own = [m for m in plan.matches if m.unit == unit.unit]
        assert len({m.offer.owner for m in own}) == len(own), "two copies with one owner"
        assert [m.fence for m in own] == list(range(unit.made + 1, unit.made + 1 + len(own)))
        classes = {m.offer.hardware_class for m in own} | ({unit.hardware_class} - {None})
        assert len(classes) <= 1
        assert (unit.unit in plan.decided) == bool(own)
        if own:
            wanted = plan.decided[unit.unit]
            assert wanted in {unit.wanted, max(unit.wanted, trust.QUORUM)}
            assert unit.live + len(own) <= wanted


@settings(max_examples=60, deadline=None)
@given(units=needs, fleet=offers, seed=st.integers(0, 2**32))
def test_nothing_is_left_that_could_have_run(units, fleet, seed):
    """For a unit without a copy no suitable node is left, unless the search limit was reached."""
    plan = match(units, fleet, Random(seed))
    served = {m.unit for m in plan.matches}
    for unit in units:
        if unit.unit in served:
            continue
        fitting = [
            o
            for o in fleet
            if o.free and matching._fits(unit, set(unit.owners), o) and unit.hardware_class in (None, o.hardware_class)
        ]
        assert not fitting


def nodes_of(plan: Plan) -> list[int]:
    return [m.offer.node for m in plan.matches]


def test_nodes_take_turns():
    fleet = [offer(node, free=100) for node in range(1, 8)]
    taken = Counter(nodes_of(match([need(u) for u in range(70)], fleet, UNAUDITED)))
    assert set(taken.values()) == {10}


def test_turns_go_on_after_a_full_node_left():
    fleet = [offer(1, free=1), offer(2, free=3), offer(3, free=3)]
    assert nodes_of(match([need(u) for u in range(9)], fleet, UNAUDITED)) == [1, 2, 3, 2, 3, 2, 3]


def test_units_are_served_in_their_order():
    plan = match([need(7), need(3), need(5)], [offer(1, free=2)], UNAUDITED)
    assert [m.unit for m in plan.matches] == [7, 3]


def test_the_class_with_most_nodes_is_tried_first():
    fleet = [offer(1, hardware_class=1), offer(2, hardware_class=2), offer(3, hardware_class=2)]
    assert match([need(1)], fleet, UNAUDITED).decided == {1: 1}


@pytest.mark.parametrize(
    ("streak", "roll", "copies"),
    [(0, 0.999, 2), (9, 0.999, 2), (10, 0.11, 1), (10, 0.09, 2), (1000, 0.02, 2), (1000, 0.04, 1), (NEVER, 0.02, 2)],
)
def test_replication_follows_trust(streak, roll, copies):
    fleet = [offer(1, valid_streak=streak), offer(2, valid_streak=streak)]
    plan = match([need(1)], fleet, Rolls(roll))
    assert len(plan.matches) == copies
    assert plan.decided == {1: copies}


def test_an_audit_that_finds_no_second_owner_waits_for_one():
    plan = match([need(1)], [offer(1, free=5, valid_streak=ALWAYS), offer(2, owner=1)], UNAUDITED)
    assert nodes_of(plan) == [1]
    assert plan.decided == {1: 2}


def test_a_second_copy_only_needs_one_more():
    need_one = need(1, wanted=2, live=1, made=3, hardware_class=2, owners=frozenset({9}))
    fleet = [offer(1), offer(2, hardware_class=2, owner=9), offer(3, hardware_class=2)]
    (only,) = match([need_one], fleet, UNAUDITED).matches
    assert (only.offer.node, only.fence) == (3, 4)


def test_replication_probability_has_a_floor_and_a_threshold():
    values = [trust.replication_probability(streak) for streak in range(200)]
    assert values[:10] == [1.0] * 10
    assert values == sorted(values, reverse=True)
    assert min(values) == trust.AUDIT_FLOOR == trust.replication_probability(10**12)


# Cost of a round


def steps(monkeypatch: pytest.MonkeyPatch, units: list[UnitNeed], fleet: list[NodeOffer]) -> int:
    """Return how many nodes are considered."""
    looked = 0
    fits = matching._fits

    def count(*arguments: Any) -> bool:
        nonlocal looked
        looked += 1
        return fits(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(matching, "_fits", count)
        match(units, fleet, UNAUDITED)
    return looked


def test_a_round_that_fits_looks_at_one_node_a_unit(monkeypatch):
    for size in (100, 2000):
        fleet = [offer(node, free=10) for node in range(size // 10)]
        assert steps(monkeypatch, [need(u) for u in range(size)], fleet) == size


def test_a_round_that_does_not_fit_is_linear_in_units_however_large_the_fleet(monkeypatch):
    units = [need(u, memory_bytes=99) for u in range(200)]
    for size in (1000, 4000):
        looked = steps(monkeypatch, [replace(u) for u in units], [offer(node, free=10) for node in range(size)])
        assert looked == len(units) * matching.SEARCH_LIMIT


def test_a_node_beyond_the_search_limit_is_found_in_a_later_turn(monkeypatch):
    """The ring keeps its position after a search, so that the next unit continues from there."""
    fleet = [offer(node, memory_bytes=1) for node in range(matching.SEARCH_LIMIT)] + [offer(999)]
    assert nodes_of(match([need(1), need(2)], fleet, UNAUDITED)) == [999]
