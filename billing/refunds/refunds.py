"""Refunds of unspent money, only to the cards that it came from.

A *lot* is a top-up by card of which something can still be refunded.
"""

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
from billing.ledger.posting import AccountName, Posting
from billing.models import CardDispute, LedgerAccount, LedgerTransfer, Refund, StripeCommand, TopUp
from billing.stripe import outbox
from billing.stripe.amounts import micro_per_minor, to_minor
from core.db import next_id
from core.errors import Conflict, InvalidInput

Kind = LedgerAccount.Kind
LOTS_MAX = 20  # lots in one request: each becomes a refund of its own at Stripe


def refundable(organization: Organization) -> list[tuple[TopUp, int]]:
    """Return what can be refunded: `(top-up by card, micro-units in whole coins)`, newest first, at most LOTS_MAX.

    The sum is never more than what is available in the wallet, less what is owed or may be taken by open chargebacks;
    no part is more than what is left of its top-up. Promotional credit is never paid out. Top-ups that were or may be
    charged back are left out, and those older than REFUND_MAX_AGE_DAYS, whose cards may no longer exist.
    """
    coin = micro_per_minor(organization.currency)
    free = _free_micro(organization) // coin * coin
    lots: list[tuple[TopUp, int]] = []
    for top_up in _lots(organization)[:LOTS_MAX]:
        left = min(free, top_up.amount_micro - top_up.refunded_micro)  # type: ignore[attr-defined] # annotated
        if left > 0:
            lots.append((top_up, left))
            free -= left
    return lots


def request(
    *, organization: Organization, amount_micro: int, idempotency_key: str, reason: str = "", actor: User | None
) -> list[Refund]:
    """Take money out of the wallet and queue refunds to the cards that it came from.

    Return one refund for each top-up used. The same key again returns the first refunds. Workers send the commands;
    call `send` after this has committed to send them at once. Raises InvalidInput (`amount_invalid`,
    `amount_not_whole`, `refund_too_large` with `refundable_micro`), Conflict (`idempotency_conflict`) when the key was
    used with another amount, and PaymentRequired when the money was spent meanwhile.
    """
    if amount_micro <= 0 or not idempotency_key:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid", amount_micro=amount_micro)
    to_minor(amount_micro, organization.currency)  # raises `amount_not_whole`
    with transaction.atomic():
        organization = lock(organization.pk)  # two requests must not both count on the same free money
        earlier = _earlier(organization, idempotency_key)
        if earlier:
            if sum(refund.amount_micro for refund in earlier) != amount_micro:
                raise Conflict("This key was used with another amount.", code="idempotency_conflict")
            return earlier
        parts = list(_parts(refundable(organization), amount_micro))
        created = _create(organization, parts, idempotency_key, reason, actor)
        audit.record(
            actor=actor,
            action="wallet.refund",
            subject=organization.public_id,
            amount_micro=amount_micro,
            currency=organization.currency,
            refunds=[str(refund.public_id) for refund in created],
        )
    return created


def send(refunds: list[Refund]) -> None:
    """Send the refunds' commands once the transaction has committed, without waiting for a worker. Never raises."""
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
    """Return the lots, newest first, each annotated with `refunded_micro`."""
    oldest = timezone.now() - timedelta(days=settings.REFUND_MAX_AGE_DAYS)
    # Stripe does not refund a payment that a bank once took back, even if we won it back. A closed inquiry does not
    # count.
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
    """Divide the amount among the lots, in their order. Raises InvalidInput `refund_too_large`."""
    total = sum(left for _, left in lots)
    if amount_micro > total:
        raise InvalidInput(
            "This is more than can be refunded to the cards that it came from.",
            code="refund_too_large",
            refundable_micro=total,
        )
    for top_up, left in lots:
        part = min(left, amount_micro)
        if part:
            yield top_up, part
        amount_micro -= part


def _keys(idempotency_key: str) -> list[str]:
    # One request may make several refunds, each with a unique key of its own.
    return [f"{index}:{idempotency_key}" for index in range(LOTS_MAX)]


def _earlier(organization: Organization, idempotency_key: str) -> list[Refund]:
    found = Refund.objects.filter(organization=organization, idempotency_key__in=_keys(idempotency_key))
    return list(found.select_related("command").order_by("id"))


def _create(
    organization: Organization, parts: list[tuple[TopUp, int]], key: str, reason: str, actor: User | None
) -> list[Refund]:
    """Post the refunds and write their rows and commands.

    The posting comes first: the ledger refuses it (PaymentRequired) when a job has taken the money meanwhile.
    """
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
            idempotency_key=part_key,
        )
        for part_key, (top_up, micro) in zip(_keys(key), parts, strict=False)
    ]
    places = [
        AccountName(kind=Kind.WALLET, currency=organization.currency, organization_id=organization.pk),
        AccountName(kind=Kind.STRIPE_CLEARING, currency=organization.currency),
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
