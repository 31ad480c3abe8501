"""The activity page of a vehicle: every attempt with its customer's category, time, energy and pay."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from asgiref.sync import sync_to_async
from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import owner_required
from accounts.models import Owner, Vehicle
from compute.jobs.activity import BIGGEST_ID, attempts_of, first_meter_records
from compute.models import Attempt, MeterRecord
from core.money import NANO_PER_MICRO, round_half_even

PAGE_ROWS, CSV_ROWS = 25, 500
CATEGORY = "Batch inference"  # so far the only kind of job
OUTCOMES = {
    Attempt.Status.LEASED: "Working",
    Attempt.Status.REPORTED: "Being checked",
    Attempt.Status.VALID: "Valid, paid",
    Attempt.Status.INVALID: "Wrong, not paid",
    Attempt.Status.FAILED: "Failed",
    Attempt.Status.EXPIRED: "Lease ran out",
    Attempt.Status.CANCELLED: "Stopped",
}
WHY_UNPAID = {
    Attempt.Status.LEASED: "It is running now. It is paid once its result has been verified.",
    Attempt.Status.REPORTED: "Its result is being compared with those of other cars.",
    Attempt.Status.INVALID: "Its result differed from those of the other cars. Wrong results are not paid.",
    Attempt.Status.FAILED: "It could not be computed here, or its result did not have the right form.",
    Attempt.Status.EXPIRED: "The car did not report in time, so the work was given to another car.",
    Attempt.Status.CANCELLED: "It was stopped before its result arrived.",
}
CONSENT_ENDED = "Your consent ended while it ran, so it was stopped."
COLUMNS = (
    "leased_at",
    "ended_at",
    "job_category",
    "model_sha256",
    "customer_category",
    "items",
    "compute_ms",
    "energy_mwh",
    "energy_method",
    "outcome",
    "outcome_code",
    "currency",
    "gross_micro",
    "energy_cost_micro",
    "wear_micro",
    "net_micro",
)


class FilterForm(forms.Form):
    """The filter of the page: a day, an outcome, and the position of the page."""

    day = forms.DateField(
        required=False,
        label="Day",
        widget=forms.DateInput(attrs={"type": "date"}),
        validators=[MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31))],
    )
    outcome = forms.ChoiceField(required=False, label="Outcome", choices=[("", "All"), *OUTCOMES.items()])
    before = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST_ID, widget=forms.HiddenInput)

    def conditions(self) -> dict[str, Any]:
        """Return the arguments of `attempts_of` for this filter."""
        since, until = day_bounds(self.cleaned_data["day"]) if self.cleaned_data["day"] else (None, None)
        return {"since": since, "until": until, "status": self.cleaned_data["outcome"]}


@never_cache
@require_GET
@owner_required
def vehicle_activity(request: HttpRequest, owner: Owner, public_id: UUID) -> HttpResponseBase:
    """Show a page of the vehicle's attempts, or download all of them as CSV (`format=csv`)."""
    vehicle = get_object_or_404(Vehicle.objects.for_owner(owner), public_id=public_id)
    form = FilterForm(request.GET)
    context: dict[str, Any] = {"vehicle": vehicle, "form": form, "is_filtered": False}
    if not form.is_valid():
        return render(request, "accounts/vehicle_activity.html", context, status=400)
    if request.GET.get("format") == "csv":
        return _download(vehicle, owner, form.conditions())
    page = attempts_of(
        vehicle, before=form.cleaned_data["before"], each=PAGE_ROWS, related=["usage__rated"], **form.conditions()
    )
    kept = {name: request.GET[name] for name in ("day", "outcome") if request.GET.get(name)}
    context |= {
        "attempts": rows_of(page.attempts, owner),
        "is_filtered": bool(kept),
        "newest_query": urlencode(kept) if form.cleaned_data["before"] else None,
        "older_query": urlencode({**kept, "before": page.older}) if page.older else None,
        "csv_query": urlencode({**kept, "format": "csv"}),
    }
    return render(request, "accounts/vehicle_activity.html", context)


def rows_of(attempts: list[Attempt], owner: Owner) -> list[dict[str, Any]]:
    """Return the rows of the page and of the CSV file. The attempts must be loaded with `usage__rated`."""
    records = first_meter_records(attempts)
    return [_row(attempt, records.get(attempt.pk), owner) for attempt in attempts]


def _row(attempt: Attempt, record: MeterRecord | None, owner: Owner) -> dict[str, Any]:
    usage = getattr(attempt, "usage", None)
    rated = getattr(usage, "rated", None)
    quantities = usage or record  # the settled ones; for unpaid work, those that its node signed
    return {
        "leased_at": attempt.leased_at,
        "ended_at": attempt.ended_at or attempt.reported_at,
        "job_category": CATEGORY,
        "is_copy": usage is not None and not usage.is_canonical,
        "model_sha256": attempt.job.artifact.sha256,
        "customer_category": attempt.job.organization.category,
        "items": attempt.unit.items,
        "compute_ms": quantities.compute_ms if quantities else None,
        "energy_mwh": quantities.energy_mwh if quantities else None,
        "energy_method": record.energy_method if record else "",
        "outcome": attempt.status,
        "outcome_code": attempt.status_code,
        "why_unpaid": _why_unpaid(attempt) if rated is None else "",
        "currency": owner.currency,
        "gross_micro": rated.owner_micro if rated else None,
        "energy_cost_micro": round_half_even(rated.energy_cost_nano, NANO_PER_MICRO) if rated else None,
        "wear_micro": round_half_even(rated.wear_nano, NANO_PER_MICRO) if rated else None,
        "net_micro": rated.net_micro if rated else None,
    }


def _why_unpaid(attempt: Attempt) -> str:
    if attempt.status == Attempt.Status.VALID:
        return "Its result is valid; the payment is being booked."
    if attempt.status_code.startswith("consent_"):
        return CONSENT_ENDED
    if attempt.status_code == "stopped_by_car":
        return "The car stopped it because of your rules. We do not store which rule it was."
    if attempt.status == Attempt.Status.CANCELLED and attempt.reported_at:
        return "Its result had arrived, but the job was cancelled before it was verified."
    return WHY_UNPAID[Attempt.Status(attempt.status)]


def _download(vehicle: Vehicle, owner: Owner, conditions: dict[str, Any]) -> HttpResponseBase:
    """Stream all attempts that match the filter as CSV: times in UTC, whole numbers, units in the column names."""

    def pages() -> Iterator[str]:
        before: int | None = None
        yield _csv([COLUMNS])
        while True:
            page = attempts_of(vehicle, before=before, each=CSV_ROWS, related=["usage__rated"], **conditions)
            yield _csv([[_cell(row[name]) for name in COLUMNS] for row in rows_of(page.attempts, owner)])
            if page.older is None:
                return
            before = page.older

    async def chunks() -> AsyncIterator[str]:
        source = pages()
        next_chunk = sync_to_async(lambda: next(source, None))
        while (chunk := await next_chunk()) is not None:
            yield chunk

    response = StreamingHttpResponse(chunks(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="driveway-{vehicle.public_id}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value  # otherwise a spreadsheet would run it as a formula
    return value


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the instants at which a day in the owner's time zone begins and ends; it may have 23 or 25 hours."""
    zone = timezone.get_current_timezone()
    start, end = (datetime(d.year, d.month, d.day, tzinfo=zone) for d in (day, day + timedelta(days=1)))
    return start, end
