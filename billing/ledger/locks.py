"""The lock that serializes the refunds and chargebacks of one organization."""

from accounts.models import Organization


def lock(organization_id: int) -> Organization:
    """Lock the organization's row until the end of the transaction, and return it. Its refunds and chargebacks take it.

    It comes before everything else that they lock: their own rows, the organization's top-ups, its accounts. A top-up
    takes it only if the organization owes something (chargebacks/debts.py); an order shares it, just before it locks
    the accounts, to see a suspension (orders/orders.py).
    """
    return Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
