"""The Idempotency-Key of job orders: one order and equal responses, after crashes and with concurrent requests."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.api_keys import idempotency
from accounts.models import IdempotencyRecord
from billing.models import LedgerTransfer
from billing.orders import orders
from billing.wallet import wallets
from compute.models import InferenceJob, ModelArtifact
from core.errors import Conflict
from tests import factories
from tests.threads import at_once

MONEY_MICRO = 10_000_000


class Customer:
    """An organization with money in its wallet, a model, an input file and an API key."""

    def __init__(self):
        self.organization = factories.make_organization(wallet_micro=MONEY_MICRO)
        factories.hardware_class()
        _, self.text = factories.make_key(self.organization)
        self.model = factories.make_artifact(self.organization)
        self.file = factories.make_input(self.organization)

    def order(self, key="k1", **body):
        headers = {"Authorization": f"Bearer {self.text}"} | ({"Idempotency-Key": key} if key is not None else {})
        body = {"model": str(self.model.public_id), "input_file": str(self.file.public_id), **body}
        client = Client(headers=headers, raise_request_exception=False)
        return client.post("/api/v1/jobs", body, content_type="application/json")

    def records(self):
        return IdempotencyRecord.objects.filter(organization=self.organization)


@pytest.fixture
def acme(db):
    return Customer()


def code(answer):
    return answer.json()["error"]["code"]


# --- repeated requests ------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_give_the_same_answer_done_once(acme):
    first, second = acme.order(), acme.order()
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert InferenceJob.objects.count() == 1
    assert LedgerTransfer.objects.filter(kind="hold").count() == 1
    held = first.json()["held_micro"]
    assert wallets.summary(acme.organization).available_micro == MONEY_MICRO - held


def test_the_answer_is_the_first_one_even_when_the_world_has_moved_on(acme):
    first = acme.order()
    InferenceJob.objects.update(status="cancelled")
    assert acme.order().json()["status"] == first.json()["status"] == "queued"


def test_another_key_is_another_order(acme):
    assert acme.order("k1").json()["id"] != acme.order("k2").json()["id"]


def test_the_order_of_the_members_does_not_matter(acme):
    first = acme.order(cap_micro=5_000_000)
    body = {"cap_micro": 5_000_000, "input_file": str(acme.file.public_id), "model": str(acme.model.public_id)}
    headers = {"Authorization": f"Bearer {acme.text}", "Idempotency-Key": "k1"}
    again = Client(headers=headers).post("/api/v1/jobs", json.dumps(body, indent=4), content_type="application/json")
    assert again.json() == first.json()


def test_another_body_conflicts(acme):
    acme.order()
    answer = acme.order(unit_items=2)
    assert (answer.status_code, code(answer)) == (409, "idempotency_conflict")
    assert InferenceJob.objects.count() == 1


def test_customers_do_not_share_keys(acme):
    other = Customer()
    assert acme.order().status_code == other.order().status_code == 201
    assert InferenceJob.objects.count() == 2


def test_two_keys_of_one_organization_share_them(acme):
    first = acme.order()
    _, acme.text = factories.make_key(acme.organization)
    assert acme.order().json() == first.json()


@pytest.mark.parametrize("key", [None, "", "x" * 256])
def test_without_a_fit_key_nothing_is_done(acme, key):
    answer = acme.order(key)
    assert (answer.status_code, code(answer)) == (400, "idempotency_key_missing")
    assert not InferenceJob.objects.exists()
    assert not acme.records().exists()


def test_the_longest_key(acme):
    assert acme.order("x" * 255).status_code == 201


# --- what is stored, and what is not ----------------------------------------------------------------------------------


def test_a_refusal_is_stored_and_repeated(acme):
    """Without this, a retry of a refused order could be accepted later, when the client no longer expects it."""
    acme.model = factories.make_artifact(acme.organization, status="uploaded")
    first = acme.order()
    for status in ("checking", "admitted"):
        ModelArtifact.objects.filter(pk=acme.model.pk).update(status=status)
    second = acme.order()
    assert (first.status_code, code(first)) == (409, "model_not_admitted")
    assert (second.status_code, second.json()) == (409, first.json())
    assert second["Idempotent-Replayed"] == "true"
    assert acme.order("k2").status_code == 201


def test_insufficient_funds_are_stored_too(acme):
    organization = acme.organization
    available = wallets.summary(organization).available_micro
    acme.model.us_per_item = 10**11
    acme.model.save()
    first = acme.order()
    assert (first.status_code, code(first)) == (402, "insufficient_funds")
    assert first.json()["error"]["fields"]["available_micro"] == available
    factories.top_up(organization, 10**12)
    assert acme.order().json() == first.json()
    assert acme.order("k2").status_code == 201


def test_a_body_that_is_not_valid_does_not_use_up_the_key(acme):
    assert acme.order(unit_items=0).status_code == 400
    assert not acme.records().exists()
    assert acme.order().status_code == 201


def test_a_crash_frees_the_key(acme, monkeypatch):
    def crash(**_):
        raise RuntimeError("the machine is on fire")

    with monkeypatch.context() as patched:
        patched.setattr(orders, "order_job", crash)
        assert acme.order().status_code == 500
    assert not acme.records().exists()
    assert acme.order().status_code == 201


# --- in flight --------------------------------------------------------------------------------------------------------


def leave_in_flight(acme, *, age):
    """Leave the record of a first request that claimed the key `age` ago and has no response yet."""
    acme.order()
    acme.records().update(response_status=None, response_body=None, created_at=timezone.now() - age)


def test_while_the_first_runs_the_second_conflicts(acme):
    leave_in_flight(acme, age=timedelta(seconds=5))
    answer = acme.order()
    assert (answer.status_code, code(answer)) == (409, "idempotency_in_flight")


def test_a_first_request_that_died_is_taken_over(acme):
    leave_in_flight(acme, age=idempotency.IN_FLIGHT_LIMIT + timedelta(seconds=1))
    answer = acme.order()
    assert answer.status_code == 201
    assert acme.records().get().response_status == 201
    assert acme.order().json() == answer.json()


def test_another_body_does_not_take_over(acme):
    leave_in_flight(acme, age=idempotency.IN_FLIGHT_LIMIT + timedelta(seconds=1))
    assert code(acme.order(unit_items=1)) == "idempotency_conflict"


def test_only_one_takes_over(acme):
    """The first take-over sets `created_at` to now, so the second finds the request in flight."""
    leave_in_flight(acme, age=idempotency.IN_FLIGHT_LIMIT * 2)
    stale = acme.records().get()

    class Request:
        method, path, data = "POST", "/api/v1/jobs", {}
        auth = type("Key", (), {"organization": acme.organization})

    fingerprint = idempotency._fingerprint(Request)
    acme.records().update(fingerprint=fingerprint)
    record, answer = idempotency._claim(Request, "k1")
    assert (record.pk, answer) == (stale.pk, None)
    with pytest.raises(Conflict) as refused:
        idempotency._claim(Request, "k1")
    assert refused.value.code == "idempotency_in_flight"


# --- concurrent requests ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_many_first_requests_at_once_order_once():
    acme = Customer()
    answers = at_once(6, lambda _: acme.order())
    done = [answer for answer in answers if answer.status_code == 201]
    assert done
    assert len({answer.json()["id"] for answer in done}) == 1
    assert {code(answer) for answer in answers if answer.status_code != 201} <= {"idempotency_in_flight"}
    assert InferenceJob.objects.count() == 1
    assert LedgerTransfer.objects.filter(kind="hold").count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_invalid_first_requests_at_once_are_all_refused():
    """A losing request finds a record that the winner is about to delete, since its body is not valid."""
    acme = Customer()
    for round_number in range(4):
        answers = at_once(6, lambda _, key=f"r{round_number}": acme.order(key, unit_items=0))
        assert {answer.status_code for answer in answers} <= {400, 409}
    assert not acme.records().exists()


def test_a_key_freed_between_insert_and_look_up_is_claimed_anew(acme, monkeypatch):
    """The same race step by step: the insert fails because of a row that no longer exists when it is read."""
    acme.order("k0")
    create = IdempotencyRecord.objects.create
    calls = []

    def taken_then_freed(**values):
        if calls:
            return create(**values)
        calls.append(values)
        return create(**{**values, "key": "k0"})  # violates the unique constraint; there is no row "k1"

    monkeypatch.setattr(IdempotencyRecord.objects, "create", taken_then_freed)
    assert acme.order("k1").status_code == 201
