"""A description of the rules in a few plain sentences. It names every rule that is on and no rule that is off."""

from typing import NamedTuple

from accounts.models import OwnerPolicy
from accounts.policies import week, words
from accounts.policies.rules import Rules
from accounts.policies.words import Words

DAY_MINUTES = week.DAY_MINUTES


class Sentence(NamedTuple):
    """A sentence about some rules. `anchor` is the section of the editor that sets them."""

    anchor: str
    text: str


def summarise(rules: Rules, *, zone: str, locale: str, currency: str) -> list[Sentence]:
    """Return sentences that describe valid rules, with times in `zone` and numbers as in `locale`.

    Reads no database.
    """
    wording = Words(locale, currency)
    sentences = [
        Sentence("schedule", _when(rules, zone, wording)),
        Sentence("network", _mobile_data(rules, wording)),
        Sentence("charge", _charge(rules)),
        Sentence("charge", _ready_by(rules, zone, wording)),
        Sentence("heat", f"Stops above {rules['heat_stop_c']} °C and resumes at {rules['heat_resume_c']} °C."),
        Sentence("share", _share(rules)),
        Sentence("electricity", _power(rules, wording)),
        Sentence("electricity", _costs(rules, zone, wording)),
    ]
    return [sentence for sentence in sentences if sentence.text]


def describe(policy: OwnerPolicy, rules: Rules) -> list[Sentence]:
    """Return sentences that describe rules of this policy's car in its owner's locale, currency and time zone."""
    owner = policy.vehicle.owner
    zone = rules["time_zone"] or owner.time_zone
    return summarise(rules, zone=zone, locale=owner.locale, currency=owner.currency)


def _when(rules: Rules, zone: str, wording: Words) -> str:
    spans = week.merge_windows(rules["windows"])
    when = f"{wording.spans(spans)} ({zone})" if spans else "at any time"
    only = [
        *(["while plugged in"] if rules["plugged_in_only"] else []),
        *(["on Wi-Fi or a cable"] if rules["network"] == OwnerPolicy.Network.WIFI else []),
    ]
    return f"Works {when}{', only ' + words.join_words(only) if only else ''}."


def _mobile_data(rules: Rules, wording: Words) -> str:
    if rules["network"] != OwnerPolicy.Network.CAPPED:
        return ""
    return f"Uses mobile data too, up to {wording.number(rules['data_cap_mb_per_month'])} MB a month."


def _charge(rules: Rules) -> str:
    stop, resume = rules["charge_stop_percent"], rules["charge_resume_percent"]
    return f"Stops below {stop} % charge and resumes from {resume} %." if stop else ""


def _ready_by(rules: Rules, zone: str, wording: Words) -> str:
    if not rules["ready_by"]:
        return ""
    moments = week.group_windows((weekday, minute, minute) for weekday, minute in rules["ready_by"])
    when = words.join_words([f"{wording.at(moment.start)} {words.days(moment.days)}" for moment in moments])
    lead = words.duration(rules["ready_by_lead_minutes"])
    return (
        f"Wants the car ready by {when} ({zone}): for {lead} before, it works only with "
        f"{rules['ready_by_percent']} % charge or more."
    )


def _share(rules: Rules) -> str:
    percent = rules["day_share_percent"]
    if percent == 100:
        return ""
    return f"Works at most {percent} % of a day, {words.duration(DAY_MINUTES * percent // 100)}."


def _power(rules: Rules, wording: Words) -> str:
    solar = "while the car charges from solar"
    price = f"while electricity costs at most {wording.per_kwh(rules['price_limit_micro_per_kwh'])}"
    return {
        OwnerPolicy.PowerRule.ANY.value: "",
        OwnerPolicy.PowerRule.SOLAR.value: f"Works only {solar}.",
        OwnerPolicy.PowerRule.BELOW_PRICE.value: f"Works only {price}.",
        OwnerPolicy.PowerRule.SOLAR_OR_BELOW_PRICE.value: f"Works only {solar}, or {price}.",
    }[rules["power_rule"]]


def _costs(rules: Rules, zone: str, wording: Words) -> str:
    flat, wear = rules["tariff_micro_per_kwh"], rules["wear_micro_per_kwh"]
    prices = [wording.per_kwh(flat)]
    by_price: dict[int, list[list[int]]] = {}
    for *window, price in rules["tariff_windows"]:
        by_price.setdefault(price, []).append(window)
    for price, windows in sorted(by_price.items()):
        prices.append(f"{wording.per_kwh(price)} {wording.spans(week.merge_windows(windows))} ({zone})")
    text = f"Takes only offers that cover electricity at {words.join_words(prices)}"
    return f"{text}, and battery wear at {wording.per_kwh(wear)}." if wear else f"{text}."
