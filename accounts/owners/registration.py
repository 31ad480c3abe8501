"""Register a user as an owner, as the admin of a new customer, or as staff."""

from django.db import transaction

from accounts.mails.kinds import OFF_BY_DEFAULT
from accounts.models import Membership, Operator, Organization, Owner, User
from core import locale


@transaction.atomic
def register_owner(
    *, user: User, name: str, country: str = "US", time_zone: str = "UTC", locale_name: str = locale.DEFAULT
) -> Owner:
    """Make the user an owner. If the user is one already, return that owner unchanged."""
    defaults = {
        "name": name,
        "country": country,
        "time_zone": time_zone,
        "locale": locale_name,
        "mails_off": list(OFF_BY_DEFAULT),
    }
    owner, _ = Owner.objects.get_or_create(user=user, defaults=defaults)
    return owner


@transaction.atomic
def register_organization(*, user: User, name: str, category: str = "Research") -> Organization:
    """Create a customer organization with the user as its admin. If the user is a member of one, return that one."""
    membership = Membership.objects.filter(user=user).select_related("organization").first()
    if membership:
        return membership.organization
    organization = Organization.objects.create(name=name, category=category)
    Membership.objects.create(organization=organization, user=user, role=Membership.Role.ADMIN)
    return organization


@transaction.atomic
def register_operator(*, user: User, role: str = Operator.Role.ADMIN) -> Operator:
    """Make the user staff in this role, or change the role of a member of staff.

    marketplace/operator_roles.py lists what each role may do.
    """
    user.is_staff = True
    user.is_superuser = role == Operator.Role.ADMIN
    user.save(update_fields=["is_staff", "is_superuser"])
    operator, _ = Operator.objects.update_or_create(user=user, defaults={"role": role})
    return operator
