"""Typed values from MQTT payloads. An empty payload means unknown. An invalid one becomes a fault, never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?) ?(?:%|°C|Sec|kW|kWh)?")
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


class Values:
    """Payloads by name. ``fault`` describes the first invalid one that was read, "" if there is none."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self._found = found
        self.fault = ""

    def text(self, name: str) -> str:
        return self._found.get(name, "")

    def boolean(self, name: str) -> bool | None:
        """Return the value as a boolean; None if there is none or it is invalid."""
        if not (text := self.text(name)):
            return None
        if text.lower() not in _BOOLEANS:
            self._note_fault(name, text)
        return _BOOLEANS.get(text.lower())

    def number(self, *names: str) -> float | None:
        """Return the number under the first of these names with a payload; None if there is none or it is invalid."""
        name = next((name for name in names if self.text(name)), "")
        if not name:
            return None
        match = _NUMBER.fullmatch(self.text(name))
        if match is None:
            self._note_fault(name, self.text(name))
            return None
        return float(match[1])

    def one_of(self, name: str, meanings: Mapping[str, str]) -> str | None:
        """Return the meaning of the value; None if there is none or ``meanings`` does not list it."""
        if not (text := self.text(name)):
            return None
        if text not in meanings:
            self._note_fault(name, text)
        return meanings.get(text)

    def _note_fault(self, name: str, text: str) -> None:
        self.fault = self.fault or f'The car reports {name} as "{text[:20]}"'
