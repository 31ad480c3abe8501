from typing import ClassVar

from django.db import models

from accounts.models import Owner
from billing.models.stripe_commands import StripeCommand
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class ConnectedAccount(PublicIdModel):
    """The account at Stripe to which an owner is paid (Accounts v2, recipient). It is filled in on Stripe's own pages.

    No identity document and no bank account number ever reaches us: `requirements` holds Stripe's names of what is
    missing.
    """

    class Status(models.TextChoices):
        CREATED = "created", "Being prepared"
        ONBOARDING = "onboarding", "Waits for you"  # the owner has something to enter
        PENDING = "pending", "Stripe is checking"
        ACTIVE = "active", "Ready"
        RESTRICTED = "restricted", "Restricted"
        FAILED = "failed", "Could not be created"
        CLOSED = "closed", "Closed"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.CREATED: (Status.ONBOARDING, Status.PENDING, Status.ACTIVE, Status.RESTRICTED, Status.FAILED),
        Status.FAILED: (Status.ONBOARDING, Status.PENDING, Status.ACTIVE, Status.RESTRICTED, Status.CLOSED),
        Status.ONBOARDING: (Status.PENDING, Status.ACTIVE, Status.RESTRICTED, Status.CLOSED),
        Status.PENDING: (Status.ONBOARDING, Status.ACTIVE, Status.RESTRICTED, Status.CLOSED),
        Status.ACTIVE: (Status.ONBOARDING, Status.PENDING, Status.RESTRICTED, Status.CLOSED),
        Status.RESTRICTED: (Status.ONBOARDING, Status.PENDING, Status.ACTIVE, Status.CLOSED),
    }

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="connected_accounts")
    command = models.OneToOneField(StripeCommand, on_delete=models.PROTECT, related_name="connected_account")
    country = models.CharField(max_length=2)
    currency = models.CharField(max_length=3)
    stripe_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 - unique once known
    status = models.CharField(max_length=16, choices=Status, default=Status.CREATED)
    status_code = models.CharField(max_length=64, blank=True, db_default="")
    transfers_status = models.CharField(max_length=32, blank=True, db_default="")
    payouts_status = models.CharField(max_length=32, blank=True, db_default="")
    # What Stripe still requires, a list of {name, waits_for: "user" or "stripe", due: "currently_due", "past_due" or
    # "eventually_due", errors: [code]}.
    requirements = models.JSONField(default=list, db_default=[])
    deadline_at = models.DateTimeField(null=True, help_text="When the first requirement becomes past due.")
    checked_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner"], condition=~models.Q(status__in=["closed"]), name="connected_account_one_in_use"
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_id or f"account to be of {self.owner_id}"


class ConnectedAccountEvent(TransitionEvent):
    """One change of state of a connected account, written by the database."""

    connected_account = models.ForeignKey(ConnectedAccount, on_delete=models.PROTECT, related_name="events")

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"
