import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from billing.ledger import posting
from billing.models import JobOrder
from compute.models import InferenceJob
from tests.billing.helpers import make_artifact, make_card, make_input, make_market, make_organization
from tests.factories import make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market()


def client(organization, scopes=None) -> APIClient:
    _, text = make_key(organization, scopes=scopes)
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return api


@pytest.fixture
def acme(market) -> APIClient:
    return client(market.organization)


@pytest.fixture
def body(market):
    """Return an order of an hour of work in one unit."""
    return {
        "model": str(make_artifact(market.organization).public_id),
        "input_file": str(make_input(market.organization).public_id),
        "unit_items": 3600,
    }


def post_job(api: APIClient, body: dict, key: str = "k1"):
    return api.post("/api/v1/jobs", body, format="json", headers={"Idempotency-Key": key} if key else {})


def code(response) -> str:
    assert response.json()["error"].keys() == {"code", "message", "fields"}
    return response.json()["error"]["code"]


def test_an_estimate_holds_nothing(acme, body):
    answer = acme.post("/api/v1/estimates", body, format="json")
    assert answer.status_code == 200
    assert answer.json() == {
        "items": 3600,
        "units": 1,
        "currency": "USD",
        "tier": "standard",
        "low_micro": 100_000,
        "high_micro": 300_000,
        "cap_min_micro": 100_000,
        "compute_ms": 3_600_000,
        "price_micro_per_hour": 100_000,
        "price_micro_per_kwh": 0,
    }
    assert acme.get("/api/v1/wallet").json()["held_micro"] == 0


def test_an_estimate_of_a_number_of_items(acme, body):
    wanted = {"model": body["model"], "items": 7200, "unit_items": 7200}
    answer = acme.post("/api/v1/estimates", wanted, format="json")
    assert answer.json()["low_micro"] == 200_000


@pytest.mark.parametrize(
    "change", [{"items": 5}, {"input_file": None}, {"input_file": "x"}, {"unit_items": 0}, {"model": "x"}]
)
def test_an_estimate_that_makes_no_sense(acme, body, change):
    answer = acme.post("/api/v1/estimates", {**body, **change}, format="json")
    assert (answer.status_code, code(answer)) == (400, "invalid_input")


def test_a_job_is_ordered_and_held(acme, body):
    answer = post_job(acme, {**body, "cap_micro": 150_000})
    assert answer.status_code == 201
    job = answer.json()
    assert (job["status"], job["items"], job["unit_items"], job["model"]) == ("queued", 3600, 3600, body["model"])
    money = ("estimate_low_micro", "estimate_high_micro", "cap_micro", "held_micro", "charged_micro")
    assert [job[name] for name in money] == [100_000, 300_000, 150_000, 150_000, 0]
    assert (job["tier"], job["price_micro_per_hour"], job["price_micro_per_kwh"]) == ("standard", 100_000, 0)
    assert acme.get("/api/v1/wallet").json() == {
        "currency": "USD",
        "balance_micro": 10_000_000,
        "held_micro": 150_000,
        "available_micro": 9_850_000,
        "promo_micro": 0,
    }
    assert InferenceJob.objects.get().api_key is not None
    assert [row["id"] for row in acme.get("/api/v1/jobs").json()["results"]] == [job["id"]]


def test_a_job_of_the_tier_quorum_has_its_price_and_two_copies(acme, body, market):
    make_card(market.hardware_class, price=200_000, share=350, tier="quorum")
    job = post_job(acme, {**body, "tier": "quorum"}).json()
    assert (job["tier"], job["price_micro_per_hour"], job["estimate_low_micro"]) == ("quorum", 200_000, 200_000)
    assert InferenceJob.objects.get().copies_min == 2
    assert InferenceJob.objects.get().pay_micro_per_hour == 70_000


