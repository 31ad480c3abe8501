"""From a row of the outbox to a mail: its texts, in its reader's locale and time zone."""

from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context, TemplateDoesNotExist
from django.template.loader import get_template
from django.utils.dateparse import parse_datetime

from accounts.mails.kinds import KINDS
from accounts.models import Mail, Owner, Vehicle
from core import locale


def message_of(mail: Mail, owner: Owner | None) -> EmailMultiAlternatives:
    """The mail, ready to be sent. Raises TemplateDoesNotExist for a kind without texts."""
    with locale.use(*((owner.locale, owner.time_zone) if owner else (locale.DEFAULT, "UTC"))):
        context = _context(mail, owner)
        subject = " ".join(_text(f"{mail.kind}-subject.txt", context).split())
        body = _text("base.txt", {**context, "body": _text(f"{mail.kind}-body.txt", context).strip()})
        html = _html(mail, context)
    message = EmailMultiAlternatives(subject, body, to=[mail.user.email], headers=mail.context.get("headers"))
    if html:
        message.attach_alternative(html, "text/html")
    return message


def _context(mail: Mail, owner: Owner | None) -> dict[str, Any]:
    """The row's own words, and what every text may use. `car` is the vehicle whose public id is "vehicle" in the row."""
    return {
        **{name: _readable(name, value) for name, value in mail.context.items() if name != "headers"},
        "user": mail.user,
        "owner": owner,
        "site_url": settings.SITE_URL,
        "car": _car(mail.context.get("vehicle"), owner),
        "kind": KINDS.get(mail.kind),
    }


def _readable(name: str, value: Any) -> Any:
    if isinstance(value, str) and (name == "at" or name.endswith("_at")):
        at = parse_datetime(value)
        return locale.moment(at) if at and at.tzinfo else value
    if isinstance(value, str) and name.endswith("_on"):
        try:
            return locale.day(date.fromisoformat(value))
        except ValueError:
            return value
    return value


def _car(public_id: Any, owner: Owner | None) -> Vehicle | None:
    try:
        return Vehicle.objects.filter(public_id=UUID(str(public_id)), owner=owner).first() if owner else None
    except ValueError:
        return None


def _text(name: str, context: dict[str, Any]) -> str:
    """Plain text: what somebody typed is not HTML here, and must not be written as if it were."""
    template: Any = get_template(f"emails/{name}")
    return str(template.template.render(Context(context, autoescape=False)))


def _html(mail: Mail, context: dict[str, Any]) -> str:
    try:
        template = get_template(f"emails/{mail.kind}-body.html")
    except TemplateDoesNotExist:
        return ""
    return template.render(context)
