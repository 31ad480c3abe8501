"""The peer's side: `hordak_peer.py <shape> <count> <batch>`, run in an environment of its own without any code of ours.

It uses django-hordak as its documentation says, `Account.transfer_to` in a transaction, and as fast as its models
allow: the legs of a transfer in one `bulk_create`, or many transfers at once. It prints one line of JSON and reads
PEER_DATABASE_URL.
"""

import json
import os
import sys
import time
from functools import partial

import dj_database_url
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": dj_database_url.parse(os.environ["PEER_DATABASE_URL"])},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "hordak"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    DEFAULT_CURRENCY="USD",
    CURRENCIES=["USD"],
    HORDAK_DECIMAL_PLACES=6,
    HORDAK_MAX_DIGITS=20,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from hordak.models import Account, AccountType, Leg, Transaction  # noqa: E402
from moneyed import Money  # noqa: E402

ACCOUNTS = 100
AMOUNT = Money("0.000123", "USD")


def accounts(kind: str, count: int) -> list[Account]:
    """Return `count` accounts of this kind, created if they are missing."""
    rows = []
    for number in range(count):
        name = f"{kind} {number}"
        row = Account.objects.filter(name=name).first()
        rows.append(row or Account.objects.create(name=name, type=AccountType.liability, currencies=["USD"]))
    return rows


def transfer_to(payer: Account, payee: Account) -> None:
    """Post a transfer as the documentation says."""
    payer.transfer_to(payee, AMOUNT)


def two_legs_at_once(payer: Account, payee: Account) -> None:
    """Post a transfer with both legs in one bulk_create."""
    bulk([(payer, payee)])


def bulk(pairs: list[tuple[Account, Account]]) -> None:
    """Post transfers: all transactions in one bulk_create, all legs in another."""
    transactions = Transaction.objects.bulk_create([Transaction(description="bench") for _ in pairs])
    legs = []
    for row, (payer, payee) in zip(transactions, pairs, strict=True):
        legs.append(Leg(transaction=row, account=payer, credit=AMOUNT))
        legs.append(Leg(transaction=row, account=payee, debit=AMOUNT))
    Leg.objects.bulk_create(legs)


def one_by_one(count: int, _: int, move=transfer_to) -> float:
    """Post each transfer in a transaction of its own, over a hundred pairs of accounts. Return the seconds."""
    payers, payees = accounts("payer", ACCOUNTS), accounts("payee", ACCOUNTS)
    started = time.perf_counter()
    for number in range(count):
        with transaction.atomic():
            move(payers[number % ACCOUNTS], payees[number % ACCOUNTS])
    return time.perf_counter() - started


def hot_account(count: int, _: int, move=transfer_to) -> float:
    """Post each transfer in a transaction of its own, all between one pair of accounts. Return the seconds."""
    (payer,), (payee,) = accounts("hot payer", 1), accounts("hot payee", 1)
    started = time.perf_counter()
    for _number in range(count):
        with transaction.atomic():
            move(payer, payee)
    return time.perf_counter() - started


def set_based(count: int, batch: int) -> float:
    """Post many transfers in each transaction. Return the seconds."""
    payers, payees = accounts("payer", ACCOUNTS), accounts("payee", ACCOUNTS)
    started = time.perf_counter()
    for begin in range(0, count, batch):
        numbers = range(min(batch, count - begin))
        with transaction.atomic():
            bulk([(payers[number % ACCOUNTS], payees[number % ACCOUNTS]) for number in numbers])
    return time.perf_counter() - started


def one_settlement(count: int, _: int) -> float:
    """Post one transaction that pays `count` payees. Return the seconds.

    This is hordak's own model of a settlement; its trigger checks each leg.
    """
    (payer,), payees = accounts("payer", 1), accounts("payee", ACCOUNTS)
    started = time.perf_counter()
    with transaction.atomic():
        row = Transaction.objects.create(description="settlement")
        legs = [Leg(transaction=row, account=payer, credit=AMOUNT * count)]
        legs += [Leg(transaction=row, account=payees[number % ACCOUNTS], debit=AMOUNT) for number in range(count)]
        Leg.objects.bulk_create(legs)
    return time.perf_counter() - started


if __name__ == "__main__":
    shape, count, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if shape == "migrate":
        call_command("migrate", verbosity=0)
        print(json.dumps({}))
    else:
        run = {
            "one by one": one_by_one,
            "one by one, quickest": partial(one_by_one, move=two_legs_at_once),
            "hot account": hot_account,
            "hot account, quickest": partial(hot_account, move=two_legs_at_once),
            "set-based": set_based,
            "one settlement": one_settlement,
        }[shape]
        seconds = run(count, batch)
        print(json.dumps({"seconds": seconds, "legs": Leg.objects.count()}))
