"""The lines that say who can sign in: whole, aligned, and without a word that only one run knows."""

import pytest

from marketplace.local.demo import store
from marketplace.local.showcase import sign_ins


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIVEWAY_HOME", str(tmp_path))


def rows(text: list[str]) -> list[str]:
    return [line for line in text if "@" in line]


def test_everybody_is_named_with_a_password_in_one_column():
    text = sign_ins.lines("http://127.0.0.1:8000", "http://127.0.0.1:9000")
    people = [*sign_ins.OWNERS, sign_ins.CUSTOMER, *sign_ins.OPERATORS]
    assert [line.split()[1] for line in rows(text)] == people
    assert len({line.index(line.split()[2]) for line in rows(text)}) == 1
    for address in ("8000/accounts/login/", "8000/operations/", "8000/mails/", "8000/api/docs", "9000/"):
        assert any(f"http://127.0.0.1:{address}" in line for line in text)
    assert sign_ins.lines("http://127.0.0.1:8000", "http://127.0.0.1:9000") == text


def test_without_the_fake_stripe_its_address_is_left_out():
    assert not any("Stripe" in line for line in sign_ins.lines("http://127.0.0.1:8000", ""))


def test_the_people_of_make_demo_are_named_if_it_ran_here():
    store.password_of("alice@demo.example")
    assert "owner, make demo  alice@demo.example" in "\n".join(rows(sign_ins.lines("http://127.0.0.1:8000", "")))


def test_they_are_known_from_the_second_run_on():
    assert not sign_ins.are_known()
    store.save({store.SHOWCASE_KEY: "drv_live_x"})
    assert sign_ins.are_known()
