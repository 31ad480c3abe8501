"""Find the operator who runs a management command, so that the audit trail names a person for every act."""

from accounts.models import User
from core.errors import Forbidden


def operator_of_email(email: str) -> User:
    """Return the operator who signs in with this address.

    Raises Forbidden `not_an_operator` for everybody else, also for former staff.
    """
    user = User.objects.filter(
        email__iexact=email.strip(), is_active=True, is_staff=True, operator__isnull=False
    ).first()
    if user is None:
        raise Forbidden("No operator signs in with this address.", code="not_an_operator")
    return user
