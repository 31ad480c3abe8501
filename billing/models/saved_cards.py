from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.models import Organization
from billing.models.stripe_commands import StripeCommand
from billing.models.stripe_customers import StripeCustomer
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class SavedCard(PublicIdModel):
    """A card that Stripe stores for a customer, and that we may charge while the customer is not present.

    We store what a person needs to recognise it (brand, last four digits, expiry), never its number.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Being saved"  # the customer is on Stripe's page
        ACTIVE = "active", "Saved"
        FAILED = "failed", "Not saved"
        REMOVED = "removed", "Removed"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.PENDING: (Status.ACTIVE, Status.FAILED),
        Status.FAILED: (Status.ACTIVE,),  # the customer finished on a page that we believed had expired
        Status.ACTIVE: (Status.REMOVED,),
    }

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="saved_cards")
    customer = models.ForeignKey(StripeCustomer, on_delete=models.PROTECT, related_name="saved_cards")
    # The command that makes Stripe's page for saving the card; None if the card was saved with a payment.
    command = models.OneToOneField(StripeCommand, on_delete=models.PROTECT, null=True, related_name="saved_card")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    site_url = models.CharField(max_length=200, blank=True, db_default="")
    session_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - unique once known
    checkout_url = models.TextField(blank=True, db_default="")
    payment_method_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - as above
    brand = models.CharField(max_length=32, blank=True, db_default="")
    last4 = models.CharField(max_length=4, blank=True, db_default="")
    exp_month = models.PositiveSmallIntegerField(null=True)
    exp_year = models.PositiveSmallIntegerField(null=True)
    is_default = models.BooleanField(default=False)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=models.Q(is_default=True, status="active"), name="saved_card_default"
            ),
            models.CheckConstraint(
                condition=~models.Q(status="active") | models.Q(payment_method_id__isnull=False),
                name="saved_card_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} {self.last4}".strip() or "card to be"


class SavedCardEvent(TransitionEvent):
    """One change of state of a saved card, written by the database."""

    saved_card = models.ForeignKey(SavedCard, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"
