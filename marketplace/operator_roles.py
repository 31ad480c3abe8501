"""An authentication backend that turns an operator's role into Django permissions for the back office.

An admin is a superuser and has every permission. Permissions granted to one person (Django's ModelBackend) are added.
"""

from django.apps import apps
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from accounts.models import Operator, User
from billing.approvals import operators as money_operators

# Finance also sees customers and owners. Owners' pages ask for a reason first, which the owner can read.
PEOPLE = {"accounts.view_organization", "accounts.view_owner"}
CACHE = "_operator_role_permissions"


class OperatorRoles(BaseBackend):
    """Grants permissions by role.

    Finance reads every billing table, proposes and decides approvals. Support gets none by role.
    """

    def get_user_permissions(self, user_obj: User | AnonymousUser, obj: Model | None = None) -> set[str]:
        """Return the permissions of the user's role. Empty for one object, for non-staff and for inactive users."""
        if obj is not None or not (isinstance(user_obj, User) and user_obj.is_active and user_obj.is_staff):
            return set()
        if not hasattr(user_obj, CACHE):
            role = Operator.objects.filter(user=user_obj).values_list("role", flat=True).first()
            setattr(user_obj, CACHE, _finance() if role == Operator.Role.FINANCE else set())
        permissions: set[str] = getattr(user_obj, CACHE)
        return permissions

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        """Return whether the back office lists this app at all."""
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))


def _finance() -> set[str]:
    models = apps.get_app_config("billing").get_models()
    views = {f"billing.view_{model._meta.model_name}" for model in models}
    return views | PEOPLE | {money_operators.PERMISSION, "billing.change_ledgerdifference"}
