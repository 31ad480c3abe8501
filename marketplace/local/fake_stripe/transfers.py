"""Our balance, and transfers from it to accounts, with their reversals."""

from marketplace.local.fake_stripe import payee_objects
from marketplace.local.fake_stripe.errors import ApiError, missing, parameter_missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payees import Payees
from marketplace.local.fake_stripe.section import PAGE, Route, Section, only


class Transfers(Section):
    def make_routes(self) -> list[Route]:
        self.payees = Payees(self.emitter)
        one = r"/v1/transfers/(?P<object_id>\w+)"
        return [
            ("GET", r"/v1/balance", self.balance),
            ("POST", r"/v1/transfers", self.create),
            ("GET", r"/v1/transfers", self.list_transfers),
            ("GET", one, self.getter("transfer")),
            ("POST", f"{one}/reversals", self.reverse),
            ("GET", f"{one}/reversals", self.list_reversals),
        ]

    def balance(self, params: Form) -> Object:
        only(params, {"expand"})
        shown = {
            name: [
                {"amount": amount, "currency": currency, "source_types": {"card": amount}}
                for currency, amount in sorted(sums.items())
            ]
            for name, sums in self.sums().items()
        }
        return {"object": "balance", "livemode": False, **shown}

    def sums(self) -> dict[str, dict[str, int]]:
        """What is available and what is pending. Charges are available at once, or after two days: a switch of the fake."""
        found: dict[str, dict[str, int]] = {"available": {"usd": 0}, "pending": {"usd": 0}}
        for row in self.store.newest("balance_transaction"):
            ready = self.emitter.available_at_once or row["available_on"] <= self.now()
            sums = found["available" if ready else "pending"]
            sums[row["currency"]] = sums.get(row["currency"], 0) + row["net"]
        return found

    def create(self, params: Form) -> Object:
        only(params, {"amount", "currency", "destination", "transfer_group", "metadata", "description"})
        for name in ("amount", "currency", "destination"):
            if not params.get(name):
                raise parameter_missing(name)
        amount, account_id = int(params["amount"]), params["destination"]
        if amount <= 0:
            raise ApiError(400, "Invalid positive integer", code="parameter_invalid_integer", param="amount")
        if self.store.get(account_id, "v2.core.account") is None:
            raise ApiError(400, f"No such destination: '{account_id}'", code="resource_missing", param="destination")
        if not self.payees.is_active(account_id):
            raise ApiError(
                400,
                "Your destination account needs to have at least one of the following capabilities enabled: transfers",
                code="insufficient_capabilities_for_transfer",
                began=True,
            )
        if amount > self.sums()["available"].get(params["currency"], 0):
            raise ApiError(
                400,
                "You have insufficient available funds in your Stripe account.",
                code="balance_insufficient",
                began=True,
            )
        made = payee_objects.transfer(
            self.store.new_id("tr"), self.now(), params=params, amount=amount, payment_id=self.store.new_id("py")
        )
        made["balance_transaction"] = self._book(made, "transfer", "transfer", -amount)
        self.emitter.changed("transfer.created", made)
        self.payees.receive(account_id, made["currency"], amount)
        return made

    def list_transfers(self, params: Form) -> Object:
        only(params, PAGE | {"destination", "transfer_group"})
        return self.page("transfer", "/v1/transfers", params, ("destination", "transfer_group"))

    def reverse(self, params: Form, object_id: str) -> Object:
        """Only what the account still has."""
        only(params, {"amount", "metadata", "description"})
        found = self._transfer(object_id)
        left = found["amount"] - found["amount_reversed"]
        amount = int(params.get("amount", left))
        if not 0 < amount <= left:
            raise ApiError(400, "The transfer has been reversed already.", code="transfer_already_reversed")
        if self.payees.account(found["destination"])["_balance"].get(found["currency"], 0) < amount:
            raise ApiError(400, "The account does not have enough.", code="balance_insufficient", began=True)
        made = payee_objects.reversal(
            self.store.new_id("trr"), self.now(), of=found, amount=amount, metadata=params.get("metadata", {})
        )
        booked = {**found, "id": made["id"]}
        made["balance_transaction"] = self._book(booked, "transfer_refund", "transfer_reversal", amount)
        self.payees.receive(found["destination"], found["currency"], -amount)
        found["amount_reversed"] += amount
        found["reversed"] = found["amount_reversed"] == found["amount"]
        found["reversals"]["data"] = [made, *found["reversals"]["data"]]
        self.store.put(made)
        self.emitter.changed("transfer.reversed", found)
        return made

    def list_reversals(self, params: Form, object_id: str) -> Object:
        only(params, PAGE)
        self._transfer(object_id)
        return self.page(
            "transfer_reversal",
            f"/v1/transfers/{object_id}/reversals",
            {**params, "transfer": object_id},
            ("transfer",),
        )

    def _transfer(self, object_id: str) -> Object:
        found = self.store.get(object_id, "transfer")
        if found is None:
            raise missing(object_id, "transfer")
        return found

    def _book(self, of: Object, kind: str, category: str, amount: int) -> str:
        row = payee_objects.movement(
            self.store.new_id("txn"), self.now(), kind=kind, category=category, amount=amount, of=of
        )
        return str(self.store.put(row)["id"])
