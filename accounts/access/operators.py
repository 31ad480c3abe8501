"""Members of staff by name, for acts outside the back office (commands): none is done by nobody."""

from accounts.models import User
from core.errors import Forbidden


def of_email(email: str) -> User:
    """The operator who signs in with this address. Raises Forbidden `not_an_operator`, for strangers and former staff alike."""
    user = User.objects.filter(
        email__iexact=email.strip(), is_active=True, is_staff=True, operator__isnull=False
    ).first()
    if user is None:
        raise Forbidden("No operator signs in with this address.", code="not_an_operator")
    return user
