"""The platform's balance, transfers from it to connected accounts, and their reversals."""

from marketplace.local.fake_stripe import payee_objects
from marketplace.local.fake_stripe.errors import ApiError, missing, parameter_missing
from marketplace.local.fake_stripe.forms import Form
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payees import Payees
from marketplace.local.fake_stripe.section import PAGE, Route, Section, refuse_unknown


class Transfers(Section):
    """The API's routes for the balance, transfers and reversals."""

    def make_routes(self) -> list[Route]:
        self.payees = Payees(self.emitter)
        path = r"/v1/transfers/(?P<object_id>\w+)"
        return [
            ("GET", r"/v1/balance", self.balance),
            ("POST", r"/v1/transfers", self.create),
            ("GET", r"/v1/transfers", self.list_transfers),
            ("GET", path, self.getter("transfer")),
            ("POST", f"{path}/reversals", self.reverse),
            ("GET", f"{path}/reversals", self.list_reversals),
        ]

    def balance(self, params: Form) -> Object:
        refuse_unknown(params, {"expand"})
        shown = {
            name: [
                {"amount": amount, "currency": currency, "source_types": {"card": amount}}
                for currency, amount in sorted(sums.items())
            ]
            for name, sums in self.sums().items()
        }
        return {"object": "balance", "livemode": False, **shown}

    def sums(self) -> dict[str, dict[str, int]]:
        """Return the available and the pending balance, by currency.

        The switch `available_at_once` decides whether charges are available at once or after two days.
        """
        by_state: dict[str, dict[str, int]] = {"available": {"usd": 0}, "pending": {"usd": 0}}
        for row in self.store.newest("balance_transaction"):
            ready = self.emitter.available_at_once or row["available_on"] <= self.now()
            sums = by_state["available" if ready else "pending"]
            sums[row["currency"]] = sums.get(row["currency"], 0) + row["net"]
        return by_state

    def create(self, params: Form) -> Object:
        refuse_unknown(params, {"amount", "currency", "destination", "transfer_group", "metadata", "description"})
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
        transfer = payee_objects.transfer(
            self.store.new_id("tr"), self.now(), params=params, amount=amount, payment_id=self.store.new_id("py")
        )
        transfer["balance_transaction"] = self._book(transfer, "transfer", "transfer", -amount)
        self.emitter.changed("transfer.created", transfer)
        self.payees.receive(account_id, transfer["currency"], amount)
        return transfer

    def list_transfers(self, params: Form) -> Object:
        refuse_unknown(params, PAGE | {"destination", "transfer_group"})
        return self.page("transfer", "/v1/transfers", params, ("destination", "transfer_group"))

    def reverse(self, params: Form, object_id: str) -> Object:
        """Take money back from an account, at most what it still holds."""
        refuse_unknown(params, {"amount", "metadata", "description"})
        transfer = self._transfer(object_id)
        not_reversed = transfer["amount"] - transfer["amount_reversed"]
        amount = int(params.get("amount", not_reversed))
        if not 0 < amount <= not_reversed:
            raise ApiError(400, "The transfer has been reversed already.", code="transfer_already_reversed")
        if self.payees.account(transfer["destination"])["_balance"].get(transfer["currency"], 0) < amount:
            raise ApiError(400, "The account does not have enough.", code="balance_insufficient", began=True)
        reversal = payee_objects.reversal(
            self.store.new_id("trr"), self.now(), of=transfer, amount=amount, metadata=params.get("metadata", {})
        )
        booked = {**transfer, "id": reversal["id"]}
        reversal["balance_transaction"] = self._book(booked, "transfer_refund", "transfer_reversal", amount)
        self.payees.receive(transfer["destination"], transfer["currency"], -amount)
        transfer["amount_reversed"] += amount
        transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
        transfer["reversals"]["data"] = [reversal, *transfer["reversals"]["data"]]
        self.store.put(reversal)
        self.emitter.changed("transfer.reversed", transfer)
        return reversal

    def list_reversals(self, params: Form, object_id: str) -> Object:
        refuse_unknown(params, PAGE)
        self._transfer(object_id)
        return self.page(
            "transfer_reversal",
            f"/v1/transfers/{object_id}/reversals",
            {**params, "transfer": object_id},
            ("transfer",),
        )

    def _transfer(self, object_id: str) -> Object:
        transfer = self.store.get(object_id, "transfer")
        if transfer is None:
            raise missing(object_id, "transfer")
        return transfer

    def _book(self, of: Object, kind: str, category: str, amount: int) -> str:
        row = payee_objects.movement(
            self.store.new_id("txn"), self.now(), kind=kind, category=category, amount=amount, of=of
        )
        return str(self.store.put(row)["id"])
