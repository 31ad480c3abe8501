"""The settings of a customer's automatic recharge."""

from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.models import AutoRecharge, SavedCard, StripeCustomer
from billing.topups import recharges
from billing.topups.top_ups import check_amount
from billing.topups.words import has_expired
from core.errors import Conflict, InvalidInput
from core.workers import wake


def change(
    *,
    organization: Organization,
    is_on: bool,
    threshold_micro: int,
    amount_micro: int,
    monthly_cap_micro: int,
    card_id: UUID,
    actor: User | None,
    resume: bool = False,
) -> AutoRecharge:
    """Change the settings and return them; `card_id` is a saved card's public id. The same values again change nothing.

    A paused recharge stays paused, unless another card is chosen or `resume` says that a person has looked. Raises
    InvalidInput: `card_off`, `amount_too_small`, `amount_too_large` or `amount_not_whole` for the amount of one charge,
    `threshold_invalid`, `threshold_too_large`, `cap_below_amount`, `cap_too_large`; and Conflict `card_not_saved` or
    `card_expired`.
    """
    _check(organization, threshold_micro, amount_micro, monthly_cap_micro)
    with transaction.atomic():
        # The lock that every change of an organization's cards takes first: the card cannot be removed meanwhile.
        StripeCustomer.objects.select_for_update(no_key=True).filter(organization=organization).first()
        chosen = _card(organization, card_id, is_on)
        row = AutoRecharge.objects.select_for_update().filter(organization=organization).first()
        row = row or AutoRecharge(organization=organization, card=chosen)
        before = _values(row)
        if resume or row.card_id != chosen.pk:
            row.paused_code, row.paused_at = "", None
        row.is_on, row.card, row.changed_by, row.changed_at = is_on, chosen, actor, timezone.now()
        row.threshold_micro, row.amount_micro, row.monthly_cap_micro = threshold_micro, amount_micro, monthly_cap_micro
        if row.pk is None or before != _values(row):
            row.save()
            audit.record(
                actor=actor,
                action="wallet.auto_recharge",
                subject=organization.public_id,
                is_on=is_on,
                threshold_micro=threshold_micro,
                amount_micro=amount_micro,
                monthly_cap_micro=monthly_cap_micro,
                card=str(chosen.public_id),
            )
        wake(recharges.TASK)
    return row


def _values(row: AutoRecharge) -> tuple[object, ...]:
    return (row.is_on, row.card_id, row.threshold_micro, row.amount_micro, row.monthly_cap_micro, row.paused_code)


def _check(organization: Organization, threshold_micro: int, amount_micro: int, monthly_cap_micro: int) -> None:
    check_amount(amount_micro, organization.currency)
    largest = settings.AUTO_RECHARGE_MAX_MICRO
    if threshold_micro < 0:
        raise InvalidInput("The threshold cannot be below zero.", code="threshold_invalid")
    if threshold_micro > largest:
        raise InvalidInput("The threshold is too large.", code="threshold_too_large", max_micro=largest)
    if monthly_cap_micro < amount_micro:
        raise InvalidInput(
            "The most for a month must be at least one recharge.", code="cap_below_amount", amount_micro=amount_micro
        )
    if monthly_cap_micro > largest:
        raise InvalidInput("The most for a month is too large.", code="cap_too_large", max_micro=largest)


def _card(organization: Organization, card_id: UUID, is_on: bool) -> SavedCard:
    """Return the card in its present state. A recharge that is switched off may have a card that no longer works.

    Raises Conflict `card_not_saved` or `card_expired`.
    """
    row = SavedCard.objects.filter(organization=organization, public_id=card_id).first()
    if row is None or (is_on and row.status != SavedCard.Status.ACTIVE):
        raise Conflict("This card is not saved any more.", code="card_not_saved")
    if is_on and has_expired(row):
        raise Conflict("This card has expired: choose another.", code="card_expired")
    return row
