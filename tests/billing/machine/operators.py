"""Rules about operators: every act on money that one proposes and another approves."""

from typing import Any

from hypothesis.stateful import rule

from billing.approvals import service as approvals
from billing.disputes import decisions as dispute_decisions
from billing.models import Approval, CardDispute, Dispute, Payout, RatedUsage, Refund
from tests.billing.machine.base import WHY, Base, choose, crashes, picks


class Operators(Base):
    """Acts of two operators."""

    @rule(pick=picks, crash=crashes)
    def propose(self, pick: int, crash: int) -> None:
        """Propose any act about any subject.

        There are few keys: some proposals are repeated, some differ under one key.
        """
        kind = choose(list(Approval.Kind), pick)
        params = self._params(str(kind), pick)
        if params is not None:
            with self.dying_after(crash):
                approvals.propose(
                    kind=str(kind),
                    params=params,
                    reason=WHY,
                    idempotency_key=f"p{kind}:{pick % 4}",
                    actor=self.scene.operators[pick % 2],
                )

    @rule(pick=picks, crash=crashes)
    def agree_on_money(self, pick: int, crash: int) -> None:
        self._agree(
            ("refund", "promo_credit", "adjust_customer", "adjust_owner", "bank_top_up", "write_off"), pick, crash
        )

    @rule(pick=picks, crash=crashes)
    def agree_on_payouts(self, pick: int, crash: int) -> None:
        self._agree(
            ("hold_payout", "release_payout", "return_payout", "reverse_payout", "resend_payout", "resolve_refund"),
            pick,
            crash,
        )

    @rule(pick=picks, crash=crashes)
    def agree_on_work(self, pick: int, crash: int) -> None:
        self._agree(("void_usage", "decide_dispute", "decide_dispute"), pick, crash)

    @rule(pick=picks, crash=crashes)
    def approve(self, pick: int, crash: int) -> None:
        """Approve any proposal: also the operator's own (refused), and one that is done (must not be done again)."""
        if approval := choose(list(Approval.objects.order_by("-id")), pick // 4):
            with self.dying_after(crash):
                approvals.approve(approval=approval, actor=self.scene.operators[pick % 2])

    @rule(pick=picks, crash=crashes)
    def turn_down(self, pick: int, crash: int) -> None:
        if pick % 2 and (dispute := choose(list(Dispute.objects.order_by("id")), pick)):
            with self.dying_after(crash):
                dispute_decisions.reject(
                    dispute=dispute, decision="They are right as they are.", actor=self.scene.operators[0]
                )
        elif approval := choose(list(Approval.objects.order_by("id")), pick):
            with self.dying_after(crash):
                approvals.reject(approval=approval, actor=self.scene.operators[pick // 2 % 2], note="No.")

    def _agree(self, kinds: tuple[str, ...], pick: int, crash: int) -> None:
        kind = kinds[pick % len(kinds)]
        params = self._params(kind, pick // 2)
        if params is not None:
            with self.dying_after(crash):
                self.agree(kind, params, key=f"q{kind}:{pick % 7}")

    def _params(self, kind: str, pick: int) -> dict[str, Any] | None:
        signed = (-1 if pick % 3 == 0 else 1) * (10_000 * (pick % 5 + 1) + pick % 2)
        organization = str(self.scene.customers[pick % 2].organization.public_id)
        if kind == "bank_top_up":
            return {"organization": organization, "amount_micro": 5_000_000, "reference": f"wire {pick % 3}"}
        if kind in ("refund", "promo_credit"):
            return {"organization": organization, "amount_micro": 1_000_000 * (pick % 3 + 1)}
        if kind == "adjust_customer":
            return {"organization": organization, "amount_micro": signed}
        if kind == "adjust_owner":
            return {"owner": str(self.scene.owners[pick % 2].public_id), "amount_micro": signed}
        if kind == "void_usage":
            rated = choose(list(RatedUsage.objects.order_by("id")), pick)
            return rated and {"rated": rated.pk}
        if kind == "resolve_refund":
            refund = choose(list(Refund.objects.order_by("id")), pick)
            return refund and {"refund": str(refund.public_id)}
        if kind == "write_off":
            card_dispute = choose(list(CardDispute.objects.order_by("id")), pick)
            return card_dispute and {"card_dispute": str(card_dispute.public_id)}
        if kind == "decide_dispute":
            dispute = choose(list(Dispute.objects.order_by("id")), pick)
            bearer = "owner" if pick % 2 and dispute and dispute.order_id else "platform"
            return dispute and {
                "dispute": str(dispute.public_id),
                "amount_micro": max(1, dispute.claimed_micro // (pick % 3 + 1)),
                "bearer": bearer,
                "decision": WHY,
            }
        payout = choose(list(Payout.objects.order_by("id")), pick)
        more = {"cause": ["fraud", "wrong_payee"][pick // 4 % 2]} if kind == "reverse_payout" else {}
        return payout and {"payout": str(payout.public_id), **more}
