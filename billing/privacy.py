"""What billing holds about owners, in plain words (marketplace/core/privacy.py says what the words mean)."""

from marketplace.core.privacy import LEGAL, Column, Erasure, Group, Table

LEDGER = "the ledger must be kept by tax and accounting law; it names account numbers only"
YEARS = "At least ten years (tax and accounting law)"

ACCOUNT = Table(
    model="billing.LedgerAccount",
    title="What you are owed",
    group=Group.MONEY,
    owner="owner",
    purpose=LEGAL,
    retention=YEARS,
    erasure=Erasure.KEEP,
    why=LEDGER,
    columns={
        "id": Column("Number of the ledger account"),
        "key": Column("Its name, made of your account's number"),
        "kind": Column("What it holds"),
        "organization_id": Column("A customer, if it were one's"),
        "owner_id": Column("Your account"),
        "currency": Column("Currency"),
        "side": Column("Whether a credit adds to it"),
        "floor_zero": Column("Whether it may go below zero"),
        "tracked": Column("Whether its balance is kept"),
        "balance_micro": Column("Balance, in millionths"),
        "version": Column("How many transfers moved it"),
        "created_at": Column("When it was made"),
    },
)

TRANSFERS = {
    "id": Column("Number of the transfer"),
    "public_id": Column("Its id"),
    "kind": Column("What it is"),
    "debit_id": Column("From which ledger account"),
    "credit_id": Column("To which ledger account"),
    "amount_micro": Column("Amount, in millionths"),
    "currency": Column("Currency"),
    "idempotency_key": Column("Makes sure that it happens once"),
    "fingerprint": Column("Hash of what it does"),
    "effective_at": Column("When it counts"),
    "posted_at": Column("When it was written"),
    "meta": Column("Numbers of the orders that it is about"),
    "reverses_id": Column("The transfer that it takes back"),
}

EARNED = Table(
    model="billing.LedgerTransfer",
    title="What was credited to you",
    group=Group.MONEY,
    owner="credit__owner",
    purpose=LEGAL,
    retention=YEARS,
    erasure=Erasure.KEEP,
    why=LEDGER,
    columns=TRANSFERS,
)

PAID_OUT = Table(
    model="billing.LedgerTransfer",
    title="What left your balance",
    group=Group.MONEY,
    owner="debit__owner",
    purpose=LEGAL,
    retention=YEARS,
    erasure=Erasure.KEEP,
    why=LEDGER,
    columns=TRANSFERS,
)

RATED = Table(
    model="billing.RatedUsage",
    title="What each piece of work paid",
    group=Group.MONEY,
    owner="usage__vehicle__owner",
    purpose=LEGAL,
    retention=YEARS,
    erasure=Erasure.KEEP,
    why=LEDGER,
    columns={
        "id": Column("Number of the entry"),
        "usage_id": Column("The work"),
        "order_id": Column("The customer's order"),
        "charged_micro": Column("What the customer paid, in millionths"),
        "owner_micro": Column("What you were paid, in millionths"),
        "platform_micro": Column("What Driveway kept, in millionths"),
        "energy_cost_nano": Column("What the energy cost you, by your tariff, in billionths"),
        "wear_nano": Column("What battery wear cost you, in billionths"),
        "owner_transfer_id": Column("The transfer that paid you"),
        "revenue_transfer_id": Column("The transfer that paid Driveway"),
        "created_at": Column("When it was settled"),
    },
)

TABLES = (ACCOUNT, EARNED, PAID_OUT, RATED)

OF_OTHERS = {
    "billing.JobOrder": "A customer's order",
    "billing.TopUp": "A customer's money",
    "billing.CardTopUp": "A customer's money",
    "billing.CardTopUpEvent": "A customer's money",
}
