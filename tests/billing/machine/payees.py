"""Rules about owners: their accounts at Stripe, transfers to these, and payouts to their banks."""

from contextlib import suppress

from hypothesis.stateful import rule

from billing.disputes import disputes
from billing.models import Statement
from billing.payouts import accounts as connected_accounts
from billing.payouts import bank as bank_payouts
from billing.payouts import payouts
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.payees import BANK_PAYS, BANK_REFUSES, Payees
from tests.billing.machine.base import Base, choose, crashes, picks

OUTCOMES = ["ready", "ready", "ready", "restricted", "pending", "more"]


class OwnersPaid(Base):
    """Acts of owners and their banks."""

    @property
    def payees(self) -> Payees:
        return Payees(self.world.fake.emitter)

    @rule(pick=picks, crash=crashes)
    def want_account(self, pick: int, crash: int) -> None:
        with self.dying_after(crash):
            account = connected_accounts.start(
                owner=self.scene.owners[pick % 2], country="US", idempotency_key=f"a{pick % 3}"
            )
            connected_accounts.send_now(account)

    @rule(pick=picks)
    def fill_in(self, pick: int) -> None:
        """Fill in the account on Stripe's page, or let Stripe change the account's state later."""
        if account := choose(self.at_stripe("v2.core.account"), pick):
            outcome, bank = OUTCOMES[pick % len(OUTCOMES)], BANK_REFUSES if pick % 7 == 0 else BANK_PAYS
            self.payees.onboard(account["id"], name="A. Owner", bank=bank, outcome=outcome)

    @rule(crash=crashes)
    def send_payouts(self, crash: int) -> None:
        with self.dying_after(crash):
            payouts.send_due()

    @rule(pick=picks)
    def bank_pays(self, pick: int) -> None:
        """Let Stripe pay an account out to its bank, or a payout to a bank come back days later."""
        if account := choose(self.at_stripe("v2.core.account"), pick):
            self.payees.pay_bank(account["id"])
        if pick % 4 == 0 and (payout := choose(self.at_stripe("payout"), pick)):
            with suppress(ApiError):
                self.payees.settle_bank(payout["id"], paid=False)

    @rule(pick=picks, crash=crashes)
    def look_at_accounts(self, pick: int, crash: int) -> None:
        with self.dying_after(crash):
            (bank_payouts.refresh_open if pick % 2 else connected_accounts.refresh_unready)()

    @rule(pick=picks, crash=crashes)
    def dispute_statement(self, pick: int, crash: int) -> None:
        if statement := choose(list(Statement.objects.select_related("owner__user").order_by("id")), pick):
            with self.dying_after(crash):
                disputes.open_statement(
                    owner=statement.owner,
                    statement=statement,
                    reason="An hour is missing.",
                    claimed_micro=1_234_567 + pick % 2,
                    idempotency_key=f"s{statement.pk}:{pick % 2}",
                    actor=statement.owner.user,
                )
