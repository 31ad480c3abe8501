from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models.organizations import Organization
from core.models import PublicIdModel


class Scope(models.TextChoices):
    MODELS_WRITE = "models:write", "Upload models"
    JOBS_READ = "jobs:read", "See models, jobs and results"
    JOBS_WRITE = "jobs:write", "Submit and cancel jobs"
    WALLET_READ = "wallet:read", "See the wallet"
    WALLET_WRITE = "wallet:write", "Request top-ups, which a person then pays"


class ApiKey(PublicIdModel):
    """A customer's key, `drv_live_<prefix>_<secret><crc32>`.

    The prefix finds the row; of the secret only SHA-256 is stored.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="api_keys")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    name = models.CharField(max_length=60)
    prefix = models.CharField(max_length=12, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())
