"""A customer's billing profile: the details printed on invoices, and the balance below which we warn by mail."""

from django.db import transaction

from accounts.access import audit
from accounts.models import Organization, User
from billing.models import BillingProfile
from core.errors import InvalidInput
from core.money import LIMIT_MAX_MICRO

MAX_LENGTHS = {"legal_name": 200, "address": 500, "tax_id": 40}  # characters: the lengths of the columns


def profile_of(organization: Organization) -> BillingProfile:
    """Return the organization's profile, or an unsaved, empty one if there is none yet."""
    profile = BillingProfile.objects.filter(organization=organization).first()
    return profile or BillingProfile(organization=organization)


@transaction.atomic
def change(
    *,
    organization: Organization,
    legal_name: str,
    address: str,
    tax_id: str,
    low_balance_micro: int | None,
    actor: User | None,
) -> BillingProfile:
    """Set the profile and return it. Documents made from now on show it. `low_balance_micro` None: no mail is sent.

    Setting the same values again changes nothing. The audit trail names the changed fields, not their texts, which may
    be personal data. Raises InvalidInput: `amount_invalid` for a threshold below zero or above LIMIT_MAX_MICRO,
    `text_too_long` for a text longer than MAX_LENGTHS.
    """
    wanted = {"legal_name": _line(legal_name), "address": _lines(address), "tax_id": _line(tax_id)}
    _check(wanted, low_balance_micro)
    # The row is made first, so that there is one to lock: two requests at once wait for each other here.
    BillingProfile.objects.bulk_create([BillingProfile(organization=organization)], ignore_conflicts=True)
    row = BillingProfile.objects.select_for_update().get(organization=organization)
    values = {**wanted, "low_balance_micro": low_balance_micro}
    changed = [name for name in values if getattr(row, name) != values[name]]
    if changed:
        for name in changed:
            setattr(row, name, values[name])
        row.changed_by = actor
        row.save(update_fields=[*changed, "changed_by", "changed_at"])
        audit.record(
            actor=actor,
            action="billing_profile.changed",
            subject=organization.public_id,
            changed=changed,
            low_balance_micro=low_balance_micro,
        )
    return row


def _check(texts: dict[str, str], low_balance_micro: int | None) -> None:
    if low_balance_micro is not None and not 0 <= low_balance_micro <= LIMIT_MAX_MICRO:
        raise InvalidInput("A threshold is zero or more.", code="amount_invalid", low_balance_micro=low_balance_micro)
    for name, text in texts.items():
        if len(text) > MAX_LENGTHS[name]:
            raise InvalidInput("This text is too long.", code="text_too_long", field=name, max_length=MAX_LENGTHS[name])


def _line(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> str:
    """Return the text without empty lines and without blanks around lines."""
    return "\n".join(line for line in (_line(line) for line in text.splitlines()) if line)
