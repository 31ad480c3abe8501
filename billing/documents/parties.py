"""Who sells and who buys, as papers name them."""

from django.conf import settings

from accounts.models import Organization
from billing.models import BillingProfile


def seller() -> str:
    tax = f"Tax ID {settings.SELLER_TAX_ID}" if settings.SELLER_TAX_ID else ""
    return "\n".join(part for part in (settings.SELLER_NAME, settings.SELLER_ADDRESS, tax) if part)


def customer(organization: Organization) -> str:
    """As its billing details name it now."""
    profile = BillingProfile.objects.filter(organization=organization).first()
    if profile is None:
        return organization.name
    tax = f"Tax ID {profile.tax_id}" if profile.tax_id else ""
    return "\n".join(part for part in (profile.legal_name or organization.name, profile.address, tax) if part)
