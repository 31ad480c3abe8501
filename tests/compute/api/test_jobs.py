"""Jobs over the API: ordering, progress, cancelling, and downloading the result."""

import base64
import hashlib
import io
import uuid
from datetime import timedelta

import numpy as np
import pytest
import safetensors.numpy
from django.utils import timezone

from billing.models import JobOrder
from billing.orders import closing, orders, settlement
from billing.wallet import wallets
from compute.jobs import jobs
from compute.models import InferenceJob, InputFile, ModelArtifact
from tests import factories

pytestmark = pytest.mark.django_db
MONEY_MICRO = 10_000_000


@pytest.fixture
def acme():
    factories.hardware_class()
    return factories.make_organization("acme@example.com", wallet_micro=MONEY_MICRO)


@pytest.fixture
def client(acme, api):
    return api(factories.make_key(acme)[1])


@pytest.fixture
def model(acme):
    return factories.make_artifact(acme)


@pytest.fixture
def file(acme):
    return factories.make_input(acme, items=10)


def post(client, path, body, **headers):
    return client.post(f"/api/v1/{path}", body, content_type="application/json", headers=headers)


def order(client, artifact, file, **body):
    body = {"model": str(artifact.public_id), "input_file": str(file.public_id), **body}
    return post(client, "jobs", body, **{"Idempotency-Key": str(uuid.uuid4())})


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


# --- what it would cost
# -------------------------------------------------------------------------------------------------


def test_an_estimate_by_items_and_by_file_are_the_same(client, model, file):
    by_items = post(client, "estimates", {"model": str(model.public_id), "items": 10})
    by_file = post(client, "estimates", {"model": str(model.public_id), "input_file": str(file.public_id)})
    assert by_items.status_code == 200
    assert by_items.json() == by_file.json()
    body = by_items.json()
    assert body["items"] == 10
    assert 0 <= body["low_micro"] < body["high_micro"]
    assert (body["units"], body["currency"], body["compute_ms"]) == (1, "USD", 10)
    assert not InferenceJob.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": 5, "input_file": str(uuid.uuid4())},
        {"items": 0},
        {"items": -1},
        {"items": 10**12},
        {"items": "x"},
        {"items": 5, "unit_items": 0},
        {"input_file": "x"},
        {"items": None},
    ],
)
def test_an_estimate_needs_items_or_a_file(client, model, body):
    assert code(post(client, "estimates", {"model": str(model.public_id), **body})) == (400, "invalid_input")


def test_more_units_round_more_often_and_cost_about_the_same(acme, client):
    model = factories.make_artifact(acme, us_per_item=2 * 10**6)

    def high(**body):
        return post(client, "estimates", {"model": str(model.public_id), "items": 1000, **body}).json()["high_micro"]

    assert high(unit_items=1) != high(unit_items=1000)
    assert abs(high(unit_items=1) - high(unit_items=1000)) <= 1000


# --- ordering
# -----------------------------------------------------------------------------------------------------------


def test_an_order_holds_the_highest_estimate_and_queues_the_job(acme, client, model, file):
    estimate = post(client, "estimates", {"model": str(model.public_id), "input_file": str(file.public_id)}).json()
    answer = order(client, model, file)
    body = answer.json()
    assert answer.status_code == 201
    assert (body["status"], body["items"], body["model"], body["input_file"]) == (
        "queued",
        10,
        str(model.public_id),
        str(file.public_id),
    )
    assert body["held_micro"] == body["estimate_high_micro"] == estimate["high_micro"]
    assert body["estimate_low_micro"] == estimate["low_micro"]
    assert (body["charged_micro"], body["cap_micro"], body["currency"]) == (0, None, "USD")
    wallet = client.get("/api/v1/wallet").json()
    assert wallet == {
        "currency": "USD",
        "balance_micro": MONEY_MICRO,
        "held_micro": body["held_micro"],
        "available_micro": MONEY_MICRO - body["held_micro"],
        "promo_micro": 0,
    }
    assert client.get(f"/api/v1/jobs/{body['id']}").json()["status"] == "queued"
    assert client.get("/api/v1/jobs").json()["results"] == [body]
    assert InferenceJob.objects.get().api_key.organization == acme