def test_the_price_list_is_what_is_in_force(acme, market):
    make_card(market.hardware_class, price=90_000, valid_from_at=timezone.now() + timedelta(days=1))
    make_card(market.hardware_class, price=200_000, tier="quorum", price_micro_per_kwh=7)
    rows = acme.get("/api/v1/prices").json()
    shown = [(row["mode"], row["tier"], row["price_micro_per_hour"], row["price_micro_per_kwh"]) for row in rows]
    assert shown == [("batch", "quorum", 200_000, 7), ("batch", "standard", 100_000, 0)]
    assert {row["hardware_class"] for row in rows} == {market.hardware_class.slug}


def test_the_same_request_again_is_the_same_job(acme, body):
    first, again = post_job(acme, body), post_job(acme, body)
    assert first.json() == again.json()
    assert again.status_code == 201
    assert JobOrder.objects.count() == 1


def test_one_key_orders_one_thing(acme, body):
    post_job(acme, body)
    answer = post_job(acme, {**body, "unit_items": 1800})
    assert (answer.status_code, code(answer)) == (409, "idempotency_conflict")


def test_an_order_needs_a_key(acme, body):
    assert code(post_job(acme, body, key="")) == "idempotency_key_missing"
    assert InferenceJob.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "status", "expected"),
    [
        ({"cap_micro": 99_999}, 400, "cap_too_low"),
        ({"tier": "gold"}, 400, "invalid_input"),
        ({"cap_micro": 0}, 400, "invalid_input"),
        ({"cap_micro": "0.10"}, 400, "invalid_input"),
        ({"cap_micro": 10**18}, 400, "invalid_input"),
        ({"model": str(uuid.uuid4())}, 404, "not_found"),
        ({"input_file": str(uuid.uuid4())}, 404, "not_found"),
        ({"input_file": ""}, 400, "invalid_input"),
    ],
)
def test_orders_that_are_refused(acme, body, change, status, expected):
    answer = post_job(acme, {**body, **change})
    assert (answer.status_code, code(answer)) == (status, expected)
    assert acme.get("/api/v1/wallet").json()["held_micro"] == 0


def test_a_poor_wallet_is_told_what_it_lacks(market, body):
    poor = make_organization(top_up_micro=5)
    theirs = {
        "model": str(make_artifact(poor).public_id),
        "input_file": str(make_input(poor).public_id),
    }
    answer = post_job(client(poor), theirs)
    assert (answer.status_code, code(answer)) == (402, "insufficient_funds")
    assert answer.json()["error"]["fields"]["available_micro"] == 5


def test_a_stranger_finds_nothing_of_acme(market, acme, body):
    post_job(acme, body)
    globex = client(make_organization(top_up_micro=10_000_000))
    assert code(post_job(globex, body)) == "not_found"
    assert code(globex.post("/api/v1/estimates", body, format="json")) == "not_found"
    assert globex.get("/api/v1/jobs").json()["results"] == []
    assert globex.get("/api/v1/wallet").json()["held_micro"] == 0


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("post", "/api/v1/estimates", "jobs:read"),
        ("get", "/api/v1/jobs", "jobs:read"),
        ("post", "/api/v1/jobs", "jobs:write"),
        ("get", "/api/v1/wallet", "wallet:read"),
    ],
)
def test_a_key_needs_the_scope(market, method, path, scope):
    others = {"models:write", "jobs:read", "jobs:write", "wallet:read", "wallet:write"} - {scope}
    answer = getattr(client(market.organization, sorted(others)), method)(path)
    assert (answer.status_code, code(answer)) == (403, "forbidden")
    assert getattr(APIClient(), method)(path).status_code == 401
    assert getattr(client(market.organization, [scope]), method)(path).status_code in (200, 400)


def test_the_schema_describes_all_of_it(db):
    schema = APIClient().get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    create = schema["paths"]["/api/v1/jobs"]["post"]
    assert create["operationId"] == "jobs_create"
    assert [parameter["name"] for parameter in create["parameters"]] == ["Idempotency-Key"]
    assert {"/api/v1/estimates", "/api/v1/wallet"} <= schema["paths"].keys()


def test_the_ledger_is_right_after_all_that(acme, body):
    post_job(acme, body)
    assert posting.recompute() == []
