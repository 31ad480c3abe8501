"""`python -m marketplace.local.showcase.orders URL`: the customer's program, which orders a small job again and again.

Nothing but the HTTP API, an API key and Stripe's page. It tops the wallet up by card while it is low. Between jobs it
rests, so that a laptop stays quiet.
"""

import random
import sys
import tempfile
import time
import uuid
from pathlib import Path

import httpx
import numpy as np

from core.money import MICRO
from marketplace.local.demo import funding, store
from marketplace.local.demo.customer import ApiError, Customer
from marketplace.local.demo.owner import PortalError
from marketplace.local.showcase.model import FEATURES, model

MODEL_NAME = "parking-lot anomalies"
UNITS, UNIT_ITEMS = 6, 2_000
REST_S = (25.0, 50.0)
AGAIN_S = 10.0  # after an error: the site may be starting
POLL_S = 1.0
JOB_LIMIT_S = 600.0
# What the wallet is kept at. The balance at Stripe pays the owners, so it has to cover their payouts.
FLOOR_MICRO, TOP_UP_MICRO = 120 * MICRO, 60 * MICRO


def main() -> None:
    """Order jobs until the process is ended."""
    customer = Customer(sys.argv[1], str(store.load()[store.SHOWCASE_KEY]))
    rng = random.Random()  # noqa: S311 - pauses and made-up pictures
    while True:
        try:
            run_job(customer, rng)
        except (ApiError, PortalError, httpx.HTTPError) as error:
            print(f"{time.strftime('%F %T')} {type(error).__name__}: {error}", flush=True)
            time.sleep(AGAIN_S)
        else:
            time.sleep(rng.uniform(*REST_S))


def run_job(customer: Customer, rng: random.Random) -> None:
    """Order one job and fetch its result. Raises ApiError, PortalError, httpx.HTTPError."""
    funding.top_up(customer, floor_micro=FLOOR_MICRO, amount_micro=TOP_UP_MICRO)
    with tempfile.TemporaryDirectory() as folder:
        uploaded = customer.upload_model(_written(Path(folder) / "model.onnx"), MODEL_NAME)
        customer.wait_for_admission(uploaded["id"])
        path = Path(folder) / "pictures.npy"
        pictures = np.random.default_rng(rng.randrange(2**32)).normal(size=(UNITS * UNIT_ITEMS, FEATURES))
        np.save(path, pictures.astype(np.float32), allow_pickle=False)
        inputs = customer.upload_input(path)
    job = customer.order(str(uuid.uuid4()), model=uploaded["id"], input_file=inputs["id"], unit_items=UNIT_ITEMS)
    ended = _wait_for_end(customer, job["id"])
    if ended["status"] == "completed":
        customer.result(job["id"])
    print(f"{time.strftime('%F %T')} job {job['id']} {ended['status']}", flush=True)


def _written(path: Path) -> Path:
    path.write_bytes(model(name="anomalies", layers=12, width=512, seed=1))
    return path


def _wait_for_end(customer: Customer, job_id: str) -> dict[str, object]:
    """Return the job when it has ended. Raises ApiError."""
    until = time.monotonic() + JOB_LIMIT_S
    while (job := customer.job(job_id))["status"] not in ("completed", "failed", "cancelled"):
        if time.monotonic() > until:
            raise ApiError(f"job {job_id} is still {job['status']} after {JOB_LIMIT_S:.0f} s")
        time.sleep(POLL_S)
    return job


if __name__ == "__main__":
    main()
