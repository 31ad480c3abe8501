"""`/api/v1/wallet/auto-recharge`: the standing order that tops the wallet up from a saved card."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.request import organization_of
from accounts.models import Organization
from billing.api.serializers import AMOUNT_MAX_MICRO
from billing.topups import recharge_settings, recharges, saved_cards
from core.errors import Conflict


class SavedCardOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    brand = serializers.CharField()
    last4 = serializers.CharField()
    exp_month = serializers.IntegerField(allow_null=True)
    exp_year = serializers.IntegerField(allow_null=True)
    is_default = serializers.BooleanField()


class AutoRechargeRequest(serializers.Serializer[Any]):
    is_on = serializers.BooleanField()
    threshold_micro = serializers.IntegerField(
        min_value=0, max_value=AMOUNT_MAX_MICRO, help_text="Recharge when less than this is free to spend."
    )
    amount_micro = serializers.IntegerField(
        min_value=1, max_value=AMOUNT_MAX_MICRO, help_text="Of one recharge: a whole number of the smallest coin."
    )
    monthly_cap_micro = serializers.IntegerField(
        min_value=1, max_value=AMOUNT_MAX_MICRO, help_text="Of all recharges of a calendar month (UTC)."
    )
    card = serializers.UUIDField(
        required=False, help_text="Id of a saved card; without it the one in use, or the default."
    )
    resume = serializers.BooleanField(
        default=False, help_text="Go on after a pause. A pause also ends when another card is chosen."
    )


class AutoRechargeResponse(serializers.Serializer[Any]):
    is_on = serializers.BooleanField()
    threshold_micro = serializers.IntegerField(allow_null=True, help_text="Null, as the next two, until it was set.")
    amount_micro = serializers.IntegerField(allow_null=True)
    monthly_cap_micro = serializers.IntegerField(allow_null=True)
    card = SavedCardOut(allow_null=True)
    paused_code = serializers.CharField(help_text="Why the last charge was refused; empty while it runs.")
    paused_at = serializers.DateTimeField(allow_null=True)
    charged_this_month_micro = serializers.IntegerField(help_text="With what is on its way.")
    left_this_month_micro = serializers.IntegerField()
    cards = SavedCardOut(many=True)


class AutoRecharge(APIView):
    required_scopes = {"GET": "wallet:read", "PUT": "wallet:write"}

    @extend_schema(operation_id="auto_recharge_get", responses=AutoRechargeResponse)
    def get(self, request: Request) -> Response:
        """What is set, whether it is paused and why, what is left of the month, and the saved cards."""
        return Response(_shown(organization_of(request)))

    @extend_schema(operation_id="auto_recharge_put", request=AutoRechargeRequest, responses=AutoRechargeResponse)
    def put(self, request: Request) -> Response:
        """Set it. The same again changes nothing. A card is saved by a person, on a page of Stripe's."""
        body = AutoRechargeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization, wanted = organization_of(request), dict(body.validated_data)
        card_id = wanted.pop("card", None) or _usual(organization)
        recharge_settings.change(organization=organization, card_id=card_id, actor=None, **wanted)
        return Response(_shown(organization))


def _usual(organization: Organization) -> Any:
    row, cards = recharges.of(organization), saved_cards.of(organization)
    if row is None and not cards:
        raise Conflict("Save a card first, on the page of cards and recharge.", code="card_not_saved")
    return row.card.public_id if row else cards[0].public_id


def _shown(organization: Organization) -> dict[str, Any]:
    row = recharges.of(organization)
    month = recharges.month(row) if row else None
    shown = AutoRechargeResponse(
        {
            "is_on": row.is_on if row else False,
            "threshold_micro": row.threshold_micro if row else None,
            "amount_micro": row.amount_micro if row else None,
            "monthly_cap_micro": row.monthly_cap_micro if row else None,
            "card": row.card if row else None,
            "paused_code": row.paused_code if row else "",
            "paused_at": row.paused_at if row else None,
            "charged_this_month_micro": month.charged_micro if month else 0,
            "left_this_month_micro": month.left_micro if month else 0,
            "cards": saved_cards.of(organization),
        }
    )
    return dict(shown.data)