def test_a_cap_is_held_when_it_is_lower(acme, client, file):
    model = factories.make_artifact(acme, us_per_item=10**8)
    wanted = {"model": str(model.public_id), "input_file": str(file.public_id)}
    quote = post(client, "estimates", wanted).json()
    low, high = quote["cap_min_micro"], quote["high_micro"]
    cap = (low + high) // 2
    capped = order(client, model, file, cap_micro=cap).json()
    assert (capped["cap_micro"], capped["held_micro"]) == (cap, cap)
    assert order(client, model, file, cap_micro=high + 1).json()["held_micro"] == high
    answer = order(client, model, file, cap_micro=low - 1)
    assert code(answer) == (400, "cap_too_low")
    assert answer.json()["error"]["fields"] == {"cap_micro": low - 1, "cap_min_micro": low}


def test_insufficient_funds(acme, client, file):
    model = factories.make_artifact(acme, us_per_item=10**11)
    answer = order(client, model, file)
    assert code(answer) == (402, "insufficient_funds")
    fields = answer.json()["error"]["fields"]
    assert fields["available_micro"] == MONEY_MICRO < fields["required_micro"]
    assert not InferenceJob.objects.exists()
    assert wallets.summary(acme).held_micro == 0


def test_money_held_cannot_be_held_again(acme, client, file):
    model = factories.make_artifact(acme, us_per_item=10**10)  # about 2.80 to 8.40
    each = MONEY_MICRO * 2 // 5
    answers = [order(client, model, file, cap_micro=each, unit_items=1) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 402]
    assert answers[2].json()["error"]["fields"]["available_micro"] == MONEY_MICRO - 2 * each
    assert wallets.summary(acme).available_micro >= 0


@pytest.mark.parametrize("status", ["uploaded", "checking", "refused"])
def test_only_an_admitted_model_runs(acme, client, file, status):
    model = factories.make_artifact(acme, status=status)
    assert code(order(client, model, file)) == (409, "model_not_admitted")
    assert code(post(client, "estimates", {"model": str(model.public_id), "items": 1})) == (409, "model_not_admitted")


@pytest.mark.parametrize(
    "inputs",
    [
        [{"name": "other", "dtype": "float32", "shape": [None, 4]}],
        [{"name": "x", "dtype": "int32", "shape": [None, 4]}],
        [{"name": "x", "dtype": "float32", "shape": [None, 5]}],
        [{"name": "x", "dtype": "float32", "shape": [None, 4, 1]}],
        [{"name": "x", "dtype": "float32", "shape": [None, 4]}, {"name": "z", "dtype": "float32", "shape": [None, 4]}],
    ],
)
def test_the_file_must_fit_the_model(acme, client, file, inputs):
    assert code(order(client, factories.make_artifact(acme, inputs=inputs), file)) == (400, "input_mismatch")
    assert wallets.summary(acme).held_micro == 0


@pytest.mark.parametrize(("file_format", "status"), [("npy", 201), ("safetensors", 400)])
def test_the_nameless_tensor_of_a_npy_is_the_only_input(client, model, file_format, status):
    """A safetensors file with a tensor named "" is refused: planning could not find the model's input in it."""
    rows, data = np.zeros((3, 4), np.float32), io.BytesIO()
    np.save(data, rows) if file_format == "npy" else data.write(safetensors.numpy.save({"": rows}))
    upload = f"/api/v1/files?format={file_format}"
    uploaded = client.post(upload, data.getvalue(), content_type="application/octet-stream").json()
    answer = order(client, model, InputFile.objects.get(public_id=uploaded["id"]))
    assert answer.status_code == status
    if status == 201:
        assert jobs.plan_job(job_id=InferenceJob.objects.get().pk)


