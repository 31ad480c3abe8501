"""Consent: versioned texts, and append-only records of decisions, chained by hashes.

The fields follow ISO/IEC TS 27560 in the mapping of W3C DPV.
"""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models.owners import Owner
from accounts.models.vehicles import Vehicle
from core.models import PublicIdModel, TimestampedModel


class Purpose(models.TextChoices):
    """The purposes that an owner can consent to, each separately. Only the first is needed to earn."""

    RUN_JOBS = "run_jobs", "Run customers' jobs"
    AVAILABILITY = "availability", "Keep availability history"
    REGION = "region", "Coarse region for price and latency"
    RELIABILITY = "reliability", "Hardware health for reliability"
    EXPERIMENTS = "experiments", "Take part in measured experiments"
    PRODUCT_EMAIL = "product_email", "News about Driveway by e-mail"


PERSONAL = (Purpose.PRODUCT_EMAIL,)  # decided by an owner once, not for each vehicle
VEHICLE_PURPOSES = tuple(purpose for purpose in Purpose if purpose not in PERSONAL)


class ConsentState(models.TextChoices):
    GIVEN = "given"
    RENEWED = "renewed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


IN_FORCE = (ConsentState.GIVEN, ConsentState.RENEWED)


class ConsentNoticeQuerySet(models.QuerySet["ConsentNotice"]):
    def newer_in_effect(self, purpose: str, version: int) -> bool:
        """Return whether a later version of the text has taken effect."""
        return self.filter(purpose=purpose, version__gt=version, effective_at__lte=timezone.now()).exists()


class ConsentNotice(TimestampedModel):
    """The text of one purpose in one version and language. A new version needs new consent."""

    purpose = models.CharField(max_length=32)
    version = models.PositiveIntegerField()
    language = models.CharField(max_length=8, default="en")
    title = models.CharField(max_length=120)
    summary = models.CharField(max_length=300)
    body = models.TextField()
    sha256 = models.CharField(max_length=64)
    validity_days = models.PositiveIntegerField(default=365)
    published_at = models.DateTimeField(default=timezone.now)
    # From this time on, consent to an older version is no longer in force.
    effective_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[ConsentNoticeQuerySet] = ConsentNoticeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["purpose", "version", "language"], name="consent_notice_version")
        ]

    def __str__(self) -> str:
        return f"{self.purpose} v{self.version} ({self.language})"

    @property
    def is_effective(self) -> bool:
        return self.effective_at <= timezone.now()

    @property
    def paragraphs(self) -> list[str]:
        return self.body.split("\n\n")


class ConsentRecord(PublicIdModel):
    """One decision about one purpose, for one vehicle or, if the purpose is personal, for the owner.

    `payload` is the canonical record, kept byte for byte; `hash` = SHA-256(prev_hash bytes || payload). On insert the
    database computes the hash again, compares columns with the payload, and requires the record to continue the owner's
    chain. It refuses every later change (accounts/rules/consents.sql).
    """

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="consent_records")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, null=True, related_name="consent_records")
    notice = models.ForeignKey(ConsentNotice, on_delete=models.PROTECT)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    purpose = models.CharField(max_length=32)
    state = models.CharField(max_length=16)
    method = models.CharField(max_length=32)
    at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    seq = models.PositiveBigIntegerField()
    payload = models.BinaryField()
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    signature = models.CharField(max_length=128)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "seq"], name="consent_record_chain"),
            models.UniqueConstraint(fields=["hash"], name="consent_record_hash"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in ConsentState]), name="consent_record_state"
            ),
        ]
        indexes = [models.Index(fields=["vehicle", "purpose", "seq"], name="consent_by_vehicle")]

    def __str__(self) -> str:
        return f"{self.purpose} {self.state} #{self.seq}"


class ConsentCurrentQuerySet(models.QuerySet["ConsentCurrent"]):
    def in_force(self, purpose: str) -> Self:
        """Filter consents to a purpose that are given or renewed, not expired, and to the text now in effect."""
        # The subquery refers to no outer row, so PostgreSQL evaluates it once and not for each row.
        version = models.Subquery(
            ConsentNotice.objects.filter(purpose=purpose, effective_at__lte=models.functions.Now())
            .order_by("-version")
            .values("version")[:1]
        )
        given = self.filter(purpose=purpose, state__in=IN_FORCE, notice_version__gte=version)
        return given.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=models.functions.Now()))


class ConsentCurrent(models.Model):
    """The latest decision for each vehicle (or owner, if personal) and purpose. Only a trigger writes it.

    Its row lock orders dispatch and withdrawal: dispatch locks it FOR SHARE while it leases work, and a decision
    updates it.
    """

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="consents")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, null=True, related_name="consents")
    purpose = models.CharField(max_length=32)
    notice_version = models.PositiveIntegerField()
    record = models.ForeignKey(ConsentRecord, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16)
    expires_at = models.DateTimeField(null=True)

    objects: ClassVar[ConsentCurrentQuerySet] = ConsentCurrentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["vehicle", "purpose"], name="consent_current_once"),
            models.UniqueConstraint(
                fields=["owner", "purpose"], condition=models.Q(vehicle=None), name="consent_current_personal_once"
            ),
        ]
        # For the sweep that runs each minute: expired consents, and consents to a text that is no longer in effect.
        indexes = [
            models.Index(
                fields=["expires_at"], condition=models.Q(state__in=["given", "renewed"]), name="consent_ending"
            ),
            models.Index(
                fields=["purpose", "notice_version"],
                condition=models.Q(state__in=["given", "renewed"]),
                name="consent_by_version",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle or self.owner} {self.purpose}: {self.state}"

    @property
    def is_given(self) -> bool:
        """Return whether consent is given and not expired. Its text may be outdated."""
        return self.state in IN_FORCE and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def is_in_force(self) -> bool:
        """Return whether consent is given, not expired, and to the text now in effect.

        Needs a query unless it has ended.
        """
        return self.is_given and not ConsentNotice.objects.newer_in_effect(self.purpose, self.notice_version)
