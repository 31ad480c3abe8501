"""A ledger with every kind of posting that the ledger's checks know, in which everything adds up.

The rows are written by hand and not by the services, so that the checks are tested independently of the services: a
service that posts something else fails its own tests.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from accounts.models import Owner, User
from billing.ledger import posting as ledger
from billing.ledger.posting import AccountName, Posting
from billing.models import (
    Approval,
    BalanceTransaction,
    CardDispute,
    ConnectedAccount,
    Dispute,
    EarningsDay,
    Invoice,
    InvoiceEntry,
    InvoiceLine,
    JobOrder,
    LedgerAccount,
    LedgerTransfer,
    Payout,
    PromoCredit,
    RatedUsage,
    Refund,
    SpendDay,
    Statement,
    StatementEntry,
    StatementLine,
    StripeCommand,
    TopUp,
    UsageVoid,
)
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from tests.billing.helpers import Market, end_job, make_job, make_market, make_usage, number, order

CENT = 10_000
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Books:
    """The parties of the ledger, and two of its documents."""

    market: Market
    owners: list[Owner]
    operators: list[User]
    statement: Statement
    invoice: Invoice


def make_books() -> Books:
    market = make_market()
    settled_work(market)
    promotional_credit(market)
    void_one(market)
    roll_up()
    payment = paid_by_card(market)
    refunds(market, payment)
    chargebacks(market, payment)
    operators = [User.objects.create(email=f"operator{number()}@example.com") for _ in range(2)]
    owners = [node.vehicle.owner for node in market.nodes]
    job_dispute(market, owners[0])
    adjustment(market, operators)
    statement = first_statement(owners[0])
    statement_dispute(owners[0], statement)
    for index, status in enumerate(("scheduled", "paid", "returned", "reversed")):
        next_statement(owners[0], status, index + 1)
    return Books(market, owners, operators, statement, invoice(market))


def place(kind: str, organization: Any = None, owner: Owner | None = None) -> LedgerAccount:
    return ledger.account(
        AccountName(
            kind=kind, currency="USD", organization_id=organization and organization.pk, owner_id=owner and owner.pk
        )
    )


def post(kind: str, debit: LedgerAccount, credit: LedgerAccount, micro: int, key: str, **fields: Any) -> LedgerTransfer:
    posting = Posting(kind=kind, debit=debit, credit=credit, amount_micro=micro, idempotency_key=key, **fields)
    return ledger.post([posting]).transfers[0]


def command(kind: str, subject_id: int = 0) -> StripeCommand:
    return StripeCommand.objects.create(
        kind=kind,
        subject_id=subject_id or number(),
        idempotency_key=f"{kind}:{number()}",
        params={},
        object_id=f"obj_{number()}",
    )


def booked(type_: str, source: str, micro: int, *, fee: int = 0, intent: str = "") -> BalanceTransaction:
    """Write a balance transaction as Stripe lists it, and post its fee."""
    row = BalanceTransaction.objects.create(
        stripe_id=f"txn_{number()}",
        type=type_,
        source_id=source,
        payment_intent_id=intent,
        currency="USD",
        amount_micro=micro,
        fee_micro=fee,
        net_micro=micro - fee,
        occurred_at=timezone.now() - timedelta(hours=2),
        available_at=timezone.now(),
    )
    cost = fee - (micro if type_ == "stripe_fee" else 0)
    if cost:
        post("fee", place("processing_fee"), place("stripe_clearing"), cost, f"stripe_fee:{row.stripe_id}")
    return row


def settled_work(market: Market) -> None:
    """Make a closed order with a copy that checked it, and an open order."""
    closed = order(market.organization)
    first = make_usage(closed.job, market.nodes[0])
    make_usage(closed.job, market.nodes[1], copy_of=first)
    settle_usage()
    end_job(closed.job)
    close_orders()
    order(market.organization)


def promotional_credit(market: Market) -> None:
    """Grant 0.50, and make three orders: one used all the credit it held, one did not, and one still holds some."""
    organization = market.organization
    wallet, promo, hold = (place(kind, organization) for kind in ("wallet", "promo_wallet", "hold"))
    grant = post("promo", place("promotion"), promo, 50 * CENT, "promo:1")
    PromoCredit.objects.create(
        organization=organization,
        amount_micro=50 * CENT,
        currency="USD",
        reason="Welcome",
        idempotency_key="1",
        transfer=grant,
    )
    for held_promo, hours in ((5 * CENT, 1), (15 * CENT, 1), (20 * CENT, 0)):
        job = make_job(organization)
        row = JobOrder.objects.create(
            job=job,
            organization=organization,
            rate_card=market.card,
            price_micro_per_hour=100_000,
            owner_share_permille=700,
            estimate_low_micro=10 * CENT,
            estimate_high_micro=20 * CENT,
            held_micro=20 * CENT,
            held_promo_micro=held_promo,
        )
        post("hold", promo, hold, held_promo, f"hold:{job.pk}:promo")
        if held_promo < 20 * CENT:
            post("hold", wallet, hold, 20 * CENT - held_promo, f"hold:{job.pk}")
        if hours:
            make_usage(job, market.nodes[0])
            settle_usage()
            row.refresh_from_db()
            JobOrder.objects.filter(pk=row.pk).update(status="closed", closed_at=timezone.now())
            to_promo = max(0, held_promo - row.charged_micro)
            post("release", hold, wallet, 20 * CENT - row.charged_micro - to_promo, f"release:{job.pk}")
            if to_promo:
                post("release", hold, promo, to_promo, f"release:{job.pk}:promo")


def void_one(market: Market) -> None:
    """Void work that was paid with promotional credit, and a copy that checked other work."""
    rated = RatedUsage.objects.filter(owner_transfer__kind="share").order_by("id").last()
    copy = RatedUsage.objects.filter(owner_transfer__kind="verification").get()
    promo, revenue = place("promo_wallet", market.organization), place("revenue")
    void = UsageVoid.objects.create(rated=rated, reason="wrong", promo_micro=rated.charged_micro)
    payable = place("payable", owner=rated.usage.owner)
    post("correction", payable, revenue, rated.owner_micro, f"void:{void.public_id}:owner")
    post("correction", revenue, promo, rated.charged_micro, f"void:{void.public_id}:promo")
    void = UsageVoid.objects.create(rated=copy, reason="wrong")
    payable = place("payable", owner=copy.usage.owner)
    post("correction", payable, place("verification"), copy.owner_micro, f"void:{void.public_id}:owner")
    UsageVoid.objects.update(settled_at=timezone.now())


def roll_up() -> None:
    """Write EarningsDay and SpendDay anew from the ratings, whatever the settlement wrote."""
    EarningsDay.objects.all().delete()
    SpendDay.objects.all().delete()
    for rated in RatedUsage.objects.filter(void=None).select_related("usage", "order__job"):
        usage, day = rated.usage, {"day": rated.created_at.date(), "currency": "USD"}
        zero = {"compute_ms": 0, "energy_mwh": 0}
        earned, _ = EarningsDay.objects.get_or_create(
            owner_id=usage.owner_id,
            vehicle_id=usage.vehicle_id,
            **day,
            defaults={**zero, "attempts": 0, "gross_micro": 0, "energy_cost_nano": 0, "wear_nano": 0},
        )
        earned.gross_micro += rated.owner_micro
        earned.save()
        spent, _ = SpendDay.objects.get_or_create(
            organization_id=usage.organization_id,
            artifact_id=rated.order.job.artifact_id,
            **day,
            defaults={**zero, "units": 0, "items": 0, "charged_micro": 0},
        )
        spent.charged_micro += rated.charged_micro
        spent.save()


def paid_by_card(market: Market) -> TopUp:
    """Top up 50.00 by card, with Stripe's fee for it, and book a separate fee of Stripe's."""
    wallet = place("wallet", market.organization)
    transfer = post("top_up", place("stripe_clearing"), wallet, 50_000_000, "top_up:card")
    booked("charge", "ch_1", 50_000_000, fee=1_750_000, intent="pi_1")
    booked("stripe_fee", "fee_1", -200_000)
    paid_to_our_bank()
    return TopUp.objects.create(
        organization=market.organization,
        amount_micro=50_000_000,
        currency="USD",
        method="stripe",
        reference="pi_1",
        idempotency_key="card",
        transfer=transfer,
    )


def paid_to_our_bank() -> None:
    """Book two payouts of Stripe's to our own bank, of which the bank returned the second."""
    bank, clearing = place("bank_clearing"), place("stripe_clearing")
    for type_, source, micro in (
        ("payout", "po_1", -300_000),
        ("payout", "po_2", -200_000),
        ("payout_failure", "po_2", 200_000),
    ):
        row = booked(type_, source, micro)
        debit, credit = (bank, clearing) if micro < 0 else (clearing, bank)
        post("transfer", debit, credit, abs(micro), f"stripe_payout:{row.stripe_id}")


