"""Frames between the agent and its child over two pipes: two lengths, a small JSON header and a body of bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct("!IQ")
LENGTHS_BYTES = _LENGTHS.size
MAX_HEADER_BYTES = 16384


def encode_frame(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return the bytes that precede the body: both lengths and the header. The caller sends ``body`` after them."""
    data = json.dumps(header).encode()
    return _LENGTHS.pack(len(data), len(body)) + data


def decode_lengths(data: bytes) -> tuple[int, int]:
    """Return (header bytes, body bytes). Raise ValueError for a header longer than MAX_HEADER_BYTES."""
    header_bytes, body_bytes = _LENGTHS.unpack(data)
    if header_bytes > MAX_HEADER_BYTES:
        raise ValueError("frame header too long")
    return header_bytes, body_bytes


def decode_header(data: bytes) -> dict[str, Any]:
    """Return the header. Raise ValueError when the bytes are not a JSON object."""
    header = json.loads(data)
    if not isinstance(header, dict):
        raise ValueError("frame header is not an object")
    return header
