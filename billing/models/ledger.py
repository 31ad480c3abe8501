"""The ledger: accounts hold value, transfers move it. The database enforces its rules (billing/rules/ledger.sql)."""

from typing import ClassVar

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now

from accounts.models import Organization, Owner
from core.locale import format_money
from core.models import TimestampedModel

DEBIT, CREDIT = 1, -1

OF_ONE_ORGANIZATION = models.Q(organization__isnull=False, owner=None, tracked=True)
OF_ONE_OWNER = models.Q(organization=None, owner__isnull=False, tracked=True)
OF_THE_PLATFORM = models.Q(organization=None, owner=None, floor_zero=False, tracked=False)


class LedgerAccount(TimestampedModel):
    """An account of the ledger. `balance_micro` is positive on the account's normal side, and only transfers change it.

    The platform's accounts are untracked: they store no balance, since every posting would have to lock the same row.
    Their balance is the sum of their transfers.
    """

    class Kind(models.TextChoices):
        WALLET = "wallet", "Wallet"  # what an organization may spend
        PROMO_WALLET = "promo_wallet", "Promotional credit"  # what it may spend, given by the platform: never paid out
        HOLD = "hold", "Held for jobs"  # what its open orders may still cost
        DISPUTED = "disputed", "Owed for disputed payments"  # what a bank took back and the wallet did not cover
        PAYABLE = "payable", "Owed to an owner"
        RESERVE = "reserve", "Held while disputed"  # earnings that a customer disputes
        IN_TRANSIT = "in_transit", "On its way to an owner"
        STRIPE_CLEARING = "stripe_clearing", "At Stripe"
        BANK_CLEARING = "bank_clearing", "At the bank"
        REVENUE = "revenue", "Revenue"
        VERIFICATION = "verification", "Verification expense"  # owners' pay for copies of units that check other work
        PROCESSING_FEE = "processing_fee", "Payment processing expense"
        PROMOTION = "promotion", "Promotion expense"
        DISPUTE_LOSS = "dispute_loss", "Loss from disputed payments"
        ADJUSTMENT = "adjustment", "Goodwill and corrections"

    OF_ORGANIZATION: ClassVar = (Kind.WALLET, Kind.PROMO_WALLET, Kind.HOLD, Kind.DISPUTED)
    OF_OWNER: ClassVar = (Kind.PAYABLE, Kind.RESERVE, Kind.IN_TRANSIT)
    OF_PLATFORM: ClassVar = (
        Kind.STRIPE_CLEARING,
        Kind.BANK_CLEARING,
        Kind.REVENUE,
        Kind.VERIFICATION,
        Kind.PROCESSING_FEE,
        Kind.PROMOTION,
        Kind.DISPUTE_LOSS,
        Kind.ADJUSTMENT,
    )
    DEBIT_NORMAL: ClassVar = (
        Kind.DISPUTED,
        Kind.STRIPE_CLEARING,
        Kind.BANK_CLEARING,
        Kind.VERIFICATION,
        Kind.PROCESSING_FEE,
        Kind.PROMOTION,
        Kind.DISPUTE_LOSS,
        Kind.ADJUSTMENT,
    )
    # These are never below zero. `payable` may be: a correction is set off against earnings on the next statement.
    FLOORED: ClassVar = (Kind.WALLET, Kind.PROMO_WALLET, Kind.HOLD, Kind.DISPUTED, Kind.RESERVE, Kind.IN_TRANSIT)

    key = models.TextField(unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, null=True, related_name="+")
    currency = models.CharField(max_length=3)
    side = models.SmallIntegerField(choices=[(DEBIT, "debit"), (CREDIT, "credit")])
    floor_zero = models.BooleanField(default=False)
    tracked = models.BooleanField(default=False)
    balance_micro = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0, help_text="How many transfers have moved the balance.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "organization", "owner", "currency"],
                nulls_distinct=False,
                name="ledger_account_once",
            ),
            models.CheckConstraint(
                condition=models.Q(floor_zero=False) | models.Q(balance_micro__gte=0),
                name="ledger_account_floor",
            ),
            models.CheckConstraint(
                condition=models.Q(tracked=True) | models.Q(balance_micro=0, version=0),
                name="ledger_account_untracked",
            ),
            # Each kind has its owner, normal side and floor: a wallet without a floor, for example, cannot be made.
            models.CheckConstraint(
                condition=OF_ONE_ORGANIZATION
                & models.Q(floor_zero=True)
                & (
                    models.Q(kind__in=["wallet", "promo_wallet", "hold"], side=CREDIT)
                    | models.Q(kind="disputed", side=DEBIT)
                )
                | OF_ONE_OWNER
                & models.Q(side=CREDIT)
                & (
                    models.Q(kind="payable", floor_zero=False)
                    | models.Q(kind__in=["reserve", "in_transit"], floor_zero=True)
                )
                | OF_THE_PLATFORM & models.Q(kind="revenue", side=CREDIT)
                | OF_THE_PLATFORM
                & models.Q(
                    kind__in=[
                        "stripe_clearing",
                        "bank_clearing",
                        "verification",
                        "processing_fee",
                        "promotion",
                        "dispute_loss",
                        "adjustment",
                    ],
                    side=DEBIT,
                ),
                name="ledger_account_shape",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class LedgerTransfer(models.Model):
    """One amount, debited to one account and credited to another, so that the ledger always balances. Append-only.

    The database computes `fingerprint` from what the transfer does. A second transfer with the same `idempotency_key`
    has no effect, and is refused if its fingerprint differs. A reversal is a new transfer that `reverses` another one:
    the same amount with the accounts exchanged. Transfers of kind `correction` reverse no single transfer.
    """

    class Kind(models.TextChoices):
        TOP_UP = "top_up", "Top-up"
        HOLD = "hold", "Hold for a job"
        RELEASE = "release", "Release of a hold"
        SHARE = "share", "Owner's share"
        REVENUE = "revenue", "Platform's share"
        VERIFICATION = "verification", "Pay for verification"
        FEE = "fee", "Payment processing fee"
        PROMO = "promo", "Promotional credit"
        REFUND = "refund", "Refund to the source"
        DISPUTE = "dispute", "Disputed payment"  # a bank took it back, or gave it back
        OFFSET = "offset", "Set off against the wallet"
        WRITE_OFF = "write_off", "Written off"
        RESERVE = "reserve", "Held while disputed"  # and its release
        CORRECTION = "correction", "Correction"
        ADJUSTMENT = "adjustment", "Adjustment"
        PAYOUT = "payout", "Payout"  # from what is owed to what is on its way
        TRANSFER = (
            "transfer",
            "Transfer to an owner's account",
        )  # made by Stripe, or reversed; also Stripe's payouts to our bank
        RETURN = "return", "Payout returned"
        REVERSAL = "reversal", "Reversal"

    public_id = models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)
    kind = models.CharField(max_length=20, choices=Kind)
    # No foreign key constraints, which cost time for each row: billing_ledger_move() checks the accounts of each SQL
    # statement, and accounts are never deleted.
    debit = models.ForeignKey(
        LedgerAccount, on_delete=models.PROTECT, related_name="debits", db_constraint=False, db_index=False
    )
    credit = models.ForeignKey(
        LedgerAccount, on_delete=models.PROTECT, related_name="credits", db_constraint=False, db_index=False
    )
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    idempotency_key = models.TextField(db_collation="C")  # with "C" one index finds whole keys and prefixes of keys
    fingerprint = models.CharField(max_length=64, editable=False, db_default="")
    effective_at = models.DateTimeField(db_default=Now())
    posted_at = models.DateTimeField(db_default=Now(), editable=False)
    meta = models.JSONField(default=dict, db_default={})
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, related_name="reversed_by", db_constraint=False
    )

    class Meta:
        # Statements and invoices read the transfers of an account since the last one.
        indexes = [
            models.Index(fields=["debit", "posted_at"], name="ledger_transfer_debits"),
            models.Index(fields=["credit", "posted_at"], name="ledger_transfer_credits"),
            models.Index(
                fields=["credit", "posted_at"], condition=models.Q(kind="correction"), name="ledger_transfer_given_back"
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key"], name="ledger_transfer_key"),
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="ledger_transfer_amount"),
            models.CheckConstraint(condition=~models.Q(debit=models.F("credit")), name="ledger_transfer_two_accounts"),
            models.CheckConstraint(
                condition=models.Q(kind="reversal", reverses__isnull=False)
                | ~models.Q(kind="reversal") & models.Q(reverses=None),
                name="ledger_transfer_reversal",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {format_money(self.amount_micro, self.currency)}"
