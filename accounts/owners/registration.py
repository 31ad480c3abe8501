from django.db import transaction

from accounts.mails.kinds import STARTS_OFF
from accounts.models import Membership, Operator, Organization, Owner, User
from core import locale


@transaction.atomic
def register_owner(
    *, user: User, name: str, country: str = "US", time_zone: str = "UTC", locale_name: str = locale.DEFAULT
) -> Owner:
    """Make the user an owner. Doing it twice returns the first."""
    defaults = {
        "name": name,
        "country": country,
        "time_zone": time_zone,
        "locale": locale_name,
        "mails_off": list(STARTS_OFF),
    }
    owner, _ = Owner.objects.get_or_create(user=user, defaults=defaults)
    return owner


@transaction.atomic
def register_organization(*, user: User, name: str, category: str = "Research") -> Organization:
    """Make a customer organization with the user as its admin. A user who is in one already keeps that one."""
    membership = Membership.objects.filter(user=user).select_related("organization").first()
    if membership:
        return membership.organization
    organization = Organization.objects.create(name=name, category=category)
    Membership.objects.create(organization=organization, user=user, role=Membership.Role.ADMIN)
    return organization


@transaction.atomic
def register_operator(*, user: User, role: str = Operator.Role.ADMIN) -> Operator:
    """Make the user staff, in this role: again, in another, changes it. What a role opens: marketplace/operator_roles.py."""
    user.is_staff = True
    user.is_superuser = role == Operator.Role.ADMIN
    user.save(update_fields=["is_staff", "is_superuser"])
    operator, _ = Operator.objects.update_or_create(user=user, defaults={"role": role})
    return operator
