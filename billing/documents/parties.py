"""The seller and the buyer, as documents print them."""

from django.conf import settings

from accounts.models import Organization
from billing.models import BillingProfile


def seller() -> str:
    """Return our name, address and tax id (the settings SELLER_*), one a line."""
    tax = f"Tax ID {settings.SELLER_TAX_ID}" if settings.SELLER_TAX_ID else ""
    return "\n".join(part for part in (settings.SELLER_NAME, settings.SELLER_ADDRESS, tax) if part)


def customer(organization: Organization) -> str:
    """Return the customer's name, address and tax id as its billing profile has them now, one a line."""
    profile = BillingProfile.objects.filter(organization=organization).first()
    if profile is None:
        return organization.name
    tax = f"Tax ID {profile.tax_id}" if profile.tax_id else ""
    return "\n".join(part for part in (profile.legal_name or organization.name, profile.address, tax) if part)
