"""Mails as files: `<time>-<random>.eml` in one folder, so that their names sort by time."""

import email
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

KEPT = 500  # the newest; older ones are deleted
NAME = re.compile(r"(\d{8}T\d{6}\d{6})-[0-9a-f]{8}")
STAMP = "%Y%m%dT%H%M%S%f"


@dataclass(frozen=True)
class MailFile:
    """One mail as the pages show it."""

    name: str
    at: datetime
    sender: str
    to: str
    subject: str
    text: str
    html: str
    attachments: list[str]


def write(folder: Path, raw: bytes) -> str:
    """Store a mail and return its name. Deletes all but the KEPT newest ones."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{datetime.now(UTC).strftime(STAMP)}-{secrets.token_hex(4)}"
    unfinished = folder / f"{name}.part"
    unfinished.write_bytes(raw)
    unfinished.replace(folder / f"{name}.eml")
    for old in names(folder)[KEPT:]:
        (folder / f"{old}.eml").unlink(missing_ok=True)
    return name


def names(folder: Path) -> list[str]:
    """Return the names of all mails, newest first."""
    return sorted((path.stem for path in folder.glob("*.eml") if NAME.fullmatch(path.stem)), reverse=True)


def raw(folder: Path, name: str) -> bytes | None:
    """Return a mail's bytes, or None if there is none of this name."""
    if not NAME.fullmatch(name):
        return None
    try:
        return (folder / f"{name}.eml").read_bytes()
    except FileNotFoundError:
        return None


def read(folder: Path, name: str) -> MailFile | None:
    """Return a mail, or None if there is none of this name."""
    found = raw(folder, name)
    return _parsed(name, found) if found is not None else None


def _parsed(name: str, data: bytes) -> MailFile:
    message = email.message_from_bytes(data, policy=default)
    return MailFile(
        name=name,
        at=datetime.strptime(name.partition("-")[0], STAMP).replace(tzinfo=UTC),
        sender=str(message["From"] or ""),
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        text=_content(message, "plain"),
        html=_content(message, "html"),
        attachments=[part.get_filename() or part.get_content_type() for part in message.iter_attachments()],
    )


def _content(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part else ""
