"""`/api/v1/usage` and `/api/v1/wallet/spend-cap`. The fixture `market` has a price of 0.10 for a compute-hour."""

from datetime import UTC, date, timedelta

import pytest
from django.utils import timezone

from billing.models import SpendDay
from billing.orders.settlement import settle_usage
from tests.billing.api.test_jobs import client, code, post_job
from tests.billing.helpers import make_artifact, make_input, make_market, make_organization, make_usage, order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def market():
    return make_market()


@pytest.fixture
def acme(market):
    return client(market.organization)


def spend(organization, artifact, day: date, micro: int) -> None:
    SpendDay.objects.create(
        organization=organization,
        artifact=artifact,
        currency="USD",
        day=day,
        units=1,
        items=10,
        compute_ms=1000,
        energy_mwh=5,
        charged_micro=micro,
    )


@pytest.fixture
def spent(market):
    """Make usage of two models on two days of March 2026, and some that must not count: in April, in another currency,
    and of another customer.
    """
    first, second = (make_artifact(market.organization) for _ in range(2))
    for artifact, day, micro in (
        (first, date(2026, 3, 1), 300),
        (second, date(2026, 3, 1), 50),
        (second, date(2026, 3, 31), 600),
        (first, date(2026, 4, 1), 7),
    ):
        spend(market.organization, artifact, day, micro)
    spend(make_organization(), first, date(2026, 3, 1), 9)
    SpendDay.objects.filter(charged_micro=7).update(items=0)
    return first, second


def test_by_day_and_by_model_add_up_to_the_same(acme, spent):
    march = {"from": "2026-03-01", "to": "2026-04-01"}
    by_day, by_model = (acme.get("/api/v1/usage", {**march, "group_by": by}).json() for by in ("day", "model"))
    total = {"units": 3, "items": 30, "compute_ms": 3000, "energy_mwh": 15, "charged_micro": 950}
    assert by_day["total"] == by_model["total"] == total
    assert [(row["day"], row["model"], row["charged_micro"]) for row in by_day["rows"]] == [
        ("2026-03-01", None, 350),
        ("2026-03-31", None, 600),
    ]
    assert [(row["day"], row["model"]["id"], row["charged_micro"]) for row in by_model["rows"]] == [
        (None, str(spent[1].public_id), 650),
        (None, str(spent[0].public_id), 300),
    ]
    assert (by_day["from"], by_day["to"], by_day["currency"]) == ("2026-03-01", "2026-04-01", "USD")


def test_without_a_range_it_is_this_month_up_to_now(acme, market):
    make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    answer = acme.get("/api/v1/usage").json()
    today = timezone.now().astimezone(UTC).date()
    assert (answer["from"], answer["to"]) == (str(today.replace(day=1)), str(today + timedelta(days=1)))
    assert answer["total"]["charged_micro"] == 100_000
    assert answer["rows"][0]["day"] == str(today)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from": "2026-03-01", "to": "2026-03-01"}, "range_empty"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "range_empty"),
        ({"from": "2999-01-01"}, "range_empty"),
        ({"from": "2025-01-01", "to": "2026-01-03"}, "range_too_long"),
        ({"from": "yesterday"}, "invalid_input"),
        ({"to": "2026-02-30"}, "invalid_input"),
        ({"group_by": "owner"}, "invalid_input"),
        ({"to": "0001-01-01"}, "range_empty"),
    ],
)
def test_bad_ranges_have_codes(acme, query, expected):
    answer = acme.get("/api/v1/usage", query)
    assert (answer.status_code, code(answer)) == (400, expected)
    if expected == "invalid_input":
        assert list(answer.json()["error"]["fields"]) == list(query)


def test_a_leap_year_fits(acme):
    assert acme.get("/api/v1/usage", {"from": "2024-01-01", "to": "2025-01-01"}).status_code == 200


def put(api, monthly_micro):
    return api.put("/api/v1/wallet/spend-cap", {"monthly_micro": monthly_micro}, format="json")


def test_a_cap_is_set_and_refuses_with_figures_and_taken_away(acme, market):
    body = {
        "model": str(make_artifact(market.organization).public_id),
        "input_file": str(make_input(market.organization).public_id),
        "unit_items": 3600,
        "cap_micro": 150_000,
    }
    assert acme.get("/api/v1/wallet/spend-cap").json()["left_micro"] is None
    assert (
        put(acme, 200_000).json()
        == put(acme, 200_000).json()
        == {
            "currency": "USD",
            "month": str(timezone.now().astimezone(UTC).date().replace(day=1)),
            "monthly_micro": 200_000,
            "charged_micro": 0,
            "held_micro": 0,
            "left_micro": 200_000,
        }
    )
    assert post_job(acme, body).status_code == 201
    refused = post_job(acme, body, key="k2")
    assert (refused.status_code, code(refused)) == (402, "spend_cap_reached")
    assert refused.json()["error"]["fields"] == {
        "required_micro": 150_000,
        "cap_micro": 200_000,
        "charged_micro": 0,
        "held_micro": 150_000,
        "left_micro": 50_000,
        "currency": "USD",
    }
    assert put(acme, None).json()["monthly_micro"] is None
    assert post_job(acme, body, key="k3").status_code == 201


@pytest.mark.parametrize("body", [{}, {"monthly_micro": -1}, {"monthly_micro": "much"}, {"monthly_micro": 10**16}])
def test_no_cap_is_guessed(acme, body):
    answer = acme.put("/api/v1/wallet/spend-cap", body, format="json")
    assert (answer.status_code, code(answer)) == (400, "invalid_input")


def test_both_need_their_scopes(market):
    reader, writer = (client(market.organization, scopes=[scope]) for scope in ("wallet:read", "wallet:write"))
    assert reader.get("/api/v1/usage").status_code == reader.get("/api/v1/wallet/spend-cap").status_code == 200
    assert put(reader, 5).status_code == 403
    assert put(writer, 5).status_code == 200
    assert writer.get("/api/v1/usage").status_code == 403
