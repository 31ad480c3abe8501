"""`/api/v1/usage`: what a customer's jobs used and cost, by day or by model."""

from collections.abc import Sequence
from datetime import UTC, date, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.request import organization_of
from billing.usage import selectors as usage
from billing.usage.selectors import UsageSum
from core.errors import InvalidInput

DAYS_MAX = 366
GROUPS = ["day", "model"]


class Range(serializers.Serializer[Any]):
    """Base of serializers with a range of days. The API's names are `from` and `to`; `from` is a keyword of Python."""

    NAMES = {"since": "from", "until": "to"}

    def get_fields(self) -> dict[str, Any]:
        return {self.NAMES.get(name, name): field for name, field in super().get_fields().items()}


class UsageQuery(Range):
    since = serializers.DateField(default=None)
    until = serializers.DateField(default=None)
    group_by = serializers.ChoiceField(GROUPS, default="day")


class UsageTotal(serializers.Serializer[Any]):
    units = serializers.IntegerField(help_text="Number of work units.")
    items = serializers.IntegerField()
    compute_ms = serializers.IntegerField()
    energy_mwh = serializers.IntegerField(help_text="Milliwatt-hours.")
    charged_micro = serializers.IntegerField()


class UsedModel(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()


class UsageRow(UsageTotal):
    day = serializers.DateField(allow_null=True, help_text="Null unless grouped by day.")
    model = UsedModel(allow_null=True, help_text="Null unless grouped by model.")


class UsageResponse(Range):
    currency = serializers.CharField()
    since = serializers.DateField(help_text="The first day.")
    until = serializers.DateField(help_text="The day after the last one.")
    group_by = serializers.ChoiceField(GROUPS)
    total = UsageTotal()
    rows = UsageRow(
        many=True, help_text="Days in order, or models with the most expensive first. Those without work are left out."
    )


class Usage(APIView):
    required_scope = "wallet:read"

    @extend_schema(
        operation_id="usage_get",
        parameters=[
            OpenApiParameter(
                "from",
                OpenApiTypes.DATE,
                description="The first day (UTC). Default: the first day of the month of the day before `to`.",
            ),
            OpenApiParameter(
                "to",
                OpenApiTypes.DATE,
                description=f"The day after the last (UTC). Default: tomorrow. At most {DAYS_MAX} days after `from`.",
            ),
            OpenApiParameter("group_by", str, enum=GROUPS, description="day (default) or model."),
        ],
        responses=UsageResponse,
    )
    def get(self, request: Request) -> Response:
        """Return what was used and charged on the days (UTC) from `from` up to, but not including, `to`.

        Work counts on the day on which it was verified. Work that is voided later is subtracted from that same day.
        """
        wanted = UsageQuery(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        asked, organization = wanted.validated_data, organization_of(request)
        since, until = requested_days(asked["from"], asked["to"])
        by = asked["group_by"]
        rows: Sequence[UsageSum[Any]]
        if by == "day":
            rows = [row for row in usage.days(organization, since, until) if not row.is_empty]
        else:
            rows = usage.models(organization, since, until)
        shown = {
            "currency": organization.currency,
            "from": since,
            "to": until,
            "group_by": by,
            "total": usage.total(rows),
            "rows": [_row(row, by) for row in rows],
        }
        return Response(UsageResponse(shown).data)


def requested_days(since: date | None, until: date | None) -> tuple[date, date]:
    """Return the days asked for, with defaults filled in, as a half-open range.

    Raises InvalidInput (`range_empty`, `range_too_long`).
    """
    until = until or timezone.now().astimezone(UTC).date() + timedelta(days=1)
    since = since or date.fromordinal(max(1, until.toordinal() - 1)).replace(day=1)  # the month of the last day
    if since >= until:
        raise InvalidInput("`to` must be later than `from`.", code="range_empty", **{"from": since, "to": until})
    if (until - since).days > DAYS_MAX:
        raise InvalidInput(
            f"Ask for at most {DAYS_MAX} days at once.",
            code="range_too_long",
            days=(until - since).days,
            days_max=DAYS_MAX,
        )
    return since, until


def _row(row: UsageSum[Any], by: str) -> dict[str, Any]:
    return {"day": None, "model": None, by: row.key, **{name: getattr(row, name) for name in usage.SUMS}}
