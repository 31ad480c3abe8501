"""What a job will cost, and ordering it: the price is bound and the money held before any work starts."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.models import ApiKey, Organization
from billing import selectors
from billing.models import JobOrder, LedgerAccount, LedgerTransfer, RateCard
from billing.services import ledger, wallets
from billing.services.ledger import Place, Posting
from billing.services.rates import default_rates
from compute.models import HardwareClass, InferenceJob, InputFile, ModelArtifact, Node
from compute.services import jobs
from compute.services.verification import CLAMP
from marketplace.core.errors import Conflict, Forbidden, InvalidInput, PaymentRequired
from marketplace.core.money import price_of_time

US_PER_MS, PERMILLE = 1_000, 1_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The range that a job will cost. `low` is what the trial run of its model says, on the fastest class.

    `high` is the most that can be charged: verification counts at most CLAMP times the trial's time of a
    unit, here on the slowest class; each unit may round up by a millisecond and a micro-unit.
    """

    items: int
    units: int
    compute_ms: int
    low_micro: int
    high_micro: int
    rate_card: RateCard

    @property
    def currency(self) -> str:
        return self.rate_card.currency


def estimate(*, artifact: ModelArtifact, items: int, unit_items: int | None = None) -> Estimate:
    """Price `items` of a model, before ordering or instead of it.

    A job may run on any class that has an active node, and is priced by the dearest card among them, so that
    no owner is paid less than the card of the own class says.
    Raises InvalidInput, Conflict `model_not_admitted`, `no_capacity` or `no_rate`.
    """
    if items < 1 or (unit_items is not None and unit_items < 1):
        raise InvalidInput("A job has at least one item, and so has a unit.", code="items_invalid")
    if artifact.status != ModelArtifact.Status.ADMITTED:
        raise Conflict(f"The model is {artifact.status}, not admitted.", code="model_not_admitted")
    cards = _cards(artifact.organization.currency)
    card = max(cards, key=lambda card: (card.price_micro_per_hour, card.pk))
    units = -(-items // (unit_items or jobs.items_by_time(artifact)))
    trial_ms = [_trial_ms(artifact, items, card.hardware_class) for card in cards]
    longest_ms = CLAMP * max(trial_ms) + units
    return Estimate(
        items=items,
        units=units,
        compute_ms=min(trial_ms),
        low_micro=price_of_time(min(trial_ms), card.price_micro_per_hour),
        high_micro=price_of_time(longest_ms, card.price_micro_per_hour) + units,
        rate_card=card,
    )


@transaction.atomic
def order_job(
    *,
    organization: Organization,
    artifact: ModelArtifact,
    input_file: InputFile,
    unit_items: int | None = None,
    cap_micro: int | None = None,
    api_key: ApiKey | None = None,
    priority: int = 0,
) -> InferenceJob:
    """Hold the smaller of the cap and the highest estimate, and queue the job; `job.order` is the money side.

    All or nothing. Besides what `estimate` and `compute.services.jobs.create_job` raise: Forbidden
    `organization_suspended`, InvalidInput `cap_too_low` for a cap below the lowest estimate, PaymentRequired
    `insufficient_funds`.
    """
    if Organization.objects.get(pk=organization.pk).status != Organization.Status.ACTIVE:
        raise Forbidden("This organization is suspended.", code="organization_suspended")
    quote = estimate(
        artifact=artifact,
        items=input_file.items,
        unit_items=unit_items or jobs.default_unit_items(artifact, input_file),
    )
    held_micro = _to_hold(quote, cap_micro)
    _refuse_uncovered(organization, held_micro)
    job = jobs.create_job(
        organization=organization,
        artifact=artifact,
        input_file=input_file,
        unit_items=unit_items,
        api_key=api_key,
        priority=priority,
        pay_micro_per_hour=quote.rate_card.owner_micro_per_hour,
    )
    JobOrder.objects.create(
        job=job,
        organization=organization,
        rate_card=quote.rate_card,
        price_micro_per_hour=quote.rate_card.price_micro_per_hour,
        owner_share_permille=quote.rate_card.owner_share_permille,
        estimate_low_micro=quote.low_micro,
        estimate_high_micro=quote.high_micro,
        cap_micro=cap_micro,
        held_micro=held_micro,
    )
    # Last, since it locks the wallet until the end; it refuses what the check above could not see yet.
    _hold(organization, job, quote.currency, held_micro)
    return job


def _cards(currency: str) -> list[RateCard]:
    """The cards in force of the classes that have an active node, or of all when there is none just now."""
    active = Node.objects.filter(hardware_class=OuterRef("pk"), status=Node.Status.ACTIVE)
    classes = list(HardwareClass.objects.filter(Exists(active)) or HardwareClass.objects.all())
    if not classes:
        raise Conflict("No vehicle has joined yet, so there is no price yet.", code="no_capacity")
    cards = list(selectors.cards_in_force(classes, timezone.now(), currency=currency))
    if len(cards) < len(classes) and default_rates():
        cards = list(selectors.cards_in_force(classes, timezone.now(), currency=currency))
    if not cards:
        raise Conflict(f"There is no price in {currency} yet.", code="no_rate")
    return cards


def _trial_ms(artifact: ModelArtifact, items: int, hardware_class: HardwareClass) -> int:
    """The trial run's time for `items` on a class, milliseconds rounded up."""
    return -(-items * artifact.us_per_item * hardware_class.slowness_permille // (US_PER_MS * PERMILLE))


def _to_hold(quote: Estimate, cap_micro: int | None) -> int:
    if cap_micro is None:
        return quote.high_micro
    if cap_micro < max(1, quote.low_micro):
        raise InvalidInput(
            "The cap is below what the job is expected to cost at least.",
            code="cap_too_low",
            cap_micro=cap_micro,
            estimate_low_micro=quote.low_micro,
        )
    return min(cap_micro, quote.high_micro)


def _refuse_uncovered(organization: Organization, held_micro: int) -> None:
    wallet = wallets.summary(organization)
    if wallet.available_micro < held_micro:
        raise PaymentRequired(
            "The wallet does not cover this job.",
            required_micro=held_micro,
            available_micro=wallet.available_micro,
            currency=wallet.currency,
        )


def _hold(organization: Organization, job: InferenceJob, currency: str, held_micro: int) -> None:
    wallet, hold = (
        Place(kind=kind, currency=currency, organization_id=organization.pk)
        for kind in (LedgerAccount.Kind.WALLET, LedgerAccount.Kind.HOLD)
    )
    accounts = ledger.accounts([wallet, hold])
    ledger.post([
        Posting(
            kind=LedgerTransfer.Kind.HOLD,
            debit=accounts[wallet],
            credit=accounts[hold],
            amount_micro=held_micro,
            idempotency_key=f"hold:{job.pk}",
            meta={"job": str(job.public_id)},
        )
    ])  # fmt: skip
