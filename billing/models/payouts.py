from typing import ClassVar

from django.db import models

from accounts.models import Owner
from billing.models.connected_accounts import ConnectedAccount
from billing.models.ledger import LedgerTransfer
from billing.models.statements import Statement
from billing.models.stripe_commands import StripeCommand
from core.locale import format_money
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class Payout(PublicIdModel):
    """The payment of one statement to its owner: the statement's balance in whole cents.

    It is made with its statement, and `posting` moves the amount from `payable` to `in_transit`. After the hold days,
    and once the owner's account is ready, a Stripe transfer is sent (`transfer_group` is the statement's id), and
    `sent` moves the amount from `in_transit` to `stripe_clearing`. A payout that cannot be made is returned: `returned`
    moves the amount back to `payable`, and it is part of the next statement.
    """

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", "Scheduled"
        SENDING = "sending", "Being sent"
        PAID = "paid", "Paid"
        RETURNED = "returned", "Returned to your balance"
        REVERSED = "reversed", "Taken back"  # for fraud or a wrong payee, by two operators or in Stripe's dashboard

    class Cause(models.TextChoices):
        FRAUD = "fraud", "Fraud"
        WRONG_PAYEE = "wrong_payee", "Wrong payee"
        UNKNOWN = "unknown", "Taken back in Stripe's dashboard"

    CAUSES: ClassVar = (Cause.FRAUD, Cause.WRONG_PAYEE)  # causes that an operator may give
    SUSPICIOUS: ClassVar = (Cause.FRAUD, Cause.UNKNOWN)  # causes for which the owner's other payouts are held

    TRANSITIONS: ClassVar[Transitions] = {
        Status.SCHEDULED: (Status.SENDING, Status.RETURNED),
        # Back to scheduled or returned only if Stripe certainly made no transfer.
        Status.SENDING: (Status.PAID, Status.RETURNED, Status.SCHEDULED),
        Status.PAID: (Status.REVERSED,),
    }

    statement = models.OneToOneField(Statement, on_delete=models.PROTECT, related_name="payout")
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="payouts")
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    due_at = models.DateTimeField(help_text="Not sent before this time: the end of the period plus the hold days.")
    held_at = models.DateTimeField(null=True, help_text="Held by two operators; two must release it.")
    held_reason = models.CharField(max_length=200, blank=True, db_default="")
    released_at = models.DateTimeField(
        null=True, help_text="When operators last released it; after that no automatic rule holds it again."
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.SCHEDULED)
    # While scheduled, why the payout waits: for example account_not_ready, balance_low, held.
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    account = models.ForeignKey(ConnectedAccount, on_delete=models.PROTECT, null=True, related_name="payouts")
    command = models.OneToOneField(StripeCommand, on_delete=models.PROTECT, null=True, related_name="payout")
    reverse_command = models.OneToOneField(
        StripeCommand, on_delete=models.PROTECT, null=True, related_name="reversed_payout"
    )
    reverse_cause = models.CharField(max_length=16, choices=Cause, blank=True, db_default="")
    stripe_transfer_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - unique once known
    posting = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, related_name="payout")
    sent = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, null=True, related_name="payout_sent")
    returned = models.OneToOneField(LedgerTransfer, on_delete=models.PROTECT, null=True, related_name="payout_returned")
    paid_at = models.DateTimeField(null=True, help_text="When Stripe made the transfer; decides the tax year.")
    # The way from the owner's account at Stripe to the owner's bank, as Stripe reports it: "", pending, paid, failed.
    bank_payout_id = models.CharField(max_length=255, blank=True, db_default="")
    bank_status = models.CharField(max_length=16, blank=True, db_default="")
    bank_code = models.CharField(max_length=64, blank=True, db_default="")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="payout_amount"),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=["paid", "reversed"], sent__isnull=False, paid_at__isnull=False, returned__isnull=True
                )
                | models.Q(status="returned", returned__isnull=False, sent=None)
                | models.Q(status__in=["scheduled", "sending"], sent=None, returned=None),
                name="payout_postings",
            ),
            models.CheckConstraint(
                condition=models.Q(status="scheduled", command=None)
                | models.Q(status__in=["sending", "paid", "reversed"], command__isnull=False, account__isnull=False)
                | models.Q(status="returned"),
                name="payout_command",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(status="scheduled"), name="payout_due"),
            models.Index(fields=["owner", "-id"], name="payout_by_owner"),
            models.Index(
                fields=["owner"], condition=models.Q(reverse_cause__in=["fraud", "unknown"]), name="payout_suspicious"
            ),
        ]

    def __str__(self) -> str:
        return f"{format_money(self.amount_micro, self.currency)} to owner {self.owner_id}"


class PayoutEvent(TransitionEvent):
    """One change of state of a payout, written by the database."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"
