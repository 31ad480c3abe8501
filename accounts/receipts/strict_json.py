"""A strict JSON reader. It refuses documents that two programs could read differently: duplicate keys, floats, NaN."""

import json
from typing import Any, NoReturn

MAX_BYTES = 8 * 1024 * 1024


class Unreadable(ValueError):
    """The bytes are not a document that we could have issued; `code` is the reason (see `verification.SENTENCES`)."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")


def read(data: bytes, *, max_bytes: int = MAX_BYTES) -> tuple[Any, str]:
    """Return (document, text); the text has "\\n" as line ends and no trailing white space. Raises Unreadable."""
    if len(data) > max_bytes:
        raise Unreadable("too_large", f"{len(data)} bytes")
    try:
        text = data.decode("utf-8").replace("\r\n", "\n").rstrip()
    except UnicodeDecodeError as error:
        raise Unreadable("not_utf8", f"byte {error.start}") from error
    try:
        document = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_constant)
        json.dumps(
            document, ensure_ascii=False
        ).encode()  # refuses lone surrogates: json reads them, but UTF-8 cannot hold them
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable("not_json", str(error)[:120]) from error
    return document, text


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise Unreadable("duplicate_key", next(name for name in names if names.count(name) > 1)[:60])
    return result


def _constant(text: str) -> NoReturn:
    raise Unreadable("number_refused", text[:60])
