"""An owner at the portal, through the pages' forms and cookies but without a browser."""

import html
import re
from dataclasses import dataclass

import httpx

CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
KEY = re.compile(r'name="key" value="([^"]+)"')
CODE = re.compile(r"\b([2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4})\b")


class PortalError(Exception):
    """The portal gave an answer with which a person could not continue."""


@dataclass
class Portal:
    """One signed-in owner."""

    client: httpx.Client

    @classmethod
    def sign_in(cls, url: str, email: str, password: str) -> "Portal":
        portal = cls(httpx.Client(base_url=url, follow_redirects=True, timeout=120))
        page = portal._post("/accounts/login/", form_page="/accounts/login/", login=email, password=password)
        if "/vehicles/" not in str(page.url):
            raise PortalError(f"{email} could not sign in")
        return portal

    def add_vehicle(self, *, label: str, make_model: str, vin: str) -> str:
        """Add a vehicle and return the enrolment code that the page shows."""
        page = self._post("/vehicles/add", label=label, make_model=make_model, vin=vin)
        code = CODE.search(html.unescape(page.text))
        if code is None:
            raise PortalError(f"no enrolment code for {label}")
        return code.group(1)

    def enrolment_code(self, vehicle_id: str) -> str:
        page = self.client.get(f"/vehicles/{vehicle_id}/enrol")
        code = CODE.search(page.text)
        if code is None:
            raise PortalError("no enrolment code")
        return code.group(1)

    def decide(self, vehicle_id: str, decision: str, purpose: str = "run_jobs") -> None:
        address = f"/vehicles/{vehicle_id}/consents/{purpose}"
        shown = re.search(
            f'action="{address}".*?name="notice_version" value="(\\d+)"', self.client.get("/consents/").text, re.DOTALL
        )
        if shown is None:
            raise PortalError(f"no text of {purpose} is shown")
        page = self._post(address, decision=decision, notice_version=shown.group(1))
        if page.status_code != 200:
            raise PortalError(f"{decision} answered {page.status_code}")

    def start_onboarding(self, *, country: str) -> str:
        """Press the button that leads to Stripe's page, and return that page's address."""
        page = self.client.get("/payouts/account")
        token, key = CSRF.search(page.text), KEY.search(page.text)
        if token is None:
            raise PortalError("the page about payouts has no form")
        fields = {"csrfmiddlewaretoken": token.group(1), "country": country, "key": key.group(1) if key else ""}
        answer = self.client.post("/payouts/account/start", data=fields, follow_redirects=False)
        if answer.status_code != 302:
            raise PortalError(f"starting to be paid answered {answer.status_code}")
        return str(answer.headers["location"])

    def _post(self, path: str, *, form_page: str = "/vehicles/", **fields: str) -> httpx.Response:
        form = self.client.get(form_page)
        token = CSRF.search(form.text)
        if token is None:
            raise PortalError(f"{form_page} has no form ({form.status_code})")
        return self.client.post(path, data={"csrfmiddlewaretoken": token.group(1), **fields})
