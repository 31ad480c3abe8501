"""`manage.py migrate`: migrate and then grant the application's database role its privileges."""

from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from core import db_role
from core.db_role import RoleUnfit

APPS = ("accounts", "billing", "compute")


class Command(migrate.Command):
    """Django's `migrate`, run as the tables' owner. Afterwards the application's role gets exactly what it needs."""

    def handle(self, *args: Any, **options: Any) -> None:
        role, using = settings.DATABASE_APP_ROLE, options["database"]
        try:
            with connections[using].cursor() as cursor:
                db_role.refuse_app_role(role=role, cursor=cursor)
            _refuse_earlier_layout(connections[using])
            super().handle(*args, **options)
            if not (options["plan"] or options["check_unapplied"]):
                db_role.grant(role=role, using=using)
        except RoleUnfit as error:
            raise CommandError(error.message) from error


def _refuse_earlier_layout(connection: Any) -> None:
    """Raise CommandError for a database whose migrations were folded since, which Django would take for up to date."""
    loader = MigrationLoader(connection)
    unknown = sorted(key for key in loader.applied_migrations if key[0] in APPS and key not in loader.disk_migrations)
    if unknown:
        raise CommandError(
            f"This database was made by an earlier version of Driveway ({'.'.join(unknown[0])} is unknown now). No version "
            "has been released, so there is no way up: make a new database (`make clean` on a developer's machine)."
        )
