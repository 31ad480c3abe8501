from django.conf import settings
from django.db import models

from billing.models.settlement import RatedUsage
from core.models import PublicIdModel


class UsageVoid(PublicIdModel):
    """A void: the platform takes rated usage back, as an event of its own; the usage stays visible.

    Settling it posts corrections that mirror what the usage paid and charged. Only the platform voids usage, never a
    node. Append-only, except for `settled_at`.
    """

    rated = models.OneToOneField(RatedUsage, on_delete=models.PROTECT, related_name="void")
    reason = models.CharField(max_length=200)
    voided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    promo_micro = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="The part of the charge that goes back to promotional credit; the rest to the wallet.",
    )
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(promo_micro__gte=0), name="usage_void_promo"),
        ]
        indexes = [models.Index(fields=["id"], condition=models.Q(settled_at=None), name="usage_void_unsettled")]

    def __str__(self) -> str:
        return f"void of rating {self.rated_id}"
