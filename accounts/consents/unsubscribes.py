"""The unsubscribe link in news mails. It is signed, needs no sign-in and does not expire."""

from django.conf import settings
from django.core import signing

from accounts.consents import consents
from accounts.models import ConsentState, Owner, Purpose
from core.errors import Conflict, NotFound

SALT = "accounts.unsubscribe"


def token(owner: Owner) -> str:
    """Return the token of an owner's link. It can only end news, since forwarded mails pass it on to others."""
    return signing.dumps(str(owner.public_id), salt=SALT)


def url(owner: Owner) -> str:
    """Return an owner's unsubscribe link."""
    return f"{settings.SITE_URL}/unsubscribe/{token(owner)}"


def owner_of(text: str) -> Owner:
    """Return the owner of a token.

    Raises NotFound `token_invalid` for a token that we did not sign or an erased owner.
    """
    try:
        public_id = signing.loads(text, salt=SALT)
    except signing.BadSignature as error:
        raise NotFound("This link is not one of ours.", code="token_invalid") from error
    owner = Owner.objects.select_related("user").filter(public_id=public_id, erased_at=None).first()
    if owner is None:
        raise NotFound("This link is not one of ours.", code="token_invalid")
    return owner


def unsubscribe(owner: Owner) -> bool:
    """Withdraw consent to news. Return whether there was one in force; repeating it changes nothing."""
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
