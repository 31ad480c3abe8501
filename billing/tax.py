"""An owner's year for the tax office: totals by the date of payment, never by that of the work. Data, not advice.

A payout counts in the quarter (UTC) in which Stripe made its transfer, and is taken off in the one in which it was taken back.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection

from accounts.models import Owner

QUARTERS = (1, 2, 3, 4)

# What was withheld is what a payout was and its transfer was not: both from the ledger.
PAID = """
WITH moves AS (
    SELECT p.owner_id, p.currency, p.paid_at AS at, 1 AS sign, p.amount_micro, t.amount_micro AS sent_micro, p.account_id
      FROM billing_payout p JOIN billing_ledgertransfer t ON t.id = p.sent_id
     WHERE p.status IN ('paid', 'reversed') AND p.paid_at >= %(since)s AND p.paid_at < %(until)s
       AND (%(owner)s::bigint IS NULL OR p.owner_id = %(owner)s)
    UNION ALL
    SELECT p.owner_id, p.currency, e.at, -1, p.amount_micro, t.amount_micro, p.account_id
      FROM billing_payoutevent e JOIN billing_payout p ON p.id = e.payout_id
      JOIN billing_ledgertransfer t ON t.id = p.sent_id
     WHERE e.to_status = 'reversed' AND p.status = 'reversed' AND e.at >= %(since)s AND e.at < %(until)s
       AND (%(owner)s::bigint IS NULL OR p.owner_id = %(owner)s))
SELECT m.owner_id, m.currency, extract(quarter FROM m.at AT TIME ZONE 'UTC')::int, sum(m.sign * m.amount_micro)::bigint,
       sum(m.sign)::int, sum(m.sign * (m.amount_micro - m.sent_micro))::bigint,
       array_remove(array_agg(DISTINCT a.stripe_id), NULL)
  FROM moves m LEFT JOIN billing_connectedaccount a ON a.id = m.account_id
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True)
class Quarter:
    paid_micro: int = 0
    payouts: int = 0  # less those taken back
    withheld_micro: int = 0


@dataclass(frozen=True)
class Form:
    """What a country has a platform report a year with."""

    name: str
    currency: str
    threshold_micro: int


@dataclass
class TaxYear:
    owner_id: int
    currency: str
    quarters: dict[int, Quarter] = field(default_factory=lambda: dict.fromkeys(QUARTERS, Quarter()))
    accounts: set[str] = field(default_factory=set)

    @property
    def paid_micro(self) -> int:
        return sum(quarter.paid_micro for quarter in self.quarters.values())

    @property
    def payouts(self) -> int:
        return sum(quarter.payouts for quarter in self.quarters.values())

    @property
    def withheld_micro(self) -> int:
        return sum(quarter.withheld_micro for quarter in self.quarters.values())

    def reaches(self, form: Form | None) -> bool:
        return form is not None and self.currency == form.currency and self.paid_micro >= form.threshold_micro


def form_of(country: str, year: int) -> Form | None:
    """The one in force: the newest that holds from that year or before."""
    rules = settings.TAX_FORMS.get(country, {})
    begun = [since for since in rules if int(since) <= year]
    return Form(*rules[max(begun, key=int)]) if begun else None


def year_of(owner: Owner, year: int) -> list[TaxYear]:
    """By currency: the owner's own always and first, others if anything was paid in them."""
    found = {row.currency: row for row in _years(year, owner)}
    own = found.pop(owner.currency, TaxYear(owner.pk, owner.currency))
    return [own, *(found[currency] for currency in sorted(found))]


def years(year: int) -> Iterator[TaxYear]:
    """Of every owner and currency that something was paid in, by owner."""
    yield from _years(year, None)


def _years(year: int, owner: Owner | None) -> list[TaxYear]:
    values = {
        "since": f"{year}-01-01T00:00Z",
        "until": f"{year + 1}-01-01T00:00Z",
        "owner": owner.pk if owner else None,
    }
    found: defaultdict[tuple[int, str], list[tuple[int, Quarter, list[str]]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(PAID, values)
        for owner_id, currency, quarter, *sums, accounts in cursor:
            found[owner_id, currency].append((quarter, Quarter(*sums), accounts))
    return [_year(*key, rows) for key, rows in found.items()]


def _year(owner_id: int, currency: str, rows: list[tuple[int, Quarter, list[str]]]) -> TaxYear:
    row = TaxYear(owner_id, currency)
    for quarter, sums, accounts in rows:
        row.quarters[quarter] = sums
        row.accounts |= set(accounts)
    return row
