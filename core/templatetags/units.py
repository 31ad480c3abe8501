"""Template filters that format numbers, units and times for the present locale and time zone; None is shown as a dash.

`{% load units %}`; the library is registered in the settings.
"""

from datetime import date, datetime
from decimal import Decimal

from django import template

from core import locale

register = template.Library()
NOTHING = "–"


@register.filter
def money(amount_micro: int | None, currency: str = "USD") -> str:
    """Format micro-units as money: `{{ row.net_micro|money:owner.currency }}`."""
    return NOTHING if amount_micro is None else locale.format_money(amount_micro, currency)


@register.filter
def energy(energy_mwh: int | None) -> str:
    return NOTHING if energy_mwh is None else locale.energy(energy_mwh)


@register.filter
def duration(duration_ms: int | None) -> str:
    return NOTHING if duration_ms is None else locale.duration(duration_ms)


@register.filter
def number(value: int | Decimal | None) -> str:
    return NOTHING if value is None else locale.number(value)


@register.filter
def percent(fraction: Decimal | None) -> str:
    return NOTHING if fraction is None else locale.percent(fraction)


@register.filter("datetime")
def moment(at: datetime | None) -> str:
    return locale.moment(at) if at else NOTHING


@register.filter
def day(value: date | None) -> str:
    return locale.day(value) if value else NOTHING


@register.filter
def month(value: date | None) -> str:
    return locale.month(value) if value else NOTHING
