"""The pages of usage, spend cap and billing profile, as a customer sees them. A compute-hour costs 0.10 here."""

import csv
from datetime import UTC, date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, Membership
from billing.invoices import profiles as billing_profiles
from billing.models import BillingProfile, SpendCap, SpendDay
from billing.orders.settlement import settle_usage
from billing.usage import selectors as usage
from billing.usage import spend_caps
from compute.models import ModelArtifact
from core.errors import InvalidInput
from tests import factories
from tests.billing.helpers import make_artifact, make_market, make_usage, order
from tests.marketplace.views.test_pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def market():
    return make_market()


@pytest.fixture
def member(market, client_of):
    """Return a function that signs in a new member with a role and returns the client."""

    def sign_in(role="admin"):
        user = factories.make_user()
        Membership.objects.create(organization=market.organization, user=user, role=role)
        return client_of(user)

    return sign_in


def spend(market, day: date, micro: int, *, name: str = "m", currency: str = "USD") -> ModelArtifact:
    artifact = make_artifact(market.organization)
    ModelArtifact.objects.filter(pk=artifact.pk).update(name=name)
    SpendDay.objects.create(
        organization=market.organization,
        artifact=artifact,
        currency=currency,
        day=day,
        units=1,
        items=10,
        compute_ms=1000,
        energy_mwh=5,
        charged_micro=micro,
    )
    return artifact


def test_nothing_yet(member):
    text = text_of(member().get("/usage/"))
    assert "Nothing used yet" in text
    assert "No cap" in text


def test_what_was_settled_is_on_its_day_and_under_its_model(market, member):
    spend_caps.set_cap(organization=market.organization, monthly_micro=1_000_000, actor=None)
    make_usage(order(market.organization, cap_micro=150_000).job, market.nodes[0], energy_mwh=2000)
    settle_usage()
    text = text_of(member("developer").get("/usage/"))
    for figure in ("$0.85", "$0.15 of $1.00", "$0.05", "2.0 Wh", "1 h 0 min"):
        assert figure in text, figure
    page = member().get("/usage/")
    assert (
        [row["charged"] for row in page.context["rows"]]
        == ["$0.10"]
        == [row["charged"] for row in page.context["models"]]
    )
    assert f"/usage/{timezone.now().astimezone(UTC):%Y-%-m}.csv" in page.content.decode()


def test_months_and_years_and_the_way_between_them(market, member):
    spend(market, date(2025, 12, 31), 400)
    spend(market, date(2026, 2, 1), 500)
    spend(market, date(2026, 2, 28), 600, name="other")
    spend(market, date(2026, 2, 28), 9, currency="EUR")
    browser = member()
    month, year = browser.get("/usage/?month=2026-02"), browser.get("/usage/?year=2026")
    assert [(row["key"], row["charged"]) for row in month.context["rows"]] == [
        (date(2026, 2, 1), "$0.000500"),
        (date(2026, 2, 28), "$0.000600"),
    ]
    assert month.context["total"]["charged"] == year.context["total"]["charged"] == "$0.001100"
    assert [row["key"] for row in month.context["models"]] == ["other", "m"]
    assert 'href="?month=2026-01" rel="prev"' in month.content.decode()
    assert [row["key"] for row in year.context["rows"]] == [date(2026, 2, 1)]
    assert 'href="?year=2025" rel="prev"' in year.content.decode()
    december = browser.get("/usage/?month=2025-12").content.decode()
    assert 'rel="prev"' not in december
    assert 'href="?month=2026-01" rel="next"' in december
    assert "Nothing was charged in this time." in text_of(browser.get("/usage/?month=2026-01"))
    for bad in ("month=2026-13", "month=2026-1", "year=26", "month=", "year=٢٠٢٦"):
        assert browser.get(f"/usage/?{bad}").status_code == 404


def test_the_file_has_each_day_and_model_and_no_formula(market, member):
    artifact = spend(market, date(2026, 2, 1), 500, name="=cmd()")
    spend(market, date(2026, 3, 1), 600)
    answer = member("developer").get("/usage/2026-2.csv")
    head, *rows = csv.reader(answer.content.decode().splitlines())
    assert rows == [["2026-02-01", str(artifact.public_id), "'=cmd()", "1", "10", "1000", "5", "500", "USD"]]
    assert head[-2:] == ["charged_micro", "currency"]
    assert answer["Content-Disposition"] == 'attachment; filename="driveway-usage-2026-02.csv"'
    assert member().get("/usage/2026-13.csv").status_code == member().get("/usage/99999-1.csv").status_code == 404


def test_pages_of_many_models_ask_as_often_as_of_one(market, member):
    browser = member()
    spend(market, date(2026, 2, 1), 1)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            browser.get("/usage/?month=2026-02")
        counts.append(len(queries))
        for micro in range(2, 6):
            spend(market, date(2026, 2, micro), micro)
    assert counts[0] == counts[1]
    rows = usage.days(market.organization, date(2026, 2, 1), date(2026, 3, 1))
    assert (len(rows), usage.total(rows).charged_micro) == (28, 1 + 2 * (2 + 3 + 4 + 5))


