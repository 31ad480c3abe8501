"""Top-ups by card: requested here, paid on a page of Stripe's, and credited when Stripe reports the payment as paid."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.models import CardTopUp, StripeCommand
from billing.stripe import balance, gateway, outbox
from billing.stripe.amounts import to_micro, to_minor
from billing.stripe.customers import customer_of
from billing.stripe.gateway import CheckoutSession
from billing.topups import saved_cards
from billing.wallet.wallets import credit
from core.db import next_id
from core.errors import Conflict, DomainError, InvalidInput
from core.states import transition

Status = CardTopUp.Status
OPEN_MAX = 20  # unpaid top-ups of one organization: a thief tries a stolen list of cards on many pages


class SessionMismatch(Conflict):
    """The payment at Stripe is not the one that was asked for."""

    code = "session_mismatch"


def start(
    *,
    organization: Organization,
    amount_micro: int,
    idempotency_key: str,
    site_url: str,
    actor: User | None,
    saves_card: bool = False,
) -> CardTopUp:
    """Write a top-up and the command that opens its page to pay on. The same key again returns the first.

    With `saves_card`, Stripe keeps the card that pays, for automatic recharges.

    Raises InvalidInput (`card_off`, `amount_too_small`, `amount_too_large`, `amount_not_whole`) and Conflict:
    `idempotency_conflict` when the key was used with another amount, `too_many_open` when too many others are unpaid.
    """
    check_amount(amount_micro, organization.currency)
    try:
        with transaction.atomic():
            return _create(organization, amount_micro, idempotency_key, site_url, actor, saves_card)
    except IntegrityError:  # the key was used before, perhaps by a request that runs at the same time
        first = CardTopUp.objects.filter(organization=organization, idempotency_key=idempotency_key).first()
        if first is None:
            raise
    if (first.amount_micro, first.saves_card) != (amount_micro, saves_card):
        raise Conflict("This key was used with another amount.", code="idempotency_conflict")
    return first


def open_page(top_up: CardTopUp) -> None:
    """Send the command that opens the page once the transaction has committed, without waiting for a worker.

    Never raises.
    """
    if top_up.status == Status.CREATED:
        outbox.send_now(top_up.command)


def refresh(top_up: CardTopUp) -> CardTopUp:
    """Fetch the session from Stripe, if the top-up is still unpaid, and apply it. Call it outside a transaction.

    Returns the top-up. Raises StripeUnavailable, SessionMismatch.
    """
    if top_up.session_id and top_up.status in (Status.OPEN, Status.PROCESSING):
        return apply(gateway.retrieve_checkout_session(top_up.session_id))
    return top_up


def apply(session: CheckoutSession) -> CardTopUp:
    """Move the top-up to the state of its session, which must be fresh from Stripe. Return the top-up.

    May be called any number of times, in any order and concurrently: an older session never takes back a credit. Call
    it outside a transaction, since it may ask Stripe about the card to keep. Raises CardTopUp.DoesNotExist when the
    session is not ours, SessionMismatch, Conflict `currency_differs`, and StripeUnavailable, the last with the money
    already credited.
    """
    with transaction.atomic():
        row = (
            CardTopUp.objects.select_for_update(of=("self",))
            .select_related("organization", "customer", "command")
            .get(public_id=session.reference)
        )
        _check_session(row, session)
        _adopt(row, session)
        balance.require_currency([session.balance] if session.balance else [], row.currency)
        if session.payment_status == "paid":
            credit(row, session.payment_intent_id)
        elif session.status == "complete":
            _wait_for_bank(row, session)
        elif session.status == "expired" and row.status in (Status.CREATED, Status.OPEN):
            transition(row, Status.EXPIRED, ended_at=timezone.now())
    if session.balance:
        balance.record([session.balance])
    if row.saves_card and row.status == Status.PAID and session.card:
        saved_cards.save_card(top_up=row, card=session.card)
    return row


def _create(
    organization: Organization,
    amount_micro: int,
    idempotency_key: str,
    site_url: str,
    actor: User | None,
    saves_card: bool,
) -> CardTopUp:
    customer, customer_command = customer_of(organization)
    waiting = CardTopUp.objects.filter(
        organization=organization, origin=CardTopUp.Origin.CHECKOUT, status__in=[Status.CREATED, Status.OPEN]
    )
    if waiting.exclude(idempotency_key=idempotency_key).count() >= OPEN_MAX:
        raise Conflict("Too many top-ups wait to be paid: pay one, or wait a day.", code="too_many_open")
    row = CardTopUp(
        organization=organization,
        customer=customer,
        requested_by=actor,
        amount_micro=amount_micro,
        currency=organization.currency,
        idempotency_key=idempotency_key,
        site_url=site_url,
        saves_card=saves_card,
    )
    # The command names the row and the row names its command, so the row's id is taken from the sequence first.
    row.pk = next_id(CardTopUp)
    row.command = outbox.queue(
        kind=StripeCommand.Kind.CREATE_CHECKOUT_SESSION,
        idempotency_key=f"card_top_up:{row.public_id}:session:v1",
        subject_id=row.pk,
        after=customer_command,
    )
    row.save(force_insert=True)
    audit.record(
        actor=actor,
        action="wallet.card_top_up",
        subject=organization.public_id,
        card_top_up=str(row.public_id),
        amount_micro=amount_micro,
        currency=row.currency,
    )
    return row


def check_amount(amount_micro: int, currency: str) -> None:
    """Check that one payment by card may have this amount. Raises InvalidInput as `start`."""
    if not settings.STRIPE_SECRET_KEY:
        raise InvalidInput("Top-ups by card are switched off here.", code="card_off")
    smallest, largest = settings.TOP_UP_MIN_MICRO, settings.TOP_UP_MAX_MICRO
    if amount_micro < smallest:
        raise InvalidInput("The amount is too small.", code="amount_too_small", min_micro=smallest)
    if amount_micro > largest:
        raise InvalidInput("The amount is too large.", code="amount_too_large", max_micro=largest)
    to_minor(amount_micro, currency)  # raises `amount_not_whole`


def _check_session(row: CardTopUp, session: CheckoutSession) -> None:
    """Raise SessionMismatch unless command, amount, currency and customer of the session are those that we sent."""
    same = (
        session.command == row.command.idempotency_key
        and session.currency == row.currency
        and to_micro(session.amount_minor, session.currency) == row.amount_micro
        and row.session_id in (None, session.id)
        # Unknown if this process died before it stored the id of the new Stripe customer.
        and row.customer.stripe_id in (None, session.customer_id)
    )
    if not same:
        raise SessionMismatch(card_top_up=str(row.public_id), session=session.id)


def _adopt(row: CardTopUp, session: CheckoutSession) -> None:
    """Store what the session has and the row has not.

    The outbox may not have stored its answer yet, and the payment appears only with the first attempt to pay.
    """
    before = (row.session_id, row.checkout_url, row.payment_intent_id, row.declined_code)
    row.session_id = session.id
    row.checkout_url = session.url or row.checkout_url
    row.payment_intent_id = row.payment_intent_id or session.payment_intent_id or None
    row.declined_code = session.decline_code or row.declined_code
    if before != (row.session_id, row.checkout_url, row.payment_intent_id, row.declined_code):
        row.save(update_fields=["session_id", "checkout_url", "payment_intent_id", "declined_code"])


def _wait_for_bank(row: CardTopUp, session: CheckoutSession) -> None:
    """Handle a session that is complete and not paid: a bank debit that takes days, or one that the bank returned."""
    if session.payment_status_of_intent == "processing":
        if row.status in (Status.CREATED, Status.OPEN, Status.FAILED):
            transition(row, Status.PROCESSING, ended_at=None)
    elif row.status in (Status.CREATED, Status.OPEN, Status.PROCESSING):
        code = session.decline_code or DomainError.code
        transition(row, Status.FAILED, code=code, ended_at=timezone.now())