def test_too_many_units(acme, client, model):
    file = factories.make_input(acme)
    type(file).objects.filter(pk=file.pk).update(items=200_001)
    assert code(order(client, model, file, unit_items=1)) == (400, "too_many_units")


@pytest.mark.parametrize(
    "body",
    [
        {"unit_items": 0},
        {"unit_items": -5},
        {"unit_items": 1.5},
        {"unit_items": "many"},
        {"cap_micro": 0},
        {"cap_micro": -1},
        {"cap_micro": 10**16},
        {"cap_micro": "1e3"},
        {"model": "x"},
        {"model": None},
        {"input_file": []},
    ],
)
def test_a_body_that_is_not_valid(client, model, file, body):
    answer = order(client, model, file, **body)
    assert code(answer) == (400, "invalid_input")
    assert set(answer.json()["error"]["fields"]) == set(body)


def test_other_peoples_models_and_files_are_not_there(client, model, file):
    theirs = factories.make_organization()
    assert code(order(client, factories.make_artifact(theirs), file)) == (404, "not_found")
    assert code(order(client, model, factories.make_input(theirs))) == (404, "not_found")


def test_a_suspended_organization_orders_nothing(acme, client, model, file):
    type(acme).objects.update(status="suspended")
    assert code(order(client, model, file)) == (403, "organization_suspended")
    assert client.get("/api/v1/wallet").status_code == 200


def test_before_any_vehicle_there_is_no_price(api):
    organization = factories.make_organization(wallet_micro=MONEY_MICRO)
    client = api(factories.make_key(organization)[1])
    artifact, file = factories.make_artifact(organization), factories.make_input(organization)
    assert code(order(client, artifact, file)) == (409, "no_capacity")


def test_a_strange_cursor_is_no_crash(client):
    client.raise_request_exception = False
    assert client.get("/api/v1/jobs?cursor=%%%").status_code in (200, 404)
    assert code(client.get("/api/v1/jobs?cursor=x")) == (404, "not_found")


@pytest.mark.parametrize("position", ["p=abc", "p=1.5", "p=%00", "o=-1", "o=99999999999999", "p=99999999999999999999"])
def test_a_forged_cursor_is_no_crash(client, position):
    client.raise_request_exception = False
    cursor = base64.b64encode(position.encode()).decode()
    assert client.get("/api/v1/jobs", {"cursor": cursor}).status_code in (200, 404)


# --- cancelling
# ---------------------------------------------------------------------------------------------------------


def test_cancelling_twice_changes_nothing_more(client, model, file):
    job_id = order(client, model, file).json()["id"]
    first, second = (client.post(f"/api/v1/jobs/{job_id}/cancel") for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert (first.json()["status"], first.json()["code"]) == ("cancelled", "job_cancelled")


def test_cancelling_a_running_job_takes_its_leases_away_and_returns_the_hold(acme, client):
    job = factories.make_ordered_job(acme)
    car = factories.make_car()
    attempt = factories.lease_to(car, job)
    assert client.post(f"/api/v1/jobs/{job.public_id}/cancel").json()["status"] == "cancelled"
    attempt.refresh_from_db()
    assert (attempt.status, attempt.status_code) == ("cancelled", "job_cancelled")
    assert [cancel.code for cancel in car.sync().cancels] == ["job_cancelled"]
    assert not job.units.exclude(status="cancelled").exists()
    closing.close_orders()
    assert wallets.summary(acme).available_micro == MONEY_MICRO


def test_what_is_finished_cannot_be_cancelled(acme, client):
    job = factories.make_ordered_job(acme, items=4)
    factories.complete(job)
    assert code(client.post(f"/api/v1/jobs/{job.public_id}/cancel")) == (409, "invalid_transition")


# --- the result
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "running", "cancelled", "failed"])
def test_before_it_is_complete_there_is_no_result(acme, client, status):
    job = factories.make_ordered_job(acme)
    if status == "queued":
        job = factories.make_job(acme, planned=False)
    elif status in ("cancelled", "failed"):
        jobs.cancel_job(job=job) if status == "cancelled" else jobs.fail_job(job=job, code="x", message="y")
    assert code(client.get(f"/api/v1/jobs/{job.public_id}/result")) == (409, "result_not_ready")


