"""The customer's job: from real files to their labels, with two incidents while it runs."""

import io
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compute.models import InferenceJob
from marketplace.local.demo import incidents
from marketplace.local.demo.customer import Customer
from marketplace.local.demo.fleet import Car
from marketplace.local.demo.incidents import Incident
from marketplace.local.demo.magika_files import MagikaModel
from marketplace.local.demo.owner import Portal
from marketplace.local.demo.progress import Progress

UNIT_ITEMS = 50
TIMEOUT_S = 600.0
KILL_AT, WITHDRAW_AT = 0.15, 0.35  # shares of the units done
CLOSE_TIMEOUT_S = 60.0


class DemoError(Exception):
    """The demo cannot continue; the message says why."""


@dataclass
class JobRun:
    """A job from upload to result."""

    customer: Customer
    model: MagikaModel
    cars: dict[str, Car]
    portals: dict[str, Portal]
    job_id: str = ""
    batch: int = 1
    wall_s: float = 0.0
    estimate: dict[str, Any] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)

    def submit(self, features: npt.NDArray[np.int32]) -> None:
        """Upload the model and the inputs, wait for admission, and order the job."""
        uploaded = self.customer.upload_model(self.model.path, "magika standard_v3_3")
        admitted = self.customer.wait_for_admission(uploaded["id"])
        self.batch = admitted["batch"]
        print(
            f"  model {admitted['sha256'][:12]} admitted: {admitted['us_per_item'] / 1000:.2f} ms per item"
            f" in batches of {self.batch},"
            f" {admitted['memory_bytes'] / 2**20:.0f} MiB, outputs {[o['name'] for o in admitted['outputs']]}",
            flush=True,
        )
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, features, allow_pickle=False)
            file.flush()
            inputs = self.customer.upload_input(Path(file.name))
        body = {"model": uploaded["id"], "input_file": inputs["id"], "unit_items": UNIT_ITEMS}
        self.estimate = self.customer.estimate(**body)
        key = str(uuid.uuid4())
        self.job_id = self.customer.order(key, **body)["id"]
        again = self.customer.order(key, **body)["id"]  # as after a network failure: the same key must not order twice
        if again != self.job_id:
            raise DemoError("the same Idempotency-Key ordered two jobs")

    def watch(self) -> None:
        """Follow the job until it is closed. Cause each incident at its share of the progress."""
        progress, started = Progress(self.job_id), time.monotonic()
        while True:
            job = progress.show()
            share = job.units_accepted / job.units_total if job.units_total else 0.0
            if len(self.incidents) == 0 and share >= KILL_AT:
                self._happen(incidents.kill_agent(self.cars["bob-2"]), "kill")
            elif len(self.incidents) == 1 and share >= WITHDRAW_AT:
                car = self.cars["alice-2"]
                self._happen(incidents.withdraw_consent(car, self.portals[car.spec.owner]), "withdrawal")
            if job.status in (InferenceJob.Status.FAILED, InferenceJob.Status.CANCELLED):
                raise DemoError(f"the job ended as {job.status}: {job.status_code} {job.message}")
            if job.status == InferenceJob.Status.COMPLETED:
                break
            if time.monotonic() - started > TIMEOUT_S:
                raise DemoError(f"the job was not done after {TIMEOUT_S:.0f} s")
            time.sleep(0.1)
        self.wall_s = time.monotonic() - started
        self._wait_for_close(progress)
        progress.end()

    def result(self) -> npt.NDArray[np.float32]:
        return np.asarray(np.load(io.BytesIO(self.customer.result(self.job_id)), allow_pickle=False))

    def _wait_for_close(self, progress: Progress) -> None:
        until = time.monotonic() + CLOSE_TIMEOUT_S
        while time.monotonic() < until:
            if progress.show().order.status == "closed":
                return
            time.sleep(0.1)

    def _happen(self, incident: Incident | None, what: str) -> None:
        if incident is None:
            raise DemoError(f"{what}: no unit was running on the car")
        self.incidents.append(incident)
        print(
            f"\n  {incident.kind}: {incident.car.spec.label}, in the middle of attempt {incident.attempt}", flush=True
        )
