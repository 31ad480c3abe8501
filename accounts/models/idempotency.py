from django.db import models

from accounts.models.organizations import Organization
from core.models import TimestampedModel


class IdempotencyRecord(TimestampedModel):
    """The stored response to a request with an Idempotency-Key. `response_status` is null while the request runs."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
