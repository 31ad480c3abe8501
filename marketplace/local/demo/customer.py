"""The customer's program. It uses the HTTP API and an API key, nothing else."""

import time
from pathlib import Path
from typing import Any

import httpx


class ApiError(Exception):
    """A refusal of the API, with its message. `status` is the HTTP status, 0 if there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Customer:
    def __init__(self, url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._client = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=120)

    def upload_model(self, path: Path, name: str) -> dict[str, Any]:
        return self._json(self._client.post("/models", params={"name": name}, content=path.read_bytes()))

    def wait_for_admission(self, model_id: str, *, timeout_s: float = 180) -> dict[str, Any]:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            model = self._json(self._client.get(f"/models/{model_id}"))
            if model["status"] == "admitted":
                return model
            if model["status"] == "refused":
                raise ApiError(f"the model was refused: {model['code']}: {model['message']}")
            time.sleep(0.25)
        raise ApiError("admission took too long")

    def upload_input(self, path: Path) -> dict[str, Any]:
        return self._json(self._client.post("/files", params={"format": "npy"}, content=path.read_bytes()))

    def estimate(self, **body: Any) -> dict[str, Any]:
        return self._json(self._client.post("/estimates", json=body))

    def order(self, key: str, **body: Any) -> dict[str, Any]:
        return self._json(self._client.post("/jobs", json=body, headers={"Idempotency-Key": key}))

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json(self._client.get(f"/jobs/{job_id}"))

    def result(self, job_id: str) -> bytes:
        response = self._client.get(f"/jobs/{job_id}/result", params={"as": "npy"})
        if response.is_error:
            self._json(response)
        return response.content

    def wallet(self) -> dict[str, Any]:
        return self._json(self._client.get("/wallet"))

    def top_up(self, key: str, amount_micro: int) -> dict[str, Any]:
        body = {"amount_micro": amount_micro}
        return self._json(self._client.post("/wallet/top-ups", json=body, headers={"Idempotency-Key": key}))

    def top_up_state(self, top_up_id: str) -> dict[str, Any]:
        return self._json(self._client.get(f"/wallet/top-ups/{top_up_id}"))

    def invoices(self) -> list[dict[str, Any]]:
        """Return the invoices, newest first."""
        return list(self._json(self._client.get("/invoices"))["results"])

    def invoice_pdf(self, invoice_id: str) -> bytes:
        return self._client.get(f"/invoices/{invoice_id}.pdf").content

    @staticmethod
    def _json(response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            said = f"{response.request.method} {response.url.path}: {response.status_code} {response.text[:300]}"
            raise ApiError(said, response.status_code)
        return dict(response.json())
