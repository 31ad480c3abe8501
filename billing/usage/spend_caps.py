"""Spend caps: the most that a customer's jobs may cost in a calendar month (UTC), held and charged together."""

from dataclasses import dataclass

from django.db import connection, transaction

from accounts.access import audit
from accounts.models import Organization, User
from billing.models import SpendCap
from core.errors import InvalidInput, PaymentRequired
from core.money import LIMIT_MAX_MICRO

# Both figures in one statement, so from one snapshot: a settlement moves money from held to charged. The hold account's
# balance is what all open orders hold, so that no orders are read.
MONTH = """
SELECT COALESCE((SELECT sum(charged_micro) FROM billing_spendday
                  WHERE organization_id = %(organization)s AND currency = %(currency)s
                    AND day >= date_trunc('month', now() AT TIME ZONE 'UTC')::date), 0)::bigint,
       COALESCE((SELECT balance_micro FROM billing_ledgeraccount
                  WHERE kind = 'hold' AND organization_id = %(organization)s AND owner_id IS NULL
                    AND currency = %(currency)s), 0)
"""


@dataclass(frozen=True)
class SpendMonth:
    """The present month, in micro-units: the charges for work verified in it, and what open orders may still cost."""

    cap_micro: int | None  # None: no cap
    charged_micro: int
    held_micro: int

    @property
    def left_micro(self) -> int | None:
        """What may still be ordered, never below zero; None without a cap."""
        if self.cap_micro is None:
            return None
        return max(0, self.cap_micro - self.charged_micro - self.held_micro)


@transaction.atomic
def set_cap(*, organization: Organization, monthly_micro: int | None, actor: User | None) -> None:
    """Set the cap, or remove it with None. It applies from the next order on; running jobs are never touched.

    Raises InvalidInput `amount_invalid` for an amount below zero or above LIMIT_MAX_MICRO.
    """
    if monthly_micro is not None and not 0 <= monthly_micro <= LIMIT_MAX_MICRO:
        raise InvalidInput("A cap is zero or more.", code="amount_invalid", monthly_micro=monthly_micro)
    if monthly_micro is None:
        SpendCap.objects.filter(organization=organization).delete()
    else:
        SpendCap.objects.update_or_create(
            organization=organization, defaults={"monthly_micro": monthly_micro, "changed_by": actor}
        )
    audit.record(actor=actor, action="spend_cap.set", subject=organization.public_id, monthly_micro=monthly_micro)


def month(organization: Organization) -> SpendMonth:
    """Return the cap, and what this month's jobs have cost and may still cost."""
    cap = SpendCap.objects.filter(organization=organization).values_list("monthly_micro", flat=True).first()
    return _month(organization, cap)


def refuse_above(organization: Organization, held_micro: int) -> None:
    """Raise PaymentRequired `spend_cap_reached` if an order that holds `held_micro` would exceed the month's cap.

    Call it in the order's transaction: the cap's row stays locked until its end, so that concurrent orders count each
    other.
    """
    cap = SpendCap.objects.select_for_update().filter(organization=organization).first()
    if cap is None:
        return
    spent = _month(organization, cap.monthly_micro)
    if spent.charged_micro + spent.held_micro + held_micro > cap.monthly_micro:
        raise PaymentRequired(
            "Your monthly spend cap does not leave room for this job.",
            code="spend_cap_reached",
            required_micro=held_micro,
            cap_micro=cap.monthly_micro,
            charged_micro=spent.charged_micro,
            held_micro=spent.held_micro,
            left_micro=spent.left_micro,
            currency=organization.currency,
        )


def _month(organization: Organization, cap_micro: int | None) -> SpendMonth:
    with connection.cursor() as cursor:
        cursor.execute(MONTH, {"organization": organization.pk, "currency": organization.currency})
        charged_micro, held_micro = cursor.fetchone()
    return SpendMonth(cap_micro, charged_micro, held_micro)
