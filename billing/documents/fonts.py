"""Fonts of documents: Roboto, and the fonts that a deployment adds (PDF_FONTS) for scripts that Roboto lacks."""

import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

from django.conf import settings
from fpdf import FPDF
from fpdf.fonts import TTFFont

UNKNOWN = "\ufffd"  # the replacement character: a visible gap is better than a name that is silently shorter


@cache
def roboto(style: str) -> Path:
    """Return the path of Roboto "Regular" or "Bold", from the wheel `font-roboto`."""
    return Path(str(files("font_roboto") / "files" / f"Roboto-{style}.ttf"))


def extra_fonts() -> tuple[Path, ...]:
    """Return the paths of PDF_FONTS, fonts for other scripts (such as Noto Sans JP), in the order of their use."""
    return tuple(Path(name) for name in settings.PDF_FONTS)


@cache
def characters(font: Path) -> frozenset[int]:
    """Return the code points that a font can write."""
    document = FPDF()
    document.add_font("font", "", font)
    loaded = document.fonts["font"]
    assert isinstance(loaded, TTFFont)
    return frozenset(loaded.cmap)


def writable_text(text: str) -> str:
    """Return the text in characters that the fonts have; a letter that they lack loses its accents or is UNKNOWN."""
    known = frozenset().union(characters(roboto("Regular")), *map(characters, extra_fonts()))
    composed = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\t", " ")
    return "".join(_nearest(char, known) for char in composed)


def _nearest(char: str, known: frozenset[int]) -> str:
    if (
        unicodedata.category(char) in ("Cc", "Cf") and char != "\n"
    ):  # control characters and direction marks print nothing
        return ""
    if char == "\n" or ord(char) in known:
        return char
    plain = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    return plain if plain and all(ord(part) in known for part in plain) else UNKNOWN
