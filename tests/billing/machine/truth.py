"""What must be true: at any moment, and when everything has come to rest. Told from Stripe's side, not from our books."""

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
MICRO = 10_000  # of a cent
QUICK = ("balances", "floors", "sums", "reversals")


class Truth(Base):
    seen: tuple[int, int] = (0, 0)

    @invariant()
    def nothing_is_double_or_out_of_balance(self) -> None:
        """After every act that moved anything."""
        seen = (LedgerTransfer.objects.count(), self.world.fake.store.sql.total_changes)
        if seen != self.seen:
            self.seen = seen
            self.nothing_is_twice_at_stripe()
            self.nothing_is_credited_that_was_not_paid()
            assert posting.recompute(QUICK) == []

    def nothing_is_twice_at_stripe(self) -> None:
        """Every command made one object of its kind: a page makes its payment too."""
        rows = [row for kind in MADE for row in self.at_stripe(kind) if "command" in row["metadata"]]
        made = Counter((row["object"], row["metadata"]["command"]) for row in rows)
        assert [command for command, times in made.items() if times > 1] == []

    def nothing_is_credited_that_was_not_paid(self) -> None:
        paid = {row["id"] for row in self.at_stripe("payment_intent") if row["status"] == "succeeded"}
        credited = list(TopUp.objects.filter(method="stripe").values_list("reference", flat=True))
        assert set(credited) <= paid
        assert len(credited) == len(set(credited))

    def finish(self) -> None:
        """Stripe answers, nobody dies, every worker comes by: then nothing is open and nothing is missing."""
        self.world.transport.faults = []
        self.come_to_rest()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what a commit would check
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
        """What one round sends to Stripe, the next one hears of."""
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
        """At what was given up while nobody knew whether Stripe had done it: on the page that says so, they ask again."""
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
        moved = LedgerTransfer.objects
        there = total(moved.filter(debit__kind="stripe_clearing"), "amount_micro")
        there -= total(moved.filter(credit__kind="stripe_clearing"), "amount_micro")
        assert there == sum(row["net"] for row in booked) * MICRO
        assert BalanceTransaction.objects.count() == len(booked)
        assert total(moved.filter(kind="fee"), "amount_micro") == sum(row["fee"] for row in booked) * MICRO
        kept = {row["id"] for row in self.at_stripe("payment_method") if row["customer"]}
        assert kept == set(SavedCard.objects.filter(status="active").values_list("payment_method_id", flat=True))

    def customer_adds_up(self, organization: int) -> None:
        """What the cards paid and did not get back, what was given, less what work cost, is there to be spent."""
        known = set(StripeCustomer.objects.filter(organization=organization).values_list("stripe_id", flat=True))
        charges = {row["id"]: row for row in self.at_stripe("charge") if row["customer"] in known}
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
        there = sum(accounts.get(kind, 0) for kind in ("wallet", "promo_wallet", "hold")) - accounts.get("disputed", 0)
        assert there == by_card + sum(given) - total(rated, "charged_micro"), (by_card, given, accounts)
        asked = sum(micro for (whose, _), micro in self.asked_back.items() if whose == organization)
        assert total(Refund.objects.filter(organization=organization, reason="unused"), "amount_micro") <= asked
        for order in JobOrder.objects.filter(organization=organization):
            back = total(order.disputes.filter(status="upheld"), "granted_micro")
            back += total(RatedUsage.objects.filter(order=order, void__isnull=False), "charged_micro")
            assert back <= order.charged_micro <= order.held_micro

    def owner_adds_up(self, owner: int) -> None:
        """What was earned and not taken back is at the owner's account at Stripe, on its way, or owed."""
        rated = RatedUsage.objects.filter(usage__owner=owner)
        accounts = dict(LedgerAccount.objects.filter(owner=owner).values_list("kind", "balance_micro"))
        there = sum(accounts.get(kind, 0) for kind in ("payable", "reserve", "in_transit"))
        stripe_ids = set(ConnectedAccount.objects.filter(owner=owner).values_list("stripe_id", flat=True))
        sent = [row for row in self.at_stripe("transfer") if row["destination"] in stripe_ids]
        there += sum(row["amount"] - row["amount_reversed"] for row in sent) * MICRO
        borne = LedgerTransfer.objects.filter(
            kind="correction", debit__owner=owner, idempotency_key__contains=":grant:"
        )
        granted = Dispute.objects.filter(owner=owner, status="upheld")
        earned = total(rated, "owner_micro") - total(rated.filter(void__isnull=False), "owner_micro")
        expected = (
            earned + total(granted, "granted_micro") - total(borne, "amount_micro") + self.adjusted(Q(owner=owner))
        )
        assert there == expected, (there, expected, accounts)
        per_payout = Counter(row["metadata"]["payout"] for row in sent)
        assert set(per_payout.values()) <= {1}

    def papers_are_whole(self) -> None:
        """Every movement on an owner's account is on one statement, every charge on one invoice; transfers are the payouts."""
        assert not LedgerTransfer.objects.filter(
            Q(debit__kind="payable") | Q(credit__kind="payable"), statement_entry=None
        ).exists()
        charged = Q(debit__kind="hold", kind__in=("share", "revenue"))
        back = Q(credit__kind__in=("wallet", "promo_wallet"), kind="correction")
        assert not LedgerTransfer.objects.filter(charged | back, invoice_entry=None).exists()
        paid = set(Payout.objects.filter(status__in=["paid", "reversed"]).values_list("stripe_transfer_id", flat=True))
        assert paid == {row["id"] for row in self.at_stripe("transfer")}
        refunded = Refund.objects.exclude(stripe_id=None).values_list("stripe_id", flat=True)
        assert sorted(refunded) == sorted(row["id"] for row in self.at_stripe("refund"))
        disputed = CardDispute.objects.values_list("stripe_id", flat=True)
        assert sorted(disputed) == sorted(row["id"] for row in self.at_stripe("dispute"))
        assert not UsageVoid.objects.filter(settled_at=None).exists()

    def adjusted(self, whose: Q) -> int:
        """By two operators, signed."""
        to, of = Q(**prefixed("credit", whose)), Q(**prefixed("debit", whose))
        rows = LedgerTransfer.objects.filter(kind="adjustment")
        assert rows.count() == Approval.objects.filter(kind__startswith="adjust", status="done").count()
        return total(rows.filter(to), "amount_micro") - total(rows.filter(of), "amount_micro")


def total(rows: QuerySet, name: str) -> int:
    return rows.aggregate(micro=Sum(name))["micro"] or 0


def prefixed(side: str, whose: Q) -> dict[str, object]:
    ((name, value),) = whose.children
    return {f"{side}__{name}": value}
