from django.conf import settings
from django.db import models

from core.models import TimestampedModel


class Operator(TimestampedModel):
    """A member of the marketplace's staff. The role decides which parts of the back office are accessible."""

    class Role(models.TextChoices):
        SUPPORT = "support"
        FINANCE = "finance"
        ADMIN = "admin"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="operator")
    role = models.CharField(max_length=16, choices=Role, default=Role.SUPPORT)

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"
