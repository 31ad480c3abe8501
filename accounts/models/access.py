from django.conf import settings
from django.db import models

from accounts.models.owners import Owner
from accounts.models.vehicles import Vehicle


class AccessEvent(models.Model):
    """One access to an owner's data by staff or by an export: who read what, when and why.

    Append-only, and shown to the owner.
    """

    class Kind(models.TextChoices):
        STAFF_READ = "staff_read", "Read by staff"
        EXPORT = "export", "Exported by the system"

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="access_events")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, null=True, related_name="+")
    # Null: the system itself, for instance when it makes an export that the owner requested.
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind)
    what = models.CharField(max_length=160)
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(reason=""), name="access_event_has_a_reason")]
        indexes = [models.Index(fields=["owner", "-at"], name="access_by_owner")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"
