"""What billing holds about owners, described in plain words for them (core/privacy.py defines the terms)."""

from collections.abc import Mapping

from core.privacy import LEGAL, Column, Erasure, Group, Table

LEDGER = "the ledger must be kept by tax and accounting law; it names account numbers only"
EVIDENCE = "evidence of what was disputed and decided: tax and accounting law"
YEARS = "At least ten years (tax and accounting law)"

# The columns of every table of state changes.
CHANGES = {
    "id": Column("Number of the entry"),
    "from_status": Column("From which state"),
    "to_status": Column("To which state"),
    "reason": Column("Why, as a code"),
    "at": Column("When"),
}


def _kept(model: str, title: str, owner: str, columns: Mapping[str, Column]) -> Table:
    """Return a table that is part of the ledger: the law requires us to keep it, so an erasure leaves it as it is."""
    return Table(
        model=model,
        title=title,
        group=Group.MONEY,
        owner=owner,
        purpose=LEGAL,
        retention=YEARS,
        erasure=Erasure.KEEP,
        why=LEDGER,
        columns=columns,
    )


ACCOUNT = _kept(
    "billing.LedgerAccount",
    "What you are owed",
    "owner",
    {
        "id": Column("Number of the ledger account"),
        "key": Column("Its name, made of your account's number"),
        "kind": Column("What it holds"),
        "organization_id": Column("The customer that it belongs to: empty in yours"),
        "owner_id": Column("Your account"),
        "currency": Column("Currency"),
        "side": Column("Whether credits or debits add to it"),
        "floor_zero": Column("Whether it must not go below zero"),
        "tracked": Column("Whether its balance is stored"),
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
    "idempotency_key": Column("Key that makes sure that it is booked only once"),
    "fingerprint": Column("Hash of what it does"),
    "effective_at": Column("The time for which it counts"),
    "posted_at": Column("When it was written"),
    "meta": Column("Numbers of the orders that it is about"),
    "reverses_id": Column("The transfer that it takes back"),
}

EARNED = _kept(
    "billing.LedgerTransfer",
    "What was credited to you",
    "credit__owner",
    TRANSFERS,
)

PAID_OUT = _kept(
    "billing.LedgerTransfer",
    "What left your balance",
    "debit__owner",
    TRANSFERS,
)

RATED = _kept(
    "billing.RatedUsage",
    "What each piece of work paid",
    "usage__vehicle__owner",
    {
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

CONNECTED = _kept(
    "billing.ConnectedAccount",
    "Where you are paid",
    "owner",
    {
        "id": Column("Number of the account"),
        "created_at": Column("When it was made"),
        "public_id": Column("Its id"),
        "owner_id": Column("Your account"),
        "command_id": Column("The request that made it at Stripe"),
        "country": Column("Country that you are paid in"),
        "currency": Column("Currency"),
        "stripe_id": Column("Its id at Stripe, our payment processor"),
        "status": Column("State"),
        "status_code": Column("Why it is in that state"),
        "transfers_status": Column("Whether Stripe lets us pay you"),
        "payouts_status": Column("Whether Stripe can pay your bank"),
        "requirements": Column("What Stripe still asks of you, in its words, without your answers"),
        "deadline_at": Column("When Stripe needs it at the latest"),
        "checked_at": Column("When we last asked Stripe"),
        "ended_at": Column("When it was closed"),
    },
)

CONNECTED_EVENT = _kept(
    "billing.ConnectedAccountEvent",
    "Changes of where you are paid",
    "connected_account__owner",
    {**CHANGES, "connected_account_id": Column("The account")},
)

STATEMENT = _kept(
    "billing.Statement",
    "Your statements",
    "owner",
    {
        "id": Column("Number of the row"),
        "created_at": Column("When it was made"),
        "public_id": Column("Its id"),
        "owner_id": Column("Your account"),
        "number": Column("Number of the statement"),
        "currency": Column("Currency"),
        "period_start_at": Column("Start of the period"),
        "period_end_at": Column("End of the period"),
        "opening_micro": Column("Carried over from before, in millionths"),
        "earned_micro": Column("Earned, in millionths"),
        "corrected_micro": Column("Corrections, in millionths"),
        "other_micro": Column("Held for disputes, released or returned, in millionths"),
        "paid_out_micro": Column("Paid out, in millionths"),
        "carried_micro": Column("Left for the next, in millionths"),
        "energy_cost_nano": Column("What the energy cost you, in billionths"),
        "wear_nano": Column("What battery wear cost you, in billionths"),
        "compute_ms": Column("Time worked, in milliseconds"),
        "energy_mwh": Column("Energy, in milliwatt-hours"),
        "attempts": Column("Pieces of work"),
    },
)

STATEMENT_ENTRY = _kept(
    "billing.StatementEntry",
    "Transfers on your statements",
    "statement__owner",
    {
        "id": Column("Number of the entry"),
        "statement_id": Column("The statement"),
        "transfer_id": Column("The transfer"),
        "amount_micro": Column("Amount, in millionths"),
    },
)

STATEMENT_LINE = _kept(
    "billing.StatementLine",
    "Lines of your statements",
    "statement__owner",
    {
        "id": Column("Number of the line"),
        "statement_id": Column("The statement"),
        "kind": Column("What it is about"),
        "vehicle_id": Column("The vehicle"),
        "hardware_class_id": Column("Kind of computer"),
        "service_month": Column("Month of the work"),
        "is_late": Column("Whether it is of an earlier period"),
        "attempts": Column("Pieces of work"),
        "compute_ms": Column("Time worked, in milliseconds"),
        "energy_mwh": Column("Energy, in milliwatt-hours"),
        "amount_micro": Column("Amount, in millionths"),
        "energy_cost_nano": Column("What the energy cost you, in billionths"),
        "wear_nano": Column("What battery wear cost you, in billionths"),
        "note": Column("What a correction was for"),
    },
)

PAYOUT = _kept(
    "billing.Payout",
    "Your payouts",
    "owner",
    {
        "id": Column("Number of the row"),
        "created_at": Column("When it was made"),
        "public_id": Column("Its id"),
        "statement_id": Column("The statement"),
        "owner_id": Column("Your account"),
        "amount_micro": Column("Amount, in millionths"),
        "currency": Column("Currency"),
        "due_at": Column("When it may be sent"),
        "held_at": Column("When operators held it"),
        "held_reason": Column("Why they held it"),
        "released_at": Column("When they released it"),
        "status": Column("State"),
        "status_code": Column("Why it is in that state"),
        "account_id": Column("Where it goes"),
        "command_id": Column("The request to Stripe"),
        "reverse_command_id": Column("The request to take it back"),
        "reverse_cause": Column("Why it was taken back"),
        "stripe_transfer_id": Column("Its id at Stripe"),
        "posting_id": Column("The transfer that took it from your balance"),
        "sent_id": Column("The transfer that sent it"),
        "returned_id": Column("The transfer that returned it"),
        "paid_at": Column("When it was paid"),
        "bank_payout_id": Column("Stripe's id of the payment to your bank"),
        "bank_status": Column("Whether it reached your bank"),
        "bank_code": Column("Why it did not"),
        "ended_at": Column("When it ended"),
    },
)

PAYOUT_EVENT = _kept(
    "billing.PayoutEvent", "Changes of your payouts", "payout__owner", {**CHANGES, "payout_id": Column("The payout")}
)

EARNINGS_DAY = _kept(
    "billing.EarningsDay",
    "What each day earned",
    "owner",
    {
        "id": Column("Number of the row"),
        "owner_id": Column("Your account"),
        "vehicle_id": Column("The vehicle"),
        "currency": Column("Currency"),
        "day": Column("The day"),
        "attempts": Column("Pieces of work"),
        "compute_ms": Column("Time worked, in milliseconds"),
        "energy_mwh": Column("Energy, in milliwatt-hours"),
        "gross_micro": Column("Earned, in millionths"),
        "energy_cost_nano": Column("What the energy cost you, in billionths"),
        "wear_nano": Column("What battery wear cost you, in billionths"),
    },
)

DISPUTE = Table(
    model="billing.Dispute",
    title="What you disputed",
    group=Group.MONEY,
    owner="owner",
    purpose=LEGAL,
    retention=YEARS,
    erasure=Erasure.BLANK,
    why=LEDGER,
    columns={
        "id": Column("Number of the row"),
        "created_at": Column("When it was opened"),
        "public_id": Column("Its id"),
        "organization_id": Column("The customer who opened it: empty in yours"),
        "order_id": Column("The customer's order that it is about: empty in yours"),
        "owner_id": Column("Your account"),
        "statement_id": Column("The statement"),
        "opened_by_id": Column("Who opened it"),
        "reason": Column("What you wrote", blank=""),
        "claimed_micro": Column("What you claimed, in millionths"),
        "currency": Column("Currency"),
        "idempotency_key": Column("Key that makes sure that it is opened only once"),
        "status": Column("State"),
        "status_code": Column("Why it is in that state"),
        "reserved_micro": Column("Held while it was open, in millionths"),
        "granted_micro": Column("Granted, in millionths"),
        "granted_promo_micro": Column("The part granted to a customer as promotional credit: zero in yours"),
        "bearer": Column("Who bears the cost"),
        "decision": Column("What was decided"),
        "decided_by_id": Column("Who decided"),
        "decided_at": Column("When"),
    },
)

DISPUTE_EVENT = _kept(
    "billing.DisputeEvent",
    "Changes of what you disputed",
    "dispute__owner",
    {**CHANGES, "dispute_id": Column("The dispute")},
)

DISPUTE_MESSAGE = Table(
    model="billing.DisputeMessage",
    title="What was written about what you disputed",
    group=Group.MONEY,
    owner="dispute__owner",
    purpose=LEGAL,
    retention=YEARS,
    erasure=Erasure.KEEP,
    why=EVIDENCE,
    columns={
        "id": Column("Number of the message"),
        "dispute_id": Column("The dispute"),
        "author_id": Column("Who wrote it"),
        "from_operator": Column("Whether we wrote it"),
        "text": Column("The text"),
        "created_at": Column("When"),
    },
)

USAGE_VOID = _kept(
    "billing.UsageVoid",
    "Work that was taken back",
    "rated__usage__vehicle__owner",
    {
        "id": Column("Number of the row"),
        "created_at": Column("When"),
        "public_id": Column("Its id"),
        "rated_id": Column("The rating that it takes back"),
        "reason": Column("Why"),
        "voided_by_id": Column("Which operator"),
        "promo_micro": Column("What the customer got back as promotional credit, in millionths"),
        "settled_at": Column("When the corrections were booked"),
    },
)

TABLES = (
    ACCOUNT,
    EARNED,
    PAID_OUT,
    RATED,
    EARNINGS_DAY,
    STATEMENT,
    STATEMENT_LINE,
    STATEMENT_ENTRY,
    PAYOUT,
    PAYOUT_EVENT,
    CONNECTED,
    CONNECTED_EVENT,
    USAGE_VOID,
    DISPUTE,
    DISPUTE_EVENT,
    DISPUTE_MESSAGE,
)

# Tables that refer to a person or a vehicle but hold nothing about owners, and what they hold instead.
NOT_ABOUT_OWNERS = {
    "billing.JobOrder": "A customer's order",
    "billing.TopUp": "A customer's money",
    "billing.CardTopUp": "A customer's money",
    "billing.CardTopUpEvent": "A customer's money",
    "billing.AutoRecharge": "A customer's money",
    "billing.BillingProfile": "A customer's money",
    "billing.CardDispute": "A customer's money",
    "billing.CardDisputeEvent": "A customer's money",
    "billing.InvoiceEntry": "A customer's money",
    "billing.InvoiceLine": "A customer's money",
    "billing.PromoCredit": "A customer's money",
    "billing.Refund": "A customer's money",
    "billing.RefundEvent": "A customer's money",
    "billing.SavedCard": "A customer's money",
    "billing.SavedCardEvent": "A customer's money",
    "billing.SpendCap": "A customer's money",
    "billing.Approval": "What two operators decided about money",
}
