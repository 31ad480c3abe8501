"""Ordering a job: the price is fixed and the money is held before any work starts."""

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
    """Create the job and its order, hold the money, and return the job; `job.order` is the order. All or nothing.

    The hold is the highest estimate, or the cap if that is smaller. A cap below the highest estimate reduces the time
    that verification counts for a unit, so that no work is done that the hold does not cover.

    Raises what `estimate` and `compute.jobs.jobs.create_job` raise, and Forbidden (`organization_suspended`),
    InvalidInput (`cap_too_low`, for a cap that does not cover the time of the trial run on the slowest class) and
    PaymentRequired (`spend_cap_reached`, `insufficient_funds`).
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
    order = _create_order(job, quote, cap_micro=cap_micro, held_micro=held_micro)
    # Last, because their locks are held until the end of the transaction. They repeat the checks above under a lock.
    _refuse_suspended(_locked_status(organization))
    holds.post_hold(order, currency=quote.currency)
    wake(recharges.TASK)  # the wallet may be low now
    return job


def _locked_status(organization: Organization) -> str:
    """Return the organization's status, which cannot change until we commit: a suspension waits for our shared lock.

    Call it after `holds.promo_part`, which may lock the same row exclusively: two orders that already shared the lock
    would then wait for each other.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM accounts_organization WHERE id = %s FOR SHARE", [organization.pk])
        return str(cursor.fetchone()[0])


def _refuse_suspended(status: str) -> None:
    if status != Organization.Status.ACTIVE:
        raise Forbidden("This organization is suspended.", code="organization_suspended")


def _create_order(job: InferenceJob, quote: Estimate, *, cap_micro: int | None, held_micro: int) -> JobOrder:
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
            "The cap does not cover the time that the trial run took, on the slowest class of vehicles.",
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
