"""The API's routes for connected accounts (Accounts v2), the links to their pages, and payouts to banks."""

import secrets
from typing import Any

from marketplace.local.fake_stripe import payee_objects
from marketplace.local.fake_stripe.errors import ApiError, parameter_missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payees import Payees
from marketplace.local.fake_stripe.section import PAGE, Route, Section, refuse_unknown

INCLUDABLE = {
    "configuration.recipient": "configuration",
    "identity": "identity",
    "requirements": "requirements",
    "defaults": "defaults",
}
RECIPIENT = {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}


class PayeeAccounts(Section):
    """The API's routes for connected accounts, their links and payouts."""

    def make_routes(self) -> list[Route]:
        self.payees = Payees(self.emitter)
        return [
            ("POST", r"/v2/core/accounts", self.create),
            ("GET", r"/v2/core/accounts", self.list_accounts),
            ("GET", r"/v2/core/accounts/(?P<object_id>\w+)", self.retrieve),
            ("POST", r"/v2/core/account_links", self.create_link),
            ("POST", r"/v1/accounts/(?P<object_id>\w+)/login_links", self.create_login_link),
            ("GET", r"/v1/payouts", self.list_payouts),
            ("GET", r"/v1/payouts/(?P<object_id>\w+)", self.getter("payout")),
        ]

    def create(self, params: Form) -> Object:
        refuse_unknown(
            params,
            {
                "contact_email",
                "display_name",
                "dashboard",
                "identity",
                "configuration",
                "defaults",
                "metadata",
                "include",
            },
        )
        if params.get("configuration") != {"recipient": RECIPIENT}:
            raise ApiError(
                400, "This fake supports only recipients of transfers.", code="account_configuration_not_supported"
            )
        if not params.get("identity", {}).get("country"):
            raise ApiError(400, "Country is required.", code="identity_country_required")
        if params["identity"]["country"] != params["identity"]["country"].lower():
            raise ApiError(400, "Countries are written in lower case.", code="invalid_fields")
        if params.get("defaults", {}).get("responsibilities") != {
            "fees_collector": "application",
            "losses_collector": "application",
        }:
            raise ApiError(
                400,
                "Express needs the platform to collect fees and losses.",
                code="account_controller_express_dash_without_application_losses_or_fees",
            )
        return self._view(self.payees.open(params), params.get("include", []))

    def retrieve(self, params: Form, object_id: str) -> Object:
        refuse_unknown(params, {"include"})
        return self._view(self.payees.account(object_id), params.get("include", []))

    def list_accounts(self, params: Form) -> Object:
        """List accounts. API v2 names the next page by its URL."""
        refuse_unknown(params, {"applied_configurations", "closed", "limit", "page"})
        rows, limit = list(self.store.newest("v2.core.account")), int(params.get("limit", 20))
        first = int(params.get("page", 0))
        next_page = f"/v2/core/accounts?limit={limit}&page={first + limit}" if len(rows) > first + limit else None
        shown = [self._view(row, []) for row in rows[first : first + limit]]
        return {"data": shown, "next_page_url": next_page, "previous_page_url": None}

    def create_link(self, params: Form) -> Object:
        """Create a link to onboarding, which works once and expires after minutes."""
        refuse_unknown(params, {"account", "use_case"})
        use_case: Any = params.get("use_case") or {}
        kind = use_case.get("type")
        if kind not in ("account_onboarding", "account_update") or set(use_case) != {"type", kind}:
            raise ApiError(400, "Name the page and the URLs that it leads back to.", code="invalid_fields")
        account, token = self.payees.account(params.get("account", "")), f"link_fake{secrets.token_hex(16)}"
        urls = use_case[kind]
        if not urls.get("refresh_url"):
            raise parameter_missing("refresh_url")
        self.store.put(
            {
                "id": token,
                "object": "fake.link",
                "created": self.now(),
                "account": account["id"],
                "used": False,
                "return_url": urls.get("return_url", urls["refresh_url"]),
                "refresh_url": urls["refresh_url"],
            }
        )
        return payee_objects.account_link(self.now(), url=f"{self.base_url}/setup/{token}", params=params)

    def create_login_link(self, params: Form, object_id: str) -> Object:
        refuse_unknown(params, set())
        self.payees.account(object_id)
        url = f"{self.base_url}/express/{object_id}/{secrets.token_hex(8)}"
        return {"object": "login_link", "created": self.now(), "url": url}

    def list_payouts(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"status"})
        return self.page("payout", "/v1/payouts", params, ("status",))

    def _view(self, account: Object, include: list[str]) -> Object:
        """Return the account without the parts that API v2 leaves out unless `include` names them."""
        hidden = set(INCLUDABLE.values()) - {INCLUDABLE[name] for name in include}
        return {name: value for name, value in account.items() if name not in hidden}
