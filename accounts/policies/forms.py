"""The form of the rules' editor. It parses what was typed and shows it again; `rules.check` decides what is valid."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django import forms
from django.http import QueryDict

from accounts.models import OwnerPolicy
from accounts.policies import rows, rules
from accounts.policies.rows import ReadyForm, Rows, TariffForm, WindowForm
from accounts.policies.rules import Rules

PRICE_RULES = {
    "price_limit": "price_limit_micro_per_kwh",
    "tariff": "tariff_micro_per_kwh",
    "wear": "wear_micro_per_kwh",
}
PRICE_FIELDS = {field: name for name, field in PRICE_RULES.items()}


def _number(field: str, label: str, help_text: str) -> forms.IntegerField:
    low, high = rules.RANGES[field]
    return forms.IntegerField(min_value=low, max_value=high, label=label, help_text=help_text)


def _price(label: str, help_text: str) -> forms.DecimalField:
    return forms.DecimalField(min_value=0, max_value=100_000, decimal_places=6, label=label, help_text=help_text)


def _zones(*more: str) -> list[tuple[str, str]]:
    zones = dict.fromkeys(["UTC", *rules.time_zone_choices(), *(zone for zone in more if zone)])
    return [(zone, zone.replace("_", " ")) for zone in zones]


class RulesForm(forms.Form):
    """The fields of the editor that are not lists."""

    schedule = forms.ChoiceField(
        choices=[("any", "At any time"), ("windows", "Only at certain times")],
        widget=forms.RadioSelect,
        label="When may it work?",
    )
    time_zone = forms.ChoiceField(
        required=False, choices=_zones, label="Time zone", help_text="All times on this page are in this time zone."
    )
    plugged_in_only = forms.BooleanField(
        required=False,
        label="Only while plugged in",
        help_text="Unplugged, the work would come from the battery.",
    )
    charge_stop_percent = _number(
        "charge_stop_percent", "Charge to keep, %", "Below it the car does not work. 0 switches this off."
    )
    charge_resume_percent = _number(
        "charge_resume_percent",
        "Charge to resume at, %",
        "Once stopped, the car waits for this charge, so that work does not start and stop repeatedly.",
    )
    ready_by_percent = _number("ready_by_percent", "Charge when ready, %", "What you want in the battery by then.")
    ready_by_lead_minutes = _number(
        "ready_by_lead_minutes",
        "Minutes to charge in",
        "During this time before it must be ready, the car works only if it has that charge.",
    )
    network = forms.ChoiceField(
        choices=OwnerPolicy.Network.choices,
        widget=forms.RadioSelect,
        label="Which network may it use?",
    )
    data_cap_mb_per_month = _number(
        "data_cap_mb_per_month", "Mobile data a month, MB", "Applies only to “up to a monthly cap”."
    )
    heat_stop_c = _number("heat_stop_c", "Stop above, °C", "The temperature that the car's computer reports.")
    heat_resume_c = _number(
        "heat_resume_c", "Resume at, °C", "Once stopped, the car waits until it has cooled down to this."
    )
    day_share_percent = _number(
        "day_share_percent", "Largest share of a day spent working, %", "100 is no limit; 25 is six hours a day."
    )
    power_rule = forms.ChoiceField(
        choices=OwnerPolicy.PowerRule.choices, widget=forms.RadioSelect, label="Which power may it use?"
    )
    price_limit = _price(
        "Price limit per kWh", "For the choices with a price: up to and including this price the car works."
    )
    tariff = _price("Your price per kWh", "What you pay for electricity, outside the times below.")
    wear = _price("Battery wear per kWh", "What the battery's wear costs you for each kWh. Offers must cover it too.")


class FormError(NamedTuple):
    """One line of the page's summary of errors, and the HTML id of the field that it links to."""

    id: str
    label: str
    message: str


