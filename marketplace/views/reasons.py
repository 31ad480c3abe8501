"""The reason why a car is not working, with the owner's setting that caused it, for `components/reason.html`."""

from typing import NamedTuple

from accounts.policies import settings
from compute import reasons


class Reason(NamedTuple):
    """A reason in words. `label` and `anchor` name the owner's setting that caused it; "" if no setting did."""

    code: str
    sentence: str
    label: str = ""
    anchor: str = ""


def explain(code: str) -> Reason:
    """Return the Reason for a code of compute.reasons."""
    setting = settings.setting_of(reasons.setting(code))
    return Reason(code, reasons.sentence(code), *(setting or ("", "")))
