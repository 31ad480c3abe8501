"""Characters of documents: Roboto, and what a deployment adds for names that Roboto cannot write."""

import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

from django.conf import settings
from fpdf import FPDF
from fpdf.fonts import TTFFont

UNKNOWN = "\ufffd"  # a replacement character: better a gap that shows than a name that is silently shorter


@cache
def roboto(style: str) -> Path:
    """The file of "Regular" or "Bold", from the wheel `font-roboto`."""
    return Path(str(files("font_roboto") / "files" / f"Roboto-{style}.ttf"))


def extra() -> tuple[Path, ...]:
    """Fonts for other scripts, asked in order (Noto Sans JP, say): PDF_FONTS."""
    return tuple(Path(name) for name in settings.PDF_FONTS)


@cache
def characters(font: Path) -> frozenset[int]:
    paper = FPDF()
    paper.add_font("asked", "", font)
    opened = paper.fonts["asked"]
    assert isinstance(opened, TTFFont)
    return frozenset(opened.cmap)


def writable(text: str) -> str:
    """The text with what the fonts have: a letter that they lack loses its accents, or becomes a gap that shows."""
    known = frozenset().union(characters(roboto("Regular")), *map(characters, extra()))
    composed = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\t", " ")
    return "".join(_nearest(char, known) for char in composed)


def _nearest(char: str, known: frozenset[int]) -> str:
    if unicodedata.category(char) in ("Cc", "Cf") and char != "\n":  # direction marks, joiners: nothing to see
        return ""
    if char == "\n" or ord(char) in known:
        return char
    plain = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    return plain if plain and all(ord(part) in known for part in plain) else UNKNOWN
