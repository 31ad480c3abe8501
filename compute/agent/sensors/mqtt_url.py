"""Where a broker is, from the text after `teslamate:` or `ovms:`. Passwords are never part of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from compute.agent.state.errors import AgentError

PASSWORD_VARIABLE = "DRIVEWAY_MQTT_PASSWORD"  # noqa: S105 - the name of a variable
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class BrokerUrl:
    """``path`` has no leading slash; ``options`` is the query. ``text`` is the whole, fit for logs."""

    text: str
    is_tls: bool
    host: str
    port: int
    user: str
    path: str
    options: Mapping[str, str]


def parse_broker(text: str, *, options: frozenset[str]) -> BrokerUrl:
    """``mqtt[s]://[user@]host[:port]/path?option=value``. Raises AgentError (sensors_invalid)."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise AgentError("sensors_invalid", "The address of the broker cannot be read.") from error
    if url.password is not None:
        message = f"A command line is no place for a password: put it into {PASSWORD_VARIABLE}, or name a file by password_file=."
        raise AgentError("sensors_invalid", message)
    if url.scheme not in _PORTS or not url.hostname:
        raise AgentError("sensors_invalid", "The broker's address must look like mqtt://host:1883/ or mqtts://host/.")
    found = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := set(found) - options - {"password_file"}:
        raise AgentError("sensors_invalid", f'The sensors have no option "{min(unknown)}".')
    return BrokerUrl(
        text=text,
        is_tls=url.scheme == "mqtts",
        host=url.hostname,
        port=port or _PORTS[url.scheme],
        user=unquote(url.username or ""),
        path=unquote(url.path.strip("/")),
        options=found,
    )


def password_of(url: BrokerUrl, environment: Mapping[str, str] = os.environ) -> str | None:
    """From the file that the address names, else from the environment. Raises AgentError (sensors_invalid)."""
    name = url.options.get("password_file")
    if name is None:
        return environment.get(PASSWORD_VARIABLE)
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise AgentError("sensors_invalid", f"The password file {name} cannot be read.") from error


def level(text: str, what: str) -> str:
    """One level of a topic: no separators and no wildcards, which would widen what is asked for."""
    if not text or any(sign in text for sign in "/+#\0"):
        raise AgentError("sensors_invalid", f"{what} must be one level of a topic, without / + or #.")
    return text


def levels(text: str, what: str) -> str:
    """Several levels with slashes between."""
    return "/".join(level(part, what) for part in text.split("/"))
