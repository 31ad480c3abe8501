"""`manage.py migrate`: migrate and then grant the application's database role its privileges."""

from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import connections

from core import db_role
from core.db_role import RoleUnfit


class Command(migrate.Command):
    """Django's `migrate`, run as the tables' owner. Afterwards the application's role gets exactly what it needs."""

    def handle(self, *args: Any, **options: Any) -> None:
        role, using = settings.DATABASE_APP_ROLE, options["database"]
        try:
            with connections[using].cursor() as cursor:
                db_role.refuse_app_role(role=role, cursor=cursor)
            super().handle(*args, **options)
            if not (options["plan"] or options["check_unapplied"]):
                db_role.grant(role=role, using=using)
        except RoleUnfit as error:
            raise CommandError(error.message) from error
