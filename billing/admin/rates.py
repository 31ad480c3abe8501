"""The back office's pages of rate cards.

A new price is a new card, valid from now or later; a card is never changed.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from billing.models import RateCard
from billing.rates import cards as rates
from core.errors import InvalidInput
from core.locale import format_money

FIELDS = (
    "hardware_class",
    "currency",
    "mode",
    "tier",
    "valid_from_at",
    "price_micro_per_hour",
    "price_micro_per_kwh",
    "owner_share_permille",
    "min_owner_micro_per_hour",
)


class RateCardForm(forms.ModelForm[RateCard]):
    """A new rate card."""

    class Meta:
        model = RateCard
        fields = FIELDS
        help_texts = {
            "valid_from_at": "UTC. Orders made from this time on use this price; earlier orders keep theirs.",
            "price_micro_per_hour": "For a compute-hour, in millionths of the currency's unit: 97000 is 9.7 cents.",
            "price_micro_per_kwh": "For a kilowatt-hour in addition, in millionths. All of it goes to the owner.",
            "owner_share_permille": "The owner's part of the price per hour, in thousandths.",
            "min_owner_micro_per_hour": "The least that an owner must be paid for an hour, to catch typing errors.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            card = RateCard(**{name: cleaned[name] for name in FIELDS})
            try:
                rates.check_card(card)
            except InvalidInput as error:
                for name, message in error.fields.items():
                    self.add_error(name, message)
            self._refuse_twin(card)
        return cleaned

    def _refuse_twin(self, card: RateCard) -> None:
        identity = {name: getattr(card, name) for name in FIELDS[:5]}
        if RateCard.objects.filter(**identity).exists():
            self.add_error("valid_from_at", "There is a price for this class, mode and tier from that moment already.")


@admin.register(RateCard)
class RateCardAdmin(admin.ModelAdmin[RateCard]):
    form = RateCardForm
    list_display = (
        "hardware_class",
        "mode",
        "tier",
        "valid_from_at",
        "is_ahead",
        "hour",
        "kwh",
        "owner_share_permille",
    )
    list_filter = ("mode", "tier", "currency", "hardware_class")
    list_select_related = ("hardware_class",)
    ordering = ("hardware_class", "mode", "tier", "-valid_from_at")

    @admin.display(description="Future", boolean=True)
    def is_ahead(self, card: RateCard) -> bool:
        return card.valid_from_at > timezone.now()

    @admin.display(description="Hour", ordering="price_micro_per_hour")
    def hour(self, card: RateCard) -> str:
        return format_money(card.price_micro_per_hour, card.currency, places=4)

    @admin.display(description="kWh", ordering="price_micro_per_kwh")
    def kwh(self, card: RateCard) -> str:
        return format_money(card.price_micro_per_kwh, card.currency, places=4)

    def save_model(self, request: HttpRequest, obj: RateCard, form: ModelForm[Any], change: bool) -> None:
        assert isinstance(request.user, User)
        rates.add_card(obj, actor=request.user)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
