"""Cardholders who go to their bank, and what the bank makes of it; our answer to it."""

from contextlib import suppress

from hypothesis.stateful import rule

from billing.chargebacks import chargebacks
from billing.models import CardDispute
from marketplace.local.fake_stripe.disputes import Disputes
from marketplace.local.fake_stripe.errors import ApiError
from tests.billing.machine.base import Base, crashes, one, picks


class Banks(Base):
    @rule(pick=picks)
    def charge_back(self, pick: int) -> None:
        charges = [row for row in self.at_stripe("charge") if row["paid"] and not row["disputed"]]
        if charge := one(charges, pick):
            self.section(Disputes).open(charge["id"], inquiry=pick % 4 == 0)

    @rule(pick=picks)
    def decide_chargeback(self, pick: int) -> None:
        """The bank takes after asking, decides, asks again, or loses interest; what cannot be said now is not said."""
        if dispute := one(self.at_stripe("dispute"), pick):
            desk, name = self.section(Disputes), dispute["id"]
            say = [
                lambda: desk.escalate(name),
                lambda: desk.close_inquiry(name),
                lambda: desk.ask_again(name),
                lambda: desk.decide(name, won=True),
                lambda: desk.decide(name, won=False),
                lambda: desk.decide(name, won=pick % 2 == 0),
            ]
            with suppress(ApiError):
                say[pick % len(say)]()

    @rule(pick=picks, crash=crashes)
    def answer_bank(self, pick: int, crash: int) -> None:
        if dispute := one(list(CardDispute.objects.order_by("id")), pick):
            words = ["They used it.", "winning_evidence", "losing_evidence"]
            with self.dying_after(crash):
                chargebacks.submit_evidence(dispute=dispute, text=words[pick % 3], actor=self.scene.operators[0])
