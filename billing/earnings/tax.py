"""An owner's year for the tax office: totals by the date of payment, not by the date of the work. Data, not advice.

A payout counts in the quarter (UTC) in which Stripe made its transfer. If it was reversed, it is subtracted in the
quarter of the reversal. The jobs that a payout pays for ("activities"), and the platform's share of them (fees), count
with it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection

from accounts.models import Owner

QUARTERS = (1, 2, 3, 4)

# Payouts made in the year (sign 1), and payouts reversed in it (sign -1).
MOVES = """moves AS (
    SELECT x.*, extract(quarter FROM x.at AT TIME ZONE 'UTC')::int AS quarter
      FROM (SELECT p.owner_id, p.currency, p.statement_id, p.account_id, p.paid_at AS at, 1 AS sign, p.amount_micro,
                   t.amount_micro AS sent_micro
              FROM billing_payout p JOIN billing_ledgertransfer t ON t.id = p.sent_id
             WHERE p.status IN ('paid', 'reversed') AND p.paid_at >= %(since)s AND p.paid_at < %(until)s
               AND (%(owner)s::bigint IS NULL OR p.owner_id = %(owner)s)
            UNION ALL
            SELECT p.owner_id, p.currency, p.statement_id, p.account_id, e.at, -1, p.amount_micro, t.amount_micro
              FROM billing_payoutevent e JOIN billing_payout p ON p.id = e.payout_id
              JOIN billing_ledgertransfer t ON t.id = p.sent_id
             WHERE e.to_status = 'reversed' AND p.status = 'reversed' AND e.at >= %(since)s AND e.at < %(until)s
               AND (%(owner)s::bigint IS NULL OR p.owner_id = %(owner)s)) x)"""

# A payout pays its own statement and the earlier ones whose amounts were carried over: those after the last statement
# whose payout was not returned. Their entries lead to the jobs, and to the platform's share of each; corrections by a
# void subtract it. Every step uses an index.
ACTIVITIES = """
    SELECT c.owner_id, c.currency, c.quarter,
           count(DISTINCT c.job) FILTER (WHERE c.sign = 1) - count(DISTINCT c.job) FILTER (WHERE c.sign = -1)
               AS activities,
           COALESCE(sum(c.sign * c.fee_micro), 0)::bigint AS fees_micro
      FROM (SELECT m.owner_id, m.currency, m.quarter, m.sign,
                   CASE WHEN t.kind <> 'correction' THEN t.meta ->> 'order' END AS job,
                   CASE t.kind
                   WHEN 'share' THEN (SELECT sum(r.platform_micro) FROM billing_ratedusage r
                                       WHERE r.owner_transfer_id = t.id)
                   WHEN 'correction' THEN -(SELECT r.platform_micro FROM billing_ratedusage r
                                              JOIN billing_ledgertransfer w
                                                ON w.id = r.owner_transfer_id AND w.kind = 'share'
                                             WHERE r.id = (t.meta ->> 'rated')::bigint)
                   END AS fee_micro
              FROM moves m
              JOIN billing_statement last ON last.id = m.statement_id
              JOIN billing_statement s ON s.owner_id = m.owner_id AND s.currency = m.currency
                                      AND s.period_end_at <= last.period_end_at
              JOIN billing_statemententry e ON e.statement_id = s.id
              JOIN billing_ledgertransfer t
                ON t.id = e.transfer_id AND t.kind IN ('share', 'verification', 'correction')
             WHERE NOT EXISTS (SELECT FROM billing_payout q JOIN billing_statement b ON b.id = q.statement_id
                                WHERE b.owner_id = m.owner_id AND b.currency = m.currency AND q.status <> 'returned'
                                  AND b.period_end_at >= s.period_end_at AND b.period_end_at < last.period_end_at)) c
     GROUP BY 1, 2, 3"""

# What was withheld is the difference between a payout's amount and the amount of its ledger transfer.
PAID = f"""
WITH {MOVES}, activities AS ({ACTIVITIES}), paid AS (
    SELECT m.owner_id, m.currency, m.quarter, sum(m.sign * m.amount_micro)::bigint AS paid_micro,
           sum(m.sign)::int AS payouts,
           sum(m.sign * (m.amount_micro - m.sent_micro))::bigint AS withheld_micro,
           array_remove(array_agg(DISTINCT a.stripe_id), NULL) AS accounts
      FROM moves m LEFT JOIN billing_connectedaccount a ON a.id = m.account_id
     GROUP BY 1, 2, 3)
SELECT p.owner_id, p.currency, p.quarter, p.paid_micro, p.payouts, p.withheld_micro, COALESCE(a.activities, 0),
       COALESCE(a.fees_micro, 0), p.accounts
  FROM paid p LEFT JOIN activities a USING (owner_id, currency, quarter)
 ORDER BY 1, 2, 3
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Quarter:
    """The payments of one quarter in one currency, less what was reversed in it."""

    paid_micro: int = 0
    payouts: int = 0
    withheld_micro: int = 0
    activities: int = 0  # jobs that these payouts pay for
    fees_micro: int = 0  # what the platform kept of the price of these jobs


@dataclass(frozen=True)
class TaxForm:
    """The form on which a country makes a platform report a year's payments, and from which amount on."""

    name: str
    currency: str
    threshold_micro: int


@dataclass
class TaxYear:
    """One owner's payments of a year in one currency, by quarter."""

    owner_id: int
    currency: str
    quarters: dict[int, Quarter] = field(default_factory=lambda: dict.fromkeys(QUARTERS, Quarter()))
    accounts: set[str] = field(default_factory=set)  # Stripe's ids of the accounts that were paid

    @property
    def paid_micro(self) -> int:
        return sum(quarter.paid_micro for quarter in self.quarters.values())

    @property
    def payouts(self) -> int:
        return sum(quarter.payouts for quarter in self.quarters.values())

    @property
    def withheld_micro(self) -> int:
        return sum(quarter.withheld_micro for quarter in self.quarters.values())

    @property
    def fees_micro(self) -> int:
        return sum(quarter.fees_micro for quarter in self.quarters.values())

    def reaches(self, form: TaxForm | None) -> bool:
        """Return whether the payments reach the form's threshold, in the form's currency."""
        return form is not None and self.currency == form.currency and self.paid_micro >= form.threshold_micro


def form_of(country: str, year: int) -> TaxForm | None:
    """Return the form that a country requires for a year (settings.TAX_FORMS: the newest in force by then), or None."""
    forms_by_year = settings.TAX_FORMS.get(country, {})
    in_force = [since for since in forms_by_year if int(since) <= year]
    return TaxForm(*forms_by_year[max(in_force, key=int)]) if in_force else None


def year_of(owner: Owner, year: int) -> list[TaxYear]:
    """Return an owner's year by currency: the owner's own always and first, others if anything was paid in them."""
    found = {row.currency: row for row in _years(year, owner)}
    own = found.pop(owner.currency, TaxYear(owner.pk, owner.currency))
    return [own, *(found[currency] for currency in sorted(found))]


def years(year: int) -> Iterator[TaxYear]:
    """Yield the year of every owner, in every currency in which something was paid, sorted by owner."""
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
