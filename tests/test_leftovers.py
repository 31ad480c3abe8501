"""Rows that a test leaves are found, named and removed."""

import subprocess

import pytest

from accounts.models import ConsentNotice, User
from tests import busy, factories, leftovers


@pytest.fixture
def writers(monkeypatch):
    """Return a list of writers that only this test uses."""
    names = []
    monkeypatch.setattr(leftovers, "_writers", names)
    return names


@pytest.mark.django_db(transaction=True)
def test_rows_that_stayed_are_an_error_that_names_who_left_them_and_are_removed(writers):
    writers.append("tests/test_forgetful.py::test_that_cleaned_nothing")
    factories.make_owner("left@example.com")
    with pytest.raises(leftovers.RowsLeft, match=r"accounts_user.*test_forgetful.py::test_that_cleaned_nothing"):
        leftovers.look()
    assert not User.objects.exists()
    assert ConsentNotice.objects.exists()  # rows of the schema stay
    leftovers.look()


@pytest.mark.django_db(transaction=True)
def test_a_world_that_cannot_be_made_leaves_no_row(writers):
    def make():
        factories.make_owner("half@example.com")
        raise LookupError("the second half")

    with pytest.raises(LookupError), leftovers.committed("half a world"):
        make()
    assert not leftovers.tables_with_rows()
    assert writers == []  # nothing is left that it could have written
    assert "half a world" not in leftovers._living


@pytest.mark.django_db(transaction=True)
def test_rows_of_a_living_world_are_meant_to_be_there(writers):
    with leftovers.committed("a world"):
        factories.make_owner("alive@example.com")
        assert User.objects.filter(email="alive@example.com").exists()
    assert not User.objects.exists()


def test_the_tables_are_checked_before_a_modules_fixture_writes(writers, django_db_setup, django_db_blocker):
    writers.append("an earlier test")
    with leftovers.rolled_back(django_db_blocker):
        assert writers == []
        factories.make_owner("module@example.com")
    with django_db_blocker.unblock():
        assert not User.objects.exists()


def test_busy_loops_end_with_the_block_and_the_command_gives_the_exit_code(monkeypatch):
    processes = []

    def start(*args, popen=subprocess.Popen, **kw):
        processes.append(popen(*args, **kw))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    assert busy.main(["--loops", "2", "--", "python3", "-c", "raise SystemExit(3)"]) == 3
    assert len(processes) == 3
    assert all(process.poll() is not None for process in processes)
