"""Authentication of API requests: `Authorization: Bearer drv_live_<prefix>_<secret><crc32>`."""

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from accounts.api_keys import keys as api_keys
from accounts.models import ApiKey, Organization
from core.errors import Forbidden


class ApiKeyAuthentication(BaseAuthentication):
    """Sets `request.auth` to the ApiKey. Requests act for its organization; there is no `request.user`."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        words = get_authorization_header(request).split()
        if not words:
            return None
        if len(words) != 2 or words[0].lower() != b"bearer":
            raise AuthenticationFailed("Send the key as: Authorization: Bearer drv_live_...")
        key = api_keys.find(words[1].decode("latin-1"))
        if key is None:
            raise AuthenticationFailed("This API key is unknown, revoked or expired.")
        # A suspended organization may still read what it has paid for: results, jobs, the wallet.
        if request.method not in SAFE_METHODS and key.organization.status == Organization.Status.SUSPENDED:
            raise Forbidden("This organization is suspended. Sign in to see why.", code="organization_suspended")
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
