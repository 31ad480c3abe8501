from django.conf import settings
from django.db import models

from core.models import PublicIdModel, TimestampedModel


class Organization(PublicIdModel):
    """Demand: an AI customer. Suspension is written here by billing and read by everything below it."""

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
            # One organization a person for now: every page then has one subject, and no switcher to get wrong.
            models.UniqueConstraint(fields=["user"], name="membership_one_organization"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"
