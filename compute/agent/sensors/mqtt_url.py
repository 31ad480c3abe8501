"""The address of an MQTT broker, parsed from the text after `teslamate:` or `ovms:`. It never holds a password."""

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
    """A parsed address.

    ``path`` has no outer slashes, ``options`` is the query, ``text`` the whole address for logs.
    """

    text: str
    is_tls: bool
    host: str
    port: int
    user: str
    path: str
    options: Mapping[str, str]


def parse_broker(text: str, *, options: frozenset[str]) -> BrokerUrl:
    """Parse ``mqtt[s]://[user@]host[:port]/path?option=value``, with these options only.

    Raise AgentError (sensors_invalid).
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise AgentError("sensors_invalid", "The address of the broker cannot be read.") from error
    if url.password is not None:
        message = (
            f"Do not put a password on the command line. Set {PASSWORD_VARIABLE}, or name a file with password_file=."
        )
        raise AgentError("sensors_invalid", message)
    if url.scheme not in _PORTS or not url.hostname:
        raise AgentError("sensors_invalid", "The broker's address must look like mqtt://host:1883/ or mqtts://host/.")
    given = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := set(given) - options - {"password_file"}:
        raise AgentError("sensors_invalid", f'The sensors have no option "{min(unknown)}".')
    return BrokerUrl(
        text=text,
        is_tls=url.scheme == "mqtts",
        host=url.hostname,
        port=port or _PORTS[url.scheme],
        user=unquote(url.username or ""),
        path=unquote(url.path.strip("/")),
        options=given,
    )


def password_of(url: BrokerUrl, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the password from the file that the address names, else from the environment, or None if neither has one.

    Raise AgentError (sensors_invalid) for a file that cannot be read.
    """
    name = url.options.get("password_file")
    if name is None:
        return environment.get(PASSWORD_VARIABLE)
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise AgentError("sensors_invalid", f"The password file {name} cannot be read.") from error


def level(text: str, what: str) -> str:
    """Return ``text`` if it is one topic level. Raise AgentError (sensors_invalid) otherwise.

    Separators and wildcards are refused, because they would subscribe to more than the listed topics.
    """
    if not text or any(sign in text for sign in "/+#\0"):
        raise AgentError("sensors_invalid", f"{what} must be one level of a topic, without / + or #.")
    return text


def levels(text: str, what: str) -> str:
    """Return ``text`` if it is one or more topic levels with slashes between them. Raise as `level`."""
    return "/".join(level(part, what) for part in text.split("/"))
