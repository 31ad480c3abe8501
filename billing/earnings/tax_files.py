"""A year's payments as CSV files: one owner's own, and all owners' for the platform's tax report."""

from typing import Any

from django.db import transaction

from accounts.access import trail as access
from accounts.models import AccessEvent, Owner, User
from billing.earnings import tax
from billing.earnings.tax import QUARTERS, TaxYear
from core.spreadsheets import csv_text

OWNER_COLUMNS = (
    "year",
    "quarter",
    "currency",
    "paid_micro",
    "payouts",
    "activities",
    "fees_micro",
    "withheld_micro",
)
EXPORT_COLUMNS = (
    "year",
    "owner",
    "name",
    "country",
    "currency",
    *(f"q{quarter}_micro" for quarter in QUARTERS),
    *(f"q{quarter}_activities" for quarter in QUARTERS),
    *(f"q{quarter}_fees_micro" for quarter in QUARTERS),
    *(f"q{quarter}_withheld_micro" for quarter in QUARTERS),
    "paid_micro",
    "payouts",
    "fees_micro",
    "withheld_micro",
    "form",
    "threshold_micro",
    "threshold_reached",
    "connected_accounts",
)


def owner_csv(owner: Owner, year: int) -> str:
    """Return the CSV of one owner: a row for each quarter and currency, amounts in micro-units."""
    return csv_text(
        [
            OWNER_COLUMNS,
            *(
                (
                    year,
                    number,
                    row.currency,
                    quarter.paid_micro,
                    quarter.payouts,
                    quarter.activities,
                    quarter.fees_micro,
                    quarter.withheld_micro,
                )
                for row in tax.year_of(owner, year)
                for number, quarter in row.quarters.items()
            ),
        ]
    )


@transaction.atomic
def export(*, year: int, reason: str, actor: User) -> str:
    """Return the CSV of all owners: a row for each owner and currency paid in the year, amounts in micro-units.

    An access event is written for every owner in it, who can see who exported the data and why. It is committed before
    the CSV is returned: if it cannot be written, nothing is shown.
    """
    rows = list(tax.years(year))
    owners = Owner.objects.in_bulk({row.owner_id for row in rows})
    access.record(
        looked_at=[(pk, None) for pk in owners],
        actor=actor,
        kind=AccessEvent.Kind.STAFF_READ,
        what=f"payments of {year}: export for the tax return",
        reason=f"Law: {reason}",
    )
    return csv_text([EXPORT_COLUMNS, *(_export_row(row, owners[row.owner_id], year) for row in rows)])


def _export_row(row: TaxYear, owner: Owner, year: int) -> tuple[Any, ...]:
    form = tax.form_of(owner.country, year)
    return (
        year,
        owner.public_id,
        owner.name,
        owner.country,
        row.currency,
        *(row.quarters[quarter].paid_micro for quarter in QUARTERS),
        *(row.quarters[quarter].activities for quarter in QUARTERS),
        *(row.quarters[quarter].fees_micro for quarter in QUARTERS),
        *(row.quarters[quarter].withheld_micro for quarter in QUARTERS),
        row.paid_micro,
        row.payouts,
        row.fees_micro,
        row.withheld_micro,
        form.name if form else "",
        form.threshold_micro if form else "",
        "yes" if row.reaches(form) else "no",
        " ".join(sorted(row.accounts)),
    )