def refunds(market: Market, payment: TopUp) -> None:
    """Make a refund that succeeded, one that the bank returned, and one that Stripe refused and so never had."""
    organization, clearing = market.organization, place("stripe_clearing")
    wallet = place("wallet", organization)
    for name, status, stripe_id in (("a", "succeeded", "re_a"), ("b", "failed", "re_b"), ("c", "failed", None)):
        sent = post("refund", wallet, clearing, 2_000_000, f"refund:{name}")
        row = Refund.objects.create(
            organization=organization,
            top_up=payment,
            command=command("refund"),
            amount_micro=2_000_000,
            currency="USD",
            idempotency_key=name,
            stripe_id=stripe_id,
            transfer=sent,
        )
        if stripe_id:
            booked("refund", stripe_id, -2_000_000, intent="pi_1")
        if status == "failed":
            returned = post("reversal", clearing, wallet, 2_000_000, f"refund:{name}:returned", reverses=sent)
            Refund.objects.filter(pk=row.pk).update(status="failed", returned=returned, ended_at=timezone.now())
            if stripe_id:
                booked("refund_failure", stripe_id, 2_000_000, intent="pi_1")
        else:
            Refund.objects.filter(pk=row.pk).update(status="succeeded", ended_at=timezone.now())


def chargebacks(market: Market, payment: TopUp) -> None:
    """Make a chargeback that was lost and written off, one won, and one still owed; the wallet paid a part of each."""
    organization, clearing, now = market.organization, place("stripe_clearing"), timezone.now()
    wallet, disputed = place("wallet", organization), place("disputed", organization)
    for name, status in (("du_lost", "lost"), ("du_won", "won"), ("du_open", "under_review")):
        key = f"card_dispute:{name}"
        post("dispute", disputed, clearing, 5_000_000, f"{key}:withdrawn")
        booked("adjustment", name, -5_000_000, fee=15_000_000 // 10)
        post("offset", wallet, disputed, 1_000_000, f"{key}:offset:1")
        if status == "lost":
            post("write_off", place("dispute_loss"), disputed, 4_000_000, f"{key}:write_off")
        if status == "won":
            post("offset", disputed, wallet, 1_000_000, f"{key}:offset_back")
            post("dispute", clearing, disputed, 5_000_000, f"{key}:reinstated")
            booked("adjustment", name, 5_000_000)
        CardDispute.objects.create(
            organization=organization,
            top_up=payment,
            stripe_id=name,
            amount_micro=5_000_000,
            currency="USD",
            reason="fraudulent",
            status=status,
            withdrawn_at=now,
            reinstated_at=now if status == "won" else None,
            written_off_at=now if status == "lost" else None,
        )


def job_dispute(market: Market, owner: Owner) -> None:
    """Make an open dispute with earnings held, and one that was upheld at the owner's cost.

    The upheld one grants 0.06 of 0.10, half of which was paid with promotional credit.
    """
    payable, reserve, revenue = place("payable", owner=owner), place("reserve", owner=owner), place("revenue")
    wallet, promo = place("wallet", market.organization), place("promo_wallet", market.organization)
    charged = JobOrder.objects.filter(charged_micro__gt=0).order_by("id")
    for row, status, held in ((charged[0], "open", 2 * CENT), (charged[1], "upheld", 42_000)):
        dispute = Dispute.objects.create(
            organization=market.organization,
            order=row,
            reason="Wrong answers",
            claimed_micro=8 * CENT,
            currency="USD",
            idempotency_key=f"dispute-{status}",
            reserved_micro=held,
        )
        key = f"dispute:{dispute.public_id}"
        post("reserve", payable, reserve, held, f"{key}:reserve:{owner.pk}")
        if status == "upheld":
            post("reserve", reserve, payable, held, f"{key}:let_go:{owner.pk}")
            post("correction", payable, revenue, held, f"{key}:grant:{owner.pk}")
            post("correction", revenue, wallet, 5 * CENT, f"{key}:grant:wallet")
            post("correction", revenue, promo, CENT, f"{key}:grant:promo")
            Dispute.objects.filter(pk=dispute.pk).update(
                status="upheld",
                granted_micro=6 * CENT,
                granted_promo_micro=CENT,
                bearer="owner",
                decided_at=timezone.now(),
            )


def statement_dispute(owner: Owner, statement: Statement) -> None:
    """Make an owner's dispute that was upheld: 0.01 more for the owner, at our expense."""
    dispute = Dispute.objects.create(
        owner=owner,
        statement=statement,
        reason="An hour is missing",
        claimed_micro=2 * CENT,
        currency="USD",
        idempotency_key="dispute-statement",
    )
    payable = place("payable", owner=owner)
    post("correction", place("adjustment"), payable, CENT, f"dispute:{dispute.public_id}:grant:owed")
    Dispute.objects.filter(pk=dispute.pk).update(
        status="upheld", granted_micro=CENT, bearer="platform", decided_at=timezone.now()
    )


def adjustment(market: Market, operators: list[User]) -> None:
    approval = Approval.objects.create(
        kind="adjust_customer",
        params={},
        summary="1.00 to a customer",
        reason="Goodwill",
        idempotency_key="approval-1",
        proposed_by=operators[0],
    )
    wallet = place("wallet", market.organization)
    post("adjustment", place("adjustment"), wallet, 1_000_000, f"adjustment:{approval.public_id}")
    Approval.objects.filter(pk=approval.pk).update(status="done", decided_by=operators[1], decided_at=timezone.now())


EARNED, CORRECTED = ("share", "verification"), ("correction", "adjustment", "reversal")


def first_statement(owner: Owner) -> Statement:
    """Close a statement of everything posted so far, with nothing paid out."""
    return _state(owner, BEGIN, timezone.now() + timedelta(seconds=1), paid_out=0)


def next_statement(owner: Owner, status: str, index: int) -> None:
    """Close a statement a day after the last one, with a payout of a cent in the given status."""
    payable, transit = place("payable", owner=owner), place("in_transit", owner=owner)
    clearing = place("stripe_clearing")
    last = Statement.objects.filter(owner=owner).latest("period_start_at")
    statement = _state(owner, last.period_end_at, last.period_end_at + timedelta(days=1), paid_out=CENT)
    account = ConnectedAccount.objects.filter(owner=owner).first() or ConnectedAccount.objects.create(
        owner=owner, command=command("account"), country="US", currency="USD", stripe_id="acct_1"
    )
    posting = LedgerTransfer.objects.get(idempotency_key=f"payout:{statement.public_id}")
    payout = Payout.objects.create(
        statement=statement, owner=owner, amount_micro=CENT, currency="USD", due_at=timezone.now(), posting=posting
    )
    key, tr, now = f"payout:{payout.public_id}", f"tr_{index}", timezone.now()
    if status == "returned":
        returned = post("return", transit, payable, CENT, f"{key}:returned")
        Payout.objects.filter(pk=payout.pk).update(status="returned", returned=returned, ended_at=now)
    if status in ("paid", "reversed"):
        Payout.objects.filter(pk=payout.pk).update(
            status="sending", command=command("create_transfer", payout.pk), account=account
        )
        sent = post("transfer", transit, clearing, CENT, f"{key}:sent")
        Payout.objects.filter(pk=payout.pk).update(status="paid", sent=sent, paid_at=now, stripe_transfer_id=tr)
        booked("transfer", tr, -CENT)
    if status == "reversed":
        reverse = command("reverse_transfer", payout.pk)
        post("transfer", clearing, payable, CENT, f"{key}:reversed")
        Payout.objects.filter(pk=payout.pk).update(status="reversed", reverse_command=reverse, ended_at=now)
        booked("transfer_refund", reverse.object_id, CENT)


def _state(owner: Owner, start: datetime, end: datetime, *, paid_out: int) -> Statement:
    payable = place("payable", owner=owner)
    last = Statement.objects.filter(owner=owner).order_by("period_start_at").last()
    entries = {
        transfer: transfer.amount_micro if transfer.credit_id == payable.pk else -transfer.amount_micro
        for transfer in payable.debits.filter(statement_entry=None) | payable.credits.filter(statement_entry=None)
    }
    sums = {"earned": 0, "corrected": 0, "other": 0}
    for transfer, micro in entries.items():
        name = "earned" if transfer.kind in EARNED else "corrected" if transfer.kind in CORRECTED else "other"
        sums[name] += micro
    opening = last.carried_micro if last else 0
    row = Statement.objects.create(
        owner=owner,
        number=last.number + 1 if last else 1,
        currency="USD",
        period_start_at=start,
        period_end_at=end,
        opening_micro=opening,
        paid_out_micro=paid_out,
        carried_micro=opening + sum(sums.values()) - paid_out,
        energy_cost_nano=0,
        wear_nano=0,
        compute_ms=0,
        energy_mwh=0,
        attempts=0,
        **{f"{name}_micro": micro for name, micro in sums.items()},
    )
    if paid_out:
        entries[
            post("payout", payable, place("in_transit", owner=owner), paid_out, f"payout:{row.public_id}")
        ] = -paid_out
    for transfer, micro in entries.items():
        StatementEntry.objects.create(statement=row, transfer=transfer, amount_micro=micro)
    for name, kind in (("earned", "work"), ("corrected", "correction"), ("other", "reserve")):
        if sums[name]:
            StatementLine.objects.create(statement=row, kind=kind, service_month=start.date(), amount_micro=sums[name])
    return row


def invoice(market: Market) -> Invoice:
    """Close an invoice of everything charged and given back so far."""
    hold = place("hold", market.organization)
    pockets = [place(kind, market.organization) for kind in ("wallet", "promo_wallet")]
    charges = list(hold.debits.filter(kind__in=("share", "revenue")))
    given_back = list(LedgerTransfer.objects.filter(kind="correction", credit__in=pockets))
    charged, corrected = sum(t.amount_micro for t in charges), -sum(t.amount_micro for t in given_back)
    row = Invoice.objects.create(
        organization=market.organization,
        number=1,
        currency="USD",
        period_start_at=BEGIN,
        period_end_at=timezone.now() + timedelta(seconds=1),
        charged_micro=charged,
        corrected_micro=corrected,
        total_micro=charged + corrected,
        customer_name="Acme",
    )
    for transfer in (*charges, *given_back):
        micro = transfer.amount_micro if transfer in charges else -transfer.amount_micro
        InvoiceEntry.objects.create(invoice=row, transfer=transfer, amount_micro=micro)
    InvoiceLine.objects.create(invoice=row, kind="work", description="Work", amount_micro=charged)
    InvoiceLine.objects.create(invoice=row, kind="correction", description="Corrections", amount_micro=corrected)
    return row


def balance(kind: str) -> int:
    return LedgerAccount.objects.filter(kind=kind).aggregate(micro=Sum("balance_micro"))["micro"]
