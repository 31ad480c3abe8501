"""Lists of small forms in the rules' editor. Their fields are named `windows-0-start`, `windows-1-start` and so on."""

import re
from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

from django import forms
from django.http import QueryDict

from accounts.policies import rules, week, words

MAX_ROWS = 60
DAY_CHOICES = [(str(number), name) for number, name in enumerate(words.DAYS)]


class DaysForm(forms.Form):
    """Base of the rows' forms: a choice of weekdays."""

    days = forms.MultipleChoiceField(
        choices=DAY_CHOICES,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose the days."},
    )

    @property
    def on(self) -> list[int]:
        """Return the chosen weekdays, 0 for Monday."""
        return sorted(int(day) for day in self.cleaned_data["days"])


def _time(label: str) -> forms.TimeField:
    widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    return forms.TimeField(label=label, widget=widget, error_messages={"required": "Choose a time."})


class WindowForm(DaysForm):
    start = _time("From")
    end = _time("To")

    def rules(self) -> list[list[int]]:
        start, end = (_minute(self.cleaned_data[name]) for name in ("start", "end"))
        return [[day, start, end] for day in self.on]


class ReadyForm(DaysForm):
    at = _time("Ready by")

    def rules(self) -> list[list[int]]:
        return [[day, _minute(self.cleaned_data["at"])] for day in self.on]


class TariffForm(WindowForm):
    price = forms.DecimalField(label="Price per kWh", min_value=0, max_value=100_000, decimal_places=6)

    def rules(self) -> list[list[int]]:
        return [[*window, int(self.cleaned_data["price"] * 1_000_000)] for window in super().rules()]


class Rows:
    """The forms of one list. Blank forms are ignored, so the page can offer a spare one."""

    def __init__(
        self, form: type[Any], field: str, *, data: QueryDict | None = None, initial: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.form, self.field = form, field
        self.errors: list[str] = []  # errors of the list as a whole
        if data is None:
            numbered = list(enumerate(initial)) or [(0, {})]
            self.forms = [self._make(number, initial=values) for number, values in numbered]
        else:
            self.forms = [self._make(number, data=data) for number in _numbers(field, data) or [0]]

    def as_typed(self) -> None:
        """Show what was typed without validating it."""
        self.forms = [
            self._make(number, initial=typed_values(form))
            for number, form in zip(self._numbers(), self.forms, strict=True)
        ]

    def add(self) -> None:
        self.forms.append(self._make(max(self._numbers(), default=-1) + 1, initial={}))

    def remove(self, number: int) -> None:
        self.forms = [form for form in self.forms if form.prefix != f"{self.field}-{number}"]

    def is_valid(self) -> bool:
        if len(self.forms) > MAX_ROWS:
            self.errors.append(f"There can be {MAX_ROWS} rows at most.")
        return all(form.is_valid() for form in self.forms) and not self.errors

    def rules(self) -> list[list[int]]:
        """Return the rule that the rows make up. Call it when they are valid."""
        return [row for form in self.forms if form.has_changed() for row in form.rules()]

    @property
    def blank(self) -> Any:
        """Return the form that the page's script copies to add a row."""
        return self._make("NUMBER", initial={})

    def _make(self, number: int | str, **arguments: Any) -> Any:
        prefix = f"{self.field}-{number}"
        return self.form(prefix=prefix, empty_permitted=True, use_required_attribute=False, **arguments)

    def _numbers(self) -> list[int]:
        return [int(form.prefix.rsplit("-", 1)[1]) for form in self.forms]


def typed_values(form: forms.Form) -> dict[str, Any]:
    """Return the raw text that was typed into a form, by field."""
    return {
        name: field.widget.value_from_datadict(form.data, form.files, form.add_prefix(name))
        for name, field in form.fields.items()
    }


def initial_windows(windows: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return the initial values of the WindowForms for windows of the week (see `week`)."""
    return [
        {"days": list(map(str, span.days)), "start": _clock(span.start), "end": _clock(span.end)}
        for span in week.group_windows(windows)
    ]


def initial_ready(moments: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return the initial values of the ReadyForms for moments [weekday, minute]."""
    spans = week.group_windows((weekday, minute, minute) for weekday, minute in moments)
    return [{"days": list(map(str, span.days)), "at": _clock(span.start)} for span in spans]


def initial_tariff(windows: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return the initial values of the TariffForms for windows with a price in micro-units per kWh."""
    return [
        {**row, "price": rules.major_units(price)}
        for price in sorted({window[3] for window in windows})
        for row in initial_windows([window[:3] for window in windows if window[3] == price])
    ]


def _numbers(field: str, data: QueryDict) -> list[int]:
    matches = (re.fullmatch(rf"{field}-(\d{{1,4}})-\w+", key) for key in data)
    return sorted({int(match[1]) for match in matches if match})


def _minute(value: time) -> int:
    return value.hour * 60 + value.minute


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
