"""`/api/v1/wallet/refunds`: request refunds of unspent money to the cards that it came from, and list them."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.idempotency import KEY_MAX_LENGTH
from accounts.api_keys.request import organization_of
from billing.api.jobs import IDEMPOTENCY_KEY
from billing.api.serializers import AMOUNT_MAX_MICRO
from billing.models import Refund
from billing.refunds import refunds
from core.api import page_response
from core.errors import InvalidInput


class RefundRequest(serializers.Serializer[Any]):
    amount_micro = serializers.IntegerField(
        min_value=1, max_value=AMOUNT_MAX_MICRO, help_text="A whole number of the currency's smallest coin."
    )
    reason = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class RefundResponse(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    top_up = serializers.UUIDField(source="top_up.card_top_up.public_id", help_text="The top-up that is refunded.")
    status = serializers.CharField(
        help_text="requested, pending, succeeded or failed. The money of a failed refund is back in the wallet."
    )
    status_code = serializers.CharField(help_text="Why it failed.")
    amount_micro = serializers.IntegerField()
    currency = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class Refunds(APIView):
    """Request a refund, or list refunds."""

    required_scopes = {"GET": "wallet:read", "POST": "wallet:write"}

    @extend_schema(operation_id="refunds_list", responses=RefundResponse(many=True))
    def get(self, request: Request) -> Response:
        """List your refunds."""
        rows = Refund.objects.filter(organization=organization_of(request)).select_related("top_up__card_top_up")
        return page_response(self, request, rows, RefundResponse)

    @extend_schema(
        operation_id="refunds_create",
        parameters=[IDEMPOTENCY_KEY],
        request=RefundRequest,
        responses={201: RefundResponse(many=True)},
    )
    def post(self, request: Request) -> Response:
        """Take money out of the wallet and send it back to the cards that it came from, the newest payment first.

        Makes one refund for each top-up involved. Repeating the request with the same key and body returns the same
        refunds in their present state.
        """
        key = request.headers.get("Idempotency-Key", "")
        if not key or len(key) > KEY_MAX_LENGTH:
            raise InvalidInput(
                f"Send an Idempotency-Key header of 1 to {KEY_MAX_LENGTH} characters.", code="idempotency_key_missing"
            )
        body = RefundRequest(data=request.data)
        body.is_valid(raise_exception=True)
        # Not @idempotent, as for top-ups: that would open a transaction around the call to Stripe. The service keeps
        # the key.
        requested = refunds.request(
            organization=organization_of(request),
            amount_micro=body.validated_data["amount_micro"],
            idempotency_key=f"api:{key}",
            reason=body.validated_data["reason"],
            actor=None,
        )
        refunds.send(requested)
        rows = Refund.objects.filter(pk__in=[row.pk for row in requested]).select_related("top_up__card_top_up")
        return Response(RefundResponse(rows.order_by("id"), many=True).data, status=201)
