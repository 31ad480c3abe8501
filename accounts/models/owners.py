from django.conf import settings
from django.db import models

from core.models import PublicIdModel


class Owner(PublicIdModel):
    """A person or company that offers vehicles and is paid for the work that they compute."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="owner")
    name = models.CharField(max_length=120)
    country = models.CharField(max_length=2, default="US")
    currency = models.CharField(max_length=3, default="USD")
    time_zone = models.CharField(max_length=64, default="UTC")
    locale = models.CharField(max_length=16, default="en-US", help_text="How dates, energy and money are written.")
    mails_off = models.JSONField(default=list, blank=True, help_text="Kinds of mail that the owner does not want.")
    deactivated_at = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
