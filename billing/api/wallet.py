"""`/api/v1/wallet/spend-cap`: the most that an organization's jobs may cost in a calendar month."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.request import organization_of
from accounts.models import Organization
from billing.periods import month_of
from billing.usage import spend_caps
from core.money import LIMIT_MAX_MICRO


class SpendCapRequest(serializers.Serializer[Any]):
    monthly_micro = serializers.IntegerField(
        min_value=0, max_value=LIMIT_MAX_MICRO, allow_null=True, help_text="Null removes the cap."
    )


class SpendCapResponse(serializers.Serializer[Any]):
    currency = serializers.CharField()
    month = serializers.DateField(help_text="The first day (UTC) of the current month.")
    monthly_micro = serializers.IntegerField(allow_null=True, help_text="Null: no cap.")
    charged_micro = serializers.IntegerField(help_text="Charged for work that was verified in this month.")
    held_micro = serializers.IntegerField(help_text="What the jobs that have not ended may still cost.")
    left_micro = serializers.IntegerField(allow_null=True, help_text="What may still be ordered; null without a cap.")


class SpendCap(APIView):
    required_scopes = {"GET": "wallet:read", "PUT": "wallet:write"}

    @extend_schema(operation_id="spend_cap_get", responses=SpendCapResponse)
    def get(self, request: Request) -> Response:
        """Return the cap, and how much of it this month has used."""
        return Response(_response_data(organization_of(request)))

    @extend_schema(operation_id="spend_cap_put", request=SpendCapRequest, responses=SpendCapResponse)
    def put(self, request: Request) -> Response:
        """Set or remove the cap. An order that would exceed it is refused with 402 `spend_cap_reached`.

        The cap applies from the next order on; running jobs continue. Repeating the request changes nothing.
        """
        body = SpendCapRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization = organization_of(request)
        spend_caps.set_cap(organization=organization, monthly_micro=body.validated_data["monthly_micro"], actor=None)
        return Response(_response_data(organization))


def _response_data(organization: Organization) -> dict[str, Any]:
    month = spend_caps.month(organization)
    shown = SpendCapResponse(
        {
            "currency": organization.currency,
            "month": month_of(timezone.now()).date(),
            "monthly_micro": month.cap_micro,
            "charged_micro": month.charged_micro,
            "held_micro": month.held_micro,
            "left_micro": month.left_micro,
        }
    )
    return dict(shown.data)
