"""Rules about chargebacks: a cardholder disputes a payment, the bank decides, and we submit evidence."""

from contextlib import suppress

from hypothesis.stateful import rule

from billing.chargebacks import chargebacks
from billing.models import CardDispute
from marketplace.local.fake_stripe.disputes import Disputes
from marketplace.local.fake_stripe.errors import ApiError
from tests.billing.machine.base import Base, choose, crashes, picks


class Banks(Base):
    """Acts of cardholders' banks, and our answers."""

    @rule(pick=picks)
    def charge_back(self, pick: int) -> None:
        charges = [row for row in self.at_stripe("charge") if row["paid"] and not row["disputed"]]
        if charge := choose(charges, pick):
            self.section(Disputes).open(charge["id"], inquiry=pick % 4 == 0)

    @rule(pick=picks)
    def decide_chargeback(self, pick: int) -> None:
        """Move a dispute on: the bank takes the money after an inquiry, closes it, asks again, or decides.

        A move that the dispute's state does not allow does nothing.
        """
        if dispute := choose(self.at_stripe("dispute"), pick):
            desk, name = self.section(Disputes), dispute["id"]
            moves = [
                lambda: desk.escalate(name),
                lambda: desk.close_inquiry(name),
                lambda: desk.ask_again(name),
                lambda: desk.decide(name, won=True),
                lambda: desk.decide(name, won=False),
                lambda: desk.decide(name, won=pick % 2 == 0),
            ]
            with suppress(ApiError):
                moves[pick % len(moves)]()

    @rule(pick=picks, crash=crashes)
    def answer_bank(self, pick: int, crash: int) -> None:
        if dispute := choose(list(CardDispute.objects.order_by("id")), pick):
            texts = ["They used it.", "winning_evidence", "losing_evidence"]
            with self.dying_after(crash):
                chargebacks.submit_evidence(dispute=dispute, text=texts[pick % 3], actor=self.scene.operators[0])
