"""Estimates of what a job will cost: a range, whose upper end is the most that can be charged."""

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

# Verification counts at least the time of the trial run: with less, an owner would be paid for less time than the work
# takes.
PAID_TIME_MIN_PERMILLE = 1_000


@dataclass(frozen=True, kw_only=True)
class Slices:
    """A job cut into units, and the speed and power of the hardware class that runs them."""

    items: int
    unit_items: int  # items in each unit but the last
    us_per_item: int  # CPU microseconds of the trial run on the admission machine
    slowness_permille: int  # time on this class, in thousandths of the time on the admission machine
    power_mw: int  # milliwatts that the class draws

    def most_micro(self, card: RateCard, paid_time_permille: int) -> int:
        """Return the most that can be charged if verification counts up to `paid_time_permille` of the trial's time.

        Each unit is rated, and so rounded, on its own.
        """
        return sum(
            count * self._unit_micro(card, items, paid_time_permille, energy_halves=rating.ENERGY_CLAMP_HALVES)
            for count, items in self._sizes()
        )

    def expected_micro(self, card: RateCard) -> int:
        """Return what the job costs if it takes the trial run's time, and the energy that the class draws meanwhile."""
        return sum(
            count * self._unit_micro(card, items, PAID_TIME_MIN_PERMILLE, energy_halves=2)
            for count, items in self._sizes()
        )

    def trial_ms(self) -> int:
        """Return the milliseconds that all items take by the trial run."""
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
    """The range of what a job will cost.

    `low_micro` is the cost by the trial run of its model, on the class where it costs least. `high_micro` is the most
    that can be charged: verification counts a unit's time up to PAID_TIME_MAX_PERMILLE of the trial's on the slowest
    class, and energy up to one and a half times what the class with the highest power draws. `cap_min_micro` is the
    same at the trial's own time; a smaller cap is refused. `slices` describes the slowest class and the highest power.
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
        """Return the most time that may count, in thousandths of the trial's, for which the hold covers all units."""
        # `most_micro` grows with the time, so a binary search finds it.
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
    """Return what `items` items of a model will cost. Orders nothing.

    A job may run on any class that has an active node. It is priced by the card among theirs that pays owners most, so
    that no owner is paid less for time than the card of the owner's own class pays. Raises InvalidInput
    (`items_invalid`, `tier_unknown`) and Conflict (`model_not_admitted`, `no_capacity`, `no_rate`).
    """
    if items < 1 or (unit_items is not None and unit_items < 1):
        raise InvalidInput("A job, and each of its units, has at least one item.", code="items_invalid")
    if tier not in RateCard.Tier.values:
        raise InvalidInput(
            "There is no such tier of verification.", code="tier_unknown", tier=tier, tiers=list(RateCard.Tier.values)
        )
    if artifact.status != ModelArtifact.Status.ADMITTED:
        raise Conflict(f"The model is {artifact.status}, not admitted.", code="model_not_admitted")
    cards = _cards(artifact.organization.currency, tier)
    card = max(cards, key=lambda c: (c.owner_micro_per_hour, c.price_micro_per_hour, c.price_micro_per_kwh, c.pk))
    step = min(items, unit_items or jobs.items_by_time(artifact))
    classes = [card_in_force.hardware_class for card_in_force in cards]
    on_each = [_slices(artifact, items, step, c.slowness_permille, c.power_mw) for c in classes]
    widest = _slices(artifact, items, step, max(c.slowness_permille for c in classes), max(c.power_mw for c in classes))
    return Estimate(
        items=items,
        units=-(-items // step),
        compute_ms=min(slices.trial_ms() for slices in on_each),
        low_micro=min(slices.expected_micro(card) for slices in on_each),
        # At least one micro-unit: an order needs a hold above zero, even for work whose cost rounds to nothing.
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
    """Return the cards in force of the classes with an active node, or of all classes if no node is active now."""
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
