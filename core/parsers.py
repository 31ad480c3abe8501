"""Parsers of request bodies.

They are not in core/api.py: REST framework imports its parsers while it loads, and core/api.py imports REST framework.
"""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JsonParser(JSONParser):
    """REST framework's JSON parser, but JSON nested too deeply is a malformed body (400) instead of a crash (500)."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("This JSON is nested too deeply.") from error
