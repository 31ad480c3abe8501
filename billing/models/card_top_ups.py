from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.models import Organization
from billing.models.stripe_commands import StripeCommand
from billing.models.stripe_customers import StripeCustomer
from billing.models.topups import TopUp
from core.locale import format_money
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class CardTopUp(PublicIdModel):
    """A top-up by card, from the customer's request through Stripe to money in the wallet, a failure or an expiry.

    `top_up` is the credit in the ledger, made once, when Stripe reports that the money arrived. Money that Stripe took
    is credited even if we believed that the payment had ended: so `failed` and `expired` may still become `paid`.
    """

    class Status(models.TextChoices):
        CREATED = "created", "Being prepared"
        OPEN = "open", "Waiting for payment"
        PROCESSING = "processing", "Bank is working"
        PAID = "paid", "Paid"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.CREATED: (Status.OPEN, Status.PROCESSING, Status.PAID, Status.FAILED, Status.EXPIRED),
        Status.OPEN: (Status.PROCESSING, Status.PAID, Status.FAILED, Status.EXPIRED),
        Status.PROCESSING: (Status.PAID, Status.FAILED),
        Status.FAILED: (Status.OPEN, Status.PROCESSING, Status.PAID),  # open: an operator revived the dead command
        Status.EXPIRED: (Status.PAID,),
    }

    class Origin(models.TextChoices):
        CHECKOUT = "checkout", "Paid on Stripe's page"
        AUTO = "auto", "Automatic recharge"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="card_top_ups")
    origin = models.CharField(max_length=16, choices=Origin, default=Origin.CHECKOUT, db_default=Origin.CHECKOUT)
    saved_card = models.ForeignKey(
        "billing.SavedCard",
        on_delete=models.PROTECT,
        null=True,
        related_name="top_ups",
        help_text="The saved card that is charged.",
    )
    saves_card = models.BooleanField(
        default=False, db_default=False, help_text="Save the card if the payment succeeds."
    )
    customer = models.ForeignKey(StripeCustomer, on_delete=models.PROTECT, related_name="card_top_ups")
    command = models.OneToOneField(StripeCommand, on_delete=models.PROTECT, related_name="card_top_up")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    amount_micro = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    idempotency_key = models.CharField(max_length=300)
    site_url = models.CharField(max_length=200, help_text="The page of ours to which Checkout sends the customer back.")
    status = models.CharField(max_length=16, choices=Status, default=Status.CREATED)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    session_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - unique once known
    checkout_url = models.TextField(blank=True, db_default="")
    payment_intent_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - as above
    declined_code = models.CharField(
        max_length=64, blank=True, db_default="", help_text="Why the last card was refused."
    )
    top_up = models.OneToOneField(TopUp, on_delete=models.PROTECT, null=True, related_name="card_top_up")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="card_top_up_once"),
            models.CheckConstraint(condition=models.Q(amount_micro__gt=0), name="card_top_up_amount"),
            models.CheckConstraint(
                condition=models.Q(status="paid", top_up__isnull=False)
                | ~models.Q(status="paid") & models.Q(top_up=None),
                name="card_top_up_paid",
            ),
            # One automatic charge at a time, even if several workers see the low wallet at once.
            models.UniqueConstraint(
                fields=["organization"],
                condition=models.Q(origin="auto", status__in=["created", "open", "processing"]),
                name="auto_recharge_one_in_flight",
            ),
            models.CheckConstraint(
                condition=models.Q(origin="checkout", saved_card=None)
                | models.Q(origin="auto", saved_card__isnull=False),
                name="card_top_up_origin",
            ),
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="card_top_up_by_organization")]

    def __str__(self) -> str:
        return f"{format_money(self.amount_micro, self.currency)} by card for {self.organization}"

    @property
    def page_url(self) -> str:
        """The page of Stripe on which it can be paid now, or ""."""
        return self.checkout_url if self.status == self.Status.OPEN else ""


class CardTopUpEvent(TransitionEvent):
    """One change of state of a top-up by card, written by the database."""

    card_top_up = models.ForeignKey(CardTopUp, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"
