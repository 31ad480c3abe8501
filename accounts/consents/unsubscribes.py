"""The link in every mail of news that ends them: signed, without sign-in, for as long as the mail is kept."""

from django.conf import settings
from django.core import signing

from accounts.consents import consents
from accounts.models import ConsentState, Owner, Purpose
from core.errors import Conflict, NotFound

SALT = "accounts.unsubscribe"


def token(owner: Owner) -> str:
    """It can do nothing but end the news; who has it may have got the mail forwarded."""
    return signing.dumps(str(owner.public_id), salt=SALT)


def url(owner: Owner) -> str:
    return f"{settings.SITE_URL}/unsubscribe/{token(owner)}"


def owner_of(text: str) -> Owner:
    """Raises NotFound for a token that we did not make, or whose owner has been erased."""
    try:
        public_id = signing.loads(text, salt=SALT)
    except signing.BadSignature as error:
        raise NotFound("This link is not one of ours.", code="token_invalid") from error
    owner = Owner.objects.select_related("user").filter(public_id=public_id, erased_at=None).first()
    if owner is None:
        raise NotFound("This link is not one of ours.", code="token_invalid")
    return owner


def unsubscribe(owner: Owner) -> bool:
    """End the news. Returns whether there was a consent to end; again, or without one, nothing happens."""
    try:
        consents.decide(
            owner=owner,
            purpose=Purpose.PRODUCT_EMAIL,
            decision=ConsentState.WITHDRAWN,
            actor=owner.user,
            method="unsubscribe",
        )
    except Conflict:
        return False
    return True
