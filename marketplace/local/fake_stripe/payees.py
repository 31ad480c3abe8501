"""What happens to accounts that receive transfers: onboarding, checks, demands, and payouts to their banks."""

from marketplace.local.fake_stripe import payee_objects
from marketplace.local.fake_stripe.emitter import Emitter
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.payee_objects import CONTACT, NO_RESOLUTION, PROVIDE_INFO, capability, requirement

BANK_PAYS, BANK_REFUSES = "000123456789", "000111111116"  # Stripe's own test numbers
DEADLINE_S = 14 * 86_400
NEW = (
    "identity.individual.given_name",
    "identity.individual.date_of_birth",
    "identity.individual.address.line1",
    "external_account",
    "identity.attestations.terms_of_service.account.date",
)
DOCUMENT = "identity.individual.documents.primary_verification"
# outcome: status of the capability, its reason, what ends that, and what is required
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
    """Moves accounts and says so in thin events; pays banks and says so in events of the account."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter, self.store, self.now = emitter, emitter.store, emitter.now

    def open(self, params: Object) -> Object:
        """A new account, of which everything is still asked."""
        made = payee_objects.account(self.store.new_id("acct"), self.now(), params=params)
        return self.store.put(self._become(made, "new"))

    def onboard(self, account_id: str, *, name: str, bank: str, outcome: str) -> Object:
        """What its owner entered, and what Stripe makes of it."""
        found = self.account(account_id)
        if outcome not in OUTCOMES or bank not in (BANK_PAYS, BANK_REFUSES) or not name.strip():
            raise ApiError(400, "Give a name, a bank account and an outcome.")
        return self.decide(found["id"], outcome, _name=name.strip(), _bank=bank)

    def decide(self, account_id: str, outcome: str, **known: str) -> Object:
        """What Stripe makes of an account, now."""
        found = self._become({**self.account(account_id), **known}, outcome)
        self.store.put(found)
        self.emitter.thin("v2.core.account[requirements].updated", found)
        self.emitter.thin("v2.core.account[configuration.recipient].capability_status_updated", found)
        return found

    def receive(self, account_id: str, currency: str, amount: int) -> None:
        """Add to the account's balance, or take from it."""
        found = self.account(account_id)
        found["_balance"][currency] = found["_balance"].get(currency, 0) + amount
        self.store.put(found)
        if amount > 0 and self.emitter.banks_at_once:
            self.pay_bank(account_id)

    def pay_bank(self, account_id: str) -> list[Object]:
        """Pay the account's whole balance to its bank, which takes it or not; what it does not take comes back."""
        found, made = self.account(account_id), []
        for currency, amount in found["_balance"].items():
            if amount > 0 and found["_bank"]:
                payout = payee_objects.bank_payout(
                    self.store.new_id("po"), self.now(), of=found, amount=amount, currency=currency
                )
                self.emitter.changed("payout.created", payout)
                made.append(payout)
        for payout in made:
            self.settle_bank(payout["id"], paid=found["_bank"] == BANK_PAYS)
        return made

    def settle_bank(self, payout_id: str, *, paid: bool) -> Object:
        """The bank's answer. One that was paid can still fail afterwards."""
        payout = self.store.get(payout_id, "payout")
        if payout is None or payout["status"] not in ("pending", "paid") or (paid and payout["status"] == "paid"):
            raise ApiError(400, "This payout is over.")
        found, was = self.account(payout["_account"]), payout["status"]
        back = 0 if paid else payout["amount"] if was == "paid" else 0
        taken = payout["amount"] if paid else 0
        found["_balance"][payout["currency"]] += back - taken
        self.store.put(found)
        payout["status"] = "paid" if paid else "failed"
        if not paid:
            payout |= {"failure_code": "account_closed", "failure_message": "The bank account has been closed."}
        return self.emitter.changed("payout.paid" if paid else "payout.failed", payout)

    def account(self, account_id: str) -> Object:
        found = self.store.get(account_id, "v2.core.account")
        if found is None:
            raise ApiError(404, f"Account {account_id} not found.", code="not_found")
        return found

    def is_active(self, account_id: str) -> bool:
        found = self.store.get(account_id, "v2.core.account")
        return found is not None and _transfers(found)["status"] == "active"

    def _become(self, found: Object, outcome: str) -> Object:
        status, code, resolution, entries = OUTCOMES[outcome]
        both = {name: capability(status, code, resolution) for name in ("stripe_transfers", "payouts")}
        found["configuration"]["recipient"]["capabilities"] = {"stripe_balance": both}
        found["requirements"] = {"entries": entries}
        if entries:
            due = {"status": entries[0]["minimum_deadline"]["status"]}
            if outcome == "soon":
                due["time"] = payee_objects.iso(self.now() + DEADLINE_S)
            found["requirements"]["summary"] = {"minimum_deadline": due}
        return found


def _transfers(found: Object) -> Object:
    status: Object = found["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]
    return status