@pytest.fixture
def done(acme):
    """Return a job of ten items in units of four, four and two, each computed by two cars, settled and closed."""
    factories.rates.default_rates()
    slow, file = factories.make_artifact(acme, us_per_item=1_000_000), factories.make_input(acme, items=10)
    job = orders.order_job(organization=acme, artifact=slow, input_file=file, unit_items=4)
    jobs.plan_job(job_id=job.pk)
    job.refresh_from_db()
    factories.complete(job, compute_ms=4000)
    settlement.settle_usage()
    closing.close_orders()
    return job


EXPECTED = np.stack([np.arange(10), -np.arange(10)], axis=1).astype(np.float32)


def test_the_result_as_safetensors_in_input_order(client, done):
    answer = client.get(f"/api/v1/jobs/{done.public_id}/result")
    data = factories.body_of(answer)
    tensors = safetensors.numpy.load(data)
    assert list(tensors) == ["y"]
    np.testing.assert_array_equal(tensors["y"], EXPECTED)
    digest = hashlib.sha256(data)
    assert digest.hexdigest() == done.result_sha256
    assert answer["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer["Content-Length"] == str(len(data)) == str(done.result_bytes)
    assert answer["Content-Disposition"] == f'attachment; filename="{done.public_id}.safetensors"'
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("query", ["as=npy", "as=npy&output=y"])
def test_the_result_as_npy(client, done, query):
    answer = client.get(f"/api/v1/jobs/{done.public_id}/result?{query}")
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content), allow_pickle=False), EXPECTED)
    digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    assert answer["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer["Content-Disposition"] == f'attachment; filename="{done.public_id}.npy"'


def test_an_output_that_there_is_not(client, done):
    assert code(client.get(f"/api/v1/jobs/{done.public_id}/result?as=npy&output=z")) == (400, "output_unknown")


def test_with_several_outputs_one_must_be_named(client, done):
    outputs = [*done.artifact.outputs, {"name": "z", "dtype": "float32", "shape": [None]}]
    ModelArtifact.objects.filter(pk=done.artifact_id).update(outputs=outputs)
    answer = client.get(f"/api/v1/jobs/{done.public_id}/result?as=npy")
    assert code(answer) == (400, "output_unknown")
    assert answer.json()["error"]["fields"] == {"outputs": ["y", "z"]}
    assert client.get(f"/api/v1/jobs/{done.public_id}/result?as=npy&output=y").status_code == 200


@pytest.mark.parametrize("wanted", ["csv", "pickle", "NPY", ""])
def test_a_format_that_there_is_not(client, done, wanted):
    assert code(client.get(f"/api/v1/jobs/{done.public_id}/result?as={wanted}")) == (400, "format_unknown")


def test_the_bill_of_a_finished_job(acme, client, done):
    body = client.get("/api/v1/jobs").json()["results"][0]
    assert (body["status"], body["units_total"], body["units_accepted"]) == ("completed", 3, 3)
    assert 0 < body["charged_micro"] <= body["held_micro"]
    assert wallets.summary(acme).balance_micro == MONEY_MICRO - body["charged_micro"]
    assert wallets.summary(acme).held_micro == 0
    progress = client.get(f"/api/v1/jobs/{done.public_id}").json()
    assert (progress["attempts"], progress["nodes_active"], progress["copies_per_unit"]) == ({"valid": 6}, 0, 2.0)
    assert JobOrder.objects.get(job=done).status == "closed"
    assert timezone.now() - done.finished_at < timedelta(minutes=5)