class PolicyForm:
    """The whole editor: the form and its three lists of rows.

    Without `data` it shows the policy, else what was typed.
    """

    def __init__(self, policy: OwnerPolicy, data: QueryDict | None = None) -> None:
        now = rules.rules_of(policy)
        self.fields = RulesForm(data, initial=_initial(now))
        own = policy.vehicle.owner.time_zone.replace("_", " ")
        zone = self.fields.fields["time_zone"]
        zone.choices = [("", f"As in your settings ({own})"), *_zones(now["time_zone"])]  # type: ignore[attr-defined]
        self.windows = Rows(WindowForm, "windows", data=data, initial=rows.initial_windows(now["windows"]))
        self.ready_by = Rows(ReadyForm, "ready_by", data=data, initial=rows.initial_ready(now["ready_by"]))
        self.tariff_windows = Rows(
            TariffForm, "tariff_windows", data=data, initial=rows.initial_tariff(now["tariff_windows"])
        )
        self._is_validated = False

    @property
    def lists(self) -> dict[str, Rows]:
        """Return the three lists by the name of their rule."""
        return {rows_.field: rows_ for rows_ in (self.windows, self.ready_by, self.tariff_windows)}

    def as_typed(self) -> None:
        """Show what was typed without validating it: used when a row is added or removed, not when rules are saved."""
        self.fields = _with_choices(self.fields, RulesForm(initial=rows.typed_values(self.fields)))
        for list_ in self.lists.values():
            list_.as_typed()

    def is_valid(self) -> bool:
        """Validate every field, every row and the rules as a whole."""
        self._is_validated = True
        parsed = all([self.fields.is_valid(), *(list_.is_valid() for list_ in self._used_lists())])
        if parsed and self.windows in self._used_lists() and not self.windows.rules():
            self.windows.errors.append("Add a time, or choose “At any time”.")
        elif parsed:
            self.refuse({p.field: {"message": p.message, "code": p.code} for p in rules.check(self.rules())})
        return not list(self.wrong())

    def rules(self) -> Rules:
        """Return the rules that were typed. Call it when every field and row could be parsed."""
        typed = self.fields.cleaned_data
        result = {field: typed[field] for field in rules.FIELDS if field in typed}
        result |= {field: int(typed[name] * 1_000_000) for name, field in PRICE_RULES.items()}
        result |= {list_.field: list_.rules() if list_ in self._used_lists() else [] for list_ in self.lists.values()}
        return rules.canonical(result)

    def refuse(self, problems: Mapping[str, Mapping[str, str]]) -> None:
        """Show problems that the service reported, each at the field or list to correct.

        `problems`: rule -> message, code.
        """
        for field, problem in problems.items():
            if field in self.lists:
                self.lists[field].errors.append(problem["message"])
            else:
                error = forms.ValidationError(problem["message"], code=problem["code"])
                self.fields.add_error(PRICE_FIELDS.get(field, field), error)

    def wrong(self) -> Iterator[FormError]:
        """Yield every error in the order of the page's fields; none before `is_valid` was called."""
        if not self._is_validated:
            return
        for name, messages in self.fields.errors.items():
            yield from (FormError(_id(self.fields, name), str(self.fields[name].label), str(text)) for text in messages)
        for list_ in self._used_lists():
            yield from (FormError(f"{list_.field}-rows", "Times", text) for text in list_.errors)
            for form in list_.forms:
                for name, messages in form.errors.items():
                    yield from (FormError(_id(form, name), str(form[name].label), str(text)) for text in messages)

    def _used_lists(self) -> list[Rows]:
        """Return the lists that apply: the schedule's rows only if the owner chose certain times."""
        any_time = self.fields.data.get("schedule") == "any"
        return [list_ for list_ in self.lists.values() if not (any_time and list_ is self.windows)]


def _initial(now: Rules) -> dict[str, Any]:
    prices = {name: rules.major_units(now[field]) for name, field in PRICE_RULES.items()}
    return {**now, **prices, "schedule": "windows" if now["windows"] else "any"}


def _with_choices(old: RulesForm, new: RulesForm) -> RulesForm:
    new.fields["time_zone"].choices = old.fields["time_zone"].choices  # type: ignore[attr-defined]
    return new


def _id(form: forms.Form, name: str) -> str:
    field = form[name]
    return field.id_for_label or f"{field.auto_id}_0"
