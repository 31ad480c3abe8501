from django.conf import settings
from django.db import models

from core.models import PublicIdModel, TimestampedModel


class Organization(PublicIdModel):
    """A customer that runs AI models. Billing suspends it by `status`; compute and accounts read it."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    name = models.CharField(max_length=120)
    category = models.CharField(max_length=60, default="Research", help_text="Shown to owners whose cars run its jobs.")
    currency = models.CharField(max_length=3, default="USD")
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)

    def __str__(self) -> str:
        return self.name


class Membership(TimestampedModel):
    """A user who works for an organization, with a role."""

    class Role(models.TextChoices):
        ADMIN = "admin"
        DEVELOPER = "developer"
        FINANCE = "finance"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.DEVELOPER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once"),
            # For now a user belongs to one organization: no page needs a choice between several.
            models.UniqueConstraint(fields=["user"], name="membership_one_organization"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"
