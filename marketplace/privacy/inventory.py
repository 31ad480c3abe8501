"""The inventory of everything held about an owner: the tables that all apps declare."""

from functools import cache
from typing import Any

from django.apps import apps
from django.db.models import Model, QuerySet

from accounts.models import Owner
from accounts.privacy import tables as of_accounts
from billing.privacy import tables as of_billing
from compute.privacy import tables as of_compute
from core.privacy import Table

TABLES: tuple[Table, ...] = (*of_accounts.TABLES, *of_compute.TABLES, *of_billing.TABLES)
NOT_ABOUT_OWNERS: dict[str, str] = {
    **of_accounts.NOT_ABOUT_OWNERS,
    **of_compute.NOT_ABOUT_OWNERS,
    **of_billing.NOT_ABOUT_OWNERS,
}


@cache
def model_of(table: Table) -> type[Model]:
    """Return the model of a table."""
    return apps.get_model(table.model)


def rows(table: Table, owner: Owner) -> QuerySet[Any]:
    """Return the rows of a table that are about this owner."""
    manager = model_of(table)._default_manager
    return manager.filter(**{table.owner or "pk": owner.pk})


def table_name(table: Table) -> str:
    """Return the table's name in the database."""
    return model_of(table)._meta.db_table


def file_name(table: Table) -> str:
    """Return the name of the table's files in an export.

    A model that is declared twice gets a name for each declaration.
    """
    name = table_name(table)
    declarations = [other for other in TABLES if other.model == table.model]
    return name if len(declarations) == 1 else f"{name}-{table.owner.split('__')[0]}"
