"""What a job will cost, before it is ordered or instead of it: a range, and the most that can be charged."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef
from django.utils import timezone

from billing.models import RateCard
from billing.rates import formula as rating
from billing.rates import selectors
from billing.rates.cards import default_rates
from compute.jobs import jobs
from compute.jobs.jobs import PAID_TIME_MAX_PERMILLE
from compute.models import HardwareClass, ModelArtifact, Node
from core.errors import Conflict, InvalidInput

# Less would pay an owner for less time than the trial run took: no cap lowers it further.
PAID_TIME_MIN_PERMILLE = 1_000


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Work cut into units, and how fast and hungry a class that runs them may be."""

    items: int
    unit_items: int
    us_per_item: int
    slowness_permille: int
    power_mw: int

    def most_micro(self, card: RateCard, paid_time_permille: int) -> int:
        """The most that all units together can be charged when verification counts so much time: each rated on its own."""
        return sum(
            count * self._unit_micro(card, items, paid_time_permille, energy_halves=rating.ENERGY_CLAMP_HALVES)
            for count, items in self._sizes()
        )

    def expected_micro(self, card: RateCard) -> int:
        """What the trial run says: its time, and what the class draws in it by its model."""
        return sum(
            count * self._unit_micro(card, items, PAID_TIME_MIN_PERMILLE, energy_halves=2)
            for count, items in self._sizes()
        )

    def trial_ms(self) -> int:
        return rating.paid_time_ms(
            items=self.items,
            us_per_item=self.us_per_item,
            slowness_permille=self.slowness_permille,
            paid_time_permille=PAID_TIME_MIN_PERMILLE,
        )

    def _sizes(self) -> list[tuple[int, int]]:
        whole, rest = divmod(self.items, self.unit_items)
        return [(whole, self.unit_items), (1, rest)] if rest else [(whole, self.unit_items)]

    def _unit_micro(self, card: RateCard, items: int, paid_time_permille: int, *, energy_halves: int) -> int:
        compute_ms = rating.paid_time_ms(
            items=items,
            us_per_item=self.us_per_item,
            slowness_permille=self.slowness_permille,
            paid_time_permille=paid_time_permille,
        )
        energy_mwh = rating.energy_mwh(compute_ms=compute_ms, power_mw=self.power_mw, halves=energy_halves)
        return rating.full_micro(
            compute_ms=compute_ms,
            energy_mwh=energy_mwh,
            price_micro_per_hour=card.price_micro_per_hour,
            price_micro_per_kwh=card.price_micro_per_kwh,
        )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The range that a job will cost. `low` is what the trial run of its model says, on the cheapest class for it.

    `high` is the most that can be charged: verification counts a unit's time up to PAID_TIME_MAX_PERMILLE of the trial's on
    the slowest class, and energy up to one and a half times the draw of the hungriest. `cap_min` is the same at the
    trial's own time: no smaller cap is taken.
    """

    items: int
    units: int
    compute_ms: int
    low_micro: int
    high_micro: int
    cap_min_micro: int
    rate_card: RateCard
    slices: Slices

    @property
    def currency(self) -> str:
        return self.rate_card.currency

    def paid_time_permille(self, held_micro: int) -> int:
        """The most time that may count so that all units together cannot cost more than is held."""
        low, high = PAID_TIME_MIN_PERMILLE, PAID_TIME_MAX_PERMILLE
        while low < high:
            middle = (low + high + 1) // 2
            if self.slices.most_micro(self.rate_card, middle) <= held_micro:
                low = middle
            else:
                high = middle - 1
        return low


def estimate(
    *, artifact: ModelArtifact, items: int, unit_items: int | None = None, tier: str = RateCard.Tier.STANDARD
) -> Estimate:
    """Price `items` of a model, before ordering or instead of it.

    A job may run on any class that has an active node, and is priced by the card among them that pays owners most, so that
    no owner is paid less for time than the card of the own class says.
    Raises InvalidInput, Conflict `model_not_admitted`, `no_capacity` or `no_rate`.
    """
    if items < 1 or (unit_items is not None and unit_items < 1):
        raise InvalidInput("A job has at least one item, and so has a unit.", code="items_invalid")
    if tier not in RateCard.Tier.values:
        raise InvalidInput("There is no such tier.", code="tier_unknown", tier=tier, tiers=list(RateCard.Tier.values))
    if artifact.status != ModelArtifact.Status.ADMITTED:
        raise Conflict(f"The model is {artifact.status}, not admitted.", code="model_not_admitted")
    cards = _cards(artifact.organization.currency, tier)
    card = max(cards, key=lambda c: (c.owner_micro_per_hour, c.price_micro_per_hour, c.price_micro_per_kwh, c.pk))
    step = min(items, unit_items or jobs.items_by_time(artifact))
    classes = [each.hardware_class for each in cards]
    on_each = [_slices(artifact, items, step, c.slowness_permille, c.power_mw) for c in classes]
    widest = _slices(artifact, items, step, max(c.slowness_permille for c in classes), max(c.power_mw for c in classes))
    return Estimate(
        items=items,
        units=-(-items // step),
        compute_ms=min(slices.trial_ms() for slices in on_each),
        low_micro=min(slices.expected_micro(card) for slices in on_each),
        # A hold of nothing is no hold: work that costs nothing still has its order.
        high_micro=max(1, widest.most_micro(card, PAID_TIME_MAX_PERMILLE)),
        cap_min_micro=max(1, widest.most_micro(card, PAID_TIME_MIN_PERMILLE)),
        rate_card=card,
        slices=widest,
    )


def _slices(artifact: ModelArtifact, items: int, unit_items: int, slowness_permille: int, power_mw: int) -> Slices:
    return Slices(
        items=items,
        unit_items=unit_items,
        us_per_item=artifact.us_per_item,
        slowness_permille=slowness_permille,
        power_mw=power_mw,
    )


def _cards(currency: str, tier: str) -> list[RateCard]:
    """The cards in force of the classes that have an active node, or of all when there is none just now."""
    active = Node.objects.filter(hardware_class=OuterRef("pk"), status=Node.Status.ACTIVE)
    classes = list(HardwareClass.objects.filter(Exists(active)) or HardwareClass.objects.all())
    if not classes:
        raise Conflict("No vehicle has joined yet, so there is no price yet.", code="no_capacity")
    wanted = {"currency": currency, "mode": RateCard.Mode.BATCH, "tier": tier}
    cards = list(selectors.cards_in_force(classes, timezone.now(), **wanted))
    if len(cards) < len(classes) and default_rates():
        cards = list(selectors.cards_in_force(classes, timezone.now(), **wanted))
    if not cards:
        raise Conflict(f"There is no price in {currency} yet.", code="no_rate")
    return cards
