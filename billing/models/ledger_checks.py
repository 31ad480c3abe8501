from django.db import models

from core.models import TimestampedModel


class LedgerCheck(TimestampedModel):
    """One run of the ledger's checks over one snapshot. Append-only."""

    checks = models.PositiveIntegerField(help_text="How many checks were made.")
    differences = models.PositiveIntegerField()
    took_ms = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["-id"], name="ledger_check_latest")]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}: {self.differences} differences"


class LedgerDifference(TimestampedModel):
    """A difference that the checks found, from the run that found it first to the run that did not find it any more.

    Operators see it in the back office and may add a note.
    """

    check_name = models.CharField(max_length=64)
    subject = models.CharField(max_length=300)
    expected_micro = models.BigIntegerField()
    actual_micro = models.BigIntegerField()
    first_seen = models.ForeignKey(LedgerCheck, on_delete=models.PROTECT, related_name="+")
    last_seen = models.ForeignKey(LedgerCheck, on_delete=models.PROTECT, related_name="+")
    gone_at = models.DateTimeField(null=True)
    note = models.CharField(
        max_length=500, blank=True, db_default="", help_text="What an operator found out about the difference."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["check_name", "subject"], condition=models.Q(gone_at=None), name="ledger_difference_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.check_name}: {self.subject}"
