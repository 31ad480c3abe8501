from accounts.models import Organization
from billing.models import StripeCommand, StripeCustomer
from billing.stripe import outbox


def customer_of(organization: Organization) -> tuple[StripeCustomer, StripeCommand]:
    """The organization's customer at Stripe and the command that makes it there, queued if there was none.

    Inside a transaction. A command that was given up is tried again: somebody wants the customer now.
    """
    customer, is_new = StripeCustomer.objects.get_or_create(organization=organization)
    key = f"customer:{organization.public_id}:v1"
    if is_new:
        return customer, outbox.queue(
            kind=StripeCommand.Kind.CREATE_CUSTOMER, idempotency_key=key, subject_id=customer.pk
        )
    command = StripeCommand.objects.select_for_update().get(idempotency_key=key)
    if command.status == StripeCommand.Status.DEAD:
        outbox.retry(command=command, actor=None)
    return customer, command
