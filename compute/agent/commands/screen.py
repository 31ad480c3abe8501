"""The outputs of `driveway-agent pair`: for a terminal, for a log or a pipe, and for programs."""

from __future__ import annotations

import io
import shutil
from typing import TextIO

import msgspec
import segno

from compute.agent.commands.block_letters import block_letters

_INDENT = "  "
_QR_COLOURS = ("\x1b[97;40m", "\x1b[0m")  # always white on black, in any theme: scanners expect dark dots


class Terminal:
    """A screen with the code in large letters, the address, and the address as a QR code."""

    def __init__(self, out: TextIO, *, with_qr: bool = True) -> None:
        self._out, self._with_qr = out, with_qr

    def show(self, code: str, url: str, expires_in_s: float, *, is_fresh: bool) -> None:
        lines = ["", "That code has run out. Here is a fresh one.", ""] if is_fresh else [""]
        lines += ["To connect this computer to your car, sign in at Driveway and confirm this code:", ""]
        lines += [*self._letters(code), "", f"{_INDENT}{code}", "", f"{_INDENT}{url}", ""]
        if self._with_qr and self._can_draw(qr := qr_lines(url)):
            lines += [*(f"{_INDENT}{_QR_COLOURS[0]}{line}{_QR_COLOURS[1]}" for line in qr), ""]
        lines += [f"It is good for {_minutes(expires_in_s)}. Waiting for you to confirm it. Ctrl-C stops.", ""]
        print("\n".join(lines), file=self._out, flush=True)

    def _letters(self, code: str) -> list[str]:
        letters = [_INDENT + line for line in block_letters(code)]
        return letters if self._can_draw(letters) else []

    def _can_draw(self, lines: list[str]) -> bool:
        """Return whether the lines fit the terminal's width and its encoding has the block characters."""
        columns = shutil.get_terminal_size().columns
        if not lines or max(map(len, lines)) + len(_INDENT) > columns:
            return False
        try:
            "".join(lines).encode(self._out.encoding or "ascii")
        except UnicodeEncodeError:
            return False
        return True


class Plain:
    """A screen that prints the code as plain lines, for a log or a pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, code: str, url: str, expires_in_s: float, *, is_fresh: bool) -> None:
        words = "That code has run out. The next pairing code" if is_fresh else "Pairing code"
        print(f"{words}: {code} (good for {_minutes(expires_in_s)})\nConfirm it at: {url}", file=self._out, flush=True)


class Json:
    """A screen that prints one JSON object a line: `{"event": "code", ...}`. The caller adds "paired" at the end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, code: str, url: str, expires_in_s: float, *, is_fresh: bool) -> None:
        self.print_event(event="code", code=code, url=url, expires_in_ms=int(expires_in_s * 1000))

    def print_event(self, **fields: object) -> None:
        """Print the fields as one JSON object."""
        print(msgspec.json.encode(fields).decode(), file=self._out, flush=True)


def qr_lines(url: str) -> list[str]:
    """Return the QR code of the address with its quiet zone, two rows of dots a line; a full block is a light dot."""
    text = io.StringIO()
    segno.make(url, error="l", micro=False, boost_error=True).terminal(text, compact=True)
    return text.getvalue().splitlines()


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return "a minute" if minutes == 1 else f"{minutes} minutes"
