from django.conf import settings
from django.db import models
from django.utils import timezone

from core.models import TimestampedModel


class Mail(TimestampedModel):
    """A mail in the outbox: written in the transaction that it reports, sent later by a worker, once per `dedupe_key`.

    No address is stored: the mail goes to the user's address at the time of sending.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="mails")
    kind = models.CharField(max_length=40)  # names templates/emails/<kind>-subject.txt and -body.txt
    context = models.JSONField(default=dict)
    dedupe_key = models.CharField(max_length=160, unique=True)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    # Set instead of sent_at if it will never be sent: the user does not want this kind, or every attempt failed.
    dropped_at = models.DateTimeField(null=True)
    dropped_code = models.CharField(max_length=40, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(sent_at=None, dropped_at=None), name="mail_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.kind} to user {self.user_id}"
