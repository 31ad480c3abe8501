"""Cards that Stripe keeps for a customer: saved on a page of Stripe's, one of them the default, until they are removed.

Every change of an organization's cards first locks its StripeCustomer row, so that only one change runs at a time.
"""

from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.models import AutoRecharge, CardTopUp, SavedCard, StripeCommand, StripeCustomer
from billing.stripe import gateway, outbox
from billing.stripe.customers import customer_of
from billing.stripe.gateway import Card, CheckoutSession
from billing.topups.recharge_pauses import pause
from core.db import next_id
from core.errors import Conflict, InvalidInput
from core.states import transition

Status = SavedCard.Status
PAGES_MAX, CARDS_MAX = 5, 10  # open pages and saved cards of one organization
PAGE_LIFE = timedelta(days=1)  # Stripe closes a page after this time


class CardMismatch(Conflict):
    """The card that Stripe saved is not the one that was asked for."""

    code = "card_mismatch"


def cards_of(organization: Organization) -> list[SavedCard]:
    """Return the organization's saved cards: the default first, then in the order in which they were saved."""
    return list(SavedCard.objects.filter(organization=organization, status=Status.ACTIVE).order_by("-is_default", "id"))


def start(*, organization: Organization, idempotency_key: str, site_url: str, actor: User | None) -> SavedCard:
    """Write a card to be saved, and the command that opens Stripe's page for it. The same key again returns the first.

    Raises InvalidInput (`card_off`) and Conflict (`too_many_cards`, `too_many_open`).
    """
    if not settings.STRIPE_SECRET_KEY:
        raise InvalidInput("Cards are switched off here.", code="card_off")
    key = f"saved_card:{organization.public_id}:{idempotency_key}:session:v1"
    try:
        with transaction.atomic():
            return _create(organization, key, site_url, actor)
    except IntegrityError:  # the key was used before, perhaps by a request that runs at the same time
        first = SavedCard.objects.filter(organization=organization, command__idempotency_key=key).first()
        if first is None:
            raise
        return first


def open_page(card: SavedCard) -> None:
    """Send the command that opens the page once the transaction has committed, without waiting for a worker.

    Never raises.
    """
    if card.status == Status.PENDING and card.command and not card.session_id:
        outbox.send_now(card.command)


def refresh(card: SavedCard) -> SavedCard:
    """Fetch the page's session from Stripe, if the card is still pending, and apply it. Call it outside a transaction.

    Returns the card. Raises StripeUnavailable, CardMismatch.
    """
    if card.session_id and card.status == Status.PENDING:
        return apply(gateway.retrieve_checkout_session(card.session_id))
    return card


def apply(session: CheckoutSession) -> SavedCard:
    """Move the card to the state of its page's session and return it.

    May be called any number of times, in any order and concurrently. Call it outside a transaction: it asks Stripe
    which saved cards are the same card. Raises SavedCard.DoesNotExist when the session is not ours, StripeUnavailable,
    CardMismatch.
    """
    same = _same_cards(session.card) if session.card else []
    with transaction.atomic():
        row = _locked(SavedCard.objects.get(public_id=session.reference))
        _adopt(row, session)
        if session.card and session.setup_status == "succeeded":
            if row.status in (Status.PENDING, Status.FAILED):
                _activate(row, session.card, same)
        elif session.status == "expired" and row.status == Status.PENDING:
            transition(row, Status.FAILED, code="page_expired", ended_at=timezone.now())
        elif session.status == "complete" and session.setup_status == "canceled" and row.status == Status.PENDING:
            transition(row, Status.FAILED, code="setup_canceled", ended_at=timezone.now())
    return row


def save_card(*, top_up: CardTopUp, card: Card) -> None:
    """Save the card of a payment that asked Stripe to keep it.

    Does nothing if it is saved. Raises StripeUnavailable.
    """
    if SavedCard.objects.filter(payment_method_id=card.id).exists():
        return
    same = _same_cards(card)
    with transaction.atomic():
        customer = StripeCustomer.objects.select_for_update(no_key=True).get(pk=top_up.customer_id)
        if SavedCard.objects.filter(payment_method_id=card.id).exists():
            return  # another process saved it while we waited for the lock
        row = SavedCard.objects.create(
            organization=top_up.organization,
            customer=customer,
            requested_by=top_up.requested_by,
            site_url=top_up.site_url,
        )
        _activate(row, card, same)


def refresh_from_bank(card: Card) -> bool:
    """Apply what Stripe learned of a card from its bank: a new expiry date, or that it was detached.

    Returns False when the card is not ours.
    """
    row = SavedCard.objects.filter(payment_method_id=card.id).first()
    if row is None:
        return False
    with transaction.atomic():
        row = _locked(row)
        if row.status == Status.ACTIVE and not card.customer_id:
            _mark_removed(row, code="detached_at_stripe")
        elif row.status == Status.ACTIVE:
            row.brand, row.last4, row.exp_month, row.exp_year = card.brand, card.last4, card.exp_month, card.exp_year
            row.save(update_fields=["brand", "last4", "exp_month", "exp_year"])
    return True


def make_default(*, card: SavedCard, actor: User | None) -> None:
    """Make this the card that is charged unless another is chosen.

    Raises Conflict (`card_not_saved`) if it was removed.
    """
    with transaction.atomic():
        row = _locked(card)
        _require_active(row)
        SavedCard.objects.filter(organization_id=row.organization_id, is_default=True).update(is_default=False)
        SavedCard.objects.filter(pk=row.pk).update(is_default=True)
        _audit(row, "wallet.card_default", actor)


