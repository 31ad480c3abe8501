"""Match units to nodes: one greedy pass over the units in order of priority, with the nodes taken in turn.

The first copy of a unit may go to any hardware class. Later copies go to the same class, because other results cannot
be compared, and to other owners, because an owner's second copy would prove nothing. The job must pay at least what an
hour costs the node's owner, and for as much time as the node's class needs.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from compute.dispatch.trust import QUORUM, replication_probability

ANY_SLOWNESS = 2**31 - 1
SEARCH_LIMIT = 64  # nodes considered for one copy, so that the cost of a round is linear in units for any fleet


@dataclass(slots=True)
class NodeOffer:
    """A node with free leases. Costs are micro-units per hour."""

    node: int
    owner: int
    vehicle: int
    consent: int
    hardware_class: int
    free: int
    valid_streak: int
    cost_micro_per_hour: int
    memory_bytes: int
    slowness_permille: int = 1000


@dataclass(slots=True)
class UnitNeed:
    """A unit that wants more copies than are live. `owners` hold a live copy; `nodes` must not get it (again)."""

    unit: int
    job: int
    wanted: int
    live: int
    made: int
    hardware_class: int | None
    owners: Sequence[int]
    nodes: Sequence[int]
    pay_micro_per_hour: int
    memory_bytes: int
    slowness_max_permille: int = ANY_SLOWNESS


@dataclass(frozen=True, slots=True)
class Match:
    """One attempt to make: a unit on the node of an offer, with its fence."""

    unit: int
    job: int
    offer: NodeOffer
    fence: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of a matching.

    `matches`: the attempts to make. `decided`: for each unit that gets an attempt, the number of copies now wanted.
    `unplaced`: the units that lack a node for at least one copy.
    """

    matches: list[Match]
    decided: dict[int, int]
    unplaced: list[int]


def match(units: Iterable[UnitNeed], offers: Sequence[NodeOffer], rng: Random) -> Plan:
    """Assign copies until there are no more units or free leases. The `free` counts of `offers` are reduced."""
    rings: dict[int, deque[NodeOffer]] = {}
    for offer in offers:
        rings.setdefault(offer.hardware_class, deque()).append(offer)
    plan = Plan([], {}, [])
    for unit in units:
        if not any(rings.values()):
            break
        _place(unit, rings, plan, rng)
    return plan


def _place(unit: UnitNeed, rings: dict[int, deque[NodeOffer]], plan: Plan, rng: Random) -> None:
    owners = set(unit.owners)
    live, wanted, fence, chosen_class = unit.live, unit.wanted, unit.made, unit.hardware_class
    while live < wanted:
        offer = _take(unit, owners, chosen_class, rings)
        if offer is None:
            break
        fence += 1
        plan.matches.append(Match(unit.unit, unit.job, offer, fence))
        owners.add(offer.owner)
        live += 1
        chosen_class = offer.hardware_class
        if wanted < QUORUM and rng.random() < replication_probability(offer.valid_streak):
            wanted = QUORUM
    if live > unit.live:
        plan.decided[unit.unit] = wanted
    if live < wanted:
        plan.unplaced.append(unit.unit)


def _take(
    unit: UnitNeed, owners: set[int], chosen_class: int | None, rings: dict[int, deque[NodeOffer]]
) -> NodeOffer | None:
    """Return the next node in turn that may run a copy, or None.

    The node moves to the end of its ring, or out of it when it has no free lease left.
    """
    classes = [chosen_class] if chosen_class is not None else sorted(rings, key=lambda c: -len(rings[c]))
    for hardware_class in classes:
        ring = rings.get(hardware_class, deque())
        for _ in range(min(len(ring), SEARCH_LIMIT)):
            offer = ring[0]
            if _fits(unit, owners, offer):
                offer.free -= 1
                ring.popleft()
                if offer.free:
                    ring.append(offer)
                return offer
            ring.rotate(-1)
    return None


def _fits(unit: UnitNeed, owners: set[int], offer: NodeOffer) -> bool:
    return (
        offer.owner not in owners
        and offer.node not in unit.nodes
        and offer.cost_micro_per_hour <= unit.pay_micro_per_hour
        and offer.memory_bytes >= unit.memory_bytes
        and offer.slowness_permille <= unit.slowness_max_permille
    )
