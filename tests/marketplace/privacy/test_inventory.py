"""Every table and column that is held is declared, and every declaration exists."""

import pytest
from django.apps import apps

from core.privacy import KEPT, Erasure
from marketplace.privacy import inventory

ROOTS = ("accounts.Owner", "accounts.User", "accounts.Vehicle", "compute.Node")


def reachable():
    """Return all models from which foreign keys lead, in any number of steps, to a person or a vehicle."""
    models = apps.get_models(include_auto_created=True)
    reached = {apps.get_model(label) for label in ROOTS}
    while True:
        more = {
            m for m in models if any(f.remote_field and f.related_model in reached for f in m._meta.concrete_fields)
        }
        if more <= reached:
            return reached
        reached |= more


def columns_of(label):
    return {field.attname for field in apps.get_model(label)._meta.concrete_fields}


def test_every_table_about_people_or_vehicles_is_declared():
    declared = {table.model for table in inventory.TABLES} | set(inventory.NOT_ABOUT_OWNERS)
    assert {model._meta.label for model in reachable()} == declared
    assert not {table.model for table in inventory.TABLES} & set(inventory.NOT_ABOUT_OWNERS)


@pytest.mark.parametrize("table", inventory.TABLES, ids=inventory.file_name)
def test_every_column_is_declared_and_exists(table):
    assert set(table.columns) == columns_of(table.model)


@pytest.mark.parametrize("table", inventory.TABLES, ids=inventory.file_name)
def test_every_column_says_what_why_and_how_long(table):
    for column in table.columns.values():
        assert column.what
        assert table.purpose_of(column)
        assert table.retention_of(column)
        assert table.erasure_of(column) not in ("", "Kept: ")


@pytest.mark.parametrize("table", inventory.TABLES, ids=inventory.file_name)
def test_what_an_erasure_writes_fits_what_it_says(table):
    blanks = [column for column in table.columns.values() if column.blank is not KEPT]
    assert bool(blanks) == (table.erasure is Erasure.BLANK)


@pytest.mark.django_db
def test_each_table_leads_to_its_owner(cast):
    for table in inventory.TABLES:
        assert inventory.rows(table, cast.alice).count() >= 0


def test_files_of_an_export_have_names_of_their_own():
    names = [inventory.file_name(table) for table in inventory.TABLES]
    assert len(names) == len(set(names))
