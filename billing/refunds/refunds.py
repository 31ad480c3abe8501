"""Refunds of unspent money: to the cards that it came from, and nowhere else."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.ledger import posting
from billing.ledger.locks import lock
from billing.ledger.posting import Place, Posting
from billing.models import CardDispute, LedgerAccount, LedgerTransfer, Refund, StripeCommand, TopUp
from billing.stripe import outbox
from billing.stripe.amounts import micro_per_minor, to_minor
from core.db import next_id
from core.errors import Conflict, InvalidInput

Kind = LedgerAccount.Kind
LOTS_MAX = 20  # of one request: each is a refund of its own at Stripe


def refundable(organization: Organization) -> list[tuple[TopUp, int]]:
    """What can go back to which top-up by card, newest first: `(top-up, micro-units)`, whole coins.

    Together never more than what is free in the wallet, less what is owed or may be taken by open chargebacks; of each
    top-up never more than is left of it. Promotional credit is never paid out. Left out: top-ups that were charged back
    or may be, and those older than REFUND_MAX_AGE_DAYS, whose cards may be gone.
    """
    coin = micro_per_minor(organization.currency)
    free = _free_micro(organization) // coin * coin
    found: list[tuple[TopUp, int]] = []
    for top_up in _lots(organization)[:LOTS_MAX]:
        left = min(free, top_up.amount_micro - top_up.refunded_micro)  # type: ignore[attr-defined] # annotated
        if left > 0:
            found.append((top_up, left))
            free -= left
    return found


def request(
    *, organization: Organization, amount_micro: int, idempotency_key: str, reason: str = "", actor: User | None
) -> list[Refund]:
    """Take money out of the wallet and send it back to where it came from; the same key again returns the first.

    One refund for each top-up that it takes. The commands wait for a worker: `send` them once this has committed. Raises
    InvalidInput (`amount_invalid`, `amount_not_whole`, `refund_too_large` with `refundable_micro`), Conflict
    (`idempotency_conflict`) when the key was used with another amount, and PaymentRequired when the money was spent
    meanwhile.
    """
    if amount_micro <= 0 or not idempotency_key:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid", amount_micro=amount_micro)
    to_minor(amount_micro, organization.currency)
    with transaction.atomic():
        organization = lock(organization.pk)
        first = _earlier(organization, idempotency_key)
        if first:
            if sum(refund.amount_micro for refund in first) != amount_micro:
                raise Conflict("This key was used with another amount.", code="idempotency_conflict")
            return first
        parts = list(_parts(refundable(organization), amount_micro))
        made = _create(organization, parts, idempotency_key, reason, actor)
        audit.record(
            actor=actor,
            action="wallet.refund",
            subject=organization.public_id,
            amount_micro=amount_micro,
            currency=organization.currency,
            refunds=[str(refund.public_id) for refund in made],
        )
    return made


def send(refunds: list[Refund]) -> None:
    """Have Stripe do them now, without waiting for a worker, once the transaction has committed. Never raises."""
    for refund in refunds:
        if refund.status == Refund.Status.REQUESTED:
            outbox.send_now(refund.command)


def _free_micro(organization: Organization) -> int:
    accounts = LedgerAccount.objects.filter(organization=organization, currency=organization.currency)
    balance = dict(accounts.filter(kind__in=[Kind.WALLET, Kind.DISPUTED]).values_list("kind", "balance_micro"))
    threatened = CardDispute.objects.filter(organization=organization, status__in=CardDispute.OPEN, withdrawn_at=None)
    micro = int(threatened.aggregate(micro=Coalesce(Sum("amount_micro"), 0))["micro"])
    return max(0, balance.get(Kind.WALLET, 0) - balance.get(Kind.DISPUTED, 0) - micro)


def _lots(organization: Organization) -> QuerySet[TopUp]:
    """Newest first, each with `refunded_micro`; only those of which something is left."""
    oldest = timezone.now() - timedelta(days=settings.REFUND_MAX_AGE_DAYS)
    # Stripe refunds nothing that a bank has taken once, even if we won it back; an inquiry that is over is forgotten.
    disputed = CardDispute.objects.filter(top_up=OuterRef("pk")).exclude(status=CardDispute.Status.CLOSED)
    sent = Refund.objects.filter(top_up=OuterRef("pk")).exclude(status=Refund.Status.FAILED)
    micro = sent.order_by().values("top_up").annotate(micro=Sum("amount_micro")).values("micro")
    return (
        TopUp.objects.filter(
            ~Exists(disputed),
            organization=organization,
            currency=organization.currency,
            created_at__gte=oldest,
            method=TopUp.Method.STRIPE,
        )
        .exclude(reference="")
        .annotate(refunded_micro=Coalesce(Subquery(micro), 0))
        .filter(amount_micro__gt=F("refunded_micro"))
        .order_by("-id")
    )


def _parts(lots: list[tuple[TopUp, int]], amount_micro: int) -> Iterator[tuple[TopUp, int]]:
    total = sum(left for _, left in lots)
    if amount_micro > total:
        raise InvalidInput(
            "Not that much can go back to the cards it came from.", code="refund_too_large", refundable_micro=total
        )
    for top_up, left in lots:
        part = min(left, amount_micro)
        if part:
            yield top_up, part
        amount_micro -= part


def _keys(idempotency_key: str) -> list[str]:
    return [f"{index}:{idempotency_key}" for index in range(LOTS_MAX)]


def _earlier(organization: Organization, idempotency_key: str) -> list[Refund]:
    found = Refund.objects.filter(organization=organization, idempotency_key__in=_keys(idempotency_key))
    return list(found.select_related("command").order_by("id"))


def _create(
    organization: Organization, parts: list[tuple[TopUp, int]], key: str, reason: str, actor: User | None
) -> list[Refund]:
    """A refund is its posting: the ledger first, which refuses what a job has taken meanwhile."""
    rows = [
        Refund(
            id=next_id(Refund),
            public_id=uuid.uuid4(),
            organization=organization,
            top_up=top_up,
            requested_by=actor,
            amount_micro=micro,
            currency=organization.currency,
            reason=reason[:200],
            idempotency_key=one_key,
        )
        for one_key, (top_up, micro) in zip(_keys(key), parts, strict=False)
    ]
    places = [
        Place(kind=Kind.WALLET, currency=organization.currency, organization_id=organization.pk),
        Place(kind=Kind.STRIPE_CLEARING, currency=organization.currency),
    ]
    accounts = posting.accounts(places)
    posted = posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.REFUND,
                debit=accounts[places[0]],
                credit=accounts[places[1]],
                amount_micro=row.amount_micro,
                idempotency_key=f"refund:{row.public_id}",
                meta={"refund": str(row.public_id), "top_up": str(row.top_up.public_id)},
            )
            for row in rows
        ]
    )
    for row, transfer in zip(rows, posted.transfers, strict=True):
        row.transfer = transfer
        row.command = outbox.queue(
            kind=StripeCommand.Kind.CREATE_REFUND, idempotency_key=f"refund:{row.public_id}:v1", subject_id=row.pk
        )
        row.save(force_insert=True)
    return rows
