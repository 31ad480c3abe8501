"""The reason that an operator states before reading owners' data in the back office.

It is kept in the session and holds for ACCESS_REASON_MINUTES (half an hour by default).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

SESSION_KEY = "access_reason"
WORDS_MIN, WORDS_MAX = 10, 240

CATEGORIES = [
    ("Support", "An owner asked for help"),
    ("Payment", "A payment or an amount is in question"),
    ("Fault", "A fault or a wrong result is being looked into"),
    ("Abuse", "Fraud or abuse is suspected"),
    ("Law", "A legal duty, or an authority's request"),
]


@dataclass(frozen=True)
class Reason:
    category: str
    words: str
    until: datetime

    def __str__(self) -> str:
        return f"{self.category}: {self.words}"


class ReasonForm(forms.Form):
    category = forms.ChoiceField(choices=CATEGORIES, label="What for", widget=forms.RadioSelect)
    words = forms.CharField(
        label="In your words",
        min_length=WORDS_MIN,
        max_length=WORDS_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The owner will read this. Name the request or ticket, not the person.",
    )


def store_reason(request: HttpRequest, *, category: str, words: str) -> None:
    """Store the reason in the session. From now on it allows reading owners' data, for ACCESS_REASON_MINUTES."""
    until = timezone.now() + timedelta(minutes=settings.ACCESS_REASON_MINUTES)
    request.session[SESSION_KEY] = {"category": category, "words": words.strip(), "until": until.timestamp()}


def remove_reason(request: HttpRequest) -> None:
    """Remove the reason from the session."""
    request.session.pop(SESSION_KEY, None)


def current_reason(request: HttpRequest) -> Reason | None:
    """Return the reason that holds now, or None if none was stated or its time is over."""
    stored = request.session.get(SESSION_KEY)
    if not stored or stored["until"] <= timezone.now().timestamp():
        return None
    return Reason(stored["category"], stored["words"], datetime.fromtimestamp(stored["until"], tz=UTC))
