"""What happens to payees (connected accounts): onboarding, checks, new requirements, and payouts to their banks."""

from marketplace.local.fake_stripe import payee_objects
from marketplace.local.fake_stripe.emitter import Emitter
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payee_objects import CONTACT, NO_RESOLUTION, PROVIDE_INFO, capability, requirement

BANK_PAYS, BANK_REFUSES = "000123456789", "000111111116"  # test numbers of Stripe's documentation
DEADLINE_S = 14 * 86_400
NEW = (
    "identity.individual.given_name",
    "identity.individual.date_of_birth",
    "identity.individual.address.line1",
    "external_account",
    "identity.attestations.terms_of_service.account.date",
)
DOCUMENT = "identity.individual.documents.primary_verification"
# Outcome -> (status of the capability, reason, resolution: what ends it, requirements)
OUTCOMES: dict[str, tuple[str, str, str, list[Object]]] = {
    "new": ("restricted", "requirements_past_due", PROVIDE_INFO, [requirement(name) for name in NEW]),
    "ready": ("active", "", "", []),
    "more": (
        "restricted",
        "requirements_past_due",
        PROVIDE_INFO,
        [requirement(DOCUMENT, due="past_due", error="verification_document_not_readable")],
    ),
    "restricted": ("restricted", "restricted_other", CONTACT, []),
    "pending": (
        "pending",
        "requirements_pending_verification",
        NO_RESOLUTION,
        [requirement(DOCUMENT, waits_for="stripe")],
    ),
    "soon": ("active", "", "", [requirement("identity.individual.id_number")]),
}


class Payees:
    """Changes accounts and emits thin events; pays their balances to banks and emits events of the account."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter, self.store, self.now = emitter, emitter.store, emitter.now

    def open(self, params: Object) -> Object:
        """Create an account that has entered nothing yet."""
        account = payee_objects.account(self.store.new_id("acct"), self.now(), params=params)
        return self.store.put(self._become(account, "new"))

    def onboard(self, account_id: str, *, name: str, bank: str, outcome: str) -> Object:
        """Enter name and bank account, and let Stripe decide (`outcome` is a key of OUTCOMES). Raises ApiError."""
        account = self.account(account_id)
        if outcome not in OUTCOMES or bank not in (BANK_PAYS, BANK_REFUSES) or not name.strip():
            raise ApiError(400, "Give a name, a bank account and an outcome.")
        return self.decide(account["id"], outcome, _name=name.strip(), _bank=bank)

    def decide(self, account_id: str, outcome: str, **known: str) -> Object:
        """Change an account to an outcome of OUTCOMES and emit events."""
        account = self._become({**self.account(account_id), **known}, outcome)
        self.store.put(account)
        self.emitter.thin("v2.core.account[requirements].updated", account)
        self.emitter.thin("v2.core.account[configuration.recipient].capability_status_updated", account)
        return account

    def receive(self, account_id: str, currency: str, amount: int) -> None:
        """Add `amount` (minor units, negative to take) to the account's balance.

        With the switch `banks_at_once`, the balance is paid to the bank right away.
        """
        account = self.account(account_id)
        account["_balance"][currency] = account["_balance"].get(currency, 0) + amount
        self.store.put(account)
        if amount > 0 and self.emitter.banks_at_once:
            self.pay_bank(account_id)

    def pay_bank(self, account_id: str) -> list[Object]:
        """Pay the account's whole balance to its bank, which accepts or refuses it.

        A refused payout stays in the balance.
        """
        account, payouts = self.account(account_id), []
        for currency, amount in account["_balance"].items():
            if amount > 0 and account["_bank"]:
                payout = payee_objects.bank_payout(
                    self.store.new_id("po"), self.now(), of=account, amount=amount, currency=currency
                )
                self.emitter.changed("payout.created", payout)
                payouts.append(payout)
        for payout in payouts:
            self.settle_bank(payout["id"], paid=account["_bank"] == BANK_PAYS)
        return payouts

    def settle_bank(self, payout_id: str, *, paid: bool) -> Object:
        """Record the bank's answer to a payout. A payout that was paid can still fail afterwards."""
        payout = self.store.get(payout_id, "payout")
        if payout is None or payout["status"] not in ("pending", "paid") or (paid and payout["status"] == "paid"):
            raise ApiError(400, "This payout is settled already.")
        account, earlier_status = self.account(payout["_account"]), payout["status"]
        returned = 0 if paid else payout["amount"] if earlier_status == "paid" else 0
        paid_out = payout["amount"] if paid else 0
        account["_balance"][payout["currency"]] += returned - paid_out
        self.store.put(account)
        payout["status"] = "paid" if paid else "failed"
        if not paid:
            payout |= {"failure_code": "account_closed", "failure_message": "The bank account has been closed."}
        return self.emitter.changed("payout.paid" if paid else "payout.failed", payout)

    def account(self, account_id: str) -> Object:
        """Return an account. Raises ApiError 404."""
        account = self.store.get(account_id, "v2.core.account")
        if account is None:
            raise ApiError(404, f"Account {account_id} not found.", code="not_found")
        return account

    def is_active(self, account_id: str) -> bool:
        """Return whether the account exists and can receive transfers."""
        account = self.store.get(account_id, "v2.core.account")
        return account is not None and _transfers(account)["status"] == "active"

    def _become(self, account: Object, outcome: str) -> Object:
        """Return the account with the capabilities and requirements of an outcome."""
        status, code, resolution, entries = OUTCOMES[outcome]
        capabilities = {name: capability(status, code, resolution) for name in ("stripe_transfers", "payouts")}
        account["configuration"]["recipient"]["capabilities"] = {"stripe_balance": capabilities}
        account["requirements"] = {"entries": entries}
        if entries:
            due = {"status": entries[0]["minimum_deadline"]["status"]}
            if outcome == "soon":
                due["time"] = payee_objects.iso(self.now() + DEADLINE_S)
            account["requirements"]["summary"] = {"minimum_deadline": due}
        return account


def _transfers(account: Object) -> Object:
    status: Object = account["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]
    return status
