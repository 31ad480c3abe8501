"""Payouts of the platform's own balance to its own bank, as made by Stripe's schedule or by hand in its dashboard."""

from marketplace.local.fake_stripe import payee_objects
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.section import Route, Section

PLATFORM_ACCOUNT = {"id": "acct_platform"}


class PlatformPayouts(Section):
    """Pays the platform's balance to its bank. It has no routes: PayeeAccounts answers requests for all payouts."""

    def make_routes(self) -> list[Route]:
        return []

    def pay(self, amount: int, currency: str = "usd") -> Object:
        """Pay out `amount` (minor units) of the platform's balance. Return the payout."""
        payout = payee_objects.bank_payout(
            self.store.new_id("po"), self.now(), of=PLATFORM_ACCOUNT, amount=amount, currency=currency
        )
        payout |= {"_account": "", "automatic": False, "reconciliation_status": "not_applicable"}
        payout["balance_transaction"] = self._book(payout, "payout", -amount)
        self.emitter.changed("payout.created", payout)
        payout["status"] = "paid"
        return self.emitter.changed("payout.paid", payout)

    def fail(self, payout_id: str) -> Object:
        """Let the bank return a paid payout, which may happen days later. Raises ApiError if it cannot come back."""
        payout = self.store.get(payout_id, "payout")
        if payout is None or payout["_account"] or payout["status"] != "paid":
            raise ApiError(400, "This payout cannot be returned.")
        payout |= {"status": "failed", "failure_code": "account_closed"}
        payout["failure_balance_transaction"] = self._book(payout, "payout_failure", payout["amount"])
        return self.emitter.changed("payout.failed", payout)

    def _book(self, payout: Object, kind: str, amount: int) -> str:
        category = "payout" if kind == "payout" else "payout_reversal"
        row = payee_objects.movement(
            self.store.new_id("txn"), self.now(), kind=kind, category=category, amount=amount, of=payout
        )
        return str(self.store.put(row)["id"])
