"""What the API takes and gives. Money is integers of micro-units: millionths of the currency's major unit."""

from typing import Any

from rest_framework import serializers

from billing.models import RateCard
from compute.api.serializers import JobOut

AMOUNT_MAX_MICRO = 10**15  # a thousand million: far above any wallet, far below the database's limit
ITEMS_MAX = 10**9


TIER_HELP = "standard: trusted vehicles alone, others checked by copies. quorum: every unit by two owners' vehicles that must agree."


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
    low_micro = serializers.IntegerField(help_text="What the model's trial run says.")
    high_micro = serializers.IntegerField(help_text="The job is never charged more than this.")
    cap_min_micro = serializers.IntegerField(help_text="The smallest cap_micro that an order may give.")
    compute_ms = serializers.IntegerField(help_text="Expected compute time, milliseconds.")
    price_micro_per_hour = serializers.IntegerField(
        source="rate_card.price_micro_per_hour", help_text="For an hour of compute time."
    )
    price_micro_per_kwh = serializers.IntegerField(
        source="rate_card.price_micro_per_kwh",
        help_text="For a kilowatt-hour, besides: all of it goes to the vehicle's owner.",
    )


class JobRequest(serializers.Serializer[Any]):
    model = serializers.UUIDField(help_text="Id of an admitted model.")
    input_file = serializers.UUIDField(help_text="Id of an input file: its rows are the items.")
    unit_items = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=ITEMS_MAX,
        help_text="Items of a work unit; default: a minute's work.",
    )
    cap_micro = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=AMOUNT_MAX_MICRO,
        help_text="Never charge more than this. At least the estimate's cap_min_micro; below its high_micro, less time counts.",
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
        source="order.held_micro", help_text="Taken from the wallet; what the job did not cost comes back."
    )
    charged_micro = serializers.IntegerField(source="order.charged_micro")


class WalletResponse(serializers.Serializer[Any]):
    currency = serializers.CharField()
    balance_micro = serializers.IntegerField(help_text="Held and available together.")
    held_micro = serializers.IntegerField(help_text="For jobs that have not ended.")
    available_micro = serializers.IntegerField(help_text="What may be spent now.")
    promo_micro = serializers.IntegerField(help_text="The part of it that is promotional credit: spent first.")


class PriceResponse(serializers.Serializer[Any]):
    hardware_class = serializers.CharField(source="hardware_class.slug")
    title = serializers.CharField(source="hardware_class.title")
    mode = serializers.CharField(help_text="batch or real_time")
    tier = serializers.CharField(help_text="standard or quorum")
    currency = serializers.CharField()
    price_micro_per_hour = serializers.IntegerField(help_text="For an hour of compute time.")
    price_micro_per_kwh = serializers.IntegerField(help_text="For a kilowatt-hour, besides.")
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
        source="page_url", help_text="Where a person pays. Empty until Stripe has made it, and when nothing is to pay."
    )
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
