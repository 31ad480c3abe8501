"""Production starts with all of Stripe's settings or none of them, and never with the fake."""

import runpy

import pytest
from django.core.exceptions import ImproperlyConfigured

from marketplace.local.embedded import REPOSITORY
from tests.marketplace.views.test_security import SECRETS

WHOLE = {
    **SECRETS,
    "DRIVEWAY_ENV": "production",
    "STRIPE_SECRET_KEY": "sk_live_x",
    "STRIPE_WEBHOOK_SECRETS": "whsec_a,whsec_b",
    "STRIPE_API_BASE": "https://api.stripe.com",
}


@pytest.fixture
def start(monkeypatch):
    def run(**changes):
        for name, value in {**WHOLE, **changes}.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(REPOSITORY / "marketplace" / "settings.py"))

    return run


def test_with_all_of_it(start):
    assert start()["STRIPE_WEBHOOK_SECRETS"] == ["whsec_a", "whsec_b"]


def test_without_a_key_it_is_off(start):
    assert start(STRIPE_SECRET_KEY="", STRIPE_WEBHOOK_SECRETS="")["STRIPE_SECRET_KEY"] == ""


@pytest.mark.parametrize(
    "change",
    [
        {"STRIPE_WEBHOOK_SECRETS": ""},
        {"STRIPE_SECRET_KEY": "sk_test_fake_1"},
        {"STRIPE_API_BASE": "http://127.0.0.1:1"},
    ],
)
def test_not_by_halves(start, change):
    with pytest.raises(ImproperlyConfigured, match="STRIPE_SECRET_KEY"):
        start(**change)
