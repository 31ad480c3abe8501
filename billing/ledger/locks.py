from accounts.models import Organization


def lock(organization_id: int) -> Organization:
    """The organization, held until the end of the transaction: its refunds and chargebacks wait for each other.

    Taken before everything else that they lock (their rows, its top-ups, its accounts). What only spends or tops up
    does not wait for it: those meet at the accounts.
    """
    return Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
