"""Why a car is not working, with the setting that caused it: what `components/reason.html` shows."""

from typing import NamedTuple

from accounts.policies import settings
from compute import reasons


class Reason(NamedTuple):
    """`label` and `anchor` are "" when no setting of the owner's caused it."""

    code: str
    sentence: str
    label: str = ""
    anchor: str = ""


def explain(code: str) -> Reason:
    """A reason code of compute.reasons as its owner reads it."""
    setting = settings.of(reasons.setting(code))
    return Reason(code, reasons.sentence(code), *(setting or ("", "")))
