"""The members of a customer who receive mails about its money."""

from accounts.models import Membership, Organization, User

MONEY_ROLES = (Membership.Role.ADMIN, Membership.Role.FINANCE)


def money_people(organization: Organization) -> list[User]:
    """Return the active users who are admins or finance members of the organization."""
    rows = Membership.objects.filter(organization=organization, role__in=MONEY_ROLES, user__is_active=True)
    return [row.user for row in rows.select_related("user").order_by("id")]
