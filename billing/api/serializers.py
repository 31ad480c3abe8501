"""Requests and responses of the API. Amounts are integers in micro-units: millionths of the currency's major unit."""

from typing import Any

from rest_framework import serializers

from billing.models import RateCard
from compute.api.serializers import JobOut

AMOUNT_MAX_MICRO = 10**15  # a thousand million units: far above any wallet, far below the database's limit
ITEMS_MAX = 10**9


TIER_HELP = (
    "standard: trusted vehicles work alone, the work of others is checked with copies. quorum: vehicles of two owners "
    "compute every unit and must agree."
)


class EstimateRequest(serializers.Serializer[Any]):
    model = serializers.UUIDField(help_text="Id of an admitted model.")
    input_file = serializers.UUIDField(required=False, help_text="Id of an input file: its rows are the items.")
    items = serializers.IntegerField(
        required=False, min_value=1, max_value=ITEMS_MAX, help_text="Number of items, instead of input_file."
    )
    unit_items = serializers.IntegerField(required=False, min_value=1, max_value=ITEMS_MAX)
    tier = serializers.ChoiceField(RateCard.Tier.choices, default=RateCard.Tier.STANDARD, help_text=TIER_HELP)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("input_file" in attrs) == ("items" in attrs):
            raise serializers.ValidationError({"items": ["Give either input_file or items."]})
        return attrs


class EstimateResponse(serializers.Serializer[Any]):
    items = serializers.IntegerField()
    units = serializers.IntegerField()
    currency = serializers.CharField()
    tier = serializers.CharField(source="rate_card.tier")
    low_micro = serializers.IntegerField(help_text="The expected cost, from the model's trial run.")
    high_micro = serializers.IntegerField(help_text="The most that the job can be charged.")
    cap_min_micro = serializers.IntegerField(help_text="The smallest cap_micro that an order may have.")
    compute_ms = serializers.IntegerField(help_text="Expected compute time, milliseconds.")
    price_micro_per_hour = serializers.IntegerField(
        source="rate_card.price_micro_per_hour", help_text="For an hour of compute time."
    )
    price_micro_per_kwh = serializers.IntegerField(
        source="rate_card.price_micro_per_kwh",
        help_text="For a kilowatt-hour, in addition. All of it goes to the vehicle's owner.",
    )


class JobRequest(serializers.Serializer[Any]):
    model = serializers.UUIDField(help_text="Id of an admitted model.")
    input_file = serializers.UUIDField(help_text="Id of an input file: its rows are the items.")
    unit_items = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=ITEMS_MAX,
        help_text="Number of items in a work unit. Default: as many as take about a minute.",
    )
    cap_micro = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=AMOUNT_MAX_MICRO,
        help_text=(
            "Never charge more than this. At least the estimate's cap_min_micro. Below the estimate's high_micro, the "
            "time that can be charged for each item is reduced."
        ),
    )
    tier = serializers.ChoiceField(RateCard.Tier.choices, default=RateCard.Tier.STANDARD, help_text=TIER_HELP)


class JobResponse(JobOut):
    """A job with its money."""

    tier = serializers.CharField(source="order.rate_card.tier")
    currency = serializers.CharField(source="order.rate_card.currency")
    price_micro_per_hour = serializers.IntegerField(source="order.price_micro_per_hour")
    price_micro_per_kwh = serializers.IntegerField(source="order.price_micro_per_kwh")
    estimate_low_micro = serializers.IntegerField(source="order.estimate_low_micro")
    estimate_high_micro = serializers.IntegerField(source="order.estimate_high_micro")
    cap_micro = serializers.IntegerField(source="order.cap_micro", allow_null=True)
    held_micro = serializers.IntegerField(
        source="order.held_micro", help_text="Held in the wallet; the unused part is released when the job ends."
    )
    charged_micro = serializers.IntegerField(source="order.charged_micro")


class WalletResponse(serializers.Serializer[Any]):
    currency = serializers.CharField()
    balance_micro = serializers.IntegerField(help_text="held_micro and available_micro together.")
    held_micro = serializers.IntegerField(help_text="Held for jobs that have not ended.")
    available_micro = serializers.IntegerField(help_text="What may be spent now.")
    promo_micro = serializers.IntegerField(
        help_text="The part of available_micro that is promotional credit. It is spent first."
    )


class PriceResponse(serializers.Serializer[Any]):
    hardware_class = serializers.CharField(source="hardware_class.slug")
    title = serializers.CharField(source="hardware_class.title")
    mode = serializers.CharField(help_text="batch or real_time")
    tier = serializers.CharField(help_text="standard or quorum")
    currency = serializers.CharField()
    price_micro_per_hour = serializers.IntegerField(help_text="For an hour of compute time.")
    price_micro_per_kwh = serializers.IntegerField(help_text="For a kilowatt-hour, in addition.")
    valid_from_at = serializers.DateTimeField()


class TopUpRequest(serializers.Serializer[Any]):
    amount_micro = serializers.IntegerField(
        min_value=1, max_value=AMOUNT_MAX_MICRO, help_text="A whole number of the currency's smallest coin."
    )


class TopUpResponse(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    status = serializers.CharField(help_text="created, open, processing, paid, failed or expired.")
    status_code = serializers.CharField(help_text="Why it failed.")
    declined_code = serializers.CharField(help_text="Why the last card was refused, if one was.")
    amount_micro = serializers.IntegerField()
    currency = serializers.CharField()
    checkout_url = serializers.CharField(
        source="page_url",
        help_text="Stripe's page on which a person pays. Empty until it exists, and when there is nothing to pay.",
    )
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