# The cap


def test_the_cap_is_set_shown_reached_and_removed(market, member):
    browser = member("finance")
    assert browser.post("/wallet/cap", {"monthly": "0.15", "action": "set"}).status_code == 302
    order(market.organization, cap_micro=150_000)
    page = browser.get("/wallet/cap")
    text = text_of(page)
    assert "spend_cap_reached" in text
    assert "Nothing is left of this month's cap" in text.replace("&#x27;", "'")
    assert 'value="1000" max="1000"' in page.content.decode()
    assert "spend_cap_reached" in text_of(browser.get("/jobs/"))
    assert browser.post("/wallet/cap", {"action": "remove"}).status_code == 302
    assert not SpendCap.objects.exists()
    assert "No cap" in text_of(browser.get("/wallet/cap"))
    assert (
        list(AuditEvent.objects.filter(action="spend_cap.set").values_list("actor", flat=True))
        == [int(browser.session["_auth_user_id"])] * 2
    )


@pytest.mark.parametrize(
    ("monthly", "message"),
    [
        ("", "required"),
        ("-1", "zero or more"),
        ("1.001", "decimal places"),
        ("lots", "number"),
        ("9999999999", "zero or more"),
    ],
)
def test_a_bad_cap_changes_nothing_and_keeps_what_was_typed(member, monthly, message):
    answer = member().post("/wallet/cap", {"monthly": monthly, "action": "set"})
    assert answer.status_code == 400
    assert message in text_of(answer)
    assert f'value="{monthly}"' in answer.content.decode() or not monthly
    assert not SpendCap.objects.exists()


@pytest.mark.parametrize("path", ["/wallet/cap", "/wallet/profile"])
def test_who_does_not_look_after_money_may_look(member, path):
    browser = member("developer")
    page = browser.get(path)
    assert page.status_code == 200
    assert "but not change" in text_of(page)
    assert f'action="{path}"' not in page.content.decode()
    assert browser.post(path, {"monthly": "5", "legal_name": "x"}).status_code == 403
    assert not SpendCap.objects.exists()
    assert not BillingProfile.objects.exists()


# Billing details


def test_details_are_kept_and_named_in_the_trail(market, member):
    browser = member("finance")
    member("developer")
    wanted = {
        "legal_name": " Acme  Ltd ",
        "address": "1 High St\r\n\r\n Leeds ",
        "tax_id": "GB1",
        "low_balance": "20.50",
    }
    for _ in range(2):
        assert browser.post("/wallet/profile", wanted).status_code == 302
    row = BillingProfile.objects.get()
    assert (row.legal_name, row.address, row.tax_id, row.low_balance_micro) == (
        "Acme Ltd",
        "1 High St\nLeeds",
        "GB1",
        20_500_000,
    )
    (event,) = AuditEvent.objects.filter(action="billing_profile.changed")
    assert event.details == {
        "changed": ["legal_name", "address", "tax_id", "low_balance_micro"],
        "low_balance_micro": 20_500_000,
    }
    page = browser.get("/wallet/profile")
    assert 'value="20.50"' in page.content.decode()
    assert [person.pk for person in page.context["people"]] == [int(browser.session["_auth_user_id"])]
    browser.post("/wallet/profile", {**wanted, "low_balance": ""})
    row.refresh_from_db()
    assert (row.low_balance_micro, row.legal_name) == (None, "Acme Ltd")


def test_details_that_fit_no_paper_are_refused(market, member):
    answer = member().post("/wallet/profile", {"legal_name": "x" * 201, "address": "a<b", "low_balance": "-1"})
    assert answer.status_code == 400
    assert "zero or more" in text_of(answer)
    assert "a&lt;b</textarea>" in answer.content.decode()
    for wrong in ({"tax_id": "x" * 41}, {"low_balance_micro": -1}, {"low_balance_micro": 10**16}):
        with pytest.raises(InvalidInput):
            billing_profiles.change(
                organization=market.organization,
                actor=None,
                **{"legal_name": "", "address": "", "tax_id": "", "low_balance_micro": None, **wrong},
            )
    assert not BillingProfile.objects.exists()


# The header


@pytest.mark.parametrize(
    "path", ["/usage/", "/wallet/cap", "/wallet/profile", "/invoices/", "/wallet/auto-recharge", "/disputes/"]
)
def test_the_wallet_is_marked_on_every_page_of_money(member, path):
    assert '<a href="/wallet/" aria-current="true">Wallet</a>' in member().get(path).content.decode()


@pytest.mark.parametrize("path", ["/statements/", "/payouts/", "/payouts/account", "/disputes/"])
def test_so_are_the_earnings_of_an_owner(client_of, path):
    html = client_of(factories.make_owner().user).get(path).content.decode()
    assert '<a href="/earnings/" aria-current="true">Earnings</a>' in html
    assert html.count('aria-current="true"') == 1
