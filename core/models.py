"""Abstract base classes of models. `core` owns no tables."""

import uuid

from django.db import models


class TimestampedModel(models.Model):
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True


class PublicIdModel(TimestampedModel):
    """A row with a random id for URLs, APIs and documents.

    Such an id cannot be guessed and does not reveal how many rows exist.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True
