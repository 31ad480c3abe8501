"""What the demo remembers between runs: made-up people's passwords and the customer's API key. For a local site only."""

import json
import secrets
from pathlib import Path
from typing import Any

from marketplace.local.embedded import home

SHOWCASE_KEY = "showcase_api_key"  # the customer of `make run` has a key of its own


def _path() -> Path:
    return home() / "demo.json"


def load() -> dict[str, Any]:
    try:
        return dict(json.loads(_path().read_text()))
    except FileNotFoundError:
        return {}


def save(values: dict[str, Any]) -> None:
    path = _path()
    path.touch(mode=0o600)
    path.write_text(json.dumps(values, indent=1))


def password_of(email: str) -> str:
    values = load()
    found = values.setdefault("passwords", {}).setdefault(email, secrets.token_urlsafe(12))
    save(values)
    return str(found)
