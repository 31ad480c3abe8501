"""Who of a customer is told about money, and in which words."""

from accounts.models import Membership, Organization, User

MONEY_ROLES = (Membership.Role.ADMIN, Membership.Role.FINANCE)


def money_people(organization: Organization) -> list[User]:
    """Its admins and its people of finance, as far as they can sign in."""
    rows = Membership.objects.filter(organization=organization, role__in=MONEY_ROLES, user__is_active=True)
    return [row.user for row in rows.select_related("user").order_by("id")]
