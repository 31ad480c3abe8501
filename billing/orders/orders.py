"""Ordering a job: the price is bound and the money held before any work starts."""

from django.db import connection, transaction

from accounts.models import ApiKey, Organization
from billing.models import JobOrder, RateCard
from billing.orders import holds
from billing.rates.estimates import Estimate, estimate
from billing.topups import recharges
from billing.usage import spend_caps
from billing.wallet import wallets
from compute.dispatch.trust import QUORUM
from compute.jobs import jobs
from compute.models import InferenceJob, InputFile, ModelArtifact
from core.errors import Forbidden, InvalidInput, PaymentRequired
from core.workers import wake

__all__ = ["Estimate", "estimate", "order_job"]


@transaction.atomic
def order_job(
    *,
    organization: Organization,
    artifact: ModelArtifact,
    input_file: InputFile,
    unit_items: int | None = None,
    cap_micro: int | None = None,
    tier: str = RateCard.Tier.STANDARD,
    api_key: ApiKey | None = None,
    priority: int = 0,
) -> InferenceJob:
    """Hold the smaller of the cap and the highest estimate, and queue the job; `job.order` is the money side.

    A cap below the highest estimate lowers the time that verification counts, so that nothing is worked that the hold does
    not pay. All or nothing. Besides what `estimate` and `compute.jobs.jobs.create_job` raise: Forbidden
    `organization_suspended`, InvalidInput `cap_too_low` for a cap that would not pay the trial's time on the slowest class,
    PaymentRequired `spend_cap_reached` or `insufficient_funds`.
    """
    _refuse_suspended(Organization.objects.get(pk=organization.pk).status)
    quote = estimate(
        artifact=artifact,
        items=input_file.items,
        unit_items=unit_items or jobs.default_unit_items(artifact, input_file),
        tier=tier,
    )
    held_micro = _to_hold(quote, cap_micro)
    spend_caps.refuse_above(organization, held_micro)
    _refuse_uncovered(organization, held_micro)
    job = jobs.create_job(
        organization=organization,
        artifact=artifact,
        input_file=input_file,
        unit_items=unit_items,
        api_key=api_key,
        priority=priority,
        pay_micro_per_hour=quote.rate_card.owner_micro_per_hour,
        paid_time_permille=quote.paid_time_permille(held_micro),
        slowness_max_permille=quote.slices.slowness_permille,
        power_max_mw=quote.slices.power_mw,
        copies_min=QUORUM if tier == RateCard.Tier.QUORUM else 1,
    )
    order = _bind(job, quote, cap_micro=cap_micro, held_micro=held_micro)
    # Last, since they lock until the end; they refuse what the checks above could not see yet.
    _refuse_suspended(_status_held(organization))
    holds.take(order, currency=quote.currency)
    wake(recharges.TASK)  # the wallet may be low now
    return job


def _status_held(organization: Organization) -> str:
    """As it is until we commit: a suspension that came before is seen, and one to come waits for us. Orders share the lock.

    After `holds.promo_part`, which may lock the same row for itself: two that share it could not both do that.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM accounts_organization WHERE id = %s FOR SHARE", [organization.pk])
        return str(cursor.fetchone()[0])


def _refuse_suspended(status: str) -> None:
    if status != Organization.Status.ACTIVE:
        raise Forbidden("This organization is suspended.", code="organization_suspended")


def _bind(job: InferenceJob, quote: Estimate, *, cap_micro: int | None, held_micro: int) -> JobOrder:
    card = quote.rate_card
    return JobOrder.objects.create(
        job=job,
        organization=job.organization,
        rate_card=card,
        price_micro_per_hour=card.price_micro_per_hour,
        price_micro_per_kwh=card.price_micro_per_kwh,
        owner_share_permille=card.owner_share_permille,
        estimate_low_micro=quote.low_micro,
        estimate_high_micro=quote.high_micro,
        cap_micro=cap_micro,
        held_micro=held_micro,
        held_promo_micro=holds.promo_part(job.organization, held_micro),
    )


def _to_hold(quote: Estimate, cap_micro: int | None) -> int:
    if cap_micro is None:
        return quote.high_micro
    if cap_micro < quote.cap_min_micro:
        raise InvalidInput(
            "The cap would not pay the time that the trial run took, on the slowest class of vehicles.",
            code="cap_too_low",
            cap_micro=cap_micro,
            cap_min_micro=quote.cap_min_micro,
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
