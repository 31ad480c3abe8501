"""Secrets for development, made once per home folder. Production sets its own and never comes here."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from marketplace.local.embedded.server import hold_lock, private_folder, write_private


def provide_secrets(home: Path) -> None:
    """Put DJANGO_SECRET_KEY and the keys that sign receipts, statements and OCMF records into os.environ where missing."""
    for name, value in development_secrets(home).items():
        if not os.environ.get(name):
            os.environ[name] = value


def development_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of `<home>/secrets.json` (readable by its owner only), made on first use."""
    path = home / "secrets.json"
    with hold_lock(private_folder(home / "run") / "secrets.lock"):
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        wanted = {
            "DJANGO_SECRET_KEY": kept.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50),
            "RECEIPT_SIGNING_KEY": kept.get("RECEIPT_SIGNING_KEY") or secrets.token_hex(32),
            "STATEMENT_SIGNING_KEY": kept.get("STATEMENT_SIGNING_KEY") or secrets.token_hex(32),
            "OCMF_SIGNING_KEY": kept.get("OCMF_SIGNING_KEY") or secrets.token_hex(32),
        }
        if wanted.items() - kept.items():
            write_private(path, json.dumps(kept | wanted, indent=1))
        return wanted
