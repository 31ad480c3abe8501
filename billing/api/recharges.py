"""`/api/v1/wallet/auto-recharge`: settings and state of the automatic recharge of the wallet from a saved card."""

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
        min_value=0, max_value=AMOUNT_MAX_MICRO, help_text="Recharge when less than this is available to spend."
    )
    amount_micro = serializers.IntegerField(
        min_value=1,
        max_value=AMOUNT_MAX_MICRO,
        help_text="Amount of one recharge: a whole number of the currency's smallest coin.",
    )
    monthly_cap_micro = serializers.IntegerField(
        min_value=1,
        max_value=AMOUNT_MAX_MICRO,
        help_text="The most that all recharges of a calendar month (UTC) may charge.",
    )
    card = serializers.UUIDField(
        required=False, help_text="Id of a saved card. Default: the card in use, or else the default card."
    )
    resume = serializers.BooleanField(default=False, help_text="End a pause. Choosing another card ends it as well.")


class AutoRechargeResponse(serializers.Serializer[Any]):
    is_on = serializers.BooleanField()
    threshold_micro = serializers.IntegerField(
        allow_null=True, help_text="Null, like the next two fields, until the recharge has been set up."
    )
    amount_micro = serializers.IntegerField(allow_null=True)
    monthly_cap_micro = serializers.IntegerField(allow_null=True)
    card = SavedCardOut(allow_null=True)
    paused_code = serializers.CharField(
        help_text="Why the recharge is paused: the last charge's refusal. Empty if not paused."
    )
    paused_at = serializers.DateTimeField(allow_null=True)
    charged_this_month_micro = serializers.IntegerField(help_text="Including charges in progress.")
    left_this_month_micro = serializers.IntegerField()
    cards = SavedCardOut(many=True)


class AutoRecharge(APIView):
    required_scopes = {"GET": "wallet:read", "PUT": "wallet:write"}

    @extend_schema(operation_id="auto_recharge_get", responses=AutoRechargeResponse)
    def get(self, request: Request) -> Response:
        """Return the settings, whether and why it is paused, what is left of the month's cap, and the saved cards."""
        return Response(_response_data(organization_of(request)))

    @extend_schema(operation_id="auto_recharge_put", request=AutoRechargeRequest, responses=AutoRechargeResponse)
    def put(self, request: Request) -> Response:
        """Change the settings; repeating a request changes nothing.

        Saving a card takes a person, on a page of Stripe's.
        """
        body = AutoRechargeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization, wanted = organization_of(request), dict(body.validated_data)
        card_id = wanted.pop("card", None) or _default_card_id(organization)
        recharge_settings.change(organization=organization, card_id=card_id, actor=None, **wanted)
        return Response(_response_data(organization))


def _default_card_id(organization: Organization) -> Any:
    """Return the id of the card in use, or else of the default card. Raises Conflict `card_not_saved`."""
    row, cards = recharges.recharge_of(organization), saved_cards.cards_of(organization)
    if row is None and not cards:
        raise Conflict("Save a card first, on the page about cards and recharges.", code="card_not_saved")
    return row.card.public_id if row else cards[0].public_id


def _response_data(organization: Organization) -> dict[str, Any]:
    row = recharges.recharge_of(organization)
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
            "cards": saved_cards.cards_of(organization),
        }
    )
    return dict(shown.data)