def remove(*, card: SavedCard, actor: User | None) -> None:
    """Remove the card here and queue the command that detaches it at Stripe.

    A recharge that uses it is paused, with a mail to the organization. Past payments keep naming the card. Removing a
    card twice does nothing. Raises Conflict (`card_not_saved`) for a card that never was saved.
    """
    with transaction.atomic():
        row = _locked(card)
        if row.status == Status.REMOVED:
            return
        _require_active(row)
        _mark_removed(row, code="removed_by_customer")
        _detach(row)
        _audit(row, "wallet.card_removed", actor)


def _create(organization: Organization, key: str, site_url: str, actor: User | None) -> SavedCard:
    customer, customer_command = customer_of(organization)
    rows = SavedCard.objects.filter(organization=organization).exclude(command__idempotency_key=key)
    if rows.filter(status=Status.ACTIVE).count() >= CARDS_MAX:
        raise Conflict("There are many saved cards already: remove one first.", code="too_many_cards")
    since = timezone.now() - PAGE_LIFE
    if rows.filter(status=Status.PENDING, created_at__gte=since).count() >= PAGES_MAX:
        raise Conflict("Too many pages to save a card are open: use one, or wait a day.", code="too_many_open")
    row = SavedCard(organization=organization, customer=customer, requested_by=actor, site_url=site_url)
    row.pk = next_id(SavedCard)
    row.command = outbox.queue(
        kind=StripeCommand.Kind.CREATE_SETUP_SESSION, idempotency_key=key, subject_id=row.pk, after=customer_command
    )
    row.save(force_insert=True)
    return row


def _locked(card: SavedCard) -> SavedCard:
    """Lock the organization's cards (its StripeCustomer row) and return the card's present row."""
    StripeCustomer.objects.select_for_update(no_key=True).get(pk=card.customer_id)
    return SavedCard.objects.select_related("organization", "customer", "command").get(pk=card.pk)


def _require_active(row: SavedCard) -> None:
    if row.status != Status.ACTIVE:
        raise Conflict("This card is not saved any more.", code="card_not_saved")


def _adopt(row: SavedCard, session: CheckoutSession) -> None:
    """Check that the session is the one that we asked for, and store its id and address if they are new.

    Raises CardMismatch.
    """
    same = (
        row.command is not None
        and session.command == row.command.idempotency_key
        and row.session_id in (None, session.id)
        and row.customer.stripe_id in (None, session.customer_id)
    )
    if not same:
        raise CardMismatch(saved_card=str(row.public_id), session=session.id)
    if (row.session_id, row.checkout_url) != (session.id, session.url or row.checkout_url):
        row.session_id, row.checkout_url = session.id, session.url or row.checkout_url
        row.save(update_fields=["session_id", "checkout_url"])


def _same_cards(card: Card) -> list[str]:
    """Return the other ids under which Stripe keeps the same card for this customer.

    Compares Stripe's fingerprints, which we do not store. Raises StripeUnavailable.
    """
    if not (card.fingerprint and card.customer_id):
        return []
    saved = gateway.list_cards(card.customer_id)
    return [other.id for other in saved if other.fingerprint == card.fingerprint and other.id != card.id]


def _activate(row: SavedCard, card: Card, same: list[str]) -> None:
    """Mark the card as saved. If the same card was saved before, this newest one replaces it, in its recharge as well.

    `same` are Stripe's other ids of the card. A card that was detached meanwhile fails instead.
    """
    if not card.customer_id:
        if row.status == Status.PENDING:
            transition(row, Status.FAILED, code="detached_at_stripe", ended_at=timezone.now())
        return
    active = SavedCard.objects.filter(organization_id=row.organization_id, status=Status.ACTIVE)
    older = list(active.filter(payment_method_id__in=same))
    had_default = active.filter(is_default=True).exclude(pk__in=[other.pk for other in older]).exists()
    for other in older:
        transition(other, Status.REMOVED, code="saved_again", is_default=False, ended_at=timezone.now())
        _detach(other)
    transition(
        row,
        Status.ACTIVE,
        payment_method_id=card.id,
        brand=card.brand,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        is_default=not had_default,
        ended_at=None,
    )
    AutoRecharge.objects.filter(card__in=older).update(card=row)
    _audit(row, "wallet.card_saved", row.requested_by)


def _mark_removed(row: SavedCard, *, code: str) -> None:
    """Mark the card as removed.

    If it was the default, the oldest other card becomes it. Pause a recharge that used it.
    """
    was_default = row.is_default
    transition(row, Status.REMOVED, code=code, is_default=False, ended_at=timezone.now())
    others = SavedCard.objects.filter(organization_id=row.organization_id, status=Status.ACTIVE).order_by("id")
    if was_default and (successor := others.first()):
        SavedCard.objects.filter(pk=successor.pk).update(is_default=True)
    if AutoRecharge.objects.filter(card=row).exists():
        pause(organization=row.organization, code="card_removed", subject=f"card:{row.public_id}")


def _detach(row: SavedCard) -> None:
    outbox.queue(
        kind=StripeCommand.Kind.DETACH_CARD, idempotency_key=f"saved_card:{row.public_id}:detach:v1", subject_id=row.pk
    )


def _audit(row: SavedCard, action: str, actor: User | None) -> None:
    audit.record(
        actor=actor, action=action, subject=row.organization.public_id, card=str(row.public_id), last4=row.last4
    )
