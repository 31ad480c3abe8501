"""What MQTT payloads say. Nothing means unknown; nonsense is a fault of the reading, never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NUMBER = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?) ?(?:%|°C|Sec|kW|kWh)?")
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


class Values:
    """Typed access to the values by name; ``fault`` is about the first that makes no sense, "" if none."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self._found = found
        self.fault = ""

    def text(self, name: str) -> str:
        return self._found.get(name, "")

    def boolean(self, name: str) -> bool | None:
        if not (text := self.text(name)):
            return None
        if text.lower() not in _BOOLEANS:
            self._blame(name, text)
        return _BOOLEANS.get(text.lower())

    def number(self, *names: str) -> float | None:
        """Of the first name that has a value."""
        name = next((name for name in names if self.text(name)), "")
        if not name:
            return None
        match = _NUMBER.fullmatch(self.text(name))
        if match is None:
            self._blame(name, self.text(name))
            return None
        return float(match[1])

    def one_of(self, name: str, meanings: Mapping[str, str]) -> str | None:
        if not (text := self.text(name)):
            return None
        if text not in meanings:
            self._blame(name, text)
        return meanings.get(text)

    def _blame(self, name: str, text: str) -> None:
        self.fault = self.fault or f'The car reports {name} as "{text[:20]}"'
