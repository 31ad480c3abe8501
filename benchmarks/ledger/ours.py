"""Our side: the same transfers through `posting.post` and, set-based, also by SQL alone as the settlement does."""

from __future__ import annotations

import itertools
import time

from django.db import connection, transaction

from accounts.models import Organization, Owner, User
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import LedgerAccount, LedgerTransfer

ACCOUNTS, AMOUNT_MICRO = 100, 123
FUNDS_MICRO = 10**15
_numbers = itertools.count(1)

SQL = """
INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency, idempotency_key)
SELECT 'share', (%(debits)s::bigint[])[1 + n %% %(accounts)s], (%(credits)s::bigint[])[1 + n %% %(accounts)s],
       %(micro)s, 'USD', %(key)s || n
  FROM generate_series(0, %(count)s - 1) n
"""


class Ours:
    """A hundred customers with money, whose holds pay a hundred owners."""

    def __init__(self) -> None:
        self.holds = [_hold(number) for number in range(ACCOUNTS)]
        self.payables = [_payable(number) for number in range(ACCOUNTS)]

    def run(self, shape: str, count: int, batch: int) -> float:
        """Return the seconds for `count` durable transfers of a shape."""
        return {
            "one by one": self.one_by_one,
            "hot account": self.hot_account,
            "set-based": self.set_based,
            "set-based, SQL": self.sql,
            "one settlement": self.one_settlement,
        }[shape](count, batch)

    def one_by_one(self, count: int, _: int) -> float:
        started = time.perf_counter()
        for number in range(count):
            posting.post([self._posting(number)])
        return time.perf_counter() - started

    def hot_account(self, count: int, _: int) -> float:
        """Post all transfers from one hold to one owner."""
        started = time.perf_counter()
        for _number in range(count):
            posting.post([self._posting(0)])
        return time.perf_counter() - started

    def set_based(self, count: int, batch: int) -> float:
        started = time.perf_counter()
        for begin in range(0, count, batch):
            posting.post([self._posting(number) for number in range(min(batch, count - begin))])
        return time.perf_counter() - started

    def sql(self, count: int, batch: int) -> float:
        started = time.perf_counter()
        for begin in range(0, count, batch):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    SQL,
                    {
                        "debits": [row.pk for row in self.holds],
                        "credits": [row.pk for row in self.payables],
                        "accounts": ACCOUNTS,
                        "micro": AMOUNT_MICRO,
                        "key": f"bench-sql:{next(_numbers)}:",
                        "count": min(batch, count - begin),
                    },
                )
        return time.perf_counter() - started

    def one_settlement(self, count: int, _: int) -> float:
        """Let one customer pay `count` payees in one statement, as the settlement does."""
        return self.sql(count, count)

    def _posting(self, number: int) -> Posting:
        return Posting(
            kind=LedgerTransfer.Kind.SHARE,
            debit=self.holds[number % ACCOUNTS],
            credit=self.payables[number % ACCOUNTS],
            amount_micro=AMOUNT_MICRO,
            idempotency_key=f"bench:{next(_numbers)}",
        )


def _hold(number: int) -> LedgerAccount:
    organization = Organization.objects.create(name=f"Bench {number}")
    hold = posting.hold(organization)
    bank = posting.account(AccountName(kind="bank_clearing", currency="USD"))
    wallet = posting.wallet(organization)
    posting.post(
        [
            Posting(
                kind="top_up", debit=bank, credit=wallet, amount_micro=FUNDS_MICRO, idempotency_key=f"bench-up:{number}"
            ),
        ]
    )
    posting.post(
        [
            Posting(
                kind="hold", debit=wallet, credit=hold, amount_micro=FUNDS_MICRO, idempotency_key=f"bench-hold:{number}"
            ),
        ]
    )
    return hold


def _payable(number: int) -> LedgerAccount:
    user = User.objects.create(email=f"bench{number}@example.com")
    return posting.payable(Owner.objects.create(user=user, name=f"Bench {number}"), "USD")
