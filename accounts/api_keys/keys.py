"""Create, revoke and find API keys. A key is shown once; the database stores its prefix and the hash of its secret."""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import ApiKey, Organization, Scope, User
from core.errors import InvalidInput

BRAND = "drv_live"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 32  # base62: 190 bits, so a plain SHA-256 is enough
CHECKSUM_LENGTH = 6
LAST_USED_PRECISION = timedelta(minutes=1)


@transaction.atomic
def create_api_key(
    *, organization: Organization, name: str, scopes: Sequence[str], expires_days: int | None, actor: User | None
) -> tuple[ApiKey, str]:
    """Create a key and return (row, text).

    The text cannot be read again later. Raises InvalidInput for an unknown scope.
    """
    unknown = set(scopes) - set(Scope.values)
    if unknown or not scopes:
        raise InvalidInput("Choose at least one known scope.", scopes=sorted(unknown))
    prefix = _base62(10)
    secret = _base62(SECRET_LENGTH)
    key = ApiKey.objects.create(
        organization=organization,
        created_by=actor,
        name=name,
        prefix=prefix,
        secret_sha256=_digest(secret),
        scopes=list(scopes),
        expires_at=timezone.now() + timedelta(days=expires_days) if expires_days else None,
    )
    audit.record(actor=actor, action="api_key.create", subject=key.public_id, name=name, scopes=list(scopes))
    body = f"{BRAND}_{prefix}_{secret}"
    return key, body + _checksum(body)


@transaction.atomic
def revoke_api_key(*, key: ApiKey, actor: User | None) -> None:
    """Revoke a key: the next request with it is refused. Revoking it again changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record(actor=actor, action="api_key.revoke", subject=key.public_id)


def find(text: str) -> ApiKey | None:
    """Return the active key with this text, or None. Text with a wrong checksum is refused without a database query."""
    body, checksum = text[:-CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    parts = body.split("_")
    if not (text.isascii() and text.isprintable()) or len(parts) != 4:
        return None
    if "_".join(parts[:2]) != BRAND or _checksum(body) != checksum:
        return None
    key = ApiKey.objects.select_related("organization").filter(prefix=parts[2]).first()
    if key is None or not hmac.compare_digest(key.secret_sha256, _digest(parts[3])) or not key.is_active:
        return None
    _touch(key)
    return key


def _touch(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > LAST_USED_PRECISION:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def _base62(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    """Return the CRC-32 in base62, six characters.

    Secret scanners can tell a key from random text with it, without asking us (GitHub's design).
    """
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, 62)
        digits = ALPHABET[digit] + digits
    return digits
