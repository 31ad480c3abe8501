"""Abstract bases of our models. The kernel owns no tables."""

import uuid

from django.db import models


class TimestampedModel(models.Model):
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True


class PublicIdModel(TimestampedModel):
    """A row that strangers may name: its id outside is random, so that it tells nothing and cannot be guessed."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True
