"""What an operator's role opens in the back office, as Django's own permissions.

An admin is a superuser, who may everything. Permissions given to one person are added to these (Django's ModelBackend).
"""

from django.apps import apps
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from accounts.models import Operator, User
from billing.approvals import operators as money_operators

# Whom the money is about. Their pages ask for a reason besides, and the owners read it.
PEOPLE = {"accounts.view_organization", "accounts.view_owner"}
CACHE = "_operator_role_permissions"


class OperatorRoles(BaseBackend):
    """Finance reads all about money, proposes and decides. Support has what is given to each person."""

    def get_user_permissions(self, user_obj: User | AnonymousUser, obj: Model | None = None) -> set[str]:
        if obj is not None or not (isinstance(user_obj, User) and user_obj.is_active and user_obj.is_staff):
            return set()
        if not hasattr(user_obj, CACHE):
            role = Operator.objects.filter(user=user_obj).values_list("role", flat=True).first()
            setattr(user_obj, CACHE, _finance() if role == Operator.Role.FINANCE else set())
        found: set[str] = getattr(user_obj, CACHE)
        return found

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        """Whether the back office lists this app at all."""
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))


def _finance() -> set[str]:
    models = apps.get_app_config("billing").get_models()
    reads = {f"billing.view_{model._meta.model_name}" for model in models}
    return reads | PEOPLE | {money_operators.PERMISSION, "billing.change_ledgerdifference"}
