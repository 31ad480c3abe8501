"""What must be true at any moment and at the end of a run, computed from the fake's objects and not from our ledger."""

from collections import Counter

from django.db import connection
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone
from hypothesis.stateful import invariant

from billing.invoices import invoices
from billing.ledger import posting
from billing.models import (
    Approval,
    BalanceTransaction,
    CardDispute,
    CardTopUp,
    ConnectedAccount,
    Dispute,
    JobOrder,
    LedgerAccount,
    LedgerTransfer,
    Payout,
    PromoCredit,
    RatedUsage,
    Refund,
    SavedCard,
    StripeCommand,
    StripeCustomer,
    StripeEvent,
    TopUp,
    UsageVoid,
)
from billing.orders import closing, voids
from billing.orders.settlement import settle_usage
from billing.payouts import payouts
from billing.refunds import resolutions
from billing.statements import statements
from billing.stripe import outbox, sweeps
from tests.billing.helpers import end_job, sweep_money
from tests.billing.machine.base import Base

MADE = ("checkout.session", "payment_intent", "refund", "transfer", "transfer_reversal")
MICRO = 10_000  # micro-units in a cent
QUICK = ("balances", "floors", "sums", "reversals")


class Truth(Base):
    """The invariants."""

    seen: tuple[int, int] = (0, 0)

    @invariant()
    def nothing_is_double_or_out_of_balance(self) -> None:
        """Check after every act that changed the ledger or the fake."""
        seen = (LedgerTransfer.objects.count(), self.world.fake.store.sql.total_changes)
        if seen != self.seen:
            self.seen = seen
            self.nothing_is_twice_at_stripe()
            self.nothing_is_credited_that_was_not_paid()
            assert posting.recompute(QUICK) == []

    def nothing_is_twice_at_stripe(self) -> None:
        """Check that every command made at most one object of each kind (a page makes a session and a payment)."""
        rows = [row for kind in MADE for row in self.at_stripe(kind) if "command" in row["metadata"]]
        counts = Counter((row["object"], row["metadata"]["command"]) for row in rows)
        assert [command for command, count in counts.items() if count > 1] == []

    def nothing_is_credited_that_was_not_paid(self) -> None:
        paid = {row["id"] for row in self.at_stripe("payment_intent") if row["status"] == "succeeded"}
        credited = list(TopUp.objects.filter(method="stripe").values_list("reference", flat=True))
        assert set(credited) <= paid
        assert len(credited) == len(set(credited))

    def finish(self) -> None:
        """Process everything without faults and crashes, then check that nothing is open and nothing is missing."""
        self.world.transport.faults = []
        self.come_to_rest()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # checks what a commit would check
        assert posting.recompute() == []
        self.nothing_waits()
        self.stripe_has_what_the_ledger_says()
        for customer in self.scene.customers:
            self.customer_adds_up(customer.organization.pk)
        for owner in self.scene.owners:
            self.owner_adds_up(owner.pk)
        self.papers_are_whole()
        self.nothing_is_twice_at_stripe()
        self.nothing_is_credited_that_was_not_paid()

    def come_to_rest(self) -> None:
        """End all jobs and run all workers.

        Two rounds, since what the first sends to Stripe causes events for the second.
        """
        for order in JobOrder.objects.filter(status="held", job__status="queued").select_related("job"):
            end_job(order.job, "completed")
        settle_usage()
        voids.settle_voids()
        closing.close_orders()
        for _ in range(2):
            sweeps.sweep_events()
            self.world.run()
            payouts.send_due()
            self.operators_look()
        for sweep in (sweeps.sweep_events, sweeps.sweep_balance, sweep_money):
            sweep()
        self.world.run()
        statements.close_due(until=timezone.now())
        invoices.close_due(until=timezone.now())

    def operators_look(self) -> None:
        """Let operators settle what was given up with an unknown outcome: resolve refunds, retry other commands."""
        dead = StripeCommand.objects.filter(status="dead", outcome_unknown=True)
        dead.update(due_at="2020-01-01T00:00Z")
        for command in dead:
            with self.dying_after(0):
                if command.kind == "create_refund":
                    refund = str(Refund.objects.get(command=command).public_id)
                    self.agree("resolve_refund", {"refund": refund}, key=f"given up:{refund}")
                    resolutions.resolve_approved()
                else:
                    outbox.retry(command=command, actor=self.scene.operators[0])

    def nothing_waits(self) -> None:
        assert not StripeCommand.objects.filter(status="queued").exclude(after__status="dead").exists()
        assert not StripeEvent.objects.filter(status__in=["received", "dead"]).exists()
        assert not JobOrder.objects.exclude(status="closed").exists()
        assert not CardTopUp.objects.filter(status="created", command__status="done").exists()
        assert not LedgerAccount.objects.filter(kind="hold").exclude(balance_micro=0).exists()

    def stripe_has_what_the_ledger_says(self) -> None:
        booked = self.at_stripe("balance_transaction")
        transfers = LedgerTransfer.objects
        clearing = total(transfers.filter(debit__kind="stripe_clearing"), "amount_micro")
        clearing -= total(transfers.filter(credit__kind="stripe_clearing"), "amount_micro")
        assert clearing == sum(row["net"] for row in booked) * MICRO
        assert BalanceTransaction.objects.count() == len(booked)
        assert total(transfers.filter(kind="fee"), "amount_micro") == sum(row["fee"] for row in booked) * MICRO
        attached = {row["id"] for row in self.at_stripe("payment_method") if row["customer"]}
        assert attached == set(SavedCard.objects.filter(status="active").values_list("payment_method_id", flat=True))

    def customer_adds_up(self, organization: int) -> None:
        """Check that the wallet has what cards paid and did not get back, plus what was given, less what work cost."""
        stripe_ids = set(StripeCustomer.objects.filter(organization=organization).values_list("stripe_id", flat=True))
        charges = {row["id"]: row for row in self.at_stripe("charge") if row["customer"] in stripe_ids}
        moved = {str(charge["balance_transaction"]) for charge in charges.values()}
        moved |= {
            row[name]
            for row in self.at_stripe("refund")
            if row["charge"] in charges
            for name in ("balance_transaction", "failure_balance_transaction")
            if row.get(name)
        }
        moved |= {
            movement["id"]
            for row in self.at_stripe("dispute")
            if row["charge"] in charges
            for movement in row["balance_transactions"]
        }
        by_card = sum(row["amount"] for row in self.at_stripe("balance_transaction") if row["id"] in moved) * MICRO
        rated = RatedUsage.objects.filter(order__organization=organization)
        given = [
            total(TopUp.objects.filter(organization=organization, method="manual"), "amount_micro"),
            total(PromoCredit.objects.filter(organization=organization), "amount_micro"),
            total(Dispute.objects.filter(organization=organization, status="upheld"), "granted_micro"),
            total(rated.filter(void__isnull=False), "charged_micro"),
            self.adjusted(Q(organization=organization)),
            total(LedgerTransfer.objects.filter(kind="write_off", credit__organization=organization), "amount_micro"),
        ]
        accounts = dict(LedgerAccount.objects.filter(organization=organization).values_list("kind", "balance_micro"))
        in_wallet = sum(accounts.get(kind, 0) for kind in ("wallet", "promo_wallet", "hold"))
        in_wallet -= accounts.get("disputed", 0)
        assert in_wallet == by_card + sum(given) - total(rated, "charged_micro"), (by_card, given, accounts)
        asked = sum(micro for (customer, _), micro in self.asked_back.items() if customer == organization)
        assert total(Refund.objects.filter(organization=organization, reason="unused"), "amount_micro") <= asked
        for order in JobOrder.objects.filter(organization=organization):
            given_back = total(order.disputes.filter(status="upheld"), "granted_micro")
            given_back += total(RatedUsage.objects.filter(order=order, void__isnull=False), "charged_micro")
            assert given_back <= order.charged_micro <= order.held_micro

    def owner_adds_up(self, owner: int) -> None:
        """Check that what was earned and not taken back is in the owner's account at Stripe, in transit, or owed."""
        rated = RatedUsage.objects.filter(usage__owner=owner)
        accounts = dict(LedgerAccount.objects.filter(owner=owner).values_list("kind", "balance_micro"))
        paid_or_owed = sum(accounts.get(kind, 0) for kind in ("payable", "reserve", "in_transit"))
        stripe_ids = set(ConnectedAccount.objects.filter(owner=owner).values_list("stripe_id", flat=True))
        sent = [row for row in self.at_stripe("transfer") if row["destination"] in stripe_ids]
        paid_or_owed += sum(row["amount"] - row["amount_reversed"] for row in sent) * MICRO
        borne = LedgerTransfer.objects.filter(
            kind="correction", debit__owner=owner, idempotency_key__contains=":grant:"
        )
        granted = Dispute.objects.filter(owner=owner, status="upheld")
        earned = total(rated, "owner_micro") - total(rated.filter(void__isnull=False), "owner_micro")
        expected = (
            earned + total(granted, "granted_micro") - total(borne, "amount_micro") + self.adjusted(Q(owner=owner))
        )
        assert paid_or_owed == expected, (paid_or_owed, expected, accounts)
        per_payout = Counter(row["metadata"]["payout"] for row in sent)
        assert set(per_payout.values()) <= {1}

    def papers_are_whole(self) -> None:
        """Check that every movement of owners' accounts is on a statement, every charge on an invoice, and that
        payouts, refunds and disputes are those at Stripe.
        """
        assert not LedgerTransfer.objects.filter(
            Q(debit__kind="payable") | Q(credit__kind="payable"), statement_entry=None
        ).exists()
        charged = Q(debit__kind="hold", kind__in=("share", "revenue"))
        given_back = Q(credit__kind__in=("wallet", "promo_wallet"), kind="correction")
        assert not LedgerTransfer.objects.filter(charged | given_back, invoice_entry=None).exists()
        paid = set(Payout.objects.filter(status__in=["paid", "reversed"]).values_list("stripe_transfer_id", flat=True))
        assert paid == {row["id"] for row in self.at_stripe("transfer")}
        refunded = Refund.objects.exclude(stripe_id=None).values_list("stripe_id", flat=True)
        assert sorted(refunded) == sorted(row["id"] for row in self.at_stripe("refund"))
        disputed = CardDispute.objects.values_list("stripe_id", flat=True)
        assert sorted(disputed) == sorted(row["id"] for row in self.at_stripe("dispute"))
        assert not UsageVoid.objects.filter(settled_at=None).exists()

    def adjusted(self, party: Q) -> int:
        """Return the signed sum of a party's adjustments, each of which two operators must have approved."""
        added, taken = Q(**prefixed("credit", party)), Q(**prefixed("debit", party))
        rows = LedgerTransfer.objects.filter(kind="adjustment")
        assert rows.count() == Approval.objects.filter(kind__startswith="adjust", status="done").count()
        return total(rows.filter(added), "amount_micro") - total(rows.filter(taken), "amount_micro")


def total(rows: QuerySet, name: str) -> int:
    return rows.aggregate(micro=Sum(name))["micro"] or 0


def prefixed(side: str, party: Q) -> dict[str, object]:
    """Return the condition `party` as one on the debited or credited account."""
    ((name, value),) = party.children
    return {f"{side}__{name}": value}
